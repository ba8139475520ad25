// SPDX-License-Identifier: Apache-2.0

package main

// This file: `cohort build`, from bulk FHIR to trajectories.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir"
	"github.com/sepsisagent/sepsisagent/fhir/claim"
)

// patientRows are the rows of one patient and what was counted on the way.
type patientRows struct {
	rows   []cohort.Row
	stays  int
	seen   [state.NumFeatures]int // steps in which it was measured, whenever known
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
			"drugs were understood and what was rejected, with reasons.\n\n" +
			"A build that was killed goes on where it was when the same command is given again. Until it is done the\n" +
			"folder .<out>.work beside the output holds patient data.",
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
			// What is held is bounded by parts, far below the limit.
			leaveHeap(800, buildHeap)
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
	sources, err := sourceNames(folders)
	if err != nil {
		return nil, err
	}
	b := &cohortBuilder{mapper: mapper, cfg: cfg, stderr: stderr, report: newCohortReport(), work: workFolder(out)}
	release, err := claim.Folder(b.work)
	if err != nil {
		return nil, fmt.Errorf("work folder: %w", err)
	}
	defer release()
	if err := dropUnfinished(out); err != nil {
		return nil, err
	}
	info, err := cohort.Write(out, func(yield func(cohort.Row, error) bool) {
		for i, dir := range folders {
			more, err := b.folder(ctx, i, dir, sources[i], func(r cohort.Row) bool { return yield(r, nil) })
			if err != nil {
				yield(cohort.Row{}, err)
			}
			if err != nil || !more {
				return
			}
		}
	})
	if err != nil {
		return nil, err
	}
	// What was kept for a build that is killed is patient data: it goes.
	if err := os.RemoveAll(b.work); err != nil {
		return nil, fmt.Errorf("work folder: %w", err)
	}
	b.report.Digest = info.Digest
	b.report.finish()
	if b.report.Stays == 0 {
		fmt.Fprintf(stderr, "no ICU stay in %d patients: %s has no rows (hint: stays are Encounters, or places they name, that the code maps know as intensive care)\n", b.report.Patients, filepath.Base(out))
	}
	b.report.Seconds = time.Since(started).Seconds()
	return b.report, nil
}

// sourceNames names the folders for their rows: by their own names, and by that
// of the folder around them too where two are called alike. A folder that is
// named twice would count every patient twice.
func sourceNames(folders []string) ([]string, error) {
	names := make([]string, len(folders))
	seen := map[string]int{}
	for i, dir := range folders {
		whole, err := filepath.Abs(dir)
		if err != nil {
			return nil, fmt.Errorf("folder %s: %w", dir, err)
		}
		names[i] = filepath.Base(whole)
		j, twice := seen[names[i]]
		if !twice {
			seen[names[i]] = i
			continue
		}
		other, err := filepath.Abs(folders[j])
		if err != nil {
			return nil, fmt.Errorf("folder %s: %w", folders[j], err)
		}
		names[i] = filepath.Base(filepath.Dir(whole)) + "/" + names[i]
		if _, taken := seen[names[i]]; taken || whole == other {
			return nil, misuse("--fhir %s: rows tell folders by their names, and %s is there already (hint: name each folder once, and rename one)", dir, filepath.Base(whole))
		}
		seen[names[i]] = i
	}
	return names, nil
}

// workFolder is where a build keeps what it has done, beside its output, so
// that the same command goes on after a kill.
func workFolder(out string) string {
	return filepath.Join(filepath.Dir(out), "."+filepath.Base(out)+".work")
}

// dropUnfinished removes what a build that was killed had written of its output:
// it is patient data, and the rows are in the work folder.
func dropUnfinished(out string) error {
	dir := filepath.Dir(out)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("folder of the output: %w", err)
	}
	for _, e := range entries {
		number, ours := strings.CutPrefix(e.Name(), "."+filepath.Base(out)+".")
		if _, err := strconv.ParseUint(number, 10, 64); !ours || err != nil {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("unfinished output: %w", err)
		}
	}
	return nil
}

// cohortBuilder is one run of `cohort build`.
type cohortBuilder struct {
	mapper *fhir.Mapper
	cfg    state.Config
	stderr io.Writer
	report *cohortReport
	work   string
}

// folder passes the rows of one folder on, as those of source, and counts into
// the report; more is false when nobody wants further rows.
func (b *cohortBuilder) folder(ctx context.Context, number int, dir, source string, yield func(cohort.Row) bool) (more bool, err error) {
	work := filepath.Join(b.work, strconv.Itoa(number))
	if err := os.MkdirAll(work, 0o700); err != nil {
		return false, fmt.Errorf("work folder: %w", err)
	}
	folder, err := b.open(ctx, dir, work)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	b.report.source(source, folder)
	log, err := b.openLog(work, folder, source)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	bar := newProgress(b.stderr, "patients", int64(folder.CountPatients()))
	pass := func(patients []patientRows) bool {
		for _, p := range patients {
			b.report.add(p)
			bar.add(1)
			for _, row := range p.rows {
				if !yield(row) {
					return false
				}
			}
		}
		return true
	}
	done := log.Batches()
	for i := range done {
		patients, err := readBatch(log, i)
		if err != nil || !pass(patients) {
			return false, err
		}
	}
	rowsOfBag := func(bag *fhir.Bag) (patientRows, error) { return rowsOf(b.mapper, bag, source, b.cfg) }
	for patients, err := range byPart(ctx, folder, done, rowsOfBag) {
		if err != nil {
			return false, err
		}
		if err := writeBatch(log, patients); err != nil {
			return false, err
		}
		if !pass(patients) {
			return false, nil
		}
	}
	bar.finish()
	return true, nil
}

// open reads a folder, with a bar that counts megabytes.
func (b *cohortBuilder) open(ctx context.Context, dir, work string) (*fhir.Folder, error) {
	fmt.Fprintf(b.stderr, "reading %s\n", dir)
	bar := newProgress(b.stderr, "MB read", 0)
	seen := int64(0)
	folder, err := b.mapper.OpenFolderWith(ctx, dir, fhir.FolderOptions{Work: work, Progress: func(bytes int64) {
		if mb := bytes / 1e6; mb > seen {
			bar.add(mb - seen)
			seen = mb
		}
	}})
	if err != nil {
		return nil, err
	}
	bar.finish()
	return folder, nil
}

// rowsOf gives the rows of every ICU stay of one patient.
func rowsOf(mapper *fhir.Mapper, b *fhir.Bag, source string, cfg state.Config) (patientRows, error) {
	var p patientRows
	defer b.Release() // rows hold nothing of the chart they were made from
	whole, stays, err := mapper.StayCharts(b)
	if errors.Is(err, fhir.ErrNoPatient) {
		p.tally = b.CountNobody()
		return p, nil
	}
	if err != nil {
		return p, err
	}
	p.tally, p.drugs, p.delays = whole.Tally, drugRows(whole), delaysOf(mapper, whole)
	for _, chart := range stays {
		builder, err := state.NewBuilder(chart, cfg)
		if err != nil {
			return p, err
		}
		rows, err := cohort.RowsOf(builder, source, cohort.MaxHours)
		if err != nil {
			return p, err
		}
		for i := range rows {
			for f, seen := range builder.Observed(rows[i].At) {
				if seen {
					p.seen[f]++
				}
			}
		}
		p.stays++
		p.rows = append(p.rows, rows...)
	}
	return p, nil
}
