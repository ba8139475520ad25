// SPDX-License-Identifier: Apache-2.0

package planner

// This file: choosing the model by how well it predicts the next states of
// patients it was not made from. Values and outcomes of plans are never looked
// at.

import (
	"context"
	"fmt"
	"math"

	"github.com/sepsisagent/sepsisagent/engine/ope"
)

// Of folds fifths of the patients, tried are held out in turn.
const folds, tried = 5, 3

// The candidates of the choice.
var (
	stayCandidates  = []float64{10_000, 15_000, 20_000, 25_000, 30_000, 40_000, 60_000}
	leastCandidates = []float64{5, 10, 15, 20, 25, 30, 40, 60, 100, 200}
)

// held is one fold: what was counted outside, and the steps inside.
type held struct {
	counts *counts
	inside []transition
}

// choose picks the model.
func (l *log) choose(ctx context.Context, seed uint64) (Choice, error) {
	fold, err := ope.Folds(l.patients, folds, seed)
	if err != nil {
		return Choice{}, fmt.Errorf("%w: %w", ErrFit, err)
	}
	parts := make([]held, tried)
	for f := range parts {
		parts[f].counts = l.count(func(episode int) bool { return fold[episode] != f })
		for _, t := range l.transitions {
			if fold[t.episode] == f {
				parts[f].inside = append(parts[f].inside, t)
			}
		}
		if len(parts[f].inside) == 0 {
			return Choice{}, fmt.Errorf("%w: too few patients to hold some out", ErrFit)
		}
	}
	by, err := l.chooseSmoothing(ctx, parts)
	if err != nil {
		return Choice{}, err
	}
	best := Choice{LogLikelihood: math.Inf(-1), smoothing: by}
	onward := make([][][]float64, len(parts))
	for f := range parts {
		onward[f] = l.onward(parts[f].counts, by)
	}
	for _, finite := range []bool{false, true} {
		for _, stays := range stayCandidates {
			if err := ctx.Err(); err != nil {
				return Choice{}, err
			}
			totals, steps := make([]float64, len(leastCandidates)), 0.0
			for f := range parts {
				l.score(parts[f], onward[f], Choice{Finite: finite, Stays: stays}, totals)
				steps += float64(len(parts[f].inside))
			}
			for i, total := range totals {
				if total/steps > best.LogLikelihood {
					best.Finite, best.Stays, best.Least, best.LogLikelihood = finite, stays, leastCandidates[i], total/steps
				}
			}
		}
	}
	return best, nil
}

// score adds the log-likelihood of a fold's steps to totals, one for each of
// leastCandidates.
func (l *log) score(h held, onward [][]float64, c Choice, totals []float64) {
	of := map[float64]*earlier{}       // by n
	chances := map[float64][]float64{} // by n, for each Least
	means := map[[3]float64]float64{}  // by n, x and λ
	for _, t := range h.inside {
		cell := t.from*l.actions + t.action
		n, p := h.counts.n[cell], onward[t.from][t.to]
		if n == 0 {
			for i := range totals {
				totals[i] += math.Log(p)
			}
			continue
		}
		e, known := of[n]
		if !known {
			e = newEarlier(n, c.stays(n, h.counts.episodes))
			of[n] = e
			for _, least := range leastCandidates {
				c.Least = least
				chances[n] = append(chances[n], c.differs(n, h.counts.episodes))
			}
		}
		x := h.counts.times(cell, t.to)
		var own float64
		if c.Finite {
			key := [3]float64{n, x, e.c * p}
			mean, known := means[key]
			if !known {
				mean = e.mean(x, e.c*p)
				means[key] = mean
			}
			own = mean / e.c
		} else {
			own = e.linear(x, e.c*p) / e.c
		}
		for i, differs := range chances[n] {
			if own, told := l.admissible(cell); told {
				differs = own
			}
			totals[i] += math.Log(differs*own + (1-differs)*p)
		}
	}
}

// chooseSmoothing picks what is believed of rarely seen states.
func (l *log) chooseSmoothing(ctx context.Context, parts []held) (by smoothing, err error) {
	best := math.Inf(-1)
	kinds := make([][][]float64, len(parts))
	for f := range parts {
		kinds[f] = l.kindCounts(parts[f].counts)
	}
	for _, width := range kindWidths {
		if err := ctx.Err(); err != nil {
			return by, err
		}
		totals := make([]float64, len(priorWeights))
		for f, h := range parts {
			prior := l.kindPrior(kinds[f], width)
			for _, t := range h.inside {
				k := l.kind(t)
				for i, weight := range priorWeights {
					totals[i] += math.Log((kinds[f][t.from][k] + weight*prior[t.from][k]) / (h.counts.visits[t.from] + weight))
				}
			}
		}
		for i, total := range totals {
			if total > best {
				best, by.kindWidth, by.kindWeight = total, width, priorWeights[i]
			}
		}
	}
	return by, l.chooseMoves(ctx, parts, kinds, &by)
}

// move is a held-out move: how often it was seen outside its fold, of how many
// moves of the state, and its chance by each source.
type move struct {
	times, of float64
	chances   []float64
}

func (l *log) chooseMoves(ctx context.Context, parts []held, kinds [][][]float64, by *smoothing) error {
	var moves []move
	ends, sources := len(l.rewards), 0
	for f, h := range parts {
		from := l.sources(h.counts)
		sources = len(from)
		for _, t := range h.inside {
			if l.kind(t) != ends+1 {
				continue
			}
			m := move{times: h.counts.states[t.from][t.to], of: kinds[f][t.from][ends+1]}
			for _, source := range from {
				m.chances = append(m.chances, source[t.from][t.to])
			}
			moves = append(moves, m)
		}
	}
	best := math.Inf(-1)
	for _, weight := range priorWeights {
		if err := ctx.Err(); err != nil {
			return err
		}
		mix := make([]float64, sources)
		for i := range mix {
			mix[i] = 1 / float64(sources)
		}
		total := 0.0
		for range mixing {
			total = improve(mix, moves, weight)
		}
		if total > best {
			best, by.moveWeight, by.mix = total, weight, mix
		}
	}
	if by.mix == nil { // nobody ever moves
		by.moveWeight, by.mix = 1, make([]float64, sources)
		by.mix[0] = 1
	}
	return nil
}

// improve is one round of EM for the weights of the sources; it returns the
// log-likelihood before it.
func improve(mix []float64, moves []move, weight float64) (total float64) {
	next := make([]float64, len(mix))
	for _, m := range moves {
		p := m.times
		for i, w := range mix {
			p += weight * w * m.chances[i]
		}
		total += math.Log(p / (m.of + weight))
		for i, w := range mix {
			next[i] += weight * w * m.chances[i] / p
		}
	}
	sum := 0.0
	for _, v := range next {
		sum += v
	}
	if sum > 0 {
		for i := range mix {
			mix[i] = next[i] / sum
		}
	}
	return total
}
