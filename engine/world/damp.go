// SPDX-License-Identifier: Apache-2.0

package world

// This file: damping of effects by known counterfactuals. Randomised patients
// bear out an effect on average, over all the doses that were drawn; what a
// plan asks is a small step from the treatment that runs, mostly in patients
// who are not in shock. Simulated patients with two known futures say how much
// of an effect is left for that question.

import (
	"context"
	"iter"
	"math"
)

// dampPair is one question about one patient, quantity and step.
type dampPair struct {
	feature int
	base    float64          // forecast under the first plan, standardised
	part    [numActs]float64 // what each act adds under the second
	truth   float64          // difference, canonical units
}

// dampGrid are the shares tried for each act.
var dampGrid = []float64{0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1}

// damp lowers the shares of the effects on lactate and urine to those with the
// smallest squared error of the difference between two plans. Effects on
// pressure stay as they are. Its errors are those of patients.
func (m *Model) damp(ctx context.Context, patients iter.Seq2[Simulated, error]) error {
	pairs := map[int][]dampPair{}
	for p, err := range patients {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		m.dampPairs(&p, pairs)
	}
	for _, q := range quantities {
		if isPressure(q.feature) || len(pairs[q.feature]) == 0 {
			continue
		}
		share := m.damping(pairs[q.feature])
		for act := range share {
			m.file.Earned[act][q.feature] *= share[act]
		}
	}
	return nil
}

// dampPairs asks both plans of every question.
func (m *Model) dampPairs(p *Simulated, pairs map[int][]dampPair) {
	w := m.newWorkspace(1)
	m.file.Scale.encode(p.Timeline, w.rows[0])
	v := m.look(w, w.rows, Horizon)[0]
	for i := range p.Contrasts {
		c := &p.Contrasts[i]
		var parts [2][Horizon * numF][numActs]float64
		var first spreadOf
		for k := range parts {
			ne, fluid := saturateCourse(c.Plans[k].Doses)
			parts[k] = v.parts(&ne, &fluid)
			if k == 0 {
				first = v.under(&ne, &fluid, Horizon)
			}
		}
		for _, q := range quantities {
			for h := range Horizon {
				truth := q.of(&c.Truth[1][h]) - q.of(&c.Truth[0][h])
				if math.IsNaN(truth) {
					continue
				}
				at := h*numF + q.feature
				pair := dampPair{feature: q.feature, base: first.mu[at], truth: truth}
				for act := range numActs {
					pair.part[act] = parts[1][at][act] - parts[0][at][act]
				}
				pairs[q.feature] = append(pairs[q.feature], pair)
			}
		}
	}
}

// damping is the best share of each act.
func (m *Model) damping(pairs []dampPair) (best [numActs]float64) {
	least := math.Inf(1)
	for _, ne := range dampGrid {
		for _, fluid := range dampGrid {
			for _, shortfall := range dampGrid {
				var sum float64
				for i := range pairs {
					p := &pairs[i]
					z := p.base + ne*p.part[actNE] + fluid*p.part[actFluid] + shortfall*p.part[actShortfall]
					off := m.file.Scale.value(p.feature, z) - m.file.Scale.value(p.feature, p.base) - p.truth
					sum += off * off
				}
				if sum < least {
					least, best = sum, [numActs]float64{ne, fluid, shortfall}
				}
			}
		}
	}
	return best
}
