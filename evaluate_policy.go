// SPDX-License-Identifier: Apache-2.0

package main

// This file: `evaluate policy`. What is counted is in engine/learn; how it is
// printed in evaluate_policy_document.go and evaluate_policy_cases.go.

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/learn"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// policyFlags are the flags of `evaluate policy`.
type policyFlags struct {
	cohort, model, config, figures string
	all, asJSON, markdown, values  bool
	stays, cases                   int
}

func evaluatePolicy() *cobra.Command {
	var f policyFlags
	cmd := &cobra.Command{
		Use: "policy", Short: "Ask what we would have advised in recorded stays, and what that may be worth", Args: noArgs,
		Long: "Decide every 4 h of every stay of a cohort, by the code that answers an EHR, and count: agreement with\n" +
			"clinicians, guideline adherence, hazards, doses over time, abstentions, cards per patient-day, a sweep of\n" +
			"thresholds, and off-policy estimates with their effective sample size. Patients who trained or chose the\n" +
			"model are left out (--all counts them too, and says so). Simulated patients count only where there are no\n" +
			"real ones. With a language model configured, what it would choose is one more policy; it is asked wherever\n" +
			"ours advises, so that the result is no longer a function of the files alone.\n\n" +
			"--cases N prints N cases instead, for a clinician to judge. Of real stays they are patients' data: print\n" +
			"them to a place that the data's licence allows.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := require(cmd, "cohort"); err != nil {
				return err
			}
			if f.stays < 0 || f.cases < 0 {
				return misuse("--stays and --cases must not be negative")
			}
			return f.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&f.cohort, "cohort", "", "Parquet file of `cohort build` (required)")
	cmd.Flags().StringVar(&f.model, "model", "", "folder of the model (default: files.model, else the embedded one)")
	cmd.Flags().StringVar(&f.config, "config", "", "configuration file")
	cmd.Flags().BoolVar(&f.all, "all", false, "count patients who trained or chose the model too; the numbers are then optimistic")
	cmd.Flags().IntVar(&f.stays, "stays", 0, "at most so many stays, chosen by their ids alone; 0 is all")
	cmd.Flags().IntVar(&f.cases, "cases", 0, "print so many single cases instead of the report")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print one JSON object")
	cmd.Flags().BoolVar(&f.markdown, "markdown", false, "print docs/policy.md")
	cmd.Flags().BoolVar(&f.values, "values", false, "print docs/evaluation.md")
	cmd.Flags().StringVar(&f.figures, "figures", "", "folder to write the figures to; the document links to it by its last two names")
	cmd.MarkFlagsMutuallyExclusive("markdown", "json", "cases", "values")
	return cmd
}

func (f *policyFlags) run(ctx context.Context, stdout, stderr io.Writer) error {
	cfg, err := loadConfig(f.config, os.Environ())
	if err != nil {
		return err
	}
	native := cfg
	native.LLM.BaseURL = ""
	r, err := openRooms(native, f.model)
	if err != nil {
		return err
	}
	opts, err := r.policyOptions(f, stderr)
	if err != nil {
		return err
	}
	if cfg.LLM.Enabled() {
		asks, err := openRooms(cfg, f.model)
		if err != nil {
			return err
		}
		defer asks.close()
		opts.Others = append(opts.Others, learn.DeciderCandidate(ctx, learn.PolicyLLM, asks.decider))
	}
	e, err := learn.EvaluatePolicies(ctx, cohort.Read(f.cohort), opts)
	if err != nil {
		return err
	}
	if f.cases > 0 {
		return r.printCases(ctx, stdout, e, f)
	}
	d := policyDocument{e: e, info: r.model.Info(), pictures: policyPictures(e), figures: linkTo(f.figures), prefix: "policy-"}
	if f.values {
		d.pictures, d.prefix = valuePictures(e), "evaluation-"
	}
	if f.figures != "" {
		if err := writeFigures(f.figures, d.prefix, d.pictures, 0o644); err != nil {
			return err
		}
	}
	switch {
	case f.asJSON:
		return printJSON(stdout, e)
	case f.markdown:
		_, err = stdout.Write(d.write())
		return err
	case f.values:
		_, err = stdout.Write(d.writeValues())
		return err
	}
	return printPolicy(stdout, e)
}

// policyOptions wires the rooms to the evaluation.
func (r *rooms) policyOptions(f *policyFlags, stderr io.Writer) (learn.PolicyOptions, error) {
	opts := learn.PolicyOptions{
		Decider: r.decider, Engine: r.cfg.Engine, Hashes: r.hashes, Model: r.model, Judge: r.rules,
		Stays: f.stays, Cases: f.cases,
	}
	if !f.all {
		stored, ok := r.model.(scoredModel)
		if !ok {
			return opts, fmt.Errorf("%w: the patients it was trained on are not known (hint: --all counts every patient)", world.ErrNotScored)
		}
		opts.Known = knows(stored.Record())
	}
	if a := r.actor; a != nil {
		if model, trained := opts.Known, a.Record().Patients; model != nil {
			opts.Known = func(patient string) bool { return model(patient) || listed(trained, patient) }
		}
		opts.Others = append(opts.Others, learn.Candidate{Name: learn.PolicyActor, Probabilities: a.Probabilities})
	}
	opts.Others = append(opts.Others, learn.RuleCandidate(r.cfg.State, r.rules))
	fitted, encoder, err := openBaselines(r.model, cmp.Or(f.model, r.cfg.Files.Model))
	if err != nil {
		return opts, err
	}
	opts.Others = append(opts.Others, learn.BaselineCandidates(fitted, encoder)...)
	var bar *progress
	opts.Progress = func(done, of int) {
		if bar == nil {
			bar = newProgress(stderr, "stays", int64(of))
		}
		bar.add(1)
		if done == of {
			bar.finish()
		}
	}
	return opts, nil
}

// knows tells who trained or chose a model.
func knows(record *world.TrainingRecord) func(patient string) bool {
	return func(patient string) bool { return listed(record.Patients, patient) }
}

// listed tells whether a patient is in a sorted list of hashes.
func listed(hashes []string, patient string) bool {
	_, found := slices.BinarySearch(hashes, cohort.PatientHash(patient))
	return found
}

// linkTo is how a document names its folder of figures: it lies beside or one
// below the document.
func linkTo(dir string) string {
	if dir == "" {
		return ""
	}
	base := filepath.Base(dir)
	if above := filepath.Base(filepath.Dir(filepath.Clean(dir))); above == "figures" {
		return above + "/" + base
	}
	return base
}

// writeFigures writes each figure into dir, which is made if needed.
func writeFigures(dir, prefix string, all []picture, mode os.FileMode) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	for _, p := range all {
		if err := os.WriteFile(filepath.Join(dir, prefix+p.name+".svg"), p.svg, mode); err != nil {
			return fmt.Errorf("write figures: %w", err)
		}
	}
	return nil
}
