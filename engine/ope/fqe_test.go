// SPDX-License-Identifier: Apache-2.0

package ope_test

// This file: fitted Q evaluation against exact values, and cross-fitting.

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/ope"
)

// episode gives a path with the state at each step coded by code.
func episode[S any](p path, id int, code func(state, step int) S) ope.Episode[S] {
	out := ope.Episode[S]{Patient: fmt.Sprintf("patient-%05d", id), Actions: p.actions, Rewards: p.rewards}
	for t, s := range p.states {
		out.States, out.Target = append(out.States, code(s, t)), append(out.Target, target[s])
	}
	return out
}

// placed numbers states apart for each step, which makes the toy's finite
// horizon Markov.
func placed(s, t int) int { return 3*t + s }

func oneHot(s, t int) []float64 {
	x := make([]float64, 8) // the ninth place is the intercept's
	if k := placed(s, t); k < len(x) {
		x[k] = 1
	}
	return x
}

func episodes[S any](paths []path, code func(state, step int) S) []ope.Episode[S] {
	out := make([]ope.Episode[S], len(paths))
	for i, p := range paths {
		out[i] = episode(p, i, code)
	}
	return out
}

func TestFQEOnThePopulationIsExact(t *testing.T) {
	exact, _ := toy.q(target, 0.9)
	all := toy.paths(clinician)
	weights := make([]float64, len(all))
	for i, p := range all {
		weights[i] = p.chance
	}
	opts := ope.FQEOptions{Actions: 2, Discount: 0.9}
	byTable, err := ope.FQE(episodes(all, placed), weights, opts, ope.Table{States: 9})
	if err != nil {
		t.Fatal(err)
	}
	byRidge, err := ope.FQE(episodes(all, oneHot), weights, opts, ope.Ridge{Penalty: 1e-12})
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range all {
		want := p.trajectory("", clinician, target, exact).Values
		table, err := byTable.Values(episode(p, i, placed))
		if err != nil {
			t.Fatal(err)
		}
		ridge, err := byRidge.Values(episode(p, i, oneHot))
		if err != nil {
			t.Fatal(err)
		}
		for step := range want.Q {
			near(t, "tabular Q", table.Q[step], want.Q[step], 1e-12)
			near(t, "tabular V", table.V[step], want.V[step], 1e-12)
			near(t, "ridge Q", ridge.Q[step], want.Q[step], 1e-7)
			near(t, "ridge V", ridge.V[step], want.V[step], 1e-7)
		}
	}
	if byTable.Moved > 1e-9 || byTable.Rounds > 6 {
		t.Errorf("%d rounds, the last moved a target by %v", byTable.Rounds, byTable.Moved)
	}
}

func TestRepeatingAnEpisodeIsWeighingIt(t *testing.T) {
	paths := toy.sample(rand.New(rand.NewPCG(1, 1)), clinician, 40)
	times := ope.Draw(5, 0, len(paths))
	var repeated []path
	for i, p := range paths {
		for range int(times[i]) {
			repeated = append(repeated, p)
		}
	}
	opts := ope.FQEOptions{Actions: 2}
	weighed, err := ope.FQE(episodes(paths, oneHot), times, opts, ope.Ridge{Penalty: 1})
	if err != nil {
		t.Fatal(err)
	}
	repeat, err := ope.FQE(episodes(repeated, oneHot), nil, opts, ope.Ridge{Penalty: 1})
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range paths {
		a, _ := weighed.Values(episode(p, i, oneHot))
		b, _ := repeat.Values(episode(p, i, oneHot))
		for step := range a.Q {
			near(t, "Q", a.Q[step], b.Q[step], 1e-9)
		}
	}
}

func TestUnseenActionsGetTheMeanOfTheirState(t *testing.T) {
	e := ope.Episode[int]{Patient: "a", States: []int{0}, Actions: []int{1}, Rewards: []float64{4}, Target: [][]float64{{1, 0, 0}}}
	fit, err := ope.FQE([]ope.Episode[int]{e}, nil, ope.FQEOptions{Actions: 3}, ope.Table{States: 2})
	if err != nil {
		t.Fatal(err)
	}
	v, err := fit.Values(e)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "V of an action never taken here", v.V[0], 4, 0)
	e.States[0] = 1
	if v, err = fit.Values(e); err != nil {
		t.Fatal(err)
	}
	near(t, "V of a state never seen", v.V[0], 4, 0)
}

func TestBoundsHoldValues(t *testing.T) {
	e := episodes(toy.paths(clinician), oneHot)
	fit, err := ope.FQE(e, nil, ope.FQEOptions{Actions: 2, Low: -0.5, High: 1}, ope.Ridge{Penalty: 0.1})
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range e {
		v, err := fit.Values(one)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range slices.Concat(v.Q, v.V) {
			if x < -0.5 || x > 1 {
				t.Fatalf("a value of %v", x)
			}
		}
	}
}

func TestCrossFittingNeverSeesThePatient(t *testing.T) {
	paths := toy.sample(rand.New(rand.NewPCG(3, 1)), clinician, 60)
	e := episodes(paths, placed)
	ids := make([]string, len(e))
	for i := range e {
		e[i].Patient = fmt.Sprint("patient ", i/2) // two stays each
		ids[i] = e[i].Patient
	}
	folds, err := ope.Folds(ids, 5, 1)
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[int]int{}
	for i, f := range folds {
		sizes[f]++
		if f != folds[i/2*2] {
			t.Errorf("the stays of patient %d are in two folds", i/2)
		}
	}
	if len(sizes) != 5 || sizes[0] != 12 {
		t.Errorf("folds of sizes %v", sizes)
	}
	opts := ope.FQEOptions{Actions: 2}
	before, err := ope.CrossFQE(e, folds, opts, ope.Table{States: 9, Prior: 1})
	if err != nil {
		t.Fatal(err)
	}
	// Changing what one patient got changes no value of that patient's, and
	// some of other patients'.
	changed := slices.Clone(e)
	changed[0].Rewards = slices.Repeat([]float64{100}, len(e[0].Rewards))
	after, err := ope.CrossFQE(changed, folds, opts, ope.Table{States: 9, Prior: 1})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(before[0], after[0]) || !reflect.DeepEqual(before[1], after[1]) {
		t.Error("a patient's own rewards reach the patient's values")
	}
	if reflect.DeepEqual(before, after) {
		t.Error("rewards reach no values at all")
	}
}

func TestBadFitsAreRefused(t *testing.T) {
	good := episodes(toy.paths(clinician)[:4], placed)
	opts := ope.FQEOptions{Actions: 2}
	with := func(edit func(*ope.Episode[int])) []ope.Episode[int] {
		out := slices.Clone(good)
		edit(&out[1])
		return out
	}
	for _, tc := range []struct {
		name     string
		episodes []ope.Episode[int]
		opts     ope.FQEOptions
		table    ope.Table
		want     error
	}{
		{"no episodes", nil, opts, ope.Table{States: 9}, ope.ErrEmpty},
		{"no actions", good, ope.FQEOptions{}, ope.Table{States: 9}, ope.ErrOption},
		{"a discount above one", good, ope.FQEOptions{Actions: 2, Discount: 2}, ope.Table{States: 9}, ope.ErrOption},
		{"bounds the wrong way round", good, ope.FQEOptions{Actions: 2, Low: 1, High: -1}, ope.Table{States: 9}, ope.ErrOption},
		{"a state beyond the table", good, opts, ope.Table{States: 1}, ope.ErrOption},
		{"more probabilities than actions", good, ope.FQEOptions{Actions: 1}, ope.Table{States: 9}, ope.ErrTrajectory},
		{"a reward that is not a number", with(func(e *ope.Episode[int]) {
			e.Rewards = []float64{math.NaN()}
			e.States = e.States[:1]
			e.Actions = e.Actions[:1]
			e.Target = e.Target[:1]
		}), opts, ope.Table{States: 9}, ope.ErrNumber},
		{"an episode without steps", with(func(e *ope.Episode[int]) { *e = ope.Episode[int]{} }), opts, ope.Table{States: 9}, ope.ErrTrajectory},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := ope.FQE(tc.episodes, nil, tc.opts, tc.table); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	flat := ope.Episode[[]float64]{Patient: "a", States: [][]float64{{1}}, Actions: []int{0}, Rewards: []float64{1}, Target: [][]float64{{1, 0}}}
	if _, err := ope.FQE([]ope.Episode[[]float64]{flat}, nil, opts, ope.Ridge{}); !errors.Is(err, ope.ErrSingular) {
		t.Errorf("one row for two unknowns without penalty: %v", err)
	}
	if _, err := ope.Folds([]string{"a", "a"}, 2, 1); !errors.Is(err, ope.ErrOption) {
		t.Errorf("two folds of one patient: %v", err)
	}
}
