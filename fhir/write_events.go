// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: events of a chart as FHIR resources.

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

func (w *writer) conditions() {
	for _, c := range w.chart.Conditions {
		codes := []any{}
		for _, t := range c.Tags {
			codes = append(codes, tagCoding(t))
		}
		status := "active"
		if !c.Abated.IsZero() {
			status = "resolved"
		}
		w.out = append(w.out, w.resource("Condition", w.id(c.Record),
			"clinicalStatus", concept("", coding(systemClinical, status, "")),
			"verificationStatus", concept("", coding(systemVerify, "confirmed", "")),
			"code", concept(c.Text, codes...), "subject", w.subject(), "encounter", w.encounter(),
			"onsetDateTime", w.instant(c.Onset), "abatementDateTime", w.instant(c.Abated), "recordedDate", w.instant(c.Available)))
	}
}

func tagCoding(t state.Tag) node {
	code := tagCodes[t]
	return coding(code[0], code[1], "")
}

func (w *writer) procedures() {
	for _, p := range w.chart.Procedures {
		codes := []any{}
		for _, t := range p.Tags {
			codes = append(codes, tagCoding(t))
		}
		status := "completed"
		if p.End.IsZero() {
			status = "in-progress"
		}
		w.out = append(w.out, w.resource("Procedure", w.id(p.Record), "status", status, "code", concept(p.Text, codes...),
			"subject", w.subject(), "encounter", w.encounter(), "performedPeriod", w.period(p.Start, p.End)))
	}
}

// observations writes measurements; those that share a record become one panel
// unless the style splits them.
func (w *writer) observations() error {
	byRecord := map[int][]state.Measurement{}
	var order []int
	for _, m := range w.chart.Measurements {
		if byRecord[m.Record] == nil {
			order = append(order, m.Record)
		}
		byRecord[m.Record] = append(byRecord[m.Record], m)
	}
	for _, rec := range order {
		ms := byRecord[rec]
		if len(ms) > 1 && !w.style.SplitPressure {
			n, err := w.panel(w.id(rec), ms)
			if err != nil {
				return err
			}
			w.out = append(w.out, n)
			continue
		}
		for i, m := range ms {
			id := w.id(rec)
			if len(ms) > 1 {
				id += "." + strconv.Itoa(i)
			}
			n, err := w.observation(id, m)
			if err != nil {
				return err
			}
			w.out = append(w.out, n)
		}
	}
	return nil
}

// observation writes one measurement.
func (w *writer) observation(id string, m state.Measurement) (node, error) {
	row, ok := writtenAs[m.Concept]
	if !ok {
		return nil, fmt.Errorf("%w: no code for %q", ErrNotWritable, m.Concept)
	}
	form := w.form(m.Concept, row)
	return w.resource("Observation", id, append(w.head(m, row.category),
		"code", w.code(m, row, form), w.valueKey(m), w.value(m, form),
		"method", concept(methodText[m.Method]))...), nil
}

// panel writes a blood pressure as one observation with components.
func (w *writer) panel(id string, ms []state.Measurement) (node, error) {
	parts := make([]any, 0, len(ms))
	for _, m := range ms {
		row, ok := writtenAs[m.Concept]
		if !ok {
			return nil, fmt.Errorf("%w: no code for %q", ErrNotWritable, m.Concept)
		}
		form := w.form(m.Concept, row)
		parts = append(parts, obj("code", w.code(m, row, form), w.valueKey(m), w.value(m, form)))
	}
	first := ms[0]
	return w.resource("Observation", id, append(w.head(first, catVital),
		"code", concept("Blood pressure panel", coding(systemLOINC, "85354-9", "Blood pressure panel with all children optional")),
		"method", concept(methodText[first.Method]), "component", list(parts...))...), nil
}

// head is what every observation starts with.
func (w *writer) head(m state.Measurement, category string) []any {
	status := m.Status
	if status == "" {
		status = "final"
	}
	return []any{
		"status", status, "category", list(concept("", coding(systemCategory, category, ""))),
		"subject", w.subject(), "encounter", w.encounter(),
		"effectiveDateTime", w.instant(m.Effective), "issued", w.instant(m.Available),
	}
}

// form chooses the unit by the style.
func (w *writer) form(c state.Concept, row written) unitForm {
	if row.si == nil {
		return row.unit
	}
	use := w.style.SI
	switch c {
	case "temp_c":
		use = w.style.Fahrenheit
	case "fio2":
		use = w.style.FiO2Fraction
	case state.ConceptWeight:
		use = w.style.Pounds
	}
	if use {
		return *row.si
	}
	return row.unit
}

func (w *writer) code(m state.Measurement, row written, form unitForm) node {
	switch m.Concept { // not in LOINC
	case state.ConceptMAPGoal:
		return concept(row.display, coding(systemOwn, "map-goal", row.display))
	case state.ConceptRASS:
		return concept(row.display, coding(systemSNOMED, "457441000124102", row.display))
	}
	code := row.loinc
	if c := pressureLOINC[m.Method][m.Concept]; c != "" {
		code = c
	}
	if form.loinc != "" {
		code = form.loinc
	}
	return concept(row.display, coding(systemLOINC, code, row.display))
}

// coded says whether the value is written as an answer instead of a number.
func (w *writer) coded(m state.Measurement) bool {
	return scoreAnswers[m.Concept] != nil && (w.style.CodedScores || m.Method == state.MethodIntubated)
}

func (w *writer) valueKey(m state.Measurement) string {
	if w.coded(m) {
		return "valueCodeableConcept"
	}
	return "valueQuantity"
}

func (w *writer) value(m state.Measurement, form unitForm) node {
	if w.coded(m) {
		if m.Method == state.MethodIntubated {
			return concept("No Response-ETT")
		}
		answers := scoreAnswers[m.Concept]
		n := int(math.Round(m.Value))
		if n < 1 || n > len(answers) {
			return nil
		}
		return concept(strconv.Itoa(n), coding(systemLOINC, answers[n-1], ""))
	}
	q := quantity(m.Value*form.scale+form.shift, form.decimals, form.label, form.ucum)
	if m.Comparator == "" || len(q) == 0 {
		return q
	}
	return append(node{q[0], {"comparator", m.Comparator}}, q[1:]...)
}

// orders writes drug orders; an ordered pressure goal is written as an
// observation by whoever charts it.
func (w *writer) orders() {
	for _, o := range w.chart.Orders {
		if o.Drug == "" {
			continue
		}
		status := o.Status
		if status == "" {
			status = "active"
		}
		w.out = append(w.out, w.resource("MedicationRequest", w.id(o.Record), "status", status, "intent", "order",
			"medicationCodeableConcept", w.drug(o.Drug), "subject", w.subject(), "encounter", w.encounter(),
			"authoredOn", w.instant(o.Start), "dosageInstruction", list(obj("text", o.Text))))
	}
}

func (w *writer) drug(d state.Drug) node {
	return concept(drugText(d), coding(systemRxNorm, rxNorm[d], string(d)))
}

// drugText is the name a pharmacy label would carry.
func drugText(d state.Drug) string {
	switch d {
	case "lactated ringer":
		return "Lactated Ringer's"
	case "carrier solution":
		return "Carrier solution (piggyback)"
	case "piperacillin tazobactam":
		return "Piperacillin/tazobactam"
	}
	return string(d)
}

// administrations writes infusions and boluses.
func (w *writer) administrations() error {
	for _, a := range w.chart.Administrations {
		dosage, contained, err := w.dosage(a)
		if err != nil {
			return err
		}
		status := "completed"
		if a.End.IsZero() {
			status = "in-progress"
		}
		medication := []any{"medicationCodeableConcept", w.drug(a.Drug)}
		if contained != nil {
			medication = []any{"medicationReference", ref("#bag")}
		}
		members := append([]any{"contained", list(contained), "status", status,
			"category", concept("", coding("http://terminology.hl7.org/CodeSystem/medication-admin-category", "inpatient", "Inpatient"))}, medication...)
		members = append(members, "subject", w.subject(), "context", w.encounter(), w.whenKey(a), w.when(a), "dosage", dosage)
		w.out = append(w.out, w.resource("MedicationAdministration", w.id(a.Record), members...))
	}
	return nil
}

func (w *writer) whenKey(a state.Administration) string {
	if a.Form != state.FormInfusion && a.End.Equal(a.Start) {
		return "effectiveDateTime"
	}
	return "effectivePeriod"
}

func (w *writer) when(a state.Administration) any {
	if w.whenKey(a) == "effectiveDateTime" {
		return w.instant(a.Start)
	}
	return w.period(a.Start, a.End)
}

// dosage writes rate and amount, and the bag when the rate is a volume rate.
func (w *writer) dosage(a state.Administration) (node, node, error) {
	route := concept("IV", coding(systemSNOMED, "47625008", "Intravenous route"))
	var dose node
	if a.MlKnown {
		dose = quantity(a.AmountMl, 1, "mL", "mL")
	}
	if !a.RateKnown || a.Form == state.FormBolus {
		if len(dose) == 0 {
			dose = massDose(a.Received)
		}
		if len(dose) == 0 {
			return nil, nil, nil // FHIR has no dosage without a dose or a rate (mad-1)
		}
		return obj("text", a.Received, "route", route, "dose", dose), nil, nil
	}
	key, rate, bag, err := w.rate(a)
	if err != nil {
		return nil, nil, err
	}
	return obj("text", a.Received, "route", route, "dose", dose, key, rate), bag, nil
}

// massDose reads a dose as the simulator words it, such as "4.5 g"; empty for
// anything else.
func massDose(received string) node {
	number, unit, _ := strings.Cut(received, " ")
	ucum := map[string]string{"g": "g", "mg": "mg", "mcg": "ug"}[unit]
	if _, err := strconv.ParseFloat(number, 64); err != nil || ucum == "" {
		return nil
	}
	return obj("value", json.Number(number), "unit", unit, "system", systemUCUM, "code", ucum)
}

// rate writes a running rate in the style's way.
func (w *writer) rate(a state.Administration) (key string, rate, bag node, err error) {
	const plainRate = "rateQuantity"
	switch a.RateUnit {
	case state.UnitMlH:
		return plainRate, quantity(a.Rate, 1, "mL/h", "mL/h"), nil, nil
	case state.UnitUMin:
		if w.style.VasopressinPerHour {
			return plainRate, quantity(a.Rate*60, 2, "units/h", "[iU]/h"), nil, nil
		}
		return plainRate, quantity(a.Rate, 3, "units/min", "[iU]/min"), nil, nil
	case state.UnitUgMin:
		return plainRate, quantity(a.Rate, 2, "mcg/min", "ug/min"), nil, nil
	case state.UnitUgKgMin:
	default:
		return "", nil, nil, fmt.Errorf("%w: rate unit %q of %s", ErrNotWritable, a.RateUnit, a.Drug)
	}
	mg := bagMg[a.Drug]
	ugMin := a.Rate * a.DosingKg
	switch style := w.style.Rate; {
	case style == RatePerKg || a.DosingKg == 0 || mg == 0:
		return plainRate, quantity(a.Rate, 3, "mcg/kg/min", "ug/kg/min"), nil, nil
	case style == RatePerMin:
		return plainRate, quantity(ugMin, 2, "mcg/min", "ug/min"), nil, nil
	case style == RateRatio:
		return "rateRatio", obj("numerator", quantity(ugMin*0.06, 4, "mg", "mg"), "denominator", quantity(1, 0, "h", "h")), nil, nil
	}
	strength := obj("numerator", quantity(mg, 0, "mg", "mg"), "denominator", quantity(250, 0, "mL", "mL"))
	bag = obj("resourceType", "Medication", "id", "bag", "code", w.drug(a.Drug), "ingredient",
		list(obj("itemCodeableConcept", w.drug(a.Drug), "isActive", true, "strength", strength)))
	return plainRate, quantity(ugMin*60/1000*250/mg, 2, "mL/h", "mL/h"), bag, nil
}
