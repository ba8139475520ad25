// SPDX-License-Identifier: Apache-2.0

package main

// This file: `audit rates`: how often cards were accepted and overridden.

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks"
)

func auditRates() *cobra.Command {
	var f auditFlags
	var filter audit.Filter
	var since, until string
	cmd := &cobra.Command{
		Use: "rates", Short: "Count accepted and overridden cards by topic, unit, role and model", Args: noArgs,
		Long: "Count the calls in which a card was shown, and what clinicians did with it, by topic, unit, role of the user and\n" +
			"model. A card without feedback is unanswered, not rejected. The reading is itself recorded in the log.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if filter.Since, err = instant("since", since); err != nil {
				return err
			}
			if filter.Until, err = instant("until", until); err != nil {
				return err
			}
			if err := filter.Validate(); err != nil {
				return misuse("%v", err)
			}
			a, err := f.resolve()
			if err != nil {
				return err
			}
			l, err := openAudit(cmd.Context(), a)
			if err != nil {
				return err
			}
			defer l.Close()
			if err := recordReading(cmd.Context(), l, "audit rates", "", filter); err != nil {
				return err
			}
			rates, err := cdshooks.Rates(cmd.Context(), l, filter)
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd.OutOrStdout(), map[string]any{"rates": rates})
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "TOPIC\tUNIT\tROLE\tMODEL\tSHOWN\tACCEPTED\tOVERRIDDEN\tUNANSWERED")
			for _, r := range rates {
				fmt.Fprintf(w, "%s\t%s\t%s\t%.12s\t%d\t%d\t%d\t%d\n", r.Topic, r.Unit, r.Role, r.Model, r.Shown, r.Accepted, r.Overridden, r.Unanswered)
			}
			return w.Flush()
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&since, "since", "", "cards from this time on (RFC 3339 or date)")
	cmd.Flags().StringVar(&until, "until", "", "cards before this time (RFC 3339 or date)")
	cmd.Flags().StringVar(&filter.Client, "client", "", "registered client")
	cmd.Flags().StringVar(&filter.Unit, "unit", "", "hospital unit")
	cmd.Flags().StringVar(&filter.Topic, "topic", "", "topic of the card")
	cmd.Flags().StringVar(&filter.Model, "model", "", "hash of the model")
	return cmd
}
