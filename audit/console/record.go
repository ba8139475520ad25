// SPDX-License-Identifier: Apache-2.0

package console

// This file: one record as a story: who asked, what the chart said, what was
// weighed and answered, what the clinician did, what came after, and the proof
// that it is in the log.

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"html/template"
	"strings"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/access"
	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/cdshooks/evidence"
)

type recordView struct {
	ID, Kind, At, AtISO string
	Badge               badge
	Call                []fact
	Decided             bool
	Parts               evidence.Parts
	Withheld            bool // the clinician was shown no dose
	Differs             bool
	Cards               []cardView
	Silent              string
	Acts                []act
	Readings            []row
	Others              []row
	After               *after
	AskReason           bool // an investigator may see what came after, with a reason
	Text                string
	Proof               []fact
	Checkpoint          string
	Path                []string
	Key                 string
	Decision            string // id of the decision that a feedback is about
}

// badge is the outcome of checking the proof, here and now.
type badge struct {
	Proven bool
	Words  string
}

// act is what a clinician did with a card.
type act struct{ At, Who, Outcome, Reason, Comment string }

// opened reads a record that this reader may open: an auditor any, an
// investigator those of a patient for whom a reason holds. Others are told that
// it is not there.
func (c *Console) opened(ctx context.Context, v *visit) (audit.Record, error) {
	id := v.r.PathValue("id")
	v.reading.What = map[string]string{"id": id}
	auditor := v.reader.May(access.Records, "") == nil
	if !auditor && !v.reader.Has(access.Investigator) {
		return audit.Record{}, access.ErrForbidden
	}
	record, err := c.Log.Get(ctx, id)
	if err != nil {
		return audit.Record{}, err
	}
	v.reading.Reason = v.session.reason(record.Index.Patient, c.Now())
	if !auditor && v.reading.Reason == "" {
		return audit.Record{}, errNotThere
	}
	v.reading.Found, v.reading.Refers, v.reading.Patient = 1, record.Index.ID, record.Index.Patient
	return record, nil
}

// record shows one.
func (c *Console) record(ctx context.Context, v *visit) (answer, error) {
	stored, err := c.opened(ctx, v)
	if err != nil {
		return answer{}, err
	}
	ix, chart := stored.Index, c.Chart()
	view := recordView{
		ID: ix.ID, Kind: cmp.Or(kindWords[ix.Kind], ix.Kind), At: stamp(ix.Time, chart.Zone), AtISO: ix.Time.UTC().Format("2006-01-02T15:04:05Z07:00"),
		Key: c.Log.Verifier().String(),
	}
	inclusion, err := c.Log.ProveInclusion(ctx, stored.Leaf)
	if err != nil {
		return answer{}, err
	}
	view.Badge, view.Checkpoint = c.check(stored, inclusion), inclusion.Checkpoint
	for _, h := range inclusion.Path {
		view.Path = append(view.Path, h.String())
	}
	view.Proof = facts(fact{"Record", fmt.Sprint(stored.Leaf), true}, fact{"Leaf hash", stored.LeafHash, true},
		fact{"Salt", fmt.Sprintf("%d bytes", len(stored.Salt)), false}, fact{"Body", fmt.Sprintf("%d bytes", len(stored.Body)), false})
	call, err := cdshooks.DecodeRecord(stored.Body)
	if err != nil {
		call = nil
		view.Text = readable(stored.Body)
	}
	view.Call = callFacts(ix, call)
	if ix.Kind == cdshooks.KindFeedback {
		view.Decision = ix.Refers
	}
	if call != nil {
		if err := c.story(ctx, v, &view, stored, call, chart); err != nil {
			return answer{}, err
		}
	}
	return c.shown(v, "record.html", view.Kind+" of "+view.At, "search", view)
}

// check computes the record's leaf from what is stored and holds it, by the path,
// against the root that the checkpoint signs.
func (c *Console) check(stored audit.Record, p audit.Inclusion) badge {
	leaf, err := audit.LeafOf(stored.Entry())
	if err != nil || leaf.Hash() != p.LeafHash || p.Leaf != stored.Leaf {
		return badge{Words: "NOT PROVEN: what is stored does not hash to the leaf in the tree"}
	}
	head, err := p.Check(c.Log.Verifier())
	if err != nil {
		return badge{Words: "NOT PROVEN: " + err.Error()}
	}
	return badge{true, fmt.Sprintf("Proven: record %d is in the signed tree of %d", stored.Leaf, head.Size)}
}

// callFacts say who asked what.
func callFacts(ix audit.Index, call *cdshooks.Record) []fact {
	out := facts(
		fact{"Patient", ix.Patient, false}, fact{"Encounter", ix.Encounter, false}, fact{"Unit", ix.Unit, false},
		fact{"Asked by", ix.User, false}, fact{"EHR", ix.Client, false}, fact{"Service", ix.Service, false},
		fact{"Outcome", strings.Join(nonempty(ix.Status, ix.Outcome, ix.Topic), ", "), false},
		fact{"Reasons", strings.Join(ix.Reasons, ", "), false}, fact{"Rules that spoke", strings.Join(ix.Rules, ", "), false},
	)
	if ix.HTTP != 0 {
		out = append(out, fact{Label: "Answered with", Value: fmt.Sprintf("HTTP %d", ix.HTTP)})
	}
	if call != nil && call.Display != nil {
		mode := call.Display.Mode
		if call.Display.Configured != mode {
			mode += ", configured " + call.Display.Configured
		}
		out = append(out, facts(fact{"Display mode", strings.Join(nonempty(mode, call.Display.Why), ": "), false})...)
	}
	return append(out, facts(
		fact{"Hook instance", ix.HookInstance, true}, fact{"Request", ix.RequestID, true}, fact{"About record", ix.Refers, true},
		fact{"Model", ix.Model, true}, fact{"Rule set", ix.RulesHash, true}, fact{"Code maps", ix.CodeMaps, true},
	)...)
}

func nonempty(all ...string) []string {
	var out []string
	for _, s := range all {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

// story fills in what a call's record tells.
func (c *Console) story(ctx context.Context, v *visit, view *recordView, stored audit.Record, call *cdshooks.Record, chart Chart) error {
	ix := stored.Index
	view.Acts = c.actsOf(chart, stored, call)
	about, err := c.Log.Query(ctx, audit.Filter{Refers: ix.ID, OldestFirst: true, Limit: audit.MaxLimit})
	if err != nil {
		return err
	}
	accepted := map[string]bool{}
	at := func(ix audit.Index) string { return stamp(ix.Time, chart.Zone) }
	for _, r := range about {
		switch r.Index.Kind {
		case cdshooks.KindRead:
			view.Readings = append(view.Readings, rowOf(r, at))
		case cdshooks.KindFeedback:
			said, err := c.Log.Get(ctx, r.Index.ID)
			if err != nil {
				continue // erased since
			}
			if record, err := cdshooks.DecodeRecord(said.Body); err == nil && record.Feedback != nil {
				view.Acts = append(view.Acts, c.actsOf(chart, said, record)...)
				for _, id := range record.Feedback.AcceptedSuggestions {
					accepted[id] = true
				}
			}
		default:
			view.Others = append(view.Others, rowOf(r, at))
		}
	}
	if call.Receipt == nil {
		if call.Status >= 400 {
			view.Silent = "The call was not answered with cards: " + cmp.Or(call.Reason, "refused") + "."
		}
		return nil
	}
	in, err := cdshooks.EvidenceOf(chart.Remapper, chart.State, call, cdshooks.PageView{Zone: chart.Zone, Now: call.Receipt.At})
	if err != nil {
		return err
	}
	// A clinician sees no dose in some display modes. Whoever reviews sees what was
	// worked out, and that it was not shown.
	view.Withheld, in.Withheld = in.Withheld, false
	if view.Parts, err = evidence.PartsOf(in); err != nil {
		return err
	}
	view.Decided, view.Differs = true, view.Parts.Differs
	view.Cards = cardsOf(call.Response, accepted)
	if len(view.Cards) == 0 {
		view.Silent = "No card was returned"
		if in.Unseen != "" {
			view.Silent = "No card was returned: " + in.Unseen
		}
		view.Silent += "."
	}
	if ix.Patient == "" {
		return nil
	}
	if v.reading.Reason == "" || !v.reader.Has(access.Investigator) {
		view.AskReason = v.reader.Has(access.Investigator)
		return nil
	}
	view.After = c.afterwards(ctx, chart, ix.ID, call)
	return nil
}

// actsOf is what a feedback record says was done.
func (c *Console) actsOf(chart Chart, stored audit.Record, call *cdshooks.Record) []act {
	f := call.Feedback
	if f == nil {
		return nil
	}
	a := act{At: stamp(f.At, chart.Zone), Who: stored.Index.User, Outcome: f.Outcome, Comment: f.Comment}
	if f.Reason != nil {
		a.Reason = cmp.Or(f.Reason.Display, f.Reason.Code)
	}
	if f.CommentCut {
		a.Comment += " (cut)"
	}
	return []act{a}
}

// readable is a body that is no call: JSON, indented.
func readable(body []byte) string {
	var out bytes.Buffer
	if json.Indent(&out, body, "", "  ") != nil {
		return ""
	}
	return out.String()
}

// breakGlass takes a reason for the patient of a record that is open to the
// reader, and goes back to it.
func (c *Console) breakGlass(ctx context.Context, v *visit) (answer, error) {
	record, err := c.opened(ctx, v)
	if err != nil {
		return answer{}, err
	}
	if record.Index.Patient == "" {
		return answer{}, errNotThere
	}
	if err := c.grant(v, record.Index.Patient); err != nil {
		return answer{}, err
	}
	return answer{location: "/records/" + template.URLQueryEscaper(record.Index.ID) + "#afterwards"}, nil
}

// proof sends the proof of a record, to be checked elsewhere.
func (c *Console) proof(ctx context.Context, v *visit) (answer, error) {
	stored, err := c.opened(ctx, v)
	if err != nil {
		return answer{}, err
	}
	p, err := c.Log.ProveInclusion(ctx, stored.Leaf)
	if err != nil {
		return answer{}, err
	}
	body, err := json.MarshalIndent(p, "", "  ")
	return answer{body: append(body, '\n'), kind: "application/json", file: fmt.Sprintf("proof-%d.json", stored.Leaf)}, err
}
