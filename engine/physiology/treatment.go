// SPDX-License-Identifier: Apache-2.0

package physiology

// This file: doses, what a clinician can see, and the treatments that decide
// from it: a clinician with habits, randomised doses, fixed plans, titration.

import (
	"math"
	"time"
)

// Doses is the treatment in force during one five-minute step.
type Doses struct {
	NEUgKgMin            float64
	EpinephrineUgKgMin   float64
	PhenylephrineUgKgMin float64
	DopamineUgKgMin      float64
	DobutamineUgKgMin    float64
	VasopressinUMin      float64
	MaintenanceMlH       float64 // lactated Ringer's
	BolusMl              float64 // a bolus ordered now; given at 1000 mL/h
	Antibiotic           bool    // a dose given now
	Culture              bool    // blood culture taken now
	Diuretic             bool    // a loop diuretic given now
	Discharge            bool    // the patient leaves the unit now
}

// held is what goes on into the next step: rates, not single acts.
func (d Doses) held() Doses {
	d.BolusMl, d.Antibiotic, d.Culture, d.Diuretic, d.Discharge = 0, false, false, false, false
	return d
}

// clean rounds rates to what pumps are set to and cuts them to what pumps give.
func (d *Doses) clean() {
	d.NEUgKgMin = grid(d.NEUgKgMin, 0.01, 3)
	d.EpinephrineUgKgMin = grid(d.EpinephrineUgKgMin, 0.01, 2)
	d.PhenylephrineUgKgMin = grid(d.PhenylephrineUgKgMin, 0.1, 9)
	d.DopamineUgKgMin = grid(d.DopamineUgKgMin, 0.5, 20)
	d.DobutamineUgKgMin = grid(d.DobutamineUgKgMin, 0.5, 20)
	d.VasopressinUMin = grid(d.VasopressinUMin, 0.01, 0.06)
	d.MaintenanceMlH = grid(d.MaintenanceMlH, 5, 500)
	d.BolusMl = grid(d.BolusMl, 50, 2000)
}

func grid(x, unit, top float64) float64 {
	if !(x > 0) { // NaN too
		return 0
	}
	n := math.Round(math.Min(x, top) / unit)
	return math.Round(n*unit*1e6) / 1e6
}

// carrierMlH is the fluid that carries the running drugs.
func (d Doses) carrierMlH() float64 {
	if d.NEUgKgMin+d.EpinephrineUgKgMin+d.VasopressinUMin+d.PhenylephrineUgKgMin+d.DopamineUgKgMin == 0 {
		return 0
	}
	return 5
}

// NEEquivalent is the norepinephrine-equivalent dose in ug/kg/min (Goradia 2021).
func (d Doses) NEEquivalent() float64 {
	return d.NEUgKgMin + d.EpinephrineUgKgMin + d.PhenylephrineUgKgMin/10 + d.DopamineUgKgMin/100 + 2.5*d.VasopressinUMin
}

// Moment is one five-minute step as it was: what was given, and the truth at
// its end.
type Moment struct {
	At    time.Time
	Given Doses

	body   body
	traits *traits
}

// Truth is every measurable quantity at the end of the step.
func (m Moment) Truth() Truth { return m.body.truth(m.traits) }

// MAPmmHg is the true mean arterial pressure at the end of the step.
func (m Moment) MAPmmHg() float64 { return m.body.mapMmHg }

// Bedside is what a treatment may decide from: what a clinician would know.
type Bedside struct {
	Step          int // five-minute steps since admission
	HoursIn       float64
	Seed          uint64 // identifies the patient, for habits and coin tosses
	WeightKg      float64
	MAPmmHg       float64 // mean of the last 15 minutes
	HeartRate     float64
	LactateMmol   float64 // as of the last 2-hourly sample
	UrineMlKgH    float64 // last hour
	PF            float64
	Ventilated    bool
	Septic        bool // the team treats an infection
	Now           Doses
	BolusDue      float64 // mL of an earlier bolus still running
	FluidMl       float64 // boluses since admission
	CalmHours     float64 // hours since the last vasopressor or pressure below 62
	AntibioticDue bool    // the team is ready to give the first dose
}

// Treatment decides the doses of the next step. Implementations keep no state,
// so that one value can serve both branches of a cloned patient.
type Treatment interface {
	Next(Bedside) Doses
}

// Func lets a function be a Treatment.
type Func func(Bedside) Doses

// Next calls the function.
func (f Func) Next(v Bedside) Doses { return f(v) }

// Fixed gives a constant norepinephrine rate and maintenance fluid, keeps a
// running vasopressin as it is, and stops everything else.
func Fixed(neUgKgMin, maintenanceMlH float64) Treatment {
	return Func(func(v Bedside) Doses {
		return Doses{NEUgKgMin: neUgKgMin, VasopressinUMin: v.Now.VasopressinUMin, MaintenanceMlH: maintenanceMlH}
	})
}

// Bolus gives mL once at the given step number and otherwise what t gives.
func Bolus(t Treatment, atStep int, ml float64) Treatment {
	return Func(func(v Bedside) Doses {
		d := t.Next(v)
		if v.Step == atStep {
			d.BolusMl += ml
		}
		return d
	})
}

// view is what can be known at the start of the next step.
func (p *Patient) view() Bedside {
	n := len(p.log)
	v := Bedside{
		Step: n, HoursIn: float64(n) * dtH, Seed: p.seed, WeightKg: p.traits.weightKg, MAPmmHg: p.body.mapMmHg,
		HeartRate: p.body.hr, LactateMmol: p.body.lactate, UrineMlKgH: p.body.urineMlH / p.traits.weightKg,
		PF: p.body.pf(p.traits), Ventilated: p.body.vent, Septic: p.traits.septic, Now: p.doses, BolusDue: p.body.bolusLeftMl,
		AntibioticDue: p.traits.septic && p.body.antibioticH < 0 && float64(n)*dtH >= p.traits.antibioticAtH,
	}
	if n > 0 {
		sum, k := 0.0, 0
		for i := max(0, n-3); i < n; i++ {
			sum, k = sum+p.log[i].body.mapMmHg, k+1
		}
		v.MAPmmHg = sum / float64(k)
		v.LactateMmol = p.log[(n-1)/(2*stepsPerHour)*(2*stepsPerHour)].body.lactate
	}
	calm := 0
	for i := n - 1; i >= 0 && p.log[i].Given.NEEquivalent() == 0 && p.log[i].body.mapMmHg >= 62; i-- {
		calm++
	}
	v.CalmHours = float64(calm) * dtH
	v.FluidMl = p.bolusMl
	return v
}
