// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: assembly, which collects the events of a chart, puts them in order
// and counts what became of each resource.

import (
	"cmp"
	"slices"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// assembly collects the events of a chart and the fate of each resource.
type assembly struct {
	at        time.Time
	events    []*placed
	resources []fateOf
	store     *store // of the bag; nil: the heap
}

// placed is an event with the record it came from.
type placed struct {
	event
	record   *state.Record
	resource int
	dropped  bool
	at       time.Time
	number   int // in the order the records came in
}

// fateOf is what became of one resource.
type fateOf struct {
	entry    *entry
	used     bool
	reason   string // of the first part that was not used
	rejected bool
	rejects  []state.Reject
}

// resource files the events of one resource and its fate.
func (a *assembly) resource(records []mapped, e *entry) {
	n := len(a.resources)
	f := fateOf{entry: e}
	for i := range records {
		r, ev, out := records[i].record, records[i].event, records[i].out
		if out.fate == used && !a.at.IsZero() && ev.time().After(a.at) {
			out = outcome{ignored, reasonFuture, ""}
			if r.Origin.Via == "prefetch" || r.Origin.Via == "fetch" {
				out.fate = rejected // a live chart holds nothing that has not happened
			}
		}
		switch out.fate {
		case used:
			f.used = true
			p := a.store.newPlaced()
			*p = placed{event: ev, record: r, resource: n, at: ev.time(), number: len(a.events)}
			a.events = append(a.events, p)
			continue
		case rejected:
			f.rejected = true
			f.reason = out.reason
			f.rejects = append(f.rejects, state.Reject{Type: r.Type, ID: r.ID, Part: r.Part, Reason: out.reason, Detail: clip(out.detail), Origin: r.Origin})
		default:
			if f.reason == "" {
				f.reason = out.reason
			}
		}
	}
	if len(records) == 0 {
		f.reason = reasonNoValue
	}
	a.resources = append(a.resources, f)
}

// clip keeps what was received short enough to store.
func clip(s string) string {
	if len(s) <= 80 {
		return s
	}
	return s[:77] + "..."
}

// chart orders the events, drops what reached us twice and indexes records.
func (a *assembly) chart(person state.Person, stay state.Stay, gaps []state.Gap) *state.Chart {
	slices.SortFunc(a.events, comparePlaced)
	a.dropRepeats()
	c := &state.Chart{Person: person, Stay: stay, Gaps: gaps}
	kept := make([]int, 0, len(a.events))
	byRecord := make([]int, len(a.events))
	for i, e := range a.events {
		byRecord[e.number] = i
		if !e.dropped {
			kept = append(kept, i)
		}
	}
	byRecord = slices.DeleteFunc(byRecord, func(i int) bool { return a.events[i].dropped })
	inOrder := func(i, j int) int { return compareRecords(a.events[i].record, a.events[j].record) }
	if !slices.IsSortedFunc(byRecord, inOrder) { // as a rule the resources came in this order
		slices.SortFunc(byRecord, inOrder)
	}
	measurements, administrations := 0, 0
	for _, i := range kept {
		if a.events[i].measurement != nil {
			measurements++
		}
		if a.events[i].administration != nil {
			administrations++
		}
	}
	if measurements > 0 {
		c.Measurements = make([]state.Measurement, 0, measurements)
	}
	if administrations > 0 {
		c.Administrations = make([]state.Administration, 0, administrations)
	}
	position := make([]int, len(a.events))
	c.Records = a.store.newCharted(len(kept))
	for n, i := range byRecord {
		position[i] = n
		c.Records[n] = *a.events[i].record
	}
	for _, i := range kept {
		a.events[i].put(c, position[i])
	}
	return c
}

// put files an event in the chart.
func (e event) put(c *state.Chart, record int) {
	switch {
	case e.measurement != nil:
		v := *e.measurement
		v.Record = record
		c.Measurements = append(c.Measurements, v)
	case e.administration != nil:
		v := *e.administration
		v.Record = record
		c.Administrations = append(c.Administrations, v)
	case e.condition != nil:
		v := *e.condition
		v.Record = record
		c.Conditions = append(c.Conditions, v)
	case e.procedure != nil:
		v := *e.procedure
		v.Record = record
		c.Procedures = append(c.Procedures, v)
	case e.order != nil:
		v := *e.order
		v.Record = record
		c.Orders = append(c.Orders, v)
	}
}

// count adds the fate of every resource to the tally.
func (a *assembly) count(t *state.Tally, rejects *[]state.Reject) {
	alive := make([]bool, len(a.resources))
	for i := range a.events {
		if !a.events[i].dropped {
			alive[a.events[i].resource] = true
		}
	}
	for i := range a.resources {
		f := &a.resources[i]
		*rejects = append(*rejects, f.rejects...)
		switch {
		case alive[i]:
			t.Used++
		case f.used:
			t.Ignored++
			t.Reasons[reasonSameEvent]++
		case f.rejected:
			t.Rejected++
			t.Reasons[f.reason]++
		default:
			t.Ignored++
			t.Reasons[f.reason]++
		}
	}
}

func compareRecords(a, b *state.Record) int {
	if a.Type != b.Type {
		return cmp.Compare(a.Type, b.Type)
	}
	if a.ID != b.ID {
		return cmp.Compare(a.ID, b.ID)
	}
	return cmp.Compare(a.Part, b.Part)
}

func comparePlaced(a, b *placed) int {
	if c := a.at.Compare(b.at); c != 0 {
		return c
	}
	return compareRecords(a.record, b.record)
}

func compareRejects(a, b state.Reject) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Part, b.Part), cmp.Compare(a.Reason, b.Reason),
		cmp.Compare(a.Origin.Key, b.Origin.Key), cmp.Compare(a.Origin.Line, b.Origin.Line))
}
