// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: decoding of medications, administrations and orders.

import (
	"bytes"
	"strings"

	models "github.com/samply/golang-fhir-models/fhir-models/fhir"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

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
	out.drugRef, out.drugText = target(&q.MedicationReference), same(str(q.MedicationReference.Display))
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
		per = wholeProduct(per, d.Amount)
		part := state.Ingredient{Codes: codings(&g.ItemCodeableConcept), Text: wording(&g.ItemCodeableConcept), Amount: num, Per: per}
		if r := target(&g.ItemReference); r != "" {
			part.Text = same(str(g.ItemReference.Display))
			in.refs = append(in.refs, ingredientRef{to: r, part: len(in.ingredients)})
		}
		in.ingredients = append(in.ingredients, part)
	}
	return &decoded{lookup: in}, nil
}

// wholeProduct is the volume that a strength per product (4 mg per bag) stands
// for where the Medication says how much the product is (250 mL per bag).
func wholeProduct(per *state.Quantity, amount *models.Ratio) *state.Quantity {
	all, unit := ratio(amount)
	if per == nil || all == nil || unit == nil || per.Value != unit.Value || per.Unit != unit.Unit || per.Code != unit.Code {
		return per
	}
	return all
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
