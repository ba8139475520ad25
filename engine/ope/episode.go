// SPDX-License-Identifier: Apache-2.0

package ope

// This file: episodes with their states, which the nuisance models (behaviour
// policy and value function) are fitted on, and how they become trajectories.

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
)

// Episode is one logged episode with states of type S and the target policy's
// whole distribution in each. The slices have one element per step; what
// follows the last step is the end, with value 0.
type Episode[S any] struct {
	Patient string
	States  []S
	// Actions are the logged actions, from 0.
	Actions []int
	Rewards []float64
	// Target is π(·|s_t).
	Target [][]float64
}

// validate checks an episode against a number of actions.
func (e Episode[S]) validate(actions int) error {
	n := len(e.Rewards)
	if n == 0 {
		return fmt.Errorf("%w: no steps", ErrTrajectory)
	}
	if len(e.States) != n || len(e.Actions) != n || len(e.Target) != n {
		return fmt.Errorf("%w: %d rewards, %d states, %d actions, %d target distributions", ErrTrajectory, n, len(e.States), len(e.Actions), len(e.Target))
	}
	for t, a := range e.Actions {
		if a < 0 || a >= actions || len(e.Target[t]) != actions {
			return fmt.Errorf("step %d: %w: action %d, %d probabilities, for %d actions", t, ErrTrajectory, a, len(e.Target[t]), actions)
		}
		if err := distributions(e.Target[t]); err != nil {
			return fmt.Errorf("step %d: %w", t, err)
		}
		if !finite(e.Rewards[t]) {
			return fmt.Errorf("step %d: reward: %w", t, ErrNumber)
		}
	}
	return nil
}

// Trajectory gives what the estimators read: behaviour is b(·|s_t) per step,
// values may be nil.
func (e Episode[S]) Trajectory(behaviour [][]float64, values *Values) (Trajectory, error) {
	if len(behaviour) != len(e.Rewards) || len(behaviour) == 0 {
		return Trajectory{}, fmt.Errorf("%w: %d behaviour distributions for %d steps", ErrTrajectory, len(behaviour), len(e.Rewards))
	}
	if err := e.validate(len(behaviour[0])); err != nil {
		return Trajectory{}, err
	}
	out := Trajectory{Patient: e.Patient, Rewards: e.Rewards, Values: values}
	for t, a := range e.Actions {
		if err := distributions(e.Target[t], behaviour[t]); err != nil {
			return Trajectory{}, fmt.Errorf("step %d: %w", t, err)
		}
		out.Behaviour = append(out.Behaviour, behaviour[t][a])
		out.Target = append(out.Target, e.Target[t][a])
	}
	return out, nil
}

// Folds deals patients into k folds of nearly equal size and gives the fold of
// each trajectory. All trajectories of a patient share one, and neither the
// order of trajectories nor that of ids matters.
func Folds(patients []string, k int, seed uint64) ([]int, error) {
	unique := slices.Compact(slices.Sorted(slices.Values(patients)))
	if k < 2 || k > len(unique) {
		return nil, fmt.Errorf("%d folds of %d patients: %w", k, len(unique), ErrOption)
	}
	place := rand.New(rand.NewPCG(seed, 0x666f6c64)).Perm(len(unique))
	out := make([]int, len(patients))
	for i, id := range patients {
		at, _ := slices.BinarySearchFunc(unique, id, cmp.Compare[string])
		out[i] = place[at] % k
	}
	return out, nil
}

// CrossFit fits a nuisance model on the trajectories outside each fold and
// applies it to those inside, so that no trajectory is evaluated with a model
// that has seen it. The callbacks get places in the list that folds describe.
func CrossFit[M any](folds []int, fit func(train []int) (M, error), apply func(model M, held []int) error) error {
	if len(folds) == 0 {
		return ErrEmpty
	}
	for f := range slices.Max(folds) + 1 {
		var train, held []int
		for i, g := range folds {
			if g == f {
				held = append(held, i)
			} else {
				train = append(train, i)
			}
		}
		if len(held) == 0 {
			continue
		}
		if len(train) == 0 {
			return fmt.Errorf("fold %d holds every trajectory: %w", f, ErrOption)
		}
		model, err := fit(train)
		if err != nil {
			return fmt.Errorf("fold %d: %w", f, err)
		}
		if err := apply(model, held); err != nil {
			return fmt.Errorf("fold %d: %w", f, err)
		}
	}
	return nil
}

// Soften gives a deterministic policy probabilities: 1−epsilon for best, and
// epsilon spread evenly over the other allowed actions (all when allowed is
// nil). It is the policy that is evaluated, so it is also the one to deploy, or
// the difference is to be said with a table over epsilon.
func Soften(best, actions int, epsilon float64, allowed []bool) ([]float64, error) {
	if best < 0 || best >= actions || !(epsilon >= 0 && epsilon < 1) || allowed != nil && (len(allowed) != actions || !allowed[best]) {
		return nil, fmt.Errorf("soften action %d of %d by %v: %w", best, actions, epsilon, ErrOption)
	}
	others := 0.0
	for a := range actions {
		if a != best && (allowed == nil || allowed[a]) {
			others++
		}
	}
	out := make([]float64, actions)
	if others == 0 {
		out[best] = 1
		return out, nil
	}
	for a := range out {
		if a == best {
			out[a] = 1 - epsilon
		} else if allowed == nil || allowed[a] {
			out[a] = epsilon / others
		}
	}
	return out, nil
}

// Mix is (1−epsilon)·π + epsilon·b: it keeps the target inside the support of
// b, and its ratio to b is at least epsilon, so no weight is zero.
func Mix(target, behaviour []float64, epsilon float64) ([]float64, error) {
	if !(epsilon >= 0 && epsilon <= 1) {
		return nil, fmt.Errorf("mixing %v: %w: want [0, 1]", epsilon, ErrOption)
	}
	if err := distributions(target, behaviour); err != nil {
		return nil, err
	}
	out := make([]float64, len(target))
	for a := range out {
		out[a] = (1-epsilon)*target[a] + epsilon*behaviour[a]
	}
	return out, nil
}
