// SPDX-License-Identifier: Apache-2.0

package world_test

// This file: how long the shipped model takes to answer what-if questions.

import (
	"context"
	"fmt"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// BenchmarkWhatIf asks for the five-by-five actions, one and six steps ahead,
// of the whole ensemble, bands and chances included.
func BenchmarkWhatIf(b *testing.B) {
	m := shipped(b)
	p := physiology.New(42, physiology.SepticShock)
	tl, err := state.Build(p.Run(20, physiology.Fixed(0.1, 50)).Chart(), p.Now(), state.DefaultConfig())
	if err != nil {
		b.Fatal(err)
	}
	for _, actions := range []int{1, 25} {
		for _, steps := range []int{1, world.Horizon} {
			b.Run(fmt.Sprintf("%dx%d", actions, steps), func(b *testing.B) {
				plans := everyAction(actions, steps)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := m.Forecast(context.Background(), tl, plans, 65); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func everyAction(actions, steps int) []world.Plan {
	plans := make([]world.Plan, actions)
	for i := range plans {
		plans[i] = world.Plan{Name: "action"}
		for range steps {
			plans[i].Doses = append(plans[i].Doses, world.Dose{NEUgKgMin: 0.1 * float64(i/5), FluidMl: 250 * float64(i%5)})
		}
	}
	return plans
}
