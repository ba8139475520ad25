// SPDX-License-Identifier: Apache-2.0

package planner_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/learn/offline"
	"github.com/sepsisagent/sepsisagent/engine/learn/planner"
)

func TestWhatIsToldNotToDifferIsNeverChosen(t *testing.T) {
	d := corridor(600, 1)
	told := planner.Told{Admissible: slices.Repeat([][]bool{{true, false, true}}, 6)}
	p, err := planner.Fit(context.Background(), d, planner.Config{Seed: 1, Told: told})
	if err != nil {
		t.Fatal(err)
	}
	for s := range 6 {
		rows, err := p.Probabilities([]offline.Observation{{Features: []float32{float32(s), float32(s % 2)}, State: s}})
		if err != nil || rows[0][0] != 1 {
			t.Errorf("state %d: %v, %v: action 1 goes on, but was told to be an average", s, rows, err)
		}
	}
}

// TestAToldAverageReplacesTheRecord tells that everybody falls: the value that
// the plan expects is then far below what the log shows.
func TestAToldAverageReplacesTheRecord(t *testing.T) {
	d := corridor(200, 2)
	falls := make([]float64, 6+2)
	falls[6] = 1
	p, err := planner.Fit(context.Background(), d, planner.Config{Seed: 1, Told: planner.Told{
		Average: slices.Repeat([][]float64{falls}, 6), Stays: slices.Repeat([][]float64{{1e6, 1e6, 1e6}}, 6)}})
	if err != nil {
		t.Fatal(err)
	}
	// A million earlier stays that fall outweigh some hundred that do not.
	if learnt := fit(t, d).Value; p.Value > 0.1 || learnt < 0.8 {
		t.Errorf("told that all fall it expects %v, learnt from the log %v", p.Value, learnt)
	}
}

func TestWhatIsToldMustFitTheDataset(t *testing.T) {
	d := corridor(200, 3)
	for name, told := range map[string]planner.Told{
		"admissible actions of five states":   {Admissible: slices.Repeat([][]bool{{true, true, true}}, 5)},
		"admissible actions, one too few":     {Admissible: slices.Repeat([][]bool{{true, true}}, 6)},
		"averages without the ends":           {Average: slices.Repeat([][]float64{make([]float64, 6)}, 6)},
		"earlier stays in rows of two widths": {Stays: append(slices.Repeat([][]float64{make([]float64, 3)}, 5), make([]float64, 2))},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := planner.Fit(context.Background(), d, planner.Config{Seed: 1, Told: told}); !errors.Is(err, planner.ErrFit) {
				t.Errorf("got %v", err)
			}
		})
	}
}
