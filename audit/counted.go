// SPDX-License-Identifier: Apache-2.0

package audit

// This file: Counted, what of an entry is counted by. A log keeps it packed for
// many entries at once, so that a count over a million of them reads thousands of
// rows and not a million.

import (
	"bytes"
	"cmp"
	"strings"

	"github.com/google/uuid"
)

// Counted is an entry as it is counted.
type Counted struct {
	TimeNs int64 // since 1970
	*Shape       // many entries share one
	Shown  bool
	// ID is that of an entry with a card or with Refers; else it is empty.
	ID Ref
	// Refers is the entry that this one is about, and Card the first of the cards
	// that it is about; empty where there is none.
	Refers, Card Ref
}

// Shape is what many entries have in common.
type Shape struct {
	Kind, Client string
	UserType     string // type of the FHIR resource that the user is; all of a user that is none
	Unit, Topic  string
	Model        string
	Status       string
	Outcome      string
	Reasons      []string
}

// Texts are places of the shape's strings, always in the same order; Reasons are
// not among them.
func (s *Shape) Texts() []*string {
	return []*string{&s.Kind, &s.Client, &s.UserType, &s.Unit, &s.Topic, &s.Model, &s.Status, &s.Outcome}
}

// CountedOf gives what of an index is counted by.
func CountedOf(x Index) Counted {
	user, _, _ := strings.Cut(x.User, "/")
	c := Counted{
		TimeNs: x.Time.UnixNano(), Shown: x.Shown,
		Shape: &Shape{
			Kind: x.Kind, Client: x.Client, UserType: user, Unit: x.Unit, Topic: x.Topic,
			Model: x.Model, Status: x.Status, Outcome: x.Outcome, Reasons: x.Reasons,
		},
	}
	if x.Shown || x.Refers != "" {
		c.ID = RefOf(x.ID)
	}
	if x.Refers != "" {
		c.Refers = RefOf(x.Refers)
		if len(x.Cards) > 0 {
			c.Card = RefOf(x.Cards[0])
		}
	}
	return c
}

// Ref is an id, small and comparable.
type Ref struct {
	UUID uuid.UUID
	Text string // of an id that is no UUID in the usual form
}

// RefOf is the reference of an id.
func RefOf(id string) Ref {
	if u, err := uuid.Parse(id); err == nil && u != uuid.Nil && u.String() == id {
		return Ref{UUID: u}
	}
	return Ref{Text: id}
}

// Compare orders references; those of UUIDs as their texts are.
func (r Ref) Compare(o Ref) int {
	return cmp.Or(bytes.Compare(r.UUID[:], o.UUID[:]), strings.Compare(r.Text, o.Text))
}

// Counts gives the test of what the filter asks of a Shape and of a card shown. ok
// is false where it asks what is not counted by. Since and Until are not tested;
// order and page play no part.
func (f Filter) Counts() (test func(s *Shape, shown bool) bool, ok bool) {
	for _, v := range []string{f.RequestID, f.HookInstance, f.Service, f.User, f.Patient, f.Encounter, f.Display, f.RulesHash, f.CodeMaps, f.Refers, f.Reason, f.Drug, f.Rule, f.Card} {
		if v != "" {
			return nil, false
		}
	}
	is := func(wanted, v string) bool { return wanted == "" || wanted == v }
	return func(s *Shape, shown bool) bool {
		return is(f.Kind, s.Kind) && is(f.Client, s.Client) && is(f.Unit, s.Unit) && is(f.Topic, s.Topic) &&
			is(f.Model, s.Model) && is(f.Status, s.Status) && is(f.Outcome, s.Outcome) && (f.Shown == nil || *f.Shown == shown)
	}, len(f.Reasons) == 0
}
