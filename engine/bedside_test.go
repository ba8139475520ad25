// SPDX-License-Identifier: Apache-2.0

package engine_test

// This file: the bedside semantics of design.md 5, line by line, on synthetic
// charts in which one thing is charted otherwise, through timeline, rules, world
// model, actor and Decide as the binary runs them. Each test is named for its
// line. 5.6 to 5.12 are in bedside_scope_test.go, lines about cards in
// bedside_card_test.go; the rest of 5.11 is tested in cdshooks, 5.13 in
// engine/agent/llm, 5.14 in engine/world and engine/learn, and the rules' own
// sides in policy.

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/policy"
)

// line is one line of the design as a test.
type line struct {
	name    string
	patient physiology.Scenario
	write   func(w *ward) // what is charted otherwise
	check   func(t *testing.T, o engine.Outcome, tl *state.Timeline)
}

func runLines(t *testing.T, lines []line) {
	for _, c := range lines {
		t.Run(c.name, func(t *testing.T) {
			o, tl := bedside(t, c.patient, c.write).decideFor(t)
			c.check(t, o, tl)
		})
	}
}

func TestBedsideTreatmentAndPressure(t *testing.T) {
	runLines(t, []line{
		{"5.1 the running rate is what runs at T, not the highest of the step", physiology.Improving, func(w *ward) {
			w.without(state.ClassVasopressor)
			w.runs(state.DrugNorepinephrine, state.ClassVasopressor, 0.4, state.UnitUgKgMin, 200, 60)
			w.Administrations[len(w.Administrations)-1].End = ago(100)
			w.runs(state.DrugNorepinephrine, state.ClassVasopressor, 0.12, state.UnitUgKgMin, 100, 60)
		}, func(t *testing.T, o engine.Outcome, tl *state.Timeline) {
			if v := o.Decision.Advice.Vasopressor; math.Abs(tl.Present.NEUgKgMin-0.12) > 1e-9 || v != nil && math.Abs(v.FromUgKgMin-0.12) > 1e-9 {
				t.Errorf("running %g, advice %+v; want 0.12", tl.Present.NEUgKgMin, v)
			}
		}},
		{"5.1 a rate undocumented for more than 2 h is unknown, and abstains", physiology.Improving, func(w *ward) {
			w.without(state.ClassVasopressor)
			w.runs(state.DrugNorepinephrine, state.ClassVasopressor, 0.12, state.UnitUgKgMin, 130, 0)
		}, abstains(agent.ReasonVasopressorUnknown)},
		{"5.1 a charted end shows its time and is no running drug", physiology.Improving, func(w *ward) {
			w.norepinephrine(0.1)
			w.Administrations[len(w.Administrations)-1].End = ago(45)
		}, func(t *testing.T, o engine.Outcome, tl *state.Timeline) {
			a := tl.Present.Agents
			if len(a) != 1 || a[0].State != state.AgentStopped || !a[0].EndedAt.Equal(ago(45)) || tl.Present.NEUgKgMin != 0 {
				t.Errorf("agents %+v", a)
			}
		}},
		{"5.1 fluid exposure that is not charted abstains", physiology.EarlySepsis, func(w *ward) {
			w.Gaps = append(w.Gaps, state.Gap{What: "fluid", Reason: "this hospital charts none"})
		}, abstains(agent.ReasonFluidUnknown)},
		{"5.2 a step up has direction, goal, bounded step, ceiling and recheck", physiology.SepticShock, func(w *ward) {
			w.norepinephrine(0.1)
			w.mapIs(57)
		}, func(t *testing.T, o engine.Outcome, _ *state.Timeline) {
			v := o.Decision.Advice.Vasopressor
			if v == nil || v.Direction != agent.AdviceIncrease || v.GoalMmHg != 65 || v.FirstStepUgKgMin <= 0 || v.FirstStepUgKgMin > 0.05 ||
				math.Abs(v.FromUgKgMin-0.1) > 1e-9 || v.CeilingUgKgMin != 0.5 || v.RecheckMin != 15 {
				t.Errorf("%s %v: %+v", o.Decision.Status, o.Decision.Reasons, v)
			}
		}},
		{"5.2 norepinephrine-equivalents never become a norepinephrine order", physiology.SepticShock, func(w *ward) {
			w.without(state.ClassVasopressor)
			w.runs(state.DrugPhenylephrine, state.ClassVasopressor, 1, state.UnitUgKgMin, 300, 60)
			w.mapIs(58)
		}, func(t *testing.T, o engine.Outcome, tl *state.Timeline) {
			v := o.Decision.Advice.Vasopressor
			if !(tl.Present.NEUgKgMin > 0) || v != nil && v.Drug == state.DrugNorepinephrine && (v.FromUgKgMin != 0 || v.ToUgKgMin > 0.05) {
				t.Errorf("equivalents %g, advice %+v", tl.Present.NEUgKgMin, v)
			}
		}},
		{"5.2 when V4 fires vasopressin is advised and no norepinephrine increase", physiology.RefractoryShock, func(w *ward) {
			w.norepinephrine(0.3)
			w.mapIs(58)
		}, func(t *testing.T, o engine.Outcome, _ *state.Timeline) {
			v := o.Decision.Advice.Vasopressor
			if v == nil || v.Direction != agent.AdviceAddVasopressin || v.UMin != 0.03 || v.FirstStepUgKgMin != 0 {
				t.Errorf("%s %v: %+v", o.Decision.Status, o.Decision.Reasons, v)
			}
		}},
		{"5.3 a fluid suggestion is one balanced bolus with stop criteria", physiology.EarlySepsis, func(w *ward) {
			w.without(state.ClassVasopressor)
			w.mapIs(62)
		}, func(t *testing.T, o engine.Outcome, _ *state.Timeline) {
			f := o.Decision.Advice.Fluid
			if f == nil || f.BolusMl < 250 || f.BolusMl > 500 || f.Kind != "balanced crystalloid" || len(f.StopCriteria) == 0 || f.OverMin <= 0 {
				t.Errorf("%s %v: %+v", o.Decision.Status, o.Decision.Reasons, f)
			}
		}},
		{"5.3 ledgers are real mL beside the tonicity-adjusted input", physiology.EarlySepsis, func(w *ward) {
			w.without(state.ClassCrystalloid)
			w.Administrations = append(w.Administrations, state.Administration{Drug: "half saline", Class: state.ClassCrystalloid, Form: state.FormBolus,
				Start: ago(100), End: ago(70), Available: ago(100), EndAvail: ago(70), AmountMl: 400, MlKnown: true, Tonicity: 0.5, Ledger: state.LedgerBolus, Received: "400 mL"})
		}, func(t *testing.T, _ engine.Outcome, tl *state.Timeline) {
			if g := tl.Last().Given; math.Abs(g.BolusMl-400) > 1 || math.Abs(tl.Present.Fluids.Bolus3hMl-400) > 1 || g.FluidModelMl > g.BolusMl+g.MaintenanceMl+g.CarrierMl+g.BloodMl-150 {
				t.Errorf("bolus %g mL, model input %g mL", g.BolusMl, g.FluidModelMl)
			}
		}},
		{"5.3 heart failure: no volume number", physiology.EarlySepsis, func(w *ward) { w.condition(state.TagHeartFailure, true) }, noVolume},
		{"5.3 end-stage renal disease: no volume number", physiology.EarlySepsis, func(w *ward) { w.condition(state.TagESRD, true) }, noVolume},
		{"5.3 dialysis: no volume number", physiology.EarlySepsis, func(w *ward) { w.condition(state.TagDialysis, true) }, noVolume},
		{"5.3 cirrhosis: no volume number", physiology.EarlySepsis, func(w *ward) { w.condition(state.TagCirrhosis, true) }, noVolume},
		{"5.3 worsening P/F: no volume number", physiology.EarlySepsis, func(w *ward) {
			for _, c := range []string{"pao2", "fio2"} {
				w.forget(c, 48)
			}
			w.measure("fio2", 40, 400, "")
			w.measure("pao2", 120, 399, state.MethodArterial)
			w.measure("fio2", 60, 40, "")
			w.measure("pao2", 75, 39, state.MethodArterial)
		}, noVolume},
		{"5.4 rules read the newest MAP, not the step's mean", physiology.Improving, func(w *ward) {
			w.norepinephrine(0.1)
			w.forget("meanbp", 2)
			w.forget("sysbp", 2)
			w.forget("diabp", 2)
			for m := 110.; m > 30; m -= 10 {
				w.measure("meanbp", 76, m, state.MethodArterial)
			}
			for m := 25.; m > 0; m -= 5 {
				w.measure("meanbp", 57, m, state.MethodArterial)
			}
		}, func(t *testing.T, o engine.Outcome, tl *state.Timeline) {
			v := o.Decision.Advice.Vasopressor
			if tl.Last().Value[state.MeanBP] < 65 || v == nil || v.FirstStepUgKgMin <= 0 {
				t.Errorf("step mean %.0f, newest %.0f: %s %v %+v", tl.Last().Value[state.MeanBP], tl.Present.MAP.Newest.Value, o.Decision.Status, o.Decision.Reasons, v)
			}
		}},
		{"5.4 line and cuff are never averaged: disagreement asks to confirm MAP, without a dose", physiology.SepticShock, func(w *ward) {
			w.mapIs(60)
			w.measure("meanbp", 78, 6, state.MethodCuff)
		}, func(t *testing.T, o engine.Outcome, tl *state.Timeline) {
			abstains(agent.ReasonMAPConflict)(t, o, tl)
			if v := tl.Present.MAP.Newest.Value; v != 60 && v != 78 {
				t.Errorf("MAP %.1f is neither source's", v)
			}
		}},
		{"5.4 a lone outlier asks to confirm MAP, without a dose", physiology.SepticShock, func(w *ward) {
			w.mapIs(72)
			w.measure("meanbp", 38, 1, state.MethodArterial)
		}, abstains(agent.ReasonMAPConflict)},
		{"5.4 the ordered MAP goal is the goal", physiology.SepticShock, func(w *ward) {
			w.norepinephrine(0.1)
			w.mapIs(70)
			w.Orders = append(w.Orders, state.Order{Concept: state.ConceptMAPGoal, Value: 80, Status: "active", Text: "MAP goal 80", Start: ago(600), Available: ago(600)})
		}, func(t *testing.T, o engine.Outcome, tl *state.Timeline) {
			v := o.Decision.Advice.Vasopressor
			if tl.Present.MAP.GoalMmHg != 80 || !tl.Present.MAP.GoalOrdered || v == nil || v.GoalMmHg != 80 || v.FirstStepUgKgMin <= 0 {
				t.Errorf("goal %g: %s %v %+v", tl.Present.MAP.GoalMmHg, o.Decision.Status, o.Decision.Reasons, v)
			}
		}},
		{"5.4 V9 warns and never blocks", physiology.Improving, func(w *ward) {
			w.norepinephrine(0.2)
			w.mapIs(118)
		}, func(t *testing.T, o engine.Outcome, _ *state.Timeline) {
			all := slices.Clone(o.Decision.Verdicts)
			for _, x := range o.Decision.Options {
				all = append(all, x.Verdicts...)
			}
			spoke := false
			for _, v := range all {
				spoke = spoke || v.ID == "V9"
				if v.ID == "V9" && v.Effect != policy.Warning || v.ID == "G1" || v.ID == "G2" {
					t.Errorf("%s %s", v.ID, v.Effect)
				}
			}
			if !spoke {
				t.Errorf("V9 does not speak at MAP 118: %s %v", o.Decision.Status, o.Decision.Reasons)
			}
		}},
		{"5.5 an undated condition never feeds a gate", physiology.EarlySepsis, func(w *ward) {
			w.condition(state.TagHeartFailure, false)
			w.condition(state.TagComfortCare, false)
			w.without(state.ClassVasopressor)
			w.mapIs(62)
		}, func(t *testing.T, o engine.Outcome, _ *state.Timeline) {
			if o.Decision.Status != agent.Suggest || o.Decision.Advice.Fluid == nil {
				t.Errorf("%s %v %+v", o.Decision.Status, o.Decision.Reasons, o.Decision.Advice)
			}
		}},
	})
}

// TestBedsideNoFutureChangesADecision is 5.5: what is not available at T, and
// what tells how the stay ended, leaves every byte as it was.
func TestBedsideNoFutureChangesADecision(t *testing.T) {
	bytes := func(w *ward) string {
		o, _ := w.decideFor(t)
		b, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, s := range []physiology.Scenario{physiology.EarlySepsis, physiology.SepticShock, physiology.Improving} {
		want := bytes(bedside(t, s, nil))
		for name, write := range map[string]func(w *ward){
			"5.5 a result that is issued after T": func(w *ward) {
				w.Measurements = append(w.Measurements, state.Measurement{Concept: "lactate", Value: 11, Effective: ago(20), Available: now.Add(time.Minute), Received: "11"})
			},
			"5.5 a value charted after T": func(w *ward) { w.measure("meanbp", 40, -30, state.MethodArterial) },
			"5.5 a drug started after T": func(w *ward) {
				w.runs(state.DrugEpinephrine, state.ClassVasopressor, 0.5, state.UnitUgKgMin, -10, 60)
			},
			"5.5 discharge and death": func(w *ward) {
				w.Stay.End, w.Stay.DiedInHospital, w.Stay.OutcomeKnown, w.Stay.DeathTime = now.Add(time.Hour), true, true, now.Add(time.Hour)
				w.Stay.DiedWithin90d, w.Stay.Died90dKnown = true, true
			},
			"5.5 a condition recorded after T": func(w *ward) {
				w.Conditions = append(w.Conditions, state.Condition{Tags: []state.Tag{state.TagBurns}, Dated: true, Onset: ago(10), Available: now.Add(time.Hour), Text: "burns"})
			},
		} {
			t.Run(string(s)+" "+name, func(t *testing.T) {
				if got := bytes(bedside(t, s, write)); got != want {
					t.Error("the decision is another")
				}
			})
		}
	}
}
