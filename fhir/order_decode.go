// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: one drafted MedicationRequest to records, through samply's models.
// Drafts come from many versions of many systems, so only the members that are
// read reach the models: an old or odd shape of another member (a category that
// is no list) spoils nothing. Doses where FHIR STU3 has them are moved to where
// R4 has them.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	models "github.com/samply/golang-fhir-models/fhir-models/fhir"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir/ucum"
)

// Units of drafts beside those of administrations.
var (
	unitMin   = mustUnit("min")
	rateUnits = []ucum.Unit{unitMlH, unitUgKgMin, unitUgMin, unitUMin, unitUKgMin}
)

// draftMembers are the members of a drafted order that are read.
var draftMembers = map[string]bool{"resourceType": true, "id": true, "status": true, "intent": true, "doNotPerform": true,
	"medicationCodeableConcept": true, "medicationReference": true, "subject": true, "encounter": true, "authoredOn": true,
	"extension": true, "contained": true}

// instructionMembers are those of a dosage instruction, doseMembers what STU3
// has beside them.
var (
	instructionMembers = map[string]bool{"text": true, "timing": true, "asNeededBoolean": true, "asNeededCodeableConcept": true,
		"route": true, "method": true, "doseAndRate": true, "extension": true}
	doseMembers = map[string]bool{"doseQuantity": true, "doseRange": true, "rateQuantity": true, "rateRange": true, "rateRatio": true}
)

var errInstruction = errors.New("dosageInstruction is not a list")

// decodeDraft gives one record per dosage instruction, and what its medication
// refers to. The error is a stable reason without chart values.
func (m *Mapper) decodeDraft(h *head, raw []byte) ([]state.Drafted, *decoded, error) {
	if h.fault != "" {
		return nil, nil, errors.New(h.fault)
	}
	narrow, err := narrowed(raw)
	if err != nil {
		return nil, nil, err
	}
	d, err := m.decodeMedicationRequest(narrow)
	if err != nil {
		return nil, nil, decodeReason(err)
	}
	var q models.MedicationRequest
	if err := json.Unmarshal(narrow, &q); err != nil {
		return nil, nil, decodeReason(err)
	}
	base := state.Drafted{Record: d.records[0]}
	if !h.hasStatus {
		base.Status = ""
	}
	base.Site = nil // each instruction has its own
	extend(&base, q.Extension)
	if len(q.DosageInstruction) == 0 {
		return []state.Drafted{base}, d, nil
	}
	out := make([]state.Drafted, len(q.DosageInstruction))
	for i := range q.DosageInstruction {
		out[i] = base
		if len(out) > 1 {
			out[i].Part = fmt.Sprintf("dosageInstruction[%d]", i)
		}
		instruct(&out[i], &q.DosageInstruction[i])
	}
	return out, d, nil
}

// narrowed keeps of an order the members that are read.
func narrowed(raw []byte) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	put := func(name string, value []byte) {
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%s", name, value)
	}
	var fault error
	eachMember(raw, func(name string, value []byte) {
		switch {
		case draftMembers[name]:
			put(name, value)
		case name == "dosageInstruction":
			var list [][]byte
			if !eachElement(value, func(v []byte) { list = append(list, instruction(v)) }) {
				fault = errInstruction
				return
			}
			put(name, append(append([]byte{'['}, bytes.Join(list, []byte{','})...), ']'))
		}
	})
	b.WriteByte('}')
	return b.Bytes(), fault
}

// instruction keeps of a dosage instruction the members that are read.
func instruction(raw []byte) []byte {
	if len(raw) == 0 || raw[0] != '{' {
		return raw // the models refuse it
	}
	var own, old []string
	r4 := false
	eachMember(raw, func(name string, value []byte) {
		switch member := fmt.Sprintf("%q:%s", name, value); {
		case instructionMembers[name]:
			r4 = r4 || name == "doseAndRate"
			own = append(own, member)
		case doseMembers[name]:
			old = append(old, member)
		}
	})
	if len(old) > 0 && !r4 {
		own = append(own, `"doseAndRate":[{`+strings.Join(old, ",")+`}]`)
	}
	return []byte("{" + strings.Join(own, ",") + "}")
}

// instruct takes one dosage instruction.
func instruct(r *state.Drafted, q *models.Dosage) {
	r.MethodText = same(str(q.Text))
	r.AsNeeded = q.AsNeededBoolean != nil && *q.AsNeededBoolean || q.AsNeededCodeableConcept != nil
	if q.Route != nil {
		r.Site = codings(q.Route)
		if q.Route.Text != nil {
			r.Site = append(r.Site, state.Coding{Display: same(*q.Route.Text)})
		}
	}
	r.Method = codings(q.Method)
	if q.Timing != nil && q.Timing.Repeat != nil && q.Timing.Repeat.Duration != nil {
		r.Over = &state.Quantity{Value: q.Timing.Repeat.Duration.String(), Unit: str(q.Timing.Repeat.DurationUnit)}
	}
	extend(r, q.Extension)
	best := ordinal(q.DoseAndRate)
	for i := range q.DoseAndRate {
		if i == best {
			doseAndRate(r, &q.DoseAndRate[i])
			continue
		}
		// Beside the dose that was ordered, the pump's rate in mL/h is sent as a
		// calculated one.
		if pump := amount(q.DoseAndRate[i].RateQuantity); pump != nil && r.PumpRate == nil {
			r.PumpRate = pump
		}
	}
}

// ordinal is which of several doses was ordered: the one that says so, else the
// first that is not calculated; -1 for none.
func ordinal(list []models.DosageDoseAndRate) int {
	best := -1
	for i := range list {
		switch firstCode(list[i].Type) {
		case "ordered":
			return i
		case "calculated":
		default:
			if best < 0 {
				best = i
			}
		}
	}
	if best < 0 && len(list) > 0 {
		return 0
	}
	return best
}

func doseAndRate(r *state.Drafted, q *models.DosageDoseAndRate) {
	r.Dose, r.Rate = amount(q.DoseQuantity), amount(q.RateQuantity)
	if q.DoseRange != nil {
		r.Dose, r.DoseHigh = amount(q.DoseRange.Low), amount(q.DoseRange.High)
	}
	if q.RateRatio != nil {
		r.Rate, r.RatePer = ratio(q.RateRatio)
	}
	if q.RateRange != nil {
		r.Rate, r.RateHigh = amount(q.RateRange.Low), amount(q.RateRange.High)
	}
}

// extend reads bag content and dosing weight by the last part of the
// extension's URL, as of an administration.
func extend(r *state.Drafted, list []models.Extension) {
	for i := range list {
		switch e := &list[i]; e.Url[strings.LastIndexAny(e.Url, ":/")+1:] {
		case extConcentration:
			if e.ValueRatio != nil {
				r.Strength, r.Volume = ratio(e.ValueRatio)
			}
		case extPumpRate:
			r.PumpRate = amount(e.ValueQuantity)
		case extDosingWeight:
			r.DoseWeight = amount(e.ValueQuantity)
		}
	}
}
