// SPDX-License-Identifier: Apache-2.0

package export

// This file: a search for AuditEvents (FHIR R4 search, IHE ITI-81) read as
// questions to the log. What cannot be answered is an error: a parameter that is
// passed over would widen the answer.

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks"
)

// Bounds of a search.
const (
	DefaultCount = 50
	MaxCount     = 200
	maxFilters   = 64 // questions that one search is made of
)

// ErrSearch: the search cannot be understood, or not be answered.
var ErrSearch = errors.New("search not possible")

// Search is a search for AuditEvents.
type Search struct {
	// Patients are those asked about, as Patient/id; none: anybody.
	Patients []string
	// Since and Until bound the time, inclusive and exclusive.
	Since, Until time.Time

	person  bool // asks about one person
	filters []audit.Filter
	match   []func(audit.Index) bool
	count   int
	oldest  bool
	after   *int64
	values  url.Values // as asked, without the page
}

// OfPatient says whether the search asks about one person, by patient or by
// encounter: whoever may not look up patients may not ask it.
func (s *Search) OfPatient() bool { return s.person }

// Values are the parameters of the search.
func (s *Search) Values() url.Values { return s.from(s.after) }

// ParseSearch reads the parameters of a search. Errors wrap ErrSearch.
func ParseSearch(values url.Values) (*Search, error) {
	s := &Search{count: DefaultCount, values: url.Values{}}
	s.filters = []audit.Filter{{}}
	dates := 0
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range values[name] {
			if value == "" {
				return nil, fmt.Errorf("%w: %s is empty", ErrSearch, name)
			}
			if name == "date" {
				dates++
			} else if len(values[name]) > 1 {
				return nil, fmt.Errorf("%w: %s is given twice", ErrSearch, name)
			}
			if err := s.take(name, value); err != nil {
				return nil, err
			}
			if name != "_page" {
				s.values.Add(name, value)
			}
		}
	}
	if dates == 0 {
		return nil, fmt.Errorf("%w: date is required, e.g. date=ge2026-11-22 (ITI-81)", ErrSearch)
	}
	if !s.Since.IsZero() && !s.Until.IsZero() && !s.Since.Before(s.Until) {
		s.filters = nil // no time is in both
	}
	for i := range s.filters {
		s.filters[i].Since, s.filters[i].Until, s.filters[i].OldestFirst, s.filters[i].Limit = s.Since, s.Until, s.oldest, s.count
	}
	return s, nil
}

// take reads one parameter.
func (s *Search) take(name, value string) error {
	switch name {
	case "date":
		return s.date(value)
	case "patient":
		s.person = true
		patients := strings.Split(value, ",")
		for i, v := range patients {
			patients[i] = relative("Patient", v)
		}
		s.Patients = append(s.Patients, patients...)
		return s.anyOf(patients, ofPatient, byBareID(ofPatient))
	case "agent":
		return s.anyOf(strings.Split(value, ","), func(f *audit.Filter, v string) bool { return narrow(&f.User, relative("Practitioner", v)) })
	case "agent.identifier":
		return s.anyOf(strings.Split(value, ","), func(f *audit.Filter, v string) bool { return narrow(&f.User, bare(v)) },
			func(f *audit.Filter, v string) bool { return narrow(&f.Client, bare(v)) })
	case "entity":
		return s.entity(strings.Split(value, ","))
	case "entity.identifier":
		return s.anyOf(strings.Split(value, ","), func(f *audit.Filter, v string) bool { return narrow(&f.Refers, bare(v)) },
			func(f *audit.Filter, v string) bool { return narrow(&f.RequestID, bare(v)) })
	case "type":
		return s.types(strings.Split(value, ","))
	case "subtype":
		return s.tokens(value, func(x audit.Index) []coding { _, sub, _ := shape(x); return sub })
	case "action":
		return s.tokens(value, func(x audit.Index) []coding { _, _, a := shape(x); return []coding{{Code: a}} })
	case "outcome":
		return s.tokens(value, func(x audit.Index) []coding { return []coding{{Code: outcomeOf(x.HTTP)}} })
	case "_count":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			return fmt.Errorf("%w: _count is a number from 1 on", ErrSearch)
		}
		s.count = min(n, MaxCount)
	case "_sort":
		if value != "date" && value != "-date" {
			return fmt.Errorf("%w: _sort is date or -date", ErrSearch)
		}
		s.oldest = value == "date"
	case "_format":
		if f := strings.ReplaceAll(value, " ", "+"); f != "json" && f != "application/json" && f != "application/fhir+json" {
			return fmt.Errorf("%w: _format is json", ErrSearch)
		}
	case "_page":
		leaf, err := strconv.ParseInt(value, 10, 64)
		if err != nil || leaf < 0 {
			return fmt.Errorf("%w: _page is not of a link that this server gave", ErrSearch)
		}
		s.after = &leaf
	case "patient.identifier":
		return fmt.Errorf("%w: the log knows patients by their resource, not by identifier (hint: patient=Patient/id)", ErrSearch)
	default:
		return fmt.Errorf("%w: %q is not a parameter that is searched by", ErrSearch, name)
	}
	return nil
}

// narrow sets a field of a question. Where another parameter set it otherwise,
// no record can match both.
func narrow(field *string, value string) bool {
	if *field != "" && *field != value {
		return false
	}
	*field = value
	return true
}

// anyOf asks the questions so far once for each value and each meaning of it.
func (s *Search) anyOf(values []string, meanings ...func(*audit.Filter, string) bool) error {
	var out []audit.Filter
	if slices.ContainsFunc(values, func(v string) bool { return bare(v) == "" }) {
		return fmt.Errorf("%w: a value is empty", ErrSearch)
	}
	for _, f := range s.filters {
		for _, v := range values {
			for _, set := range meanings {
				if g := f; set(&g, v) {
					out = append(out, g)
				}
			}
		}
	}
	if len(out) > maxFilters {
		return fmt.Errorf("%w: it asks %d things at once, at most %d", ErrSearch, len(out), maxFilters)
	}
	s.filters = out
	return nil
}

func ofPatient(f *audit.Filter, v string) bool { return narrow(&f.Patient, v) }

// byBareID is a meaning of a reference by its id alone, which is how most clients
// name a patient in their calls.
func byBareID(set func(*audit.Filter, string) bool) func(*audit.Filter, string) bool {
	return func(f *audit.Filter, v string) bool {
		_, id, _ := strings.Cut(v, "/")
		return set(f, id)
	}
}

// entity asks for records that touch a patient or encounter, or are about
// another record. A patient here is one that is asked about, too.
func (s *Search) entity(values []string) error {
	for i, v := range values {
		values[i] = relative("", v)
		kind, _, _ := strings.Cut(values[i], "/")
		switch {
		case kind == "Patient":
			s.Patients, s.person = append(s.Patients, values[i]), true
		case kind == "Encounter":
			s.person = true
		case !strings.HasPrefix(v, "urn:uuid:"):
			return fmt.Errorf("%w: entity is Patient/id, Encounter/id or urn:uuid:id", ErrSearch)
		}
	}
	of := func(f *audit.Filter, v string) bool {
		switch {
		case strings.HasPrefix(v, "Patient/"):
			return narrow(&f.Patient, v)
		case strings.HasPrefix(v, "Encounter/"):
			return narrow(&f.Encounter, v)
		}
		return narrow(&f.Refers, bare(v))
	}
	return s.anyOf(values, of, func(f *audit.Filter, v string) bool {
		switch kind, id, both := strings.Cut(v, "/"); {
		case both && kind == "Patient":
			return narrow(&f.Patient, id)
		case both:
			return narrow(&f.Encounter, id)
		}
		return false
	})
}

// types selects by type, and asks only for kinds that can have it.
func (s *Search) types(values []string) error {
	if err := s.tokens(strings.Join(values, ","), func(x audit.Index) []coding { c, _, _ := shape(x); return []coding{c} }); err != nil {
		return err
	}
	matches := s.match[len(s.match)-1]
	if matches(audit.Index{Kind: "any other"}) {
		return nil // of kinds that are not known here, too
	}
	var kinds []string
	for _, kind := range []string{cdshooks.KindDecision, cdshooks.KindFeedback, cdshooks.KindRefusal, cdshooks.KindFailure, cdshooks.KindBatch,
		cdshooks.KindRead, cdshooks.KindDisplay, kindConfig, kindErasure} {
		if matches(audit.Index{Kind: kind, HTTP: 200}) || matches(audit.Index{Kind: kind, HTTP: 401}) {
			kinds = append(kinds, kind)
		}
	}
	if len(kinds) == 0 {
		s.filters = nil
		return nil
	}
	return s.anyOf(kinds, func(f *audit.Filter, kind string) bool { return narrow(&f.Kind, kind) })
}

// tokens selects records one of whose codes is among the values.
func (s *Search) tokens(value string, codes func(audit.Index) []coding) error {
	wanted := strings.Split(value, ",")
	s.match = append(s.match, func(x audit.Index) bool {
		return slices.ContainsFunc(codes(x), func(c coding) bool {
			return slices.ContainsFunc(wanted, func(w string) bool {
				system, code, both := strings.Cut(w, "|")
				switch {
				case !both:
					return c.Code == w
				case code == "":
					return c.System == system
				}
				return c.Code == code && c.System == system
			})
		})
	})
	return nil
}

func (s *Search) matches(x audit.Index) bool {
	for _, m := range s.match {
		if !m(x) {
			return false
		}
	}
	return true
}

// dateForms are the precisions of a FHIR date, and how long each lasts.
var dateForms = []struct {
	layout string
	end    func(time.Time) time.Time
}{
	{"2006", func(t time.Time) time.Time { return t.AddDate(1, 0, 0) }},
	{"2006-01", func(t time.Time) time.Time { return t.AddDate(0, 1, 0) }},
	{"2006-01-02", func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }},
	{"2006-01-02T15:04Z07:00", func(t time.Time) time.Time { return t.Add(time.Minute) }},
	{"2006-01-02T15:04:05Z07:00", func(t time.Time) time.Time { return t.Add(time.Second) }}, // takes fractions too
}

// date narrows the time. A value stands for all of the year, month, day, minute
// or second that it names.
func (s *Search) date(value string) error {
	prefix, rest := "eq", value
	if len(value) > 2 && (value[0] < '0' || value[0] > '9') {
		prefix, rest = value[:2], value[2:]
	}
	rest = strings.ReplaceAll(rest, " ", "+") // what a plus in a URL becomes
	var from, to time.Time
	for _, form := range dateForms {
		if t, err := time.Parse(form.layout, rest); err == nil {
			from, to = t.UTC(), form.end(t).UTC()
			if t.Nanosecond() != 0 {
				to = from.Add(time.Millisecond)
			}
		}
	}
	if from.Year() < 1900 { // a zero time would be no bound at all
		return fmt.Errorf("%w: %q is not a date", ErrSearch, value)
	}
	if last := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC); to.After(last) {
		to = last
	}
	since := func(t time.Time) {
		if t.After(s.Since) {
			s.Since = t
		}
	}
	until := func(t time.Time) {
		if s.Until.IsZero() || t.Before(s.Until) {
			s.Until = t
		}
	}
	switch prefix {
	case "eq":
		since(from)
		until(to)
	case "ge":
		since(from)
	case "gt", "sa":
		since(to)
	case "le":
		until(to)
	case "lt", "eb":
		until(from)
	default:
		return fmt.Errorf("%w: a date begins with eq, ge, gt, le or lt, not %q", ErrSearch, prefix)
	}
	return nil
}

// relative is a reference as the log keeps it, Type/id: without the server, and
// with the type where it was left out.
func relative(kind, ref string) string {
	ref = bare(ref)
	if strings.HasPrefix(ref, "https://") || strings.HasPrefix(ref, "http://") {
		parts := strings.Split(strings.TrimSuffix(ref, "/"), "/")
		if n := len(parts); n >= 5 {
			ref = parts[n-2] + "/" + parts[n-1]
		}
	}
	if kind != "" && ref != "" && !strings.Contains(ref, "/") {
		return kind + "/" + ref
	}
	return ref
}

// bare is the value of a token without its system.
func bare(token string) string {
	if _, value, both := strings.Cut(token, "|"); both {
		token = value
	}
	return strings.TrimPrefix(strings.TrimSpace(token), "urn:uuid:")
}

// cursor is the _page of a link.
func cursor(leaf int64) string { return strconv.FormatInt(leaf, 10) }
