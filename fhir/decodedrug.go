// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: decoding of medications, administrations and orders.

import (
	"bytes"
	"strings"

	models "github.com/samply/golang-fhir-models/fhir-models/fhir"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Extensions that carry what R4 has no element for: the content of the bag and
// the pump's volume rate beside a mass rate.
const (
	extConcentration = "infusion-concentration"
	extPumpRate      = "pump-rate"
	extDosingWeight  = "dosing-weight"
)

func (m *Mapper) decodeAdministration(raw []byte) (*decoded, error) {
	a, err := models.UnmarshalMedicationAdministration(raw)
	if err != nil {
		return nil, err
	}
	r := state.Record{Status: a.Status, Categories: codings(a.Category), Codes: codings(&a.MedicationCodeableConcept),
		Text: str(a.MedicationCodeableConcept.Text), Patient: same(target(&a.Subject)), Encounter: same(target(a.Context)), Tags: tags(a.Meta)}
	if r.Text == "" {
		r.Text = wording(&a.MedicationCodeableConcept)
	}
	switch {
	case a.EffectivePeriod.Start != nil || a.EffectivePeriod.End != nil:
		r.Start, r.End, r.IsPeriod = str(a.EffectivePeriod.Start), str(a.EffectivePeriod.End), true
	default:
		r.Start = a.EffectiveDateTime
	}
	if d := a.Dosage; d != nil {
		r.Dose, r.Rate = amount(d.Dose), amount(d.RateQuantity)
		if d.RateRatio != nil {
			r.Rate, r.RatePer = ratio(d.RateRatio)
		}
		r.Method, r.Site = codings(d.Method), codings(d.Route)
		r.MethodText = same(str(d.Text))
		if d.Route != nil && len(r.Site) == 0 {
			r.Site = []state.Coding{{Display: same(str(d.Route.Text))}}
		}
		pumpExtensions(d.Extension, &r)
	}
	pumpExtensions(a.Extension, &r)
	out := one(r)
	out.drugRef = target(&a.MedicationReference)
	if bytes.Contains(raw, []byte(`"contained"`)) {
		out.readContained(m, raw)
	}
	return out, nil
}

// pumpExtensions reads bag content, pump rate and dosing weight by the last
// part of the extension's URL.
func pumpExtensions(list []models.Extension, r *state.Record) {
	for i := range list {
		e := &list[i]
		switch name := e.Url[strings.LastIndexAny(e.Url, ":/")+1:]; {
		case name == extConcentration && e.ValueRatio != nil:
			r.Strength, r.Volume = ratio(e.ValueRatio)
		case name == extPumpRate && e.ValueQuantity != nil:
			r.PumpRate = amount(e.ValueQuantity)
		case name == extDosingWeight && e.ValueQuantity != nil:
			r.DoseWeight = amount(e.ValueQuantity)
		}
	}
}

func (m *Mapper) decodeMedicationRequest(raw []byte) (*decoded, error) {
	q, err := models.UnmarshalMedicationRequest(raw)
	if err != nil {
		return nil, err
	}
	r := state.Record{Status: q.Status, Intent: q.Intent, Codes: codings(&q.MedicationCodeableConcept), Text: wording(&q.MedicationCodeableConcept),
		Patient: same(target(&q.Subject)), Encounter: same(target(q.Encounter)), Start: str(q.AuthoredOn), Issued: str(q.AuthoredOn), Tags: tags(q.Meta)}
	if q.DoNotPerform != nil && *q.DoNotPerform {
		r.Verify = "do-not-perform"
	}
	for i := range q.DosageInstruction {
		if route := q.DosageInstruction[i].Route; route != nil && len(r.Site) == 0 {
			r.Site = codings(route)
			if route.Text != nil {
				r.Site = append(r.Site, state.Coding{Display: same(*route.Text)})
			}
		}
	}
	out := one(r)
	out.drugRef = target(&q.MedicationReference)
	if bytes.Contains(raw, []byte(`"contained"`)) {
		out.readContained(m, raw)
	}
	return out, nil
}

func (m *Mapper) decodeMedication(raw []byte) (*decoded, error) {
	d, err := models.UnmarshalMedication(raw)
	if err != nil {
		return nil, err
	}
	in := &medicine{codes: codings(d.Code), text: wording(d.Code)}
	for _, id := range d.Identifier {
		// Some pharmacies name the product only in its identifiers.
		system, v := str(id.System), str(id.Value)
		if v == "" {
			continue
		}
		if strings.HasSuffix(system, "-name") || strings.HasSuffix(system, "-mix") {
			if in.text == "" {
				in.text = v
			}
			continue
		}
		in.codes = append(in.codes, state.Coding{System: same(system), Code: v})
	}
	for i := range d.Ingredient {
		g := &d.Ingredient[i]
		num, per := ratio(g.Strength)
		if r := target(&g.ItemReference); r != "" {
			in.refs = append(in.refs, r)
			continue
		}
		in.ingredients = append(in.ingredients, state.Ingredient{Codes: codings(&g.ItemCodeableConcept), Text: wording(&g.ItemCodeableConcept), Amount: num, Per: per})
	}
	return &decoded{lookup: in}, nil
}

func (m *Mapper) decodeSpecimen(raw []byte) (*decoded, error) {
	s, err := models.UnmarshalSpecimen(raw)
	if err != nil {
		return nil, err
	}
	types := codings(s.Type)
	if len(types) == 0 && s.Type != nil && s.Type.Text != nil {
		types = []state.Coding{{Display: *s.Type.Text}}
	}
	return &decoded{lookup: types}, nil
}
