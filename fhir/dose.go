// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: drug arithmetic. Rates become ug/kg/min, ug/min, [iU]/min or
// mL/h. What cannot be computed from what was charted stays unknown, with the
// reason. Volumes are in fluid.go.

import (
	"fmt"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir/ucum"
)

// Reasons why a rate or amount is unknown.
const (
	unknownNoUnit     = "rate without a unit"
	unknownUnit       = "rate in an unknown unit"
	unknownConc       = "volume rate without a concentration"
	unknownDimension  = "rate unit does not fit the drug"
	unknownRange      = "rate beyond what is plausible"
	unknownNegative   = "rate is not a number at or above 0"
	unknownWeightBase = "rate per kg without a dosing weight"
	unknownNoRate     = "amount without a rate"
	unknownHold       = "on hold: rate not charted"
	unknownStatus     = "status unknown"
	unknownVolume     = "volume not charted"
	unknownPeriod     = "finished rate without a period"
	unknownBagUnits   = "bag content is not in a unit of the drug"
	unknownVial       = "volume rate of a product that is diluted before use"
	unknownBound      = "rate is a bound, not a number"
	unknownNoEnd      = "finished, but nobody charted when"
	unknownStopRate   = "stopped at an instant, with a rate: before or after is not said"
	unknownMixture    = "bag with two vasoactive drugs"
	unknownBoluses    = "given as single doses that act for hours"
	unknownDrug       = "medication not identified"
)

// Units that arithmetic works in, parsed once.
var (
	unitMlH     = mustUnit("mL/h")
	unitMl      = mustUnit("mL")
	unitUgKgMin = mustUnit("ug/kg/min")
	unitUgMin   = mustUnit("ug/min")
	unitUMin    = mustUnit("[iU]/min")
	unitUKgMin  = mustUnit("[iU]/kg/min")
	unitUg      = mustUnit("ug")
	unitU       = mustUnit("[iU]")
	unitKg      = mustUnit("kg")
	unitUgMl    = mustUnit("ug/mL")
	unitUMl     = mustUnit("[iU]/mL")
)

func mustUnit(code string) ucum.Unit {
	u, err := ucum.Parse(code)
	if err != nil {
		panic("fhir: " + err.Error())
	}
	return u
}

// Plausible volumes and volume rates; beyond them a row is not believed.
const (
	maxMlH = 20000
	maxMl  = 20000
)

// spellDose brings a dose or rate unit to UCUM: site spellings of the whole or
// of the parts between slashes.
func (x *index) spellDose(text string) string {
	if code, ok := x.unitsDrug[squeeze(text)]; ok {
		return code
	}
	if !strings.Contains(text, "/") {
		return text
	}
	parts := strings.Split(text, "/")
	for i, p := range parts {
		p = strings.TrimSpace(p)
		if code, ok := x.unitsDrug[squeeze(p)]; ok {
			p = code
		}
		parts[i] = p
	}
	return strings.Join(parts, "/")
}

// dosingKg is the weight the pump or order carries, in kg. A weight that no
// adult has (a pump left at 1 kg) is none.
func (x *index) dosingKg(q *state.Quantity) float64 {
	if q == nil || q.Comparator != "" {
		return 0
	}
	u, _, reason := x.spelledUnit(q, false)
	v, ok := number(q.Value)
	if reason != "" || !ok || !u.SameKind(unitKg) {
		return 0
	}
	if kg := u.To(v, unitKg); kg >= 20 && kg <= 400 {
		return kg
	}
	return 0
}

// formOf says how a row was given. A vasoactive charted at an instant with a
// rate is a rate set then, not a dose; without a rate, and without a dose that
// can be a push, it says that the pump was stopped, held or runs at a rate that
// nobody charted.
func (x *index) formOf(d *drugSpec, r *state.Record, ctx contextSpec) state.Form {
	hasRate := r.Rate != nil && r.Rate.Value != ""
	hasDose := r.Dose != nil && r.Dose.Value != ""
	switch {
	case hasRate:
		return state.FormInfusion
	case !isVasoactive(d.Class):
		return state.FormBolus
	case ctx.Push:
		return state.FormPush
	case r.IsPeriod, !hasDose, d.ActsHours > 0, !x.canBePush(d, r.Dose):
		return state.FormInfusion
	}
	return state.FormPush
}

// canBePush says whether a single dose is small enough to have been pushed.
func (x *index) canBePush(d *drugSpec, dose *state.Quantity) bool {
	most, in := d.MaxPushUg, unitUg
	if d.Dose == "units" {
		most, in = d.MaxPushU, unitU
	}
	if most == 0 {
		return true
	}
	unit, _, reason := x.spelledUnit(dose, true)
	v, ok := number(dose.Value)
	return ok && reason == "" && unit.SameKind(in) && unit.To(v, in) <= most
}

// dose fills form, rate, amount and ledger of a.
func (x *index) dose(d *drugSpec, r *state.Record, ctx contextSpec, a *state.Administration) {
	a.DosingKg, a.Form = x.dosingKg(r.DoseWeight), x.formOf(d, r, ctx)
	switch {
	case d.Dose == "volume":
		x.fluid(d, r, ctx, a)
	case isVasoactive(d.Class):
		x.vasoactive(d, r, a)
	default:
		x.bagVolume(r, a)
	}
}

func isVasoactive(c state.Class) bool {
	return c == state.ClassVasopressor || c == state.ClassInotrope || c == state.ClassVasoactive
}

// unknown marks the rate as not understood.
func unknown(a *state.Administration, why string) {
	a.RateKnown, a.Rate, a.RateUnit, a.Unknown = false, 0, "", why
}

// vasoactive computes the rate of a drug dosed by mass or units.
func (x *index) vasoactive(d *drugSpec, r *state.Record, a *state.Administration) {
	if v, ok := x.volumeRate(r.PumpRate); ok && v > 0 {
		a.MlPerH, a.Ledger, a.Tonicity = v, state.LedgerCarrier, 1
	}
	if why := withoutRate(d, r, a); why != "" {
		unknown(a, why)
		return
	}
	if a.RateKnown || a.Form == state.FormPush {
		return
	}
	if x.mixed(d, r) {
		unknown(a, unknownMixture)
		return
	}
	v, unit, why := x.rateOf(r)
	if why != "" {
		unknown(a, why)
		return
	}
	if unit.SameKind(unitMlH) {
		if v, unit, why = x.byConcentration(d, r, unit.To(v, unitMlH), a); why != "" {
			unknown(a, why)
			return
		}
	}
	x.settleRate(d, a, v, unit)
}

// withoutRate settles rows whose rate is not charted or does not hold: it marks
// a stop as a rate of zero, and gives the reason why the rate is unknown.
func withoutRate(d *drugSpec, r *state.Record, a *state.Administration) (why string) {
	hasRate := r.Rate != nil && r.Rate.Value != ""
	over := r.Status == "stopped" || r.Status == "completed"
	switch {
	case a.Form == state.FormPush:
		a.Unknown = "push dose has no rate"
	case r.Status == "unknown":
		return unknownStatus
	case isZero(r.Rate):
		off(d, a) // zero is zero in any unit
	case r.Status == "on-hold":
		return unknownHold
	case d.ActsHours > 0 && !hasRate && !r.IsPeriod && r.Dose != nil:
		a.End = a.Start.Add(time.Duration(d.ActsHours * float64(time.Hour)))
		a.Conversion = fmt.Sprintf("a single dose is taken to act for %g h", d.ActsHours)
		return unknownBoluses
	case r.Status == "stopped" && !r.IsPeriod && !hasRate:
		off(d, a)
		a.Conversion = "stopped"
	case r.Status == "stopped" && !r.IsPeriod:
		return unknownStopRate
	case over && r.IsPeriod && r.End == "":
		return unknownNoEnd
	case !hasRate:
		return unknownNoRate
	}
	return ""
}

// off marks a known rate of zero.
func off(d *drugSpec, a *state.Administration) {
	a.RateKnown, a.Rate, a.RateUnit = true, 0, state.UnitUgKgMin
	if d.Dose == "units" {
		a.RateUnit = state.UnitUMin
	}
}

func isZero(q *state.Quantity) bool {
	if q == nil || q.Comparator != "" {
		return false
	}
	v, ok := number(q.Value)
	return ok && v == 0
}

// mixed says whether a bag holds another vasoactive drug beside d. Its rate
// would then stand for two drugs.
func (x *index) mixed(d *drugSpec, r *state.Record) bool {
	for i := range r.Ingredients {
		if other := x.ingredient(&r.Ingredients[i]); other != nil && other != d && isVasoactive(other.Class) {
			return true
		}
	}
	return false
}

func (x *index) ingredient(in *state.Ingredient) *drugSpec {
	if d := x.drugByCode(in.Codes); d != nil {
		return d
	}
	return x.drugByName(in.Text)
}

// rateOf reads the rate and its unit, from a quantity or a ratio.
func (x *index) rateOf(r *state.Record) (v float64, unit ucum.Unit, why string) {
	v, ok := number(r.Rate.Value)
	if !ok || v < 0 {
		return 0, unit, unknownNegative
	}
	if r.Rate.Comparator != "" || r.RatePer != nil && r.RatePer.Comparator != "" {
		return 0, unit, unknownBound
	}
	q := *r.Rate
	if r.RatePer != nil {
		per, ok := number(r.RatePer.Value)
		if !ok || per <= 0 {
			return 0, unit, unknownNegative
		}
		_, top, reasonTop := x.spelledUnit(&q, true)
		_, bottom, reasonBottom := x.spelledUnit(r.RatePer, true)
		if reasonTop != "" || reasonBottom != "" {
			return 0, unit, unknownUnit
		}
		joined, err := ucum.Parse(top + "/" + bottom)
		if err != nil {
			return 0, unit, unknownUnit
		}
		return v / per, joined, ""
	}
	unit, _, reason := x.spelledUnit(&q, true)
	switch reason {
	case "":
		return v, unit, ""
	case reasonUnitMissing:
		return 0, unit, unknownNoUnit
	}
	return 0, unit, unknownUnit
}

// rateOfAny is rateOf for a row that may have no rate.
func (x *index) rateOfAny(r *state.Record) (v float64, unit ucum.Unit, why string) {
	if r.Rate == nil || r.Rate.Value == "" {
		return 0, unit, unknownNoRate
	}
	return x.rateOf(r)
}

// settleRate puts a rate in one of the four units and checks its range.
func (x *index) settleRate(d *drugSpec, a *state.Administration, v float64, unit ucum.Unit) {
	var out float64
	var name string
	var most float64
	switch {
	case d.Dose == "mass" && unit.SameKind(unitUgKgMin):
		out, name, most = unit.To(v, unitUgKgMin), state.UnitUgKgMin, d.MaxUgKgMin
	case d.Dose == "mass" && unit.SameKind(unitUgMin):
		out, name, most = unit.To(v, unitUgMin), state.UnitUgMin, d.MaxUgMin
	case d.Dose == "units" && unit.SameKind(unitUMin):
		out, name, most = unit.To(v, unitUMin), state.UnitUMin, d.MaxUMin
	case d.Dose == "units" && unit.SameKind(unitUKgMin):
		if a.DosingKg == 0 {
			unknown(a, unknownWeightBase)
			return
		}
		out, name, most = unit.To(v, unitUKgMin)*a.DosingKg, state.UnitUMin, d.MaxUMin
	default:
		unknown(a, unknownDimension)
		return
	}
	if most > 0 && out > most {
		unknown(a, unknownRange)
		return
	}
	a.RateKnown, a.Rate, a.RateUnit = true, out, name
}
