// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: canon, which turns a number and a unit as received into the
// canonical unit of a feature, or says why it cannot.

import (
	"fmt"
	"math"
	"strconv"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir/ucum"
)

// Reasons why a value is not usable. They are stable texts that reports count
// by; none contains a chart value.
const (
	reasonNoNumber     = "value is not a number"
	reasonUnitMissing  = "unit missing"
	reasonUnitUnknown  = "unknown unit"
	reasonUnitOther    = "unit does not fit the quantity"
	reasonUnitConflict = "unit text and unit code disagree"
	reasonImpossible   = "impossible value"
	reasonNotWhole     = "score is not a whole number"
)

// canon is a conceptSpec joined with the catalogue.
type canon struct {
	conceptSpec
	unitCode string
	unit     ucum.Unit
	lo, hi   float64
	converts []conversion
	spelled  map[string]string // squeezed spelling to UCUM, for this concept alone
	another  bool              // of another substance: no unit is taken as it is
}

type conversion struct {
	from   ucum.Unit
	factor float64
	divide bool
	spec   convertSpec
}

func newCanon(spec conceptSpec) (*canon, error) {
	lo, hi, unit, ok := state.Range(spec.Concept)
	if !ok {
		return nil, fmt.Errorf("concept %q is not in the catalogue of package state", spec.Concept)
	}
	c := &canon{conceptSpec: spec, unitCode: unit, lo: lo, hi: hi}
	var err error
	if c.unit, err = ucum.Parse(unit); err != nil {
		return nil, fmt.Errorf("concept %s: %w", spec.Concept, err)
	}
	for spelling, code := range spec.Spelled {
		if _, err := ucum.Parse(code); err != nil {
			return nil, fmt.Errorf("concept %s: unit spelling %q: %w", spec.Concept, spelling, err)
		}
		if c.spelled == nil {
			c.spelled = map[string]string{}
		}
		c.spelled[squeeze(spelling)] = code
	}
	if c.converts, err = conversions(spec.Convert); err != nil {
		return nil, fmt.Errorf("concept %s: %w", spec.Concept, err)
	}
	return c, nil
}

func conversions(list []convertSpec) ([]conversion, error) {
	var out []conversion
	for _, s := range list {
		from, err := ucum.Parse(s.From)
		if err != nil {
			return nil, fmt.Errorf("conversion: %w", err)
		}
		if (s.Multiply > 0) == (s.Divide > 0) {
			return nil, fmt.Errorf("conversion from %s needs either multiply or divide, above zero", s.From)
		}
		conv := conversion{from: from, factor: s.Multiply, spec: s}
		if s.Divide > 0 {
			conv.factor, conv.divide = s.Divide, true
		}
		out = append(out, conv)
	}
	return out, nil
}

// of returns c for codes that measure another substance, by their own
// conversions.
func (c *canon) of(list []convertSpec) (*canon, error) {
	converts, err := conversions(list)
	if err != nil {
		return nil, err
	}
	other := *c
	other.converts, other.another = converts, true
	return &other, nil
}

// number reads the decimal text of the wire. Infinities and not-a-number are
// not values of a chart.
func number(text string) (float64, bool) {
	v, err := strconv.ParseFloat(text, 64)
	return v, err == nil && !math.IsNaN(v) && !math.IsInf(v, 0)
}

// spelledUnit finds the unit of a quantity: site spellings first, then UCUM.
// The coded unit leads; the printed one is a fallback and must not contradict
// it. drug selects the spellings used for doses.
func (x *index) spelledUnit(q *state.Quantity, drug bool) (ucum.Unit, string, string) {
	coded, codedText, codedOK := x.parseUnit(q.Code, drug)
	printed, printedText, printedOK := coded, codedText, codedOK
	if q.Unit != q.Code {
		printed, printedText, printedOK = x.parseUnit(q.Unit, drug)
	}
	switch {
	case codedOK && printedOK && coded != printed:
		// "{score}" printed as "1", or a bare "/min" printed as "{beats}/min",
		// are equal units; anything else is two claims about one number.
		return ucum.Unit{}, "", reasonUnitConflict
	case codedOK:
		return coded, codedText, ""
	case printedOK:
		return printed, printedText, ""
	case q.Code == "" && q.Unit == "":
		return ucum.Unit{}, "", reasonUnitMissing
	}
	return ucum.Unit{}, "", reasonUnitUnknown
}

// unitOf is spelledUnit for a value of concept c, whose own spellings go first.
func (x *index) unitOf(c *canon, q *state.Quantity) (ucum.Unit, string, string) {
	if c.spelled == nil {
		return x.spelledUnit(q, false)
	}
	own := *q
	for _, text := range []*string{&own.Code, &own.Unit} {
		if code, ok := c.spelled[squeeze(*text)]; ok {
			*text = code
		}
	}
	return x.spelledUnit(&own, false)
}

// parseUnit reads one spelling; the text returned is the UCUM code.
func (x *index) parseUnit(text string, drug bool) (ucum.Unit, string, bool) {
	if text == "" {
		return ucum.Unit{}, "", false
	}
	r := x.units.of(unitKey{text, drug}, x.readUnit)
	return r.unit, r.code, r.ok
}

func (x *index) readUnit(k unitKey) unitRead {
	if k.text != "1" && allDigits(k.text) {
		// A number is a unit by the grammar of UCUM, but what stands here is
		// a code of another system, such as SNOMED CT.
		return unitRead{}
	}
	code := k.text
	if k.drug {
		code = x.spellDose(k.text)
	} else if spelled, ok := x.unitsAny[squeeze(k.text)]; ok {
		code = spelled
	}
	u, err := ucum.Parse(code)
	return unitRead{u, code, err == nil}
}

func allDigits(text string) bool {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return true
}

// canonical converts a quantity of concept c. assume is the unit of a bare
// number, empty when there is none. It returns the value, what was done to it
// (empty: nothing), and a reason when the value is not usable.
func (x *index) canonical(c *canon, q *state.Quantity, assume string) (value float64, done, reason string) {
	v, ok := number(q.Value)
	if !ok {
		return 0, "", reasonNoNumber
	}
	unit, text, reason := x.unitOf(c, q)
	switch {
	case reason == reasonUnitMissing && assume != "":
		unit, _ = ucum.Parse(assume) // checked when the code map was read
		text, done = assume, "unit "+assume+" by code"
		reason = ""
	case reason != "" && c.Unitless && bareUnit(q):
		unit, text, reason = c.unit, c.unitCode, ""
	}
	if reason != "" {
		return 0, "", reason
	}
	v, how, reason := c.convert(v, unit, text)
	if reason != "" {
		return 0, "", reason
	}
	if how != "" {
		done = how
	}
	if c.Fraction && v > 0 && v <= 1 {
		v, done = v*100, "fraction * 100"
	}
	if c.Whole && v != math.Trunc(v) {
		return 0, "", reasonNotWhole
	}
	if v < c.lo || v > c.hi {
		return 0, "", reasonImpossible
	}
	return v, done, ""
}

// bareUnit: no unit at all, or one that says nothing (pH "units").
func bareUnit(q *state.Quantity) bool {
	for _, u := range []string{q.Code, q.Unit} {
		switch squeeze(u) {
		case "", "1", "units", "unit", "ph", "phunits", "none", "n/a", "na", "[ph]", "{score}", "{inr}", "unity":
		default:
			return false
		}
	}
	return true
}

// convert brings v from unit to the canonical unit.
func (c *canon) convert(v float64, unit ucum.Unit, text string) (value float64, how, reason string) {
	if c.another {
		return c.substance(v, unit, text)
	}
	if unit == c.unit {
		return v, "", ""
	}
	if c.Unitless {
		one, _ := ucum.Parse("1")
		if unit.SameKind(one) {
			if unit != one {
				return 0, "", reasonUnitOther // a score in percent
			}
			return v, "", ""
		}
	}
	if unit.SameKind(c.unit) {
		return unit.To(v, c.unit), text + " to " + c.unitCode, ""
	}
	return c.substance(v, unit, text)
}

// substance is the part of convert that depends on what is measured.
func (c *canon) substance(v float64, unit ucum.Unit, text string) (value float64, how, reason string) {
	for _, conv := range c.converts {
		if !unit.SameKind(conv.from) {
			continue
		}
		v = unit.To(v, conv.from)
		if conv.divide {
			return v / conv.factor, fmt.Sprintf("%s / %g", conv.spec.From, conv.factor), ""
		}
		if conv.factor == 1 {
			return v, text + " = " + c.unitCode, ""
		}
		return v * conv.factor, fmt.Sprintf("%s * %g", conv.spec.From, conv.factor), ""
	}
	return 0, "", reasonUnitOther
}
