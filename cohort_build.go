// SPDX-License-Identifier: Apache-2.0

package main

// This file: `cohort build`, from bulk FHIR to trajectories.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// patientRows are the rows of one patient and what was counted on the way.
type patientRows struct {
	rows   []cohort.Row
	stays  int
	tally  state.Tally
	drugs  []drugRow
	delays []fhir.Delay
}

func cohortBuild() *cobra.Command {
	var folders []string
	var out, config string
	var asJSON, markdown bool
	cmd := &cobra.Command{
		Use: "build", Short: "Turn bulk FHIR (NDJSON, NDJSON.gz) into trajectories", Args: noArgs,
		Long: "Turn bulk FHIR exports into one Parquet file of trajectories: one row per ICU stay and 4-hour step,\n" +
			"each with the timeline as it could be known then. Prints how much of each feature was observed, which\n" +
			"drugs were understood and what was rejected, with reasons.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := require(cmd, "fhir", "out"); err != nil {
				return err
			}
			cfg, err := loadConfig(config, os.Environ())
			if err != nil {
				return err
			}
			maps, err := fhir.LoadCodeMaps(configs.FS, cfg.Files.CodeMaps...)
			if err != nil {
				return err
			}
			report, err := buildCohort(cmd.Context(), fhir.NewMapper(maps), cfg.State, folders, out, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			switch {
			case asJSON:
				return printJSON(cmd.OutOrStdout(), report)
			case markdown:
				return report.markdown(cmd.OutOrStdout())
			}
			return report.print(cmd.OutOrStdout(), out)
		},
	}
	cmd.Flags().StringArrayVar(&folders, "fhir", nil, "folder of a bulk export (required, repeatable)")
	cmd.Flags().StringVar(&out, "out", "", "Parquet file to write (required)")
	cmd.Flags().StringVar(&config, "config", "", "configuration file")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.Flags().BoolVar(&markdown, "markdown", false, "print the tables of docs/results.md")
	return cmd
}

// buildCohort reads the folders one after another and writes one file.
func buildCohort(ctx context.Context, mapper *fhir.Mapper, cfg state.Config, folders []string, out string, stderr io.Writer) (*cohortReport, error) {
	started := time.Now()
	report := newCohortReport()
	info, err := cohort.Write(out, func(yield func(cohort.Row, error) bool) {
		for _, dir := range folders {
			for row, err := range folderRows(ctx, mapper, cfg, dir, report, stderr) {
				if !yield(row, err) || err != nil {
					return
				}
			}
		}
	})
	if err != nil {
		return nil, err
	}
	report.Digest = info.Digest
	report.finish()
	report.Seconds = time.Since(started).Seconds()
	return report, nil
}

// folderRows yields the rows of one folder and counts into report.
func folderRows(ctx context.Context, mapper *fhir.Mapper, cfg state.Config, dir string, report *cohortReport, stderr io.Writer) iter.Seq2[cohort.Row, error] {
	return func(yield func(cohort.Row, error) bool) {
		fmt.Fprintf(stderr, "reading %s\n", dir)
		folder, err := mapper.OpenFolder(ctx, dir)
		if err != nil {
			yield(cohort.Row{}, err)
			return
		}
		bar := newProgress(stderr, "patients", int64(folder.CountPatients()))
		source := filepath.Base(filepath.Clean(dir))
		report.source(source, folder.Bytes, folder.Read)
		work := func(b *fhir.Bag) (patientRows, error) { return rowsOf(mapper, b, source, cfg) }
		for p, err := range byPatient(ctx, folder, work) {
			if err != nil {
				yield(cohort.Row{}, errors.Join(err, folder.Close()))
				return
			}
			report.add(p)
			bar.add(1)
			for _, row := range p.rows {
				if !yield(row, nil) {
					folder.Close()
					return
				}
			}
		}
		bar.finish()
		if err := folder.Close(); err != nil {
			yield(cohort.Row{}, err)
		}
	}
}

// rowsOf gives the rows of every ICU stay of one patient.
func rowsOf(mapper *fhir.Mapper, b *fhir.Bag, source string, cfg state.Config) (patientRows, error) {
	var p patientRows
	whole, err := mapper.Chart(b, "", time.Time{})
	if errors.Is(err, fhir.ErrNoPatient) {
		// Resources of somebody who is not in the export: counted, no rows.
		return p, nil
	}
	if err != nil {
		return p, err
	}
	p.tally, p.drugs, p.delays = whole.Tally, drugRows(whole), delaysOf(mapper, whole)
	for _, stay := range mapper.Stays(b) {
		if !stay.ICU || stay.Start.IsZero() {
			continue
		}
		chart, err := mapper.Chart(b, stay.ID, time.Time{})
		if err != nil {
			return p, err
		}
		rows, err := cohort.Rows(chart, source, cfg)
		if err != nil {
			return p, err
		}
		p.stays++
		p.rows = append(p.rows, rows...)
	}
	return p, nil
}
