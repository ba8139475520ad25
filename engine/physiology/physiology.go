// SPDX-License-Identifier: Apache-2.0

// Package physiology simulates adult ICU patients mechanistically, so that the
// project has charts of its own and knows what would have happened under
// another treatment. A few coupled reservoirs and controllers (blood and
// interstitial volume, vascular tone, contractility, capillary leak, infection,
// inflammation, kidney, lung, lactate) advance in five-minute steps; fluid and
// vasopressors act on them with saturating dose response; what a hospital would
// chart of it is put on a state.Chart with gaps and late results.
//
// It is a fixture, not a model of any real patient. Magnitudes are chosen so
// that ICU textbook behaviour comes out (a norepinephrine rate of 0.1 ug/kg/min
// raises MAP by about 10 mmHg; 500 mL raises stroke volume only where preload is
// low; a litre too much worsens P/F). Nothing in it is fitted to patient data.
//
// It trusts nothing from outside: its only input is a seed and a scenario, and
// the same two always give the same bytes. All chance is drawn per step from the
// seed and the step's number, so that two futures of one patient meet the same
// luck and differ only by their treatment.
package physiology

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Steps are five minutes long.
const (
	stepMin      = 5
	stepsPerHour = 60 / stepMin
	dtH          = 1.0 / stepsPerHour
)

// Patient is one simulated person in one ICU stay, from admission to now. It is
// not safe for concurrent use; Clone gives an independent one.
type Patient struct {
	seed     uint64
	scenario Scenario
	traits   *traits // never changed after New, shared by clones
	body     body
	doses    Doses
	admit    time.Time
	log      []Moment
	end      ending
	bolusMl  float64 // ordered since admission
}

// ending says how a stay ended.
type ending string

const (
	endOpen       ending = ""
	endDischarged ending = "discharged"
	endDied       ending = "died"
)

// New admits a patient of the scenario. The admission time is derived from the
// seed (a minute of 2021); AdmitAt sets another.
func New(seed uint64, scenario Scenario) *Patient {
	r := rand.New(rand.NewPCG(seed, 0x5ea5edb0d1e5))
	tr, b := draw(r, scenario)
	minute := int(seed*2654435761%525600) / stepMin * stepMin
	p := &Patient{
		seed: seed, scenario: scenario, traits: &tr, body: b,
		admit: time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(minute) * time.Minute),
	}
	p.settle()
	return p
}

// AdmitAt moves the whole course in time; what happens in it stays the same.
func (p *Patient) AdmitAt(t time.Time) {
	shift := t.UTC().Sub(p.admit)
	p.admit = p.admit.Add(shift)
	for i := range p.log {
		p.log[i].At = p.log[i].At.Add(shift)
	}
}

// Now is the simulated time: admission plus the hours run.
func (p *Patient) Now() time.Time {
	return p.admit.Add(time.Duration(len(p.log)*stepMin) * time.Minute)
}

// Clone branches the future: both patients go on from the same hidden state and
// meet the same chance.
func (p *Patient) Clone() *Patient {
	q := *p
	q.log = slices.Clone(p.log)
	return &q
}

// Run simulates the given hours, or until death or discharge, under the
// treatment, and returns the whole course since admission. Discharge is decided
// only by treatments that say so (Clinician); a fixed plan never discharges.
func (p *Patient) Run(hours float64, t Treatment) Course {
	for range int(math.Round(hours * stepsPerHour)) {
		if p.end != endOpen {
			break
		}
		p.step(t)
	}
	return p.Course()
}

// Course is what has happened up to now.
func (p *Patient) Course() Course {
	return Course{patient: *p.Clone()}
}

// step advances by five minutes.
func (p *Patient) step(t Treatment) {
	n := len(p.log)
	view := p.view()
	d := t.Next(view)
	d.clean()
	p.doses, p.bolusMl = d.held(), p.bolusMl+d.BolusMl
	if d.Discharge {
		p.end = endDischarged
		return
	}
	z := chance(p.seed, uint64(n))
	p.body.advance(p.traits, d, z)
	p.log = append(p.log, Moment{
		At: p.admit.Add(time.Duration((n+1)*stepMin) * time.Minute), Given: d, body: p.body, traits: p.traits,
	})
	if p.body.dies(p.traits, z.uniform) {
		p.end = endDied
	}
}

// settle lets heart rate and pressure find each other before admission.
func (p *Patient) settle() {
	for range 3 * stepsPerHour {
		p.body.circulate(p.traits, Doses{})
	}
	p.body.oxygenate(p.traits)
}

// luck is the chance of one step: fixed in number, so that a different
// treatment never shifts what comes after.
type luck struct {
	z       [16]float64
	uniform float64
}

// chance draws the luck of a step from the patient's seed and the step number.
func chance(seed, step uint64) luck {
	r := rand.New(rand.NewPCG(seed^0x9e3779b97f4a7c15, step*0x2545f4914f6cdd1d+1))
	var l luck
	for i := range l.z {
		l.z[i] = r.NormFloat64()
	}
	l.uniform = r.Float64()
	return l
}

// dice gives a generator for one purpose of one patient at one time, so that
// what is charted of one thing never depends on what was charted of another.
func dice(seed uint64, purpose string, n int) *rand.Rand {
	h := uint64(14695981039346656037)
	for _, c := range []byte(purpose) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return rand.New(rand.NewPCG(seed^h, uint64(n)*0x9e3779b97f4a7c15+h))
}

func clamp(x, lo, hi float64) float64 { return math.Min(hi, math.Max(lo, x)) }

// relax moves x towards its target with time constant tauH over one step.
func relax(x, target, tauH float64) float64 {
	return target + (x-target)*math.Exp(-dtH/tauH)
}
