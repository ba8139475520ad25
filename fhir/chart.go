// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: assembly. Chart maps a bag for one stay; Remap does the same from
// records kept in a receipt. Both go through assemble.

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

const (
	reasonFuture    = "after the decision time"
	reasonSameEvent = "duplicate of another resource"
)

// Chart maps everything in the bag for one stay. stayID "" means the ICU stay
// open at that time, else the newest one begun by then. at is the decision
// time: what happened after it is left out, and counted. A zero at takes
// everything, for cohorts, which cut by time themselves. Errors are
// ErrNoPatient and ErrNoStay.
func (m *Mapper) Chart(b *Bag, stayID string, at time.Time) (*state.Chart, error) {
	person, err := m.person(b)
	if err != nil {
		return nil, err
	}
	stays := m.Stays(b)
	stay, ok := pickStay(stays, stayID, at)
	if !ok && stayID != "" {
		if e, known := b.entries[resourceName{"Encounter", stayID}]; known && undated(e) != "" {
			return nil, fmt.Errorf("%w: Encounter/%s has no usable period.start: %s", ErrNoStay, stayID, undated(e))
		}
		return nil, fmt.Errorf("%w: Encounter/%s", ErrNoStay, stayID)
	}
	a, tally, rejects := m.assemble(b, at)
	chart := a.chart(person, stay, m.gaps(b, stay))
	a.count(&tally, &rejects)
	slices.SortFunc(rejects, compareRejects)
	chart.Tally, chart.Rejects = tally, rejects
	return chart, nil
}

// StayCharts maps the bag for everything that happened: whole is the chart of
// the newest stay, as Chart gives it, and stays are those of the ICU stays
// whose start is charted. They share what they hold and are read-only. Errors
// are those of Chart.
func (m *Mapper) StayCharts(b *Bag) (whole *state.Chart, stays []*state.Chart, err error) {
	whole, err = m.Chart(b, "", time.Time{})
	if err != nil {
		return nil, nil, err
	}
	for _, stay := range m.Stays(b) {
		if !stay.ICU || stay.Start.IsZero() {
			continue
		}
		// Of several stays under one id Chart means the last one.
		if n := len(stays); n > 0 && stays[n-1].Stay.ID == stay.ID {
			stays = stays[:n-1]
		}
		c := *whole
		c.Stay, c.Gaps = stay, m.gaps(b, stay)
		stays = append(stays, &c)
	}
	return whole, stays, nil
}

// assemble maps every resource of a bag and counts those that need no mapping.
func (m *Mapper) assemble(b *Bag, at time.Time) (assembly, state.Tally, []state.Reject) {
	a := assembly{at: at, events: make([]*placed, 0, len(b.entries)), resources: make([]fateOf, 0, len(b.entries))}
	tally := state.Tally{Read: b.tally.Read, Used: b.tally.Used, Ignored: b.tally.Ignored, Rejected: b.tally.Rejected, Reasons: maps.Clone(b.tally.Reasons)}
	rejects := slices.Clone(b.rejects)
	for _, e := range slices.SortedFunc(maps.Values(b.entries), compareEntries) {
		if e.kind == "Patient" || e.kind == "Encounter" {
			if why := undated(e); why != "" {
				tally.Rejected++
				tally.Reasons[why]++
				rejects = append(rejects, state.Reject{Type: e.kind, ID: e.id, Part: "period", Reason: why, Detail: clip(e.decoded.records[0].Start), Origin: e.origin})
				continue
			}
			tally.Used++
			continue
		}
		a.resource(m.mappedOf(b, e), e)
	}
	return a, tally, rejects
}

func compareEntries(a, b *entry) int {
	if a.kind != b.kind {
		return cmp.Compare(a.kind, b.kind)
	}
	return cmp.Compare(a.id, b.id)
}

// Remap maps stored records again. The result equals the Chart they came from,
// but for Tally and Rejects, which only the original resources can give.
func (m *Mapper) Remap(person state.Person, stay state.Stay, gaps []state.Gap, records []state.Record) (*state.Chart, error) {
	var a assembly
	for i := range records {
		ev, out := m.mapRecord(&records[i])
		a.resource([]mapped{{&records[i], ev, out}}, nil)
	}
	return a.chart(person, stay, slices.Clone(gaps)), nil
}

// mapped is a record with its meaning.
type mapped struct {
	record *state.Record
	event  event
	out    outcome
}

// mappedOf maps the records of an entry, once for all charts of a bag: a
// patient with several stays is mapped once. The result is read-only.
func (m *Mapper) mappedOf(b *Bag, e *entry) []mapped {
	if e.mapped != nil && e.mappedAt == b.lookups {
		return e.mapped
	}
	records := b.records(e)
	e.mapped, e.mappedAt = b.room.take(len(records)), b.lookups
	for i := range records {
		ev, out := m.mapRecord(&records[i])
		e.mapped[i] = mapped{&records[i], ev, out}
	}
	return e.mapped
}

// records returns the records of an entry with references resolved.
func (b *Bag) records(e *entry) []state.Record {
	out := e.decoded.records
	if e.decoded.specimen != "" || e.decoded.drugRef != "" || e.decoded.drugText != "" {
		out = slices.Clone(out) // what it refers to may come in later
	}
	for i := range out {
		out[i].Origin = e.origin
		out[i].Origin.Line = 0 // where in a file a resource stood is no part of what it says
		if e.decoded.specimen != "" {
			out[i].Specimen = b.specimen(e.decoded)
		}
		if e.decoded.drugRef != "" || e.decoded.drugText != "" {
			b.medicate(&out[i], e.decoded)
		}
	}
	return out
}

func (b *Bag) specimen(d *decoded) []state.Coding {
	if c, ok := d.specimens[d.specimen]; ok {
		return c
	}
	to := b.resolve(d.specimen)
	if c, ok := b.own.specimens[to]; ok {
		return c
	}
	if b.shared != nil {
		return b.shared.specimens[to]
	}
	return nil
}

func (b *Bag) medicine(reference string, d *decoded) *medicine {
	if in, ok := d.contained[reference]; ok {
		return in
	}
	if _, known := b.aliases[reference]; !known && b.foreign(reference) {
		return nil
	}
	to := b.resolve(reference)
	if !strings.Contains(to, "/") {
		to = "Medication/" + to // urn:uuid of a resource that has it for its id
	}
	if in, ok := b.own.medicines[to]; ok {
		return in
	}
	if b.shared != nil {
		return b.shared.medicines[to]
	}
	return nil
}

// foreign says whether a reference points out of the server the bag is of.
func (b *Bag) foreign(reference string) bool {
	return b.Base != "" && strings.Contains(reference, "://") && !strings.HasPrefix(reference, strings.TrimSuffix(b.Base, "/")+"/")
}

// medicate writes the medication a record refers to into the record. Where it
// was not supplied, the words of the reference are all there is.
func (b *Bag) medicate(r *state.Record, d *decoded) {
	in := b.medicine(d.drugRef, d)
	if in == nil {
		if r.Text = cmp.Or(r.Text, d.drugText); r.Text == "" && len(r.Codes) == 0 {
			r.Codes = []state.Coding{{Code: d.drugRef}} // tells one unnamed drug from another
		}
		return
	}
	r.Codes = append(slices.Clone(r.Codes), in.codes...)
	r.Text = cmp.Or(r.Text, in.text, d.drugText)
	first := len(r.Ingredients)
	r.Ingredients = append(slices.Clone(r.Ingredients), in.ingredients...)
	for _, ref := range in.refs {
		if part := b.medicine(ref.to, d); part != nil {
			i := &r.Ingredients[first+ref.part]
			i.Codes, i.Text = part.codes, cmp.Or(part.text, i.Text)
		}
	}
}

// assembly collects the events of a chart and the fate of each resource.
type assembly struct {
	at        time.Time
	events    []*placed
	resources []fateOf
	room      slab[placed]
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
			p := &a.room.take(1)[0]
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
	c.Records = make([]state.Record, len(kept))
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

const reasonNobody = "of a patient who is not in the export"

// CountNobody counts the resources of a bag that has no Patient resource, so
// that they too are used, ignored or rejected once.
func (b *Bag) CountNobody() state.Tally {
	t := state.Tally{Read: b.tally.Read, Used: b.tally.Used, Ignored: b.tally.Ignored, Rejected: b.tally.Rejected, Reasons: maps.Clone(b.tally.Reasons)}
	if n := len(b.entries); n > 0 {
		t.Ignored += n
		t.Reasons[reasonNobody] += n
	}
	return t
}
