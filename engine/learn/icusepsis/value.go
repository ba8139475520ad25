// SPDX-License-Identifier: Apache-2.0

package icusepsis

// This file: what a policy is worth, exactly.

import (
	"fmt"
	"math"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/learn/offline"
)

// The values are solved until no state's moves by more than settled.
const (
	settled   = 1e-11
	maxSweeps = 100_000
)

// Value is the chance of survival, of a stay that begins as stays begin, under a
// policy: the expected return. A policy that reads the previous action is
// followed as such. Errors wrap ErrPolicy, or are the policy's own.
func (t *Tables) Value(policy offline.Policy) (float64, error) {
	first, err := t.ask(policy, offline.NoAction)
	if err != nil {
		return 0, err
	}
	after := make([][][]float64, Actions)
	remembers := false
	for a := range after {
		if after[a], err = t.ask(policy, a); err != nil {
			return 0, err
		}
		remembers = remembers || !slices.EqualFunc(after[a], first, slices.Equal[[]float64])
	}
	if !remembers {
		v, err := t.chain(first)
		if err != nil {
			return 0, err
		}
		return t.mean(v), nil
	}
	v, err := t.solve(after, func(a int) int { return a })
	if err != nil {
		return 0, err
	}
	begin := make([]float64, States)
	for s := range Died {
		begin[s] = t.backup(v, s, first[s], func(a int) int { return a })
	}
	return t.mean(begin), nil
}

// ValueOf is Value of a policy that is given as one row per state.
func (t *Tables) ValueOf(rows [][]float64) (float64, error) {
	return t.Value(offline.Func(func(seen offline.Observation) ([]float64, error) {
		if seen.State >= len(rows) {
			return nil, fmt.Errorf("%w: %d rows", ErrPolicy, len(rows))
		}
		return rows[seen.State], nil
	}))
}

// ask is the policy in every state before the end.
func (t *Tables) ask(policy offline.Policy, previous int) ([][]float64, error) {
	rows, err := policy.Probabilities(t.Observe(previous))
	if err != nil {
		return nil, err
	}
	if len(rows) != Died {
		return nil, fmt.Errorf("%w: %d rows for %d states", ErrPolicy, len(rows), Died)
	}
	for s, row := range rows {
		if len(row) != Actions {
			return nil, fmt.Errorf("%w: state %d: %d probabilities", ErrPolicy, s, len(row))
		}
		if err := distribution(row); err != nil {
			return nil, fmt.Errorf("%w: state %d: %w", ErrPolicy, s, err)
		}
	}
	return rows, nil
}

// chain gives the value of each state under a policy without memory, on the
// chain that the policy makes of the process.
func (t *Tables) chain(rows [][]float64) ([]float64, error) {
	next, row := make([][]arrival, Died), make([]float64, States)
	for s := range next {
		clear(row)
		for a, chance := range rows[s] {
			if chance == 0 {
				continue
			}
			for _, to := range t.next[s*Actions+a] {
				row[to.to] += chance * to.p
			}
		}
		for to, p := range row {
			if p > 0 {
				next[s] = append(next[s], arrival{int32(to), p})
			}
		}
	}
	v := make([]float64, States)
	v[Survived] = 1
	for range maxSweeps {
		moved := 0.0
		for s, some := range next {
			sum := 0.0
			for _, to := range some {
				sum += to.p * v[to.to]
			}
			moved, v[s] = max(moved, math.Abs(sum-v[s])), sum
		}
		if moved < settled {
			return v, nil
		}
	}
	return nil, fmt.Errorf("%w: its value does not settle", ErrPolicy)
}

// solve gives the value of each state in each mode of a policy; goes says in
// which mode an action leaves it.
func (t *Tables) solve(modes [][][]float64, goes func(action int) int) ([][]float64, error) {
	v := make([][]float64, len(modes))
	for m := range v {
		v[m] = make([]float64, States)
		v[m][Survived] = 1
	}
	for range maxSweeps {
		moved := 0.0
		for m := range modes {
			for s := range Died {
				new := t.backup(v, s, modes[m][s], goes)
				moved, v[m][s] = max(moved, math.Abs(new-v[m][s])), new
			}
		}
		if moved < settled {
			return v, nil
		}
	}
	return nil, fmt.Errorf("%w: its value does not settle", ErrPolicy)
}

// backup is the value of a state when the next action follows p.
func (t *Tables) backup(v [][]float64, s int, p []float64, goes func(action int) int) (sum float64) {
	for a, chance := range p {
		if chance == 0 {
			continue
		}
		next, q := v[goes(a)], 0.0
		for _, to := range t.next[s*Actions+a] {
			q += to.p * next[to.to]
		}
		sum += chance * q
	}
	return sum
}

func (t *Tables) mean(v []float64) (sum float64) {
	for s, p := range t.start {
		sum += p * v[s]
	}
	return sum
}

// Best is the largest value that any policy has, and such a policy.
func (t *Tables) Best() (float64, [][]float64, error) {
	rows := make([][]float64, Died)
	for s := range rows {
		rows[s] = make([]float64, Actions)
		rows[s][0] = 1
	}
	stay := func(int) int { return 0 }
	for range maxSweeps { // policy iteration
		one, err := t.chain(rows)
		if err != nil {
			return 0, nil, err
		}
		v := [][]float64{one}
		changed := false
		try := make([]float64, Actions)
		for s := range rows {
			best, most := slices.Index(rows[s], 1), t.backup(v, s, rows[s], stay)
			for a := range Actions {
				clear(try)
				try[a] = 1
				if q := t.backup(v, s, try, stay); q > most+1e-9 {
					best, most, changed = a, q, true
				}
			}
			clear(rows[s])
			rows[s][best] = 1
		}
		if !changed {
			return t.mean(one), rows, nil
		}
	}
	return 0, nil, fmt.Errorf("%w: no best one was found", ErrPolicy)
}
