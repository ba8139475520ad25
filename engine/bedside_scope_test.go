// SPDX-License-Identifier: Apache-2.0

package engine_test

// This file: design.md 5.6 to 5.12 at the bedside: whom the agent is for, when it
// must not suggest, and what is shown.

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

func TestBedsideApplicabilityAndDanger(t *testing.T) {
	runLines(t, []line{
		{"5.6 no evidence of infection: not applicable", physiology.PostOperative, nil, doesNotApply(agent.ReasonNoEvidence)},
		{"5.6 the evidence of sepsis is named", physiology.SepticShock, nil, func(t *testing.T, _ engine.Outcome, tl *state.Timeline) {
			if s := tl.Present.Sepsis; !s.Met || len(s.Evidence) == 0 {
				t.Errorf("%+v", s)
			}
		}},
		{"5.6 a child: not applicable", physiology.SepticShock, func(w *ward) { w.Person.BirthDate = now.AddDate(-15, 0, 0) }, doesNotApply(agent.ReasonNotAdult)},
		{"5.6 no ICU stay: not applicable", physiology.SepticShock, func(w *ward) { w.Stay.ICU, w.Stay.ICUKnown = false, true }, doesNotApply(agent.ReasonNotICU)},
		{"5.6 comfort care only: not applicable", physiology.SepticShock, func(w *ward) {
			w.Orders = append(w.Orders, state.Order{Tags: []state.Tag{state.TagComfortCare}, Status: "active", Text: "comfort care", Start: ago(100), Available: ago(100)})
		}, doesNotApply(agent.ReasonComfortCare)},
		{"5.6 pregnancy: not applicable", physiology.SepticShock, func(w *ward) { w.Person.Sex = "female"; w.condition(state.TagPregnancy, true) }, doesNotApply(agent.ReasonPregnancy)},
		{"5.6 a procedure in progress: not applicable", physiology.SepticShock, func(w *ward) {
			w.Procedures = append(w.Procedures, state.Procedure{Tags: []state.Tag{state.TagProcedureNow}, Text: "theatre", Start: ago(30), Available: ago(30)})
		}, doesNotApply(agent.ReasonProcedure)},
		{"5.6 ECMO: not applicable", physiology.SepticShock, func(w *ward) {
			w.Procedures = append(w.Procedures, state.Procedure{Tags: []state.Tag{state.TagECMO}, Text: "ECMO", Start: ago(300), Available: ago(300)})
		}, doesNotApply(agent.ReasonECMO)},
		{"5.6 mechanical support: not applicable", physiology.SepticShock, func(w *ward) {
			w.Procedures = append(w.Procedures, state.Procedure{Tags: []state.Tag{state.TagMechSupport}, Text: "balloon pump", Start: ago(300), Available: ago(300)})
		}, doesNotApply(agent.ReasonMechanicalSupport)},
		{"5.6 a haemoglobin fall of 2 g/dL: abstain for bleeding", physiology.SepticShock, func(w *ward) {
			w.forget("hemoglobin", 48)
			w.measure("hemoglobin", 11, 600, "")
			w.measure("hemoglobin", 8.6, 60, "")
		}, abstains(agent.ReasonBleeding)},
		{"5.6 cardiogenic shock: abstain", physiology.SepticShock, func(w *ward) { w.condition(state.TagCardiogenic, true) }, abstains(agent.ReasonCardiogenic)},
		{"5.6 obstructive shock: abstain", physiology.SepticShock, func(w *ward) { w.condition(state.TagObstructive, true) }, abstains(agent.ReasonObstructive)},
		{"5.6 neurogenic shock: abstain", physiology.SepticShock, func(w *ward) { w.condition(state.TagNeurogenic, true) }, abstains(agent.ReasonNeurogenic)},
		{"5.6 anaphylaxis: abstain", physiology.SepticShock, func(w *ward) { w.condition(state.TagAnaphylaxis, true) }, abstains(agent.ReasonAnaphylaxis)},
		{"5.6 after arrest: abstain", physiology.SepticShock, func(w *ward) { w.condition(state.TagPostArrest, true) }, abstains(agent.ReasonPostArrest)},
		{"5.6 burns: abstain", physiology.SepticShock, func(w *ward) { w.condition(state.TagBurns, true) }, abstains(agent.ReasonBurns)},
		{"5.6 ketoacidosis: abstain", physiology.SepticShock, func(w *ward) { w.condition(state.TagDKA, true) }, abstains(agent.ReasonDKA)},
		{"5.6 an inotrope the model does not know: abstain", physiology.SepticShock, func(w *ward) {
			w.runs("dobutamine", state.ClassInotrope, 5, state.UnitUgKgMin, 200, 60)
		}, abstains(agent.ReasonUnknownVasoactive)},
		{"5.6 a stale MAP: abstain", physiology.SepticShock, func(w *ward) {
			for _, c := range []string{"meanbp", "sysbp", "diabp"} {
				w.forget(c, 2.5)
			}
		}, abstains(agent.ReasonMAPStale)},
		{"5.6 DNR alone never excludes", physiology.SepticShock, func(w *ward) {
			w.norepinephrine(0.1)
			w.mapIs(57)
			w.Orders = append(w.Orders, state.Order{Tags: []state.Tag{state.TagDNR}, Status: "active", Text: "DNR", Start: ago(100), Available: ago(100)})
		}, func(t *testing.T, o engine.Outcome, _ *state.Timeline) {
			if o.Decision.Status != agent.Suggest {
				t.Errorf("%s %v", o.Decision.Status, o.Decision.Reasons)
			}
		}},
		{"5.6 what cannot be checked is not checked, never absent", physiology.SepticShock, func(w *ward) {
			w.Gaps = append(w.Gaps, state.Gap{What: "conditions", Reason: "not supplied"}, state.Gap{What: "procedures", Reason: "not supplied"})
		}, func(t *testing.T, o engine.Outcome, tl *state.Timeline) {
			for _, key := range []string{state.CheckBurns, state.CheckECMO} {
				words := strings.ReplaceAll(key, "-", " ")
				disclosed := slices.ContainsFunc(o.Decision.NotAssessed, func(s string) bool { return strings.HasPrefix(s, words) })
				if tl.Check(key).Result != state.CheckNotChecked || !disclosed {
					t.Errorf("%s is %s; not assessed: %q", key, tl.Check(key).Result, o.Decision.NotAssessed)
				}
			}
		}},
		{"5.7 an abstention with MAP 50 untreated is shown as a danger without a dose", physiology.EarlySepsis, func(w *ward) {
			w.without(state.ClassVasopressor)
			w.mapIs(50)
			w.Gaps = append(w.Gaps, state.Gap{What: "fluid", Reason: "this hospital charts none"})
		}, func(t *testing.T, o engine.Outcome, tl *state.Timeline) {
			abstains(agent.ReasonFluidUnknown)(t, o, tl)
			if len(o.Decision.Hazards) == 0 || !o.Show {
				t.Errorf("hazards %v, shown %v", o.Decision.Hazards, o.Show)
			}
		}},
		{"5.7 an affirmation shows no card by default", physiology.SepticShock, func(w *ward) {
			w.norepinephrine(0.1)
			w.mapIs(67)
			w.lactateIs(1.4)
		}, func(t *testing.T, o engine.Outcome, _ *state.Timeline) {
			if o.Decision.Status != agent.Affirm || o.Show {
				t.Errorf("%s %v, shown %v", o.Decision.Status, o.Decision.Reasons, o.Show)
			}
		}},
		{"5.7 a rising lactate is never affirmed", physiology.Improving, func(w *ward) {
			w.mapIs(67)
			w.forget("lactate", 48)
			w.measure("lactate", 1.6, 300, "")
			w.measure("lactate", 3.4, 40, "")
		}, func(t *testing.T, o engine.Outcome, tl *state.Timeline) {
			if !tl.Present.Lactate.Rising || o.Decision.Status == agent.Affirm {
				t.Errorf("rising %v: %s", tl.Present.Lactate.Rising, o.Decision.Status)
			}
		}},
		{"5.7 without a lactate nothing is affirmed", physiology.Improving, func(w *ward) {
			w.mapIs(67)
			w.forget("lactate", 96)
		}, func(t *testing.T, o engine.Outcome, _ *state.Timeline) {
			if o.Decision.Status == agent.Affirm {
				t.Error("affirmed")
			}
		}},
		{"5.8 weights in conflict: no weight-based number", physiology.EarlySepsis, func(w *ward) {
			w.forget("weight", 1e4)
			w.measure("weight", 80, 300, "")
			w.measure("weight", 176, 200, state.MethodPumpWeight)
			w.without(state.ClassVasopressor)
			w.mapIs(58)
		}, func(t *testing.T, o engine.Outcome, tl *state.Timeline) {
			a := o.Decision.Advice
			if tl.Present.Weight.Conflict == "" || a.Vasopressor != nil && a.Vasopressor.FirstStepUgKgMin > 0 || a.Fluid != nil && a.Fluid.MlPerKg != 0 {
				t.Errorf("conflict %q: %+v %+v", tl.Present.Weight.Conflict, a.Vasopressor, a.Fluid)
			}
		}},
		{"5.8 above a BMI of 30 the basis of mL/kg is spelled out", physiology.EarlySepsis, func(w *ward) {
			w.forget("weight", 1e4)
			w.forget("height", 1e4)
			w.measure("weight", 120, 300, "")
			w.measure("height", 170, 300, "")
			w.without(state.ClassVasopressor)
			w.mapIs(62)
		}, func(t *testing.T, o engine.Outcome, _ *state.Timeline) {
			if f := o.Decision.Advice.Fluid; f == nil || !strings.Contains(f.WeightBasis, "BMI") || !strings.Contains(f.WeightBasis, "120 kg") {
				t.Errorf("%s %v %+v", o.Decision.Status, o.Decision.Reasons, f)
			}
		}},
		{"5.11 silent shows nothing", physiology.SepticShock, func(w *ward) { w.display = engine.DisplaySilent }, func(t *testing.T, o engine.Outcome, _ *state.Timeline) {
			if o.Show || o.Suppressed != engine.SuppressedSilent {
				t.Errorf("shown %v, %q", o.Show, o.Suppressed)
			}
		}},
	})
}

// TestBedsideRepeatsAreSuppressedAndHazardsNever is 5.12.
func TestBedsideRepeatsAreSuppressedAndHazardsNever(t *testing.T) {
	low := func(w *ward) { w.norepinephrine(0.1); w.mapIs(62) }
	danger := func(w *ward) { w.without(state.ClassVasopressor); w.mapIs(50) }
	for name, write := range map[string]func(w *ward){"5.12 a repeat is suppressed": low, "5.12 a hazard never": danger} {
		t.Run(name, func(t *testing.T) {
			first, _ := bedside(t, physiology.SepticShock, write).decideFor(t)
			if !first.Show {
				t.Fatalf("%s is not shown at first", first.Decision.Status)
			}
			again := bedside(t, physiology.SepticShock, write)
			again.prior = []engine.Prior{{ReceiptID: "r1", At: ago(10), User: "Practitioner/1", Topic: first.Topic, Shown: true, Evidence: first.Evidence}}
			o, _ := again.decideFor(t)
			if hazard := len(first.Decision.Hazards) > 0; o.Show != hazard {
				t.Errorf("hazard %v: shown again %v, %q", hazard, o.Show, o.Suppressed)
			}
			again.prior[0].User = "Practitioner/2"
			if o, _ = again.decideFor(t); !o.Show {
				t.Error("another user does not see it")
			}
		})
	}
}

// TestBedsideSameCaseSameBytes is 6.8 as the binary runs it.
func TestBedsideSameCaseSameBytes(t *testing.T) {
	d := decider(t, asTheBinary(t))
	for _, s := range []physiology.Scenario{physiology.EarlySepsis, physiology.SepticShock, physiology.Improving, physiology.FluidOverload} {
		var want string
		for range 3 {
			o, err := d.Decide(context.Background(), caseOf(t, s))
			if err != nil {
				t.Fatal(err)
			}
			b, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			if want != "" && string(b) != want {
				t.Errorf("%s: two runs differ", s)
			}
			want = string(b)
		}
	}
}
