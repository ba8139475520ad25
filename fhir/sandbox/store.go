// SPDX-License-Identifier: Apache-2.0

package sandbox

// This file: one patient's resources and FHIR search over them.

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// entry is one resource with what search reads of it.
type entry struct {
	kind, id   string
	subject    string // id of the patient, empty for shared resources
	encounter  string
	codes      []string // "system|code"
	categories []string
	status     string
	when       time.Time // newest of effective, recorded, authored, performed
	raw        json.RawMessage
}

// store holds the resources of one patient; it never changes once made.
type store struct {
	entries []entry
	byID    map[string]int // "Type/id"
}

// shape is what is read of a resource; each field exists on some types only.
type shape struct {
	ResourceType string    `json:"resourceType"`
	ID           string    `json:"id"`
	Status       string    `json:"status"`
	Subject      reference `json:"subject"`
	Encounter    reference `json:"encounter"`
	Context      reference `json:"context"`
	Code         codeable  `json:"code"`
	Medication   codeable  `json:"medicationCodeableConcept"`
	Type         []codeable
	Category     json.RawMessage `json:"category"`
	Component    []struct {
		Code codeable `json:"code"`
	} `json:"component"`
	Contained []struct {
		Code codeable `json:"code"`
	} `json:"contained"`
	Effective       string `json:"effectiveDateTime"`
	Recorded        string `json:"recordedDate"`
	Authored        string `json:"authoredOn"`
	EffectivePeriod period `json:"effectivePeriod"`
	PerformedPeriod period `json:"performedPeriod"`
	Period          period `json:"period"`
}

type reference struct {
	Reference string `json:"reference"`
}

type period struct {
	Start string `json:"start"`
	End   string `json:"end"`
}

type codeable struct {
	Coding []struct {
		System string `json:"system"`
		Code   string `json:"code"`
	} `json:"coding"`
}

func (c codeable) tokens() []string {
	var out []string
	for _, k := range c.Coding {
		out = append(out, k.System+"|"+k.Code)
	}
	return out
}

func newStore(resources []json.RawMessage) (*store, error) {
	s := &store{byID: map[string]int{}}
	for _, raw := range resources {
		var x shape
		if err := json.Unmarshal(raw, &x); err != nil {
			return nil, fmt.Errorf("index sandbox resource: %w", err)
		}
		e := entry{kind: x.ResourceType, id: x.ID, status: x.Status, raw: raw}
		e.subject = strings.TrimPrefix(x.Subject.Reference, "Patient/")
		if e.kind == "Patient" {
			e.subject = e.id
		}
		e.encounter = strings.TrimPrefix(cmp.Or(x.Encounter.Reference, x.Context.Reference), "Encounter/")
		e.codes = append(x.Code.tokens(), x.Medication.tokens()...)
		for _, c := range x.Component {
			e.codes = append(e.codes, c.Code.tokens()...)
		}
		for _, c := range x.Contained {
			e.codes = append(e.codes, c.Code.tokens()...)
		}
		e.categories = categoriesOf(x.Category)
		text := cmp.Or(x.Effective, x.EffectivePeriod.Start, x.PerformedPeriod.Start, x.Authored, x.Recorded, x.Period.Start)
		if text != "" {
			at, err := time.Parse(time.RFC3339, text)
			if err != nil {
				return nil, fmt.Errorf("index sandbox resource %s/%s: %w", e.kind, e.id, err)
			}
			e.when = at
		}
		s.byID[e.kind+"/"+e.id] = len(s.entries)
		s.entries = append(s.entries, e)
	}
	return s, nil
}

// categoriesOf reads a category that is one concept on some types and a list on
// others.
func categoriesOf(raw json.RawMessage) []string {
	var many []codeable
	if json.Unmarshal(raw, &many) != nil {
		var one codeable
		if json.Unmarshal(raw, &one) != nil {
			return nil
		}
		many = []codeable{one}
	}
	var out []string
	for _, c := range many {
		out = append(out, c.tokens()...)
	}
	return out
}

func (s *store) read(kind, id string) (json.RawMessage, bool) {
	i, ok := s.byID[kind+"/"+id]
	if !ok {
		return nil, false
	}
	return s.entries[i].raw, true
}

// search finds entries of a type. Parameters it does not know are ignored, as
// FHIR lets a lenient server do, and returned.
func (s *store) search(kind string, q url.Values) (found []entry, ignored []string, err error) {
	tests := []func(entry) bool{func(e entry) bool { return e.kind == kind }}
	newestFirst := false
	for _, name := range slices.Sorted(mapKeys(q)) {
		for _, value := range q[name] {
			test, known, err := s.test(name, value)
			switch {
			case err != nil:
				return nil, nil, err
			case name == "_sort":
				newestFirst = strings.HasPrefix(value, "-")
			case strings.HasPrefix(name, "_") && name != "_id" && name != "_lastUpdated":
			case !known:
				ignored = append(ignored, name)
			default:
				tests = append(tests, test)
			}
		}
	}
next:
	for _, e := range s.entries {
		for _, test := range tests {
			if !test(e) {
				continue next
			}
		}
		found = append(found, e)
	}
	slices.SortStableFunc(found, func(a, b entry) int {
		if newestFirst {
			a, b = b, a
		}
		return a.when.Compare(b.when)
	})
	return found, ignored, nil
}

func mapKeys(q url.Values) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range q {
			if !yield(k) {
				return
			}
		}
	}
}

// test makes the test of one search parameter.
func (s *store) test(name, value string) (test func(entry) bool, known bool, err error) {
	switch name {
	case "patient", "subject":
		want := strings.TrimPrefix(value, "Patient/")
		return func(e entry) bool { return e.subject == want }, true, nil
	case "encounter", "context":
		want := strings.TrimPrefix(value, "Encounter/")
		return func(e entry) bool { return e.encounter == want || e.kind == "Encounter" && e.id == want }, true, nil
	case "_id":
		want := strings.Split(value, ",")
		return func(e entry) bool { return slices.Contains(want, e.id) }, true, nil
	case "status":
		want := strings.Split(value, ",")
		return func(e entry) bool { return slices.Contains(want, e.status) }, true, nil
	case "code":
		return tokenTest(value, func(e entry) []string { return e.codes }), true, nil
	case "category":
		return tokenTest(value, func(e entry) []string { return e.categories }), true, nil
	case "date", "effective-time", "authoredon", "recorded-date":
		return dateTest(value)
	}
	return nil, false, nil
}

// tokenTest matches "system|code", "code" or "|code"; commas mean or.
func tokenTest(value string, of func(entry) []string) func(entry) bool {
	want := strings.Split(value, ",")
	return func(e entry) bool {
		for _, token := range of(e) {
			_, code, _ := strings.Cut(token, "|")
			for _, w := range want {
				system, wantCode, both := strings.Cut(w, "|")
				switch {
				case !both && code == w, both && system != "" && token == w, both && system == "" && code == wantCode:
					return true
				case both && wantCode == "" && strings.HasPrefix(token, system+"|"):
					return true
				}
			}
		}
		return false
	}
}

// dateTest matches a date prefix eq, ge, gt, le or lt and an instant or day.
func dateTest(value string) (func(entry) bool, bool, error) {
	prefix, text := "eq", value
	if len(value) > 2 && value[0] >= 'a' && value[0] <= 'z' {
		prefix, text = value[:2], value[2:]
	}
	lo, err := time.Parse(time.RFC3339, text)
	hi := lo
	if err != nil {
		if lo, err = time.Parse(time.DateOnly, text); err != nil {
			return nil, false, fmt.Errorf("date %q is neither a day nor an instant", text)
		}
		hi = lo.Add(24*time.Hour - time.Nanosecond)
	}
	at := map[string]func(time.Time) bool{
		"eq": func(t time.Time) bool { return !t.Before(lo) && !t.After(hi) },
		"ge": func(t time.Time) bool { return !t.Before(lo) },
		"gt": func(t time.Time) bool { return t.After(hi) },
		"le": func(t time.Time) bool { return !t.After(hi) },
		"lt": func(t time.Time) bool { return t.Before(lo) },
	}[prefix]
	if at == nil {
		return nil, false, fmt.Errorf("date prefix %q is not one of eq, ge, gt, le, lt", prefix)
	}
	return func(e entry) bool { return at(e.when) }, true, nil
}

// pageSize reads _count.
func pageSize(q url.Values) int {
	n, err := strconv.Atoi(q.Get("_count"))
	if err != nil || n < 1 {
		return 200
	}
	return min(n, 1000)
}
