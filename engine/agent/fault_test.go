// SPDX-License-Identifier: Apache-2.0

package agent_test

// This file: faults. Whatever breaks (model, rules, deadline, configuration,
// timeline), the answer is an error, never a dose.

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

func TestABrokenForecastIsAnErrorAndNeverADose(t *testing.T) {
	for _, c := range []struct {
		name  string
		model func(m *effect)
	}{
		{"the model fails", func(m *effect) { m.err = errors.New("weights gone") }},
		{"a NaN median", func(m *effect) {
			m.broken = func(f *world.Forecast) { f.Steps[0].Band[state.MeanBP].Median = math.NaN() }
		}},
		{"an infinite bound", func(m *effect) {
			m.broken = func(f *world.Forecast) { f.Steps[2].Band[state.Lactate].Hi95 = math.Inf(1) }
		}},
		{"a negative creatinine", func(m *effect) { m.broken = func(f *world.Forecast) { f.Steps[0].Band[state.Creatinine].Lo95 = -1 } }},
		{"an interval upside down", func(m *effect) {
			m.broken = func(f *world.Forecast) {
				b := &f.Steps[1].Band[state.SpO2]
				b.Lo80, b.Hi80 = b.Hi80+1, b.Lo80
			}
		}},
		{"a chance above one", func(m *effect) { m.broken = func(f *world.Forecast) { f.Steps[0].PMAPAtGoal = 1.2 } }},
		{"a support that is no probability", func(m *effect) { m.support = math.NaN() }},
		{"a missing step", func(m *effect) { m.broken = func(f *world.Forecast) { f.Steps = f.Steps[:2] } }},
		{"no steps at all", func(m *effect) { m.broken = func(f *world.Forecast) { f.Steps = nil } }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := effective()
			c.model(&m)
			d, err := native(t, m).Decide(context.Background(), timeline(t, physiology.SepticShock), 0)
			if !errors.Is(err, agent.ErrDecide) || !errors.Is(err, agent.ErrForecast) {
				t.Fatalf("error %v, want ErrDecide and ErrForecast", err)
			}
			if d.Status != "" || d.Advice.Vasopressor != nil || d.Advice.Fluid != nil {
				t.Errorf("a decision beside the error: %+v", d)
			}
		})
	}
}

type shortModel struct{ effect }

func (m shortModel) Forecast(ctx context.Context, tl *state.Timeline, plans []world.Plan, goal float64) ([]world.Forecast, error) {
	out, err := m.effect.Forecast(ctx, tl, plans, goal)
	return out[:len(out)-1], err
}

type lostModel struct{ effect }

func (lostModel) Behaviour(*state.Timeline) (b [5][5]float64, err error) {
	b[0][0] = 0.5
	return b, nil
}

func TestAModelThatAnswersLessThanItWasAskedIsAnError(t *testing.T) {
	for _, m := range []world.Forecaster{shortModel{effective()}, lostModel{effective()}} {
		if _, err := native(t, m).Decide(context.Background(), timeline(t, physiology.SepticShock), 0); !errors.Is(err, agent.ErrForecast) {
			t.Errorf("%T: error %v", m, err)
		}
	}
}

// brokenJudge fails from its n-th judging on.
type brokenJudge struct {
	rules policy.Judge
	left  *int
}

func (j brokenJudge) Hash() string { return j.rules.Hash() }

func (j brokenJudge) Judge(tl *state.Timeline, p *policy.Proposal, fc *world.Forecast) ([]policy.Verdict, error) {
	if *j.left--; *j.left < 0 {
		return nil, policy.ErrJudge
	}
	return j.rules.Judge(tl, p, fc)
}

func TestAFailingRuleIsAnErrorWheneverItFails(t *testing.T) {
	pack, err := rules()
	if err != nil {
		t.Fatal(err)
	}
	for n := range 12 {
		left := n
		a, err := agent.New(effective(), brokenJudge{pack, &left}, agent.DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Decide(context.Background(), timeline(t, physiology.SepticShock), 0); !errors.Is(err, policy.ErrJudge) {
			t.Errorf("failing after %d judgings: error %v", n, err)
		}
	}
}

func TestAnEndedContextIsAnError(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := native(t, effective()).Decide(ctx, timeline(t, physiology.SepticShock), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestAnUnsoundTimelineIsAnError(t *testing.T) {
	for name, tl := range map[string]*state.Timeline{
		"none":  nil,
		"empty": {},
		"goal not a number": func() *state.Timeline {
			x := timeline(t, physiology.SepticShock)
			x.Present.MAP.GoalMmHg = math.NaN()
			return x
		}(),
		"MAP not a number": func() *state.Timeline { x := timeline(t, physiology.SepticShock); setMAP(x, math.NaN()); return x }(),
		"dose not a number": func() *state.Timeline {
			x := timeline(t, physiology.SepticShock)
			x.Present.NEUgKgMin = math.NaN()
			return x
		}(),
	} {
		if _, err := native(t, effective()).Decide(context.Background(), tl, 0); !errors.Is(err, agent.ErrDecide) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestConfigurationCannotPassTheHardLimits(t *testing.T) {
	for name, change := range map[string]func(c *agent.Config){
		"a first step of 0.06":      func(c *agent.Config) { c.FullStepUgKgMin = 0.06 },
		"a start at 0.1":            func(c *agent.Config) { c.StartUgKgMin = 0.1 },
		"a ceiling of 0.6":          func(c *agent.Config) { c.CeilingUgKgMin = 0.6 },
		"vasopressin at 0.04":       func(c *agent.Config) { c.VasopressinUMin = 0.04 },
		"a bolus of a litre":        func(c *agent.Config) { c.BolusesMl = []float64{250, 1000} },
		"a bolus of 100 mL":         func(c *agent.Config) { c.BolusesMl = []float64{100} },
		"no bolus sizes":            func(c *agent.Config) { c.BolusesMl = nil },
		"a MAP believed for 3 h":    func(c *agent.Config) { c.StaleMAPMin = 180 },
		"a weight that is not one":  func(c *agent.Config) { c.Weights.Pressure = math.NaN() },
		"a horizon of seven steps":  func(c *agent.Config) { c.HorizonSteps = 7 },
		"a negative small step":     func(c *agent.Config) { c.SmallStepUgKgMin = -0.02 },
		"a chart reading not valid": func(c *agent.Config) { c.State.MAPGoalMmHg = 500 },
	} {
		cfg := agent.DefaultConfig()
		change(&cfg)
		if err := cfg.Validate(); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if err := agent.DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	if _, err := agent.New(nil, nil, agent.DefaultConfig()); !errors.Is(err, agent.ErrConfig) {
		t.Errorf("no model: %v", err)
	}
}

func BenchmarkDecide(b *testing.B) {
	n, tl := native(b, effective()), timeline(b, physiology.SepticShock)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.Decide(context.Background(), tl, 0); err != nil {
			b.Fatal(err)
		}
	}
}
