// SPDX-License-Identifier: Apache-2.0

package planner

// This file: what is believed to follow one action in one state, given how often
// it was seen to be followed by what, and what follows the state on average.
//
// Suppose that the world is a number c of earlier stays which took the action in
// the state, and that each next place was reached by D of them, where D is
// Poisson with mean λ = c·p and p the state's average. The log saw the place x
// times in n draws from these c. Then x is binomial with chance D/c, and
// E[D|x]/c is the posterior mean. Its linear form is that of a Dirichlet
// distribution of weight c, (x + c·p)/(n + c), which the Dirichlet model uses
// everywhere and the finite one where numbers are large and both agree.

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

const (
	manySeen    = 15   // beyond it the linear form
	manyMeant   = 25.0 // of λ, likewise
	mostEarlier = 60   // the largest D that is summed
	fewEarlier  = 5.0  // with fewer stays the linear form
	hardly      = 0.05 // a λ at which a place that was not seen has D of 0 or 1
)

var logFactorial = func() (out [mostEarlier + 1]float64) {
	for d := range out {
		out[d], _ = math.Lgamma(float64(d + 1))
	}
	return out
}()

// earlier is the belief about one cell: n steps seen, c earlier stays.
type earlier struct {
	n, c   float64
	most   int
	in, un [mostEarlier + 1]float64 // log D/c and log(1 − D/c)
}

func newEarlier(n, c float64) *earlier {
	e := &earlier{n: n, c: c, most: int(min(max(c, 1), mostEarlier))}
	for d := 1; d <= e.most; d++ {
		q := min(float64(d)/c, 1-1e-9)
		e.in[d], e.un[d] = math.Log(q), math.Log1p(-q)
	}
	return e
}

// exact says whether the finite model differs from the linear form.
func (e *earlier) exact(x, lambda float64) bool {
	return e.c >= fewEarlier && x <= manySeen && lambda <= manyMeant && lambda > 0
}

// linear is E[D|x] of the Dirichlet model.
func (e *earlier) linear(x, lambda float64) float64 { return (x + lambda) * e.c / (e.n + e.c) }

// mean is E[D|x] of the finite model.
func (e *earlier) mean(x, lambda float64) float64 {
	if !e.exact(x, lambda) {
		return e.linear(x, lambda)
	}
	logLambda, top := math.Log(lambda), math.Inf(-1)
	var w [mostEarlier + 1]float64
	from := 0
	if x > 0 {
		from = 1
	}
	for d := from; d <= e.most; d++ {
		w[d] = float64(d)*logLambda - logFactorial[d] + x*e.in[d] + (e.n-x)*e.un[d]
		top = max(top, w[d])
	}
	var sum, moment float64
	for d := from; d <= e.most; d++ {
		if z := w[d] - top; z > -40 {
			p := math.Exp(z)
			sum, moment = sum+p, moment+p*float64(d)
		}
	}
	return moment / sum
}

// stays is how many of all earlier stays took the action in the state, as n of
// the log's episodes say.
func (c Choice) stays(n, episodes float64) float64 { return n * c.Stays / episodes }

// differs is the chance that at least Least of the earlier stays took the
// action, so that it has a distribution of its own: their number given n is
// Gamma(n) in units of Stays/episodes.
func (c Choice) differs(n, episodes float64) float64 {
	if n == 0 {
		return 0
	}
	return mathext.GammaIncRegComp(n, c.Least*episodes/c.Stays)
}
