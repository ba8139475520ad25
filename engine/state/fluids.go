// SPDX-License-Identifier: Apache-2.0

package state

// This file: the fluid book, what is charted here of fluid in and out over
// windows that end at T. It never says what is left to give: fluid given
// before the ICU is usually not charted in it.

// GapUrine is the Gap that says urine is not charted here.
var GapUrine = string(catalogue[Urine].Name)

// urineFresh is how new the last urine entry must be for the 6-h sum to speak
// for the present.
const urineFresh = 6 * hour

func (v *view) fluids() FluidBook {
	var f FluidBook
	why, gap := v.gap(GapFluid)
	day := v.volumes(v.t-24*hour, v.t)
	if !gap {
		why = day.why
	}
	f.Known, f.Why = why == "" && !gap, why
	if gap && why == "" {
		f.Why = "fluids are not charted here"
	}
	recent := v.volumes(v.t-3*hour, v.t)
	f.Bolus3hMl, f.BloodIn3hMl = recent.bolusMl, recent.bloodMl
	f.Bolus24hMl, f.In24hMl, f.BloodIn24hMl = day.bolusMl, day.totalMl(), day.bloodMl

	if ml, at, ok := v.urine(v.t-24*hour, v.t); ok {
		f.Urine24hMl = ml
		if at > v.t-urineFresh {
			f.UrineKnown = true
			f.Urine6hMl, _, _ = v.urine(v.t-6*hour, v.t)
		}
	}
	start, ok := v.stayStart()
	if !ok || start > v.t {
		return f
	}
	stay := v.volumes(start-1, v.t)
	f.BolusStayMl, f.InStayMl = stay.bolusMl, stay.totalMl()
	urineMl, _, urineCharted := v.urine(start, v.t)
	f.OutStayMl = urineMl
	for _, o := range after(v.b.upTo(ConceptOtherOutput, v.t), start) {
		if o.known(v.t) {
			f.OutStayMl += o.value * share(&o, start, v.t)
		}
	}
	f.BalanceKnown = f.Known && stay.why == "" && urineCharted && f.UrineKnown
	if f.BalanceKnown {
		f.BalanceMl = f.InStayMl - f.OutStayMl
	}
	return f
}
