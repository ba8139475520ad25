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
	return m.chart(b, m.Stays(b), stayID, at)
}

// chart is Chart of a bag whose stays are known.
func (m *Mapper) chart(b *Bag, stays []state.Stay, stayID string, at time.Time) (*state.Chart, error) {
	person, err := m.person(b)
	if err != nil {
		return nil, err
	}
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
	all := m.Stays(b)
	whole, err = m.chart(b, all, "", time.Time{})
	if err != nil {
		return nil, nil, err
	}
	for _, stay := range all {
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
	a := assembly{at: at, store: b.store, events: make([]*placed, 0, len(b.entries)), resources: make([]fateOf, 0, len(b.entries))}
	tally := state.Tally{Read: b.tally.Read, Used: b.tally.Used, Ignored: b.tally.Ignored, Rejected: b.tally.Rejected, Reasons: maps.Clone(b.tally.Reasons)}
	rejects := slices.Clone(b.rejects)
	names := slices.Clone(b.names)
	slices.SortFunc(names, compareNames)
	for _, is := range names {
		e := b.entries[is]
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

func compareNames(a, b resourceName) int {
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
	e.mapped, e.mappedAt = b.store.newMapped(len(records)), b.lookups
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
