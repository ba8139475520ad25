// SPDX-License-Identifier: Apache-2.0

package world

// This file: states to forecast from in the property tests, and the models
// they are asked of: of the generator of patients, of anything at all, and of
// real stays where those are at hand.

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// asked are the native models that properties are checked of: the committed
// one, and a small one trained just now, whose weights nobody has looked at.
func asked(t *testing.T) map[string]*Model {
	t.Helper()
	models := map[string]*Model{"trained just now": mustToy(t)}
	m, err := committedOnce()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		t.Log("SKIPPED for the committed weights: there are none")
	case err != nil:
		t.Fatal(err)
	default:
		models["committed"] = m
	}
	return models
}

var committedOnce = sync.OnceValues(func() (*Model, error) { return Load(os.DirFS("../../configs/model"), ".") })

// of asks every model.
func of[M any](t *testing.T, models map[string]M, ask func(t *testing.T, m M)) {
	for name, m := range models {
		t.Run(name, func(t *testing.T) { ask(t, m) })
	}
}

// drawPatient is a patient of the generator: any scenario, any hour, treated as
// a clinician does or by chance.
func drawPatient(t *rapid.T) *physiology.Patient {
	p := physiology.New(rapid.Uint64().Draw(t, "patient"), rapid.SampledFrom(physiology.Scenarios()).Draw(t, "scenario"))
	p.Run(float64(rapid.IntRange(1, 48).Draw(t, "hours")), drawTreatment(t))
	return p
}

func drawTreatment(t *rapid.T) physiology.Treatment {
	behaviour := rapid.SampledFrom([]physiology.Behaviour{physiology.BehaviourClinician, physiology.BehaviourRandomised}).Draw(t, "behaviour")
	treatment, err := behaviour.Treatment()
	if err != nil {
		t.Fatal(err)
	}
	return treatment
}

// known is what a chart says at a time.
func known(t *rapid.T, chart *state.Chart, at time.Time) *state.Timeline {
	tl, err := state.Build(chart, at, state.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	return tl
}

// drawState draws a state of the generator, or anything that a timeline can
// hold.
func drawState(t *rapid.T) *state.Timeline {
	if rapid.Bool().Draw(t, "of the generator") {
		p := drawPatient(t)
		return known(t, p.Course().Chart(), p.Now())
	}
	return drawTimeline(t)
}

// realStates are the timelines of real stays, every twelve hours of the first
// three days.
func realStates(t *testing.T) []*state.Timeline {
	t.Helper()
	if testing.Short() {
		t.Skip("short: real data are left out")
	}
	states, err := realStatesOnce()
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("SKIPPED: no real data: %v (hint: set SEPSISAGENT_DATA)", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return states
}

var realStatesOnce = sync.OnceValues(func() (states []*state.Timeline, err error) {
	root := os.Getenv("SEPSISAGENT_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "data")
	} else if !filepath.IsAbs(root) {
		root = filepath.Join("..", "..", root)
	}
	dir := filepath.Join(root, "mimic-iv-demo-fhir")
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	maps, err := fhir.LoadCodeMaps(configs.FS)
	if err != nil {
		return nil, err
	}
	mapper := fhir.NewMapper(maps)
	folder, err := mapper.OpenFolder(context.Background(), dir)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	patients, err := folder.Patients()
	if err != nil {
		return nil, err
	}
	for _, id := range patients {
		bag, err := folder.Bag(id)
		if err != nil {
			return nil, err
		}
		for _, stay := range mapper.Stays(bag) {
			if !stay.ICU || stay.Start.IsZero() {
				continue
			}
			chart, err := mapper.Chart(bag, stay.ID, time.Time{})
			if err != nil {
				return nil, err
			}
			for h := 12; h <= 72; h += 12 {
				at := stay.Start.Add(time.Duration(h) * time.Hour)
				if !stay.End.IsZero() && at.After(stay.End) {
					break
				}
				tl, err := state.Build(chart, at, state.DefaultConfig())
				if err != nil {
					return nil, err
				}
				states = append(states, tl)
			}
		}
	}
	return states, nil
})
