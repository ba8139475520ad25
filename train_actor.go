// SPDX-License-Identifier: Apache-2.0

package main

// This file: `train actor`.

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/learn/curriculum"
)

func trainActor() *cobra.Command {
	var file, dir, out, config string
	var stage int
	var asJSON, all bool
	train, settings := curriculum.DefaultActorConfig(), curriculum.DefaultConfig()
	cmd := &cobra.Command{
		Use: "actor", Short: "Train the learned policy that proposes treatment to the agent", Args: noArgs,
		Long: "Train an actor for a world model, on the cohort that trained it, and write a model folder that holds both.\n" +
			"The world model is not changed; --out may be its own folder, whose actor is then replaced. Test patients\n" +
			"(by hash) are never trained on. The same cohort, world model and seed give the same weights.\n\n" +
			"Without --stage that is the proposer that the service consults, fitted to recorded stays alone. With --stage or\n" +
			"--curriculum one network goes through the three-stage curriculum in the world model (docs/curriculum.md), each\n" +
			"stage scored when it is done; a training that was stopped goes on where it was.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := require(cmd, "cohort", "world", "out"); err != nil {
				return err
			}
			if stage < 0 || stage > curriculum.Stages {
				return misuse("--stage is 1, 2 or 3")
			}
			if (stage != 0 || all) && train.Seed > curriculum.MostSeed {
				return misuse("--seed of the curriculum is %d at most", curriculum.MostSeed)
			}
			cfg, err := loadConfig(config, os.Environ())
			if err != nil {
				return err
			}
			train.Levels, settings.Imitation.Levels, settings.Imitation.Seed = cfg.State, cfg.State, train.Seed
			model, err := loadModel(dir)
			if err != nil {
				return err
			}
			if err := copyModel(dir, out); err != nil {
				return err
			}
			result := map[string]any{"world": model.Info().Hash}
			if stage == 0 && !all {
				trained, err := curriculum.TrainActor(cmd.Context(), cohort.Read(file), model, train, actorLines(cmd.ErrOrStderr()))
				if err != nil {
					return err
				}
				if err := agent.WriteActor(out, trained.Weights, trained.JSON, trained.Record.Card()); err != nil {
					return err
				}
				result["hash"], result["steps"], result["validation"], result["test"] = trained.Hash, trained.Record.Steps, trained.Record.Validation, trained.Record.Test
				if !asJSON {
					if err := printActor(cmd.OutOrStdout(), out, model.Info().Hash, trained); err != nil {
						return err
					}
				}
			}
			if stage != 0 || all {
				from, to := 1, curriculum.Stages
				if stage != 0 {
					from, to = stage, stage
				}
				record, err := trainCurriculum(cmd.Context(), cfg, file, out, model, settings, from, to, cmd.ErrOrStderr())
				if err != nil {
					return err
				}
				result["stages"], result["references"] = record.Scores, record.References
				if !asJSON {
					if err := printCurriculum(cmd.OutOrStdout(), record); err != nil {
						return err
					}
				}
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), result)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "cohort", "", "Parquet file of `cohort build` that trained the world model (required)")
	cmd.Flags().StringVar(&dir, "world", "", "folder of the world model (required)")
	cmd.Flags().StringVar(&out, "out", "", "folder to write (required)")
	cmd.Flags().StringVar(&config, "config", "", "configuration file (for the level cut-points)")
	cmd.Flags().Uint64Var(&train.Seed, "seed", train.Seed, "seed of every random choice")
	cmd.Flags().IntVar(&stage, "stage", 0, "1, 2 or 3: train that stage of the curriculum, on what --out holds of those before")
	cmd.Flags().BoolVar(&all, "curriculum", false, "train all stages that --out does not hold yet")
	cmd.MarkFlagsMutuallyExclusive("stage", "curriculum")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// printActor says how the proposer compares with the behaviour model.
func printActor(w io.Writer, out, model string, trained *curriculum.ActorTrained) error {
	v, t := trained.Record.Validation, trained.Record.Test
	_, err := fmt.Fprintf(w, "%s: actor %s for world model %s\nlog-loss of clinicians' levels: validation %.3f (behaviour model %.3f), test %.3f (%.3f)\nagreement: validation %.3f (%.3f), test %.3f (%.3f)\n",
		out, trained.Hash, model, v.LogLoss, v.BehaviourLogLoss, t.LogLoss, t.BehaviourLogLoss, v.Agreement, v.BehaviourAgree, t.Agreement, t.BehaviourAgree)
	return err
}

// copyModel copies a world model's files to another folder; to its own it does
// nothing. A folder that holds another model is left alone, and one that holds this
// model too.
func copyModel(from, to string) error {
	if a, err := filepath.Abs(from); err != nil {
		return err
	} else if b, err := filepath.Abs(to); err != nil || a == b {
		return err
	}
	if have, err := os.ReadFile(filepath.Join(to, "model.json")); err == nil {
		given, err := os.ReadFile(filepath.Join(from, "model.json"))
		if err == nil && bytes.Equal(have, given) {
			return nil // an earlier stage copied it
		}
		return misuse("%s already holds a model (hint: choose another folder, or give it as --world too)", to)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	// The sums leave out what is not copied, the actor, or nothing could read the
	// folder until one is written. model.json comes last: it says that all is there.
	copied := []string{"weights.safetensors", "MODEL_CARD.md", "training.svg", "baselines.safetensors", "baselines.json", "model.json"}
	for _, name := range slices.Insert(slices.Clone(copied), len(copied)-1, "SHA256SUMS") {
		data, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(name, "baselines.") {
			continue
		}
		if err != nil {
			return err
		}
		if name == "SHA256SUMS" {
			var kept []byte
			for line := range bytes.Lines(data) {
				if f := bytes.Fields(line); len(f) == 2 && slices.Contains(copied, string(f[1])) {
					kept = append(kept, line...)
				}
			}
			data = kept
		}
		if err := os.WriteFile(filepath.Join(to, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// actorLines reports each epoch: a line that is overwritten on a terminal, plain
// lines elsewhere.
func actorLines(w io.Writer) func(curriculum.ActorProgress) {
	start, end := lineEnds(w)
	return func(p curriculum.ActorProgress) {
		mark := ""
		if p.Best {
			mark = " best"
		}
		fmt.Fprintf(w, "%sactor %d of %d, epoch %d of %d: loss %.4f, validation %.4f%s%s", start, p.Member+1, p.Members, p.Epoch+1, p.Epochs, p.Loss, p.ValidationLoss, mark, end)
	}
}
