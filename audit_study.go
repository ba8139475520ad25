// SPDX-License-Identifier: Apache-2.0

package main

// This file: what another model would have said, for a terminal and for the
// signed record of `model accept`.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/cdshooks/validation"
)

// studyText is a study as it is kept in a file: its digest is what a record
// signs.
func studyText(s *cdshooks.Study) ([]byte, error) {
	text, err := json.MarshalIndent(s, "", "  ")
	return append(text, '\n'), err
}

// printStudy prints what would have been said otherwise. That something would is
// no failure; that a decision cannot be made again is.
func (s replaySummary) printStudy(cmd *cobra.Command, asJSON bool) error {
	out := cmd.OutOrStdout()
	if asJSON {
		if s.Replayed != 1 {
			s.Reports = []cdshooks.ReplayReport{} // with another model every number differs
		}
		s.OK = s.Study.Unmade == 0
		if err := printJSON(out, s); err != nil {
			return err
		}
	} else if err := printStudy(out, s.Study); err != nil {
		return err
	}
	if s.Study.Unmade > 0 {
		return errQuiet
	}
	return nil
}

func printStudy(w io.Writer, s *cdshooks.Study) error {
	fmt.Fprintf(w, "%d decisions made again with model %.12s: %d identical, %d say the same with other numbers, %d say something else, %d could not be made\n",
		s.Replayed, s.With.Model, s.Identical, s.Alike, s.Changed, s.Unmade)
	if s.Rates.Both > 0 {
		fmt.Fprintf(w, "next rate, where the same is advised (%d): %d higher, %d lower, largest change %+.3f ug/kg/min\n", s.Rates.Both, s.Rates.Higher, s.Rates.Lower, s.Rates.Largest)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(s.Shifts) > 0 {
		fmt.Fprintln(t, "CHANGED\tWAS\tNOW\tDECISIONS")
	}
	for _, x := range s.Shifts {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\n", x.What, x.Was, x.Now, x.Count)
	}
	if len(s.Examples) > 0 {
		fmt.Fprintln(t, "EXAMPLE\tWAS\tNOW\t")
	}
	for _, e := range s.Examples {
		fmt.Fprintf(t, "%s\t%s: %s\t%s: %s\t\n", e.ID, e.Was.Status, e.Was.Advice, e.Now.Status, e.Now.Advice)
	}
	return t.Flush()
}

// errStudy: the file is no report of a replay, or of something else than is
// accepted.
var errStudy = errors.New("the replay report cannot be used")

// readReplayed reads a report that `audit replay --report` wrote, and says what of
// it goes into a record: it must be of exactly what is accepted.
func readReplayed(path string, covers validation.Covers) (*cdshooks.Study, *validation.Replay, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	var s cdshooks.Study
	if err := dec.Decode(&s); err != nil || s.Schema != cdshooks.StudySchema {
		return nil, nil, fmt.Errorf("%w: %s is not of schema %s", errStudy, path, cdshooks.StudySchema)
	}
	h := s.With
	with := validation.Covers{Model: h.Model, Actor: h.Actor, Rules: h.Rules, CodeMaps: h.CodeMaps, Config: h.Config, Prompts: h.Prompts}
	if with != covers {
		return nil, nil, fmt.Errorf("%w: it is of another model, other rules or other settings (hint: give `audit replay` the same --config, and --with-model)", errStudy)
	}
	return &s, replayOf(&s, text), nil
}

// replayOf is what a record says of a study.
func replayOf(s *cdshooks.Study, text []byte) *validation.Replay {
	sum := sha256.Sum256(text)
	return &validation.Replay{Report: hex.EncodeToString(sum[:]), Decisions: s.Replayed, Identical: s.Identical, Alike: s.Alike, Changed: s.Changed}
}

// study makes the newest decisions of the configured log again with the model
// that is to be accepted.
func (r *rooms) study(ctx context.Context, newest int, stderr io.Writer) (*cdshooks.Study, error) {
	if r.cfg.LLM.Enabled() && !r.cfg.LLM.Offline {
		cfg := r.cfg
		cfg.LLM.Offline = true // what a language model said is in the record
		again, err := openRooms(cfg, r.modelDir)
		if err != nil {
			return nil, err
		}
		defer again.close()
		r = again
	}
	log, err := openAudit(ctx, r.cfg.Audit)
	if err != nil {
		return nil, fmt.Errorf("the log whose decisions are made again: %w (hint: --replayed takes the report of `sepsisagent audit replay --report`; --replay 0 does without, and the record says so)", err)
	}
	defer log.Close()
	filter := audit.Filter{Kind: cdshooks.KindDecision, Limit: min(newest, audit.MaxLimit)}
	if err := recordReading(ctx, log, "model accept", "", map[string]any{"filter": filter, "newest": newest}); err != nil {
		return nil, err
	}
	var ids []string
	for len(ids) < newest {
		rows, err := log.Query(ctx, filter)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			ids = append(ids, row.Index.ID)
		}
		if len(rows) < filter.Limit {
			break
		}
		filter.After = &rows[len(rows)-1].Leaf
	}
	ids = ids[:min(len(ids), newest)]
	summary, err := replayAll(ctx, r, log, ids, newProgress(stderr, "replayed", int64(len(ids))))
	if err != nil {
		return nil, err
	}
	return summary.Study, nil
}
