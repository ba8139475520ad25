// SPDX-License-Identifier: Apache-2.0

package policy

// This file: design.md section 5, line by line, as far as a line is a rule or a
// hard limit. What the agent, the timeline or the card does of it is tested
// there.

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// bed is a patient, a proposal and its future, changed by each line of the
// table from a MAP of 58 below the goal of 65, all known and nothing running.
type bed struct {
	tl *state.Timeline
	p  *Proposal
	fc *world.Forecast
}

func (b *bed) mapMmHg(v float64) { b.tl.Present.MAP.Newest.Value = v }

func (b *bed) runs(drug state.Drug, neUgKgMin float64) {
	p := &b.tl.Present
	p.Agents = append(p.Agents, state.Agent{Drug: drug, Class: state.ClassVasopressor, State: state.AgentRunning, Rate: neUgKgMin,
		RateUnit: state.UnitUgKgMin, RateUgKgMin: neUgKgMin, NEUgKgMin: neUgKgMin})
	p.NEUgKgMin += neUgKgMin
	b.p.NENowUgKgMin, b.p.NENextUgKgMin = p.NEUgKgMin, p.NEUgKgMin
}

func (b *bed) propose(direction string, drug state.Drug, fromUgKgMin, toUgKgMin float64) {
	b.p.Direction, b.p.Drug, b.p.DrugNowUgKgMin, b.p.DrugNextUgKgMin = direction, drug, fromUgKgMin, toUgKgMin
	b.p.NENextUgKgMin = b.p.NENowUgKgMin + toUgKgMin - fromUgKgMin
}

func (b *bed) raise(from, to float64) {
	b.runs(state.DrugNorepinephrine, from)
	b.propose(DirectionIncrease, state.DrugNorepinephrine, from, to)
}

func (b *bed) check(key string) {
	b.tl.Present.Checks = append(b.tl.Present.Checks, state.Check{Key: key, Result: state.CheckPresent})
}

func (b *bed) goal(mmHg float64) {
	b.tl.Present.MAP.GoalMmHg, b.tl.Present.MAP.GoalOrdered = mmHg, true
}

func TestDesignSection5(t *testing.T) {
	p := shipped(t)
	for _, c := range []struct {
		line   string // of design.md section 5
		name   string
		set    func(b *bed)
		rule   string
		effect Effect // "" is silence
	}{
		{"5.1", "an unknown vasopressor exposure forbids a vasopressor change", func(b *bed) {
			b.tl.Present.VasoKnown = false
			b.propose(DirectionStart, state.DrugNorepinephrine, 0, 0.05)
		}, "L06", Block},
		{"5.1", "an unknown fluid exposure forbids a bolus", func(b *bed) { b.tl.Present.Fluids.Known, b.p.BolusMl = false, 250 }, "L07", Block},
		{"5.2", "a first step of 0.05 is allowed", func(b *bed) { b.raise(0.1, 0.15) }, "L02", ""},
		{"5.2", "a first step over 0.05 is not", func(b *bed) { b.raise(0.1, 0.16) }, "L02", Block},
		{"5.2", "a step down over 0.05 is not either", func(b *bed) {
			b.runs(state.DrugNorepinephrine, 0.3)
			b.propose(DirectionDecrease, state.DrugNorepinephrine, 0.3, 0.2)
		}, "L02", Block},
		{"5.2", "nothing is raised over the ceiling of 0.5", func(b *bed) { b.raise(0.49, 0.52) }, "L03", Block},
		{"5.2", "norepinephrine-equivalents of other drugs become no norepinephrine order", func(b *bed) {
			b.runs("phenylephrine", 0.1)
			b.propose(DirectionIncrease, "phenylephrine", 0.1, 0.12)
		}, "L12", Block},
		{"5.2", "when V4 fires the advice is vasopressin", func(b *bed) { b.runs(state.DrugNorepinephrine, 0.3); b.p = nil }, "V4", Info},
		{"5.2", "when V4 fires no norepinephrine increase is printed", func(b *bed) { b.raise(0.3, 0.32) }, "V4-NE", Block},
		{"5.2", "vasopressin itself may then be added", func(b *bed) {
			b.runs(state.DrugNorepinephrine, 0.3)
			b.p.Direction, b.p.Drug, b.p.VasopressinUMin, b.p.NENextUgKgMin = DirectionAdd, state.DrugVasopressin, 0.03, 0.4
		}, "V4-NE", ""},
		{"5.3", "a bolus is 250 mL at least", func(b *bed) { b.p.BolusMl = 200 }, "L04", Block},
		{"5.3", "a bolus is 500 mL at most", func(b *bed) { b.p.BolusMl = 750 }, "L04", Block},
		{"5.3", "heart failure: no volume number", func(b *bed) { b.check(state.CheckHeartFailure); b.p.BolusMl = 250 }, "L08", Block},
		{"5.3", "end-stage renal disease: no volume number", func(b *bed) { b.check(state.CheckESRD); b.p.BolusMl = 250 }, "L08", Block},
		{"5.3", "dialysis: no volume number", func(b *bed) { b.check(state.CheckDialysis); b.p.BolusMl = 250 }, "L08", Block},
		{"5.3", "cirrhosis: no volume number", func(b *bed) { b.check(state.CheckCirrhosis); b.p.BolusMl = 250 }, "L08", Block},
		{"5.3", "worsening P/F: no volume number", func(b *bed) { b.check(state.CheckWorseningPF); b.p.BolusMl = 250 }, "L08", Block},
		{"5.3", "worsening P/F is a sign of overload too", func(b *bed) { b.check(state.CheckWorseningPF); b.p.BolusMl = 250 }, "F11", Block},
		{"5.3", "what could not be checked does not forbid volume", func(b *bed) { b.p.BolusMl = 250 }, "L08", ""},
		{"5.4", "disagreeing sources: no dose", func(b *bed) {
			b.tl.Present.MAP.Disagree = true
			b.propose(DirectionStart, state.DrugNorepinephrine, 0, 0.05)
		}, "L10", Block},
		{"5.4", "a lone outlier: no dose", func(b *bed) { b.tl.Present.MAP.LoneOutlier, b.p.BolusMl = true, 250 }, "L10", Block},
		{"5.4", "the goal is the ordered one", func(b *bed) { b.goal(75); b.mapMmHg(70) }, "V1", Penalty},
		{"5.4", "else 65", func(b *bed) { b.mapMmHg(70) }, "V1", ""},
		{"5.4", "V8 is relative to the goal", func(b *bed) { b.mapMmHg(78); b.raise(0.1, 0.12) }, "V8", Penalty},
		{"5.4", "V8 is silent with a goal of 75", func(b *bed) { b.goal(75); b.mapMmHg(78); b.raise(0.1, 0.12) }, "V8", ""},
		{"5.4", "V9 warns", func(b *bed) { b.mapMmHg(100); b.runs(state.DrugNorepinephrine, 0.1); b.p = nil }, "V9", Warning},
		{"5.4", "V9 is relative to the goal", func(b *bed) { b.goal(75); b.mapMmHg(100); b.runs(state.DrugNorepinephrine, 0.1); b.p = nil }, "V9", ""},
		{"5.4", "V10 is relative to the goal", func(b *bed) {
			b.goal(75)
			b.mapMmHg(72)
			b.runs(state.DrugNorepinephrine, 0.1)
			b.weanable()
			b.p = nil
		}, "V10", ""},
		{"5.4", "V10 speaks where the goal is met", func(b *bed) { b.mapMmHg(72); b.runs(state.DrugNorepinephrine, 0.1); b.weanable(); b.p = nil }, "V10", Info},
		{"5.4", "a MAP of more than two hours ago suggests nothing", func(b *bed) { b.tl.Present.MAP.Newest.AgeMin = 150; b.p = nil }, "X1", Block},
		{"5.6", "out of support: nothing", func(b *bed) { b.fc = &world.Forecast{OOD: 0.995, Support: 0.3} }, "X2", Block},
		{"5.7", "V11 gives a no-dose warning", func(b *bed) { b.mapMmHg(50); b.p = nil }, "V11", Warning},
		{"5.7", "V11 speaks although exposure is unknown", func(b *bed) { b.mapMmHg(50); b.tl.Present.VasoKnown = false; b.p = nil }, "V11", Warning},
		{"5.7", "MAP below goal untreated gives a no-dose warning", func(b *bed) { b.p = nil }, "H-UNTREATED", Warning},
		{"5.8", "weights in conflict: no weight-based number", func(b *bed) {
			b.tl.Present.Weight.Conflict = "70 and 154"
			b.propose(DirectionStart, state.DrugNorepinephrine, 0, 0.05)
		}, "L09", Block},
		{"5.8", "weights in conflict: the 30 mL/kg cannot be assessed", func(b *bed) { b.tl.Present.Weight.Conflict = "70 and 154" }, "F1", NotAssessed},
	} {
		t.Run(c.line+" "+c.name, func(t *testing.T) {
			b := &bed{tl: known(), p: &Proposal{Direction: DirectionNone}}
			b.tl.Present.Sepsis.Since = b.tl.At.Add(-2 * time.Hour)
			c.set(b)
			got, err := p.Judge(b.tl, b.p, b.fc)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(got, func(v Verdict) bool { return v.ID == c.rule })
			switch {
			case c.effect == "" && i >= 0:
				t.Errorf("%s speaks: %+v", c.rule, got[i])
			case c.effect != "" && (i < 0 || got[i].Effect != c.effect):
				t.Errorf("%s is not a %s in %+v", c.rule, c.effect, got)
			}
		})
	}
}

// A pump that nobody has charted for hours may well run: the warning may say
// what is not charted, and not that nothing runs.
func TestAnUndocumentedVasopressorIsNotCalledAbsent(t *testing.T) {
	p := shipped(t)
	for _, mapMmHg := range []float64{50, 60} {
		b := &bed{tl: known(), p: &Proposal{Direction: DirectionNone}}
		b.mapMmHg(mapMmHg)
		b.tl.Present.VasoKnown = false
		b.tl.Present.Agents = []state.Agent{{Drug: state.DrugNorepinephrine, Class: state.ClassVasopressor, State: state.AgentUndocumented}}
		got, err := p.Judge(b.tl, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(got, func(v Verdict) bool { return v.ID == "V11" || v.ID == "H-UNTREATED" })
		if i < 0 || strings.Contains(got[i].Text, "running vasopressor") || !strings.Contains(got[i].Text, "current vasopressor rate") {
			t.Errorf("MAP %v with a norepinephrine rate of hours ago: %+v", mapMmHg, got)
		}
	}
}

// Whose rate nobody has charted for hours may run: it needs a pressure as much
// as one that is charted, and is not said to be charted.
func TestAStalePressureIsADangerOnAVasopressorThatMayRun(t *testing.T) {
	p := shipped(t)
	for _, c := range []struct{ state, want string }{
		{state.AgentRunning, "A vasopressor is charted as running but no MAP"},
		{state.AgentUnknownRate, "A vasopressor is charted as running but no MAP"},
		{state.AgentUndocumented, "A vasopressor may still run (its current rate is not charted, nor its end) but no MAP"},
		{state.AgentStopped, ""},
	} {
		b := &bed{tl: known(), p: &Proposal{Direction: DirectionNone}}
		b.mapMmHg(66)
		b.tl.Present.MAP.Newest.AgeMin = 150
		b.tl.Present.VasoKnown = c.state == state.AgentStopped
		b.tl.Present.Agents = []state.Agent{{Drug: state.DrugNorepinephrine, Class: state.ClassVasopressor, State: c.state, Rate: 0.1, RateUnit: state.UnitUgKgMin}}
		got, err := p.Judge(b.tl, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(got, func(v Verdict) bool { return v.ID == "H-STALE" })
		if (i >= 0) != (c.want != "") || i >= 0 && (!strings.HasPrefix(got[i].Text, c.want) || !got[i].Hazard) {
			t.Errorf("%s: %+v", c.state, got)
		}
	}
}

// Who is warned of a low pressure has to know of a vasodilator that runs, and is
// told of none that was stopped.
func TestADangerOfLowPressureNamesWhatLowersIt(t *testing.T) {
	p := shipped(t)
	for _, mapMmHg := range []float64{50, 63} {
		for status, want := range map[string]bool{state.AgentRunning: true, state.AgentUndocumented: true, state.AgentStopped: false} {
			b := &bed{tl: known(), p: &Proposal{Direction: DirectionNone}}
			b.mapMmHg(mapMmHg)
			b.tl.Present.Agents = []state.Agent{{Drug: "nitroglycerin", Class: state.ClassVasoactive, State: status, Rate: 25, RateUnit: state.UnitUgMin}}
			got, err := p.Judge(b.tl, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(got, func(v Verdict) bool { return v.Hazard })
			if i < 0 || strings.Contains(got[i].Text, "Charted too: nitroglycerin, which lowers the pressure.") != want {
				t.Errorf("MAP %v, nitroglycerin %s: %+v", mapMmHg, status, got)
			}
		}
	}
}

// A maintenance infusion is no vasopressor: the warning says which of the two
// the pressure is low on.
func TestSevereHypotensionOnFluidAloneIsNotCalledTreatedWithAVasopressor(t *testing.T) {
	p := shipped(t)
	for _, c := range []struct {
		ne   float64
		want string
	}{{0, "although fluid, and no vasopressor, is charted"}, {0.1, "although a vasopressor is charted"}} {
		b := &bed{tl: known(), p: &Proposal{Direction: DirectionNone}}
		b.mapMmHg(50)
		if c.ne > 0 {
			b.runs(state.DrugNorepinephrine, c.ne)
		}
		given := &b.tl.Steps[len(b.tl.Steps)-1].Given
		given.FluidKnown, given.MaintenanceMl = true, 500
		got, err := p.Judge(b.tl, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if i := slices.IndexFunc(got, func(v Verdict) bool { return v.ID == "V11-ON" }); i < 0 || !strings.Contains(got[i].Text, c.want) {
			t.Errorf("MAP 50 on norepinephrine %v with 125 mL/h of fluid: want %q in %+v", c.ne, c.want, got)
		}
	}
}

// weanable is a lactate of 1.4 and two steps at goal.
func (b *bed) weanable() {
	p := &b.tl.Present
	p.StepsAtGoal = 3
	p.MAP.LastHourMin = &state.Reading{Value: p.MAP.Newest.Value}
	p.Lactate = state.Trend{Now: &state.Reading{Value: 1.4, AgeMin: 60}, Before: &state.Reading{Value: 1.5, AgeMin: 300}}
}

func TestDesign54G1AndG2AreMetricsNeverVerdicts(t *testing.T) {
	for _, r := range shipped(t).Rules() {
		if r.ID == "G1" || r.ID == "G2" {
			t.Errorf("%s is a rule", r.ID)
		}
	}
}

func TestDesign54V9NeverBlocks(t *testing.T) {
	for _, r := range shipped(t).Rules() {
		if strings.HasPrefix(r.ID, "V9") && r.Effect == Block {
			t.Errorf("%s blocks", r.ID)
		}
	}
	if _, err := withSite(t, override("rule: V9, effect: information")); err != nil {
		t.Errorf("V9 is a warning that a site may soften: %v", err)
	}
}

func TestDesign57HazardsAreDosesOfNothing(t *testing.T) {
	n := 0
	for _, r := range shipped(t).Rules() {
		if !r.Hazard {
			continue
		}
		n++
		for _, unit := range []string{"ug/kg/min", "U/min", "bolus of"} {
			if strings.Contains(r.Text, unit) {
				t.Errorf("hazard %s speaks of %s", r.ID, unit)
			}
		}
	}
	if n < 4 {
		t.Errorf("%d hazards", n)
	}
}

// TestDesign59NoRuleOpposesAFirstVasopressorBelowGoal: whatever else is
// charted, a start of norepinephrine within the limits is not blocked while MAP
// is below goal, confirmed and current.
func TestDesign59NoRuleOpposesAFirstVasopressorBelowGoal(t *testing.T) {
	p := shipped(t)
	for mapMmHg := 30.0; mapMmHg < 65; mapMmHg += 5 {
		for _, with := range []func(b *bed){
			func(*bed) {}, func(b *bed) { b.check(state.CheckHeartFailure) }, func(b *bed) { b.check(state.CheckWorseningPF) },
			func(b *bed) { b.tl.Present.Fluids.Known = false }, func(b *bed) { b.weanable() }, func(b *bed) { b.p.BolusMl = 250 },
		} {
			b := &bed{tl: known(), p: &Proposal{Direction: DirectionNone}}
			b.mapMmHg(mapMmHg)
			b.propose(DirectionStart, state.DrugNorepinephrine, 0, 0.05)
			with(b)
			got, err := p.Judge(b.tl, b.p, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range got {
				aboutVolume := v.ID == "L07" || v.ID == "L08" || v.ID == "F11"
				if v.Effect == Block && !aboutVolume {
					t.Errorf("MAP %.0f: %s blocks a first vasopressor: %s", mapMmHg, v.ID, v.Text)
				}
			}
		}
	}
}

func TestDesign510NoRuleSaysWhatACardNever(t *testing.T) {
	rep, err := shipped(t).Test()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range rep.Findings {
		t.Error(f)
	}
}

// TestEveryRuleOfTheTable: reference sepsisagent.md section 6, by id.
func TestEveryRuleOfTheTable(t *testing.T) {
	have := map[string]Rule{}
	for _, r := range shipped(t).Rules() {
		have[r.ID] = r
	}
	for id, pack := range map[string]string{
		"F1": "ssc-2021", "F2": "ssc-2021", "F3": "ssc-2021", "F4": "ssc-2021", "F5": "ssc-2021", "F6": "ssc-2021", "F7": "ssc-2021", "F8": "ssc-2021",
		"F9": "local", "F10": "ssc-2026", "F11": "hazards", "V1": "ssc-2021", "V2": "ssc-2026", "V3": "ssc-2021", "V4": "ssc-2021", "V5": "ssc-2021",
		"V6": "ssc-2021", "V7": "ssc-2021", "V8": "local", "V9": "hazards", "V10": "local", "V11": "hazards", "S1": "ssc-2021", "S2": "ssc-2026",
		"B1": "ssc-2021", "B2": "ssc-2021", "B3": "ssc-2021", "M1": "ssc-2021", "X1": "hazards", "X2": "hazards",
	} {
		r, ok := have[id]
		if !ok || !strings.HasPrefix(r.Pack, pack+"@") {
			t.Errorf("%s is not in pack %s: %q", id, pack, r.Pack)
		}
	}
	for _, r := range have {
		if strings.HasPrefix(r.Pack, "ssc-2026@") && !strings.Contains(r.Source, "digests") {
			t.Errorf("%s does not say that it was read from digests: %s", r.ID, r.Source)
		}
	}
	if fmt.Sprint(have["F4"].Restated) == "[]" {
		t.Error("F4 does not carry its grade of 2026")
	}
}
