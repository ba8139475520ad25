// SPDX-License-Identifier: Apache-2.0

package main

// This file: `audit erase` and `audit hold`: what is removed from the log, by whom
// and why, and what must not be.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
)

// errNotVerified: nothing is erased from a log that does not verify.
var errNotVerified = errors.New("the log does not verify, so nothing is erased from it (hint: run `sepsisagent audit verify`; what is wrong is evidence)")

// eraseFlags are the flags of `audit erase`.
type eraseFlags struct {
	sel       audit.Selection
	before    string
	retention bool
	why       audit.Why
	dry       bool
}

// plan gives the selections that the flags name, each in words.
func (f *eraseFlags) plan(a AuditConfig, now time.Time) (sels []audit.Selection, err error) {
	if f.retention {
		if f.sel.Patient != "" || f.sel.ID != "" || f.before != "" || f.sel.Kind != "" {
			return nil, misuse("--retention selects by the configuration; give no other selection")
		}
		if len(a.Retention) == 0 {
			return nil, misuse("--retention: the configuration has no audit.retention, so everything is kept")
		}
		for _, r := range a.Retention {
			sels = append(sels, audit.Selection{Before: now.AddDate(0, 0, -r.Days), Kind: r.Kind})
		}
		return sels, nil
	}
	if f.sel.Before, err = instant("before", f.before); err != nil {
		return nil, err
	}
	if f.sel.ID == "" {
		f.sel.Keep = stateKinds
	}
	if slices.Contains(stateKinds, f.sel.Kind) {
		return nil, misuse("--kind: the service reads its own state from records of kind %s", f.sel.Kind)
	}
	if err := f.sel.Validate(); err != nil {
		return nil, misuse("%v", err)
	}
	return []audit.Selection{f.sel}, nil
}

// erasureResult is what `audit erase --json` prints.
type erasureResult struct {
	DryRun bool `json:"dry_run"`
	audit.Erased
}

func auditErase() *cobra.Command {
	var f auditFlags
	var e eraseFlags
	cmd := &cobra.Command{
		Use: "erase", Short: "Remove records for good; the tree stays verifiable", Args: noArgs,
		Long: "Remove the records of one patient, one record, those before a time, or those that audit.retention no\n" +
			"longer keeps. Content, salt and search terms go; digests stay, so that proofs and `audit verify` hold as\n" +
			"before. The erasure is itself a record, which names operator, reason and record numbers and no patient.\n" +
			"What a legal hold covers is kept (`audit hold`). The whole log is verified first. Backups are not touched:\n" +
			"delete those that are older. In PostgreSQL the account must own the tables.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := f.resolve()
			if err != nil {
				return err
			}
			sels, err := e.plan(a, time.Now())
			if err != nil {
				return err
			}
			if err := e.why.Validate(); err != nil && !e.dry {
				return misuse("%v (hint: --operator and --reason; name no patient there)", err)
			}
			l, err := openAudit(cmd.Context(), a)
			if err != nil {
				return err
			}
			defer l.Close()
			out := erasureResult{DryRun: e.dry}
			if e.dry {
				err = recordReading(cmd.Context(), l, "audit erase --dry-run", "", sels[0].By())
			} else {
				err = mustVerify(cmd.Context(), l)
			}
			for _, sel := range sels {
				if err != nil {
					break
				}
				var one audit.Erased
				if e.dry {
					one, err = l.PlanErasure(cmd.Context(), sel)
				} else {
					one, err = l.Erase(cmd.Context(), sel, e.why)
				}
				out.add(one)
			}
			if err == nil && e.sel.Patient != "" && out.Records+out.Held == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "note: no record has this patient; a patient is found as the client called it, with or without Patient/ (hint: `sepsisagent audit query`)")
			}
			return errors.Join(out.print(cmd, f.json), err)
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&e.sel.Patient, "patient", "", "all records of a patient, as the client called it: Patient/id or id")
	cmd.Flags().StringVar(&e.sel.Client, "client", "", "with --patient: as this registered client knows it")
	cmd.Flags().StringVar(&e.sel.ID, "receipt", "", "one record, by id")
	cmd.Flags().StringVar(&e.before, "before", "", "all records before this time (RFC 3339 or date)")
	cmd.Flags().StringVar(&e.sel.Kind, "kind", "", "with --before: of this kind only")
	cmd.Flags().BoolVar(&e.retention, "retention", false, "what audit.retention of the configuration no longer keeps")
	cmd.Flags().BoolVar(&e.dry, "dry-run", false, "say what would be erased, and erase nothing")
	registerWhy(cmd, &e.why)
	return cmd
}

func registerWhy(cmd *cobra.Command, why *audit.Why) {
	cmd.Flags().StringVar(&why.Operator, "operator", "", "who does this; it is recorded")
	cmd.Flags().StringVar(&why.Reason, "reason", "", "why; it is recorded, so name no patient")
}

// mustVerify refuses to destroy anything in a log that is not what was signed.
func mustVerify(ctx context.Context, l *sqllog.Log) error {
	report, err := l.Verify(ctx)
	if err != nil {
		return err
	}
	if !report.OK {
		return errNotVerified
	}
	return nil
}

// add joins what one of several selections did.
func (r *erasureResult) add(one audit.Erased) {
	r.Records += one.Records
	r.Held += one.Held
	r.Receipts = append(r.Receipts, one.Receipts...)
	r.Remains = cmp.Or(r.Remains, one.Remains)
	if !one.Oldest.IsZero() && (r.Oldest.IsZero() || one.Oldest.Before(r.Oldest)) {
		r.Oldest = one.Oldest
	}
	if one.Newest.After(r.Newest) {
		r.Newest = one.Newest
	}
	for kind, n := range one.Kinds {
		if r.Kinds == nil {
			r.Kinds = map[string]int64{}
		}
		r.Kinds[kind] += n
	}
}

func (r *erasureResult) print(cmd *cobra.Command, asJSON bool) error {
	out := cmd.OutOrStdout()
	if asJSON {
		return printJSON(out, r)
	}
	word := "erased"
	if r.DryRun {
		word = "would be erased"
	}
	fmt.Fprintf(out, "%d records %s, %d kept by a legal hold\n", r.Records, word, r.Held)
	for _, kind := range slices.Sorted(maps.Keys(r.Kinds)) {
		fmt.Fprintf(out, "  %-12s %d\n", kind, r.Kinds[kind])
	}
	if r.Records > 0 {
		fmt.Fprintf(out, "from %s to %s\n", r.Oldest.Format(time.RFC3339), r.Newest.Format(time.RFC3339))
	}
	if len(r.Receipts) > 0 {
		fmt.Fprintf(out, "recorded as %s\n", strings.Join(r.Receipts, " "))
	}
	if r.Remains != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "note: erased bytes may still lie in %s\n", r.Remains)
	}
	return nil
}

func auditHold() *cobra.Command {
	return group("hold", "Keep records from being erased", holdAdd(), holdRelease(), holdList())
}

func holdAdd() *cobra.Command {
	var f auditFlags
	var h audit.Hold
	var all bool
	cmd := &cobra.Command{
		Use: "add", Short: "Place a legal hold on a patient, a record or the whole log", Args: noArgs,
		Long: "Place a legal hold. What it covers is not erased, whoever asks and whatever the retention says, until it\n" +
			"is released. Both are records of the log, and those are never erased.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case all:
				h.Topic = audit.HoldLog
			case h.Receipt != "":
				h.Topic = audit.HoldReceipt
			default:
				h.Topic = audit.HoldPatient
			}
			if err := h.Validate(); err != nil {
				return misuse("%v (hint: one of --patient, --receipt and --all, with --operator and --reason)", err)
			}
			return f.with(cmd, func(l *sqllog.Log) error {
				placed, err := l.PlaceHold(cmd.Context(), h)
				if err != nil {
					return err
				}
				if f.json {
					return printJSON(cmd.OutOrStdout(), placed)
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "hold %s is in force\n", placed.ID)
				return err
			})
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&h.Patient, "patient", "", "all records of a patient, as the client called it: Patient/id or id")
	cmd.Flags().StringVar(&h.Client, "client", "", "with --patient: as this registered client knows it")
	cmd.Flags().StringVar(&h.Receipt, "receipt", "", "one record, by id, and those that refer to it")
	cmd.Flags().BoolVar(&all, "all", false, "the whole log")
	registerWhy(cmd, &h.Why)
	return cmd
}

func holdRelease() *cobra.Command {
	var f auditFlags
	var why audit.Why
	cmd := &cobra.Command{
		Use: "release ID", Short: "End a legal hold",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return misuse("%s needs one hold id", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := why.Validate(); err != nil {
				return misuse("%v (hint: --operator and --reason)", err)
			}
			return f.with(cmd, func(l *sqllog.Log) error {
				if err := l.ReleaseHold(cmd.Context(), args[0], why); err != nil {
					return err
				}
				if f.json {
					return printJSON(cmd.OutOrStdout(), map[string]string{"released": args[0]})
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "hold %s is released\n", args[0])
				return err
			})
		},
	}
	f.register(cmd)
	registerWhy(cmd, &why)
	return cmd
}

func holdList() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List the legal holds in force", Args: noArgs,
		Long: "List the legal holds in force. The reading is itself recorded in the log.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.with(cmd, func(l *sqllog.Log) error {
				if err := recordReading(cmd.Context(), l, "audit hold list", "", "holds in force"); err != nil {
					return err
				}
				holds, err := l.Holds(cmd.Context())
				if err != nil {
					return err
				}
				if f.json {
					if holds == nil {
						holds = []audit.Hold{}
					}
					return printJSON(cmd.OutOrStdout(), map[string]any{"holds": holds})
				}
				return printHolds(cmd.OutOrStdout(), holds)
			})
		},
	}
	f.register(cmd)
	return cmd
}

func printHolds(out io.Writer, holds []audit.Hold) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "HOLD\tSINCE\tCOVERS\tOPERATOR\tREASON")
	for _, h := range holds {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", h.ID, h.Placed.Format(time.RFC3339), strings.TrimSpace(strings.Join([]string{h.Topic, h.Client, h.Patient, h.Receipt}, " ")), h.Operator, h.Reason)
	}
	return w.Flush()
}

// with opens the log that the flags name, for appending, and closes it after.
func (f *auditFlags) with(cmd *cobra.Command, do func(*sqllog.Log) error) error {
	a, err := f.resolve()
	if err != nil {
		return err
	}
	l, err := openAudit(cmd.Context(), a)
	if err != nil {
		return err
	}
	return errors.Join(do(l), l.Close())
}
