// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"flag"
	"math/rand/v2"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// seeds is how many episodes each chooser plays: -args -seeds 100.
var seeds = flag.Int("seeds", 12, "episodes per chooser")

// chooser picks one of the options that are open.
type chooser func(e *Episode, open []*Option) state.Levels

// choosers are agents that need no training, by how sensible they are.
var choosers = []struct {
	name string
	pick chooser
}{
	{"the best simulated value", func(_ *Episode, open []*Option) state.Levels {
		best := open[0]
		for _, o := range open {
			if o.Value > best.Value {
				best = o
			}
		}
		return best.Levels
	}},
	{"current treatment, while open", func(e *Episode, open []*Option) state.Levels {
		now := agent.LevelsNow(e.env.deps.State, e.tl)
		for _, o := range open {
			if o.Levels == now {
				return now
			}
		}
		return open[0].Levels
	}},
	{"anything that is open", func(e *Episode, open []*Option) state.Levels {
		return open[rand.New(rand.NewPCG(e.seed, uint64(e.step))).IntN(len(open))].Levels
	}},
	{"the least that is open", func(_ *Episode, open []*Option) state.Levels { return open[0].Levels }},
	{"the most that is open", func(_ *Episode, open []*Option) state.Levels { return open[len(open)-1].Levels }},
}

// An environment in which careless treatment earns as much as careful treatment
// teaches nothing. docs/environment.md shows what this prints.
func TestASensibleAgentEarnsMoreThanACarelessOne(t *testing.T) {
	if testing.Short() {
		t.Skip("plays sixty episodes")
	}
	mean := make([]float64, len(choosers))
	for i, c := range choosers {
		alive := 0
		for seed := range uint64(*seeds) {
			e := begin(t, seed, "")
			for {
				menu, err := e.Menu(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				var open []*Option
				for _, o := range menu {
					if !o.Blocked {
						open = append(open, o)
					}
				}
				r := prescribe(t, e, c.pick(e, open))
				mean[i] += r.Reward.Total() / float64(*seeds)
				if r.End != "" {
					if r.End != EndDied {
						alive++
					}
					break
				}
			}
		}
		t.Logf("%-30s mean return %.3f, alive at the end %d of %d", c.name, mean[i], alive, *seeds)
	}
	for i := 2; i < len(choosers); i++ {
		if mean[0] <= mean[i] {
			t.Errorf("%s earns %.3f, %s %.3f", choosers[0].name, mean[0], choosers[i].name, mean[i])
		}
	}
}
