// SPDX-License-Identifier: Apache-2.0

package agent_test

// This file: what holds for every timeline, drawn at random around the
// demonstration's patients.

import (
	"context"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

var scenarios = []physiology.Scenario{
	physiology.EarlySepsis, physiology.SepticShock, physiology.RefractoryShock, physiology.Improving, physiology.FluidOverload,
}

// drawTimeline varies a demonstration patient in what the agent reads.
func drawTimeline(t *rapid.T, tb testing.TB) *state.Timeline {
	tl := timeline(tb, rapid.SampledFrom(scenarios).Draw(t, "patient"))
	p := &tl.Present
	setMAP(tl, rapid.Float64Range(35, 120).Draw(t, "map"))
	p.MAP.LastHourMin.Value = math.Min(p.MAP.Newest.Value, rapid.Float64Range(35, 120).Draw(t, "low"))
	p.MAP.Newest.AgeMin = rapid.SampledFrom([]float64{1, 30, 119, 125}).Draw(t, "age")
	p.MAP.GoalMmHg = rapid.SampledFrom([]float64{60, 65, 65, 75, 80}).Draw(t, "goal")
	p.StepsAtGoal = rapid.IntRange(0, 6).Draw(t, "steps")
	p.Fluids.Known = rapid.IntRange(0, 9).Draw(t, "fluids") > 0
	p.Lactate.Rising = rapid.IntRange(0, 4).Draw(t, "rising") == 0
	if l := p.Lactate.Now; l != nil {
		v := *l
		v.Value, v.AgeMin = rapid.Float64Range(0.5, 12).Draw(t, "lactate"), rapid.Float64Range(5, 900).Draw(t, "lactate age")
		p.Lactate.Now = &v
	}
	if rapid.Bool().Draw(t, "conflict") {
		p.Weight.Conflict = "in conflict"
	}
	drawAgents(t, tl)
	for _, key := range policy.FluidCautions() {
		if rapid.IntRange(0, 9).Draw(t, key) == 0 {
			setCheck(tl, key, state.CheckPresent)
		}
	}
	return tl
}

func drawAgents(t *rapid.T, tl *state.Timeline) {
	p := &tl.Present
	p.Agents, p.NEUgKgMin, p.VasoKnown = nil, 0, true
	add := func(a state.Agent) {
		a.Class, a.State, a.ChartedAt = state.ClassVasopressor, state.AgentRunning, tl.At
		p.Agents = append(p.Agents, a)
		p.NEUgKgMin += a.NEUgKgMin
	}
	if rapid.Bool().Draw(t, "norepinephrine") {
		r := rapid.Float64Range(0.004, 0.9).Draw(t, "rate")
		unit := rapid.SampledFrom([]string{state.UnitUgKgMin, state.UnitUgMin}).Draw(t, "unit")
		add(state.Agent{Drug: state.DrugNorepinephrine, Rate: r, RateUnit: unit, RateUgKgMin: r, NEUgKgMin: r})
	}
	if rapid.Bool().Draw(t, "vasopressin") {
		u := rapid.Float64Range(0.005, 0.06).Draw(t, "units")
		add(state.Agent{Drug: state.DrugVasopressin, Rate: u, RateUnit: state.UnitUMin, NEUgKgMin: 2.5 * u})
	}
	if rapid.IntRange(0, 3).Draw(t, "other") == 0 {
		add(state.Agent{Drug: state.DrugPhenylephrine, Rate: 1, RateUnit: state.UnitUgKgMin, RateUgKgMin: 1, NEUgKgMin: 0.1})
	}
	if rapid.IntRange(0, 9).Draw(t, "unknown") == 0 {
		p.VasoKnown = false
	}
}

func drawModel(t *rapid.T) effect {
	return effect{
		mmHgPerNE: rapid.Float64Range(-3, 20).Draw(t, "ne effect"), mmHgPerBolus: rapid.Float64Range(-6, 10).Draw(t, "bolus effect"),
		support: rapid.SampledFrom([]float64{0.3, 0.05, 0.012, 0.005}).Draw(t, "support"), ood: rapid.SampledFrom([]float64{0.1, 0.6, 0.98, 0.995}).Draw(t, "ood"),
	}
}

func TestEveryDecisionKeepsTheBoundsOfTheDesign(t *testing.T) {
	pack, err := rules()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		tl, m := drawTimeline(rt, t), drawModel(rt)
		n, err := agent.New(m, pack, agent.DefaultConfig())
		if err != nil {
			rt.Fatal(err)
		}
		d, err := n.Decide(context.Background(), tl, 0)
		if err != nil {
			rt.Fatal(err)
		}
		p := tl.Present
		below := p.MAP.Newest.Value < p.MAP.GoalMmHg
		switch d.Status {
		case agent.Affirm:
			if below || p.Lactate.Rising || p.Lactate.Now == nil || p.Lactate.Now.AgeMin > 480 {
				rt.Fatalf("affirmed with MAP %.0f, goal %.0f, lactate %+v (design.md 5.7)", p.MAP.Newest.Value, p.MAP.GoalMmHg, p.Lactate)
			}
		case agent.Abstain, agent.NotApplicable:
			if len(d.Reasons) == 0 {
				rt.Fatal("no reason")
			}
		}
		if d.Status != agent.Suggest && (d.Advice.Vasopressor != nil || d.Advice.Fluid != nil) {
			rt.Fatalf("%s with a dose", d.Status)
		}
		if below && p.MAP.Newest.Value < 55 && d.Status != agent.NotApplicable && len(d.Hazards) == 0 {
			rt.Fatal("severe hypotension without a hazard")
		}
		if v := d.Advice.Vasopressor; v != nil {
			if math.Abs(v.FirstStepUgKgMin) > 0.05+1e-6 {
				rt.Fatalf("first step %g", v.FirstStepUgKgMin)
			}
			if (v.FirstStepUgKgMin > 0 || v.Direction == agent.AdviceAddVasopressin) && (!below || v.ToUgKgMin > 0.5) {
				rt.Fatalf("raised to %g with MAP %.0f at goal %.0f", v.ToUgKgMin, p.MAP.Newest.Value, p.MAP.GoalMmHg)
			}
			if v.FirstStepUgKgMin < 0 && p.MAP.LastHourMin.Value < p.MAP.GoalMmHg {
				rt.Fatal("weaned although MAP dipped below goal in the last hour")
			}
			if !p.VasoKnown {
				rt.Fatal("a vasopressor change without a known exposure")
			}
		}
		if f := d.Advice.Fluid; f != nil && (policy.FluidCaution(tl) != "" || f.BolusMl < 250 || f.BolusMl > 500 || !p.Fluids.Known) {
			rt.Fatalf("bolus %+v with caution %q", f, policy.FluidCaution(tl))
		}
		for _, o := range d.Options {
			rescue := p.MAP.Newest.Value < 55 && o.Proposal.Raises()
			smallest := math.Abs(o.Proposal.NENextUgKgMin-o.Proposal.NENowUgKgMin) < 0.021
			excepted := o.Proposal.BolusMl == 0 && (rescue || smallest) // rule X2
			if o.Role == agent.RoleSuggested && (o.Blocked || o.Forecast.Support < 0.01 && !excepted) {
				rt.Fatalf("%s was blocked or unsupported", o.Proposal.Name)
			}
		}
	})
}

// TestRaisingMAPNeverRaisesTheSuggestedVasopressor: for the same forecasts, a
// higher newest MAP gives the same or a lower vasopressor after the first step.
func TestRaisingMAPNeverRaisesTheSuggestedVasopressor(t *testing.T) {
	pack, err := rules()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		tl, m := drawTimeline(rt, t), drawModel(rt)
		n, err := agent.New(m, pack, agent.DefaultConfig())
		if err != nil {
			rt.Fatal(err)
		}
		a := suggestedNE(rt, n, tl)
		higher := tl.Present.MAP.Newest.Value + rapid.Float64Range(0, 60).Draw(rt, "more")
		low := *tl.Present.MAP.LastHourMin
		setMAP(tl, higher)
		low.Value = math.Max(low.Value, math.Min(higher, low.Value+rapid.Float64Range(0, 60).Draw(rt, "more low")))
		tl.Present.MAP.LastHourMin = &low
		if b := suggestedNE(rt, n, tl); b > a+1e-9 {
			rt.Fatalf("suggested %g at the lower MAP and %g at the higher", a, b)
		}
	})
}

// wild is a model whose forecast depends on MAP without any sense.
type wild struct {
	effect
	seed float64
}

func (w wild) Forecast(ctx context.Context, tl *state.Timeline, plans []world.Plan, goal float64) ([]world.Forecast, error) {
	out, err := w.effect.Forecast(ctx, tl, plans, goal)
	for i := range out {
		for k := range out[i].Steps {
			s := &out[i].Steps[k]
			shift(&s.Band[state.MeanBP], 25*math.Sin(w.seed+tl.Present.MAP.Newest.Value+float64(7*i)), state.MeanBP)
			s.PMAPAtGoal = 0.5 + 0.5*math.Sin(w.seed*tl.Present.MAP.Newest.Value+float64(i))
		}
	}
	return out, err
}

// TestNoForecastMakesAHigherMAPRaiseTheVasopressor: below goal the suggested
// vasopressor falls with MAP whatever is forecast, and at goal it is never
// above the running one.
func TestNoForecastMakesAHigherMAPRaiseTheVasopressor(t *testing.T) {
	pack, err := rules()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		tl := drawTimeline(rt, t)
		n, err := agent.New(wild{drawModel(rt), rapid.Float64Range(0, 50).Draw(rt, "seed")}, pack, agent.DefaultConfig())
		if err != nil {
			rt.Fatal(err)
		}
		goal, last := tl.Present.MAP.GoalMmHg, math.Inf(1)
		for mmHg := goal - 25; mmHg < goal+20; mmHg++ {
			setMAP(tl, mmHg)
			d, err := n.Decide(context.Background(), tl, 0)
			if err != nil {
				rt.Fatal(err)
			}
			if d.Status != agent.Suggest && d.Status != agent.Affirm {
				continue // nothing is suggested
			}
			ne := tl.Present.NEUgKgMin
			for _, o := range d.Options {
				if o.Role == agent.RoleSuggested {
					ne = o.Proposal.NENextUgKgMin
				}
			}
			if ne > last+1e-9 {
				rt.Fatalf("MAP %.0f: %g, after less at a lower MAP", mmHg, ne)
			}
			if mmHg < goal {
				last = ne
			} else {
				last = math.Min(last, tl.Present.NEUgKgMin)
			}
		}
	})
}

func suggestedNE(rt *rapid.T, n *agent.Native, tl *state.Timeline) float64 {
	d, err := n.Decide(context.Background(), tl, 0)
	if err != nil {
		rt.Fatal(err)
	}
	for _, o := range d.Options {
		if o.Role == agent.RoleSuggested {
			return o.Proposal.NENextUgKgMin
		}
	}
	return tl.Present.NEUgKgMin
}
