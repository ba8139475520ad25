// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: what one scan took from an Observation or a
// MedicationAdministration, as Records.

import (
	"cmp"
	"errors"
	"strconv"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Extensions that carry what R4 has no element for: the content of the bag and
// the pump's volume rate beside a mass rate.
const (
	extConcentration = "infusion-concentration"
	extPumpRate      = "pump-rate"
	extDosingWeight  = "dosing-weight"
)

// decodeHot reads one resource of the two types.
func (m *Mapper) decodeHot(raw []byte) (*decoded, error) {
	s := scans.Get().(*scan)
	defer scans.Put(s)
	s.resource(raw, nil)
	return s.decoded(m, raw)
}

// decoded makes the Records of the resource raw that was just read, which must be
// of one of the two types.
func (s *scan) decoded(m *Mapper, raw []byte) (*decoded, error) {
	if s.head.fault != "" {
		return nil, errors.New(s.head.fault)
	}
	if s.wrong != nil {
		return nil, s.wrong
	}
	var d *decoded
	if s.head.kind == kindObservation {
		d = s.decodeObservation()
	} else {
		d = s.decodeAdministration()
	}
	if s.sheet.contained {
		d.readContained(m, raw)
	}
	return d, nil
}

// decodeObservation makes the Records of an Observation that was just read.
func (s *scan) decodeObservation() *decoded {
	sh := &s.sheet
	// The first record is the whole one; what it shares with its components is
	// read first.
	records := s.store.newRecords(1 + len(sh.components))
	main := &records[0]
	main.Status, main.Patient, main.Encounter = s.words.keep(sh.status), s.words.keep(sh.subject.to), s.words.keep(sh.encounter.to)
	main.Issued, main.Method, main.MethodText = cooked(sh.issued), s.codings(&sh.method), s.wording(&sh.method)
	main.Device = s.words.keep(sh.device.display)
	main.Tags = s.labelled(&sh.tags)
	switch {
	case sh.effective != nil:
		main.Start = cooked(sh.effective)
	case sh.effectiveAt != nil:
		main.Start = cooked(sh.effectiveAt)
	case sh.period.given:
		main.Start, main.End, main.IsPeriod = cooked(sh.period.start), cooked(sh.period.end), true
	}
	main.Site = s.codings(&sh.site)
	for i := range sh.components {
		c, part := &sh.components[i], &records[1+i]
		*part = *main
		part.Part = "component[" + strconv.Itoa(i) + "]"
		part.Codes, part.Text = s.codings(&c.code), cooked(c.code.text)
		s.valued(part, &c.value)
	}
	main.Codes, main.Text = s.codings(&sh.code), cooked(sh.code.text)
	s.valued(main, &sh.value)
	d := s.store.newDecoded()
	d.specimen, d.records = cooked(sh.specimen.to), records
	if len(sh.components) > 0 && main.Value == nil && main.ValueText == "" && len(main.ValueCodes) == 0 {
		d.records = records[1:]
	}
	return d
}

// valued takes the kinds of value that can be a number.
func (s *scan) valued(r *state.Record, v *valueSheet) {
	switch {
	case v.quantity.given:
		r.Value = s.amount(&v.quantity)
	case v.integer != nil:
		n, _ := strconv.Atoi(string(v.integer)) // checked when it was read; -0 is 0
		r.Value = &state.Quantity{Value: strconv.Itoa(n)}
	case v.concept.given:
		r.ValueCodes, r.ValueText = s.codings(&v.concept), s.wording(&v.concept)
	case v.text != nil:
		r.ValueText = cooked(v.text)
	default:
		r.ValueKind = s.words.keep(v.kind)
	}
	r.Absent = cmp.Or(codeText(s.codings(&v.absent)), s.wording(&v.absent))
}

// decodeAdministration makes the Record of a MedicationAdministration that was
// just read.
func (s *scan) decodeAdministration() *decoded {
	sh := &s.sheet
	records := s.store.newRecords(1)
	r := &records[0]
	*r = state.Record{Status: s.words.keep(sh.status), Categories: s.codings(&sh.category), Codes: s.codings(&sh.code), Text: cooked(sh.code.text),
		Patient: s.words.keep(sh.subject.to), Encounter: s.words.keep(sh.encounter.to), Tags: s.labelled(&sh.tags)}
	if r.Text == "" {
		r.Text = s.wording(&sh.code)
	}
	if sh.period.start != nil || sh.period.end != nil {
		r.Start, r.End, r.IsPeriod = cooked(sh.period.start), cooked(sh.period.end), true
	} else {
		r.Start = cooked(sh.effective)
	}
	if sh.dosage {
		r.Dose, r.Rate = s.amount(&sh.dose), s.amount(&sh.rate)
		if sh.ratio.given {
			r.Rate, r.RatePer = s.amount(&sh.ratio.num), s.amount(&sh.ratio.den)
		}
		r.Method, r.Site = s.codings(&sh.method), s.codings(&sh.site)
		r.MethodText = s.words.keep(sh.text)
		if sh.site.given && len(r.Site) == 0 {
			r.Site = []state.Coding{{Display: s.words.keep(sh.site.text)}}
		}
		s.pumped(r, true)
	}
	s.pumped(r, false)
	d := s.store.newDecoded()
	d.records, d.drugRef, d.drugText = records, cooked(sh.medicine.to), s.words.keep(sh.medicine.display)
	return d
}

// pumped reads bag content, pump rate and dosing weight by the last part of
// the extension's URL.
func (s *scan) pumped(r *state.Record, inDosage bool) {
	for i := range s.sheet.extensions {
		e := &s.sheet.extensions[i]
		if e.inDosage != inDosage {
			continue
		}
		url := s.words.keep(e.url)
		switch name := url[strings.LastIndexAny(url, ":/")+1:]; {
		case name == extConcentration && e.ratio.given:
			r.Strength, r.Volume = s.amount(&e.ratio.num), s.amount(&e.ratio.den)
		case name == extPumpRate && e.quantity.given:
			r.PumpRate = s.amount(&e.quantity)
		case name == extDosingWeight && e.quantity.given:
			r.DoseWeight = s.amount(&e.quantity)
		}
	}
}

func (s *scan) codings(c *conceptSheet) []state.Coding {
	if c.from == c.to {
		return nil
	}
	out := s.store.newCodings(c.to - c.from)[:0]
	for _, k := range s.sheet.codings[c.from:c.to] {
		if k.code == nil && k.display == nil {
			continue
		}
		out = append(out, state.Coding{System: s.words.keep(k.system), Code: s.words.keep(k.code), Display: s.words.keep(k.display)})
	}
	return out
}

// labelled is codings for security labels and tags.
func (s *scan) labelled(c *conceptSheet) []state.Coding {
	var out []state.Coding
	for _, k := range s.sheet.codings[c.from:c.to] {
		out = append(out, state.Coding{System: s.words.keep(k.system), Code: s.words.keep(k.code)})
	}
	return out
}

// wording is the text of a concept, or the display of its first coding.
func (s *scan) wording(c *conceptSheet) string {
	if len(c.text) > 0 {
		return s.words.keep(c.text)
	}
	for _, k := range s.sheet.codings[c.from:c.to] {
		if len(k.display) > 0 {
			return s.words.keep(k.display)
		}
	}
	return ""
}

func (s *scan) amount(q *quantitySheet) *state.Quantity {
	if !q.given {
		return nil
	}
	out := s.store.newAmount()
	*out = state.Quantity{Value: s.words.keep(q.value), Comparator: s.words.keep(q.comparator), Unit: s.words.keep(q.unit),
		System: s.words.keep(q.system), Code: s.words.keep(q.code)}
	return out
}
