// SPDX-License-Identifier: Apache-2.0

package main

// This file: `rules list` and `rules test`.

import (
	"fmt"
	"io/fs"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/policy"
)

// loadRules loads the embedded packs and a site's own beside them.
func loadRules(site []string) (*policy.Pack, error) {
	names, err := fs.Glob(configs.FS, "rules/*.yaml")
	if err != nil {
		return nil, err
	}
	fsys, more := beside(configs.FS, "rules", site)
	return policy.Load(fsys, append(names, more...)...)
}

func rulesList() *cobra.Command {
	var config string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List every rule with its effect, strength and source", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(config, os.Environ())
			if err != nil {
				return err
			}
			pack, err := loadRules(cfg.Files.Rules)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return printJSON(out, map[string]any{"hash": pack.Hash(), "packs": pack.Packs(), "rules": pack.Rules()})
			}
			w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "RULE\tEFFECT\tSTRENGTH\tTITLE\tSOURCE")
			for _, r := range pack.Rules() {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.ID, r.Effect, r.Strength, r.Title, r.Source)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			_, err = fmt.Fprintf(out, "\n%d rules, hash %s\n", len(pack.Rules()), pack.Hash())
			return err
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "configuration file")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func rulesTest() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "test [FILE...]", Short: "Run the test cases that stand beside each rule", Args: cobra.ArbitraryArgs,
		Long: "Run the test cases that stand beside each rule: of the embedded packs, or of the files given alone.",
		RunE: func(cmd *cobra.Command, files []string) error {
			var pack *policy.Pack
			var err error
			if len(files) == 0 {
				pack, err = loadRules(nil)
			} else {
				fsys, names := beside(configs.FS, "rules", files)
				pack, err = policy.Load(fsys, names...)
			}
			if err != nil {
				return err
			}
			report, err := pack.Test()
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), report)
			} else {
				err = printRuleReport(cmd, report)
			}
			if err == nil && !report.OK() {
				return errQuiet
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func printRuleReport(cmd *cobra.Command, report policy.Report) error {
	out := cmd.OutOrStdout()
	for _, f := range report.Failures {
		fmt.Fprintf(out, "FAIL %s: %s: want %s, got %s\n", f.Rule, f.Case, f.Want, f.Got)
	}
	for _, id := range report.Uncovered {
		fmt.Fprintf(out, "FAIL %s: needs a case that fires and one that is silent\n", id)
	}
	_, err := fmt.Fprintf(out, "%d rules, %d cases, %d failures\n", report.Rules, report.Cases, len(report.Failures)+len(report.Uncovered))
	return err
}
