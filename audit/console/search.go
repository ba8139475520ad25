// SPDX-License-Identifier: Apache-2.0

package console

// This file: the search page. A question that names a patient never stands in an
// address, where histories and proxies would keep it: the address has a sealed
// handle, which opens in the reader's session alone.

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/access"
	"github.com/sepsisagent/sepsisagent/audit/export"
	"github.com/sepsisagent/sepsisagent/audit/query"
)

// pageSize is how many entries one page lists.
const pageSize = 50

// field is one input of the form. Choices makes it a list.
type field struct {
	Name, Label, Value, Hint, Type string
	Choices                        []string
}

type searchView struct {
	Patient, More []field
	Given         bool // a filter of More is set
	ByPatient     bool // may this reader look up patients
	NeedsPatient  bool // may they do nothing else
	Ask           bool // nothing was asked yet
	Rows          []row
	Words         string // what was asked
	Next          string // address of the next page
	Exports       []link
}

type link struct{ Label, URL string }

// row is one entry in a list.
type row struct {
	Leaf                             int64
	ID, At, Kind, Tone, Patient, Who string
	What                             string
}

// asked finds the question of a call, by parameters or by handle, and whether
// there is one.
func (c *Console) asked(v *visit) (q query.Query, given bool, err error) {
	values := v.r.URL.Query()
	cursor := values.Get("cursor")
	if handle := values.Get("asked"); handle != "" {
		q, given = c.question(v.session, handle)
		if !given {
			return q, false, errNotThere
		}
		q.Cursor = cursor
		return q, true, nil
	}
	if q, err = query.Parse(values); err != nil {
		return q, false, err
	}
	if q.OfPatient() {
		return q, false, fmt.Errorf("%w: a patient does not belong in an address (hint: use the form)", query.ErrQuestion)
	}
	return q, len(values) > 0, nil
}

// mayAsk says whether the reader may ask this, and gives the reason that they
// gave.
func (c *Console) mayAsk(v *visit, q query.Query) (string, error) {
	if !q.OfPatient() {
		return "", v.reader.May(access.Records, "")
	}
	reason := v.session.reason(q.Patient, c.Now())
	return reason, v.reader.May(access.Patient, reason)
}

// search lists what a question finds; without one, the newest entries.
func (c *Console) search(ctx context.Context, v *visit) (answer, error) {
	q, given, err := c.asked(v)
	v.reading.What = q
	if err != nil {
		return answer{}, err
	}
	view := searchView{ByPatient: v.reader.Has(access.Investigator), NeedsPatient: !v.reader.Has(access.Auditor), Ask: !given}
	if view.NeedsPatient && !given {
		if !view.ByPatient { // neither: integrity and rates are what there is
			if v.reader.May(access.Integrity, "") != nil {
				return answer{}, access.ErrForbidden
			}
			return answer{location: "/integrity"}, nil
		}
		view.fields(q)
		return c.shown(v, "search.html", "Search the audit log", "search", view)
	}
	if v.reading.Reason, err = c.mayAsk(v, q); err != nil {
		return answer{}, err
	}
	v.reading.Patient = q.Patient
	if q.Limit == 0 {
		q.Limit = pageSize
	}
	page, err := query.Run(ctx, c.Log, q)
	if err != nil {
		return answer{}, err
	}
	v.reading.Found = len(page.Entries)
	zone := c.Chart().Zone
	for _, e := range page.Entries {
		view.Rows = append(view.Rows, rowOf(e, func(ix audit.Index) string { return stamp(ix.Time, zone) }))
	}
	view.fields(q)
	view.Words = wordsOf(q)
	here := c.address(v, q)
	if page.Next != "" {
		next := cloneValues(here)
		next.Set("cursor", page.Next)
		view.Next = "?" + next.Encode()
	}
	for _, f := range export.Formats() {
		to := cloneValues(here)
		to.Set("format", string(f))
		view.Exports = append(view.Exports, link{formatWords[f], "export?" + to.Encode()})
	}
	return c.shown(v, "search.html", "Search the audit log", "search", view)
}

// address is how a question stands in one: by its handle where it names a
// patient.
func (c *Console) address(v *visit, q query.Query) url.Values {
	if handle := v.r.URL.Query().Get("asked"); handle != "" {
		return url.Values{"asked": {handle}}
	}
	q.Cursor = ""
	return q.URL()
}

func cloneValues(v url.Values) url.Values {
	out := url.Values{}
	for k, x := range v {
		out[k] = slices.Clone(x)
	}
	return out
}

// ask takes the form. A question about a patient needs a reason, which holds for
// that patient for a while.
func (c *Console) ask(_ context.Context, v *visit) (answer, error) {
	if err := v.r.ParseForm(); err != nil {
		return answer{}, fmt.Errorf("%w: the form cannot be read", query.ErrQuestion)
	}
	values := url.Values{}
	for name, given := range v.r.PostForm {
		if text := strings.TrimSpace(strings.Join(given, " ")); text != "" && name != "form" && name != "why" {
			values.Set(name, text)
		}
	}
	q, err := query.Parse(values)
	if err != nil {
		return answer{}, err
	}
	v.reading.What, v.reading.Patient = q, q.Patient
	if !q.OfPatient() {
		return answer{location: "/?" + q.URL().Encode()}, v.reader.May(access.Records, "")
	}
	if q.Patient == "" {
		return answer{}, fmt.Errorf("%w: an encounter is asked about with its patient", query.ErrQuestion)
	}
	if err := c.grant(v, q.Patient); err != nil {
		return answer{}, err
	}
	handle, err := c.keep(v.session, q)
	return answer{location: "/?asked=" + handle}, err
}

// grant takes the reason of a form for a patient, where the reader may look up
// patients at all.
func (c *Console) grant(v *visit, patient string) error {
	reason := v.session.reason(patient, c.Now())
	if text := strings.TrimSpace(v.r.PostFormValue("why")); text != "" || reason == "" {
		var err error
		if err = v.reader.May(access.Patient, "asked"); err != nil {
			return err
		}
		if reason, err = access.CheckReason(text); err != nil {
			return err
		}
	}
	if err := v.reader.May(access.Patient, reason); err != nil {
		return err
	}
	v.reading.Reason, v.reading.Patient = reason, patient
	v.session.allow(patient, reason, c.Now())
	return nil
}

// kinds that entries have, for the list of the form.
var kinds = []string{"decision", "feedback", "batch", "refusal", "failure", "config", "display", "calibration", "read", "erasure", "hold"}

// fields fills the form with a question.
func (s *searchView) fields(q query.Query) {
	date := func(t interface {
		IsZero() bool
		Format(string) string
	}) string {
		if t.IsZero() {
			return ""
		}
		return t.Format("2006-01-02T15:04:05Z07:00")
	}
	shown, order := "", "newest"
	if q.Shown != nil {
		shown = fmt.Sprint(*q.Shown)
	}
	if q.OldestFirst {
		order = "oldest"
	}
	s.Patient = []field{
		{Name: "patient", Label: "Patient", Value: q.Patient, Hint: "the id that calls of the EHR name"},
		{Name: "encounter", Label: "Encounter", Value: q.Encounter, Hint: "narrows the patient"},
	}
	s.More = []field{
		{Name: "kind", Label: "Kind", Value: q.Kind, Choices: kinds},
		{Name: "outcome", Label: "Outcome", Value: q.Outcome, Choices: query.Outcomes()},
		{Name: "since", Label: "From", Value: date(q.Since), Hint: "2026-11-22 or 2026-11-22T09:10:00Z"},
		{Name: "until", Label: "Before", Value: date(q.Until), Hint: "same form"},
		{Name: "clinician", Label: "Clinician", Value: q.Clinician, Hint: "Practitioner/id"},
		{Name: "unit", Label: "Unit", Value: q.Unit, Hint: "as charted"},
		{Name: "drug", Label: "Drug", Value: q.Drug, Hint: "ingredient, e.g. norepinephrine"},
		{Name: "rule", Label: "Rule", Value: q.Rule, Hint: "id of a rule that spoke"},
		{Name: "reason", Label: "Reason code", Value: q.Reason, Hint: "of an abstention, refusal or override"},
		{Name: "topic", Label: "Topic", Value: q.Topic, Hint: "of the card"},
		{Name: "shown", Label: "A card was returned", Value: shown, Choices: []string{"true", "false"}},
		{Name: "client", Label: "EHR", Value: q.Client, Hint: "registered client"},
		{Name: "model", Label: "Model", Value: q.Model, Hint: "version, or 8 digits of its hash"},
		{Name: "rules", Label: "Rule set", Value: q.Rules, Hint: "8 digits of its hash"},
		{Name: "code-maps", Label: "Code maps", Value: q.CodeMaps, Hint: "8 digits of their hash"},
		{Name: "card", Label: "Card", Value: q.Card, Hint: "uuid of a card or suggestion"},
		{Name: "refers", Label: "About record", Value: q.Refers, Hint: "id of a record"},
		{Name: "order", Label: "Order", Value: order, Choices: []string{"newest", "oldest"}},
	}
	for _, f := range s.More {
		s.Given = s.Given || f.Value != "" && f.Name != "order"
	}
}

// wordsOf says what was asked.
func wordsOf(q query.Query) string {
	q.Limit, q.Cursor = 0, ""
	v := q.URL()
	if len(v) == 0 {
		return "the newest entries"
	}
	var out []string
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for k := range v {
			if !yield(k) {
				return
			}
		}
	}) {
		out = append(out, name+" "+v.Get(name))
	}
	return strings.Join(out, ", ")
}

// kindWords say what an entry is.
var kindWords = map[string]string{
	"decision": "Decision", "feedback": "Feedback", "batch": "Feedback call", "refusal": "Call refused", "failure": "Call not answered",
	"config": "Start or change of the service", "display": "Change of display mode", "calibration": "Forecast compared", "read": "Reading",
	"erasure": "Erasure", "hold": "Legal hold",
}

// rowOf is an entry as a line of a list.
func rowOf(e audit.Row, at func(audit.Index) string) row {
	ix := e.Index
	r := row{Leaf: e.Leaf, ID: ix.ID, At: at(ix), Kind: kindWords[ix.Kind], Patient: ix.Patient, Who: ix.User, Tone: "info"}
	if r.Kind == "" {
		r.Kind = ix.Kind
	}
	if r.Who == "" {
		r.Who = ix.Client
	}
	what := []string{ix.Status, ix.Outcome, ix.Topic}
	if ix.Kind == "decision" && !ix.Shown {
		what = append(what, "no card")
	}
	if ix.HTTP >= 400 {
		what, r.Tone = append(what, fmt.Sprintf("HTTP %d", ix.HTTP)), "warning"
	}
	if ix.Outcome == "overridden" || ix.Status == "abstain" {
		r.Tone = "warning"
	}
	what = append(what, strings.Join(ix.Drugs, ", "), strings.Join(ix.Reasons, ", "))
	if ix.Unit != "" {
		what = append(what, "unit "+ix.Unit)
	}
	r.What = strings.Join(slices.DeleteFunc(what, func(s string) bool { return s == "" }), " · ")
	return r
}
