// SPDX-License-Identifier: Apache-2.0

package agent_test

// This file: what the tests decide on: the simulated patients of the
// demonstration, and a model with a known effect of treatment on MAP.

import (
	"context"
	"math"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var demo = sync.OnceValues(func() (map[physiology.Scenario]*state.Chart, error) {
	return physiology.DemoCharts(now)
})

// timeline builds a demonstration patient's timeline afresh, so that a test may
// change it.
func timeline(t testing.TB, s physiology.Scenario) *state.Timeline {
	t.Helper()
	charts, err := demo()
	if err != nil {
		t.Fatal(err)
	}
	c, ok := charts[s]
	if !ok {
		t.Fatalf("no demonstration patient %q", s)
	}
	tl, err := state.Build(c, now, state.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	return tl
}

// effect is persistence with a known effect: norepinephrine raises MAP with
// saturation, a bolus raises it for a while, and lactate follows MAP. Broken,
// when set, spoils every forecast.
type effect struct {
	world.Persistence
	mmHgPerNE    float64 // at small doses, mmHg per 0.1 ug/kg/min
	mmHgPerBolus float64 // per 500 mL in the first step
	support      float64
	ood          float64
	broken       func(*world.Forecast)
	err          error
}

func (e effect) Forecast(ctx context.Context, tl *state.Timeline, plans []world.Plan, goal float64) ([]world.Forecast, error) {
	if e.err != nil {
		return nil, e.err
	}
	out, err := e.Persistence.Forecast(ctx, tl, plans, goal)
	if err != nil {
		return nil, err
	}
	for i := range out {
		out[i].Support, out[i].OOD = e.support, e.ood
		for k := range out[i].Steps {
			ne := out[i].Plan.Doses[k].NEUgKgMin - plans[0].Doses[k].NEUgKgMin
			up := e.mmHgPerNE * math.Tanh(ne/0.2) * 2
			up += e.mmHgPerBolus * (out[i].Plan.Doses[0].FluidMl - plans[0].Doses[0].FluidMl) / 500 / float64(k+1)
			s := &out[i].Steps[k]
			shift(&s.Band[state.MeanBP], up, state.MeanBP)
			shift(&s.Band[state.Lactate], -0.05*up, state.Lactate)
			b := s.Band[state.MeanBP]
			sd := (b.Hi80-b.Lo80)/2.56 + 1e-9
			s.PMAPAtGoal = 0.5 * math.Erfc((goal-b.Median)/sd/math.Sqrt2)
		}
		if e.broken != nil {
			e.broken(&out[i])
		}
	}
	return out, nil
}

func shift(b *world.Band, by float64, feature int) {
	f := state.Catalogue()[feature]
	for _, v := range []*float64{&b.Lo95, &b.Lo80, &b.Median, &b.Hi80, &b.Hi95} {
		*v = math.Max(f.ModelLo, math.Min(f.ModelHi, *v+by))
	}
}

func effective() effect { return effect{mmHgPerNE: 8, mmHgPerBolus: 4, support: 0.2, ood: 0.4} }

var rules = sync.OnceValues(func() (*policy.Pack, error) { return policy.Load(os.DirFS("../../configs")) })

func native(t testing.TB, m world.Forecaster) *agent.Native {
	t.Helper()
	pack, err := rules()
	if err != nil {
		t.Fatal(err)
	}
	n, err := agent.New(m, pack, agent.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func decide(t testing.TB, m world.Forecaster, tl *state.Timeline) agent.Decision {
	t.Helper()
	d, err := native(t, m).Decide(context.Background(), tl, 1)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func mustRules(t testing.TB) *policy.Pack {
	t.Helper()
	pack, err := rules()
	if err != nil {
		t.Fatal(err)
	}
	return pack
}
