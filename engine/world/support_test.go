// SPDX-License-Identifier: Apache-2.0

package world

// This file: what is said of how usual an action and a state are. Support must
// be a chance that comes true as often as it says, and a state unlike any of
// those learned from must be told from them.

import (
	"context"
	"math"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// planOfEachLevel gives one plan for each pair of levels.
func planOfEachLevel(cfg state.Config) (plans []Plan) {
	within := func(level int, cuts [3]float64) float64 {
		switch level {
		case 0:
			return 0
		case 1:
			return cuts[0] / 2
		case 4:
			return cuts[2] * 2
		}
		return (cuts[level-2] + cuts[level-1]) / 2
	}
	for v := range 5 {
		for f := range 5 {
			plans = append(plans, Plan{Name: "x", Doses: []Dose{{within(v, cfg.VasopressorCuts), within(f, cfg.FluidCuts)}}})
		}
	}
	return plans
}

// Over patients that nobody learned from: the chances of all actions sum to one,
// and much of a vasopressor is given about as often as they say. The toy's
// simulated patients, whose doses are random, teach actions too, so about it is.
func TestSupportIsAChanceThatComesTrue(t *testing.T) {
	wantLearned(t)
	const much = 3 // level
	m, plans := mustToy(t), planOfEachLevel(state.DefaultConfig())
	var said, came, n float64
	for seed := range uint64(120) {
		c := toyCourse(2000+seed, 10, false, true)
		for k := 3; k < 9; k++ {
			out, err := m.Forecast(context.Background(), c.timelines[k], plans, 65)
			if err != nil {
				t.Fatal(err)
			}
			var sum, some float64
			for i := range out {
				if out[i].Levels.Vasopressor != i/5 || out[i].Levels.Fluid != i%5 {
					t.Fatalf("plan %d has levels %+v", i, out[i].Levels)
				}
				sum += out[i].Support
				if i >= 5*much {
					some += out[i].Support
				}
			}
			if math.Abs(sum-1) > 1e-6 {
				t.Fatalf("the chances of all actions sum to %v", sum)
			}
			said, n = said+some, n+1
			if newest(c.timelines[k+1]).Given.Levels.Vasopressor >= much {
				came++
			}
		}
	}
	t.Logf("much of a vasopressor: said %.3f, came %.3f of %g", said/n, came/n, n)
	if math.Abs(said-came)/n > 0.15 {
		t.Errorf("much of a vasopressor was said to follow in %.3f of %g states and followed in %.3f", said/n, n, came/n)
	}
}

// A state is the stranger the further its values are from those of the toy.
func TestAStateUnlikeAnyLearnedFromIsStrange(t *testing.T) {
	m := mustToy(t)
	plan := []Plan{{Name: "none", Doses: []Dose{{}}}}
	strangeness := func(further float64) (mean float64) {
		const patients = 20
		for seed := range uint64(patients) {
			tl := toyCourse(3000+seed, 9, false, true).timelines[8]
			for k := range tl.Steps {
				for f := range tl.Steps[k].Value {
					if tl.Steps[k].Presence[f] != state.Missing {
						tl.Steps[k].Value[f] *= 1 + further
					}
				}
			}
			out, err := m.Forecast(context.Background(), tl, plan, 65)
			if err != nil {
				t.Fatal(err)
			}
			if out[0].OOD < 0 || out[0].OOD > 1 {
				t.Fatalf("strangeness %v is no share", out[0].OOD)
			}
			mean += out[0].OOD / patients
		}
		return mean
	}
	usual, odd, impossible := strangeness(0), strangeness(0.1), strangeness(1.5)
	t.Logf("strangeness: %.2f as learned, %.2f at 1.1 times every value, %.2f at 2.5 times", usual, odd, impossible)
	if usual > 0.75 || odd <= usual || impossible < 0.95 {
		t.Errorf("strangeness %.2f as learned, %.2f at 1.1 times every value, %.2f at 2.5 times", usual, odd, impossible)
	}
}
