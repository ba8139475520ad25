// SPDX-License-Identifier: Apache-2.0

package learn

// This file: that what policies prescribe is counted in the same states for
// all, and that the rule-based policy follows the rules it is given.

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

func TestPoliciesAreCountedInTheSameStates(t *testing.T) {
	low := compare(state.Levels{Vasopressor: 1}, state.Levels{Fluid: 1}, 0, 0.05, 0) // MAP 60
	low.MAPMmHg, low.StepMAPMmHg = 50, 50
	low.Others = [][]float64{evenly()}
	silent := compare(state.Levels{}, state.Levels{Vasopressor: 4}, 0.5, 0.5, 0.5)
	silent.Status, silent.MAPMmHg, silent.StepMAPMmHg = agent.Abstain, 100, 100
	silent.Others = [][]float64{nil}
	dark := low
	dark.Given.VasoKnown = false
	names := append(append([]string{}, standingPolicies...), "even")
	got := points(low, silent, dark).prescribing(names, len(standingPolicies))
	for name, p := range got {
		if p.Adherence.Of != 2 || p.Under.Of != 2 || p.UnderAtRisk.Of != 1 || p.OverAtRisk.Of != 1 {
			t.Errorf("%s is counted of %d, %d, %d and %d", name, p.Adherence.Of, p.Under.Of, p.UnderAtRisk.Of, p.OverAtRisk.Of)
		}
	}
	for _, tc := range []struct {
		policy           string
		under, over, own float64
	}{
		{PolicyClinician, 1, 1, 2}, // a trickle at 50 mmHg, the most at 100
		{PolicyNoAction, 1, 0, 2},
		{PolicyRandom, 2. / 25, 1. / 5, 2}, // one level of five is the most, and two pairs of 25 are none
		{PolicyOurs, 0, 1, 1},              // treats the first, and leaves the second to clinicians
		{"even", 2. / 25, 1, 1},
	} {
		p := got[tc.policy]
		for _, n := range [][2]float64{{float64(p.Under.Count), tc.under}, {float64(p.UnderAtRisk.Count), tc.under}, {float64(p.Over.Count), tc.over}, {float64(p.Own.Count), tc.own}} {
			if math.Abs(n[0]-n[1]) > 1e-9 {
				t.Errorf("%s: under %v over %v own %v, want %v, %v and %v", tc.policy, p.Under.Count, p.Over.Count, p.Own.Count, tc.under, tc.over, tc.own)
				break
			}
		}
	}
}

func TestHazardsOnLevelsAreThoseOnDoses(t *testing.T) {
	cfg := state.DefaultConfig()
	rapid.Check(t, func(rt *rapid.T) {
		d := Treatment{VasoKnown: true, FluidKnown: true,
			NEUgKgMin: rapid.SampledFrom([]float64{0, 0.01, 0.1, 0.3, 0.44, 0.66, 2}).Draw(rt, "ne"), FluidMl: rapid.SampledFrom([]float64{0, 20, 50, 90, 400, 970, 3000}).Draw(rt, "ml")}
		d.Levels = cfg.LevelsOf(d.NEUgKgMin, d.FluidMl)
		for _, h := range FestorHazards() {
			in, _ := h.In(&d)
			onLevels := h.Levels(d.Levels)
			// The highest levels begin below the published bounds; fluid level 2
			// begins below that of hazard A.
			if in && !onLevels && !(h.ID == "A" && d.FluidMl > 50) {
				rt.Fatalf("%s: %v ug/kg/min and %v mL are the hazard, and not on levels", h.ID, d.NEUgKgMin, d.FluidMl)
			}
		}
	})
}

// strict is a rule book of its own: it blocks boluses and charges for not
// raising the vasopressor.
type strict struct{ blockAll bool }

func (strict) Hash() string { return "strict" }
func (s strict) Judge(_ *state.Timeline, p *policy.Proposal, _ *world.Forecast) (out []policy.Verdict, err error) {
	if p.BolusMl > 0 || s.blockAll {
		out = append(out, policy.Verdict{ID: "B", Pack: "p", Effect: policy.Block})
	}
	if p.LevelsNext.Vasopressor <= p.LevelsNow.Vasopressor {
		out = append(out, policy.Verdict{ID: "P", Pack: "p", Effect: policy.Penalty, Penalty: 0.3})
	}
	return append(out, policy.Verdict{ID: "L", Pack: limitsPack, Effect: policy.Block}), nil
}

func TestTheRuleBasedPolicyTakesWhatRulesChargeLeastFor(t *testing.T) {
	cfg, asked := state.DefaultConfig(), 0
	rows := simulatedRows(t)
	for i := range rows {
		tl, err := rows[i].Timeline()
		if err != nil {
			t.Fatal(err)
		}
		p, ok, err := RuleCandidate(cfg, strict{}).Probabilities(tl)
		if err != nil {
			t.Fatal(err)
		}
		if known := tl.Present.VasoKnown && tl.Last().Given.FluidKnown; ok != known {
			t.Fatalf("step %d: a prescription %v, treatment known %v", i, ok, known)
		}
		if !ok {
			continue
		}
		asked++
		now := agent.LevelsNow(cfg, tl)
		if want := min(now.Vasopressor+1, 4); p[want][now.Fluid] != 1 {
			t.Fatalf("step %d: from %v it does %v, want vasopressor level %d and the same fluid", i, now, p, want)
		}
		if _, ok, err = RuleCandidate(cfg, strict{blockAll: true}).Probabilities(tl); ok || err != nil {
			t.Fatalf("step %d: with everything blocked it prescribes (%v)", i, err)
		}
	}
	if asked == 0 {
		t.Fatal("nothing was asked")
	}
}
