// SPDX-License-Identifier: Apache-2.0

package environment

// This file: what a step is worth. The parts are kept apart and add up to the
// reward of one message; nothing is counted twice, so the sum over an episode is
// its return.

import (
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// Reward is the parts of one reward. Every part is finite, and so is the sum,
// which lies between LeastReward and MostReward.
type Reward struct {
	// Patient is how the patient's state changed, PatientReward over
	// patientScale: -0.2 to 0.2.
	Patient float64 `json:"patient"`
	// Terminal is 0 to 0.8, once, at the end: what is left of the chance to
	// leave hospital alive; 0 after death and where the agent gave up.
	Terminal float64 `json:"terminal"`
	// Rule is what a prescription costs that a rule blocks.
	Rule float64 `json:"rule"`
	// Guideline is what one costs that rules only advise against.
	Guideline float64 `json:"guideline"`
	// Simulation is the price of looking.
	Simulation float64 `json:"simulation"`
	// Invalid is what a message costs that is no valid call, and running out of
	// messages.
	Invalid float64 `json:"invalid"`
	// Burden is the little that treatment itself costs, so that of two equal
	// outcomes the smaller treatment is better. It is apart from Patient
	// (design.md 6.1).
	Burden float64 `json:"burden"`
}

// The declared range of one reward.
const (
	LeastReward = -1.
	MostReward  = 1.
)

// The weights. The terminal part is the largest: over an episode the patient
// part adds up to the change from first to last state, at most 0.2 either way
// where all of it stays measured.
const (
	patientScale    = 30.  // PatientReward is -6 to 6
	terminalWeight  = 0.8  // of the chance of leaving hospital alive
	blockCost       = 0.02 // of a prescription that is refused
	guidelineCost   = 0.01 // per unit of a rule's penalty
	mostGuideline   = 0.02
	simulationCost  = 0.0005 // per option shown
	invalidCost     = 0.01
	silenceCost     = 0.02  // of four hours that pass without a prescription
	vasopressorCost = 0.001 // per 0.1 ug/kg/min
	fluidCost       = 0.001 // per 500 mL
	mostBurden      = 0.02
)

// Total is the reward: the sum of the parts.
func (r Reward) Total() float64 {
	return r.Patient + r.Terminal + r.Rule + r.Guideline + r.Simulation + r.Invalid + r.Burden
}

// burdenOf is taken from 0 so that there is no negative zero on the wire.
func burdenOf(d world.Dose) float64 {
	return 0 - min(mostBurden, vasopressorCost*d.NEUgKgMin/0.1+fluidCost*d.FluidMl/500)
}

// TreatmentReward is what giving an option earns before the patient answers: what
// rules advise against, and the burden.
func TreatmentReward(o *Option) Reward {
	penalty := 0.
	for _, v := range o.Verdicts {
		penalty += v.Penalty
	}
	return Reward{Guideline: 0 - min(mostGuideline, guidelineCost*penalty), Burden: burdenOf(o.Dose)}
}

// SilenceReward is what four hours earn, before the patient answers, in which
// nobody prescribes and the dose goes on.
func SilenceReward(dose world.Dose) Reward {
	return Reward{Invalid: -silenceCost, Burden: burdenOf(dose)}
}

// Weights and bounds of a patient's standing.
const (
	perOrganPoint   = 0.125
	per10MmHg       = 0.5
	perLactate      = 0.25 // per mmol/L above 2
	pressureFloor   = 65   // mmHg
	lactateCeiling  = 2    // mmol/L
	mostMmHgBelow   = 30
	mostLactateOver = 8
)

// PatientReward is about the patient alone (design.md 6.1): the change, from one
// step to the next, of SOFA without its cardiovascular part, which reads the
// treatment, of MAP below 65 mmHg and of lactate above 2 mmol/L. It lies between
// -6 and 6. Parts that are unknown on either side are left out of both, so that
// measuring is no reward.
func PatientReward(before, after *state.Step) float64 {
	return standing(after, before) - standing(before, after)
}

// standing is how a patient stands, 0 is well.
func standing(s, other *state.Step) float64 {
	sum := 0.0
	for i, points := range organs(&s.SOFA) {
		if points >= 0 && organs(&other.SOFA)[i] >= 0 {
			sum -= perOrganPoint * float64(points)
		}
	}
	known := func(f int) bool { return s.Presence[f] != state.Missing && other.Presence[f] != state.Missing }
	if known(state.MeanBP) {
		sum -= per10MmHg * min(max(0, pressureFloor-s.Value[state.MeanBP]), mostMmHgBelow) / 10
	}
	if known(state.Lactate) {
		sum -= perLactate * min(max(0, s.Value[state.Lactate]-lactateCeiling), mostLactateOver)
	}
	return sum
}

// organs are the components of SOFA that treatment does not enter.
func organs(s *state.SOFA) [5]int { return [5]int{s.Resp, s.Coag, s.Liver, s.CNS, s.Renal} }
