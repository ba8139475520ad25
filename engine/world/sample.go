// SPDX-License-Identifier: Apache-2.0

package world

// This file: samples, one per decision time of a stay: the encoded timeline
// and what came in the six steps after it. What was not observed is marked,
// never filled in.

import (
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// unknown marks a binary label that is not known.
const unknown = int8(-1)

// course is one stay as the model learns or is tested on it: its timelines at
// successive decision times, four hours apart.
type course struct {
	patient, stay string
	synthetic     bool
	died          int8 // in hospital: 0, 1 or unknown
	about         person
	timelines     []*state.Timeline
}

// person is what scores are broken down by. No network reads it.
type person struct {
	source, hospital, sex string
	ageYears              float64
	ageKnown              bool
	died90                int8 // within 90 days: 0, 1 or unknown
}

// settleSteps is how many steps later a step is looked at again for labels:
// 12 h, longer than the lag of any laboratory.
const settleSteps = 3

// settled is the step that ends at decision time k with everything that was
// measured in it: as one of the next timelines of the stay shows it. What a
// step's own timeline shows is what was known when the step ended, without the
// results that were still on their way; a label taken from there would teach
// that laboratories are silent.
func settled(tls []*state.Timeline, k int) *state.Step {
	for j := min(settleSteps, len(tls)-1-k); j > 0; j-- {
		steps := tls[k+j].Steps
		if i := len(steps) - 1 - j; i >= 0 && steps[i].End.Equal(tls[k].At) {
			return &steps[i]
		}
	}
	return newest(tls[k])
}

// sample is one decision time with its future.
type sample struct {
	x         []float32               // encoded timeline
	y         [Horizon * numF]float32 // standardised value measured in each step, [step][feature]; NaN when none was
	ne, fluid [Horizon]float32        // saturated dose given in each step; NaN when unknown
	vent      [Horizon]int8           // invasive ventilation in each step
	pairs     uint32                  // levels of the next step: bit 5*vasopressor+fluid for every pair that agrees with what is known; 0 nothing known
	died      int8                    // in hospital
	vaso24    int8                    // any vasopressor within 24 h; unknown also while one runs
	comfort   int8                    // comfort care only is ordered
	hours     float64                 // in the ICU
	synthetic bool
	patient   string
	stay      int // number of the stay within the data
	about     *person
	past      *window // what the reference networks read
}

// samples encodes every decision time of a stay. The last one has no future to
// learn from, but its outcome is known.
func (s *Scale) samples(c *course, stay int) []sample {
	out := make([]sample, 0, len(c.timelines))
	steps := make([]*state.Step, len(c.timelines))
	for k := range steps {
		steps[k] = settled(c.timelines, k)
	}
	for k := range c.timelines {
		sm := sample{x: make([]float32, InputSize), died: c.died, vaso24: unknown, synthetic: c.synthetic,
			patient: c.patient, stay: stay, hours: c.timelines[k].HoursInICU, about: &c.about, past: windowOf(c.timelines, k)}
		s.encode(c.timelines[k], sm.x)
		if k+1 < len(c.timelines) {
			sm.pairs = pairsOf(steps[k+1].Given)
		}
		for h := range Horizon {
			if k+1+h < len(c.timelines) {
				s.future(steps[k+1+h], &sm, h)
			} else {
				sm.noFuture(h)
			}
		}
		sm.vaso24, sm.comfort = needWithin24h(newest(c.timelines[k]).Given, steps[k+1:]), comfortOf(c.timelines[k])
		if later := min(k+Horizon, len(c.timelines)-1); sm.vaso24 == 0 && comfortOf(c.timelines[later]) == 1 {
			sm.vaso24 = unknown // whoever is allowed to die is given none
		}
		out = append(out, sm)
	}
	return out
}

// comfortOf tells whether comfort care only is ordered. It is a competing
// event: what comes after it was decided, not suffered, so no chance is learned
// or scored from there on, and no vasopressor counts as not needed because of
// it.
func comfortOf(tl *state.Timeline) int8 {
	switch tl.Check(state.CheckComfortCare).Result {
	case state.CheckPresent:
		return 1
	case state.CheckAbsent:
		return 0
	}
	return unknown
}

func newest(tl *state.Timeline) *state.Step { return &tl.Steps[len(tl.Steps)-1] }

// future reads step h after the decision time.
func (s *Scale) future(st *state.Step, sm *sample, h int) {
	sm.noFuture(h)
	for f := range features {
		if st.Presence[f] == state.Measured {
			sm.y[h*numF+f] = s.z(f, st.Value[f])
		}
	}
	if st.Given.VasoKnown {
		sm.ne[h] = float32(saturate(st.Given.NEMeanUgKgMin, halfNEUgKgMin))
	}
	if st.Given.FluidKnown {
		sm.fluid[h] = float32(saturate(st.Given.FluidModelMl, halfFluidMl))
	}
	if st.VentKnown {
		sm.vent[h] = 0
		if st.Vent {
			sm.vent[h] = 1
		}
	}
}

func (sm *sample) noFuture(h int) {
	for f := range features {
		sm.y[h*numF+f] = nan32
	}
	sm.ne[h], sm.fluid[h], sm.vent[h] = nan32, nan32, unknown
}

// pairsOf gives the pairs of levels that agree with what is known.
func pairsOf(g state.Exposure) (bits uint32) {
	if !g.VasoKnown && !g.FluidKnown {
		return 0
	}
	for v := range 5 {
		for f := range 5 {
			if (!g.VasoKnown || g.Levels.Vasopressor == v) && (!g.FluidKnown || g.Levels.Fluid == f) {
				bits |= 1 << (5*v + f)
			}
		}
	}
	return bits
}

// needWithin24h is 1 when a patient who is off vasopressors now gets one within
// 24 h, 0 when it is known that none was given until then or until the stay
// ended, and unknown otherwise.
func needWithin24h(now state.Exposure, later []*state.Step) int8 {
	if !now.VasoKnown || now.NEEndUgKgMin > 0 {
		return unknown
	}
	known := len(later) > 0
	for _, st := range later[:min(Horizon, len(later))] {
		if st.Given.VasoKnown && st.Given.NEMaxUgKgMin > 0 {
			return 1
		}
		known = known && st.Given.VasoKnown
	}
	if !known {
		return unknown
	}
	return 0
}
