// SPDX-License-Identifier: Apache-2.0

package ope

// This file: fitted Q evaluation (Le, Voloshin and Yue 2019): from Q̂ = 0,
// regress r + γ Σ_a π(a|s') Q̂(s', a) on (s, a) again and again.

import (
	"fmt"
	"math"
)

// Regressor learns the mean of a target given state and action. FQE calls
// Design once and Solve in each round, so that what depends only on the states
// is computed once.
type Regressor[S any] interface {
	// Design takes the rows of the regression. weights, one per row, are the
	// importance of each, never negative. The slices stay the caller's and do
	// not change.
	Design(states []S, actions []int, weights []float64, nActions int) (Regression[S], error)
}

// Regression is a regression with fixed rows.
type Regression[S any] interface {
	// Solve fits the targets, one per row.
	Solve(targets []float64) error
	// Predict writes the fitted mean of every action to q.
	Predict(state S, q []float64)
}

// FQEOptions are the settings of a fit.
type FQEOptions struct {
	// Actions is the number of actions.
	Actions int
	// Discount is γ in (0, 1]; 0 means 1.
	Discount float64
	// Rounds is the most rounds; 0 means 200. After k rounds Q̂ is the value
	// of k steps, so rounds beyond the longest episode matter only where
	// states recur.
	Rounds int
	// Tolerance stops the rounds when no target moves by more; 0 means 1e-9.
	Tolerance float64
	// Low and High bound every V̂ of a target, such as the attainable returns,
	// which keeps a linear fit from diverging. Both 0 means no bounds.
	Low, High float64
}

// diverged is a change of a target that no return explains.
const diverged = 1e12

// FQEFit is a fitted value function of one target policy.
type FQEFit[S any] struct {
	// Rounds is how many were run, and Moved how far the last moved a target;
	// Moved above the tolerance means that the fit has not settled.
	Rounds int
	Moved  float64
	model  Regression[S]
	opts   FQEOptions
}

func (o *FQEOptions) validate() error {
	if o.Discount == 0 {
		o.Discount = 1
	}
	if o.Rounds == 0 {
		o.Rounds = 200
	}
	if o.Tolerance == 0 {
		o.Tolerance = 1e-9
	}
	switch {
	case o.Actions < 1 || o.Rounds < 1 || !(o.Tolerance > 0):
		return fmt.Errorf("%d actions, %d rounds, tolerance %v: %w", o.Actions, o.Rounds, o.Tolerance, ErrOption)
	case !(o.Discount > 0 && o.Discount <= 1):
		return fmt.Errorf("discount %v: %w: want (0, 1]", o.Discount, ErrOption)
	case !(o.Low <= o.High):
		return fmt.Errorf("bounds %v to %v: %w", o.Low, o.High, ErrOption)
	}
	return nil
}

// FQE fits Q̂ of the episodes' target policy. weights, nil for all 1, are how
// often each episode counts, as a resample of patients says.
func FQE[S any](episodes []Episode[S], weights []float64, opts FQEOptions, regressor Regressor[S]) (*FQEFit[S], error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	if len(episodes) == 0 {
		return nil, ErrEmpty
	}
	if weights != nil && len(weights) != len(episodes) {
		return nil, fmt.Errorf("%w: %d weights for %d episodes", ErrTrajectory, len(weights), len(episodes))
	}
	var (
		states  []S
		actions []int
		times   []float64
	)
	for i, e := range episodes {
		if err := e.validate(opts.Actions); err != nil {
			return nil, fmt.Errorf("episode %d: %w", i, err)
		}
		w := 1.0
		if weights != nil {
			w = weights[i]
		}
		if !(w >= 0) || math.IsInf(w, 1) {
			return nil, fmt.Errorf("episode %d: weight %v: %w", i, w, ErrOption)
		}
		for t := range e.Rewards {
			states, actions, times = append(states, e.States[t]), append(actions, e.Actions[t]), append(times, w)
		}
	}
	model, err := regressor.Design(states, actions, times, opts.Actions)
	if err != nil {
		return nil, fmt.Errorf("fit Q: %w", err)
	}
	fit := &FQEFit[S]{model: model, opts: opts}
	return fit, fit.run(episodes, len(states))
}

// run is the rounds.
func (f *FQEFit[S]) run(episodes []Episode[S], rows int) error {
	targets, next := make([]float64, rows), make([]float64, rows)
	q := make([]float64, f.opts.Actions)
	for round := range f.opts.Rounds {
		f.Moved = 0
		row := 0
		for _, e := range episodes {
			for t, r := range e.Rewards {
				y := r
				if round > 0 && t+1 < len(e.Rewards) {
					y += f.opts.Discount * f.value(e.States[t+1], e.Target[t+1], q)
				}
				f.Moved = max(f.Moved, math.Abs(y-targets[row]))
				next[row] = y
				row++
			}
		}
		targets, next = next, targets
		if !finite(f.Moved) || f.Moved > diverged {
			return fmt.Errorf("fit Q: round %d: %w (hint: set Low and High, or a stronger penalty)", round, ErrNumber)
		}
		if err := f.model.Solve(targets); err != nil {
			return fmt.Errorf("fit Q: round %d: %w", round, err)
		}
		if f.Rounds = round + 1; round > 0 && f.Moved <= f.opts.Tolerance {
			break
		}
	}
	return nil
}

// value is V̂(s) within the bounds; q is scratch.
func (f *FQEFit[S]) value(state S, target, q []float64) (v float64) {
	f.model.Predict(state, q)
	for a, p := range target {
		if p > 0 {
			v += p * q[a]
		}
	}
	return f.bound(v)
}

func (f *FQEFit[S]) bound(v float64) float64 {
	if f.opts.Low == 0 && f.opts.High == 0 {
		return v
	}
	return min(max(v, f.opts.Low), f.opts.High)
}

// Values gives Q̂ and V̂ along an episode.
func (f *FQEFit[S]) Values(e Episode[S]) (*Values, error) {
	if err := e.validate(f.opts.Actions); err != nil {
		return nil, err
	}
	out := &Values{Q: make([]float64, len(e.Rewards)), V: make([]float64, len(e.Rewards))}
	q := make([]float64, f.opts.Actions)
	for t, a := range e.Actions {
		out.V[t] = f.value(e.States[t], e.Target[t], q)
		out.Q[t] = f.bound(q[a])
	}
	return out, nil
}

// CrossFQE gives each episode the values of a fit on the other folds.
func CrossFQE[S any](episodes []Episode[S], folds []int, opts FQEOptions, regressor Regressor[S]) ([]*Values, error) {
	if len(folds) != len(episodes) {
		return nil, fmt.Errorf("%w: %d folds for %d episodes", ErrTrajectory, len(folds), len(episodes))
	}
	out := make([]*Values, len(episodes))
	err := CrossFit(folds, func(train []int) (*FQEFit[S], error) {
		some := make([]Episode[S], len(train))
		for i, at := range train {
			some[i] = episodes[at]
		}
		return FQE(some, nil, opts, regressor)
	}, func(fit *FQEFit[S], held []int) (err error) {
		for _, at := range held {
			if out[at], err = fit.Values(episodes[at]); err != nil {
				return fmt.Errorf("episode %d: %w", at, err)
			}
		}
		return nil
	})
	return out, err
}
