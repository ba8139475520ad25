// SPDX-License-Identifier: Apache-2.0

package ope_test

// This file: small Markov decision processes whose values are known in closed
// form, and every trajectory of which can be written down.

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/ope"
)

// mdp is a finite decision process of at most horizon steps. A next state of
// len(next) ends the episode.
type mdp struct {
	start   []float64
	next    [][][]float64 // s, a, s' (one more than states: the end)
	reward  [][]float64   // s, a
	horizon int
}

// toy has three states and two actions; ends are reached at different steps.
// Every probability is a number of quarters or halves, so that a log with the
// exact frequencies can be written down.
var toy = mdp{
	start: []float64{0.5, 0.25, 0.25},
	next: [][][]float64{
		{{0.25, 0.5, 0, 0.25}, {0, 0.25, 0.5, 0.25}},
		{{0.5, 0, 0.5, 0}, {0, 0, 0.5, 0.5}},
		{{0.25, 0.25, 0.25, 0.25}, {0, 0, 0, 1}},
	},
	reward:  [][]float64{{0.5, -1}, {2, 1}, {-0.5, 3}},
	horizon: 3,
}

var (
	clinician = [][]float64{{0.5, 0.5}, {0.75, 0.25}, {0.25, 0.75}}
	target    = [][]float64{{0.9, 0.1}, {0.2, 0.8}, {0.6, 0.4}}
)

// path is one possible episode with its chance under a policy.
type path struct {
	states, actions []int
	rewards         []float64
	chance          float64
}

// paths lists every episode that has a chance under the policy.
func (m mdp) paths(policy [][]float64) (out []path) {
	var walk func(s int, so path)
	walk = func(s int, so path) {
		if s == len(m.next) || len(so.states) == m.horizon {
			out = append(out, so)
			return
		}
		for a, p := range policy[s] {
			for to, q := range m.next[s][a] {
				if p*q == 0 {
					continue
				}
				walk(to, path{
					append(append([]int(nil), so.states...), s), append(append([]int(nil), so.actions...), a),
					append(append([]float64(nil), so.rewards...), m.reward[s][a]), so.chance * p * q,
				})
			}
		}
	}
	for s, p := range m.start {
		if p > 0 {
			walk(s, path{chance: p})
		}
	}
	return out
}

// q gives Q of a policy at each step by backward induction, and the value.
func (m mdp) q(policy [][]float64, discount float64) (q [][][]float64, value float64) {
	q = make([][][]float64, m.horizon)
	later := make([]float64, len(m.next)+1)
	for t := m.horizon - 1; t >= 0; t-- {
		now := make([]float64, len(m.next)+1)
		q[t] = make([][]float64, len(m.next))
		for s := range m.next {
			q[t][s] = make([]float64, len(policy[s]))
			for a := range q[t][s] {
				q[t][s][a] = m.reward[s][a]
				for to, p := range m.next[s][a] {
					q[t][s][a] += discount * p * later[to]
				}
				now[s] += policy[s][a] * q[t][s][a]
			}
		}
		later = now
	}
	for s, p := range m.start {
		value += p * later[s]
	}
	return q, value
}

// trajectory gives a path as logged under behaviour, with values of q.
func (p path) trajectory(id string, behaviour, target [][]float64, q [][][]float64) ope.Trajectory {
	out := ope.Trajectory{Patient: id, Rewards: p.rewards}
	if q != nil {
		out.Values = &ope.Values{}
	}
	for t, s := range p.states {
		a := p.actions[t]
		out.Behaviour = append(out.Behaviour, behaviour[s][a])
		out.Target = append(out.Target, target[s][a])
		if q != nil {
			v := 0.0
			for k, pi := range target[s] {
				v += pi * q[t][s][k]
			}
			out.Values.Q, out.Values.V = append(out.Values.Q, q[t][s][a]), append(out.Values.V, v)
		}
	}
	return out
}

// population is a log in which every path is as frequent as it is likely: what
// estimators see as the sample grows without end.
func (m mdp) population(t *testing.T) (out []path) {
	t.Helper()
	const copies = 1 << 14 // each step has chances in sixteenths, starts in quarters
	for _, p := range m.paths(clinician) {
		n := p.chance * copies
		if n != math.Trunc(n) {
			t.Fatalf("a path has chance %v, no multiple of 1/%d", p.chance, copies)
		}
		for range int(n) {
			out = append(out, p)
		}
	}
	return out
}

// sample draws n episodes.
func (m mdp) sample(rng *rand.Rand, policy [][]float64, n int) []path {
	out := make([]path, n)
	for i := range out {
		s := pick(rng, m.start)
		for s < len(m.next) && len(out[i].states) < m.horizon {
			a := pick(rng, policy[s])
			out[i].states, out[i].actions = append(out[i].states, s), append(out[i].actions, a)
			out[i].rewards = append(out[i].rewards, m.reward[s][a])
			s = pick(rng, m.next[s][a])
		}
	}
	return out
}

func pick(rng *rand.Rand, p []float64) int {
	u := rng.Float64()
	for i, v := range p {
		if u -= v; u < 0 {
			return i
		}
	}
	return len(p) - 1
}

// trajectories turns paths into a log with one patient each.
func trajectories(paths []path, behaviour, target [][]float64, q [][][]float64) []ope.Trajectory {
	out := make([]ope.Trajectory, len(paths))
	for i, p := range paths {
		out[i] = p.trajectory(fmt.Sprintf("patient-%05d", i), behaviour, target, q)
	}
	return out
}

// wrong is a Q that is right nowhere.
func wrong(m mdp) [][][]float64 {
	out := make([][][]float64, m.horizon)
	for t := range out {
		for s := range m.next {
			out[t] = append(out[t], []float64{float64(s) - 2*float64(t), 1.5 + 0.3*float64(s*t)})
		}
	}
	return out
}

func estimate(t *testing.T, log []ope.Trajectory, o ope.Options, m ope.Method) float64 {
	t.Helper()
	s, err := ope.New(log, o)
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.Value(m)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*max(1, math.Abs(want))) {
		t.Errorf("%s is %.15g, want %.15g", what, got, want)
	}
}
