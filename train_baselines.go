// SPDX-License-Identifier: Apache-2.0

package main

// This file: `train baselines`, and reading what it wrote.

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/learn"
	"github.com/sepsisagent/sepsisagent/engine/learn/offline"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

func trainBaselines() *cobra.Command {
	var file, dir, out string
	var names []string
	var seed uint64 = 1
	var asJSON bool
	cmd := &cobra.Command{
		Use: "baselines", Short: "Fit the published learners that policies are compared with", Args: noArgs,
		Long: "Fit the published learners on the cohort that trained a world model, and write a model folder that holds\n" +
			"both. The world model is not changed; --out may be its own folder, whose baselines are then replaced. Test\n" +
			"patients (by hash) are never learnt from. The same cohort, world model and seed give the same files.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := require(cmd, "cohort", "world", "out"); err != nil {
				return err
			}
			methods, err := baselineMethods(names)
			if err != nil {
				return err
			}
			model, err := loadModel(dir)
			if err != nil {
				return err
			}
			fitted, err := learn.TrainBaselines(cmd.Context(), cohort.Read(file), model, methods, seed, baselineLines(cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			if err := copyModel(dir, out); err != nil {
				return err
			}
			if err := copyActor(dir, out); err != nil {
				return err
			}
			if err := learn.WriteBaselines(out, fitted, model); err != nil {
				return err
			}
			if asJSON {
				records := make([]offline.Record, len(fitted))
				for i, f := range fitted {
					records[i] = f.Record
				}
				return printJSON(cmd.OutOrStdout(), map[string]any{"world": model.Info().Hash, "policies": records})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %d baselines for world model %s, learnt from %d decisions in %d episodes\n",
				out, len(fitted), model.Info().Hash, fitted[0].Steps, fitted[0].Episodes)
			return err
		},
	}
	cmd.Flags().StringVar(&file, "cohort", "", "Parquet file of `cohort build` that trained the world model (required)")
	cmd.Flags().StringVar(&dir, "world", "", "folder of the world model (required)")
	cmd.Flags().StringVar(&out, "out", "", "folder to write (required)")
	cmd.Flags().StringSliceVar(&names, "methods", nil, "these methods alone")
	cmd.Flags().Uint64Var(&seed, "seed", seed, "seed of every random choice")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// openBaselines reads the baselines that lie beside a model, and what encodes for
// them; none where there are none, as with every model that is not native.
func openBaselines(model world.Stored, dir string) ([]*offline.Fitted, agent.Encoder, error) {
	encoder, ok := model.(agent.Encoder)
	if !ok {
		return nil, nil, nil
	}
	fsys, folder := modelFolder(dir)
	fitted, err := learn.OpenBaselines(fsys, folder, encoder)
	return fitted, encoder, err
}

// copyActor copies the actor of a model folder to another, where there is one:
// SHA256SUMS goes on naming it.
func copyActor(from, to string) error {
	for _, name := range []string{agent.ActorWeights, agent.ActorFile, agent.ActorCard} {
		data, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// baselineMethods are the methods of names, or all but those that are in every
// evaluation without a fit: clinicians, no action, and chance.
func baselineMethods(names []string) (out []offline.Method, err error) {
	plain := func(m offline.Method) bool {
		return m == offline.Clinician || m == offline.NoTreatment || m == offline.Random
	}
	all := slices.DeleteFunc(slices.Clone(offline.Methods), plain)
	if len(names) == 0 {
		return all, nil
	}
	for _, name := range names {
		m := offline.Method(name)
		if !slices.Contains(all, m) || slices.Contains(out, m) {
			var known []string
			for _, k := range all {
				known = append(known, string(k))
			}
			return nil, misuse("--methods %s: want some of %s, each once", name, strings.Join(known, ", "))
		}
		out = append(out, m)
	}
	return out, nil
}

// baselineLines reports each epoch.
func baselineLines(w io.Writer) func(offline.Progress) {
	start, end := lineEnds(w)
	return func(p offline.Progress) {
		watched := ""
		if !math.IsNaN(p.Validation) {
			watched = fmt.Sprintf(", validation %.4f", p.Validation)
		}
		fmt.Fprintf(w, "%s%s, epoch %d of %d: loss %.4f%s%s", start, p.Method, p.Epoch, p.Of, p.Loss, watched, end)
	}
}
