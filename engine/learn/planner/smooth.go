// SPDX-License-Identifier: Apache-2.0

package planner

// This file: what follows a state whatever is done, where the state was seen
// too seldom to say by itself. First whether the stay ends, and how, whether the
// state stays, or moves; then where it moves. Both are drawn from the state's
// own counts towards those of states with similar features. How similar, and how
// strongly, held-out patients say.

import "math"

// The candidates: widths of the kernels over the mean squared difference of
// standardised features, and weights of the prior in steps.
var (
	kindWidths   = []float64{0.3, 0.5, 0.8, 1.5}
	nearWidths   = []float64{0.25, 0.4, 0.6} // where similar states move
	targetWidths = []float64{0.3, 0.5, 0.8}  // to similar states that are often seen
	priorWeights = []float64{5, 10, 20, 40, 80, 160, 320}
)

// mixing is the rounds of EM for the weights of the sources of moves.
const mixing = 40

// smoothing is the choice.
type smoothing struct {
	kindWidth, kindWeight float64
	moveWeight            float64
	mix                   []float64 // of the sources of moves
}

// kinds of a transition: the ends, then staying, then moving.
func (l *log) kinds() int { return len(l.rewards) + 2 }

func (l *log) kind(t transition) int {
	switch {
	case t.to >= len(l.centres):
		return t.to - len(l.centres)
	case t.to == t.from:
		return len(l.rewards)
	}
	return len(l.rewards) + 1
}

// kindCounts are the transitions of each place by kind.
func (l *log) kindCounts(c *counts) [][]float64 {
	out := make([][]float64, len(l.centres))
	for s, row := range c.states {
		k := make([]float64, l.kinds())
		copy(k, row[len(l.centres):])
		k[len(l.rewards)] = row[s]
		k[len(l.rewards)+1] = c.visits[s]
		for _, n := range k[:len(l.rewards)+1] {
			k[len(l.rewards)+1] -= n
		}
		out[s] = k
	}
	return out
}

// kernel are the weights of all places but s, as seen from s.
func (l *log) kernel(s int, width float64, out []float64) {
	for k, d := range l.distance[s] {
		out[k] = math.Exp(-d / (2 * width * width))
	}
	out[s] = 0
}

// kindPrior is how similar states go on, by kind.
func (l *log) kindPrior(kinds [][]float64, width float64) [][]float64 {
	const global = 5 // steps of the average of all states
	mean := make([]float64, l.kinds())
	total := 0.0
	for k := range mean {
		mean[k] = 0.5
		for _, row := range kinds {
			mean[k] += row[k]
		}
		total += mean[k]
	}
	out, near := make([][]float64, len(kinds)), make([]float64, len(kinds))
	for s := range out {
		l.kernel(s, width, near)
		p, sum := make([]float64, len(mean)), float64(global)
		for k, m := range mean {
			p[k] = global * m / total
		}
		for other, w := range near {
			if w < 1e-12 {
				continue
			}
			for k, n := range kinds[other] {
				p[k] += w * n
				sum += w * n
			}
		}
		for k := range p {
			p[k] /= sum
		}
		out[s] = p
	}
	return out
}

// sources are the distributions that moves are drawn towards: all moves alike,
// moves of similar states, and moves to similar states.
func (l *log) sources(c *counts) [][][]float64 {
	n := len(l.centres)
	moves := make([][]seen, n)
	popular := make([]float64, n)
	for s, row := range c.states {
		for to, times := range row[:n] {
			if to != s && times > 0 {
				moves[s] = append(moves[s], seen{to, times})
				popular[to] += times
			}
		}
	}
	for to := range popular {
		popular[to] += 0.5
	}
	table := func(fill func(s int, row []float64)) [][]float64 {
		out := make([][]float64, n)
		for s := range out {
			out[s] = make([]float64, n)
			fill(s, out[s])
			out[s][s] = 0
			normalise(out[s])
		}
		return out
	}
	near := make([]float64, n)
	out := [][][]float64{table(func(_ int, row []float64) { copy(row, popular) })}
	for _, width := range nearWidths {
		out = append(out, table(func(s int, row []float64) {
			l.kernel(s, width, near)
			for to, p := range popular {
				row[to] = 1e-6 * p
			}
			for other, w := range near {
				if w < 1e-12 {
					continue
				}
				for _, m := range moves[other] {
					row[m.to] += w * m.n
				}
			}
		}))
	}
	for _, width := range targetWidths {
		out = append(out, table(func(s int, row []float64) {
			l.kernel(s, width, row)
			for to, p := range popular {
				row[to] *= p
			}
		}))
	}
	return out
}

// normalise makes a row sum to 1; one of nothing becomes even.
func normalise(row []float64) {
	sum := 0.0
	for _, v := range row {
		sum += v
	}
	for i := range row {
		if sum > 0 {
			row[i] /= sum
		} else {
			row[i] = 1 / float64(len(row))
		}
	}
}

// onward is what follows each place whatever is done: rows over places and ends.
func (l *log) onward(c *counts, by smoothing) [][]float64 {
	kinds := l.kindCounts(c)
	prior := l.kindPrior(kinds, by.kindWidth)
	sources := l.sources(c)
	n, ends := len(l.centres), len(l.rewards)
	out := make([][]float64, n)
	for s := range out {
		row := make([]float64, n+ends)
		share := func(k int) float64 {
			return (kinds[s][k] + by.kindWeight*prior[s][k]) / (c.visits[s] + by.kindWeight)
		}
		moves, moving := kinds[s][ends+1], share(ends+1)
		for to := range n {
			p := 0.0
			for i, w := range by.mix {
				p += w * sources[i][s][to]
			}
			times := c.states[s][to]
			if to == s {
				times = 0
			}
			row[to] = moving * (times + by.moveWeight*p) / (moves + by.moveWeight)
		}
		row[s] = share(ends)
		for k := range ends {
			row[n+k] = share(k)
		}
		normalise(row)
		out[s] = row
	}
	return out
}
