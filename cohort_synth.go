// SPDX-License-Identifier: Apache-2.0

package main

// This file: `cohort synth`, synthetic patients as a FHIR bulk export.

import (
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir"
)

func cohortSynth() *cobra.Command {
	var patients int
	var seed uint64
	var out, behaviour string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "synth", Short: "Write synthetic patients as FHIR NDJSON.gz", Args: noArgs,
		Long: "Write synthetic patients as FHIR NDJSON.gz, one file per resource type, coded by LOINC, UCUM and\n" +
			"RxNorm as different hospitals would. The same patients and seed give the same bytes.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := require(cmd, "patients", "seed", "out"); err != nil {
				return err
			}
			if patients < 1 {
				return misuse("--patients must be at least 1")
			}
			if found, err := filepath.Glob(filepath.Join(out, "*.ndjson.gz")); err != nil || len(found) > 0 {
				return misuse("%s already holds an export (hint: choose an empty folder)", out)
			}
			courses, err := physiology.Cohort(physiology.CohortConfig{Patients: patients, Seed: seed, Behaviour: physiology.Behaviour(behaviour)})
			if err != nil {
				return err
			}
			bar := newProgress(cmd.ErrOrStderr(), "patients", int64(patients))
			rows, err := fhir.WriteFolder(out, charts(courses, bar, cmd.Context().Err), fhir.HospitalStyle)
			if err != nil {
				return err
			}
			if err := cmd.Context().Err(); err != nil {
				return fmt.Errorf("stopped: %s is not complete: %w", out, err)
			}
			bar.finish()
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]any{"patients": patients, "seed": seed, "resources": rows})
			}
			for _, kind := range slices.Sorted(maps.Keys(rows)) {
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s%c%s.ndjson.gz %d\n", out, os.PathSeparator, kind, rows[kind]); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&patients, "patients", 0, "how many patients (required)")
	cmd.Flags().Uint64Var(&seed, "seed", 0, "seed; the same seed gives the same bytes (required)")
	cmd.Flags().StringVar(&out, "out", "", "folder to write (required)")
	cmd.Flags().StringVar(&behaviour, "behaviour", "", "who decides the doses: clinician, randomised, or empty for both by halves")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// charts turns courses into charts until there are no more or stopped says so.
func charts(courses iter.Seq[physiology.Course], bar *progress, stopped func() error) iter.Seq[*state.Chart] {
	return func(yield func(*state.Chart) bool) {
		for c := range courses {
			if stopped() != nil || !yield(c.Chart()) {
				return
			}
			bar.add(1)
		}
	}
}
