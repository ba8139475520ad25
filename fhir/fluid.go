// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: fluids: volume, volume rate, and the ledger a fluid belongs to.

import (
	"fmt"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir/ucum"
)

// volumeRate reads a quantity as mL/h.
func (x *index) volumeRate(q *state.Quantity) (float64, bool) {
	if q == nil {
		return 0, false
	}
	v, ok := number(q.Value)
	unit, _, reason := x.spelledUnit(q, true)
	if !ok || reason != "" || !unit.SameKind(unitMlH) {
		return 0, false
	}
	v = unit.To(v, unitMlH)
	return v, v >= 0 && v <= maxMlH
}

// volumeOf reads a dose as mL, with the volume of a unit of substance where
// the drug has one.
func (x *index) volumeOf(d *drugSpec, q *state.Quantity) (ml float64, how string, ok bool) {
	if q == nil || q.Value == "" || q.Comparator != "" {
		return 0, "", false
	}
	v, okV := number(q.Value)
	unit, _, reason := x.spelledUnit(q, true)
	if !okV || reason != "" || v < 0 {
		return 0, "", false
	}
	if unit.SameKind(unitMl) {
		ml = unit.To(v, unitMl)
		return ml, "", ml <= maxMl
	}
	if d == nil {
		return 0, "", false
	}
	for code, factor := range d.MlPer {
		if u, err := ucum.Parse(code); err == nil && unit.SameKind(u) {
			ml = unit.To(v, u) * factor
			return ml, fmt.Sprintf("%g mL per %s", factor, code), ml <= maxMl
		}
	}
	return 0, "", false
}

// fluid computes volume, volume rate and ledger of a fluid.
func (x *index) fluid(d *drugSpec, r *state.Record, ctx contextSpec, a *state.Administration) {
	ml, how, ok := x.volumeOf(d, r.Dose)
	if ok {
		a.AmountMl, a.MlKnown, a.Conversion = ml, true, how
	}
	atOnce := !r.IsPeriod && (r.Status == "completed" || r.Status == "stopped")
	switch {
	case r.Rate == nil || r.Rate.Value == "":
		if !ok {
			unknown(a, unknownVolume)
		}
	case atOnce && ok:
		a.Form = state.FormBolus
	case atOnce:
		unknown(a, unknownPeriod)
	case r.Status == "on-hold":
		unknown(a, unknownHold)
	case r.Status == "unknown":
		unknown(a, unknownStatus)
	default:
		x.fluidRate(r, a)
	}
	if a.RateKnown && !a.MlKnown && !a.End.IsZero() && a.End.After(a.Start) {
		if total := a.Rate * a.End.Sub(a.Start).Hours(); total <= 50000 {
			a.AmountMl, a.MlKnown = total, true
			a.Conversion = fmt.Sprintf("%g mL/h over %.4g h", a.Rate, a.End.Sub(a.Start).Hours())
		}
	}
	a.Ledger = x.ledgerOf(d, ctx, a)
	if ctx.Backdated {
		// A total of care outside the unit, charted at one instant here: real
		// volume, but no treatment of the step in which it was charted.
		a.Tonicity = 0
		a.Conversion = strings.TrimSpace(a.Conversion + " total of care outside the unit")
	}
}

func (x *index) fluidRate(r *state.Record, a *state.Administration) {
	v, unit, why := x.rateOf(r)
	switch {
	case why != "":
		unknown(a, why)
	case !unit.SameKind(unitMlH):
		unknown(a, unknownDimension)
	case unit.To(v, unitMlH) > maxMlH:
		unknown(a, unknownRange)
	default:
		a.RateKnown, a.Rate, a.RateUnit = true, unit.To(v, unitMlH), state.UnitMlH
	}
}

// ledgerOf says which real-mL account a fluid belongs to.
func (x *index) ledgerOf(d *drugSpec, ctx contextSpec, a *state.Administration) state.Ledger {
	fluid := d.Class == state.ClassCrystalloid || d.Class == state.ClassColloid
	switch {
	case d.Ledger != "":
		return d.Ledger
	case d.Class == state.ClassBlood:
		return state.LedgerBlood
	case ctx.Backdated:
		return state.LedgerMaintenance
	case ctx.FluidsAre != "" && (fluid || ctx.FluidsAre == state.LedgerCarrier):
		return ctx.FluidsAre
	case !fluid:
		return state.LedgerMaintenance
	}
	mlH, ml := x.bolus.CrystalloidMlH, x.bolus.CrystalloidMl
	if d.Class == state.ClassColloid {
		mlH, ml = x.bolus.ColloidMlH, x.bolus.ColloidMl
	}
	hours := 0.0
	if !a.End.IsZero() {
		hours = a.End.Sub(a.Start).Hours()
	}
	switch {
	case a.RateKnown && a.Form == state.FormInfusion:
		if a.Rate > mlH {
			return state.LedgerBolus
		}
	case a.MlKnown && hours > 1:
		if a.AmountMl/hours > mlH {
			return state.LedgerBolus
		}
	case a.MlKnown && a.AmountMl > ml:
		return state.LedgerBolus
	}
	return state.LedgerMaintenance
}

// bagVolume counts the fluid that carries a drug given as a bag.
func (x *index) bagVolume(r *state.Record, a *state.Administration) {
	if ml, _, ok := x.volumeOf(nil, r.Dose); ok && ml > 0 {
		a.AmountMl, a.MlKnown, a.Ledger, a.Tonicity = ml, true, state.LedgerCarrier, 1
	}
	if r.Rate != nil {
		if v, ok := x.volumeRate(r.Rate); ok {
			a.MlPerH, a.Ledger, a.Tonicity = v, state.LedgerCarrier, 1
		}
		a.Unknown = unknownNoRate
	}
}
