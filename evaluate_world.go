// SPDX-License-Identifier: Apache-2.0

package main

// This file: `evaluate world`.

import (
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

func evaluateWorld() *cobra.Command {
	var file, dir, figures string
	var asJSON, markdown bool
	var patients int
	var seed uint64
	cmd := &cobra.Command{
		Use: "world", Short: "Score the world model on patients it has never seen", Args: noArgs,
		Long: "Score the world model on a cohort. Nothing is fitted, and patients who trained or chose the model\n" +
			"are left out. Errors are standardised, over observed values only; lower is better.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := require(cmd, "cohort"); err != nil {
				return err
			}
			model, err := loadModel(dir)
			if err != nil {
				return err
			}
			scores, err := world.Evaluate(cmd.Context(), cohort.Read(file), model)
			if err != nil {
				return err
			}
			if patients > 0 {
				cfg := state.DefaultConfig()
				if scores.Effects, err = world.MeasureEffects(cmd.Context(), model, counterfactuals(cmd.Context(), patients, seed, cfg)); err != nil {
					return err
				}
			}
			drawn := pictures(scores, model.Record())
			if figures != "" {
				if err := writePictures(figures, drawn); err != nil {
					return err
				}
			}
			if markdown {
				d := worldDocument{e: scores, r: model.Record(), info: model.Info(), pictures: drawn}
				if figures != "" {
					d.figures = filepath.Base(figures)
				}
				_, err := cmd.OutOrStdout().Write(d.write())
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), scores)
			}
			return printScores(cmd.OutOrStdout(), scores)
		},
	}
	cmd.Flags().StringVar(&file, "cohort", "", "Parquet file of `cohort build` (required)")
	cmd.Flags().StringVar(&dir, "model", "", "folder of the model (default: the embedded one)")
	cmd.Flags().IntVar(&patients, "counterfactual", 0, "simulated patients to ask what treatment changes")
	cmd.Flags().Uint64Var(&seed, "seed", 1, "seed of the simulated patients")
	cmd.Flags().BoolVar(&markdown, "markdown", false, "print docs/world-model.md")
	cmd.Flags().StringVar(&figures, "figures", "", "folder to write the figures to; the document links to it as its neighbour")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.MarkFlagsMutuallyExclusive("markdown", "json")
	return cmd
}

func printScores(w io.Writer, e *world.Evaluation) error {
	fmt.Fprintf(w, "%d patients, %d stays, %d steps the model has never seen (%d stays left out)\n\n", e.Patients, e.Stays, e.Steps, e.LeftOut)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range []struct {
		name  string
		value world.Number
	}{
		{"next-step error, model", e.StateMAE}, {"next-step error, persistence", e.PersistenceMAE}, {"next-step error, ridge", e.RidgeMAE},
		{"negative log-likelihood", e.NLL}, {"80 % intervals hold", e.Interval80}, {"95 % intervals hold", e.Interval95},
		{"ventilation AUROC", e.VentAUROC}, {"death in hospital AUROC", e.MortalityAUROC}, {"death in hospital AUPRC", e.MortalityAUPRC},
		{"death in hospital ECE", e.MortalityECE}, {"vasopressor within 24 h AUROC", e.Vaso24hAUROC},
	} {
		fmt.Fprintf(t, "%s\t%.4f\n", row.name, float64(row.value))
	}
	for h := range e.RolloutMAE {
		fmt.Fprintf(t, "error at %d h (persistence)\t%.4f (%.4f)\n", state.StepHours*(h+1), float64(e.RolloutMAE[h]), float64(e.PersistRollout[h]))
	}
	fmt.Fprintf(t, "data digest\t%s\nmodel hash\t%s\n", e.DataDigest, e.ModelHash)
	return t.Flush()
}
