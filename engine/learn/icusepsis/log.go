// SPDX-License-Identifier: Apache-2.0

package icusepsis

// This file: what learners see: stays of the clinicians.

import (
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/sepsisagent/sepsisagent/engine/learn/offline"
)

// Log draws n stays of the clinicians. The same n and seed give the same stays,
// and more stays of one seed begin with the fewer. Each stay is a patient of its
// own; the reward of its last step is 1 for survival and 0 for death. Admissible
// actions belong to the tables and are not given.
func (t *Tables) Log(n int, seed uint64) (*offline.Dataset, error) {
	if n < 1 {
		return nil, fmt.Errorf("%d stays, want at least 1", n)
	}
	rng := rand.New(rand.NewPCG(seed, 0x6963757365707369))
	d := &offline.Dataset{Inputs: Features, Actions: Actions, States: States, Episodes: make([]offline.Episode, 0, n)}
	for i := range n {
		e := offline.Episode{Patient: strconv.Itoa(i)}
		s, previous := pick(rng, t.start), offline.NoAction
		for s < Died && len(e.Steps) < longest {
			a := pick(rng, t.expert[s])
			to := t.arrive(rng, s, a)
			e.Steps = append(e.Steps, offline.Step{Observation: t.observe(s, previous), Action: a, Reward: float64(indicator(to == Survived)), SOFA: t.sofa[s]})
			s, previous = to, a
		}
		e.Cut = s < Died
		d.Episodes = append(d.Episodes, e)
	}
	return d, nil
}

// observe is what can be seen in a state.
func (t *Tables) observe(s, previous int) offline.Observation {
	return offline.Observation{Features: t.centres[s], State: s, Previous: previous}
}

// Observe is what a policy sees in each of the states before the end, after the
// given action or offline.NoAction.
func (t *Tables) Observe(previous int) []offline.Observation {
	out := make([]offline.Observation, Died)
	for s := range out {
		out[s] = t.observe(s, previous)
	}
	return out
}

// pick draws from a distribution; what rounding leaves over goes to the last
// that is possible.
func pick(rng *rand.Rand, p []float64) int {
	u, last := rng.Float64(), 0
	for i, v := range p {
		if v == 0 {
			continue
		}
		if u -= v; u < 0 {
			return i
		}
		last = i
	}
	return last
}

func (t *Tables) arrive(rng *rand.Rand, s, a int) int {
	u := rng.Float64()
	some := t.next[s*Actions+a]
	for _, to := range some {
		if u -= to.p; u < 0 {
			return int(to.to)
		}
	}
	return int(some[len(some)-1].to)
}
