// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: drug arithmetic. Rates become ug/kg/min, ug/min, [iU]/min or
// mL/h. What cannot be computed from what was charted stays unknown, with the
// reason. Volumes are in fluid.go.

import (
	"fmt"
	"strings"

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

// dose fills form, rate, amount and ledger of a.
func (x *index) dose(d *drugSpec, r *state.Record, ctx contextSpec, a *state.Administration) {
	if r.DoseWeight != nil {
		if u, _, reason := x.spelledUnit(r.DoseWeight, false); reason == "" && u.SameKind(unitKg) {
			if v, ok := number(r.DoseWeight.Value); ok {
				if kg := u.To(v, unitKg); kg >= 20 && kg <= 400 {
					a.DosingKg = kg
				}
			}
		}
	}
	hasRate := r.Rate != nil && r.Rate.Value != ""
	switch {
	case hasRate:
		a.Form = state.FormInfusion
	case isVasoactive(d.Class) && r.IsPeriod && !ctx.Push:
		a.Form = state.FormInfusion
	case isVasoactive(d.Class):
		a.Form = state.FormPush
	default:
		a.Form = state.FormBolus
	}
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
	switch {
	case a.Form == state.FormPush:
		a.Unknown = "push dose has no rate"
		return
	case r.Status == "on-hold":
		unknown(a, unknownHold)
		return
	case r.Status == "unknown":
		unknown(a, unknownStatus)
		return
	case r.Rate == nil || r.Rate.Value == "":
		unknown(a, unknownNoRate)
		return
	case r.Rate.Comparator != "":
		unknown(a, "rate is a bound, not a number")
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

// rateOf reads the rate and its unit, from a quantity or a ratio.
func (x *index) rateOf(r *state.Record) (v float64, unit ucum.Unit, why string) {
	v, ok := number(r.Rate.Value)
	if !ok || v < 0 {
		return 0, unit, unknownNegative
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

// byConcentration turns mL/h into mass or units per minute by the bag content.
func (x *index) byConcentration(d *drugSpec, r *state.Record, mlH float64, a *state.Administration) (float64, ucum.Unit, string) {
	perMl, unit, ok, why := x.concentration(d, r)
	if !ok {
		return 0, unit, why
	}
	a.MlPerH, a.Ledger, a.Tonicity = mlH, state.LedgerCarrier, 1
	if unit == unitU {
		a.Conversion = fmt.Sprintf("%g mL/h * %g [iU]/mL", mlH, perMl)
		return mlH * perMl / 60, unitUMin, ""
	}
	a.Conversion = fmt.Sprintf("%g mL/h * %g ug/mL", mlH, perMl)
	return mlH * perMl / 60, unitUgMin, ""
}

// concentration finds drug per mL, in ug or [iU], from the row itself or from
// the strength of the ingredient in the medication.
func (x *index) concentration(d *drugSpec, r *state.Record) (perMl float64, unit ucum.Unit, ok bool, why string) {
	top, bottom := r.Strength, r.Volume
	if top == nil {
		for i := range r.Ingredients {
			in := &r.Ingredients[i]
			named := x.drugByCode(in.Codes)
			if named == nil {
				named = x.drugByName(in.Text)
			}
			if named == d && in.Amount != nil && in.Per != nil {
				top, bottom = in.Amount, in.Per
				break
			}
		}
	}
	if top == nil || bottom == nil {
		return 0, unit, false, unknownConc
	}
	amount, okA := number(top.Value)
	volume, okV := number(bottom.Value)
	topUnit, _, reasonTop := x.spelledUnit(top, true)
	bottomUnit, _, reasonBottom := x.spelledUnit(bottom, true)
	if !okA || !okV || amount <= 0 || volume <= 0 || reasonTop != "" || reasonBottom != "" || !bottomUnit.SameKind(unitMl) {
		return 0, unit, false, unknownConc
	}
	volume = bottomUnit.To(volume, unitMl)
	switch {
	case d.Dose == "mass" && topUnit.SameKind(unitUg):
		return topUnit.To(amount, unitUg) / volume, unitUg, true, ""
	case d.Dose == "units" && topUnit.SameKind(unitU):
		return topUnit.To(amount, unitU) / volume, unitU, true, ""
	}
	return 0, unit, false, unknownBagUnits
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
