// SPDX-License-Identifier: Apache-2.0

package planner

// This file: what an action is worth more or less than others wherever it is
// taken. A state's own record says little about a rare action, and what the
// action did elsewhere says a little more. One number for each action, drawn
// towards 0 by as much as the spread of all of them says (a ridge whose penalty
// is fitted by EM).

import "math"

const (
	firstSpread  = 0.003 // of the effects, in value: where EM begins
	effectSteps  = 4     // of EM for each refit
	ownWeight    = 1e5   // earlier stays of a cell that equals its average
	leastOwn     = 1e-4
	spreadFloor  = 1e-10
	spreadPrior  = 1e-7
	leastWithin  = 1e-9 // variance of the value one step ahead
	choleskySafe = 1e-12
)

// effects are the effects of actions, centred in each state.
type effects struct {
	log    *log
	weight []float64 // precision of a cell's mean in units of one step
	total  []float64 // its sum over the cells of a state
	spread float64   // variance of the effects
	of     []float64 // by cell
}

func newEffects(l *log, c *counts, cells []belief) *effects {
	e := &effects{log: l, weight: make([]float64, len(cells)), total: make([]float64, len(l.centres)), spread: firstSpread * firstSpread, of: make([]float64, len(cells))}
	for cell, n := range c.n {
		if n == 0 {
			continue
		}
		earlier := ownWeight
		if own := cells[cell].own; own > leastOwn {
			earlier = n * (1 - own) / own
		}
		e.weight[cell] = 1 / (1/n + 1/earlier)
		e.total[cell/l.actions] += e.weight[cell]
	}
	return e
}

// fit estimates the effects on the value v one step ahead.
func (e *effects) fit(c *counts, v []float64) {
	a := e.log.actions
	gram, moment := make([]float64, a*a), make([]float64, a)
	within := e.gather(c, v, gram, moment)
	beta, variance := make([]float64, a), make([]float64, a)
	for range effectSteps {
		system := make([]float64, a*a)
		for i := range system {
			system[i] = gram[i] / within
		}
		for i := range a {
			system[i*a+i] += 1 / e.spread
		}
		right := make([]float64, a)
		for i := range right {
			right[i] = moment[i] / within
		}
		solve(system, right, beta, variance)
		square := spreadPrior
		for i, b := range beta {
			square += b*b + variance[i]
		}
		e.spread = max(square/float64(a+1), spreadFloor)
	}
	for s, total := range e.total {
		mean := 0.0
		for i, b := range beta {
			if total > 0 {
				mean += e.weight[s*a+i] / total * b
			}
		}
		for i, b := range beta {
			e.of[s*a+i] = b - mean
		}
	}
}

// gather sums the normal equations of cell means centred in their states, and
// gives the variance within cells.
func (e *effects) gather(c *counts, v, gram, moment []float64) (within float64) {
	a := e.log.actions
	mean := make([]float64, a)
	var square, freedom float64
	for s, total := range e.total {
		if total == 0 {
			continue
		}
		weight := e.weight[s*a : (s+1)*a]
		average := 0.0
		for i := range a {
			cell := s*a + i
			if mean[i] = 0; c.n[cell] == 0 {
				continue
			}
			sum, squares := 0.0, 0.0
			for _, one := range c.cells[cell] {
				sum += one.n * v[one.to]
				squares += one.n * v[one.to] * v[one.to]
			}
			mean[i] = sum / c.n[cell]
			square += squares - sum*mean[i]
			freedom += c.n[cell] - 1
			average += weight[i] / total * mean[i]
		}
		for i, w := range weight {
			if w == 0 {
				continue
			}
			moment[i] += w * (mean[i] - average)
			gram[i*a+i] += w
			for k, u := range weight {
				gram[i*a+k] -= w * u / total
			}
		}
	}
	return max(square/max(freedom, 1), leastWithin)
}

// solve solves a symmetric positive system of len(right) rows by Cholesky, and
// gives the diagonal of its inverse. The matrix is overwritten.
func solve(matrix, right, x, inverse []float64) {
	n := len(right)
	for j := range n {
		for i := j; i < n; i++ {
			sum := matrix[i*n+j]
			for k := range j {
				sum -= matrix[i*n+k] * matrix[j*n+k]
			}
			if i == j {
				matrix[j*n+j] = math.Sqrt(max(sum, choleskySafe))
			} else {
				matrix[i*n+j] = sum / matrix[j*n+j]
			}
		}
	}
	substitute(matrix, right, x)
	unit, column := make([]float64, n), make([]float64, n)
	for i := range n {
		clear(unit)
		unit[i] = 1
		substitute(matrix, unit, column)
		inverse[i] = column[i]
	}
}

// substitute solves with the Cholesky factor.
func substitute(factor, right, x []float64) {
	n := len(right)
	for i := range n {
		sum := right[i]
		for k := range i {
			sum -= factor[i*n+k] * x[k]
		}
		x[i] = sum / factor[i*n+i]
	}
	for i := n - 1; i >= 0; i-- {
		sum := x[i]
		for k := i + 1; k < n; k++ {
			sum -= factor[k*n+i] * x[k]
		}
		x[i] = sum / factor[i*n+i]
	}
}
