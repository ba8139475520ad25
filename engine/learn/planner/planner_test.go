// SPDX-License-Identifier: Apache-2.0

package planner_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/learn/icusepsis"
	"github.com/sepsisagent/sepsisagent/engine/learn/offline"
	"github.com/sepsisagent/sepsisagent/engine/learn/planner"
)

// corridor logs walks of random actions along six states. Action 1 goes on with
// chance 0.8, action 0 falls with chance 0.3; what is beyond the end is worth 1.
// Action 2 is never taken.
func corridor(n int, seed uint64) *offline.Dataset {
	const states = 6
	rng := rand.New(rand.NewPCG(seed, 1))
	d := &offline.Dataset{Inputs: 2, Actions: 3, States: states}
	for i := range n {
		e := offline.Episode{Patient: strconv.Itoa(i)}
		for s := 0; ; {
			a := rng.IntN(2)
			step := offline.Step{Observation: offline.Observation{Features: []float32{float32(s), float32(s % 2)}, State: s, Previous: offline.NoAction}, Action: a}
			fell := a == 0 && rng.Float64() < 0.3
			if !fell && rng.Float64() < 0.8 {
				s++
			}
			if s == states {
				step.Reward = 1
			}
			e.Steps = append(e.Steps, step)
			if fell || s == states {
				break
			}
		}
		d.Episodes = append(d.Episodes, e)
	}
	return d
}

func fit(t *testing.T, d *offline.Dataset) *planner.Plan {
	t.Helper()
	p, err := planner.Fit(context.Background(), d, planner.Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestThePlanGoesOnAndNeverDoesWhatNobodyDid(t *testing.T) {
	p := fit(t, corridor(600, 1))
	for s := range 6 {
		o := offline.Observation{Features: []float32{float32(s), float32(s % 2)}, State: s}
		rows, err := p.Probabilities([]offline.Observation{o})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(rows[0], []float64{0, 1, 0}) {
			t.Errorf("state %d: %v", s, rows[0])
		}
		o.Allowed = []bool{true, false, true}
		if rows, err = p.Probabilities([]offline.Observation{o}); err != nil || !reflect.DeepEqual(rows[0], []float64{0.5, 0, 0.5}) {
			t.Errorf("state %d without action 1: %v, %v", s, rows, err)
		}
	}
	if p.Value < 0.9 || p.Value > 1 {
		t.Errorf("going on always arrives; the model expects %v", p.Value)
	}
}

func TestWhereNobodyWasSeenToActTheCommonestActionIsTaken(t *testing.T) {
	d := corridor(200, 6)
	for i := range d.Episodes { // what followed in the last state is not known
		e := &d.Episodes[i]
		for at, s := range e.Steps {
			if s.State == 5 {
				e.Steps, e.Cut = e.Steps[:at+1], true
				e.Steps[at].Action, e.Steps[at].Reward = 2, 0
				break
			}
		}
	}
	d.Episodes[0].Cut = false
	p := fit(t, d)
	rows, err := p.Probabilities([]offline.Observation{{Features: []float32{4, 0}, State: 4}, {Features: []float32{5, 1}, State: 5}})
	if err != nil || rows[1][2] == 1 {
		t.Errorf("%v, %v", rows, err)
	}
}

func TestAStateThatWasNeverSeenIsThatOfTheNearest(t *testing.T) {
	d := corridor(200, 2)
	d.States = 9
	p := fit(t, d)
	rows, err := p.Probabilities([]offline.Observation{{Features: []float32{5.2, 1}, State: 8}})
	if err != nil || rows[0][1] != 1 {
		t.Errorf("%v, %v", rows, err)
	}
	if _, err := p.Probabilities([]offline.Observation{{Features: []float32{1}}}); !errors.Is(err, offline.ErrObservation) {
		t.Errorf("one feature of two: %v", err)
	}
}

func TestTheSameLogGivesTheSamePlanOnAnyNumberOfCores(t *testing.T) {
	d := corridor(300, 3)
	one := fit(t, d)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if two := fit(t, d); !reflect.DeepEqual(one, two) {
		t.Error("the plans differ")
	}
}

func TestWhatCannotBePlannedIsRefused(t *testing.T) {
	early := corridor(20, 4)
	early.Episodes[0].Steps = append([]offline.Step(nil), early.Episodes[1].Steps...)
	early.Episodes[0].Steps[0].Reward = 0.5
	nameless := corridor(20, 4)
	nameless.States = 0
	alone := corridor(1, 4)
	cut := corridor(20, 4)
	for i := range cut.Episodes {
		cut.Episodes[i].Cut = true
	}
	for name, d := range map[string]*offline.Dataset{"a reward before the end": early, "states without numbers": nameless, "one patient": alone, "no stay that ends": cut} {
		t.Run(name, func(t *testing.T) {
			if _, err := planner.Fit(context.Background(), d, planner.Config{}); !errors.Is(err, planner.ErrFit) {
				t.Errorf("error %v", err)
			}
		})
	}
	if _, err := planner.Fit(context.Background(), &offline.Dataset{}, planner.Config{}); !errors.Is(err, offline.ErrDataset) {
		t.Errorf("nothing at all: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := planner.Fit(ctx, corridor(100, 5), planner.Config{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that ended: %v", err)
	}
}

// TestPlansAreWorthMoreThanCliniciansOnICUSepsis holds the values that
// docs/icu-sepsis.md shows, with room for three logs in place of ten.
func TestPlansAreWorthMoreThanCliniciansOnICUSepsis(t *testing.T) {
	root := os.Getenv("SEPSISAGENT_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared", "data")
	}
	dir := filepath.Join(root, "icu-sepsis")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no ICU-Sepsis tables at %s (hint: set SEPSISAGENT_DATA)", dir)
	}
	if testing.Short() {
		t.Skip("reads 77 MB of tables and makes four plans")
	}
	m, err := icusepsis.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []struct {
		stays int
		seeds uint64
		least float64
	}{{1000, 3, 0.785}, {10_000, 1, 0.812}} {
		mean := 0.0
		for seed := range size.seeds {
			d, err := m.Log(size.stays, seed+1)
			if err != nil {
				t.Fatal(err)
			}
			v, err := m.Value(fit(t, d))
			if err != nil {
				t.Fatal(err)
			}
			mean += v / float64(size.seeds)
		}
		t.Logf("%d stays: %.4f, mean of %d logs; clinicians 0.7818, optimal 0.8751", size.stays, mean, size.seeds)
		if mean < size.least {
			t.Errorf("%d stays: %.4f, want at least %v", size.stays, mean, size.least)
		}
	}
}
