// SPDX-License-Identifier: Apache-2.0

package world

// This file: that the measures are what their names say: against closed forms
// and against slow implementations that follow the definition.

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func close6(a, b float64) bool {
	return math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) < 1e-9*math.Max(1, math.Abs(b))
}

// drawCalls makes predictions with many ties, and a weight for each stay.
func drawCalls(rt *rapid.T) (calls, []int) {
	n := rapid.IntRange(0, 40).Draw(rt, "n")
	c, weight := make(calls, n), make([]int, n)
	for i := range c {
		c[i] = call{chance: float64(rapid.IntRange(0, 12).Draw(rt, "chance")) / 12, came: rapid.Bool().Draw(rt, "came"), stay: i}
		weight[i] = rapid.IntRange(0, 3).Draw(rt, "weight")
	}
	c.sort()
	return c, weight
}

// pairwise is the definition of AUROC: every event against every non-event.
func pairwise(c calls, weight func(call) float64) float64 {
	var won, n float64
	for _, a := range c {
		for _, b := range c {
			if a.came && !b.came {
				w := weight(a) * weight(b)
				n += w
				switch {
				case a.chance > b.chance:
					won += w
				case a.chance == b.chance:
					won += w / 2
				}
			}
		}
	}
	return won / n
}

// precision is the definition of average precision: over the distinct
// thresholds, precision times the recall that it adds.
func precision(c calls, weight func(call) float64) float64 {
	var all, sum, before float64
	for _, a := range c {
		all += weight(a) * indicator(a.came)
	}
	for k := 12; k >= 0; k-- {
		var hits, n float64
		for _, a := range c {
			if a.chance >= float64(k)/12 {
				hits, n = hits+weight(a)*indicator(a.came), n+weight(a)
			}
		}
		if n > 0 {
			sum += (hits - before) / all * hits / n
			before = hits
		}
	}
	return sum
}

func TestRankingMeasuresFollowTheirDefinitionWithTiesAndWeights(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c, weights := drawCalls(rt)
		weight := func(one call) float64 { return float64(weights[one.stay]) }
		if got, want := float64(c.auroc(weight)), pairwise(c, weight); !close6(got, want) {
			rt.Errorf("AUROC %v, by pairs %v", got, want)
		}
		got, want := float64(c.auprc(weight)), precision(c, weight)
		if !math.IsNaN(got) && !close6(got, want) {
			rt.Errorf("AUPRC %v, by thresholds %v", got, want)
		}
	})
}

func TestWeighingAPredictionTwiceIsHavingItTwice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c, weights := drawCalls(rt)
		var twice calls
		for _, one := range c {
			for range weights[one.stay] {
				twice = append(twice, one)
			}
		}
		weight := func(one call) float64 { return float64(weights[one.stay]) }
		for name, f := range map[string]func(calls, func(call) float64) Number{"auroc": calls.auroc, "auprc": calls.auprc, "ece": calls.ece} {
			if a, b := f(c, weight), f(twice, once); !close6(float64(a), float64(b)) {
				rt.Errorf("%s: weighted %v, repeated %v", name, a, b)
			}
		}
	})
}

func TestMeasuresInClosedForm(t *testing.T) {
	made := func(v ...float64) (c calls) {
		for i := 0; i < len(v); i += 2 {
			c = append(c, call{chance: v[i], came: v[i+1] == 1, stay: i / 2})
		}
		c.sort()
		return c
	}
	nan := math.NaN()
	for _, c := range []struct {
		name              string
		calls             calls
		auroc, auprc, ece float64
	}{
		{"nothing", nil, nan, nan, nan},
		{"one class only", made(.2, 0, .4, 0), nan, nan, .3},
		{"all events", made(.9, 1, .7, 1), nan, nan, .2},
		{"perfect and sure", made(1, 1, 1, 1, 0, 0), 1, 1, 0},
		{"reversed", made(0, 1, 1, 0), 0, .5, 1},
		{"all tied: chance level, and precision is the prevalence", made(.5, 1, .5, 0, .5, 0, .5, 0), .5, .25, .25},
		{"worked by hand", made(.9, 1, .8, 0, .7, 1, .1, 0), .75, (1 + 2./3) / 2, (.1 + .8 + .3 + .1) / 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i, got := range []Number{c.calls.auroc(once), c.calls.auprc(once), c.calls.ece(once)} {
				if want := []float64{c.auroc, c.auprc, c.ece}[i]; !close6(float64(got), want) {
					t.Errorf("%s is %v, want %v", []string{"AUROC", "AUPRC", "ECE"}[i], got, want)
				}
			}
		})
	}
}

// Reference values: R, prop.test(k, n, correct = FALSE)$conf.int.
func TestWilsonIntervalAgainstPublishedValues(t *testing.T) {
	for _, c := range []struct{ k, n, low, high float64 }{
		{0, 10, 0, 0.2775328}, {5, 10, 0.2365931, 0.7634069}, {10, 10, 0.7224672, 1}, {1, 100, 0.0017674, 0.0544862},
	} {
		if r := wilson(c.k, c.n); math.Abs(float64(r.Low)-c.low) > 1e-6 || math.Abs(float64(r.High)-c.high) > 1e-6 {
			t.Errorf("%v of %v: %v..%v, want %v..%v", c.k, c.n, r.Low, r.High, c.low, c.high)
		}
	}
}

// A Student t density integrates to one, and with one degree of freedom is the
// Cauchy density.
func TestStudentDensity(t *testing.T) {
	for _, x := range []float64{-3, 0, 0.5, 8} {
		if got, want := studentNLL(x, 1), math.Log(math.Pi*(1+x*x)); math.Abs(got-want) > 1e-9 {
			t.Errorf("at %v: %v, want %v", x, got, want)
		}
	}
	for _, nu := range []float64{2, 5, 30} {
		var sum float64
		for x := -400.0; x <= 400; x += 0.01 {
			sum += 0.01 * math.Exp(-studentNLL(x, nu))
		}
		if math.Abs(sum-1) > 1e-3 {
			t.Errorf("with %v degrees of freedom the density integrates to %v", nu, sum)
		}
	}
}

// The interval of a mean over one patient each is that of the mean: close to
// the normal one for many patients, and unknown for one.
func TestBootstrapIntervalOfAMean(t *testing.T) {
	s := &scorer{patients: map[string]int{}}
	for i := range 400 {
		tally := stayTally{patient: i}
		tally.next[byModel].add(float64(i % 2))
		s.stays = append(s.stays, tally)
		s.patients[string(rune(i))] = i
	}
	r := s.bootstrap(s.drawOf(anyStay), s.averaged(nextBy(byModel)))[0]
	if half := 1.96 * 0.5 / 20; math.Abs(float64(r.Low)-(0.5-half)) > 0.01 || math.Abs(float64(r.High)-(0.5+half)) > 0.01 {
		t.Errorf("interval %v..%v, want about %.3f..%.3f", r.Low, r.High, 0.5-half, 0.5+half)
	}
	one := s.bootstrap(s.drawOf(func(x *stayTally) bool { return x.patient == 0 }), s.averaged(nextBy(byModel)))[0]
	if one.Low.known() {
		t.Errorf("one patient gives an interval %v", one)
	}
}

// Two stays of one patient rise and fall together: the interval is wider than
// if they were two people.
func TestBootstrapDrawsPatientsNotStays(t *testing.T) {
	width := func(perPatient int) float64 {
		s := &scorer{patients: map[string]int{}}
		for i := range 200 {
			tally := stayTally{patient: i / perPatient}
			tally.next[byModel].add(float64(i / perPatient % 2))
			s.stays = append(s.stays, tally)
			s.patients[string(rune(i/perPatient))] = i / perPatient
		}
		r := s.bootstrap(s.drawOf(anyStay), s.averaged(nextBy(byModel)))[0]
		return float64(r.High - r.Low)
	}
	t.Run("5.14 intervals are over resampled patients, not stays", func(t *testing.T) {
		if alone, together := width(1), width(4); together < 1.6*alone {
			t.Errorf("width %v with four stays per patient, %v with one", together, alone)
		}
	})
}
