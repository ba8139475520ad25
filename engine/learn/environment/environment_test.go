// SPDX-License-Identifier: Apache-2.0

package environment

import (
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
	dynamics := make([]world.Forecaster, model.Info().Members)
	for k := range dynamics {
		if dynamics[k], err = model.Only(k); err != nil {
			return nil, err
		}
	}
	return New(cfg, Deps{
		State: state.DefaultConfig(), Dynamics: dynamics, Lens: model, Death: model.DeathInHospital,
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

func begin(t testing.TB, seed uint64, task string) *Episode {
	t.Helper()
	e, err := unit(t).Reset(t.Context(), seed, task)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func canonical(t testing.TB, tl *state.Timeline) string {
	t.Helper()
	var enc state.Encoder
	b, err := enc.Canonical(tl)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// pairs are some pairs of levels, tried in turn until one is not blocked.
var pairs = []state.Levels{{Vasopressor: 2, Fluid: 2}, {Vasopressor: 1, Fluid: 1}, {Vasopressor: 0, Fluid: 3}, {Vasopressor: 3, Fluid: 1}, {}}

// prescribeSome gives the first of the pairs from k on that rules allow, or else
// whatever they do.
func prescribeSome(t testing.TB, e *Episode, k int) Result {
	t.Helper()
	menu, err := e.Menu(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range pairs {
		l := pairs[(k+i)%len(pairs)]
		if !menu[5*l.Vasopressor+l.Fluid].Blocked {
			return prescribe(t, e, l)
		}
	}
	for _, o := range menu {
		if !o.Blocked {
			return prescribe(t, e, o.Levels)
		}
	}
	t.Fatal("everything is blocked")
	return Result{}
}

func prescribe(t testing.TB, e *Episode, l state.Levels) Result {
	t.Helper()
	r, err := e.Prescribe(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestConfigurationOutOfBoundsIsRefused(t *testing.T) {
	good := unit(t).deps
	for name, change := range map[string]func(*Config, *Deps){
		"no steps":         func(c *Config, _ *Deps) { c.Steps = 0 },
		"too long a look":  func(c *Config, _ *Deps) { c.Horizon = world.Horizon + 1 },
		"no messages":      func(c *Config, _ *Deps) { c.Messages = 0 },
		"no patience":      func(c *Config, _ *Deps) { c.Useless = 0 },
		"no dynamics":      func(_ *Config, d *Deps) { d.Dynamics = nil },
		"no rules":         func(_ *Config, d *Deps) { d.Judge = nil },
		"no patients":      func(_ *Config, d *Deps) { d.Starts = nil },
		"levels unordered": func(_ *Config, d *Deps) { d.State.FluidCuts = [3]float64{3, 2, 1} },
	} {
		cfg, deps := DefaultConfig(), good
		change(&cfg, &deps)
		if _, err := New(cfg, deps); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
