// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: inspect, the pass over the bytes of a resource of any type that
// finds what is needed to route or skip it. Whole charts have 25,000
// resources, most of them of no interest; only what passes here is decoded.

import (
	"strings"
	"sync"
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
	s := scans.Get().(*scan)
	defer scans.Put(s)
	s.resource(raw, want)
	return s.head
}

// scans keeps the buffers of scans for the next ones.
var scans = sync.Pool{New: func() any { return new(scan) }}

// enter gives the place of the value of member name of place p.
func (s *scan) enter(p place, name []byte) place {
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
func (s *scan) text(p place, name, value []byte) {
	switch p {
	case top:
		switch string(name) {
		case "resourceType":
			s.head.kind = cooked(value)
		case "id":
			s.head.id = cooked(value)
		case "status":
			s.head.hasStatus = len(value) > 0
		}
	case inSubject:
		if string(name) == "reference" {
			s.head.patient = cooked(value)
		}
	case inEncounter:
		if string(name) == "reference" {
			s.head.encounter = cooked(value)
		}
	case inProvider:
		if string(name) == "reference" {
			s.head.provider = cooked(value)
		}
	case inPartOf:
		if string(name) == "reference" {
			s.head.partOf = cooked(value)
		}
	case inMeta:
		if string(name) == "lastUpdated" {
			s.head.updated = cooked(value)
		}
	}
}

// topMembers numbers the members whose repetition would change a meaning.
var topMembers = map[string]uint{"resourceType": 0, "id": 1, "status": 2, "subject": 3, "patient": 4, "code": 5, "valueQuantity": 6,
	"effectiveDateTime": 7, "effectivePeriod": 8, "dosage": 9, "component": 10, "medicationCodeableConcept": 11, "period": 12, "birthDate": 13}
