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

// worldTraining is what `train world` was asked for.
type worldTraining struct {
	world.TrainConfig
	cohort, out, config, leaveOut, kind string
	folds                               int
	asJSON, confounding                 bool
}

func trainWorld() *cobra.Command {
	f := worldTraining{TrainConfig: world.DefaultTrainConfig()}
	cmd := &cobra.Command{
		Use: "world", Short: "Train the Clinical World Model on a cohort", Args: noArgs,
		Long: "Train the Clinical World Model on a cohort file and write weights, description, card and loss curve.\n" +
			"Test patients (by hash) are never trained on. The same cohort and seed give the same weights.\n" +
			"A training that was stopped goes on from its last epoch when the same command is given again.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case f.kind != "native" && f.kind != "reference":
				return misuse("--kind %s: want native or reference", f.kind)
			case f.folds != 0:
				if err := f.throwAway(cmd, "--cross-validate", foldMembers); err != nil {
					return err
				}
				return crossValidate(cmd, f.cohort, f.config, f.TrainConfig, f.folds, f.asJSON)
			case f.confounding:
				if err := f.throwAway(cmd, "--confounding", studyMembers); err != nil {
					return err
				}
				return studyConfounding(cmd, f.cohort, f.config, f.TrainConfig, f.asJSON)
			}
			return f.run(cmd)
		},
	}
	cmd.Flags().StringVar(&f.cohort, "cohort", "", "Parquet file of `cohort build` (required)")
	cmd.Flags().StringVar(&f.out, "out", "", "folder to write (required)")
	cmd.Flags().StringVar(&f.config, "config", "", "configuration file (for the level cut-points)")
	cmd.Flags().StringVar(&f.leaveOut, "leave-out-hospitals", "", "`K/N`: train without the hospitals of fold K of N, and score them apart")
	cmd.Flags().IntVar(&f.folds, "cross-validate", 0, "`N`: train N throw-away models, each without a fold of the hospitals, and print how they did on those")
	cmd.Flags().BoolVar(&f.confounding, "confounding", false, "train throw-away models whose effects come from records alone, and print what they say of norepinephrine")
	cmd.MarkFlagsMutuallyExclusive("confounding", "cross-validate")
	cmd.Flags().StringVar(&f.kind, "kind", "native", "native, or reference: the published architecture (no --members)")
	cmd.Flags().Uint64Var(&f.Seed, "seed", f.Seed, "seed of every random choice")
	cmd.Flags().StringVar(&f.Version, "version", f.Version, "version of the weights, named on every card")
	cmd.Flags().IntVar(&f.Members, "members", f.Members, "networks in the ensemble")
	cmd.Flags().IntVar(&f.Epochs, "epochs", f.Epochs, "epochs at most")
	cmd.Flags().BoolVar(&f.EffectsFromRecords, "effects-from-records", false, "let confounded records teach the effects of treatment too: to see what comes of it, not for use")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print one JSON object")
	return cmd
}

// throwAway settles a training that keeps no model.
func (f *worldTraining) throwAway(cmd *cobra.Command, flag string, members int) error {
	if f.out != "" || f.leaveOut != "" {
		return misuse("%s keeps no model; it goes without --out and --leave-out-hospitals", flag)
	}
	if !cmd.Flags().Changed("members") {
		f.Members = members
	}
	return nil
}

// run trains one model and writes it.
func (f *worldTraining) run(cmd *cobra.Command) error {
	if err := require(cmd, "cohort", "out"); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(f.out, "model.json")); err == nil {
		return misuse("%s already holds a model (hint: choose another folder)", f.out)
	}
	cfg, err := loadConfig(f.config, os.Environ())
	if err != nil {
		return err
	}
	if f.leaveOut != "" {
		if f.LeaveOut, err = world.ParseLeaveOut(f.leaveOut); err != nil {
			return misuse("%v", err)
		}
	}
	if err := os.MkdirAll(f.out, 0o755); err != nil {
		return err
	}
	ctx := cmd.Context()
	f.Levels, f.Damp = cfg.State, dampedBy(ctx, f.Seed, cfg.State)
	f.Checkpoint = filepath.Join(f.out, checkpointName)
	if f.kind == "reference" {
		return trainReference(cmd, f.cohort, f.out, f.TrainConfig, f.asJSON)
	}
	model, err := world.Train(ctx, cohort.Read(f.cohort), f.TrainConfig, epochLines(cmd.ErrOrStderr()))
	if err != nil {
		return err
	}
	if err := model.RecordEffects(ctx, counterfactuals(ctx, cardPatients, f.Seed, cfg.State)); err != nil {
		return err
	}
	if err := keepModel(f.out, f.Checkpoint, model, model.Record().Curves); err != nil {
		return err
	}
	if f.asJSON {
		return printJSON(cmd.OutOrStdout(), model.Info())
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: version %s, hash %s\n", f.out, model.Info().Version, model.Info().Hash)
	return err
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

// epochLines reports each epoch: a line that is overwritten on a terminal,
// plain lines elsewhere.
func epochLines(w io.Writer) func(world.Progress) {
	start, end := lineEnds(w)
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
