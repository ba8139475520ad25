// SPDX-License-Identifier: Apache-2.0

package ope

// This file: the two regressions that FQE comes with, a table of means and
// ridge regression of each action on features.

import (
	"errors"
	"fmt"

	"gonum.org/v1/gonum/mat"
)

// ErrSingular means that a linear system has no unique solution.
var ErrSingular = errors.New("singular system (hint: set a penalty above 0)")

var (
	_ Regressor[int]       = Table{}
	_ Regressor[[]float64] = Ridge{}
)

// Table is the regression of discrete states: the mean target of each state
// and action. An action never logged in a state gets the mean of that state, a
// state never logged the mean of all, and Prior pulls rare actions towards
// their state's mean. So Q̂ never says that the untried is better or worse than
// what was tried: a bias towards the clinicians.
type Table struct {
	// States is the number of states, which run from 0.
	States int
	// Prior is how many logged actions the state's mean counts for, 0 for none.
	Prior float64
}

type table struct {
	rows           []int // state·actions + action
	weights        []float64
	actions        int
	prior          float64
	n, nState, q   []float64
	inState        []float64
	total, overall float64
}

// Design counts the states and actions.
func (t Table) Design(states []int, actions []int, weights []float64, nActions int) (Regression[int], error) {
	if t.States < 1 || !(t.Prior >= 0) {
		return nil, fmt.Errorf("table of %d states with prior %v: %w", t.States, t.Prior, ErrOption)
	}
	out := &table{rows: make([]int, len(states)), weights: weights, actions: nActions, prior: t.Prior,
		n: make([]float64, t.States*nActions), q: make([]float64, t.States*nActions),
		nState: make([]float64, t.States), inState: make([]float64, t.States)}
	for i, s := range states {
		if s < 0 || s >= t.States {
			return nil, fmt.Errorf("state %d of %d: %w", s, t.States, ErrOption)
		}
		out.rows[i] = s*nActions + actions[i]
		out.n[out.rows[i]] += weights[i]
		out.nState[s] += weights[i]
		out.total += weights[i]
	}
	if out.total == 0 {
		return nil, ErrEmpty
	}
	return out, nil
}

// Solve takes the means.
func (t *table) Solve(targets []float64) error {
	clear(t.q)
	clear(t.inState)
	t.overall = 0
	for i, row := range t.rows {
		y := t.weights[i] * targets[i]
		t.q[row] += y
		t.inState[row/t.actions] += y
		t.overall += y / t.total
	}
	for s, n := range t.nState {
		if n > 0 {
			t.inState[s] /= n
		} else {
			t.inState[s] = t.overall
		}
	}
	for row, n := range t.n {
		if mean := t.inState[row/t.actions]; n+t.prior > 0 {
			t.q[row] = (t.q[row] + t.prior*mean) / (n + t.prior)
		} else {
			t.q[row] = mean
		}
	}
	return nil
}

// Predict reads the table; a state outside it gets the mean of all.
func (t *table) Predict(state int, q []float64) {
	if state < 0 || state >= len(t.nState) {
		for a := range q {
			q[a] = t.overall
		}
		return
	}
	copy(q, t.q[state*t.actions:(state+1)*t.actions])
}

// Ridge is linear regression on features, apart for each action, with an
// intercept that is not penalised. An action without rows gets the mean of all
// targets. Features should be standardised, since one penalty serves all.
type Ridge struct {
	// Penalty is λ ≥ 0 in Σ w (y − xβ)² + λ‖β‖².
	Penalty float64
}

type ridge struct {
	states  [][]float64
	actions []int
	weights []float64
	factors []*mat.Cholesky // per action, nil without rows
	beta    [][]float64     // intercept first
	total   float64
	overall float64
}

// Design builds and factorises the normal equations of each action.
func (r Ridge) Design(states [][]float64, actions []int, weights []float64, nActions int) (Regression[[]float64], error) {
	if !(r.Penalty >= 0) || len(states) == 0 {
		return nil, fmt.Errorf("ridge with penalty %v on %d rows: %w", r.Penalty, len(states), ErrOption)
	}
	d := len(states[0]) + 1
	out := &ridge{states: states, actions: actions, weights: weights, factors: make([]*mat.Cholesky, nActions), beta: make([][]float64, nActions)}
	gram := make([]*mat.SymDense, nActions)
	row := mat.NewVecDense(d, nil)
	for i, x := range states {
		if err := features(x, d-1); err != nil {
			return nil, fmt.Errorf("row %d: %w", i, err)
		}
		if weights[i] == 0 {
			continue
		}
		out.total += weights[i]
		a := actions[i]
		if gram[a] == nil {
			gram[a] = mat.NewSymDense(d, nil)
			for j := 1; j < d; j++ {
				gram[a].SetSym(j, j, r.Penalty)
			}
		}
		row.SetVec(0, 1)
		copy(row.RawVector().Data[1:], x)
		gram[a].SymRankOne(gram[a], weights[i], row)
	}
	if out.total == 0 {
		return nil, ErrEmpty
	}
	for a, g := range gram {
		out.beta[a] = make([]float64, d)
		if g == nil {
			continue
		}
		out.factors[a] = new(mat.Cholesky)
		if !out.factors[a].Factorize(g) {
			return nil, fmt.Errorf("action %d: %w", a, ErrSingular)
		}
	}
	return out, nil
}

// features checks the length and the numbers of one row.
func features(x []float64, n int) error {
	if len(x) != n {
		return fmt.Errorf("%w: %d features, want %d", ErrTrajectory, len(x), n)
	}
	for _, v := range x {
		if !finite(v) {
			return ErrNumber
		}
	}
	return nil
}

// Solve solves the normal equations of each action.
func (r *ridge) Solve(targets []float64) error {
	r.overall = 0
	for _, b := range r.beta {
		clear(b)
	}
	for i, x := range r.states {
		wy := r.weights[i] * targets[i]
		r.overall += wy / r.total
		b := r.beta[r.actions[i]]
		b[0] += wy
		for j, v := range x {
			b[j+1] += wy * v
		}
	}
	for a, factor := range r.factors {
		if factor == nil {
			continue
		}
		b := mat.NewVecDense(len(r.beta[a]), r.beta[a])
		if err := factor.SolveVecTo(b, b); err != nil {
			return fmt.Errorf("action %d: %w: %w", a, ErrSingular, err)
		}
	}
	return nil
}

// Predict is the linear function of each action.
func (r *ridge) Predict(x []float64, q []float64) {
	for a, b := range r.beta {
		if r.factors[a] == nil {
			q[a] = r.overall
			continue
		}
		q[a] = b[0]
		for j, v := range x {
			q[a] += b[j+1] * v
		}
	}
}
