// SPDX-License-Identifier: Apache-2.0

package main

// This file: `train world`.

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// checkpointName is the file in the output folder that an unfinished training
// goes on from.
const checkpointName = "training.checkpoint"

// curveName is the loss curve in the output folder, for people.
const curveName = "training.svg"

// Networks of throw-away models where none are asked for: fewer than are
// shipped, so that many models can be trained in minutes.
const (
	foldMembers  = 3
	studyMembers = 1
)

func trainWorld() *cobra.Command {
	var file, out, config, leaveOut, kind string
	var asJSON, confounding bool
	var folds int
	train := world.DefaultTrainConfig()
	cmd := &cobra.Command{
		Use: "world", Short: "Train the Clinical World Model on a cohort", Args: noArgs,
		Long: "Train the Clinical World Model on a cohort file and write weights, description, card and loss curve.\n" +
			"Test patients (by hash) are never trained on. The same cohort and seed give the same weights.\n" +
			"A training that was stopped goes on from its last epoch when the same command is given again.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if kind != "native" && kind != "reference" {
				return misuse("--kind %s: want native or reference", kind)
			}
			if folds != 0 {
				if out != "" || leaveOut != "" {
					return misuse("--cross-validate keeps no model; it goes without --out and --leave-out-hospitals")
				}
				if !cmd.Flags().Changed("members") {
					train.Members = foldMembers
				}
				return crossValidate(cmd, file, config, train, folds, asJSON)
			}
			if confounding {
				if out != "" || leaveOut != "" {
					return misuse("--confounding keeps no model; it goes without --out and --leave-out-hospitals")
				}
				if !cmd.Flags().Changed("members") {
					train.Members = studyMembers
				}
				return studyConfounding(cmd, file, config, train, asJSON)
			}
			if err := require(cmd, "cohort", "out"); err != nil {
				return err
			}
			if _, err := os.Stat(filepath.Join(out, "model.json")); err == nil {
				return misuse("%s already holds a model (hint: choose another folder)", out)
			}
			cfg, err := loadConfig(config, os.Environ())
			if err != nil {
				return err
			}
			train.Levels = cfg.State
			if leaveOut != "" {
				if train.LeaveOut, err = world.ParseLeaveOut(leaveOut); err != nil {
					return misuse("%v", err)
				}
			}
			if err := os.MkdirAll(out, 0o755); err != nil {
				return err
			}
			train.Damp = dampedBy(cmd.Context(), train.Seed, cfg.State)
			train.Checkpoint = filepath.Join(out, checkpointName)
			if kind == "reference" {
				return trainReference(cmd, file, out, train, asJSON)
			}
			model, err := world.Train(cmd.Context(), cohort.Read(file), train, epochLines(cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			if err := model.RecordEffects(cmd.Context(), counterfactuals(cmd.Context(), cardPatients, train.Seed, cfg.State)); err != nil {
				return err
			}
			if err := keepModel(out, train.Checkpoint, model, model.Record().Curves); err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), model.Info())
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: version %s, hash %s\n", out, model.Info().Version, model.Info().Hash)
			return err
		},
	}
	cmd.Flags().StringVar(&file, "cohort", "", "Parquet file of `cohort build` (required)")
	cmd.Flags().StringVar(&out, "out", "", "folder to write (required)")
	cmd.Flags().StringVar(&config, "config", "", "configuration file (for the level cut-points)")
	cmd.Flags().StringVar(&leaveOut, "leave-out-hospitals", "", "`K/N`: train without the hospitals of fold K of N, and score them apart")
	cmd.Flags().IntVar(&folds, "cross-validate", 0, "`N`: train N throw-away models, each without a fold of the hospitals, and print how they did on those")
	cmd.Flags().BoolVar(&confounding, "confounding", false, "train throw-away models whose effects come from records alone, and print what they say of norepinephrine")
	cmd.MarkFlagsMutuallyExclusive("confounding", "cross-validate")
	cmd.Flags().StringVar(&kind, "kind", "native", "native, or reference: the published architecture (no --members)")
	cmd.Flags().Uint64Var(&train.Seed, "seed", train.Seed, "seed of every random choice")
	cmd.Flags().StringVar(&train.Version, "version", train.Version, "version of the weights, named on every card")
	cmd.Flags().IntVar(&train.Members, "members", train.Members, "networks in the ensemble")
	cmd.Flags().IntVar(&train.Epochs, "epochs", train.Epochs, "epochs at most")
	cmd.Flags().BoolVar(&train.EffectsFromRecords, "effects-from-records", false, "let confounded records teach the effects of treatment too: to see what comes of it, not for use")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// keepModel writes a trained model with its loss curve into dir, and removes the
// checkpoint, which is of no more use.
func keepModel(dir, checkpoint string, model interface{ Write(dir string) error }, curves []world.Progress) error {
	if err := model.Write(dir); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, curveName), lossPicture(curves).svg, 0o644); err != nil {
		return fmt.Errorf("write loss curve: %w", err)
	}
	return os.Remove(checkpoint)
}

// trainReference trains and writes a model of the published kind.
func trainReference(cmd *cobra.Command, file, out string, train world.TrainConfig, asJSON bool) error {
	if cmd.Flags().Changed("members") {
		return misuse("--members: the published architecture has no ensemble")
	}
	if cmd.Flags().Changed("epochs") {
		train.Reference.Epochs = train.Epochs
	}
	model, err := world.TrainReference(cmd.Context(), cohort.Read(file), train, train.Reference, epochLines(cmd.ErrOrStderr()))
	if err != nil {
		return err
	}
	curves := slices.DeleteFunc(slices.Clone(model.Record().Curves), func(p world.Progress) bool { return p.Member != 0 }) // of the dynamics: the outcome's loss is another
	if err := keepModel(out, train.Checkpoint, model, curves); err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), model.Info())
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: kind reference, version %s, hash %s\n", out, model.Info().Version, model.Info().Hash)
	return err
}

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

// epochLines reports each epoch: a line that is overwritten on a terminal,
// plain lines elsewhere.
func epochLines(w io.Writer) func(world.Progress) {
	start, end := "", "\n"
	if onTerminal(w) {
		start, end = "\r\x1b[K", ""
	}
	return func(p world.Progress) {
		mark := ""
		if p.Best {
			mark = " best"
		}
		network := fmt.Sprintf("network %d of %d", p.Member+1, p.Members)
		if p.Baseline {
			network = "baseline"
		}
		fmt.Fprintf(w, "%s%s, epoch %d of %d: loss %.4f, validation %.4f%s%s", start, network, p.Epoch+1, p.Epochs, p.TrainLoss, p.ValidationLoss, mark, end)
	}
}
