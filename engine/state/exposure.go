// SPDX-License-Identifier: Apache-2.0

package state

// This file: treatment received in a step. Infusion rates are piecewise
// constant; lines of one drug add up; what has an unknown rate, an unknown
// weight it needs, or no documentation for too long makes the exposure of the
// step unknown instead of zero.

import (
	"cmp"
	"slices"
)

// dose is one stretch of one vasoactive infusion at a constant rate.
type dose struct {
	drug     Drug
	class    Class
	from, to instant
	// ugKgMin is the weight-based rate, where the drug has one and it is known.
	ugKgMin float64
	ugKnown bool
	// ne is the norepinephrine equivalent; only vasopressors count.
	ne    float64
	known bool
	why   string
}

// vasoactiveDoses converts the rows to stretches. The end of an open row that
// nobody has documented for UndocumentedH becomes a stretch of its own with an
// unknown rate.
func (v *view) vasoactiveDoses() []dose {
	out := make([]dose, 0, len(v.vaso)+4)
	late := hoursOf(v.b.cfg.UndocumentedH)
	for i := range v.vaso {
		x := &v.vaso[i]
		d := v.doseOf(x)
		if believed := x.doc + late; (x.open || x.lapsed) && believed < x.to {
			d.to = believed
			u := dose{drug: d.drug, class: d.class, from: believed, to: x.to, why: whyUndocumented}
			// A pump last charted at zero is off; silence does not start it.
			if x.a.RateKnown && x.a.Rate == 0 {
				u = d
				u.from, u.to = believed, x.to
			}
			out = append(out, d, u)
			continue
		}
		out = append(out, d)
	}
	return out
}

const whyUndocumented = "rate not documented recently"

func (v *view) doseOf(x *run) dose {
	a := x.a
	d := dose{drug: a.Drug, class: a.Class, from: x.start, to: x.to}
	if !a.RateKnown {
		d.why = cmp.Or(a.Unknown, "rate unknown")
		return d
	}
	if !within(a.Rate, 0, 1e6) {
		d.why = "rate is not a plausible number"
		return d
	}
	kg := v.dosingKg(a)
	if ug, why := convertRate(a.Rate, a.RateUnit, UnitUgKgMin, kg); why == "" {
		d.ugKgMin, d.ugKnown = ug, true
	}
	if a.Class == ClassUnidentified && a.Rate != 0 {
		d.why = cmp.Or(a.Unknown, "medication not identified")
		return d
	}
	if a.Class != ClassVasopressor || a.Rate == 0 {
		d.known = true
		return d
	}
	ne, why := v.b.cfg.NEOf(a.Drug, a.Rate, a.RateUnit, kg)
	if why != "" && v.weight.Conflict != "" && kg == 0 {
		why += " (" + v.weight.Conflict + ")"
	}
	d.ne, d.known, d.why = ne, why == "", why
	return d
}

// dosingKg is the weight that a per-minute rate is divided by: the pump's own
// where the row carries it, else the weight known at T unless it is in conflict.
func (v *view) dosingKg(a *Administration) float64 {
	if lo, hi, _, _ := Range(ConceptWeight); within(a.DosingKg, lo, hi) {
		return a.DosingKg
	}
	if v.weight.Known && v.weight.Conflict == "" {
		return v.weight.Kg
	}
	return 0
}

// sweep adds up value over the stretches within (from, to]: the highest sum,
// the time-weighted mean over the whole interval, and the sum at its end.
func sweep(doses []dose, from, to instant, value func(*dose) float64) (highest, mean, end float64) {
	var cuts []instant
	for i := range doses {
		d := &doses[i]
		if d.from < to && d.to > from {
			cuts = append(cuts, max(d.from, from), min(d.to, to))
		}
	}
	if len(cuts) == 0 {
		return 0, 0, 0
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	area := 0.0
	for i := 1; i < len(cuts); i++ {
		lo, hi := cuts[i-1], cuts[i]
		sum := 0.0
		for k := range doses {
			if doses[k].from <= lo && doses[k].to >= hi {
				sum += value(&doses[k])
			}
		}
		highest = max(highest, sum)
		area += sum * float64(hi-lo)
		if hi == to {
			end = sum
		}
	}
	return highest, area / float64(to-from), end
}

// overlapping keeps the stretches that touch (from, to].
func overlapping(doses []dose, from, to instant) []dose {
	var out []dose
	for i := range doses {
		if doses[i].from < to && doses[i].to > from {
			out = append(out, doses[i])
		}
	}
	return out
}

func neRate(d *dose) float64 { return d.ne }

// exposure is the treatment in (from, to]. Steps before the ICU stay are
// unknown: what was given elsewhere is not charted here.
func (v *view) exposure(from, to instant, inStay bool) Exposure {
	var e Exposure
	if !inStay {
		return e
	}
	_, vasoGap := v.gap(GapVasopressor)
	e.VasoKnown = !vasoGap
	here := overlapping(v.doses, from, to)
	for i := range here {
		if maybeVasopressor(here[i].class) && !here[i].known {
			e.VasoKnown = false
		}
	}
	// Without a known exposure the numbers are what is known to have run: a
	// lower bound for the rules about danger, not for levels.
	e.NEMaxUgKgMin, e.NEMeanUgKgMin, e.NEEndUgKgMin = sweep(here, from, to, neRate)

	_, fluidGap := v.gap(GapFluid)
	vol := v.volumes(from, to)
	e.FluidKnown = !fluidGap && vol.why == ""
	e.FluidModelMl, e.BolusMl, e.MaintenanceMl = vol.modelMl, vol.bolusMl, vol.maintenanceMl
	e.CarrierMl, e.BloodMl = vol.carrierMl, vol.bloodMl
	lv := v.b.cfg.LevelsOf(e.NEMaxUgKgMin, e.FluidModelMl)
	if e.VasoKnown {
		e.Levels.Vasopressor = lv.Vasopressor
	}
	if e.FluidKnown {
		e.Levels.Fluid = lv.Fluid
	}
	return e
}

// What a Gap may be about, beside feature names.
const (
	GapVasopressor = "vasopressor"
	GapFluid       = "fluid"
	GapConditions  = "conditions"
	GapProcedures  = "procedures"
	GapOrders      = "orders"
)

// volumes is fluid in real mL by ledger over one window.
type volumes struct {
	bolusMl, maintenanceMl, carrierMl, bloodMl float64
	modelMl                                    float64 // tonicity-adjusted
	why                                        string  // non-empty: some of it is unknown
}

func (x volumes) totalMl() float64 { return x.bolusMl + x.maintenanceMl + x.carrierMl + x.bloodMl }

func (v *view) volumes(from, to instant) volumes {
	var out volumes
	late := hoursOf(v.b.cfg.FluidUndocumentedH)
	for i := range v.fluid {
		x := &v.fluid[i]
		if x.start > to {
			break
		}
		// A volume without a length counts at its start, so a row that ended
		// exactly at from is behind us and one that starts at to is ahead.
		if x.to < from || x.start <= from && x.to <= from || x.start == to && x.to > x.start {
			continue
		}
		if x.start == to && x.open && x.a.Form == FormInfusion {
			continue
		}
		ml, ok := x.ml(from, to)
		if x.a.Class == ClassUnidentified && !(x.a.RateKnown && x.a.Rate == 0) {
			out.why = cmp.Or(out.why, cmp.Or(x.a.Unknown, "medication not identified"))
		}
		fluidClass := x.a.Class != ClassOther && !vasoactive(x.a.Class) && x.a.Class != ClassAntimicrobial
		switch {
		case !ok && x.a.Form != FormInfusion && !x.ended && x.start <= from:
			continue // unknown where it was hung, not ever after
		case !ok && fluidClass:
			out.why = cmp.Or(out.why, cmp.Or(x.a.Unknown, "volume of "+string(x.a.Drug)+" not charted"))
			continue
		case !ok:
			continue
		case (x.open || x.lapsed) && x.a.Form == FormInfusion && x.doc+late < to && x.doc+late < x.to && ml > 0 && fluidClass:
			out.why = cmp.Or(out.why, "rate of "+string(x.a.Drug)+" not documented recently")
		}
		switch ledgerOf(x.a) {
		case LedgerBlood:
			out.bloodMl += ml
		case LedgerBolus:
			out.bolusMl += ml
		case LedgerCarrier:
			out.carrierMl += ml
		default:
			out.maintenanceMl += ml
		}
		if within(x.a.Tonicity, 0, 30) {
			out.modelMl += ml * x.a.Tonicity
		}
	}
	return out
}

// ledgerOf is the account a row belongs to; a row that names none is put by
// its class and form.
func ledgerOf(a *Administration) Ledger {
	switch {
	case a.Ledger != "":
		return a.Ledger
	case a.Class == ClassBlood:
		return LedgerBlood
	case a.Class == ClassCarrier:
		return LedgerCarrier
	case a.Form == FormBolus && (a.Class == ClassCrystalloid || a.Class == ClassColloid):
		return LedgerBolus
	}
	return LedgerMaintenance
}
