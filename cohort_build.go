// SPDX-License-Identifier: Apache-2.0

package main

// This file: `cohort build`, from bulk FHIR to trajectories, with a report of
// what was understood and what was not.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// cohortReport is what `cohort build` prints.
type cohortReport struct {
	Patients int                `json:"patients"`
	Stays    int                `json:"stays"`
	Steps    int                `json:"steps"`
	Bytes    int64              `json:"bytes"` // after decompression
	Seconds  float64            `json:"seconds"`
	Rejected int                `json:"rejected"`
	Read     int                `json:"read"`
	Used     int                `json:"used"`
	Ignored  int                `json:"ignored"`
	Reasons  map[string]int     `json:"reasons"`  // of ignored and rejected resources
	Coverage map[string]float64 `json:"coverage"` // fraction of steps with a measured value
	Drugs    drugReport         `json:"drugs"`
	Digest   string             `json:"digest"` // of the rows, whatever the file's layout

	measured [state.NumFeatures]int
}

// drugReport counts administrations of vasoactive drugs, fluids and blood.
type drugReport struct {
	Understood int                  `json:"understood"`
	Unknown    int                  `json:"unknown"`
	ByDrug     map[string]drugCount `json:"by_drug"`
	Why        map[string]int       `json:"why_unknown"`
}

type drugCount struct {
	Understood int `json:"understood"`
	Unknown    int `json:"unknown"`
}

// patientRows are the rows of one patient and what was counted on the way.
type patientRows struct {
	rows  []cohort.Row
	stays int
	tally state.Tally
	drugs []state.Administration
}

func cohortBuild() *cobra.Command {
	var folders []string
	var out, config string
	var asJSON bool
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
			if asJSON {
				return printJSON(cmd.OutOrStdout(), report)
			}
			return report.print(cmd.OutOrStdout(), out)
		},
	}
	cmd.Flags().StringArrayVar(&folders, "fhir", nil, "folder of a bulk export (required, repeatable)")
	cmd.Flags().StringVar(&out, "out", "", "Parquet file to write (required)")
	cmd.Flags().StringVar(&config, "config", "", "configuration file")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// buildCohort reads the folders one after another and writes one file.
func buildCohort(ctx context.Context, mapper *fhir.Mapper, cfg state.Config, folders []string, out string, stderr io.Writer) (*cohortReport, error) {
	started := time.Now()
	report := &cohortReport{Reasons: map[string]int{}, Coverage: map[string]float64{}, Drugs: drugReport{ByDrug: map[string]drugCount{}, Why: map[string]int{}}}
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
	for i, f := range state.Catalogue() {
		report.Coverage[string(f.Name)] = 0
		if report.Steps > 0 {
			report.Coverage[string(f.Name)] = float64(report.measured[i]) / float64(report.Steps)
		}
	}
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
		report.Bytes += folder.Bytes
		report.count(folder.Read)
		bar := newProgress(stderr, "patients", int64(len(folder.Patients())))
		source := filepath.Base(filepath.Clean(dir))
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
	p.tally, p.drugs = whole.Tally, whole.Administrations
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

func (r *cohortReport) count(t state.Tally) {
	r.Read += t.Read
	r.Used += t.Used
	r.Ignored += t.Ignored
	r.Rejected += t.Rejected
	for reason, n := range t.Reasons {
		r.Reasons[reason] += n
	}
}

func (r *cohortReport) add(p patientRows) {
	r.Patients++
	r.Stays += p.stays
	r.Steps += len(p.rows)
	r.count(p.tally)
	for i := range p.rows {
		for f, presence := range p.rows[i].Presence {
			if presence == state.Measured {
				r.measured[f]++
			}
		}
	}
	for i := range p.drugs {
		r.Drugs.add(&p.drugs[i])
	}
}

// add counts one administration that the timeline needs to understand.
func (d *drugReport) add(a *state.Administration) {
	switch a.Class {
	case state.ClassVasopressor, state.ClassInotrope, state.ClassVasoactive,
		state.ClassCrystalloid, state.ClassColloid, state.ClassBlood, state.ClassFreeWater, state.ClassCarrier:
	default:
		return
	}
	c := d.ByDrug[string(a.Drug)]
	if a.RateKnown || a.MlKnown {
		d.Understood++
		c.Understood++
	} else {
		d.Unknown++
		c.Unknown++
		d.Why[a.Unknown]++
	}
	d.ByDrug[string(a.Drug)] = c
}

func (r *cohortReport) print(w io.Writer, out string) error {
	fmt.Fprintf(w, "%s: %d patients, %d ICU stays, %d steps, digest %s\n", out, r.Patients, r.Stays, r.Steps, r.Digest)
	fmt.Fprintf(w, "%d resources: %d used, %d ignored, %d rejected; %.1f MB in %.1f s\n\n", r.Read, r.Used, r.Ignored, r.Rejected, float64(r.Bytes)/1e6, r.Seconds)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "FEATURE\tOBSERVED")
	for _, f := range state.Catalogue() {
		fmt.Fprintf(t, "%s\t%5.1f %%\n", f.Name, 100*r.Coverage[string(f.Name)])
	}
	fmt.Fprintln(t, "\nDRUG\tUNDERSTOOD\tUNKNOWN")
	for _, name := range slices.Sorted(maps.Keys(r.Drugs.ByDrug)) {
		c := r.Drugs.ByDrug[name]
		fmt.Fprintf(t, "%s\t%10d\t%7d\n", name, c.Understood, c.Unknown)
	}
	fmt.Fprintf(t, "all\t%10d\t%7d\n", r.Drugs.Understood, r.Drugs.Unknown)
	for _, group := range []struct {
		title string
		n     map[string]int
	}{{"RATE OR VOLUME UNKNOWN BECAUSE", r.Drugs.Why}, {"IGNORED OR REJECTED BECAUSE", r.Reasons}} {
		fmt.Fprintf(t, "\n%s\tCOUNT\n", group.title)
		for _, reason := range slices.Sorted(maps.Keys(group.n)) {
			fmt.Fprintf(t, "%s\t%5d\n", reason, group.n[reason])
		}
	}
	return t.Flush()
}
