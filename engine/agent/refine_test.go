// SPDX-License-Identifier: Apache-2.0

package agent_test

// This file: that refining refines: the dose that is suggested is the smallest
// that is enough, and the rounds say how it was found.

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// needs is a model in which MAP reaches the goal from a bolus of ml on, and in
// which less vasopressor than step under the present rate brings nothing more.
type needs struct {
	effect
	ml, step float64
}

func (m needs) Forecast(ctx context.Context, tl *state.Timeline, plans []world.Plan, goal float64) ([]world.Forecast, error) {
	out, err := m.effect.Forecast(ctx, tl, plans, goal)
	now := tl.Present.NEUgKgMin
	maintenance := plans[0].Doses[len(plans[0].Doses)-1].FluidMl
	for i := range out {
		for k := range out[i].Steps {
			s := &out[i].Steps[k]
			b := &s.Band[state.MeanBP]
			at := goal - 6
			if m.ml > 0 && plans[i].Doses[0].FluidMl-maintenance >= m.ml-1e-6 {
				at = goal + 3
			}
			if m.step > 0 {
				at = goal + 30 - 400*math.Min(m.step, now-plans[i].Doses[k].NEUgKgMin)
			}
			*b = world.Band{Lo95: at - 4, Lo80: at - 2, Median: at, Hi80: at + 2, Hi95: at + 4}
			s.PMAPAtGoal = 0.1
			if at >= goal {
				s.PMAPAtGoal = 0.9
			}
		}
	}
	return out, err
}

func TestRefiningFindsTheSmallestBolusThatIsEnough(t *testing.T) {
	for _, c := range []struct {
		name    string
		needMl  float64
		want    float64
		refined bool
	}{
		{"250 mL is enough: nothing smaller is a bolus", 200, 250, false},
		{"300 mL is enough and lies between", 300, 300, true},
		{"400 mL is enough and lies between", 400, 400, true},
		{"only 500 mL is enough", 480, 500, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			tl := untreated(t, 63)
			d := decide(t, needs{effect: effective(), ml: c.needMl}, tl)
			if d.Status != agent.Suggest || d.Advice.Fluid == nil || d.Advice.Fluid.BolusMl != c.want {
				t.Fatalf("%s %v %+v; want %.0f mL; rounds %+v", d.Status, d.Reasons, d.Advice.Fluid, c.want, d.Rounds)
			}
			o := d.Options[slices.IndexFunc(d.Options, func(o agent.Option) bool { return o.Role == agent.RoleSuggested })]
			if (o.Source == agent.SourceRefined) != c.refined {
				t.Errorf("%s is of source %q", o.Proposal.Name, o.Source)
			}
			if last := d.Rounds[len(d.Rounds)-1]; last.Best != o.Proposal.Name {
				t.Errorf("the last round ends with %q, the decision with %q", last.Best, o.Proposal.Name)
			}
			if c.want > 250 && !strings.Contains(strings.Join(d.Explanation, "\n"), "Smaller doses were simulated too") {
				t.Errorf("the explanation does not say what was tried: %q", d.Explanation)
			}
		})
	}
}

func TestRefiningFindsTheSmallestStepDownThatIsEnough(t *testing.T) {
	tl := timeline(t, physiology.Improving)
	runningNE(0.3)(tl)
	setMAP(tl, 96)
	tl.Present.MAP.LastHourMin.Value = 72 // not well above goal for the hour: there the full step is due
	d := decide(t, needs{effect: effective(), step: 0.03}, tl)
	v := d.Advice.Vasopressor
	if v == nil || math.Abs(v.FirstStepUgKgMin+0.03) > 1e-6 {
		t.Fatalf("%s %+v, want 0.03 less, between 0.02 and 0.05; rounds %+v", d.Status, v, d.Rounds)
	}
}

func TestWellAboveGoalTheFullStepDownIsDue(t *testing.T) {
	for _, c := range []struct {
		name               string
		mapMmHg, lowestMin float64
		rate, want         float64
	}{
		{"well above goal for the hour", 90, 84, 0.3, -0.05},
		{"a dip within the hour", 90, 72, 0.3, -0.02},
		{"a step that would leave next to nothing", 90, 84, 0.05, -0.02},
	} {
		t.Run(c.name, func(t *testing.T) {
			tl := timeline(t, physiology.Improving)
			runningNE(c.rate)(tl)
			setMAP(tl, c.mapMmHg)
			lowest := *tl.Present.MAP.Newest
			lowest.Value = c.lowestMin
			tl.Present.MAP.LastHourMin = &lowest
			d := decide(t, effective(), tl)
			if v := d.Advice.Vasopressor; v == nil || v.FirstStepUgKgMin < -0.05-1e-9 || math.Abs(v.FirstStepUgKgMin-c.want) > 0.011 {
				t.Errorf("%s %+v, want about %.2f", d.Status, v, c.want)
			}
		})
	}
}

func TestWithoutRefiningTheFirstProposalsStand(t *testing.T) {
	pack, err := rules()
	if err != nil {
		t.Fatal(err)
	}
	cfg := agent.DefaultConfig()
	cfg.RefineRounds = 0
	n, err := agent.New(needs{effect: effective(), ml: 300}, pack, cfg)
	if err != nil {
		t.Fatal(err)
	}
	d, err := n.Decide(context.Background(), untreated(t, 63), 0)
	if err != nil || len(d.Rounds) != 1 || d.Advice.Fluid == nil || d.Advice.Fluid.BolusMl != 500 {
		t.Errorf("%v: %d rounds, %+v", err, len(d.Rounds), d.Advice.Fluid)
	}
}

// TestEveryRoundIsBoundedAndEndsInTheDecision: whatever the model says, rounds
// are few, current treatment is asked about first, and every option was asked
// for in one of them.
func TestEveryRoundIsBoundedAndEndsInTheDecision(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tl := drawTimeline(rt, t)
		n, err := agent.New(wild{drawModel(rt), rapid.Float64Range(0, 50).Draw(rt, "seed")}, mustRules(t), agent.DefaultConfig())
		if err != nil {
			rt.Fatal(err)
		}
		d, err := n.Decide(context.Background(), tl, 0)
		if err != nil {
			rt.Fatal(err)
		}
		if len(d.Options) == 0 {
			if len(d.Rounds) != 0 {
				rt.Fatalf("%d rounds without an option", len(d.Rounds))
			}
			return
		}
		if len(d.Rounds) < 1 || len(d.Rounds) > 4 || d.Rounds[0].Asked[0] != "current treatment" || d.Options[0].Source != agent.SourceCurrent {
			rt.Fatalf("rounds %+v", d.Rounds)
		}
		asked := 0
		for i, r := range d.Rounds {
			asked += len(r.Asked)
			if i > 0 && (len(r.Asked) != 1 || r.Why == "") {
				rt.Fatalf("round %+v", r)
			}
		}
		if asked != len(d.Options) {
			rt.Fatalf("%d asked, %d options", asked, len(d.Options))
		}
		for _, o := range d.Options {
			if o.Role == agent.RoleSuggested && d.Rounds[len(d.Rounds)-1].Best != o.Proposal.Name {
				rt.Fatalf("%s is suggested, the rounds end with %s", o.Proposal.Name, d.Rounds[len(d.Rounds)-1].Best)
			}
		}
	})
}
