// SPDX-License-Identifier: Apache-2.0

package agent_test

// This file: how decisions end, on the demonstration's patients and on copies
// of them in which one thing is changed. Each line of design.md 5 that the
// agent answers for is named in a test.

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

func TestDemonstrationPatientsEndAsTheirStoriesSay(t *testing.T) {
	for _, c := range []struct {
		patient    physiology.Scenario
		status     agent.Status
		direction  string
		drug       state.Drug
		fluid      bool
		reasonCode string
	}{
		{patient: physiology.EarlySepsis, status: agent.Suggest, direction: agent.AdviceStart, drug: state.DrugNorepinephrine, fluid: true},
		{patient: physiology.SepticShock, status: agent.Suggest, direction: agent.AdviceIncrease, drug: state.DrugNorepinephrine, fluid: true},
		{patient: physiology.RefractoryShock, status: agent.Suggest, direction: agent.AdviceAddVasopressin, drug: state.DrugVasopressin},
		{patient: physiology.Improving, status: agent.Suggest, direction: agent.AdviceDecrease, drug: state.DrugNorepinephrine},
		{patient: physiology.PostOperative, status: agent.NotApplicable, reasonCode: agent.ReasonNoEvidence},
	} {
		t.Run(string(c.patient), func(t *testing.T) {
			d := decide(t, effective(), timeline(t, c.patient))
			if d.Status != c.status {
				t.Fatalf("status %s %v, want %s", d.Status, d.Reasons, c.status)
			}
			if v := d.Advice.Vasopressor; c.direction != "" && (v == nil || v.Direction != c.direction || v.Drug != c.drug) {
				t.Errorf("vasopressor advice %+v, want %s %s", v, c.direction, c.drug)
			}
			if (d.Advice.Fluid != nil) != c.fluid {
				t.Errorf("fluid advice %+v", d.Advice.Fluid)
			}
			if c.reasonCode != "" && !hasReason(d, c.reasonCode) {
				t.Errorf("reasons %v, want %s", d.Reasons, c.reasonCode)
			}
			if d.Status == agent.Suggest && (d.Options[0].Role != agent.RoleCurrent || d.Options[1].Role != agent.RoleSuggested) {
				t.Errorf("current treatment and the suggestion come first; got %s, %s", d.Options[0].Role, d.Options[1].Role)
			}
		})
	}
}

func TestALargePositiveBalanceGetsNoMoreVolume(t *testing.T) {
	tl := timeline(t, physiology.SepticShock)
	tl.Present.Fluids.BalanceMl, tl.Present.Fluids.BalanceKnown = 8000, true
	d := decide(t, effective(), tl)
	if d.Status != agent.Suggest || d.Advice.Fluid != nil || d.Advice.Vasopressor == nil {
		t.Errorf("%s %+v, want norepinephrine alone", d.Status, d.Advice)
	}
}

func hasReason(d agent.Decision, code string) bool {
	return slices.ContainsFunc(d.Reasons, func(r agent.Reason) bool { return r.Code == code })
}

// settled turns a patient into one that could be affirmed: MAP at goal, no
// wean due, a fresh, normal and steady lactate.
func settled(tl *state.Timeline) {
	setMAP(tl, 68)
	tl.Present.StepsAtGoal = 0
	tl.Present.Lactate.Now = &state.Reading{Concept: "lactate", Value: 1.5, AgeMin: 30, At: tl.At}
	tl.Present.Lactate.Before, tl.Present.Lactate.Rising, tl.Present.Lactate.Falling = nil, false, false
}

func setMAP(tl *state.Timeline, mmHg float64) {
	m := &tl.Present.MAP
	newest, low := *m.Newest, *m.LastHourMin
	newest.Value, low.Value = mmHg, mmHg
	m.Newest, m.LastHourMin = &newest, &low
}

func setCheck(tl *state.Timeline, key, result string) {
	for i := range tl.Present.Checks {
		if tl.Present.Checks[i].Key == key {
			tl.Present.Checks[i].Result = result
		}
	}
}

func TestOneChangedFactEndsTheDecisionOtherwise(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(tl *state.Timeline)
		status agent.Status
		code   string
	}{
		{"at goal with a fresh steady lactate is affirmed", func(*state.Timeline) {}, agent.Affirm, ""},
		{"a child is not this agent's patient", func(tl *state.Timeline) { setCheck(tl, state.CheckAdult, state.CheckAbsent) }, agent.NotApplicable, agent.ReasonNotAdult},
		{"an unknown age is not taken for an adult", func(tl *state.Timeline) { setCheck(tl, state.CheckAdult, state.CheckNotChecked) }, agent.Abstain, agent.ReasonAgeUnknown},
		{"a ward stay is not this agent's", func(tl *state.Timeline) { setCheck(tl, state.CheckICU, state.CheckAbsent) }, agent.NotApplicable, agent.ReasonNotICU},
		{"an encounter of unknown kind is disclosed, not refused", func(tl *state.Timeline) { setCheck(tl, state.CheckICU, state.CheckNotChecked) }, agent.Affirm, ""},
		{"comfort care ends it", func(tl *state.Timeline) { setCheck(tl, state.CheckComfortCare, state.CheckPresent) }, agent.NotApplicable, agent.ReasonComfortCare},
		{"pregnancy ends it", func(tl *state.Timeline) { setCheck(tl, state.CheckPregnancy, state.CheckPresent) }, agent.NotApplicable, agent.ReasonPregnancy},
		{"a procedure in progress ends it", func(tl *state.Timeline) { setCheck(tl, state.CheckProcedure, state.CheckPresent) }, agent.NotApplicable, agent.ReasonProcedure},
		{"ECMO ends it", func(tl *state.Timeline) { setCheck(tl, state.CheckECMO, state.CheckPresent) }, agent.NotApplicable, agent.ReasonECMO},
		{"mechanical support ends it", func(tl *state.Timeline) { setCheck(tl, state.CheckMechSupport, state.CheckPresent) }, agent.NotApplicable, agent.ReasonMechanicalSupport},
		{"DNR alone never excludes", func(tl *state.Timeline) { setCheck(tl, state.CheckDNR, state.CheckPresent) }, agent.Affirm, ""},
		{"bleeding abstains", func(tl *state.Timeline) { setCheck(tl, state.CheckBleeding, state.CheckPresent) }, agent.Abstain, agent.ReasonBleeding},
		{"cardiogenic shock abstains", func(tl *state.Timeline) { setCheck(tl, state.CheckCardiogenic, state.CheckPresent) }, agent.Abstain, agent.ReasonCardiogenic},
		{"obstructive shock abstains", func(tl *state.Timeline) { setCheck(tl, state.CheckObstructive, state.CheckPresent) }, agent.Abstain, agent.ReasonObstructive},
		{"neurogenic shock abstains", func(tl *state.Timeline) { setCheck(tl, state.CheckNeurogenic, state.CheckPresent) }, agent.Abstain, agent.ReasonNeurogenic},
		{"anaphylaxis abstains", func(tl *state.Timeline) { setCheck(tl, state.CheckAnaphylaxis, state.CheckPresent) }, agent.Abstain, agent.ReasonAnaphylaxis},
		{"cardiac arrest abstains", func(tl *state.Timeline) { setCheck(tl, state.CheckPostArrest, state.CheckPresent) }, agent.Abstain, agent.ReasonPostArrest},
		{"burns abstain", func(tl *state.Timeline) { setCheck(tl, state.CheckBurns, state.CheckPresent) }, agent.Abstain, agent.ReasonBurns},
		{"ketoacidosis abstains", func(tl *state.Timeline) { setCheck(tl, state.CheckDKA, state.CheckPresent) }, agent.Abstain, agent.ReasonDKA},
		{"an unknown vasoactive abstains", func(tl *state.Timeline) { setCheck(tl, state.CheckVasoactive, state.CheckPresent) }, agent.Abstain, agent.ReasonUnknownVasoactive},
		{"a stale MAP abstains", func(tl *state.Timeline) { tl.Present.MAP.Newest.AgeMin = 121 }, agent.Abstain, agent.ReasonMAPStale},
		{"no MAP abstains", func(tl *state.Timeline) { tl.Present.MAP.Newest = nil }, agent.Abstain, agent.ReasonMAPMissing},
		{"line and cuff in conflict abstain", func(tl *state.Timeline) { tl.Present.MAP.Disagree = true }, agent.Abstain, agent.ReasonMAPConflict},
		{"a lone outlier abstains", func(tl *state.Timeline) { tl.Present.MAP.LoneOutlier = true }, agent.Abstain, agent.ReasonMAPConflict},
		{"an unknown vasopressor exposure abstains", func(tl *state.Timeline) { tl.Present.VasoKnown = false }, agent.Abstain, agent.ReasonVasopressorUnknown},
		{"an unknown fluid exposure abstains", func(tl *state.Timeline) { tl.Present.Fluids.Known = false }, agent.Abstain, agent.ReasonFluidUnknown},
		{"a rising lactate is never affirmed", func(tl *state.Timeline) { tl.Present.Lactate.Rising = true }, agent.Abstain, agent.ReasonRisingLactate},
		{"a lactate that rose long ago is old, not rising", func(tl *state.Timeline) {
			tl.Present.Lactate.Now.AgeMin, tl.Present.Lactate.Rising = 9*60, true
		}, agent.Suggest, ""},
		{"an old lactate on a vasopressor asks for another and holds", func(tl *state.Timeline) { tl.Present.Lactate.Now.AgeMin = 9 * 60 }, agent.Suggest, ""},
		{"no lactate on a vasopressor asks for one and holds", func(tl *state.Timeline) { tl.Present.Lactate.Now = nil }, agent.Suggest, ""},
		{"no lactate without a vasopressor abstains", func(tl *state.Timeline) {
			tl.Present.Lactate.Now, tl.Present.Agents, tl.Present.NEUgKgMin = nil, nil, 0
		}, agent.Abstain, agent.ReasonStaleLactate},
		{"without evidence of sepsis it does not apply", func(tl *state.Timeline) { tl.Present.Sepsis.Met = false }, agent.NotApplicable, agent.ReasonNoEvidence},
	} {
		t.Run(c.name, func(t *testing.T) {
			tl := timeline(t, physiology.SepticShock)
			settled(tl)
			c.change(tl)
			d := decide(t, effective(), tl)
			if d.Status != c.status {
				t.Fatalf("status %s %v, want %s", d.Status, d.Reasons, c.status)
			}
			if c.code != "" && !hasReason(d, c.code) {
				t.Errorf("reasons %v, want %s", d.Reasons, c.code)
			}
			if d.Status != agent.Suggest && (d.Advice.Vasopressor != nil || d.Advice.Fluid != nil) {
				t.Errorf("%s with a dose: %+v", d.Status, d.Advice)
			}
			if d.Status == agent.Suggest && (d.Advice.Vasopressor.Direction != agent.AdviceHold || !slices.Contains(d.Advice.Recheck, "repeat lactate")) {
				t.Errorf("advice %+v, want hold and a lactate", d.Advice)
			}
		})
	}
}

func TestWhatIsNotCheckedIsDisclosedAndNeverAbsent(t *testing.T) {
	tl := timeline(t, physiology.SepticShock)
	for i := range tl.Present.Checks {
		switch tl.Present.Checks[i].Key {
		case state.CheckAdult, state.CheckSepsis:
		default:
			tl.Present.Checks[i].Result = state.CheckNotChecked
		}
	}
	d := decide(t, effective(), tl)
	if d.Status != agent.Suggest {
		t.Fatalf("%s %v: checks that could not be made must not silence the agent", d.Status, d.Reasons)
	}
	for _, key := range []string{state.CheckBleeding, state.CheckHeartFailure, state.CheckPregnancy} {
		words := strings.ReplaceAll(key, "-", " ")
		if !slices.ContainsFunc(d.NotAssessed, func(s string) bool { return strings.HasPrefix(s, words) }) {
			t.Errorf("%s was not checked and is not disclosed: %q", key, d.NotAssessed)
		}
	}
}

func TestAbstentionDoesNotHideDanger(t *testing.T) {
	for _, c := range []struct {
		name   string
		mapMm  float64
		change func(tl *state.Timeline)
		hazard string
	}{
		{"MAP 50 untreated, fluid unknown", 50, func(tl *state.Timeline) {
			tl.Present.Fluids.Known = false
			tl.Steps[len(tl.Steps)-1].Given.FluidKnown = false
		}, "V11"},
		{"MAP 60 untreated with bleeding", 60, func(tl *state.Timeline) { setCheck(tl, state.CheckBleeding, state.CheckPresent) }, "H-UNTREATED"},
		{"line 70 and cuff 58 in conflict, untreated", 70, func(tl *state.Timeline) {
			cuff := *tl.Present.MAP.Newest
			cuff.Value, cuff.Method = 58, state.MethodCuff
			tl.Present.MAP.CuffNow, tl.Present.MAP.Disagree = &cuff, true
		}, "H-CONFLICT"},
		{"MAP 50 on a vasopressor of unknown rate", 50, func(tl *state.Timeline) {
			tl.Present.VasoKnown = false
			tl.Present.Agents = []state.Agent{{Drug: state.DrugNorepinephrine, Class: state.ClassVasopressor, State: state.AgentUnknownRate}}
		}, "V11-ON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tl := timeline(t, physiology.EarlySepsis)
			setMAP(tl, c.mapMm)
			c.change(tl)
			d := decide(t, effective(), tl)
			if d.Status != agent.Abstain {
				t.Fatalf("status %s", d.Status)
			}
			if !slices.ContainsFunc(d.Hazards, func(v policy.Verdict) bool { return v.ID == c.hazard }) {
				t.Errorf("hazards %v, want %s", d.Hazards, c.hazard)
			}
		})
	}
}

func TestV4PrintsVasopressinAndNoNorepinephrineIncrease(t *testing.T) {
	d := decide(t, effective(), timeline(t, physiology.RefractoryShock))
	v := d.Advice.Vasopressor
	if v == nil || v.Drug != state.DrugVasopressin || v.UMin != 0.03 || v.FirstStepUgKgMin != 0 {
		t.Fatalf("advice %+v", v)
	}
	for _, o := range d.Options {
		if o.Proposal.Drug == state.DrugNorepinephrine && o.Proposal.Raises() && !o.Blocked {
			t.Errorf("%s is not blocked", o.Proposal.Name)
		}
	}
}

func TestSeveralAgentsAreWeanedLastFirst(t *testing.T) {
	tl := timeline(t, physiology.Improving)
	tl.Present.Agents = append(tl.Present.Agents, state.Agent{
		Drug: state.DrugVasopressin, Class: state.ClassVasopressor, State: state.AgentRunning,
		Rate: 0.03, RateUnit: state.UnitUMin, NEUgKgMin: 0.075, ChartedAt: tl.At,
	})
	tl.Present.NEUgKgMin += 0.075
	d := decide(t, effective(), tl)
	if v := d.Advice.Vasopressor; v == nil || v.Drug != state.DrugVasopressin || v.Direction != agent.AdviceDecrease || math.Abs(v.UMin-0.02) > 1e-9 {
		t.Errorf("%s, advice %+v; want vasopressin lowered to 0.02 U/min first", d.Status, v)
	}
}

func TestNothingIsPrintedForAgentsOfOtherScales(t *testing.T) {
	tl := timeline(t, physiology.Improving)
	tl.Present.Agents = []state.Agent{{
		Drug: state.DrugPhenylephrine, Class: state.ClassVasopressor, State: state.AgentRunning,
		Rate: 1, RateUnit: state.UnitUgKgMin, RateUgKgMin: 1, NEUgKgMin: 0.1, ChartedAt: tl.At,
	}}
	tl.Present.NEUgKgMin = 0.1
	if d := decide(t, effective(), tl); d.Status != agent.Affirm || d.Advice.Vasopressor != nil {
		t.Errorf("%s %+v, want current treatment affirmed", d.Status, d.Advice.Vasopressor)
	}
	setMAP(tl, 60)
	d := decide(t, effective(), tl)
	if v := d.Advice.Vasopressor; v != nil && (v.Drug != state.DrugNorepinephrine || v.FromUgKgMin != 0) {
		t.Errorf("advice %+v: norepinephrine-equivalents must never become a norepinephrine rate", v)
	}
}

func TestWeightInConflictPrintsNoWeightBasedNumber(t *testing.T) {
	tl := timeline(t, physiology.EarlySepsis)
	tl.Present.Weight.Conflict = "pump 80 kg, measured 176: looks like pounds"
	d := decide(t, effective(), tl)
	if v := d.Advice.Vasopressor; v != nil {
		t.Errorf("started %+v on a weight in conflict", v)
	}
	if f := d.Advice.Fluid; f == nil || f.MlPerKg != 0 {
		t.Errorf("fluid %+v, want a bolus in mL without mL/kg", f)
	}
}

func TestNoVolumeWithAFluidCaution(t *testing.T) {
	for _, key := range policy.FluidCautions() {
		tl := timeline(t, physiology.EarlySepsis)
		setCheck(tl, key, state.CheckPresent)
		if d := decide(t, effective(), tl); d.Advice.Fluid != nil {
			t.Errorf("%s is charted and a bolus is suggested", key)
		}
	}
}

func TestTrap22UnsupportedChangesAreNeverSuggested(t *testing.T) {
	m := effective()
	m.support = 0.004
	early := timeline(t, physiology.EarlySepsis)
	setMAP(early, 58)
	if d := decide(t, m, early); d.Status != agent.Abstain || len(d.Hazards) == 0 {
		t.Errorf("%s, hazards %v, with a support of 0.4 %%", d.Status, d.Hazards)
	}
	setMAP(early, 50)
	if d := decide(t, m, early); d.Advice.Vasopressor == nil || d.Advice.Fluid != nil {
		t.Errorf("%s %+v at MAP 50, where rarity forbids no vasopressor", d.Status, d.Advice)
	}
	d := decide(t, m, timeline(t, physiology.SepticShock))
	if v := d.Advice.Vasopressor; v == nil || v.FirstStepUgKgMin > 0.02+1e-6 || d.Advice.Fluid != nil {
		t.Errorf("%s %+v with a support of 0.4 %%, want the smallest step alone", d.Status, d.Advice)
	}
	m = effective()
	m.ood = 0.999
	if d = decide(t, m, timeline(t, physiology.SepticShock)); d.Status != agent.Abstain || !hasReason(d, agent.ReasonOutOfSupport) {
		t.Errorf("%s %v in a state unlike the training data", d.Status, d.Reasons)
	}
}

func TestSwappingTheModelForPersistenceChangesDecisions(t *testing.T) {
	changed := 0
	for _, s := range []physiology.Scenario{physiology.EarlySepsis, physiology.SepticShock, physiology.RefractoryShock, physiology.FluidOverload} {
		a, b := decide(t, effective(), timeline(t, s)), decide(t, world.Persistence{}, timeline(t, s))
		x, _ := json.Marshal(a.Advice)
		y, _ := json.Marshal(b.Advice)
		if string(x) != string(y) {
			changed++
		}
	}
	if changed < 2 {
		t.Errorf("only %d of 4 decisions changed: the world model is decoration", changed)
	}
}

func TestTheSameArgumentsGiveTheSameBytes(t *testing.T) {
	for _, s := range []physiology.Scenario{physiology.EarlySepsis, physiology.Improving} {
		a, _ := json.Marshal(decide(t, effective(), timeline(t, s)))
		for range 3 {
			if b, _ := json.Marshal(decide(t, effective(), timeline(t, s))); string(a) != string(b) {
				t.Fatal("two runs differ")
			}
		}
	}
}

func TestNoDecisionSaysWhatACardMustNot(t *testing.T) {
	for _, s := range []physiology.Scenario{
		physiology.EarlySepsis, physiology.SepticShock, physiology.RefractoryShock, physiology.Improving,
		physiology.FluidOverload, physiology.StableSepsis, physiology.PostOperative, physiology.MissingData,
	} {
		d := decide(t, effective(), timeline(t, s))
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"optimal", "\"safe", " safe", "reduces death", "adequately resuscitated", "no sepsis ", "mortality"} {
			if strings.Contains(strings.ToLower(string(text)), word) {
				t.Errorf("%s: the decision says %q", s, word)
			}
		}
	}
}
