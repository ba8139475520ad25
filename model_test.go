// SPDX-License-Identifier: Apache-2.0

package main

// This file: the embedded world model at work: it must move decisions, and
// norepinephrine must raise the pressure it forecasts.

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// septicTimelines are synthetic patients at 12 h for whom the agent plans.
func septicTimelines(t *testing.T, cfg state.Config, patients int) []*state.Timeline {
	t.Helper()
	courses, err := physiology.Cohort(physiology.CohortConfig{Patients: patients, Seed: 77, Hours: 16})
	if err != nil {
		t.Fatal(err)
	}
	var out []*state.Timeline
	for c := range courses {
		chart := c.Chart()
		tl, err := state.Build(chart, chart.Stay.Start.Add(12*time.Hour), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if tl.Present.Sepsis.Met {
			out = append(out, tl)
		}
	}
	return out
}

func TestSwappingTheShippedModelForPersistenceChangesDecisions(t *testing.T) {
	r, err := openRooms(defaultConfig(), "")
	if err != nil {
		t.Fatal(err)
	}
	decide := func(m world.Forecaster, tl *state.Timeline) agent.Decision {
		n, err := agent.New(m, r.rules, r.cfg.Agent)
		if err != nil {
			t.Fatal(err)
		}
		d, err := n.Decide(context.Background(), tl, 1)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	planned, changed := 0, 0
	for _, tl := range septicTimelines(t, r.cfg.State, 60) {
		ours, still := decide(r.model, tl), decide(world.Persistence{}, tl)
		if len(ours.Options) == 0 {
			continue
		}
		planned++
		a, errA := json.Marshal(struct{ S, A any }{ours.Status, ours.Advice})
		b, errB := json.Marshal(struct{ S, A any }{still.Status, still.Advice})
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if string(a) != string(b) {
			changed++
		}
	}
	t.Logf("%d of %d planned decisions change", changed, planned)
	if planned < 10 || 5*changed < planned {
		t.Errorf("%d of %d planned decisions change with the model: it is decoration", changed, planned)
	}
}

func TestTheShippedModelRaisesPressureWithNorepinephrine(t *testing.T) {
	r, err := openRooms(defaultConfig(), "")
	if err != nil {
		t.Fatal(err)
	}
	tls := septicTimelines(t, r.cfg.State, 60)
	raised := 0
	for _, tl := range tls {
		now := tl.Present.NEUgKgMin
		plans := []world.Plan{
			{Name: "as now", Doses: []world.Dose{{NEUgKgMin: now}}},
			{Name: "more", Doses: []world.Dose{{NEUgKgMin: now + 0.1}}},
		}
		fc, err := r.model.Forecast(context.Background(), tl, plans, 65)
		if err != nil {
			t.Fatal(err)
		}
		if fc[1].Steps[0].Band[state.MeanBP].Median > fc[0].Steps[0].Band[state.MeanBP].Median {
			raised++
		}
	}
	if len(tls) < 20 || 10*raised < 9*len(tls) {
		t.Errorf("norepinephrine raises the forecast MAP in %d of %d states, want at least 90 %%", raised, len(tls))
	}
}
