// SPDX-License-Identifier: Apache-2.0

package main

// This file: `train actor`.

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/learn"
)

func trainActor() *cobra.Command {
	var file, dir, out, config string
	var asJSON bool
	train := learn.DefaultActorConfig()
	cmd := &cobra.Command{
		Use: "actor", Short: "Train the learned policy that proposes treatment to the agent", Args: noArgs,
		Long: "Train an actor for a world model, on the cohort that trained it, and write a model folder that holds both.\n" +
			"The world model is not changed; --out may be its own folder, whose actor is then replaced. Test patients\n" +
			"(by hash) are never trained on. The same cohort, world model and seed give the same weights.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := require(cmd, "cohort", "world", "out"); err != nil {
				return err
			}
			cfg, err := loadConfig(config, os.Environ())
			if err != nil {
				return err
			}
			train.Levels = cfg.State
			model, err := loadModel(dir)
			if err != nil {
				return err
			}
			trained, err := learn.TrainActor(cmd.Context(), cohort.Read(file), model, train, actorLines(cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			if err := copyModel(dir, out); err != nil {
				return err
			}
			if err := agent.WriteActor(out, trained.Weights, trained.JSON, trained.Record.Card()); err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]any{"hash": trained.Hash, "world": model.Info().Hash, "steps": trained.Record.Steps,
					"validation": trained.Record.Validation, "test": trained.Record.Test})
			}
			v, t := trained.Record.Validation, trained.Record.Test
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: actor %s for world model %s\nlog-loss of clinicians' levels: validation %.3f (behaviour model %.3f), test %.3f (%.3f)\nagreement: validation %.3f (%.3f), test %.3f (%.3f)\n",
				out, trained.Hash, model.Info().Hash, v.LogLoss, v.BehaviourLogLoss, t.LogLoss, t.BehaviourLogLoss, v.Agreement, v.BehaviourAgree, t.Agreement, t.BehaviourAgree)
			return err
		},
	}
	cmd.Flags().StringVar(&file, "cohort", "", "Parquet file of `cohort build` that trained the world model (required)")
	cmd.Flags().StringVar(&dir, "world", "", "folder of the world model (required)")
	cmd.Flags().StringVar(&out, "out", "", "folder to write (required)")
	cmd.Flags().StringVar(&config, "config", "", "configuration file (for the level cut-points)")
	cmd.Flags().Uint64Var(&train.Seed, "seed", train.Seed, "seed of every random choice")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// copyModel copies a world model's files to another folder; to its own it does
// nothing. A folder that holds another model is left alone.
func copyModel(from, to string) error {
	if a, err := filepath.Abs(from); err != nil {
		return err
	} else if b, err := filepath.Abs(to); err != nil || a == b {
		return err
	}
	if _, err := os.Stat(filepath.Join(to, "model.json")); err == nil {
		return misuse("%s already holds a model (hint: choose another folder, or give it as --world too)", to)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"weights.safetensors", "model.json", "MODEL_CARD.md", "training.svg", "SHA256SUMS"} {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// actorLines reports each epoch: a line that is overwritten on a terminal, plain
// lines elsewhere.
func actorLines(w io.Writer) func(learn.ActorProgress) {
	start, end := lineEnds(w)
	return func(p learn.ActorProgress) {
		mark := ""
		if p.Best {
			mark = " best"
		}
		fmt.Fprintf(w, "%sactor %d of %d, epoch %d of %d: loss %.4f, validation %.4f%s%s", start, p.Member+1, p.Members, p.Epoch+1, p.Epochs, p.Loss, p.ValidationLoss, mark, end)
	}
}
