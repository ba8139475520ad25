// SPDX-License-Identifier: Apache-2.0

package planner

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func near(t interface {
	Helper()
	Errorf(string, ...any)
}, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s is %v, want %v within %v", what, got, want, tolerance)
	}
}

// TestTheFiniteModelIsThePosteriorMeanOfItsStory draws worlds of the story in
// posterior.go and averages over those that show the same.
func TestTheFiniteModelIsThePosteriorMeanOfItsStory(t *testing.T) {
	const c, n, lambda = 20, 8, 1.5
	rng := rand.New(rand.NewPCG(1, 2))
	var sum, times [n + 1]float64
	for range 400_000 {
		d := 0 // Poisson(λ)
		for u := rng.Float64(); ; d++ {
			if u -= math.Exp(-lambda + float64(d)*math.Log(lambda) - logFactorial[d]); u < 0 || d == c {
				break
			}
		}
		x := 0
		for range n {
			if rng.IntN(c) < d {
				x++
			}
		}
		sum[x] += float64(d)
		times[x]++
	}
	e := newEarlier(n, c)
	for x := range 4 {
		if times[x] < 500 {
			t.Fatalf("only %v worlds show %d", times[x], x)
		}
		near(t, "E[D|x]", e.mean(float64(x), lambda), sum[x]/times[x], 6*1.5/math.Sqrt(times[x]))
	}
}

func TestTheLinearFormIsDirichlets(t *testing.T) {
	e := newEarlier(10, 30)
	near(t, "x of 4 and a mean of 0.2", e.linear(4, 30*0.2)/30, (4+30*0.2)/(10+30), 1e-15)
}

func TestBeliefsAreDistributions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const places = 12
		average := make([]float64, places)
		for i := range average {
			average[i] = rapid.Float64Range(0.001, 1).Draw(t, "weight")
		}
		normalise(average)
		c := &counts{episodes: 100, cells: make([][]seen, 1), n: make([]float64, 1)}
		for to := range places {
			if n := rapid.IntRange(0, 20).Draw(t, "times"); n > 0 {
				c.cells[0] = append(c.cells[0], seen{to, float64(n)})
				c.n[0] += float64(n)
			}
		}
		choice := Choice{Finite: rapid.Bool().Draw(t, "finite"), Stays: rapid.Float64Range(10, 1e5).Draw(t, "stays"), Least: rapid.Float64Range(1, 50).Draw(t, "least")}
		b := choice.believe(c, 0, choice.differs(c.n[0], c.episodes), choice.stays(c.n[0], c.episodes), average)
		p := make([]float64, places)
		for to, q := range average {
			p[to] = b.alpha * q
		}
		for _, one := range b.places {
			p[one.to] += one.n
		}
		sum := 0.0
		for to, q := range p {
			if q < -1e-9 {
				t.Errorf("place %d has chance %v", to, q)
			}
			sum += q
		}
		near(t, "the sum", sum, 1, 1e-9)
		if b.own < 0 || b.own > 1 {
			t.Errorf("the cell's own share is %v", b.own)
		}
	})
}

func TestAnActionSeenMoreOftenDiffersMoreLikely(t *testing.T) {
	c := Choice{Stays: 20_000, Least: 20}
	last := 0.0
	for n := range 30 {
		p := c.differs(float64(n), 10_000)
		if p < last || p > 1 {
			t.Errorf("%d times: %v after %v", n, p, last)
		}
		last = p
	}
	// One step: the number of earlier stays is exponential with mean 2.
	near(t, "seen once", c.differs(1, 10_000), math.Exp(-20.0/2), 1e-12)
}

func TestSolveAgreesWithTheInverse(t *testing.T) {
	// The inverse of this matrix is (3 −1; −1 2) / 5.
	x, inverse := make([]float64, 2), make([]float64, 2)
	solve([]float64{2, 1, 1, 3}, []float64{1, 2}, x, inverse)
	for i, want := range [][2]float64{{0.2, 0.6}, {0.6, 0.4}} {
		near(t, "the solution", x[i], want[0], 1e-12)
		near(t, "the inverse's diagonal", inverse[i], want[1], 1e-12)
	}
}

func TestMixingClimbs(t *testing.T) {
	moves := []move{{0, 5, []float64{0.5, 0.1}}, {1, 5, []float64{0.2, 0.7}}, {0, 2, []float64{0.4, 0.1}}}
	mix, last := []float64{0.5, 0.5}, math.Inf(-1)
	for range 30 {
		total := improve(mix, moves, 3)
		if total < last-1e-12 {
			t.Fatalf("the likelihood fell from %v to %v", last, total)
		}
		last = total
		near(t, "the sum of the mix", mix[0]+mix[1], 1, 1e-12)
	}
}
