// SPDX-License-Identifier: Apache-2.0

package offline_test

// This file: every learner on a process whose best policy has a closed form.

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/learn/offline"
)

// The corridor: cells 0 to 4, of which 4 is next to the goal. Going forward
// succeeds with probability 0.8 and pays 1 at the goal; going back never helps;
// leaving pays 0.7 at once. One more action may exist that nobody ever took.
const (
	forward, back, leave, unseen = 0, 1, 2, 3

	cells    = 5
	success  = 0.8
	leaving  = 0.7
	gamma    = 0.9
	training = 2500 // episodes
)

// forwardValue is the value of going forward until the goal, from a cell: the
// chance and delay of each success is a geometric sum.
func forwardValue(cell int) float64 {
	stay := 1 / (1 - (1-success)*gamma)
	return success * stay * math.Pow(success*gamma*stay, float64(cells-1-cell))
}

// bestAction is leaving where the goal is too far.
func bestAction(cell int) int {
	if forwardValue(cell) > leaving {
		return forward
	}
	return leave
}

// corridor logs episodes of somebody who takes actions with the probabilities
// p, in cells that are states only where named.
func corridor(seed uint64, p []float64, named bool) *offline.Dataset {
	rng := rand.New(rand.NewPCG(seed, 9))
	d := &offline.Dataset{Inputs: cells, Actions: len(p)}
	if named {
		d.States = cells
	}
	for i := range training {
		e := offline.Episode{Patient: fmt.Sprint(i)}
		previous := offline.NoAction
		for cell := rng.IntN(cells); cell >= 0; {
			s := offline.Step{Observation: inCell(cell), Action: draw(rng, p), SOFA: 10}
			s.Previous = previous
			switch s.Action {
			case forward:
				if rng.Float64() < success {
					cell++
				}
				if cell == cells {
					s.Reward, cell = 1, -1
				}
			case back:
				cell = max(0, cell-1)
			case leave:
				s.Reward, cell = leaving, -1
			}
			e.Steps, previous = append(e.Steps, s), s.Action
		}
		d.Episodes = append(d.Episodes, e)
	}
	return d
}

// draw takes a number with the probabilities p.
func draw(rng *rand.Rand, p []float64) int {
	mark := rng.Float64()
	for i, q := range p {
		if mark -= q; mark < 0 {
			return i
		}
	}
	return 0
}

func inCell(cell int) offline.Observation {
	o := offline.Observation{Features: make([]float32, cells), State: cell, Previous: offline.NoAction}
	o.Features[cell] = 1
	return o
}

func allCells() (out []offline.Observation) {
	for cell := range cells {
		out = append(out, inCell(cell))
	}
	return out
}

// quick are settings for a toy.
func quick(method offline.Method) offline.Config {
	cfg := offline.Defaults(method)
	cfg.Discount, cfg.Hidden, cfg.Batch, cfg.Updates, cfg.LearningRate, cfg.Polyak = gamma, 32, 64, 1500, 3e-3, 0.02
	cfg.Streams, cfg.TargetEvery = min(cfg.Streams, 32), min(cfg.TargetEvery, 50)
	cfg.Expectile = max(cfg.Expectile, 0.97) // nearer to the best action than published: behaviour is uniform here
	cfg.Restarts, cfg.Clusters = min(cfg.Restarts, 4), min(cfg.Clusters, 5)
	return cfg
}

func fit(t *testing.T, d *offline.Dataset, method offline.Method, cfg offline.Config) *offline.Fitted {
	t.Helper()
	f, err := offline.Fit(context.Background(), d, method, cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func probabilities(t *testing.T, p offline.Policy, seen []offline.Observation) [][]float64 {
	t.Helper()
	out, err := p.Probabilities(seen)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var learners = []offline.Method{offline.AIClinician, offline.D3QN, offline.WD3QNE, offline.CQL, offline.BCQ, offline.IQL}

func TestLearnersFindTheBestPolicyOfTheCorridor(t *testing.T) {
	if bestAction(1) != leave || bestAction(2) != forward {
		t.Fatal("the corridor asks nothing of a learner")
	}
	for _, named := range []bool{true, false} {
		d := corridor(1, []float64{1. / 3, 1. / 3, 1. / 3}, named)
		for _, method := range learners {
			if named && method != offline.AIClinician {
				continue // networks read no states
			}
			for cell, p := range probabilities(t, fit(t, d, method, quick(method)), allCells()) {
				if p[bestAction(cell)] != 1 {
					t.Errorf("%s, states named %v: in cell %d it takes %v, the best action is %d", method, named, cell, p, bestAction(cell))
				}
			}
		}
	}
}

func TestConservativeLearnersNeverTakeAnActionThatNobodyTook(t *testing.T) {
	d := corridor(2, []float64{0.4, 0.2, 0.4, 0}, false)
	for _, method := range []offline.Method{offline.AIClinician, offline.CQL, offline.BCQ, offline.IQL, offline.BC, offline.Clinician, offline.MostFrequent} {
		for cell, p := range probabilities(t, fit(t, d, method, quick(method)), allCells()) {
			if p[unseen] > 0.02 || method != offline.Clinician && p[unseen] > 0 {
				t.Errorf("%s: in cell %d the unseen action has probability %v", method, cell, p[unseen])
			}
		}
	}
}

func TestImitationHasTheProbabilitiesOfClinicians(t *testing.T) {
	want := []float64{0.5, 0.3, 0.2}
	d := corridor(3, want, false)
	clinician := probabilities(t, fit(t, d, offline.Clinician, quick(offline.Clinician)), allCells())
	likeliest := probabilities(t, fit(t, d, offline.BC, quick(offline.BC)), allCells())
	for cell := range cells {
		for a := range want {
			// 9,000 steps over 5 cells: three standard errors are 0.035.
			if math.Abs(clinician[cell][a]-want[a]) > 0.05 {
				t.Errorf("in cell %d action %d has probability %.3f, clinicians' is %.3f", cell, a, clinician[cell][a], want[a])
			}
		}
		if likeliest[cell][forward] != 1 {
			t.Errorf("in cell %d BC takes %v, the likeliest action is %d", cell, likeliest[cell], forward)
		}
	}
}

func TestPlainPolicies(t *testing.T) {
	d := corridor(4, []float64{0.2, 0.5, 0.3}, false)
	for _, c := range []struct {
		method   offline.Method
		previous int
		allowed  []bool
		want     []float64
	}{
		{offline.NoTreatment, 2, nil, []float64{1, 0, 0}},
		{offline.NoTreatment, 2, []bool{false, true, true}, []float64{0, 0.5, 0.5}},
		{offline.Random, 1, nil, []float64{1. / 3, 1. / 3, 1. / 3}},
		{offline.Random, 1, []bool{true, false, true}, []float64{0.5, 0, 0.5}},
		{offline.MostFrequent, 0, nil, []float64{0, 1, 0}},
		{offline.Persistence, 2, nil, []float64{0, 0, 1}},
		{offline.Persistence, offline.NoAction, nil, []float64{0, 1, 0}},
		{offline.Persistence, 2, []bool{true, false, false}, []float64{1, 0, 0}},
	} {
		o := inCell(0)
		o.Previous, o.Allowed = c.previous, c.allowed
		got := probabilities(t, fit(t, d, c.method, offline.Defaults(c.method)), []offline.Observation{o})[0]
		for a := range got {
			if math.Abs(got[a]-c.want[a]) > 1e-12 {
				t.Errorf("%s after %d among %v: %v, want %v", c.method, c.previous, c.allowed, got, c.want)
			}
		}
	}
}

func TestFitStopsWithTheContext(t *testing.T) {
	d := corridor(5, []float64{0.4, 0.3, 0.3}, false)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, method := range []offline.Method{offline.D3QN, offline.IQL, offline.BC, offline.AIClinician} {
		if _, err := offline.Fit(ctx, d, method, quick(method), nil); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want that it was stopped", method, err)
		}
	}
}

func TestFuncIsAPolicy(t *testing.T) {
	var p offline.Policy = offline.Func(func(o offline.Observation) ([]float64, error) {
		if o.State == 3 {
			return nil, offline.ErrObservation
		}
		return []float64{1, 0}, nil
	})
	if got := probabilities(t, p, allCells()[:2]); len(got) != 2 || got[1][0] != 1 {
		t.Errorf("the function's answer is lost: %v", got)
	}
	if _, err := p.Probabilities(allCells()); !errors.Is(err, offline.ErrObservation) {
		t.Errorf("the function's error is lost: %v", err)
	}
}
