// SPDX-License-Identifier: Apache-2.0

package agent

// This file: what a candidate would say at the bedside.

import (
	"fmt"
	"math"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/policy"
)

// Directions of VasopressorAdvice.
const (
	AdviceStart          = "start"
	AdviceIncrease       = "increase"
	AdviceDecrease       = "decrease"
	AdviceStop           = "stop"
	AdviceHold           = "hold"
	AdviceAddVasopressin = "add-vasopressin"
)

// highBMI is the body mass index above which the mL/kg basis is spelled out
// (design.md 5.8).
const highBMI = 30

func (n *Native) vasopressorAdvice(tl *state.Timeline, mv move) *VasopressorAdvice {
	v := &VasopressorAdvice{
		Direction: mv.direction, Drug: mv.drug, GoalMmHg: tl.Present.MAP.GoalMmHg,
		FromUgKgMin: mv.fromUgKgMin, ToUgKgMin: mv.toUgKgMin, FirstStepUgKgMin: round6(mv.toUgKgMin - mv.fromUgKgMin),
		CeilingUgKgMin: n.cfg.CeilingUgKgMin, RecheckMin: n.cfg.RecheckMin,
	}
	if mv.direction == policy.DirectionAdd {
		v.Direction = AdviceStart // a running other agent does not change what is done with this one
	}
	if mv.drug == state.DrugVasopressin {
		v.UMin, v.CeilingUgKgMin = mv.uMin, 0
		if mv.direction == policy.DirectionAdd {
			v.Direction = AdviceAddVasopressin
		}
	}
	return v
}

// holdAdvice says to leave the running vasopressor, or nil when none runs.
func (n *Native) holdAdvice(tl *state.Timeline) *VasopressorAdvice {
	running := vasopressors(tl)
	if len(running) == 0 {
		return nil
	}
	a := running[0]
	if ne, ok := runningAgent(tl, state.DrugNorepinephrine); ok {
		a = ne
	}
	v := &VasopressorAdvice{
		Direction: AdviceHold, Drug: a.Drug, GoalMmHg: tl.Present.MAP.GoalMmHg,
		FromUgKgMin: a.RateUgKgMin, ToUgKgMin: a.RateUgKgMin, RecheckMin: n.cfg.RecheckMin,
	}
	if a.Drug == state.DrugVasopressin {
		v.UMin = vasopressinUMin(a)
	}
	return v
}

func (n *Native) fluidAdvice(tl *state.Timeline, bolusMl float64) *FluidAdvice {
	f := &FluidAdvice{
		BolusMl: bolusMl, Kind: balanced, OverMin: n.cfg.BolusOverMin,
		StopCriteria: []string{
			fmt.Sprintf("MAP reaches %.0f mmHg", tl.Present.MAP.GoalMmHg),
			"SpO2 falls by 3 % or oxygen need rises",
			"new crackles or respiratory distress",
			"no rise of MAP or pulse pressure: reassess before any further bolus",
		},
	}
	if w := tl.Present.Weight; w.Known && w.Conflict == "" && w.Kg > 0 {
		f.MlPerKg = math.Round(bolusMl/w.Kg*10) / 10
		f.WeightBasis = fmt.Sprintf("%s weight %.0f kg", w.Source, w.Kg)
		if w.BMI > highBMI {
			f.WeightBasis += fmt.Sprintf(", actual weight at BMI %.0f", w.BMI)
		}
	}
	return f
}

func round6(v float64) float64 { return math.Round(v*1e6) / 1e6 }
