// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: samply's models as the oracle of the decoder for the two hot
// types. It is the decoder that production used before, kept to say
// independently what Records the same bytes mean.

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	models "github.com/samply/golang-fhir-models/fhir-models/fhir"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// display is the name a reference gives of what it refers to.
func display(r *models.Reference) string {
	if r == nil {
		return ""
	}
	return str(r.Display)
}

func (m *Mapper) oracleObservation(raw []byte) (*decoded, error) {
	o, err := models.UnmarshalObservation(raw)
	if err != nil {
		return nil, err
	}
	base := state.Record{Status: o.Status.Code(), Patient: same(target(o.Subject)), Encounter: same(target(o.Encounter)),
		Issued: str(o.Issued), Method: codings(o.Method), MethodText: wording(o.Method), Device: same(display(o.Device)), Categories: nil, Tags: tags(o.Meta)}
	switch {
	case o.EffectiveDateTime != nil:
		base.Start = *o.EffectiveDateTime
	case o.EffectiveInstant != nil:
		base.Start = *o.EffectiveInstant
	case o.EffectivePeriod != nil:
		base.Start, base.End, base.IsPeriod = str(o.EffectivePeriod.Start), str(o.EffectivePeriod.End), true
	}
	if o.BodySite != nil {
		base.Site = codings(o.BodySite)
	}
	d := &decoded{specimen: target(o.Specimen)}
	main := base
	main.Codes, main.Text = codings(&o.Code), str(o.Code.Text)
	main.Value, main.ValueCodes, main.ValueText = value(o.ValueQuantity, o.ValueInteger, o.ValueCodeableConcept, o.ValueString)
	if o.ValueQuantity == nil && o.ValueInteger == nil && o.ValueCodeableConcept == nil && o.ValueString == nil {
		main.ValueKind = valueKind(o.ValueBoolean != nil, o.ValueDateTime != nil, o.ValuePeriod != nil, o.ValueRange != nil, o.ValueRatio != nil,
			o.ValueSampledData != nil, o.ValueTime != nil)
	}
	main.Absent = absentOf(o.DataAbsentReason)
	if len(o.Component) == 0 || main.Value != nil || main.ValueText != "" || len(main.ValueCodes) > 0 {
		d.records = append(d.records, main)
	}
	for i := range o.Component {
		c := &o.Component[i]
		part := base
		part.Part = "component[" + strconv.Itoa(i) + "]"
		part.Codes, part.Text = codings(&c.Code), str(c.Code.Text)
		part.Value, part.ValueCodes, part.ValueText = value(c.ValueQuantity, c.ValueInteger, c.ValueCodeableConcept, c.ValueString)
		if c.ValueQuantity == nil && c.ValueInteger == nil && c.ValueCodeableConcept == nil && c.ValueString == nil {
			part.ValueKind = valueKind(c.ValueBoolean != nil, c.ValueDateTime != nil, c.ValuePeriod != nil, c.ValueRange != nil, c.ValueRatio != nil,
				c.ValueSampledData != nil, c.ValueTime != nil)
		}
		part.Absent = absentOf(c.DataAbsentReason)
		d.records = append(d.records, part)
	}
	if bytes.Contains(raw, []byte(`"contained"`)) {
		d.readContained(m, raw)
	}
	return d, nil
}

// valueKind names the first of the other kinds of value that is there.
func valueKind(there ...bool) string {
	for i, name := range []string{"valueBoolean", "valueDateTime", "valuePeriod", "valueRange", "valueRatio", "valueSampledData", "valueTime"} {
		if there[i] {
			return name
		}
	}
	return ""
}

func absentOf(c *models.CodeableConcept) string {
	if code := codeText(codings(c)); code != "" {
		return code
	}
	return wording(c)
}

// value reads the kinds of value that can be a number.
func value(q *models.Quantity, i *int, c *models.CodeableConcept, s *string) (*state.Quantity, []state.Coding, string) {
	switch {
	case q != nil:
		return amount(q), nil, ""
	case i != nil:
		return &state.Quantity{Value: strconv.Itoa(*i)}, nil, ""
	case c != nil:
		return nil, codings(c), wording(c)
	}
	return nil, nil, str(s)
}

func (m *Mapper) oracleAdministration(raw []byte) (*decoded, error) {
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

// oracle decodes as production did, by samply's models.
func (m *Mapper) oracle(h *head, raw []byte) (*decoded, error) {
	decode := m.oracleObservation
	if h.kind == kindAdministration {
		decode = m.oracleAdministration
	}
	d, err := decode(raw)
	if err != nil {
		return nil, decodeReason(err)
	}
	for i := range d.records {
		if !h.hasStatus {
			d.records[i].Status = ""
		}
	}
	return d, nil
}

// agree checks that both decoders make the same of raw. Ours may refuse what
// encoding/json forgives, and nothing else.
func agree(t interface {
	Helper()
	Errorf(string, ...any)
}, m *Mapper, raw []byte) {
	t.Helper()
	h := inspect(raw, m.want)
	if valid := json.Valid(raw); valid != (h.fault != faultBroken) {
		t.Errorf("json.Valid is %v, the fault is %q: %s", valid, h.fault, raw)
		return
	}
	if h.fault != "" || h.kind != kindObservation && h.kind != kindAdministration {
		return
	}
	want, wantErr := m.oracle(&h, raw)
	got, gotErr := m.decodeHot(raw)
	if (wantErr == nil) != (gotErr == nil) {
		t.Errorf("the models say %v, we say %v: %s", wantErr, gotErr, raw)
		return
	}
	if gotErr != nil {
		return
	}
	show := func(d *decoded) string {
		b, err := json.Marshal([]any{d.records, d.drugRef, d.specimen, d.contained, d.specimens})
		if err != nil {
			t.Errorf("%v", err)
		}
		return string(b)
	}
	if a, b := show(want), show(got); a != b {
		t.Errorf("records differ\nmodels %s\nours   %s\nof %s", a, b, raw)
	}
}
