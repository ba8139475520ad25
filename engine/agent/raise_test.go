// SPDX-License-Identifier: Apache-2.0

package agent_test

// This file: what a low MAP calls for, and when less vasopressor is thought of.

import (
	"math"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// untreated turns the early patient into one with a MAP of mmHg, no vasopressor
// and no volume given, whose last steps were at goal.
func untreated(t *testing.T, mmHg float64) *state.Timeline {
	tl := timeline(t, physiology.EarlySepsis)
	settled(tl)
	setMAP(tl, mmHg)
	tl.Present.StepsAtGoal = 2
	tl.Present.Agents, tl.Present.NEUgKgMin = nil, 0
	tl.Present.Fluids.Bolus3hMl, tl.Present.Fluids.BalanceMl = 0, 0
	return tl
}

func TestWhatALowMAPCallsFor(t *testing.T) {
	for _, c := range []struct {
		name   string
		mmHg   float64
		change func(tl *state.Timeline)
		status agent.Status
		vaso   string // direction of the advice, "" none
		step   float64
		fluid  bool // a bolus must be there (with vaso "" only)
	}{
		{name: "just below goal with a raised lactate volume goes before a first vasopressor", mmHg: 63, change: lactateOf(3.1), status: agent.Suggest, fluid: true},
		{name: "just below goal with little urine too", mmHg: 63, change: func(tl *state.Timeline) { lactateOf(1.2)(tl); urineOf(tl, 0.3) }, status: agent.Suggest, fluid: true},
		{name: "one reading just below goal and no sign of hypoperfusion call for neither", mmHg: 63, change: func(tl *state.Timeline) { lactateOf(1.2)(tl); urineOf(tl, 1) }, status: agent.Abstain},
		{name: "volume given, MAP 62 at 78 years without hypoperfusion: no vasopressor is started", mmHg: 62, change: older(1.2, 1), status: agent.Abstain},
		{name: "volume given, MAP 62 at 78 years with a raised lactate: norepinephrine", mmHg: 62, change: older(3.1, 1), status: agent.Suggest, vaso: agent.AdviceStart, step: 0.05},
		{name: "volume given, MAP 62 at 78 years with little urine: norepinephrine", mmHg: 62, change: older(1.2, 0.3), status: agent.Suggest, vaso: agent.AdviceStart, step: 0.05},
		{name: "volume given, MAP 58 at 78 years: norepinephrine", mmHg: 58, change: older(1.2, 1), status: agent.Suggest, vaso: agent.AdviceStart, step: 0.05},
		{name: "MAP 62 at 78 years where 65 is ordered: norepinephrine", mmHg: 62, change: func(tl *state.Timeline) { older(1.2, 1)(tl); tl.Present.MAP.GoalOrdered = true },
			status: agent.Suggest, vaso: agent.AdviceStart, step: 0.05},
		{name: "on a large balance one reading just below goal gets neither", mmHg: 63, change: func(tl *state.Timeline) {
			tl.Present.Fluids.BalanceMl, tl.Present.Fluids.BalanceKnown = 6000, true
		}, status: agent.Abstain},
		{name: "volume given, MAP still below goal: norepinephrine", mmHg: 63, change: func(tl *state.Timeline) { tl.Present.Fluids.Bolus3hMl = 1000 },
			status: agent.Suggest, vaso: agent.AdviceStart, step: 0.05},
		{name: "no volume in heart failure, a low last hour: norepinephrine", mmHg: 63, change: func(tl *state.Timeline) {
			setCheck(tl, state.CheckHeartFailure, state.CheckPresent)
			tl.Present.MAP.LastHourMin.Value = 56
		}, status: agent.Suggest, vaso: agent.AdviceStart, step: 0.05},
		{name: "no volume in heart failure, one reading just below goal starts nothing", mmHg: 64, change: func(tl *state.Timeline) {
			setCheck(tl, state.CheckHeartFailure, state.CheckPresent)
		}, status: agent.Abstain},
		{name: "well below goal: norepinephrine at once", mmHg: 58, status: agent.Suggest, vaso: agent.AdviceStart, step: 0.05},
		{name: "a running vasopressor goes up by the small step", mmHg: 63, change: runningNE(0.1), status: agent.Suggest, vaso: agent.AdviceIncrease, step: 0.02},
		{name: "and by the full step far below goal", mmHg: 54, change: runningNE(0.1), status: agent.Suggest, vaso: agent.AdviceIncrease, step: 0.05},
	} {
		t.Run(c.name, func(t *testing.T) {
			tl := untreated(t, c.mmHg)
			if c.change != nil {
				c.change(tl)
			}
			d := decide(t, effective(), tl)
			direction, step := "", 0.0
			if v := d.Advice.Vasopressor; v != nil {
				direction, step = v.Direction, v.FirstStepUgKgMin
			}
			if d.Status != c.status || direction != c.vaso || math.Abs(step-c.step) > 1e-6 || c.vaso == "" && (d.Advice.Fluid != nil) != c.fluid {
				t.Errorf("%s %v: vasopressor %q by %g, fluid %+v", d.Status, d.Reasons, direction, step, d.Advice.Fluid)
			}
		})
	}
}

// lactateOf charts a lactate of an hour ago.
func lactateOf(mmolL float64) func(tl *state.Timeline) {
	return func(tl *state.Timeline) {
		tl.Present.Lactate = state.Trend{Now: &state.Reading{Concept: "lactate", Value: mmolL, AgeMin: 60, At: tl.At}}
	}
}

// urineOf charts the urine of the last step, of a patient of 80 kg.
func urineOf(tl *state.Timeline, mlKgH float64) {
	tl.Present.Weight = state.Weight{Kg: 80, Known: true, Source: state.WeightMeasured}
	last := &tl.Steps[len(tl.Steps)-1]
	last.Presence[state.Urine], last.Value[state.Urine] = state.Measured, mlKgH*80*state.StepHours
}

// older is a patient of 78 years after volume.
func older(lactateMmolL, urineMlKgH float64) func(tl *state.Timeline) {
	return func(tl *state.Timeline) {
		tl.AgeYears, tl.AgeKnown = 78, true
		tl.Present.Fluids.Bolus3hMl = 1000
		lactateOf(lactateMmolL)(tl)
		urineOf(tl, urineMlKgH)
	}
}

func runningNE(rate float64) func(tl *state.Timeline) {
	return func(tl *state.Timeline) {
		tl.Present.Agents = []state.Agent{{
			Drug: state.DrugNorepinephrine, Class: state.ClassVasopressor, State: state.AgentRunning,
			Rate: rate, RateUnit: state.UnitUgKgMin, RateUgKgMin: rate, NEUgKgMin: rate, ChartedAt: tl.At,
		}}
		tl.Present.NEUgKgMin = rate
	}
}

func TestNoWeanAgainstARaisedLactate(t *testing.T) {
	for _, c := range []struct {
		name           string
		value, ageMin  float64
		rising, weaned bool
	}{
		{"normal", 1.4, 60, false, true},
		{"raised and not falling", 3.4, 60, false, false},
		{"rising", 1.9, 60, true, false},
	} {
		tl := timeline(t, physiology.Improving)
		l := &tl.Present.Lactate
		l.Now, l.Before, l.Rising, l.Falling = &state.Reading{Concept: "lactate", Value: c.value, AgeMin: c.ageMin, At: tl.At}, nil, c.rising, false
		for _, o := range decide(t, effective(), tl).Options {
			if o.Proposal.Lowers() && !c.weaned {
				t.Errorf("%s: %s is considered", c.name, o.Proposal.Name)
			}
		}
		if d := decide(t, effective(), tl); c.weaned && (d.Advice.Vasopressor == nil || d.Advice.Vasopressor.Direction != agent.AdviceDecrease) {
			t.Errorf("%s: %s %+v", c.name, d.Status, d.Advice)
		}
	}
}

func TestAVasopressorThatHoldsMAPFarAboveGoalIsNeitherAffirmedNorKeptForALactate(t *testing.T) {
	tl := timeline(t, physiology.Improving)
	tl.Present.Lactate = state.Trend{Now: &state.Reading{Concept: "lactate", Value: 3.4, AgeMin: 60, At: tl.At}}
	m := &tl.Present.MAP
	high, low := *m.Newest, *m.Newest
	high.Value, low.Value = 118, 108
	m.Newest, m.LastHourMin = &high, &low
	for name, model := range map[string]world.Forecaster{"a model that knows the effect": effective(), "persistence": world.Persistence{}} {
		d := decide(t, model, tl)
		if d.Status == agent.Affirm {
			t.Errorf("%s: MAP 118 on a vasopressor is affirmed", name)
		}
		if v := d.Advice.Vasopressor; d.Status == agent.Suggest && (v == nil || v.ToUgKgMin >= v.FromUgKgMin) {
			t.Errorf("%s: %+v, want less", name, v)
		}
	}
}

// TestAdviceCarriesItsBounds: design.md 5.2, 5.3 and 5.8.
func TestAdviceCarriesItsBounds(t *testing.T) {
	tl := untreated(t, 58)
	tl.Present.MAP.GoalMmHg = 70
	v := decide(t, effective(), tl).Advice.Vasopressor
	if v == nil || v.GoalMmHg != 70 || v.CeilingUgKgMin != 0.5 || v.RecheckMin != 15 || v.FirstStepUgKgMin > 0.05 {
		t.Errorf("vasopressor %+v, want goal 70, ceiling 0.5 and a recheck in 15 min", v)
	}
	tl = untreated(t, 63)
	tl.Present.Weight = state.Weight{Kg: 120, Known: true, Source: "measured", BMI: 38}
	f := decide(t, effective(), tl).Advice.Fluid
	if f == nil || f.BolusMl < 250 || f.BolusMl > 500 || f.Kind != "balanced crystalloid" || len(f.StopCriteria) < 3 {
		t.Fatalf("fluid %+v, want one balanced bolus with stop criteria", f)
	}
	if !strings.Contains(f.WeightBasis, "120 kg") || !strings.Contains(f.WeightBasis, "BMI 38") {
		t.Errorf("mL/kg on %q at BMI 38, want the basis spelled out", f.WeightBasis)
	}
	tl = untreated(t, 54)
	runningNE(0.49)(tl)
	for _, o := range decide(t, effective(), tl).Options {
		if o.Proposal.Raises() && o.Proposal.DrugNextUgKgMin > 0.5 {
			t.Errorf("%s passes the ceiling", o.Proposal.Name)
		}
	}
}
