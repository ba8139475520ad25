// SPDX-License-Identifier: Apache-2.0

package main

// This file: `train world --cross-validate N`.

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// crossValidate trains throw-away models and prints their pooled scores.
func crossValidate(cmd *cobra.Command, file, config string, train world.TrainConfig, folds int, asJSON bool) error {
	if err := require(cmd, "cohort"); err != nil {
		return err
	}
	if folds < 2 || folds > 1000 {
		return misuse("--cross-validate %d: want 2 to 1000 folds", folds)
	}
	cfg, err := loadConfig(config, os.Environ())
	if err != nil {
		return err
	}
	train.Levels, train.Damp = cfg.State, dampedBy(cmd.Context(), train.Seed, cfg.State)
	cv, err := world.CrossValidate(cmd.Context(), cohort.Read(file), train, folds, epochLines(cmd.ErrOrStderr()))
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), cv)
	}
	return printCrossValidation(cmd.OutOrStdout(), cv)
}

// printCrossValidation writes the pooled scores with their 95 % intervals, and
// one line per fold.
func printCrossValidation(w io.Writer, cv *world.CrossValidation) error {
	fmt.Fprintf(w, "%d patients, %d stays, %d decision times, each forecast by a model that has seen nobody of the hospital\n", cv.Patients, cv.Stays, cv.Steps)
	fmt.Fprintf(w, "(%d stays are left out: their patients were also treated in a hospital of training)\n\n", cv.LeftOut)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range []struct {
		name, key string
		value     world.Number
	}{
		{"next-step error, model", "state_mae", cv.StateMAE}, {"next-step error, persistence", "persistence_mae", cv.PersistenceMAE},
		{"next-step error, ridge", "ridge_mae", cv.RidgeMAE}, {"share under the best baseline", "improvement", cv.Improvement},
		{"80 % intervals hold", "interval80_coverage", cv.Interval80}, {"95 % intervals hold", "interval95_coverage", cv.Interval95},
		{"ventilation AUROC", "vent_auroc", cv.VentAUROC}, {"death in hospital AUROC", "mortality_auroc", cv.MortalityAUROC},
		{"death in hospital AUPRC", "mortality_auprc", cv.MortalityAUPRC}, {"death in hospital ECE", "mortality_ece", cv.MortalityECE},
		{"vasopressor within 24 h AUROC", "vaso24h_auroc", cv.Vaso24hAUROC},
	} {
		between := ""
		if i, ok := cv.Bootstrap[row.key]; ok {
			between = fmt.Sprintf("%.4f to %.4f", float64(i.Low), float64(i.High))
		}
		fmt.Fprintf(t, "%s\t%.4f\t%s\n", row.name, float64(row.value), between)
	}
	for h := range cv.RolloutMAE {
		fmt.Fprintf(t, "error at %d h (persistence)\t%.4f\t%.4f\n", state.StepHours*(h+1), float64(cv.RolloutMAE[h]), float64(cv.PersistRollout[h]))
	}
	for _, s := range cv.Strata {
		fmt.Fprintf(t, "%s: 80 %% intervals hold\t%.4f\t%d values\n", s.Name, float64(s.Interval80), s.Entries)
	}
	fmt.Fprintf(t, "\nfold\thospitals\tstays\tdeaths\terror\tunder the best baseline\t80 %% hold\tdeath AUROC\n")
	for _, f := range cv.Folds {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%.4f\t%.4f\t%.4f\t%.4f\n", f.Fold, f.Hospitals, f.Stays, f.Deaths, float64(f.StateMAE), float64(f.Improvement), float64(f.Interval80), float64(f.MortalityAUROC))
	}
	fmt.Fprintf(t, "data digest\t%s\n", cv.DataDigest)
	return t.Flush()
}
