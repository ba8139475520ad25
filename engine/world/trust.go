// SPDX-License-Identifier: Apache-2.0

package world

// This file: how much of what the networks say is taken, feature by feature. A
// change from the last known value, or an effect of treatment, that patients
// who trained nothing do not bear out is damped towards none.

import (
	"maps"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// trustGrid are the shares of a forecast change that are tried. trustPrior is
// how many validation values a change must earn its share against: with few of
// them the last known value stands.
var trustGrid = []float64{0, 0.2, 0.4, 0.6, 0.8, 1}

const trustPrior = 300

// trust finds for every feature the share of the forecast change from the last
// known value that makes the mean absolute error over the horizon smallest.
func (m *Model) trust(validation []*sample) {
	var off [numF][6]float64
	var change, n [numF]float64
	m.each(validation, func(sm *sample, v *view) {
		s := v.under(&sm.ne, &sm.fluid, Horizon)
		for at, y := range sm.y {
			f := at % numF
			if isNaN(y) || sm.x[f*perFeature+inKnown] == 0 {
				continue
			}
			last := float64(sm.x[f*perFeature+inLast])
			move := s.mu[at] - last
			for i, share := range trustGrid {
				off[f][i] += math.Abs(float64(y) - last - share*move)
			}
			change[f], n[f] = change[f]+math.Abs(move), n[f]+1
		}
	})
	for f := range numF {
		m.file.Trust[f] = 0
		least := math.Inf(1)
		for i, share := range trustGrid {
			prior := 0.1 * trustPrior * share * change[f] / math.Max(n[f], 1)
			if cost := off[f][i] + prior; cost < least {
				least, m.file.Trust[f] = cost, share
			}
		}
	}
}

// ceilingUgKgMin is the largest dose of norepinephrine that is ever advised.
// What more of it does is another question, and must not answer this one.
const ceilingUgKgMin = 0.5

// asked tells whether the treatment of step h is known and the doses until then
// are of the kind that advice is about.
func (sm *sample) asked(h int) bool {
	for _, ne := range sm.ne[:h+1] {
		if float64(ne) > saturate(ceilingUgKgMin, halfNEUgKgMin) {
			return false
		}
	}
	return !isNaN(sm.ne[h]) || !isNaN(sm.fluid[h])
}

// earnedFrom is how many validation values with a known treatment an effect
// must be held against to be taken at all.
const earnedFrom = 100

// earn finds for every feature the share of each effect that validation
// patients bear out: those whose doses were randomised, unless records teach
// the effects. What is left of the truth beyond usual care is regressed on the
// three parts of the effect; the slope is shrunk by its error, taken over
// whole stays. That of norepinephrine on pressure is not touched: its sign is
// known beforehand.
func (m *Model) earn(validation []*sample, cfg TrainConfig) {
	if cfg.mix.unsigned {
		return
	}
	var found [numF][]effectRow
	witnesses := keep(validation, func(s *sample) bool { return s.synthetic || cfg.EffectsFromRecords })
	m.each(witnesses, func(sm *sample, v *view) {
		s := v.under(&sm.ne, &sm.fluid, Horizon)
		parts := v.parts(&sm.ne, &sm.fluid)
		for at, y := range sm.y {
			if isNaN(y) || !sm.asked(at/numF) {
				continue
			}
			r := effectRow{stay: sm.stay, part: parts[at], weight: 1 / (s.sigma[at] * s.sigma[at]), beyond: float64(y) - s.mu[at]}
			for _, e := range r.part {
				r.beyond += e // under usual care
			}
			found[at%numF] = append(found[at%numF], r)
		}
	})
	for f := range numF {
		share := earnedShares(found[f])
		for act := range numActs {
			if act != actNE || !isPressure(f) {
				m.file.Earned[act][f] = share[act]
			}
		}
	}
}

// parts is what each act adds to the forecast, the members' mean.
func (v *view) parts(ne, fluid *[Horizon]float32) (sum [Horizon * numF][numActs]float64) {
	n := float64(len(v.out))
	for k := range v.out {
		dev := v.act(k, ne, fluid, Horizon)
		for act := range numActs {
			for f := range numF {
				drives, _ := drive(&dev[act], v.memory[k][act][f])
				for h, d := range drives {
					sum[h*numF+f][act] += float64(v.gain[k][f][act]*d) / n
				}
			}
		}
	}
	return sum
}

// effectRow is one observed value of one feature.
type effectRow struct {
	stay   int
	part   [numActs]float64 // of the effect, as forecast
	beyond float64          // the truth less the forecast under usual care
	weight float64
}

// earnedShares regresses what is beyond usual care on the parts of the effect
// and an intercept, and gives each slope less what its error makes of it,
// within 0..1: 0 where the slope is within two standard errors of none.
func earnedShares(rows []effectRow) (share [numActs]float64) {
	if len(rows) < earnedFrom {
		return share
	}
	const n = numActs + 1
	gram, right := mat.NewSymDense(n, nil), mat.NewVecDense(n, nil)
	regressors := func(r *effectRow) *mat.VecDense { return mat.NewVecDense(n, append(r.part[:numActs:numActs], 1)) }
	for i := range rows {
		x := regressors(&rows[i])
		gram.SymRankOne(gram, rows[i].weight, x)
		right.AddScaledVec(right, rows[i].weight*rows[i].beyond, x)
	}
	for i := range n {
		gram.SetSym(i, i, gram.At(i, i)+1e-6) // an act without any effect has no slope
	}
	var chol mat.Cholesky
	slope := mat.NewVecDense(n, nil)
	if !chol.Factorize(gram) || chol.SolveVecTo(slope, right) != nil {
		return share
	}
	// The error of the slopes, with each stay as one witness.
	scores := map[int]*mat.VecDense{}
	for i := range rows {
		x := regressors(&rows[i])
		if scores[rows[i].stay] == nil {
			scores[rows[i].stay] = mat.NewVecDense(n, nil)
		}
		scores[rows[i].stay].AddScaledVec(scores[rows[i].stay], rows[i].weight*(rows[i].beyond-mat.Dot(x, slope)), x)
	}
	var variance [numActs]float64
	for _, stay := range slices.Sorted(maps.Keys(scores)) {
		move := mat.NewVecDense(n, nil)
		if chol.SolveVecTo(move, scores[stay]) != nil {
			return share
		}
		for act := range variance {
			variance[act] += move.AtVec(act) * move.AtVec(act)
		}
	}
	for act := range share {
		if b := slope.AtVec(act); b > 2*math.Sqrt(variance[act]) {
			share[act] = clamp(b-variance[act]/b, 0, 1)
		}
	}
	return share
}
