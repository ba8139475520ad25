// SPDX-License-Identifier: Apache-2.0

package main

// This file: `evaluate icu-sepsis`. What is compared is in engine/learn
// (truth.go); the document is in evaluate_icusepsis_document.go.

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/engine/learn"
	"github.com/sepsisagent/sepsisagent/engine/learn/icusepsis"
)

// truthFlags are the flags of `evaluate icu-sepsis`.
type truthFlags struct {
	tables, figures    string
	episodes           []int
	methods            []string
	seed               uint64
	repeat, deepRepeat int
	estimateRepeat     int
	asJSON, markdown   bool
}

func evaluateICUSepsis() *cobra.Command {
	var f truthFlags
	cmd := &cobra.Command{
		Use: "icu-sepsis", Short: "Learn and estimate where the truth is known", Args: noArgs,
		Long: "Log clinicians' stays from ICU-Sepsis, learn a policy from them alone by every method, and print what\n" +
			"each is worth by the tables, what off-policy estimators say of it on as many other stays, and whether\n" +
			"their intervals hold the truth. The tables are those of Choudhary et al. (arXiv 2406.05646).",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := require(cmd, "tables"); err != nil {
				return err
			}
			switch {
			case len(f.episodes) == 0 || slices.Min(f.episodes) < learn.LeastTruthEpisodes:
				return misuse("--episodes wants %d or more", learn.LeastTruthEpisodes)
			case f.repeat < 1 || f.deepRepeat < 0 || f.deepRepeat > f.repeat || f.estimateRepeat < 0 || f.estimateRepeat > f.repeat:
				return misuse("--repeat wants 1 or more, --deep-repeat and --estimate-repeat at most --repeat")
			case len(f.episodes) > 1 && f.asJSON:
				return misuse("--json prints one object: one number of --episodes")
			}
			return f.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&f.tables, "tables", "", "folder of the ICU-Sepsis tables (required)")
	cmd.Flags().IntSliceVar(&f.episodes, "episodes", []int{1000}, "logged stays to learn from; several numbers, divided by commas, for --markdown")
	cmd.Flags().Uint64Var(&f.seed, "seed", 1, "seed of the first log; repetition r uses seed+r")
	cmd.Flags().IntVar(&f.repeat, "repeat", 1, "how many logs to draw")
	cmd.Flags().IntVar(&f.deepRepeat, "deep-repeat", 0, "on how many of them to fit networks, which take longer; 0 is all")
	cmd.Flags().IntVar(&f.estimateRepeat, "estimate-repeat", 0, "on how many of them to make estimates; 0 is all")
	cmd.Flags().StringSliceVar(&f.methods, "methods", nil, "methods, divided by commas (default all: "+strings.Join(learn.TruthMethods(), ",")+")")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print one JSON object")
	cmd.Flags().BoolVar(&f.markdown, "markdown", false, "print docs/icu-sepsis.md")
	cmd.Flags().StringVar(&f.figures, "figures", "", "folder to write the figures to; the document links to it by its last two names")
	cmd.MarkFlagsMutuallyExclusive("markdown", "json")
	return cmd
}

func (f *truthFlags) run(ctx context.Context, stdout, stderr io.Writer) error {
	tables, err := icusepsis.Read(f.tables)
	if err != nil {
		return err
	}
	var reports []*learn.TruthReport
	for _, n := range f.episodes {
		r, err := learn.MeasureTruth(ctx, learn.TruthOptions{
			Tables: tables, Episodes: n, Seed: f.seed, Repeat: f.repeat, DeepRepeat: f.deepRepeat, EstimateRepeat: f.estimateRepeat, Methods: f.methods,
			Progress: func(seed uint64, method string, done, of int) {
				fmt.Fprintf(stderr, "%d stays, seed %d: %s (%d of %d)\n", n, seed, method, done+1, of)
			},
		})
		if err != nil {
			return err
		}
		reports = append(reports, r)
	}
	drawn := truthPictures(reports)
	if f.figures != "" {
		if err := writeFigures(f.figures, "icu-sepsis-", drawn, 0o644); err != nil {
			return err
		}
	}
	switch {
	case f.asJSON:
		return printJSON(stdout, reports[0])
	case f.markdown:
		d := truthDocument{reports: reports, pictures: drawn, figures: linkTo(f.figures)}
		_, err = stdout.Write(d.write())
		return err
	}
	for _, r := range reports {
		if err := printTruth(stdout, r); err != nil {
			return err
		}
	}
	return nil
}

// printTruth prints for a terminal.
func printTruth(w io.Writer, r *learn.TruthReport) error {
	fmt.Fprintf(w, "%d stays, seed %d, %d logs; random %s, clinicians %s, optimal %s\n\n", r.Episodes, r.Seed, r.Repeat,
		fourDigits(r.RandomValue), fourDigits(r.ClinicianValue), fourDigits(r.OptimalValue))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "method\texact value\tSD\tlogs\tWIS\tWPDIS\tDR\tFQE")
	for _, m := range r.Methods {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d", m.Name, fourDigits(m.ExactValue), fourDigits(m.SD), len(m.Values))
		for _, name := range truthEstimators {
			fmt.Fprintf(t, "\t%s", truthCell(m.Estimates[name]))
		}
		fmt.Fprintln(t)
	}
	fmt.Fprintln(t)
	return t.Flush()
}
