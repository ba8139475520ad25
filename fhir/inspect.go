// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: inspect, a single pass over the bytes of a resource that finds
// what is needed to route or skip it, and the two things that the JSON decoder
// below samply's models lets pass: member names in the wrong case, and numbers
// in quotes. Whole charts have 25,000 resources, most of them of no interest;
// only what passes here is decoded.

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Faults that inspect finds, used as reasons for a reject.
const (
	faultBroken   = "broken JSON"
	faultNotAnObj = "not a JSON object"
	faultCase     = "member name in the wrong case"
	faultQuoted   = "number in quotes"
	faultTwice    = "member given twice"
	faultDeep     = "nested too deeply"
)

const maxNesting = 64

// head is what inspect learns of a resource.
type head struct {
	kind      string // resourceType
	id        string
	patient   string // reference of subject or patient, as received
	encounter string // reference of encounter or context
	updated   string // meta.lastUpdated
	wanted    bool   // a code of the resource or of a component is wanted
	hasRate   bool   // dosage has a rate
	hasDose   bool   // dosage has a dose
	hasStatus bool
	provider  string // Encounter.serviceProvider
	partOf    string // Encounter.partOf
	fault     string
}

// place is where in a resource the scanner stands.
type place uint8

const (
	elsewhere place = iota
	top
	inSubject
	inEncounter
	inMeta
	inCode
	inCoding
	inComponent
	inQuantity
	inDosage
	inProvider
	inPartOf
)

// members lists the member names whose case matters, by exact name.
var members = map[string]bool{}

// folded maps their lower-case form to the exact one.
var folded = map[string]string{}

// quantities are the members whose value is a Quantity.
var quantities = map[string]bool{}

func init() {
	for _, m := range strings.Fields(`resourceType id meta lastUpdated versionId security tag text status subject patient reference encounter
		context code coding system display component method category value unit comparator valueQuantity valueCodeableConcept valueString
		valueInteger valueBoolean valueRatio effectiveDateTime effectivePeriod effectiveInstant effectiveTiming issued start end period specimen
		bodySite dataAbsentReason medicationCodeableConcept medicationReference dosage dose rateQuantity rateRatio numerator denominator route
		dosageInstruction doseAndRate doseQuantity extension url ingredient itemCodeableConcept itemReference strength contained identifier
		clinicalStatus verificationStatus onsetDateTime onsetPeriod recordedDate abatementDateTime performedDateTime performedPeriod authoredOn
		intent gender birthDate deceasedBoolean deceasedDateTime class type location physicalType serviceProvider partOf hospitalization
		dischargeDisposition doNotPerform quantityQuantity entry resource fullUrl link relation search mode total name`) {
		members[m] = true
		folded[strings.ToLower(m)] = m
	}
	for _, m := range strings.Fields(`valueQuantity dose rateQuantity numerator denominator doseQuantity quantityQuantity low high`) {
		quantities[m] = true
	}
}

// inspect reads raw once. want says whether an observation code is of interest.
func inspect(raw []byte, want func(system, code []byte) bool) head {
	if !json.Valid(raw) {
		return head{fault: faultBroken}
	}
	return inspectValid(raw, want)
}

// inspectValid is inspect for bytes already known to be valid JSON.
func inspectValid(raw []byte, want func(system, code []byte) bool) head {
	var h head
	s := scanner{raw: raw, head: &h, want: want}
	s.space()
	if s.at >= len(raw) || raw[s.at] != '{' {
		h.fault = faultNotAnObj
		return h
	}
	s.object(top, 0)
	return h
}

// scanner walks bytes already known to be valid JSON.
type scanner struct {
	raw  []byte
	at   int
	head *head
	want func(system, code []byte) bool
}

func (s *scanner) space() {
	for s.at < len(s.raw) {
		switch s.raw[s.at] {
		case ' ', '\n', '\r', '\t':
			s.at++
		default:
			return
		}
	}
}

// str reads a string token and returns what is between the quotes, raw.
func (s *scanner) str() []byte {
	s.at++
	start := s.at
	for {
		i := bytes.IndexByte(s.raw[s.at:], '"')
		s.at += i
		slashes := 0
		for k := s.at - 1; k >= start && s.raw[k] == '\\'; k-- {
			slashes++
		}
		s.at++
		if slashes%2 == 0 {
			return s.raw[start : s.at-1]
		}
	}
}

// unquoted is the text of a raw string token.
func unquoted(token []byte) string {
	if bytes.IndexByte(token, '\\') < 0 {
		return string(token)
	}
	var out string
	if json.Unmarshal(append(append([]byte{'"'}, token...), '"'), &out) != nil {
		return string(token)
	}
	return out
}

func (s *scanner) object(p place, depth int) {
	s.at++ // {
	var system, code []byte
	var seen uint32 // of topMembers
	for {
		s.space()
		if s.raw[s.at] == '}' {
			s.at++
			break
		}
		if s.raw[s.at] == ',' {
			s.at++
			s.space()
		}
		name := s.str()
		s.checkName(name)
		if p == top {
			s.once(&seen, name)
		}
		s.space()
		s.at++ // :
		s.space()
		if s.raw[s.at] == '"' {
			value := s.str()
			switch {
			case p == inQuantity && string(name) == "value":
				s.head.fault = faultQuoted
			case p == inCoding && string(name) == "system":
				system = value
			case p == inCoding && string(name) == "code":
				code = value
			default:
				s.text(p, name, value)
			}
			continue
		}
		s.value(s.enter(p, name), depth)
	}
	if p == inCoding && code != nil && s.want != nil && s.want(system, code) {
		s.head.wanted = true
	}
}

// value skips or enters the value at the current position.
func (s *scanner) value(p place, depth int) {
	if depth > maxNesting {
		s.head.fault = faultDeep
	}
	switch s.raw[s.at] {
	case '{':
		s.object(p, depth+1)
	case '[':
		s.at++
		for {
			s.space()
			switch s.raw[s.at] {
			case ']':
				s.at++
				return
			case ',':
				s.at++
				s.space()
			}
			s.value(p, depth+1)
		}
	case '"':
		s.str()
	default: // number, true, false, null
		for s.at < len(s.raw) {
			switch s.raw[s.at] {
			case ',', '}', ']', ' ', '\n', '\r', '\t':
				return
			}
			s.at++
		}
	}
}

// enter gives the place of the value of member name of place p.
func (s *scanner) enter(p place, name []byte) place {
	if quantities[string(name)] {
		if p == inDosage {
			s.head.hasDose = s.head.hasDose || string(name) == "dose"
			s.head.hasRate = s.head.hasRate || string(name) == "rateQuantity"
		}
		return inQuantity
	}
	switch p {
	case top:
		switch string(name) {
		case "subject", "patient":
			return inSubject
		case "encounter", "context":
			return inEncounter
		case "meta":
			return inMeta
		case "code":
			return inCode
		case "component":
			return inComponent
		case "dosage":
			return inDosage
		case "serviceProvider":
			return inProvider
		case "partOf":
			return inPartOf
		}
	case inComponent:
		if string(name) == "code" {
			return inCode
		}
	case inCode:
		if string(name) == "coding" {
			return inCoding
		}
	case inDosage:
		if string(name) == "rateRatio" {
			s.head.hasRate = true
		}
	}
	return elsewhere
}

// text takes a string member.
func (s *scanner) text(p place, name, value []byte) {
	switch p {
	case top:
		switch string(name) {
		case "resourceType":
			s.head.kind = unquoted(value)
		case "id":
			s.head.id = unquoted(value)
		case "status":
			s.head.hasStatus = len(value) > 0
		}
	case inSubject:
		if string(name) == "reference" {
			s.head.patient = unquoted(value)
		}
	case inEncounter:
		if string(name) == "reference" {
			s.head.encounter = unquoted(value)
		}
	case inProvider:
		if string(name) == "reference" {
			s.head.provider = unquoted(value)
		}
	case inPartOf:
		if string(name) == "reference" {
			s.head.partOf = unquoted(value)
		}
	case inMeta:
		if string(name) == "lastUpdated" {
			s.head.updated = unquoted(value)
		}
	}
}

// checkName notes a member name that the decoder would accept in any case.
func (s *scanner) checkName(name []byte) {
	if members[string(name)] {
		return
	}
	if exact, ok := folded[strings.ToLower(string(name))]; ok && exact != string(name) {
		s.head.fault = faultCase
	}
}

// topMembers numbers the members whose repetition would change a meaning.
var topMembers = map[string]uint{"resourceType": 0, "id": 1, "status": 2, "subject": 3, "patient": 4, "code": 5, "valueQuantity": 6,
	"effectiveDateTime": 7, "effectivePeriod": 8, "dosage": 9, "component": 10, "medicationCodeableConcept": 11, "period": 12, "birthDate": 13}

func (s *scanner) once(seen *uint32, name []byte) {
	i, ok := topMembers[string(name)]
	if !ok {
		return
	}
	if *seen&(1<<i) != 0 {
		s.head.fault = faultTwice
	}
	*seen |= 1 << i
}
