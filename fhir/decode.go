// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: decode, from the bytes of one resource to Records, through
// samply's models, with the parts the models lose (contained resources,
// absent enums) read beside them.

import (
	"cmp"
	"encoding/json"
	"errors"
	"strings"
	"unique"

	models "github.com/samply/golang-fhir-models/fhir-models/fhir"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// decoded is a resource reduced to records, with the references that have to
// be resolved before it can be mapped.
type decoded struct {
	records   []state.Record
	drugRef   string // medicationReference
	drugText  string // its display
	specimen  string // Observation.specimen
	contained map[string]*medicine
	specimens map[string][]state.Coding
	lookup    any // *medicine, []state.Coding (specimen), place name: shared things other resources refer to
}

// medicine is a Medication, or one ingredient of another one.
type medicine struct {
	codes       []state.Coding
	text        string
	ingredients []state.Ingredient
	refs        []ingredientRef
}

// ingredientRef is an ingredient that is another Medication.
type ingredientRef struct {
	to   string
	part int // its place in ingredients, where its strength is
}

// decode reads a resource of one of the kinds in decoders. The error is a
// stable reason without chart values.
func (m *Mapper) decode(h *head, raw []byte) (*decoded, error) {
	return h.finish(decoders[h.kind](m, raw))
}

// finish ends a decoding with what the head says.
func (h *head) finish(d *decoded, err error) (*decoded, error) {
	if err != nil {
		return nil, decodeReason(err)
	}
	for i := range d.records {
		r := &d.records[i]
		r.Type, r.ID = h.kind, h.id
		if !h.hasStatus {
			r.Status = "" // the models read an absent enum as its first value
		}
	}
	return d, nil
}

// decodeReason words a decoding error without the values in it.
func decodeReason(err error) error {
	if errors.Is(err, errWrongType) || errors.Is(err, errWrongCode) {
		return err
	}
	if strings.Contains(err.Error(), "unknown") && strings.Contains(err.Error(), "code") {
		return errWrongCode
	}
	return errWrongType
}

var decoders = map[string]func(*Mapper, []byte) (*decoded, error){
	"Patient":                  (*Mapper).decodePatient,
	"Encounter":                (*Mapper).decodeEncounter,
	"Observation":              (*Mapper).decodeHot,
	"MedicationAdministration": (*Mapper).decodeHot,
	"MedicationRequest":        (*Mapper).decodeMedicationRequest,
	"ServiceRequest":           (*Mapper).decodeServiceRequest,
	"Condition":                (*Mapper).decodeCondition,
	"Procedure":                (*Mapper).decodeProcedure,
	"Medication":               (*Mapper).decodeMedication,
	"Specimen":                 (*Mapper).decodeSpecimen,
	"Location":                 (*Mapper).decodeLocation,
}

// one wraps a single record.
func one(r state.Record) *decoded { return &decoded{records: []state.Record{r}} }

// same keeps one copy of a text that thousands of records share.
func same(s string) string {
	if s == "" || len(s) > 200 {
		return s
	}
	return unique.Make(s).Value()
}

func str[T ~string](p *T) string {
	if p == nil {
		return ""
	}
	return string(*p)
}

func codings(c *models.CodeableConcept) []state.Coding {
	if c == nil || len(c.Coding) == 0 {
		return nil
	}
	out := make([]state.Coding, 0, len(c.Coding))
	for _, k := range c.Coding {
		if k.Code == nil && k.Display == nil {
			continue
		}
		out = append(out, state.Coding{System: same(str(k.System)), Code: same(str(k.Code)), Display: same(str(k.Display))})
	}
	return out
}

// wording is the text of a concept, or the display of its first coding.
func wording(c *models.CodeableConcept) string {
	if c == nil {
		return ""
	}
	if c.Text != nil && *c.Text != "" {
		return same(*c.Text)
	}
	for _, k := range c.Coding {
		if k.Display != nil && *k.Display != "" {
			return same(*k.Display)
		}
	}
	return ""
}

func manyCodings(list []models.CodeableConcept) []state.Coding {
	var out []state.Coding
	for i := range list {
		out = append(out, codings(&list[i])...)
	}
	return out
}

func target(r *models.Reference) string {
	if r == nil {
		return ""
	}
	return str(r.Reference)
}

func amount(q *models.Quantity) *state.Quantity {
	if q == nil {
		return nil
	}
	out := &state.Quantity{Unit: same(str(q.Unit)), System: same(str(q.System)), Code: same(str(q.Code))}
	if q.Value != nil {
		out.Value = q.Value.String()
	}
	if q.Comparator != nil {
		out.Comparator = q.Comparator.Code()
	}
	return out
}

func ratio(r *models.Ratio) (num, den *state.Quantity) {
	if r == nil {
		return nil, nil
	}
	return amount(r.Numerator), amount(r.Denominator)
}

// tags are the security labels and tags; HTEST marks made-up data.
func tags(meta *models.Meta) []state.Coding {
	if meta == nil {
		return nil
	}
	var out []state.Coding
	for _, list := range [][]models.Coding{meta.Security, meta.Tag} {
		for _, k := range list {
			out = append(out, state.Coding{System: same(str(k.System)), Code: same(str(k.Code))})
		}
	}
	return out
}

// contents is the side door to what the models drop.
type contents struct {
	Contained []json.RawMessage `json:"contained"`
}

// readContained takes the Medications and Specimens a resource carries within.
func (d *decoded) readContained(m *Mapper, raw []byte) {
	var side contents
	if json.Unmarshal(raw, &side) != nil {
		return
	}
	for _, c := range side.Contained {
		h := inspect(c, nil)
		if h.fault != "" || h.id == "" {
			continue
		}
		switch h.kind {
		case "Medication":
			if in, err := m.decodeMedication(c); err == nil {
				if d.contained == nil {
					d.contained = map[string]*medicine{}
				}
				d.contained["#"+h.id] = in.lookup.(*medicine)
			}
		case "Specimen":
			if in, err := m.decodeSpecimen(c); err == nil {
				if d.specimens == nil {
					d.specimens = map[string][]state.Coding{}
				}
				d.specimens["#"+h.id], _ = in.lookup.([]state.Coding)
			}
		}
	}
}

func (m *Mapper) decodeCondition(raw []byte) (*decoded, error) {
	c, err := models.UnmarshalCondition(raw)
	if err != nil {
		return nil, err
	}
	r := state.Record{Codes: codings(c.Code), Text: wording(c.Code), Patient: same(target(&c.Subject)), Encounter: same(target(c.Encounter)),
		Issued: str(c.RecordedDate), Clinical: firstCode(c.ClinicalStatus), Verify: cmp.Or(firstCode(c.VerificationStatus), certainty(c.Code)), Tags: tags(c.Meta)}
	switch {
	case c.OnsetDateTime != nil:
		r.Start = *c.OnsetDateTime
	case c.OnsetPeriod != nil:
		r.Start, r.End = str(c.OnsetPeriod.Start), str(c.OnsetPeriod.End)
	}
	if c.AbatementDateTime != nil {
		r.End = *c.AbatementDateTime
	}
	return one(r), nil
}

// extCertainty is the German extension that says how sure a coded diagnosis is:
// A excluded, V suspected, Z state after, G established.
const extCertainty = "http://fhir.de/StructureDefinition/icd-10-gm-diagnosesicherheit"

// certainty is what that extension says of a code, "" where none does.
func certainty(c *models.CodeableConcept) string {
	if c == nil {
		return ""
	}
	for _, coding := range c.Coding {
		for _, x := range coding.Extension {
			if x.Url == extCertainty && x.ValueCoding != nil {
				return str(x.ValueCoding.Code)
			}
		}
	}
	return ""
}

func firstCode(c *models.CodeableConcept) string {
	if c == nil || len(c.Coding) == 0 {
		return ""
	}
	return str(c.Coding[0].Code)
}

func (m *Mapper) decodeProcedure(raw []byte) (*decoded, error) {
	p, err := models.UnmarshalProcedure(raw)
	if err != nil {
		return nil, err
	}
	r := state.Record{Status: p.Status.Code(), Codes: codings(p.Code), Text: wording(p.Code), Patient: same(target(&p.Subject)),
		Encounter: same(target(p.Encounter)), Tags: tags(p.Meta)}
	switch {
	case p.PerformedPeriod != nil:
		r.Start, r.End, r.IsPeriod = str(p.PerformedPeriod.Start), str(p.PerformedPeriod.End), true
	case p.PerformedDateTime != nil:
		r.Start = *p.PerformedDateTime
	}
	return one(r), nil
}

func (m *Mapper) decodeServiceRequest(raw []byte) (*decoded, error) {
	s, err := models.UnmarshalServiceRequest(raw)
	if err != nil {
		return nil, err
	}
	r := state.Record{Status: s.Status.Code(), Intent: s.Intent.Code(), Codes: codings(s.Code), Text: wording(s.Code),
		Patient: same(target(&s.Subject)), Encounter: same(target(s.Encounter)), Issued: str(s.AuthoredOn), Start: str(s.AuthoredOn), Tags: tags(s.Meta),
		Value: amount(s.QuantityQuantity)}
	if s.DoNotPerform != nil && *s.DoNotPerform {
		r.Verify = "do-not-perform"
	}
	return one(r), nil
}
