// SPDX-License-Identifier: Apache-2.0

package world_test

// This file: what is promised of the committed weights beside their effects.

import (
	"bytes"
	"context"
	"os"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

func TestTheCommittedCardIsTheGeneratedOne(t *testing.T) {
	m := shipped(t)
	if os.Getenv("SEPSISAGENT_MODEL") != "" {
		t.Skip("another model is under test")
	}
	file, err := os.ReadFile("../../configs/model/MODEL_CARD.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(file, m.Card()) {
		t.Fatal("configs/model/MODEL_CARD.md is not what `model card` prints (hint: write it again with that command)")
	}
}

// A timeline that was written to JSON and read back, as a cohort file does,
// gives the same forecast as the one built from the chart.
func TestAStoredTimelineForecastsTheSame(t *testing.T) {
	m := shipped(t)
	clinician, err := physiology.BehaviourClinician.Treatment()
	if err != nil {
		t.Fatal(err)
	}
	p := physiology.New(42, physiology.SepticShock)
	course := p.Run(20, clinician)
	tl, err := state.Build(course.Chart(), p.Now(), state.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	stored := roundTrip(t, tl)
	plans := []world.Plan{{Name: "x", Doses: []world.Dose{{NEUgKgMin: 0.1, FluidMl: 200}, {NEUgKgMin: 0.2}}}}
	a, err := m.Forecast(context.Background(), tl, plans, 65)
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.Forecast(context.Background(), stored, plans, 65)
	if err != nil {
		t.Fatal(err)
	}
	if a[0].Steps[1] != b[0].Steps[1] || a[0].Support != b[0].Support || a[0].OOD != b[0].OOD {
		t.Fatal("forecasts differ between a timeline and its stored form")
	}
}

// BenchmarkShippedForecast is what one decision asks at most: 12 plans over
// six steps.
func BenchmarkShippedForecast(b *testing.B) {
	m := shipped(b)
	p := physiology.New(42, physiology.SepticShock)
	tl, err := state.Build(p.Run(20, physiology.Fixed(0.1, 50)).Chart(), p.Now(), state.DefaultConfig())
	if err != nil {
		b.Fatal(err)
	}
	var plans []world.Plan
	for i := range 12 {
		plan := world.Plan{Name: "x"}
		for range world.Horizon {
			plan.Doses = append(plan.Doses, world.Dose{NEUgKgMin: 0.02 * float64(i), FluidMl: 100})
		}
		plans = append(plans, plan)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Forecast(context.Background(), tl, plans, 65); err != nil {
			b.Fatal(err)
		}
	}
}

func roundTrip(t *testing.T, tl *state.Timeline) *state.Timeline {
	t.Helper()
	js, err := tl.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	row := cohort.Row{Canonical: js}
	back, err := row.Timeline()
	if err != nil {
		t.Fatal(err)
	}
	return back
}
