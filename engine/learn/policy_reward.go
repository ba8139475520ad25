// SPDX-License-Identifier: Apache-2.0

package learn

// This file: what a step was worth, in two ways, and how a hospital stay ended.

import (
	"math"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/learn/environment"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// The rewards.
const (
	// PatientReward is that of the simulated environment, about the patient
	// alone (environment.PatientReward). What is given costs nothing here:
	// burden is kept apart.
	PatientReward = iota
	// PaperReward is the published step reward (Raghu 2017, arXiv 1711.09602) on
	// standard SOFA: -0.025 for an unchanged one above 0, -0.125 per point, and
	// -2 tanh of the change of lactate. Its SOFA rises with the vasopressor.
	PaperReward
	// Rewards is how many there are.
	Rewards
)

// terminalReward is the value of leaving the hospital alive, and its negative
// that of death, as published.
const terminalReward = 15

// rewards of the step between two rows.
func rewards(before, after *cohort.Row) (out [Rewards]float64) {
	out[PatientReward] = environment.PatientReward(stepOf(before), stepOf(after))
	out[PaperReward] = published(before, after)
	return out
}

// stepOf is the row's step as a reward reads it.
func stepOf(r *cohort.Row) *state.Step {
	return &state.Step{Value: r.Value, Presence: r.Presence, SOFA: r.SOFA}
}

func published(before, after *cohort.Row) float64 {
	r := 0.0
	if before.SOFA.Scored > 0 && after.SOFA.Scored > 0 {
		d := float64(after.SOFA.Total - before.SOFA.Total)
		if d == 0 && after.SOFA.Total > 0 {
			r -= 0.025
		}
		r -= 0.125 * d
	}
	if before.Presence[state.Lactate] != state.Missing && after.Presence[state.Lactate] != state.Missing {
		r -= 2 * math.Tanh(after.Value[state.Lactate]-before.Value[state.Lactate])
	}
	return r
}

// terminal is the value of how the hospital stay ended. Death within 90 days is
// never pooled with it (design.md 5.14).
func terminal(r *cohort.Row) (float64, bool) {
	switch {
	case !r.OutcomeKnown:
		return 0, false
	case r.DiedInHospital:
		return -terminalReward, true
	}
	return terminalReward, true
}

// fitted are the features that a fitted value reads, with rough centres and
// spreads of ICU patients, so that one penalty serves all. Skewed ones are read
// as logarithms.
var fitted = []struct {
	feature      int
	log          bool
	centre, half float64
}{
	{state.HeartRate, false, 88, 18}, {state.MeanBP, false, 78, 13}, {state.RespRate, false, 20, 5}, {state.SpO2, false, 97, 2.5},
	{state.TempC, false, 37, 0.7}, {state.FiO2, false, 45, 15}, {state.GCSMotor, false, 5, 1.7}, {state.GCSEye, false, 3, 1.2},
	{state.Lactate, true, 0.6, 0.6}, {state.Creatinine, true, 0.2, 0.7}, {state.Bilirubin, true, 0, 0.9}, {state.Platelet, true, 5.2, 0.6},
	{state.BUN, true, 3.2, 0.7}, {state.WBC, true, 2.3, 0.5}, {state.PH, false, 7.38, 0.07}, {state.Bicarbonate, false, 23, 5},
	{state.Urine, true, 5, 1.2},
}

// features are the state as a fitted value reads it. What is missing stands at
// the centre, and that it is missing is a number of its own where that tells
// how ill somebody was thought to be.
func features(tl *state.Timeline) []float64 {
	s := tl.Last()
	out := make([]float64, 0, len(fitted)+8)
	for _, f := range fitted {
		v := valueOf(s, f.feature)
		if f.log {
			v = math.Log(math.Max(v, 0.05))
		}
		if math.IsNaN(v) {
			v = f.centre
		}
		out = append(out, min(max((v-f.centre)/f.half, -4), 4))
	}
	vent := 0.0
	if s.VentKnown && s.Vent {
		vent = 1
	}
	noLactate := 0.0
	if s.Presence[state.Lactate] == state.Missing {
		noLactate = 1
	}
	age := 0.0
	if tl.AgeKnown {
		age = (tl.AgeYears - 64) / 16
	}
	return append(out, math.Sqrt(s.Given.NEMeanUgKgMin)*2, math.Log1p(max(0, s.Given.FluidModelMl))/3, float64(s.SOFA.Total)/4, vent, noLactate, age, min(tl.HoursInICU, 168)/48)
}
