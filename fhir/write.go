// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: Write, the way back from a Chart to FHIR R4 resources as a
// hospital would send them. It is used for synthetic patients only: for tests,
// the demonstration EHR and synthetic cohorts.

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// ErrNotWritable says that a chart holds something Write has no FHIR form for.
var ErrNotWritable = errors.New("chart cannot be written as FHIR")

// RateStyle says how a hospital writes weight-based vasopressor rates.
type RateStyle int

// The rate styles.
const (
	RatePerKg  RateStyle = iota // ug/kg/min
	RatePerMin                  // ug/min, the dosing weight charted beside it
	RateRatio                   // mg per hour as a rateRatio
	RateMlH                     // mL/h of a contained Medication with its strength
)

// Style is one hospital's habits of writing. The zero Style is a US hospital
// with conventional units.
type Style struct {
	SI                 bool      // umol/L, mmol/L, g/L, kPa
	Fahrenheit         bool      // temperature in [degF]
	Pounds             bool      // weight in [lb_av]
	FiO2Fraction       bool      // 0.4 instead of 40 %
	SplitPressure      bool      // three observations instead of one panel
	CodedScores        bool      // coma scale as LOINC answers
	VasopressinPerHour bool      // [iU]/h instead of [iU]/min
	Rate               RateStyle // of vasopressors
	OffsetMin          int       // zone offset of written times
	PersonName         string    // an invented name; empty: the id
}

// StyleOf draws a style from a seed; every habit occurs.
func StyleOf(seed uint64) Style {
	bit := func(n uint) bool { return seed>>n&1 == 1 }
	return Style{
		SI: bit(0), Fahrenheit: bit(1) && !bit(0), Pounds: bit(2) && !bit(0), FiO2Fraction: bit(3), SplitPressure: bit(4),
		CodedScores: bit(5), VasopressinPerHour: bit(6), Rate: RateStyle(seed >> 7 & 3), OffsetMin: []int{0, -300, 60, 330}[seed>>9&3],
	}
}

// Write gives the chart's resources in a fixed order: Organization, Patient,
// Encounter, Condition, Procedure, Observation, MedicationRequest,
// MedicationAdministration. Synthetic persons are tagged HTEST. Values are
// written with the decimals their unit is usually given in. It returns
// ErrNotWritable for a concept without a code.
func Write(chart *state.Chart, style Style) ([]json.RawMessage, error) {
	nodes, err := nodesOf(chart, style)
	if err != nil {
		return nil, err
	}
	out := make([]json.RawMessage, len(nodes))
	for i, n := range nodes {
		if out[i], err = appendJSON(nil, n); err != nil {
			return nil, fmt.Errorf("encode %s: %w", n.text("resourceType"), err)
		}
	}
	return out, nil
}

// nodesOf is Write before encoding.
func nodesOf(chart *state.Chart, style Style) ([]node, error) {
	w := &writer{chart: chart, style: style, zone: zoneOf(style.OffsetMin)}
	w.person()
	w.conditions()
	w.procedures()
	if err := w.observations(); err != nil {
		return nil, err
	}
	w.orders()
	if err := w.administrations(); err != nil {
		return nil, err
	}
	return w.out, nil
}

// writer holds one chart on its way out.
type writer struct {
	chart *state.Chart
	style Style
	zone  *time.Location
	out   []node
}

func zoneOf(offsetMin int) *time.Location {
	if offsetMin == 0 {
		return time.UTC
	}
	return time.FixedZone("", offsetMin*60)
}

// resource starts a resource with its id, security label and subject.
func (w *writer) resource(kind, id string, members ...any) node {
	n := obj("resourceType", kind, "id", id, "meta", w.meta())
	return append(n, obj(members...)...)
}

func (w *writer) meta() node {
	if !w.chart.Person.Synthetic {
		return nil
	}
	return obj("security", list(obj("system", systemActReason, "code", "HTEST", "display", "test health data")))
}

func (w *writer) id(rec int) string {
	if rec >= 0 && rec < len(w.chart.Records) {
		return w.chart.Records[rec].ID
	}
	return w.chart.Person.ID + "-x" + strconv.Itoa(rec)
}

func (w *writer) subject() node   { return ref("Patient/" + w.chart.Person.ID) }
func (w *writer) encounter() node { return ref("Encounter/" + w.chart.Stay.ID) }

// instant writes a time, to the second, in the style's zone; empty when zero.
func (w *writer) instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(w.zone).Format(time.RFC3339)
}

func (w *writer) period(start, end time.Time) node {
	return obj("start", w.instant(start), "end", w.instant(end))
}

// person writes Organization, Patient and Encounter.
func (w *writer) person() {
	p, s := w.chart.Person, w.chart.Stay
	if s.Hospital != "" {
		w.out = append(w.out, w.resource("Organization", s.Hospital, "name", "Hospital "+s.Hospital))
	}
	birth, name := "", w.style.PersonName
	if name == "" {
		name = "Synthetic " + p.ID
	}
	if !p.BirthDate.IsZero() {
		birth = p.BirthDate.Format(time.DateOnly)
	}
	w.out = append(w.out, w.resource("Patient", p.ID,
		"name", list(obj("text", name)), "gender", p.Sex, "birthDate", birth,
		"deceasedDateTime", w.instant(s.DeathTime)))
	status, disposition := "in-progress", node(nil)
	if !s.End.IsZero() {
		status = "finished"
	}
	if s.OutcomeKnown {
		code, text := "home", "Home"
		if s.DiedInHospital {
			code, text = "exp", "Expired"
		}
		disposition = obj("dischargeDisposition", concept(text, coding(systemDisposition, code, text)))
	}
	kinds := []any(nil)
	if s.ICU {
		kinds = list(concept("Intensive care", coding(systemSNOMED, "305351004", "Admission to intensive care unit")))
	}
	place := obj("location", obj("display", s.Unit), "status", "active", "physicalType",
		concept("Intensive care unit", coding(systemPlace, "wa", "Ward")), "period", w.period(s.Start, s.End))
	if s.Unit == "" {
		place = nil
	}
	w.out = append(w.out, w.resource("Encounter", s.ID, "status", status,
		"class", coding(systemActCode, "IMP", "inpatient encounter"), "type", kinds, "subject", w.subject(),
		"period", w.period(s.Start, s.End), "hospitalization", disposition, "location", list(place),
		"serviceProvider", ref(join("Organization/", s.Hospital))))
}

// join puts prefix before a non-empty name.
func join(prefix, name string) string {
	if name == "" {
		return ""
	}
	return prefix + name
}

// node is a JSON object with members in the order they were given and no empty
// ones: FHIR forbids null, "", [] and {}.
type node []member

type member struct {
	key   string
	value any
}

// obj builds a node from key, value, key, value …, leaving out what is empty.
func obj(pairs ...any) node {
	n := make(node, 0, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		if v := pairs[i+1]; !empty(v) {
			n = append(n, member{pairs[i].(string), v})
		}
	}
	return n
}

func empty(v any) bool {
	switch x := v.(type) {
	case nil:
		return true
	case string:
		return x == ""
	case node:
		return len(x) == 0
	case []any:
		return len(x) == 0
	case json.Number:
		return x == ""
	}
	return false
}

// list builds an array, leaving out what is empty.
func list(items ...any) []any {
	out := make([]any, 0, len(items))
	for _, v := range items {
		if !empty(v) {
			out = append(out, v)
		}
	}
	return out
}

func (n node) text(key string) string {
	for _, m := range n {
		if s, ok := m.value.(string); ok && m.key == key {
			return s
		}
	}
	return ""
}

// appendJSON writes a value of a node to b.
func appendJSON(b []byte, v any) ([]byte, error) {
	switch x := v.(type) {
	case node:
		b = append(b, '{')
		for i, m := range x {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(append(b, '"'), m.key...), '"', ':')
			var err error
			if b, err = appendJSON(b, m.value); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	case []any:
		b = append(b, '[')
		for i, item := range x {
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = appendJSON(b, item); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	case json.Number:
		return append(b, x...), nil
	}
	text, err := json.Marshal(v)
	return append(b, text...), err
}

func ref(to string) node { return obj("reference", to) }

func coding(system, code, display string) node {
	if code == "" {
		return nil
	}
	return obj("system", system, "code", code, "display", display)
}

func concept(text string, codings ...any) node {
	return obj("coding", list(codings...), "text", text)
}

// quantity writes a value with a fixed number of decimals and a UCUM unit.
func quantity(value float64, decimals int, label, ucum string) node {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return nil
	}
	return obj("value", json.Number(strconv.FormatFloat(value, 'f', decimals, 64)), "unit", label, "system", systemUCUM, "code", ucum)
}
