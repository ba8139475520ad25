// SPDX-License-Identifier: Apache-2.0

package planner

// This file: planning on the posterior mean of the model.

import (
	"context"
	"math"
)

const (
	maxSweeps    = 500
	settled      = 1e-6
	ownShare     = 0.5  // steps by which smoothing fills a state's own record
	effectRounds = 6    // after which the effects of actions no longer move
	listed       = 0.02 // of differs, below which a cell is its state's average
)

// belief is the distribution after one cell: alpha times that after the state,
// with more or less of some places.
type belief struct {
	alpha  float64
	places []seen
	// own is the share of the cell's own record in its mean.
	own float64
	ok  bool // somebody took the action here
}

// plan chooses the action of each place, and gives what the model expects.
func (l *log) plan(ctx context.Context, c *counts, choice Choice) (best []int, value float64, err error) {
	n := len(l.centres)
	average := l.average(c, choice.smoothing)
	cells := make([]belief, n*l.actions)
	for s := range n {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		for a := range l.actions {
			cells[s*l.actions+a] = l.believe(choice, c, s, a, average[s])
		}
	}
	v := make([]float64, n+len(l.rewards))
	copy(v[n:], l.rewards)
	l.clinicians(average, v)
	e := newEffects(l, c, cells)
	best, next := make([]int, n), make([]float64, n)
	usual := l.commonest()
	for sweep := range maxSweeps {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		if sweep < effectRounds {
			e.fit(c, v)
		}
		moved := 0.0
		for s := range n {
			best[s], next[s] = l.greedy(cells, average[s], e, s, v)
			if best[s] < 0 { // what followed here was never seen
				best[s] = usual
			}
			moved = max(moved, math.Abs(next[s]-v[s]))
		}
		copy(v, next)
		if moved < settled && sweep >= effectRounds {
			break
		}
	}
	for _, s := range l.first {
		value += v[s] / float64(len(l.first))
	}
	return best, value, nil
}

// average is what follows each place, between the actions of which only
// differences matter: the state's own record, unless something else was told.
// Drawing it towards other states would make rarely taken actions look like what
// happens elsewhere.
func (l *log) average(c *counts, by smoothing) [][]float64 {
	if l.told.Average != nil {
		return l.toldAverage()
	}
	average := l.onward(c, by)
	for s, row := range average {
		for to := range row {
			row[to] = (c.states[s][to] + ownShare*row[to]) / (c.visits[s] + ownShare)
		}
	}
	return average
}

// clinicians fills v with the value of doing as was done.
func (l *log) clinicians(average [][]float64, v []float64) {
	n := len(l.centres)
	for range maxSweeps {
		moved := 0.0
		for s := range n {
			sum := dot(average[s], v)
			moved, v[s] = max(moved, math.Abs(sum-v[s])), sum
		}
		if moved < settled {
			return
		}
	}
}

// commonest is the action that was taken most often, the first of equals.
func (l *log) commonest() (at int) {
	times := make([]int, l.actions)
	for _, t := range l.transitions {
		times[t.action]++
	}
	for a, n := range times {
		if n > times[at] {
			at = a
		}
	}
	return at
}

// greedy is the best action of a place that somebody took, and its value; −1
// and the state's average where nobody was seen to act.
func (l *log) greedy(cells []belief, average []float64, e *effects, s int, v []float64) (best int, most float64) {
	mean := dot(average, v)
	best, most = -1, mean
	for a := range l.actions {
		cell := s*l.actions + a
		b := &cells[cell]
		if !b.ok {
			continue
		}
		q := b.alpha * mean
		for _, p := range b.places {
			q += p.n * v[p.to]
		}
		if q += (1 - b.own) * e.of[cell]; best < 0 || q > most {
			best, most = a, q
		}
	}
	return best, most
}

// believe makes the belief about action a in place s, with what was told of it;
// average is what follows its state.
func (l *log) believe(c Choice, counts *counts, s, a int, average []float64) belief {
	cell := s*l.actions + a
	n := counts.n[cell]
	differs, stays := c.differs(n, counts.episodes), c.stays(n, counts.episodes)
	own, told := l.admissible(cell)
	if told {
		differs = own
	}
	if l.told.Stays != nil {
		stays = l.told.Stays[l.numbers[s]][a]
	}
	b := c.believe(counts, cell, differs, stays, average)
	b.ok = b.ok && (!told || own > 0)
	return b
}

// believe makes the belief about a cell: differs is the chance that it has a
// distribution of its own, of so many earlier stays, and average is what follows
// its state.
func (c Choice) believe(counts *counts, cell int, differs, stays float64, average []float64) belief {
	n := counts.n[cell]
	b := belief{alpha: 1, ok: n > 0}
	if differs < listed {
		return b
	}
	e := newEarlier(n, stays)
	// A place that was not seen keeps the share rest of its λ, unless listed.
	rest := e.c / (n + e.c)
	if c.Finite {
		rest = math.Exp(-n / e.c)
	}
	sum := 0.0
	i := 0
	for to, p := range average {
		x, lambda := 0.0, e.c*p
		if i < len(counts.cells[cell]) && counts.cells[cell][i].to == to {
			x = counts.cells[cell][i].n
			i++
		}
		d := rest * lambda
		if x > 0 || c.Finite && lambda > hardly {
			if d = e.linear(x, lambda); c.Finite {
				d = e.mean(x, lambda)
			}
			b.places = append(b.places, seen{to, d - rest*lambda})
		}
		sum += d
	}
	// D sums to rest·c of the average and what the listed places add.
	b.alpha = differs*rest*e.c/sum + 1 - differs
	for i := range b.places {
		b.places[i].n *= differs / sum
	}
	b.own = differs * n / (n + e.c)
	return b
}

func dot(p, v []float64) (sum float64) {
	for i, w := range p {
		sum += w * v[i]
	}
	return sum
}
