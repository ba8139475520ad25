// SPDX-License-Identifier: Apache-2.0

package policy

// This file: what judging costs.

import (
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

func BenchmarkJudge(b *testing.B) {
	p := shipped(b)
	tl := known()
	prop := &Proposal{Direction: DirectionStart, Drug: state.DrugNorepinephrine, NENextUgKgMin: 0.05, DrugNextUgKgMin: 0.05}
	fc := &world.Forecast{Steps: make([]world.StepForecast, 3), Support: 0.1}
	for _, c := range []struct {
		name string
		p    *Proposal
		fc   *world.Forecast
	}{{"chart", nil, nil}, {"proposal", prop, nil}, {"future", prop, fc}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Judge(tl, c.p, c.fc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
