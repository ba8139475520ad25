// SPDX-License-Identifier: Apache-2.0

package main

// This file: `audit export`, and checking what it wrote. Who took what out of
// the log is recorded in it before anything is written, and the digest of the
// file after.

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/export"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
	"github.com/sepsisagent/sepsisagent/cdshooks"
)

// exported is what `audit export --json` prints, and what the log keeps of it.
type exported struct {
	Format  export.Format `json:"format"`
	Records int           `json:"records"` // of hti1: cards
	SHA256  string        `json:"sha256"`  // of what was written
	Proofs  bool          `json:"proofs,omitempty"`
	File    string        `json:"file,omitempty"`
}

func auditExport() *cobra.Command {
	var f auditFlags
	var q questionFlags
	var format, out string
	var proofs, withoutBodies bool
	cmd := &cobra.Command{
		Use: "export", Short: "Write records as CSV, NDJSON, Parquet, FHIR or HTI-1 feedback data", Args: noArgs,
		Long: "Write the records that match every flag given, oldest first: csv and parquet as a table, ndjson with all that\n" +
			"was hashed, fhir as AuditEvent and Provenance (R4, one resource a line), hti1 as the feedback data of 45 CFR\n" +
			"170.315(b)(11), one row for each card shown. Who exported what is recorded in the log, with the file's digest.\n" +
			"With --proofs each line of ndjson can be checked by `sepsisagent audit verify --export FILE --public-key KEY`.\n" +
			"A file holds what the log holds about patients: keep it as you keep the log.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			e := exporting{format: export.Format(format), proofs: proofs, withoutBodies: withoutBodies, all: !cmd.Flags().Changed("limit")}
			switch {
			case !slices.Contains(export.Formats(), e.format):
				return misuse("--format is one of %v", export.Formats())
			case proofs && (e.format != export.NDJSON || withoutBodies):
				return misuse("--proofs is for ndjson with bodies")
			case f.json && out == "":
				return misuse("--json needs --out")
			}
			q.q.OldestFirst = true
			asked, err := q.resolve()
			if err != nil {
				return err
			}
			a, err := f.resolve()
			if err != nil {
				return err
			}
			cfg, err := loadConfig(f.config, os.Environ())
			if err != nil {
				return err
			}
			if e.log, err = openAudit(cmd.Context(), a); err != nil {
				return err
			}
			defer e.log.Close()
			if e.filter, err = asked.Filter(cmd.Context(), e.log); err != nil {
				return err
			}
			e.site = export.Site{Log: e.log.Verifier().Name(), URL: cfg.CDSHooks.PublicURL}
			if out == "" {
				_, err := e.write(cmd.Context(), cmd.OutOrStdout())
				return err
			}
			var done exported
			err = writeNewBy(out, func(w io.Writer) error {
				done, err = e.write(cmd.Context(), w)
				return err
			})
			if err != nil {
				return err
			}
			done.File = out
			if f.json {
				return printJSON(cmd.OutOrStdout(), done)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d exported to %s, SHA-256 %s\n", done.Records, done.File, done.SHA256)
			return err
		},
	}
	f.register(cmd)
	q.registerLimited(cmd)
	cmd.Flags().StringVar(&format, "format", string(export.NDJSON), "csv, ndjson, parquet, fhir or hti1")
	cmd.Flags().StringVar(&out, "out", "", "new file (default: standard output)")
	cmd.Flags().BoolVar(&proofs, "proofs", false, "ndjson: prove of each record that it is in the signed tree")
	cmd.Flags().BoolVar(&withoutBodies, "without-bodies", false, "leave out what was stored of each call: index and hashes alone")
	return cmd
}

// exporting is one export.
type exporting struct {
	log                        *sqllog.Log
	site                       export.Site
	format                     export.Format
	filter                     audit.Filter
	all, proofs, withoutBodies bool
	until                      int64 // records from this on are newer than the export
}

// write records the export, writes it and records its digest.
func (e *exporting) write(ctx context.Context, w io.Writer) (exported, error) {
	var err error
	if e.until, err = e.log.Size(ctx); err != nil {
		return exported{}, err
	}
	if err := recordReading(ctx, e.log, "audit export", "", map[string]any{"format": e.format, "filter": e.filter, "proofs": e.proofs, "without_bodies": e.withoutBodies}); err != nil {
		return exported{}, err
	}
	events := e.events(ctx, e.filter)
	if e.format == export.HTI1 {
		events = e.feedback(ctx)
	}
	sum := sha256.New()
	done := exported{Format: e.format, Proofs: e.proofs}
	if done.Records, err = export.Write(io.MultiWriter(w, sum), e.format, e.site, events); err != nil {
		return done, err
	}
	done.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return done, recordReading(ctx, e.log, "audit export written", "", done)
}

// events are the records that match, with their bodies, as they were before this
// export began.
func (e *exporting) events(ctx context.Context, filter audit.Filter) iter.Seq2[export.Event, error] {
	if e.all {
		filter.Limit = audit.MaxLimit
	}
	return func(yield func(export.Event, error) bool) {
		for {
			rows, err := e.log.Query(ctx, filter)
			if err != nil {
				yield(export.Event{}, err)
				return
			}
			for _, row := range rows {
				if row.Leaf >= e.until {
					return
				}
				event, err := e.event(ctx, row)
				if errors.Is(err, audit.ErrErased) {
					continue // since the page was read
				}
				if !yield(event, err) || err != nil {
					return
				}
			}
			if !e.all || len(rows) < filter.PageSize() {
				return
			}
			filter.After = &rows[len(rows)-1].Leaf
		}
	}
}

// event reads one record whole.
func (e *exporting) event(ctx context.Context, row audit.Row) (export.Event, error) {
	if e.withoutBodies {
		return export.Event{Record: audit.Record{Row: row}}, nil
	}
	record, err := e.log.Get(ctx, row.Index.ID)
	if err != nil {
		return export.Event{}, err
	}
	event, err := export.Read(record)
	if err != nil || !e.proofs {
		return event, err
	}
	proof, err := e.log.ProveInclusion(ctx, record.Leaf)
	event.Proof = &proof
	return event, err
}

// feedback are the decisions that match and showed a card, then what was said of
// them, whenever that came, and what was said in that time of cards that the log
// does not know.
func (e *exporting) feedback(ctx context.Context) iter.Seq2[export.Event, error] {
	return func(yield func(export.Event, error) bool) {
		shown, asked := true, map[string]bool{}
		decisions := e.filter
		decisions.Kind, decisions.Shown = cdshooks.KindDecision, &shown
		for event, err := range e.events(ctx, decisions) {
			if err == nil {
				asked[event.Index.ID] = true
			}
			if !yield(event, err) || err != nil {
				return
			}
		}
		said := audit.Filter{Kind: cdshooks.KindFeedback, Client: e.filter.Client, Since: e.filter.Since, OldestFirst: true}
		e.all = true
		for event, err := range e.events(ctx, said) {
			x := event.Index
			orphan := x.Refers == "" && e.orphans() && (e.filter.Until.IsZero() || x.Time.Before(e.filter.Until))
			if err == nil && !asked[x.Refers] && !orphan {
				continue
			}
			if !yield(event, err) || err != nil {
				return
			}
		}
	}
}

// orphans says whether the selection is of times and clients alone, and so may
// hold feedback of which nothing else is known.
func (e *exporting) orphans() bool {
	f := e.filter
	f.Since, f.Until, f.Client, f.Limit, f.OldestFirst = audit.Filter{}.Since, audit.Filter{}.Until, "", 0, false
	return reflect.DeepEqual(f, audit.Filter{Kind: f.Kind}) && (f.Kind == "" || f.Kind == cdshooks.KindFeedback)
}

// writeNewBy writes a file that must not be there yet, whole or not at all. Only
// its owner can read it.
func writeNewBy(path string, write func(io.Writer) error) error {
	if _, err := os.Lstat(path); err == nil {
		return misuse("%s is there already", path)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".export-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if err := errors.Join(write(tmp), tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Link(tmp.Name(), path); err != nil { // unlike a rename it replaces nothing
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// verifyExport checks an NDJSON export with the public key alone.
func verifyExport(cmd *cobra.Command, file string, v *audit.Verifier, asJSON bool) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	c, err := export.Verify(in, v)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	switch {
	case asJSON:
		err = printJSON(out, c)
	case !c.OK:
		_, err = fmt.Fprintf(out, "NOT OK: line %d (%s): %s\n", c.BadLine, c.BadID, c.Problem)
	default:
		of := "a selection: what was left out of it, this cannot tell"
		if c.Whole {
			of = "none is missing before the last"
		}
		_, err = fmt.Fprintf(out, "ok: %d records in the signed tree of %d, %d with contents as they were hashed; %s\n", c.Records, c.Size, c.Contents, of)
		if err == nil {
			err = printErased(out, c.Erased)
		}
	}
	if err == nil && !c.OK {
		err = errQuiet
	}
	return err
}

// mostErased is how many erased records are named; --json names all.
const mostErased = 50

// printErased names the records that lines of an export say were erased.
func printErased(out io.Writer, erased []export.ErasedRecord) error {
	if len(erased) == 0 {
		return nil
	}
	if _, err := fmt.Fprintf(out, "%d records of this log were erased:\n", len(erased)); err != nil {
		return err
	}
	for _, e := range erased[:min(len(erased), mostErased)] {
		here := ""
		if e.Here {
			here = "; THIS FILE HOLDS IT STILL"
		}
		if _, err := fmt.Fprintf(out, "  record %d (%s) on %s, recorded by %s%s\n", e.Leaf, e.ID, e.Time.UTC().Format(time.RFC3339), e.Receipt, here); err != nil {
			return err
		}
	}
	if more := len(erased) - mostErased; more > 0 {
		_, err := fmt.Fprintf(out, "  and %d more (hint: --json names all)\n", more)
		return err
	}
	return nil
}
