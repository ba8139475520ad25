// SPDX-License-Identifier: Apache-2.0

package world

// This file: measures of a forecast in closed form. Each takes weights, so
// that one sorted list serves every resample of a bootstrap.

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/mathext"
)

// mean accumulates an average; without data it is not a number.
type mean struct{ sum, n float64 }

func (m *mean) add(v float64) { m.sum, m.n = m.sum+v, m.n+1 }
func (m *mean) value() Number { return Number(m.sum / m.n) }

// call is one predicted chance of an event, and whether it came.
type call struct {
	chance float64
	came   bool
	stay   int // place in the list of stays
}

// calls are predictions sorted by falling chance.
type calls []call

func (c calls) sort() {
	slices.SortStableFunc(c, func(a, b call) int {
		switch {
		case a.chance > b.chance:
			return -1
		case a.chance < b.chance:
			return 1
		}
		return 0
	})
}

// once weighs every prediction alike.
func once(call) float64 { return 1 }

// ties calls f for each run of equal chances with its weight of events and of
// the others.
func (c calls) ties(weight func(call) float64, f func(came, not float64)) {
	for i := 0; i < len(c); {
		var came, not float64
		j := i
		for ; j < len(c) && c[j].chance == c[i].chance; j++ {
			if w := weight(c[j]); c[j].came {
				came += w
			} else {
				not += w
			}
		}
		f(came, not)
		i = j
	}
}

// auroc is the chance that an event is ranked above a non-event; ties count
// half. It needs both.
func (c calls) auroc(weight func(call) float64) Number {
	var area, cames, nots float64
	c.ties(weight, func(came, not float64) {
		area += not * (cames + came/2)
		cames, nots = cames+came, nots+not
	})
	if cames == 0 || nots == 0 {
		return unmeasured
	}
	return Number(area / cames / nots)
}

// auprc is average precision; tied predictions are taken together. It needs
// both outcomes.
func (c calls) auprc(weight func(call) float64) Number {
	var sum, cames, all float64
	c.ties(weight, func(came, not float64) {
		cames, all = cames+came, all+came+not
		if came > 0 {
			sum += came * cames / all
		}
	})
	if cames == 0 || cames == all {
		return unmeasured
	}
	return Number(sum / cames)
}

// eceBins is the number of bins of equal width of the calibration error.
const eceBins = 10

func binOf(chance float64) int { return min(max(int(chance*eceBins), 0), eceBins-1) }

// ece is the expected calibration error over ten bins of equal width.
func (c calls) ece(weight func(call) float64) Number {
	var gap [eceBins]float64
	var n, sum float64
	for _, one := range c {
		w := weight(one)
		n += w
		gap[binOf(one.chance)] += w * (one.chance - indicator(one.came))
	}
	if n == 0 {
		return unmeasured
	}
	for _, g := range gap {
		sum += math.Abs(g)
	}
	return Number(sum / n)
}

// reliability gives the bins that hold a prediction.
func (c calls) reliability() (out []Bin) {
	var n, p, y [eceBins]float64
	for _, one := range c {
		b := binOf(one.chance)
		n[b], p[b], y[b] = n[b]+1, p[b]+one.chance, y[b]+indicator(one.came)
	}
	for b := range n {
		if n[b] == 0 {
			continue
		}
		out = append(out, Bin{Low: Number(float64(b) / eceBins), High: Number(float64(b+1) / eceBins), N: int(n[b]),
			Predicted: Number(p[b] / n[b]), Observed: Number(y[b] / n[b]), Range: wilson(y[b], n[b])})
	}
	return out
}

func (c calls) events() (n int) {
	for _, one := range c {
		if one.came {
			n++
		}
	}
	return n
}

func indicator(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// wilson is the 95 % score interval of a share of k in n (Wilson 1927).
func wilson(k, n float64) Interval {
	const z = 1.959964
	p, d := k/n, 1+z*z/n
	mid, half := (p+z*z/(2*n))/d, z/d*math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return Interval{Number(math.Max(0, mid-half)), Number(math.Min(1, mid+half))}
}

// studentNLL is minus the log density of a standard Student t.
func studentNLL(r, nu float64) float64 {
	return 0.5*(nu+1)*math.Log1p(r*r/nu) + 0.5*math.Log(nu) + mathext.Lbeta(0.5, nu/2)
}
