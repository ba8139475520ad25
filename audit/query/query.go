// SPDX-License-Identifier: Apache-2.0

// Package query is the questions that a log answers: one type of question with
// every filter, pages with an opaque cursor, the list of patients that a question
// finds (a recall), and how model versions are named.
//
// It trusts the log it asks, and what an index says only as far as Verify does:
// the columns by which entries are found are held against the signed index bytes
// there. It knows who may ask nothing (audit/access does) and it does not record
// the reading: whoever hands out an answer does.
package query

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
)

// Errors of questions. Both wrap audit.ErrInvalid.
var (
	// ErrQuestion: a parameter is unknown, unreadable or contradicts another.
	ErrQuestion = fmt.Errorf("%w question", audit.ErrInvalid)
	// ErrCursor: the cursor is not one of ours, or of another question.
	ErrCursor = fmt.Errorf("%w cursor (hint: leave it out, or ask the same question again)", audit.ErrInvalid)
)

// Outcomes by which Query.Outcome selects. An entry can be found under several:
// a suppressed suggestion is a suggestion too.
const (
	Suggest       = "suggest"        // decisions by their status
	Affirm        = "affirm"         //
	Abstain       = "abstain"        //
	NotApplicable = "not-applicable" //
	Blocked       = "blocked"        // decisions in which a rule forbade an option
	Suppressed    = "suppressed"     // decisions whose card was not shown because of an earlier one
	Refused       = "refused"        // calls that were not let in (4xx)
	Failed        = "failed"         // calls that could not be answered (412, 5xx)
	Accepted      = "accepted"       // feedback
	Override      = "override"       // feedback; Query.Reason is its code
)

// Outcomes lists them all.
func Outcomes() []string {
	return []string{Suggest, Affirm, Abstain, NotApplicable, Blocked, Suppressed, Refused, Failed, Accepted, Override}
}

// Query selects entries. Empty fields do not select; several must all hold. The
// newest come first, in the order of the log, unless OldestFirst is set.
type Query struct {
	Patient   string `json:"patient,omitempty"`   // as the client calls it: Patient/id or id
	Encounter string `json:"encounter,omitempty"` //
	Clinician string `json:"clinician,omitempty"` // the user of the call: Practitioner/id
	Client    string `json:"client,omitempty"`    // registered EHR
	Unit      string `json:"unit,omitempty"`      // hospital unit, as charted
	Drug      string `json:"drug,omitempty"`      // ingredient
	Rule      string `json:"rule,omitempty"`      // id of a rule that spoke
	Kind      string `json:"kind,omitempty"`      // decision, feedback, refusal, failure, config, display, read, ...
	Outcome   string `json:"outcome,omitempty"`   // one of Outcomes
	Reason    string `json:"reason,omitempty"`    // code of an abstention, refusal, failure or override
	Topic     string `json:"topic,omitempty"`     // of the card
	Card      string `json:"card,omitempty"`      // card or suggestion, by uuid
	Refers    string `json:"refers,omitempty"`    // entries about this one
	HookCall  string `json:"hookInstance,omitempty"`
	Request   string `json:"request,omitempty"`
	// Model, Rules and CodeMaps are hashes, or at least MinHash hex digits that one
	// hash in the log begins with; Model may also be the version of a model that
	// the service was started with.
	Model    string `json:"model,omitempty"`
	Rules    string `json:"rules,omitempty"`
	CodeMaps string `json:"codeMaps,omitempty"`

	Shown *bool     `json:"shown,omitempty"` // was a card returned
	Since time.Time `json:"since,omitzero"`  // inclusive
	Until time.Time `json:"until,omitzero"`  // exclusive

	OldestFirst bool   `json:"oldestFirst,omitempty"`
	Limit       int    `json:"limit,omitempty"` // of a page; 0: audit.DefaultLimit; at most audit.MaxLimit
	Cursor      string `json:"cursor,omitempty"`
}

// MinHash is the least number of digits by which a hash may be named.
const MinHash = 8

// Page is one page of an answer. A page may be short, or empty, and yet have a
// Next: a question that few entries answer is searched a bounded part at a time.
type Page struct {
	Entries []audit.Row `json:"entries"`
	Next    string      `json:"next,omitempty"` // cursor of the next page; empty: there is none
}

// Log is what is asked. sqllog.Log is one.
type Log interface {
	// Page gives entries that match, in order, looking at no more than about
	// budget of them (0: as many as it takes). more is the leaf after which to go
	// on, nil at the end. Filter.After is where to begin.
	Page(ctx context.Context, f audit.Filter, budget int) (rows []audit.Row, more *int64, err error)
	// Values lists, in order, up to limit values of one searchable field that
	// begin with prefix: field is a JSON name of audit.Index.
	Values(ctx context.Context, field, prefix, after string, limit int) ([]string, error)
	Get(ctx context.Context, id string) (audit.Record, error)
}

// Run answers one page of a question, in bounded time whatever the question.
// Errors: ErrQuestion, ErrCursor, or the log's own.
func Run(ctx context.Context, log Log, q Query) (Page, error) {
	f, err := q.filter(ctx, log)
	if errors.Is(err, errNothing) {
		return Page{Entries: []audit.Row{}}, nil
	}
	if err != nil {
		return Page{}, err
	}
	rows, more, err := log.Page(ctx, f, Budget)
	if err != nil {
		return Page{}, err
	}
	p := Page{Entries: slices.Clip(append([]audit.Row{}, rows...))}
	if more != nil {
		p.Next = q.cursor(*more)
	}
	return p, nil
}

// Budget is how many entries one page looks at, at most.
const Budget = 10_000

// texts are the parameters that are plain text, by the name they have in a URL.
func (q *Query) texts() map[string]*string {
	return map[string]*string{
		"patient": &q.Patient, "encounter": &q.Encounter, "clinician": &q.Clinician, "client": &q.Client, "unit": &q.Unit,
		"drug": &q.Drug, "rule": &q.Rule, "kind": &q.Kind, "outcome": &q.Outcome, "reason": &q.Reason, "topic": &q.Topic,
		"card": &q.Card, "refers": &q.Refers, "hook-instance": &q.HookCall, "request": &q.Request,
		"model": &q.Model, "rules": &q.Rules, "code-maps": &q.CodeMaps, "cursor": &q.Cursor,
	}
}

// Parse reads a question from URL parameters: those of texts, and since, until
// (RFC 3339 or date), shown (true or false), order (newest or oldest), limit. A
// parameter that is unknown or given twice is an error: a filter that is passed
// over would widen the answer. Errors: ErrQuestion.
func Parse(v url.Values) (Query, error) {
	var q Query
	texts := q.texts()
	for name, values := range v {
		if len(values) != 1 {
			return Query{}, fmt.Errorf("%w: %q is given %d times", ErrQuestion, name, len(values))
		}
		value := values[0]
		if into, ok := texts[name]; ok {
			if len(value) > maxText {
				return Query{}, fmt.Errorf("%w: %s is longer than %d bytes", ErrQuestion, name, maxText)
			}
			*into = value
			continue
		}
		if err := q.set(name, value); err != nil {
			return Query{}, err
		}
	}
	return q, q.Validate()
}

// maxText is the longest value that may be asked for.
const maxText = 4096

// set reads a parameter that is not plain text. An empty one does not select.
func (q *Query) set(name, value string) (err error) {
	switch name {
	case "since":
		q.Since, err = Instant(value)
	case "until":
		q.Until, err = Instant(value)
	case "limit":
		if value != "" {
			q.Limit, err = strconv.Atoi(value)
		}
	case "order":
		q.OldestFirst = value == "oldest"
		if value != "" && value != "oldest" && value != "newest" {
			err = errors.New("newest or oldest")
		}
	case "shown":
		switch value {
		case "":
		case "true", "false":
			yes := value == "true"
			q.Shown = &yes
		default:
			err = errors.New("true or false")
		}
	default:
		return fmt.Errorf("%w: %q is no parameter", ErrQuestion, name)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrQuestion, name, err)
	}
	return nil
}

// Instant reads an RFC 3339 time or a date (midnight UTC); empty is zero.
func Instant(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errors.New("not a time (hint: 2026-11-22T09:10:00Z or 2026-11-22)")
}

// URL gives the question as parameters that Parse reads back.
func (q Query) URL() url.Values {
	v := url.Values{}
	for name, from := range q.texts() {
		if *from != "" {
			v.Set(name, *from)
		}
	}
	if !q.Since.IsZero() {
		v.Set("since", q.Since.UTC().Format(time.RFC3339Nano))
	}
	if !q.Until.IsZero() {
		v.Set("until", q.Until.UTC().Format(time.RFC3339Nano))
	}
	if q.Limit != 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	if q.OldestFirst {
		v.Set("order", "oldest")
	}
	if q.Shown != nil {
		v.Set("shown", strconv.FormatBool(*q.Shown))
	}
	return v
}

// Validate says whether the question can be asked. Errors: ErrQuestion.
func (q Query) Validate() error {
	if q.Outcome != "" && !slices.Contains(Outcomes(), q.Outcome) {
		return fmt.Errorf("%w: outcome %q is none of %v", ErrQuestion, q.Outcome, Outcomes())
	}
	if err := (audit.Filter{Since: q.Since, Until: q.Until, Limit: q.Limit}).Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrQuestion, err)
	}
	if kind := outcomeKind[q.Outcome]; kind != "" && q.Kind != "" && kind != q.Kind {
		return fmt.Errorf("%w: outcome %s is of entries of kind %s, not %s", ErrQuestion, q.Outcome, kind, q.Kind)
	}
	return nil
}

// OfPatient reports whether the question asks about one person: whoever may not
// look up patients may not ask it.
func (q Query) OfPatient() bool { return q.Patient != "" || q.Encounter != "" }
