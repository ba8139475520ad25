// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: decoding of patients, encounters and the places encounters name.

import (
	"strconv"

	models "github.com/samply/golang-fhir-models/fhir-models/fhir"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

func (m *Mapper) decodePatient(raw []byte) (*decoded, error) {
	p, err := models.UnmarshalPatient(raw)
	if err != nil {
		return nil, err
	}
	r := state.Record{BirthDate: str(p.BirthDate), Deceased: str(p.DeceasedDateTime), Tags: tags(p.Meta)}
	if p.Gender != nil {
		r.Gender = p.Gender.Code()
	}
	if p.DeceasedBoolean != nil {
		r.Deceased = strconv.FormatBool(*p.DeceasedBoolean)
	}
	for _, id := range p.Identifier {
		r.Categories = append(r.Categories, state.Coding{System: same(str(id.System))})
	}
	return one(r), nil
}

// decodeEncounter keeps one record for the encounter and one per location it
// was at, because an ICU stay is often only a location of a hospital stay.
func (m *Mapper) decodeEncounter(raw []byte) (*decoded, error) {
	e, err := models.UnmarshalEncounter(raw)
	if err != nil {
		return nil, err
	}
	r := state.Record{Status: e.Status.Code(), Class: str(e.Class.Code), Codes: manyCodings(e.Type), Patient: same(target(e.Subject)),
		PartOf: target(e.PartOf), Provider: target(e.ServiceProvider), Tags: tags(e.Meta)}
	for i := range e.Type {
		if t := wording(&e.Type[i]); t != "" && r.Text == "" {
			r.Text = t
		}
	}
	if e.Period != nil {
		r.Start, r.End, r.IsPeriod = str(e.Period.Start), str(e.Period.End), true
	}
	if e.Hospitalization != nil && e.Hospitalization.DischargeDisposition != nil {
		d := e.Hospitalization.DischargeDisposition
		r.ValueCodes, r.Disposition = codings(d), firstCode(d)
		if r.Disposition == "" {
			r.Disposition = wording(d)
		}
	}
	for _, id := range e.Identifier {
		r.Categories = append(r.Categories, state.Coding{System: same(str(id.System))})
	}
	out := one(r)
	for i := range e.Location {
		l := &e.Location[i]
		at := state.Record{Part: "location[" + strconv.Itoa(i) + "]", Status: r.Status, Patient: r.Patient, PartOf: target(&l.Location),
			Text: str(l.Location.Display), Codes: codings(l.PhysicalType), MethodText: wording(l.PhysicalType)}
		if l.Period != nil {
			at.Start, at.End, at.IsPeriod = str(l.Period.Start), str(l.Period.End), true
		}
		out.records = append(out.records, at)
	}
	return out, nil
}

func (m *Mapper) decodeLocation(raw []byte) (*decoded, error) {
	l, err := models.UnmarshalLocation(raw)
	if err != nil {
		return nil, err
	}
	return &decoded{lookup: ward{name: str(l.Name), codes: manyCodings(l.Type)}}, nil
}

// ward is a ward.
type ward struct {
	name  string
	codes []state.Coding
}
