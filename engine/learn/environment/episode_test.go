// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"context"
	"sync"
	"testing"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/agent/llm"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

// shipped is the environment of the shipped model, rules and prompts, on
// synthetic patients.
var shipped = sync.OnceValues(func() (*Environment, error) { return shippedWith(DefaultConfig(), nil) })

func shippedWith(cfg Config, starts Starts) (*Environment, error) {
	model, err := world.Load(configs.FS, "model")
	if err != nil {
		return nil, err
	}
	rules, err := policy.Load(configs.FS)
	if err != nil {
		return nil, err
	}
	native, err := agent.New(model, rules, agent.DefaultConfig())
	if err != nil {
		return nil, err
	}
	prompts, err := llm.LoadPrompts(configs.FS)
	if err != nil {
		return nil, err
	}
	if starts == nil {
		starts = NewSynthetic(state.DefaultConfig())
	}
	return New(cfg, Deps{
		State: state.DefaultConfig(), Dynamics: []world.Forecaster{model}, Lens: model, Death: model.DeathInHospital,
		Judge: rules, Native: native, Prompts: prompts, Starts: starts,
	})
}

func unit(t testing.TB) *Environment {
	t.Helper()
	v, err := shipped()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSmoke(t *testing.T) {
	v := unit(t)
	ctx := context.Background()
	for seed := range uint64(6) {
		e, err := v.Reset(ctx, seed, "")
		if err != nil {
			t.Fatal(err)
		}
		for {
			l := agent.LevelsNow(v.deps.State, e.tl)
			m := e.tl.Last()
			t.Logf("seed %d step %d h %.0f MAP %.0f lac %.1f ne %.2f fl %.0f sofa %d death %.2f levels %v vent %v sepsis %v", seed, e.step, e.tl.HoursInICU, m.Value[state.MeanBP], m.Value[state.Lactate], m.Given.NEMaxUgKgMin, m.Given.FluidModelMl, m.SOFA.Total, e.death, l, m.Vent, e.tl.Present.Sepsis.Met)
			menu, err := e.Menu(ctx)
			if err != nil {
				t.Fatal(err)
			}
			best := -1
			n := 0
			for i, o := range menu {
				if !o.Blocked {
					n++
					if best < 0 || o.Value > menu[best].Value {
						best = i
					}
				}
			}
			r, err := e.Prescribe(ctx, menu[best].Levels)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("   open %d gave %v %v %+v %s", n, menu[best].Levels, r.Given, r.Reward, r.End)
			if r.End != "" {
				break
			}
		}
	}
}

func BenchmarkStep(b *testing.B) {
	v := unit(b)
	ctx := context.Background()
	e, err := v.Reset(ctx, 1, "")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		c := e.Clone()
		if _, err := c.Keep(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMenu(b *testing.B) {
	v := unit(b)
	ctx := context.Background()
	e, err := v.Reset(ctx, 1, "")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		c := e.Clone()
		c.options = [Pairs]*Option{}
		if _, err := c.Menu(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
