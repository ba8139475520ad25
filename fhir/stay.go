// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: the patient, the ICU stays among the encounters, the outcome
// labels, and the gaps that come from what was never supplied.

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// person reads the one Patient of the bag.
func (m *Mapper) person(b *Bag) (state.Person, error) {
	e, ok := b.entries[resourceName{"Patient", b.PatientID}]
	if !ok {
		return state.Person{}, fmt.Errorf("%w: no Patient resource", ErrNoPatient)
	}
	r := e.decoded.records[0]
	p := state.Person{ID: b.PatientID, Sex: r.Gender}
	if from, _, err := moment(r.BirthDate); err == nil {
		p.BirthDate = from
	}
	for _, t := range r.Tags {
		p.Synthetic = p.Synthetic || t.Code == "HTEST"
	}
	return p, nil
}

// Stays lists the patient's ICU stays, by start. Where no encounter can be
// told to be one, the inpatient encounters are listed with ICUKnown false.
func (m *Mapper) Stays(b *Bag) []state.Stay {
	var icu, within, other []state.Stay
	var encounters []*entry
	for _, is := range b.names {
		if is.kind == "Encounter" {
			encounters = append(encounters, b.entries[is])
		}
	}
	slices.SortFunc(encounters, func(a, b *entry) int { return cmp.Compare(a.id, b.id) })
	for _, e := range encounters {
		explicit, located, whole := m.staysOf(b, e)
		icu, within = append(icu, explicit...), append(within, located...)
		if whole != nil {
			other = append(other, *whole)
		}
	}
	// A hospital that has encounters for ICU stays repeats them as locations of
	// the hospital stay; the encounters are the better record.
	stays := icu
	if len(stays) == 0 {
		stays = within
	}
	if len(stays) == 0 {
		stays = other
	}
	slices.SortFunc(stays, func(a, b state.Stay) int { return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.ID, b.ID)) })
	return stays
}

// staysOf reads one encounter: an ICU stay itself, or the ICU stays among its
// locations, or the whole of it when it is an inpatient encounter that could
// be one.
func (m *Mapper) staysOf(b *Bag, e *entry) (explicit, located []state.Stay, whole *state.Stay) {
	r := e.decoded.records[0]
	switch r.Status {
	case "entered-in-error", "cancelled", "planned":
		return nil, nil, nil
	}
	stay := state.Stay{ID: e.id, Hospital: m.hospital(b, e), Unit: r.Text}
	stay.Start, _ = instant(r.Start)
	stay.End, _ = instant(r.End)
	m.outcome(b, e, &stay)
	if stay.Start.IsZero() {
		return nil, nil, nil
	}
	if m.isICU(r.Codes, r.Text) || m.hasICUIdentifier(r.Categories) {
		stay.ICU, stay.ICUKnown = true, true
		if unit := m.unitName(b, e); unit != "" {
			stay.Unit = unit
		}
		return []state.Stay{stay}, nil, nil
	}
	known := false
	for _, l := range e.decoded.records[1:] {
		name, codes := l.Text, l.Codes
		if w, ok := b.place(l.PartOf); ok {
			name, codes = cmp.Or(name, w.name), append(slices.Clone(codes), w.codes...)
		}
		known = known || name != ""
		if !m.isICU(codes, name+" "+l.MethodText) {
			continue
		}
		s := stay
		s.ICU, s.ICUKnown, s.Unit = true, true, name
		if t, err := instant(l.Start); err == nil {
			s.Start = t
		}
		s.End = time.Time{}
		if t, err := instant(l.End); err == nil {
			s.End = t
		}
		// Two beds of one unit in a row are one stay.
		if n := len(located); n > 0 && !s.Start.After(later(located[n-1].End, located[n-1].Start).Add(time.Hour)) {
			located[n-1].End = s.End
			continue
		}
		located = append(located, s)
	}
	if len(located) > 0 {
		return nil, located, nil
	}
	switch r.Class {
	case "AMB", "VR", "HH", "FLD":
		return nil, nil, nil
	}
	stay.ICUKnown = known
	return nil, nil, &stay
}

// undated says why an encounter with a start cannot be a stay: its start is
// not an instant. Empty: it can, or it has none to say.
func undated(e *entry) string {
	r := &e.decoded.records[0]
	if e.kind != "Encounter" || r.Start == "" {
		return ""
	}
	if _, err := instant(r.Start); err != nil {
		return timeReason(err)
	}
	return ""
}

func (b *Bag) place(reference string) (ward, bool) {
	to := b.resolve(reference)
	if w, ok := b.own.places[to]; ok {
		return w, true
	}
	if b.shared == nil {
		return ward{}, false
	}
	w, ok := b.shared.places[to]
	return w, ok
}

func (m *Mapper) hasICUIdentifier(systems []state.Coding) bool {
	for _, s := range systems {
		if m.x.icuSystems[s.System] {
			return true
		}
	}
	return false
}

func (m *Mapper) isICU(list []state.Coding, text string) bool {
	for _, c := range list {
		if m.x.icuCodes[key{c.System, c.Code}] || contains(m.x.enc.ICUTypes, c.Code) {
			return true
		}
	}
	low := strings.ToLower(text)
	return containsAny(low, m.x.enc.ICUWords) && !containsAny(low, m.x.enc.NotICUWords)
}

// unitName is the name of the ward an ICU encounter was at.
func (m *Mapper) unitName(b *Bag, e *entry) string {
	for _, l := range e.decoded.records[1:] {
		if w, ok := b.place(l.PartOf); ok && w.name != "" {
			return w.name
		}
		if l.Text != "" {
			return l.Text
		}
	}
	return ""
}

// hospital follows partOf up to the organisation that runs the stay.
func (m *Mapper) hospital(b *Bag, e *entry) string {
	for range 4 {
		r := e.decoded.records[0]
		if r.Provider != "" {
			return b.resolve(r.Provider)
		}
		_, id := splitReference(r.PartOf)
		up, ok := b.entries[resourceName{"Encounter", id}]
		if !ok {
			return ""
		}
		e = up
	}
	return ""
}

// outcome fills the labels that only training and evaluation read.
func (m *Mapper) outcome(b *Bag, e *entry, s *state.Stay) {
	for up := e; up != nil; {
		r := up.decoded.records[0]
		if r.Disposition != "" {
			s.OutcomeKnown = true
			s.DiedInHospital = m.died(r)
		}
		_, id := splitReference(r.PartOf)
		up = b.entries[resourceName{"Encounter", id}]
		if up == e || id == "" {
			break
		}
	}
	p, ok := b.entries[resourceName{"Patient", b.PatientID}]
	if !ok {
		return
	}
	r := p.decoded.records[0]
	if death, known, err := moment(r.Deceased); err == nil {
		s.DeathTime = death
		if !s.Start.IsZero() {
			s.Died90dKnown, s.DiedWithin90d = true, known.Sub(s.Start) <= 91*24*time.Hour
		}
	} else {
		for _, id := range r.Categories {
			s.Died90dKnown = s.Died90dKnown || m.x.deathSystems[id.System]
		}
	}
	if s.DiedInHospital && (s.End.IsZero() || s.End.Sub(s.Start) < 90*24*time.Hour) {
		s.Died90dKnown, s.DiedWithin90d = true, true
	}
}

func (m *Mapper) died(r state.Record) bool {
	for _, c := range r.ValueCodes {
		if m.x.diedCodes[key{c.System, c.Code}] {
			return true
		}
	}
	return contains(m.x.enc.DiedText, strings.ToLower(r.Disposition))
}

// pickStay chooses a stay by id, or the ICU stay open at that time, or the
// newest one begun by then. A zero time takes the newest.
func pickStay(stays []state.Stay, id string, at time.Time) (state.Stay, bool) {
	var best state.Stay
	found, open := false, false
	for _, s := range stays {
		if id != "" {
			// A hospital encounter can hold several ICU stays under one id.
			if s.ID == id && (!found || at.IsZero() || !s.Start.After(at)) {
				best, found = s, true
			}
			continue
		}
		if !at.IsZero() && s.Start.After(at) {
			continue
		}
		isOpen := !at.IsZero() && (s.End.IsZero() || s.End.After(at))
		if !found || isOpen || !open {
			best, found, open = s, true, isOpen
		}
	}
	return best, found
}

// gaps lists what was never supplied, and what the hospital is known not to
// chart.
func (m *Mapper) gaps(b *Bag, stay state.Stay) []state.Gap {
	var out []state.Gap
	missing := map[string]bool{}
	for _, n := range neededTypes {
		if !b.asked[n.kind] {
			out = append(out, state.Gap{What: n.gap, Reason: "no " + n.kind + " was supplied"})
			missing[n.gap] = true
		}
	}
	if b.charting != nil {
		if c, ok := b.charting(stay.Hospital); ok {
			if c.Infusions == 0 && !missing["vasopressor"] {
				out = append(out, state.Gap{What: "vasopressor", Reason: "this hospital charts no infusion rates here"})
			}
			if c.Fluids == 0 && !missing["fluid"] {
				out = append(out, state.Gap{What: "fluid", Reason: "this hospital charts no fluids here"})
			}
		}
	}
	return append(out, m.unreadGaps(b, stay)...)
}
