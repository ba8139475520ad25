// SPDX-License-Identifier: Apache-2.0

package offline

// This file: AI Clinician (Komorowski 2018): states are clusters, transitions
// are counted, and policy iteration finds the best policy among the actions that
// clinicians took often enough in each state.

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
)

// tablePolicy is one action for each state.
type tablePolicy struct {
	action []int
	// value orders actions where the best is not allowed: Q by state and action,
	// and what was never seen often enough is below everything.
	value  [][]float64
	inputs int
	// clusters finds the state of features; nil where observations name theirs.
	clusters *clusters
}

// counted is the process as the log has it.
type counted struct {
	states, actions int
	known           [][]int // actions of each state, in order
	reward          [][]float64
	next            [][][]chance // by state and action; what is missing to 1 is the end
	common          []int        // what was done most often in the state, or at all
}

// chance is the probability of a next state.
type chance struct {
	state int
	p     float64
}

func fitAIClinician(ctx context.Context, data *Dataset, cfg *Config) (*tablePolicy, error) {
	p := &tablePolicy{inputs: data.Inputs}
	states := data.States
	if states == 0 {
		var err error
		if p.clusters, err = fitClusters(ctx, data, cfg); err != nil {
			return nil, err
		}
		states = len(p.clusters.centre)
	}
	m := count(data, p.clusters, states, cfg.Rare)
	if err := p.iterate(ctx, m, cfg.Discount); err != nil {
		return nil, err
	}
	return p, nil
}

// count makes the process. An action that was seen in a state rare times or less
// is not known there.
func count(data *Dataset, c *clusters, states, rare int) *counted {
	m := &counted{states: states, actions: data.Actions, known: make([][]int, states), reward: make([][]float64, states),
		next: make([][][]chance, states), common: make([]int, states)}
	seen := make([][]map[int]int, states) // arrivals by state, action and next state; -1 is the end
	valued := make([][]int, states)
	tried := make([][]int, states)
	for s := range states {
		m.reward[s], m.next[s] = make([]float64, data.Actions), make([][]chance, data.Actions)
		seen[s], valued[s], tried[s] = make([]map[int]int, data.Actions), make([]int, data.Actions), make([]int, data.Actions)
	}
	for i := range data.Episodes {
		e := &data.Episodes[i]
		at := make([]int, len(e.Steps))
		for t := range e.Steps {
			at[t] = c.state(&e.Steps[t].Observation)
		}
		for t := range e.Steps {
			s, a, to := at[t], e.Steps[t].Action, -1
			tried[s][a]++
			if t+1 < len(e.Steps) {
				to = at[t+1]
			} else if e.Cut {
				continue
			}
			if seen[s][a] == nil {
				seen[s][a] = map[int]int{}
			}
			seen[s][a][to]++
			valued[s][a]++
			m.reward[s][a] += e.Steps[t].Reward
		}
	}
	commonest := commonest(data, false)
	for s := range states {
		m.common[s] = commonest
		for a, n := range tried[s] {
			if n > 0 && (tried[s][m.common[s]] == 0 || n > tried[s][m.common[s]]) {
				m.common[s] = a
			}
			if n <= rare || valued[s][a] == 0 {
				continue
			}
			k := float64(valued[s][a])
			m.known[s] = append(m.known[s], a)
			m.reward[s][a] /= k
			for to := range states { // in order, so that sums are
				if c := seen[s][a][to]; c > 0 {
					m.next[s][a] = append(m.next[s][a], chance{to, float64(c) / k})
				}
			}
		}
	}
	return m
}

// q is the value of an action under values of states.
func (m *counted) q(s, a int, v []float64, discount float64) float64 {
	sum := m.reward[s][a]
	for _, c := range m.next[s][a] {
		sum += discount * c.p * v[c.state]
	}
	return sum
}

const (
	maxSweeps = 10_000
	settled   = 1e-9
)

// iterate is policy iteration, with the value of each policy by sweeps. A state
// without a known action has the mean value of all and does what was done most
// often: nothing is known of it.
func (p *tablePolicy) iterate(ctx context.Context, m *counted, discount float64) error {
	p.action = append([]int(nil), m.common...)
	for s, known := range m.known {
		if len(known) > 0 {
			p.action[s] = known[0]
		}
	}
	v := make([]float64, m.states)
	for range maxSweeps {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%s: stopped: %w", AIClinician, err)
		}
		for sweep := 0; ; sweep++ {
			if sweep == maxSweeps {
				return fmt.Errorf("%w: %s: values do not settle (hint: a discount below 1)", ErrFit, AIClinician)
			}
			if p.sweep(m, v, discount) < settled {
				break
			}
		}
		changed := false
		for s, known := range m.known {
			for _, a := range known {
				if a != p.action[s] && m.q(s, a, v, discount) > m.q(s, p.action[s], v, discount)+100*settled {
					p.action[s], changed = a, true
				}
			}
		}
		if !changed {
			break
		}
	}
	p.value = make([][]float64, m.states)
	for s := range p.value {
		p.value[s] = make([]float64, m.actions)
		for a := range p.value[s] {
			p.value[s][a] = unknown
		}
		for _, a := range m.known[s] {
			p.value[s][a] = m.q(s, a, v, discount)
		}
	}
	return nil
}

// unknown is below every value that rewards can add up to.
const unknown = -math.MaxFloat32

// sweep brings the values of the policy nearer and returns how far one moved.
func (p *tablePolicy) sweep(m *counted, v []float64, discount float64) (moved float64) {
	mean, n := 0.0, 0.0
	for s, known := range m.known {
		if len(known) > 0 {
			mean, n = mean+v[s], n+1
		}
	}
	mean /= max(n, 1)
	for s, known := range m.known {
		to := mean
		if len(known) > 0 {
			to = m.q(s, p.action[s], v, discount)
		}
		moved, v[s] = max(moved, math.Abs(to-v[s])), to
	}
	return moved
}

// Probabilities of the policy; see Policy.
func (p *tablePolicy) Probabilities(seen []Observation) ([][]float64, error) {
	states, actions := len(p.action), len(p.value[0])
	named := states
	if p.clusters != nil {
		named = 0
	}
	out := make([][]float64, len(seen))
	for i := range seen {
		inputs := p.inputs
		if p.clusters == nil {
			inputs = len(seen[i].Features) // not read
		}
		if err := seen[i].check(inputs, actions, named); err != nil {
			return nil, fmt.Errorf("%w: observation %d: %w", ErrObservation, i, err)
		}
		out[i] = make([]float64, actions)
		out[i][p.choose(p.clusters.state(&seen[i]), seen[i].Allowed)] = 1
	}
	return out, nil
}

// choose is the policy's action in a state, or the best of those allowed.
func (p *tablePolicy) choose(s int, allowed []bool) int {
	if allowed == nil || allowed[p.action[s]] {
		return p.action[s]
	}
	at := -1
	for a, ok := range allowed {
		if ok && (at < 0 || p.value[s][a] > p.value[s][at]) {
			at = a
		}
	}
	return at
}

func (p *tablePolicy) tensors() (out []tensor) {
	if p.clusters != nil {
		out = append(p.clusters.scale.tensors(), tensor{"centres", len(p.clusters.centre), p.inputs, slices.Concat(p.clusters.centre...)})
	}
	action, value := make([]float32, len(p.action)), make([]float32, 0, len(p.action)*len(p.value[0]))
	for s, a := range p.action {
		action[s] = float32(a)
		for _, v := range p.value[s] {
			value = append(value, float32(v))
		}
	}
	return append(out, tensor{"action", 1, len(action), action}, tensor{"value", len(p.value), len(p.value[0]), value})
}

func (r *reader) table(rec *Record) (*tablePolicy, error) {
	p := &tablePolicy{inputs: rec.Inputs}
	states := rec.States
	if rec.Clusters > 0 {
		if states > 0 {
			return nil, errors.New("clusters and states that observations name: want one")
		}
		s, err := r.scale(rec)
		if err != nil {
			return nil, err
		}
		centres, err := r.take(rec.Method, "centres", rec.Clusters, rec.Inputs)
		if err != nil {
			return nil, err
		}
		p.clusters, states = &clusters{scale: s, centre: slices.Collect(slices.Chunk(centres, rec.Inputs))}, rec.Clusters
	}
	if states == 0 {
		return nil, errors.New("no states and no clusters")
	}
	action, err := r.take(rec.Method, "action", 1, states)
	if err != nil {
		return nil, err
	}
	for _, v := range action {
		a := int(v)
		if float32(a) != v || a < 0 || a >= rec.Actions {
			return nil, fmt.Errorf("action %v of %d", v, rec.Actions)
		}
		p.action = append(p.action, a)
	}
	value, err := r.take(rec.Method, "value", states, rec.Actions)
	if err != nil {
		return nil, err
	}
	for row := range slices.Chunk(value, rec.Actions) {
		q := make([]float64, len(row))
		for a, v := range row {
			q[a] = float64(v)
		}
		p.value = append(p.value, q)
	}
	return p, nil
}
