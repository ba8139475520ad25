// SPDX-License-Identifier: Apache-2.0

package main

// This file: `evaluate world`.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

func evaluateWorld() *cobra.Command {
	var file, dir, figures, folds, study string
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
			stored, err := openModel(dir)
			if err != nil {
				return err
			}
			model, ok := stored.(scoredModel)
			if !ok {
				return fmt.Errorf("%w: %s", world.ErrNotScored, stored.Info().Kind)
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
			confounded, err := readStudy(study)
			if err != nil {
				return err
			}
			if confounded != nil {
				drawn = append(drawn, confoundingPicture(confounded))
			}
			if figures != "" {
				if err := writePictures(figures, drawn); err != nil {
					return err
				}
			}
			if markdown {
				cv, err := readCrossValidation(folds)
				if err != nil {
					return err
				}
				d := worldDocument{cv: cv, study: confounded, e: scores, r: model.Record(), info: model.Info(), pictures: drawn}
				if figures != "" {
					d.figures = filepath.Base(figures)
				}
				_, err = cmd.OutOrStdout().Write(d.write())
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
	cmd.Flags().StringVar(&folds, "cross-validation", "", "file that `train world --cross-validate N --json` printed, for the document")
	cmd.Flags().StringVar(&study, "confounding", "", "file that `train world --confounding --json` printed, for the document")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.MarkFlagsMutuallyExclusive("markdown", "json")
	return cmd
}

// scoredModel is a model whose training is known, as far as it is.
type scoredModel interface {
	world.Stored
	Record() *world.TrainingRecord
}

// readCrossValidation reads what `train world --cross-validate N --json`
// printed; nothing where no file is named.
func readCrossValidation(name string) (*world.CrossValidation, error) {
	return readPrinted[world.CrossValidation](name, "train world --cross-validate N --json")
}

// readStudy reads what `train world --confounding --json` printed.
func readStudy(name string) (*world.Confounding, error) {
	return readPrinted[world.Confounding](name, "train world --confounding --json")
}

// readPrinted reads what a command printed; nothing where no file is named.
func readPrinted[T any](name, command string) (*T, error) {
	if name == "" {
		return nil, nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	printed := new(T)
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(printed); err != nil {
		return nil, fmt.Errorf("%s is not what `%s` prints: %w", name, command, err)
	}
	return printed, nil
}

// printScores prints for a terminal.
func printScores(w io.Writer, e *world.Evaluation) error {
	fmt.Fprintf(w, "%d patients, %d stays, %d steps the model has never seen (%d stays left out)\n", e.Patients, e.Stays, e.Steps, e.LeftOut)
	fmt.Fprintf(w, "Brackets: 95 %% intervals over resampled patients.\n\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range []struct {
		name, key string
		value     world.Number
	}{
		{"next-step error, model", "state_mae", e.StateMAE}, {"next-step error, persistence", "persistence_mae", e.PersistenceMAE},
		{"next-step error, ridge", "ridge_mae", e.RidgeMAE}, {"next-step error, published network", "reference_mae", e.ReferenceMAE},
		{"share under the best baseline", "improvement", e.Improvement}, {"negative log-likelihood", "", e.NLL},
		{"80 % intervals hold", "interval80_coverage", e.Interval80}, {"95 % intervals hold", "interval95_coverage", e.Interval95},
		{"ventilation AUROC", "vent_auroc", e.VentAUROC}, {"death in hospital AUROC", "mortality_auroc", e.MortalityAUROC},
		{"death in hospital AUPRC", "mortality_auprc", e.MortalityAUPRC}, {"death in hospital ECE", "mortality_ece", e.MortalityECE},
		{"vasopressor within 24 h AUROC", "vaso24h_auroc", e.Vaso24hAUROC},
	} {
		fmt.Fprintf(t, "%s\t%s\n", row.name, ranged(row.value, e.Bootstrap[row.key]))
	}
	for h := range e.RolloutMAE {
		fmt.Fprintf(t, "error at %d h (persistence)\t%s (%s)\n", state.StepHours*(h+1), digits(e.RolloutMAE[h]), digits(e.PersistRollout[h]))
	}
	for _, s := range e.Strata {
		fmt.Fprintf(t, "%s: 80 %% intervals hold\t%s of %d\n", s.Name, digits(s.Interval80), s.Entries)
	}
	for _, g := range e.Groups {
		fmt.Fprintf(t, "%s %s (n=%d)\t%s\n", g.By, g.Name, g.Patients, ranged(g.StateMAE, g.MAERange))
	}
	if e.Effects != nil {
		for _, f := range e.Effects.Effects {
			if f.Hours == state.StepHours {
				fmt.Fprintf(t, "%s, %s after 4 h\ttrue %s, forecast %s %s\n", f.Question, labelOf(f.Feature), signed(f.Truth), signed(f.Forecast), f.Unit)
			}
		}
	}
	fmt.Fprintf(t, "data digest\t%s\nmodel hash\t%s\n", e.DataDigest, e.ModelHash)
	return t.Flush()
}
