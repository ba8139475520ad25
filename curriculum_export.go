// SPDX-License-Identifier: Apache-2.0

package main

// This file: `curriculum export`, the data of stages 1 and 2 for engines that
// are not ours, and the check of such files.

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/learn/environment"
	"github.com/sepsisagent/sepsisagent/engine/learn/export"
)

// curriculumExportFlags are the flags of `curriculum export`.
type curriculumExportFlags struct {
	file, model, config, out, check string
	split, format                   string
	cfg                             export.Config
	asJSON                          bool
}

func curriculumExport() *cobra.Command {
	f := curriculumExportFlags{cfg: export.Config{Times: export.DefaultTimes, Seed: 1}}
	cmd := &cobra.Command{
		Use: "export", Short: "Write training data of stages 1 and 2, or check a file of such data", Args: noArgs,
		Long: "Write lines that language models are fine-tuned on (docs/llm-curriculum.md). Stage 1 asks what happens to\n" +
			"recorded patients and answers from the record. Stage 2 shows how our planner decides, with its simulations.\n" +
			"Patients are split by hash; lines hold no identifier and no date. The same arguments give the same bytes.\n" +
			"With --check, the lines of a file are checked instead.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.cfg.Format, f.cfg.Part = export.Format(f.format), cohort.Split(f.split)
			if f.split == "validation" {
				f.cfg.Part = cohort.Val
			}
			if f.check != "" {
				if err := require(cmd, "format"); err != nil {
					return err
				}
				return f.examine(cmd.OutOrStdout())
			}
			if err := require(cmd, "stage", "cohort", "format", "out"); err != nil {
				return err
			}
			if err := f.cfg.Validate(); err != nil {
				return misuse("%s", err)
			}
			return f.export(cmd)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&f.cfg.Stage, "stage", 0, "1: questions about recorded patients; 2: traces of the planner (required)")
	flags.StringVar(&f.file, "cohort", "", "Parquet file of `cohort build` (required)")
	flags.StringVar(&f.model, "model", "", "folder of the world model (default: built in)")
	flags.StringVar(&f.config, "config", "", "configuration file (levels, rules, agent)")
	flags.StringVar(&f.split, "split", string(cohort.Train), "part of the patients: train, validation or test")
	flags.IntVar(&f.cfg.Limit, "limit", 0, "take at most so many stays, chosen by the seed; 0: all")
	flags.IntVar(&f.cfg.Times, "times", f.cfg.Times, "take at most so many decision times of a stay, chosen by the seed")
	flags.Uint64Var(&f.cfg.Seed, "seed", f.cfg.Seed, "seed of every choice")
	flags.StringVar(&f.format, "format", "", "openai or ms-swift (required)")
	flags.StringVar(&f.out, "out", "", "file to write (required)")
	flags.StringVar(&f.check, "check", "", "check this file and write none")
	flags.BoolVar(&f.asJSON, "json", false, "print one JSON object")
	return cmd
}

// export writes the file.
func (f *curriculumExportFlags) export(cmd *cobra.Command) error {
	cfg, err := loadConfig(f.config, os.Environ())
	if err != nil {
		return err
	}
	if _, err := cohort.Stat(f.file); err != nil {
		return fmt.Errorf("%s: %w", f.file, err)
	}
	one := environment.DefaultConfig()
	one.Steps = 1 // an example is one choice, as a consultation is: its instructions say so
	env, native, _, err := wordedUnit(cfg, f.model, one, environment.NewSynthetic(cfg.State))
	if err != nil {
		return err
	}
	bar := newProgress(cmd.ErrOrStderr(), "stays", 0)
	sum, err := export.Write(cmd.Context(), f.out, f.cfg, export.Deps{
		Env: env, Native: native, MinGain: cfg.Agent.MinGain, Progress: func() { bar.add(1) },
		Rows: func() iter.Seq2[cohort.Row, error] { return cohort.Read(f.file) },
	})
	if err != nil {
		if errors.Is(err, export.ErrFile) {
			return fmt.Errorf("%w (hint: a larger cohort, --limit or --times, or another --split)", err)
		}
		return err
	}
	bar.finish()
	if f.asJSON {
		return printJSON(cmd.OutOrStdout(), sum)
	}
	return printExport(cmd.OutOrStdout(), f.out, &sum)
}

func printExport(w io.Writer, out string, sum *export.Summary) error {
	_, err := fmt.Fprintf(w, "%s: %d lines of stage %d, %d patients, %d stays, %d decision times; %d bytes, about %d tokens, at most %d in a line\n",
		out, sum.Lines, sum.Stage, sum.Patients, sum.Stays, sum.Times, sum.Bytes, sum.Tokens, sum.MostTokens)
	for _, kind := range slices.Sorted(maps.Keys(sum.Kinds)) {
		_, e := fmt.Fprintf(w, "  %s: %d\n", kind, sum.Kinds[kind])
		err = errors.Join(err, e)
	}
	for _, why := range slices.Sorted(maps.Keys(sum.LeftOut)) {
		_, e := fmt.Fprintf(w, "  left out, %s: %d\n", why, sum.LeftOut[why])
		err = errors.Join(err, e)
	}
	return err
}

// examine checks a file.
func (f *curriculumExportFlags) examine(w io.Writer) error {
	if !slices.Contains(export.Formats, f.cfg.Format) {
		return misuse("--format: want one of %v", export.Formats)
	}
	in, err := os.Open(f.check)
	if err != nil {
		return err
	}
	defer in.Close()
	n, err := export.CheckFile(f.cfg.Format, in)
	if err != nil {
		return fmt.Errorf("%s: %w", f.check, err)
	}
	if f.asJSON {
		return printJSON(w, n)
	}
	_, err = fmt.Fprintf(w, "%s: %d lines of %s, %d bytes, about %d tokens, at most %d in a line\n", f.check, n.Lines, f.cfg.Format, n.Bytes, n.Tokens, n.MostTokens)
	return err
}
