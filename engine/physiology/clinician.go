// SPDX-License-Identifier: Apache-2.0

package physiology

// This file: how treatments are chosen when nobody experiments, and when
// somebody does.

import (
	"fmt"
	"math"
)

// Behaviour names who decides the doses of a cohort.
type Behaviour string

// The behaviours.
const (
	// BehaviourClinician titrates to pressure with habits that differ between
	// teams: sicker patients get more (confounding by indication).
	BehaviourClinician Behaviour = "clinician"
	// BehaviourRandomised replaces the clinician's norepinephrine and bolus by
	// chance in most 4-hour blocks, so that dose and illness come apart.
	BehaviourRandomised Behaviour = "randomised"
)

// Treatment of the behaviour, or an error naming an unknown one.
func (b Behaviour) Treatment() (Treatment, error) {
	switch b {
	case BehaviourClinician:
		return Func(clinician), nil
	case BehaviourRandomised:
		return Func(randomised), nil
	}
	return nil, fmt.Errorf("unknown behaviour %q (hint: %q or %q)", b, BehaviourClinician, BehaviourRandomised)
}

// habits of one team, drawn once per patient.
type habits struct {
	goal, ceiling, step, fluidFirst, vasoAt, maintenance, wean, dryness float64
}

func habitsOf(seed uint64) habits {
	r := dice(seed, "habits", 0)
	return habits{
		goal:        63 + 6*r.Float64(),
		ceiling:     6 + 9*r.Float64(),
		step:        0.02 + 0.06*r.Float64(),
		fluidFirst:  8 + 34*r.Float64(), // mL/kg given before a vasopressor is preferred
		vasoAt:      0.2 + 0.3*r.Float64(),
		maintenance: 5 * math.Round(25*r.Float64()),
		wean:        0.3 + 0.6*r.Float64(),
		dryness:     r.Float64(),
	}
}

// clinician looks every half hour.
func clinician(v Bedside) Doses {
	d := v.Now
	h := habitsOf(v.Seed)
	coin := dice(v.Seed, "clinician", v.Step)
	act, also, size := coin.Float64(), coin.Float64(), coin.Float64()
	if v.Step == 0 {
		d.MaintenanceMlH = h.maintenance
	}
	if v.AntibioticDue {
		d.Antibiotic, d.Culture = true, true
	}
	if v.Step%6 != 0 {
		return d
	}
	low := h.goal - v.MAPmmHg
	switch {
	case low > 0 && act < 0.85:
		raise(&d, v, h, low, also, size)
	case -low > h.ceiling && act < h.wean:
		lower(&d, h, -low-h.ceiling, size)
	}
	if d.NEEquivalent() == 0 && low < -6 && v.HoursIn > 24 && v.FluidMl > 2000 && also < 0.04*h.dryness {
		d.Diuretic = true
	}
	if v.HoursIn > 24 && d.MaintenanceMlH > 30 && act < 0.05 {
		d.MaintenanceMlH -= 25
	}
	if v.LactateMmol > 4 && low <= 0 && v.FluidMl < 45*v.WeightKg && v.BolusDue == 0 && also < 0.07 {
		d.BolusMl = 500
	}
	if v.HoursIn > 30 && v.CalmHours > 18 && !v.Ventilated && v.LactateMmol < 2.5 && act < 0.05 {
		d.Discharge = true
	}
	return d
}

// raise answers a pressure below goal.
func raise(d *Doses, v Bedside, h habits, lowMmHg, also, size float64) {
	fluidLeft := h.fluidFirst*v.WeightKg - v.FluidMl
	if v.BolusDue == 0 && (fluidLeft > 0 && also < 0.6 || also < 0.06) {
		d.BolusMl = 250 * float64(1+int(3.2*size))
		if lowMmHg < 12 {
			return
		}
	}
	d.NEUgKgMin = d.NEUgKgMin + h.step*clamp(lowMmHg/8, 0.5, 3)
	if d.NEUgKgMin >= h.vasoAt && d.VasopressinUMin == 0 && also < 0.4 {
		d.VasopressinUMin = 0.03
	}
	if d.NEUgKgMin > 0.8 && also < 0.3 {
		d.EpinephrineUgKgMin += 0.03
	}
	d.NEUgKgMin = math.Min(d.NEUgKgMin, 1.6)
}

// lower weans: last added first.
func lower(d *Doses, h habits, overMmHg, size float64) {
	switch {
	case d.EpinephrineUgKgMin > 0:
		d.EpinephrineUgKgMin -= 0.02
	case d.VasopressinUMin > 0 && (d.NEUgKgMin < 0.12 || size < 0.15):
		d.VasopressinUMin = 0
	default:
		d.NEUgKgMin -= h.step * clamp(overMmHg/8, 0.5, 2)
	}
}

// randomised tosses for every 4-hour block since admission: most blocks get a
// norepinephrine rate and a bolus by chance whatever the state, the others the
// clinician. Extremes stay rare so that patients live to tell.
func randomised(v Bedside) Doses {
	d := clinician(v)
	block := v.Step / (4 * stepsPerHour)
	r := dice(v.Seed, "block", block)
	mode, change, level, bolus, rate := r.Float64(), r.Float64(), r.Float64(), r.Float64(), r.Float64()
	if mode > 0.65 {
		return d
	}
	if v.Step%(4*stepsPerHour) != 0 {
		held := v.Now
		held.Antibiotic, held.Culture = d.Antibiotic, d.Culture
		return held
	}
	d.BolusMl, d.Diuretic = 0, false
	switch {
	case mode < 0.30: // a fresh rate, often none
		d.NEUgKgMin = math.Max(0, 0.75*level*level*level*1.2-0.03)
	default: // a change from the running one
		d.NEUgKgMin = v.Now.NEUgKgMin + (change-0.5)*0.3
	}
	if bolus < 0.5 {
		d.BolusMl = []float64{250, 500, 500, 1000}[int(bolus*8)%4]
	}
	if rate < 0.3 {
		d.MaintenanceMlH = 150 * (rate / 0.3)
	}
	return d
}

// titrate holds MAP near the goal with norepinephrine up to a ceiling, looking
// every half hour; it is how demonstration patients are brought where they
// should be.
func titrate(goalMmHg, ceilingUgKgMin, maintenanceMlH float64, bolusesMlAtH map[float64]float64) Treatment {
	return Func(func(v Bedside) Doses {
		d := v.Now
		d.MaintenanceMlH = maintenanceMlH
		if v.AntibioticDue {
			d.Antibiotic, d.Culture = true, true
		}
		d.BolusMl = bolusesMlAtH[v.HoursIn]
		if v.Step%6 == 0 && v.Step > 0 {
			low := goalMmHg - v.MAPmmHg
			switch {
			case low > 1.5:
				d.NEUgKgMin += clamp(0.004*low, 0.01, 0.05)
			case low < -4:
				d.NEUgKgMin -= clamp(-0.003*low, 0.01, 0.03)
			}
			d.NEUgKgMin = clamp(d.NEUgKgMin, 0, ceilingUgKgMin)
		}
		return d
	})
}
