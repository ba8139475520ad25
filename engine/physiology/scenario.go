// SPDX-License-Identifier: Apache-2.0

package physiology

// This file: who is admitted: scenarios, and the traits and first state drawn
// for them.

import (
	"math"
	"math/rand/v2"
)

// Scenario names a kind of patient.
type Scenario string

// The scenarios. Mix draws one of the others, about half of them septic, and is
// what cohorts are made of; the others are also what the demonstration shows.
const (
	EarlySepsis     Scenario = "early-sepsis"     // hypotension, hardly treated
	SepticShock     Scenario = "septic-shock"     // on norepinephrine
	RefractoryShock Scenario = "refractory-shock" // norepinephrine at or above 0.25, MAP still low
	Improving       Scenario = "improving"        // ready to wean
	FluidOverload   Scenario = "fluid-overload"   // large balance, falling P/F
	StableSepsis    Scenario = "stable-sepsis"    // infection without shock
	PostOperative   Scenario = "post-operative"   // not septic
	MissingData     Scenario = "missing-data"     // shock, but the chart has holes
	Mix             Scenario = "mix"
)

// Scenarios lists all but Mix, in the order of the demonstration.
func Scenarios() []Scenario {
	return []Scenario{EarlySepsis, SepticShock, RefractoryShock, Improving, FluidOverload, StableSepsis, PostOperative, MissingData}
}

func (s Scenario) resolve(r *rand.Rand) Scenario {
	if s != Mix {
		return s
	}
	u := r.Float64()
	switch {
	case u < 0.14:
		return EarlySepsis
	case u < 0.34:
		return SepticShock
	case u < 0.42:
		return RefractoryShock
	case u < 0.50:
		return FluidOverload
	case u < 0.58:
		return StableSepsis
	}
	return PostOperative
}

// draw makes one patient: traits, and the state at the door of the unit.
func draw(r *rand.Rand, s Scenario) (traits, body) {
	s = s.resolve(r)
	u := func(lo, hi float64) float64 { return lo + (hi-lo)*r.Float64() }
	n := func(mean, sd, lo, hi float64) float64 { return clamp(mean+sd*r.NormFloat64(), lo, hi) }
	t := traits{
		ageYears: n(64, 14, 19, 93), female: r.Float64() < 0.45, septic: s != PostOperative,
		hr0: n(72, 8, 52, 95), map0: n(89, 8, 72, 112), heart: n(1, 0.1, 0.7, 1.25),
		gfr0: n(1, 0.12, 0.5, 1.25), hb0: n(12.3, 1.5, 8, 16.5), plt0: n(235, 60, 90, 480), wbc0: n(7.8, 1.6, 4, 12),
		alb0: n(3.7, 0.4, 2.4, 4.7), bili0: math.Exp(n(-0.45, 0.35, -1.2, 0.8)), pf0: n(430, 45, 280, 515),
		virulence: n(0.16, 0.04, 0.06, 0.3), kill: n(0.125, 0.045, 0.03, 0.28), immune: n(0.045, 0.015, 0.01, 0.09),
		vasoplegia: n(0.44, 0.08, 0.22, 0.62), leakGain: n(0.75, 0.2, 0.2, 1.2),
		neEmax: n(1.15, 0.2, 0.7, 1.7), neEC50: n(0.55, 0.13, 0.28, 1.0),
		pao2Goal: n(92, 13, 68, 130), paco20: n(40, 4, 31, 55), hco30: n(24.3, 1.8, 19, 30),
		na0: n(138.5, 3, 129, 147), k0: n(4.1, 0.3, 3.3, 5), mg0: n(1.95, 0.2, 1.4, 2.6), ca0: n(1.16, 0.04, 1.02, 1.3),
		sedationDepth: u(0.3, 1.4), antibioticAtH: u(0.2, 4), frailty: math.Exp(n(0, 0.4, -0.9, 1)),
		lungSource: r.Float64() < 0.38,
	}
	t.heightCm = n(176, 7, 155, 200)
	bmi := n(27, 4.5, 18, 44)
	if t.female {
		t.heightCm -= 13
	}
	t.weightKg = math.Round(10*bmi*t.heightCm*t.heightCm/1e4) / 10
	t.bloodMl = 70 * math.Min(t.weightKg, 100)
	t.stiffness = clamp(0.75+0.006*(t.ageYears-40)+0.1*r.NormFloat64(), 0.6, 1.4)
	t.heartFailure = r.Float64() < 0.08
	if t.heartFailure {
		t.heart = u(0.45, 0.68)
	}
	t.esrd = r.Float64() < 0.03
	t.creat0 = clamp(0.95*math.Exp(0.22*r.NormFloat64()), 0.5, 2)
	t.bun0 = 15 * t.creat0
	if t.esrd {
		t.gfr0, t.creat0, t.bun0 = 0.06, u(4, 7), u(45, 70)
	}
	severity := shape(r, s, &t)
	return t, admitted(r, &t, s, severity)
}

// shape bends the traits to the scenario and returns the infection burden at
// admission.
func shape(r *rand.Rand, s Scenario, t *traits) float64 {
	u := func(lo, hi float64) float64 { return lo + (hi-lo)*r.Float64() }
	switch s {
	case EarlySepsis:
		return u(0.35, 0.8)
	case SepticShock, MissingData:
		t.vasoplegia = math.Max(t.vasoplegia, 0.42)
		return u(0.6, 1.1)
	case RefractoryShock:
		t.vasoplegia, t.virulence = math.Max(t.vasoplegia, 0.52), math.Max(t.virulence, 0.17)
		t.neEC50 = math.Max(t.neEC50, 0.6)
		return u(0.9, 1.4)
	case Improving:
		t.kill, t.virulence = math.Max(t.kill, 0.20), math.Min(t.virulence, 0.14)
		return u(0.6, 0.9)
	case FluidOverload:
		t.lungSource, t.leakGain = true, math.Max(t.leakGain, 0.8)
		return u(0.5, 0.9)
	case StableSepsis:
		t.vasoplegia = math.Min(t.vasoplegia, 0.34)
		return u(0.12, 0.35)
	}
	return 0
}

// admitted is the state at the door: inflammation in balance with the burden,
// some volume lost.
func admitted(r *rand.Rand, t *traits, s Scenario, burden float64) body {
	u := func(lo, hi float64) float64 { return lo + (hi-lo)*r.Float64() }
	b := body{
		burden: burden, tone: 1, gfr: 1, creatinine: t.creat0, bun: t.bun0, lactate: u(0.8, 1.3),
		hbMass: t.hb0, platelet: t.plt0, wbc: t.wbc0, bilirubin: t.bili0, inr: u(0.98, 1.15), alt: u(14, 45), ast: u(16, 45),
		albumin: t.alb0, hco3: t.hco30, chloride: u(100, 106), na: t.na0, potassium: t.k0, glucose: u(95, 150),
		tempC: u(36.4, 37.2), antibioticH: -1, diureticH: 99, hr: t.hr0, mapMmHg: t.map0, co: 1, s: 1,
		fio2: 21, pao2: 85, paco2: t.paco20, ph: 7.4, rr: 15, ventH: 24,
	}
	b.inflammation = 1.1 * burden / (0.35 + burden)
	if s == PostOperative {
		b.inflammation = u(0.10, 0.34)
		b.volumeMl = -u(-200, 700)
		b.vent, b.peep, b.fio2, b.ventH = r.Float64() < 0.35, 5, 40, 8
		if !b.vent {
			b.peep = 0
		}
	} else {
		b.volumeMl = -u(0, 0.13*t.bloodMl)
		b.interstitialMl = -u(0, 1200)
		b.lactate = clamp(1+2.6*b.inflammation*u(0.2, 1.3), 0.8, 9)
		b.gfr = clamp(1-0.5*b.inflammation*u(0.3, 1), 0.2, 1)
		b.creatinine = t.creat0 * (1 + 0.7*(1-b.gfr)*u(0.3, 1.6))
		b.wbc = t.wbc0 + 8*b.inflammation*u(0.4, 1.4)
		b.platelet = t.plt0 * (1 - 0.25*b.inflammation)
	}
	b.tone = 1 - t.vasoplegia*b.inflammation
	b.leak = clamp(b.inflammation*t.leakGain*0.8, 0, 1)
	b.depression = 0.2 * b.inflammation
	b.tempC = clamp(36.8+1.6*b.inflammation*u(0.2, 1.1), 35.5, 40)
	b.encephalopathy = 0.4 * b.inflammation
	if t.lungSource {
		b.lungWater = 0.6 * b.inflammation
	}
	b.ventilate(t)
	return b
}
