// SPDX-License-Identifier: Apache-2.0

package ope

// This file: L-BFGS for the smooth convex losses of this package. gonum's
// optimize would do, but asks for modules that nothing else here needs.

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
)

// ErrNotSettled means that a fit did not reach its minimum.
var ErrNotSettled = errors.New("fit did not settle (hint: raise the penalty)")

const (
	pairsKept = 10   // of steps and gradient changes, as Liu and Nocedal advise
	mostSteps = 1000 // of the descent
	flat      = 1e-7 // largest slope that counts as the minimum
	flatter   = 1e-4 // largest slope accepted when rounding stops the descent
)

// minimise finds the minimum of a convex function, which writes its gradient
// when that is not nil, from start.
func minimise(f func(gradient, x []float64) float64, start []float64) ([]float64, error) {
	n := len(start)
	x, g := append([]float64(nil), start...), make([]float64, n)
	next, gNext := make([]float64, n), make([]float64, n)
	value := f(g, x)
	var s, y [][]float64
	for range mostSteps {
		if !finite(value) {
			return nil, ErrNumber
		}
		if floats.Norm(g, math.Inf(1)) <= flat {
			return x, nil
		}
		d := descent(g, s, y)
		slope := floats.Dot(d, g)
		step := 1.0
		if len(s) == 0 {
			step = 1 / max(1, floats.Norm(g, 2))
		}
		lower := math.Inf(1)
		for range 40 {
			floats.AddScaledTo(next, x, step, d)
			if lower = f(gNext, next); lower <= value+1e-4*step*slope {
				break
			}
			step /= 2
		}
		if !(lower < value) {
			break // rounding: nothing lower can be told apart
		}
		ds, dy := make([]float64, n), make([]float64, n)
		floats.SubTo(ds, next, x)
		floats.SubTo(dy, gNext, g)
		if floats.Dot(ds, dy) > 1e-12*floats.Dot(dy, dy) {
			s, y = append(s, ds), append(y, dy)
			if len(s) > pairsKept {
				s, y = s[1:], y[1:]
			}
		}
		x, next, g, gNext, value = next, x, gNext, g, lower
	}
	if steepest := floats.Norm(g, math.Inf(1)); !(steepest <= flatter) {
		return nil, fmt.Errorf("slope %.2g: %w", steepest, ErrNotSettled)
	}
	return x, nil
}

// descent is −H·g with H the inverse Hessian that the pairs suggest: the
// two-loop recursion of Nocedal.
func descent(g []float64, s, y [][]float64) []float64 {
	d := append([]float64(nil), g...)
	alpha := make([]float64, len(s))
	for i := len(s) - 1; i >= 0; i-- {
		alpha[i] = floats.Dot(s[i], d) / floats.Dot(s[i], y[i])
		floats.AddScaled(d, -alpha[i], y[i])
	}
	if last := len(s) - 1; last >= 0 {
		floats.Scale(floats.Dot(s[last], y[last])/floats.Dot(y[last], y[last]), d)
	}
	for i := range s {
		beta := floats.Dot(y[i], d) / floats.Dot(s[i], y[i])
		floats.AddScaled(d, alpha[i]-beta, s[i])
	}
	floats.Scale(-1, d)
	return d
}
