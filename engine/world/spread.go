// SPDX-License-Identifier: Apache-2.0

package world

// This file: what keeps intervals wide enough where the networks know little:
// a least spread, and strata of patients on vasopressors.

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
)

// leastShare is the share of a feature's usual spread that no state goes
// below. A network that meets a hospital which charts more densely than any it
// has seen is far too sure of itself; without a floor 80 % intervals held two
// thirds of the values of such a hospital. Any share from 0.85 to 1 held 77 to
// 80 % there in cross-validation over hospitals, at the same mean interval
// score on the others.
const leastShare = 0.9

// floor finds the least spread of every feature and step.
func (m *Model) floor(validation []*sample) {
	var spreads [Horizon * numF][]float64
	m.each(validation, func(sm *sample, v *view) {
		s := v.under(&sm.ne, &sm.fluid, Horizon)
		for at, y := range sm.y {
			if !isNaN(y) {
				spreads[at] = append(spreads[at], s.sigma[at])
			}
		}
	})
	for at, all := range spreads {
		m.file.LeastSpread[at] = leastShare * quantile(all, 0.5, 0)
	}
}

// The strata of intervals, by the vasopressor that runs at T. Patients on
// vasopressors are fewer and less steady than the rest; widths that suit the
// many are too narrow for them.
const (
	runsNone = iota // or nobody knows
	runsLow         // published level 1 or 2
	runsHigh        // published level 3 or 4
	numDrives
)

// evenly stretches nothing.
var evenly = [numDrives]float64{1, 1, 1}

// drives finds the stratum of an encoded timeline.
func (f *modelFile) drives(x []float32) int {
	ne := float64(x[globalAt+inNEEnd])
	switch {
	case ne <= 0:
		return runsNone
	case ne <= saturate(f.VasopressorCuts[1], halfNEUgKgMin):
		return runsLow
	}
	return runsHigh
}

// A stratum's stretch is the upper end of what its own patients allow: they
// are few, and one of them says little about the next.
const (
	stretchDraws = 200
	stretchUpper = 0.9
)

// stretch finds by how much the next step's intervals of each stratum on
// vasopressors must be wider than those of all to hold 80 %: the upper end
// over resamples of its stays. None is made narrower, and that of the higher
// doses is at least that of the lower.
func (m *Model) stretch(validation []*sample, seed uint64) {
	var stays [numDrives]map[int][]float64
	for i := range stays {
		stays[i] = map[int][]float64{}
	}
	m.each(validation, func(sm *sample, v *view) {
		s := v.under(&sm.ne, &sm.fluid, 1)
		of := stays[m.file.drives(sm.x)]
		for f := range numF {
			if y := sm.y[f]; !isNaN(y) {
				of[sm.stay] = append(of[sm.stay], math.Abs(float64(y)-s.mu[f])/(s.sigma[f]*m.file.Width80[0][f]))
			}
		}
	})
	rng := rand.New(rand.NewPCG(seed, 80))
	for i := runsLow; i < numDrives; i++ {
		m.file.Stretch[i] = math.Max(m.file.Stretch[i-1], upperStretch(stays[i], rng))
	}
}

// upperStretch is the upper end of the 80 % quantile of ratios over resamples
// of stays; 1 where there are none.
func upperStretch(stays map[int][]float64, rng *rand.Rand) float64 {
	var groups [][]float64
	for _, stay := range slices.Sorted(maps.Keys(stays)) {
		groups = append(groups, stays[stay])
	}
	if len(groups) == 0 {
		return 1
	}
	var draws, drawn []float64
	for range stretchDraws {
		drawn = drawn[:0]
		for range groups {
			drawn = append(drawn, groups[rng.IntN(len(groups))]...)
		}
		draws = append(draws, quantile(drawn, 0.8, 1))
	}
	return quantile(draws, stretchUpper, 1)
}
