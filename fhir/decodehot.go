// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: Observations and MedicationAdministrations, nine in ten of all
// resources, read in one pass over their bytes; hotrecords.go makes Records of
// what it took. Tests compare the result with what samply's models say of the
// same bytes.

import (
	"bytes"
)

const (
	kindObservation    = "Observation"
	kindAdministration = "MedicationAdministration"
)

// guessWithin is how far guessKind looks: a page may hold very many resources
// that do not say what they are.
const guessWithin = 4 << 10

// guessKind looks for the resource type where writers put it. The guess says
// how to read; whether it was right shows at the end.
func guessKind(raw []byte) string {
	const member = `"resourceType":"`
	raw = raw[:min(len(raw), guessWithin)]
	at := bytes.Index(raw, []byte(member))
	if at < 0 {
		return ""
	}
	switch rest := raw[at+len(member):]; {
	case bytes.HasPrefix(rest, []byte(kindObservation+`"`)):
		return kindObservation
	case bytes.HasPrefix(rest, []byte(kindAdministration+`"`)):
		return kindAdministration
	}
	return ""
}

// resource reads a whole resource, of any type, into s.head and, for the two
// types of this file, s.sheet.
func (s *scan) resource(raw []byte, want func(system, code []byte) bool) {
	s.begin(raw)
	if s.peek(); !s.broken {
		s.member(want)
	}
	if s.space(); s.broken || s.at != len(s.raw) {
		s.head = head{fault: faultBroken}
	}
}

// member is resource for one that is part of what s reads, from s.at on.
func (s *scan) member(want func(system, code []byte) bool) {
	start, depth := s.at, s.depth
	guess := guessKind(s.raw[start:])
	s.readAs(guess, want)
	if kind := s.head.kind; !s.broken && kind != guess && (guess != "" || kind == kindObservation || kind == kindAdministration) {
		if kind != kindObservation && kind != kindAdministration {
			kind = ""
		}
		s.at = start
		s.readAs(kind, want)
	}
	s.depth = depth
	if s.broken {
		s.head = head{fault: faultBroken}
	}
}

func (s *scan) readAs(kind string, want func(system, code []byte) bool) {
	s.depth, s.wrong, s.head, s.want = 0, nil, head{}, want
	s.sheet.reset()
	switch {
	case s.raw[s.at] != '{':
		s.skip()
		s.head = head{fault: faultNotAnObj}
	case kind == kindObservation:
		s.observation()
	case kind == kindAdministration:
		s.administration()
	default:
		s.walk(top)
	}
}

// common reads the members that both types have, and passes over others.
func (s *scan) common(name []byte, in *shape) {
	sh := &s.sheet
	switch string(name) {
	case "resourceType":
		var kind []byte
		s.unset(s.head.kind == "")
		if s.string(&kind); kind != nil {
			s.head.kind = s.words.keep(kind)
		}
	case "id":
		s.string(&sh.id)
		s.head.id = cooked(sh.id)
	case "meta":
		s.metaOf()
		s.head.updated = cooked(sh.updated)
	case "subject":
		s.reference(&sh.subject)
		s.head.patient = s.words.keep(sh.subject.to)
	case "patient":
		s.walk(inSubject)
	case "contained":
		sh.contained = true
		s.skip()
	case "effectiveDateTime":
		s.string(&sh.effective)
	case "effectivePeriod":
		s.periodOf(&sh.period)
	default:
		s.other(in, name)
	}
}

func (s *scan) observation() {
	sh := &s.sheet
	var category, interpretation bool
	for name := s.open(); name != nil; name = s.next() {
		switch string(name) {
		case "status":
			s.unset(sh.status == nil)
			start := s.at
			if s.raw[s.at] == '"' {
				sh.status = s.str()
			}
			if string(sh.status) != "final" {
				s.at = start
				s.check(observationShape.members["status"])
			}
			s.head.hasStatus = len(sh.status) > 0
		case "category":
			s.passConcepts(&category)
		case "interpretation":
			s.passConcepts(&interpretation)
		case "code":
			s.concept(&sh.code, true)
		case "encounter":
			s.reference(&sh.encounter)
			s.head.encounter = s.words.keep(sh.encounter.to)
		case "context":
			s.walk(inEncounter)
		case "effectiveInstant":
			s.string(&sh.effectiveAt)
		case "issued":
			s.string(&sh.issued)
		case "bodySite":
			s.concept(&sh.site, false)
		case "method":
			s.concept(&sh.method, false)
		case "specimen":
			s.reference(&sh.specimen)
		case "device":
			s.reference(&sh.device)
		case "component":
			if !s.array(&sh.componentsGiven) {
				continue
			}
			for ok := s.list(); ok; ok = s.more() {
				sh.components = append(sh.components, componentSheet{})
				s.component(&sh.components[len(sh.components)-1])
			}
		default:
			if !s.valueOf(&sh.value, name) {
				s.common(name, observationShape)
			}
		}
	}
}

func (s *scan) component(c *componentSheet) {
	given := false
	if !s.object(&given) {
		return
	}
	for name := s.open(); name != nil; name = s.next() {
		switch {
		case string(name) == "code":
			s.concept(&c.code, true)
		case s.valueOf(&c.value, name):
		default:
			s.other(componentShape, name)
		}
	}
}

func (s *scan) administration() {
	sh := &s.sheet
	extension := false
	for name := s.open(); name != nil; name = s.next() {
		switch string(name) {
		case "status":
			s.string(&sh.status)
			s.head.hasStatus = len(sh.status) > 0
		case "category":
			s.concept(&sh.category, false)
		case "medicationCodeableConcept":
			s.concept(&sh.code, false)
		case "medicationReference":
			s.reference(&sh.medicine)
		case "context":
			s.reference(&sh.encounter)
			s.head.encounter = s.words.keep(sh.encounter.to)
		case "encounter":
			s.walk(inEncounter)
		case "dosage":
			s.dosage()
		case "extension":
			s.extensionsOf(false, &extension)
		default:
			s.common(name, administrationShape)
		}
	}
}

func (s *scan) dosage() {
	sh := &s.sheet
	if !s.object(&sh.dosage) {
		return
	}
	extension := false
	for name := s.open(); name != nil; name = s.next() {
		switch string(name) {
		case "dose":
			s.head.hasDose = s.head.hasDose || s.raw[s.at] == '{'
			s.quantity(&sh.dose)
		case "rateQuantity":
			s.head.hasRate = s.head.hasRate || s.raw[s.at] == '{'
			s.quantity(&sh.rate)
		case "rateRatio":
			s.head.hasRate = s.head.hasRate || s.raw[s.at] == '{'
			s.ratioOf(&sh.ratio)
		case "method":
			s.concept(&sh.method, false)
		case "route":
			s.concept(&sh.site, false)
		case "text":
			s.string(&sh.text)
		case "extension":
			s.extensionsOf(true, &extension)
		default:
			s.other(dosageShape, name)
		}
	}
}
