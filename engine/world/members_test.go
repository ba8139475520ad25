// SPDX-License-Identifier: Apache-2.0

package world

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// TestMembersAloneMakeUpTheWhole: all of them are the model, and the medians of
// usual-scale features lie between those of single members.
func TestMembersAloneMakeUpTheWhole(t *testing.T) {
	m, err := Load(configs.FS, "model")
	if err != nil {
		t.Fatal(err)
	}
	course := physiology.New(3, physiology.SepticShock).Run(24, physiology.Fixed(0.1, 50))
	tl, err := state.Build(course.Chart(), course.Until(), state.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	median := func(f Forecaster) float64 {
		out, err := f.Forecast(context.Background(), tl, []Plan{{Doses: []Dose{{NEUgKgMin: 0.2, FluidMl: 250}}}}, 65)
		if err != nil {
			t.Fatal(err)
		}
		return out[0].Steps[0].Band[state.HeartRate].Median
	}
	var all []int
	lo, hi := math.Inf(1), math.Inf(-1)
	for k := range m.Info().Members {
		one, err := m.Only(k)
		if err != nil || one.Info().Members != 1 || one.Info().Hash != m.Info().Hash {
			t.Fatalf("member %d: %+v, %v", k, one.Info(), err)
		}
		all = append(all, k)
		lo, hi = min(lo, median(one)), max(hi, median(one))
	}
	whole, err := m.Only(all...)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := median(whole), median(m); got != want || got < lo || got > hi {
		t.Errorf("all members say %g, the model %g, single ones %g to %g", got, want, lo, hi)
	}
	for _, bad := range [][]int{nil, {-1}, {len(all)}, {0, 0}} {
		if _, err := m.Only(bad...); !errors.Is(err, ErrMembers) {
			t.Errorf("members %v: %v", bad, err)
		}
	}
}
