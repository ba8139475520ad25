// SPDX-License-Identifier: Apache-2.0

package main

// This file: `rules list` and `rules test`.

import (
	"errors"
	"fmt"
	"io"
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
	var asJSON, asMarkdown bool
	cmd := &cobra.Command{
		Use: "list", Short: "List every rule with its effect, strength and source", Args: noArgs,
		Long: "List every rule with its effect, strength and source, as the configuration leaves it: what a site\n" +
			"changed or switched off is listed with its reason. --markdown prints docs/rules.md.",
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
			switch {
			case asJSON:
				return printJSON(out, map[string]any{
					"hash": pack.Hash(), "packs": pack.Packs(), "rules": pack.Rules(), "off": orEmpty(pack.Off()),
					"limits": policy.HardLimits(), "facts": policy.Facts(),
				})
			case asMarkdown:
				return writeRulesPage(out, pack)
			}
			return printRules(out, pack)
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "configuration file")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.Flags().BoolVar(&asMarkdown, "markdown", false, "print the page docs/rules.md")
	cmd.MarkFlagsMutuallyExclusive("json", "markdown")
	return cmd
}

func printRules(out io.Writer, pack *policy.Pack) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RULE\tEFFECT\tSTRENGTH\tTITLE\tSOURCE")
	for _, r := range pack.Rules() {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.ID, r.Effect, r.Strength, r.Title, r.Source)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, r := range pack.Rules() {
		if o := r.Override; o != nil {
			fmt.Fprintf(out, "\n%s is changed by %s: %s (%s)", r.ID, o.Pack, o.Reason, o.By)
		}
	}
	for _, r := range pack.Off() {
		fmt.Fprintf(out, "\n%s is switched off by %s: %s (%s)", r.ID, r.Override.Pack, r.Override.Reason, r.Override.By)
	}
	_, err := fmt.Fprintf(out, "\n%d rules and %d hard limits, hash %s\n", len(pack.Rules()), len(policy.HardLimits()), pack.Hash())
	return err
}

func rulesTest() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "test [FILE...]", Short: "Run the test cases and the linter over rules", Args: cobra.ArbitraryArgs,
		Long: "Run the test cases that stand beside each rule, count which branches of every expression they take, and\n" +
			"lint: of the embedded packs, or of the files given. A file that overrides or opposes rules of the embedded\n" +
			"packs is tested together with them. Fails when a case comes out otherwise, when a branch was never taken,\n" +
			"or when the linter finds something.",
		RunE: func(cmd *cobra.Command, files []string) error {
			pack, err := rulesToTest(files)
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
				err = printRuleReport(cmd.OutOrStdout(), report)
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

func rulesToTest(files []string) (*policy.Pack, error) {
	if len(files) == 0 {
		return loadRules(nil)
	}
	fsys, names := beside(configs.FS, "rules", files)
	pack, err := policy.Load(fsys, names...)
	if errors.Is(err, policy.ErrNotAlone) {
		return loadRules(files)
	}
	return pack, err
}

func printRuleReport(out io.Writer, report policy.Report) error {
	for _, f := range report.Failures {
		fmt.Fprintf(out, "FAIL %s: rule %s: %s: want %s, got %s\n", f.At, f.Rule, f.Case, f.Want, f.Got)
	}
	for _, b := range report.Uncovered {
		fmt.Fprintf(out, "FAIL %s: rule %s: no case in which %s (in %s) is %v\n", b.At, b.Rule, b.Expression, b.In, b.Never)
	}
	for _, f := range report.Findings {
		fmt.Fprintf(out, "LINT %s\n", f)
	}
	_, err := fmt.Fprintf(out, "%d rules, %d cases, %d failures; %d of %d branches taken (%.1f %%); %d findings\n",
		report.Rules, report.Cases, len(report.Failures), report.Covered, report.Branches, report.Percent(), len(report.Findings))
	return err
}
