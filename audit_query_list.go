// SPDX-License-Identifier: Apache-2.0

package main

// This file: `audit query`: entries by every filter, and recalls.

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/query"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
)

// questionFlags are the filters of a question.
type questionFlags struct {
	q                   query.Query
	since, until, shown string
}

func (f *questionFlags) register(cmd *cobra.Command) {
	for _, s := range []struct {
		into        *string
		name, usage string
	}{
		{&f.q.Patient, "patient", "patient, as the client calls it"},
		{&f.q.Encounter, "encounter", "encounter, as the client calls it"},
		{&f.q.Clinician, "user", "clinician, as Practitioner/id"},
		{&f.q.Client, "client", "registered client"},
		{&f.q.Unit, "unit", "hospital unit"},
		{&f.q.Kind, "kind", "decision, feedback, refusal, failure, config, display, calibration, batch or read"},
		{&f.q.Outcome, "outcome", strings.Join(query.Outcomes(), ", ")},
		{&f.q.Reason, "reason", "code of an abstention, refusal, failure or override"},
		{&f.q.Drug, "drug", "drug, by ingredient"},
		{&f.q.Rule, "rule", "rule that spoke, by id"},
		{&f.q.Card, "card", "card or suggestion, by uuid"},
		{&f.q.Topic, "topic", "topic of the card"},
		{&f.q.Model, "model", "model: its hash, the beginning of it, or its version"},
		{&f.q.Rules, "rules-hash", "hash of the rules, or the beginning of it"},
		{&f.q.CodeMaps, "code-maps", "hash of the code maps, or the beginning of it"},
		{&f.q.Refers, "refers", "entries about this one, e.g. feedback on a decision"},
		{&f.q.HookCall, "hook-instance", "hookInstance of the call"},
		{&f.q.Request, "request", "request id"},
		{&f.since, "since", "from this time on (RFC 3339 or date)"},
		{&f.until, "until", "before this time (RFC 3339 or date)"},
		{&f.shown, "shown", "true or false: was a card returned"},
	} {
		cmd.Flags().StringVar(s.into, s.name, "", s.usage)
	}
	cmd.Flags().BoolVar(&f.q.OldestFirst, "oldest-first", false, "oldest first")
}

// registerLimited adds the flags of a command that goes through all that match,
// or as many as a limit says.
func (f *questionFlags) registerLimited(cmd *cobra.Command) {
	f.register(cmd)
	cmd.Flags().IntVar(&f.q.Limit, "limit", 0, "at most this many (default: all)")
}

// resolve reads the flags that are not plain text.
func (f *questionFlags) resolve() (query.Query, error) {
	var err error
	if f.q.Since, err = instant("since", f.since); err != nil {
		return query.Query{}, err
	}
	if f.q.Until, err = instant("until", f.until); err != nil {
		return query.Query{}, err
	}
	switch f.shown {
	case "":
	case "true", "false":
		yes := f.shown == "true"
		f.q.Shown = &yes
	default:
		return query.Query{}, misuse("--shown is true or false, not %q", f.shown)
	}
	if err := f.q.Validate(); err != nil {
		return query.Query{}, misuse("%v", err)
	}
	return f.q, nil
}

func auditQuery() *cobra.Command {
	var f auditFlags
	var q questionFlags
	var limit int
	var cursor string
	var all, patients bool
	cmd := &cobra.Command{
		Use: "query", Short: "List records by patient, user, drug, rule, model, outcome, time and more", Args: noArgs,
		Long: "List records that match every flag given, newest first. With --patients, a recall: the patients that the\n" +
			"records are about, each once, e.g. everybody who was advised by a model. The reading is itself recorded\n" +
			"in the log.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q.q.Cursor = cursor
			asked, err := q.resolve()
			if err != nil {
				return err
			}
			if limit < 1 || all && cmd.Flags().Changed("limit") {
				return misuse("--limit is at least 1, and --all has none")
			}
			if all {
				limit = 0
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
			if patients {
				return printRecall(cmd, l, asked, limit, f.json)
			}
			return printQuery(cmd, l, asked, limit, f.json)
		},
	}
	f.register(cmd)
	q.register(cmd)
	cmd.Flags().IntVar(&limit, "limit", audit.DefaultLimit, "at most this many")
	cmd.Flags().BoolVar(&all, "all", false, "all of them")
	cmd.Flags().StringVar(&cursor, "cursor", "", "go on where the answer before ended")
	cmd.Flags().BoolVar(&patients, "patients", false, "list the patients that the records are about")
	return cmd
}

// gather asks for pages until there are limit items (0: all), and gives the cursor
// of what is left. page says how many items it added.
func gather(q query.Query, limit int, page func(query.Query) (added int, next string, err error)) (string, error) {
	for have := 0; ; {
		q.Limit = audit.MaxLimit
		if limit > 0 {
			q.Limit = min(limit-have, audit.MaxLimit)
		}
		added, next, err := page(q)
		if err != nil {
			return "", err
		}
		have += added
		if next == "" || limit > 0 && have >= limit {
			return next, nil
		}
		q.Cursor = next
	}
}

// recordQuestion appends who asked what and how many it found.
func recordQuestion(ctx context.Context, l *sqllog.Log, command string, q query.Query, found int) error {
	return recordReading(ctx, l, command, "", map[string]any{"question": q, "found": found})
}

func printQuery(cmd *cobra.Command, l *sqllog.Log, q query.Query, limit int, asJSON bool) error {
	rows := []audit.Row{}
	next, err := gather(q, limit, func(q query.Query) (int, string, error) {
		page, err := query.Run(cmd.Context(), l, q)
		rows = append(rows, page.Entries...)
		return len(page.Entries), page.Next, err
	})
	if err != nil {
		return err
	}
	if err := recordQuestion(cmd.Context(), l, "audit query", q, len(rows)); err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), query.Page{Entries: rows, Next: next})
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RECORD\tTIME\tKIND\tOUTCOME\tREASONS\tPATIENT\tUSER\tRULES\tID")
	for _, r := range rows {
		x := r.Index
		status := cmp.Or(x.Status, x.Outcome)
		if status == "" && x.HTTP != 0 {
			status = fmt.Sprint(x.HTTP)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Leaf, x.Time.Format(time.RFC3339), x.Kind, status,
			strings.Join(x.Reasons, " "), x.Patient, x.User, strings.Join(x.Rules, " "), x.ID)
	}
	return finishList(cmd, w, next)
}

// finishList ends a table and says how to go on.
func finishList(cmd *cobra.Command, w *tabwriter.Writer, next string) error {
	if err := w.Flush(); err != nil {
		return err
	}
	if next != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "more: --cursor %s\n", next)
	}
	return nil
}

func printRecall(cmd *cobra.Command, l *sqllog.Log, q query.Query, limit int, asJSON bool) error {
	patients := []query.Affected{}
	next, err := gather(q, limit, func(q query.Query) (int, string, error) {
		page, err := query.Recall(cmd.Context(), l, q)
		patients = append(patients, page.Patients...)
		return len(page.Patients), page.Next, err
	})
	if err != nil {
		return err
	}
	if err := recordQuestion(cmd.Context(), l, "audit query --patients", q, len(patients)); err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), query.Recalled{Patients: patients, Next: next})
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PATIENT\tCLIENT\tRECORDS\tSHOWN\tFIRST\tLAST")
	for _, p := range patients {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%s\n", p.Patient, p.Client, p.Entries, p.Shown, p.First.Format(time.RFC3339), p.Last.Format(time.RFC3339))
	}
	return finishList(cmd, w, next)
}
