// SPDX-License-Identifier: Apache-2.0

package ope_test

// This file: behaviour policies recover the chances that made the choices, and
// calibration mends those that are off.

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/ope"
	"pgregory.net/rapid"
)

// truth is a known multinomial logistic policy of two features.
func truth(x []float64) []float64 {
	z := []float64{0, 1.2*x[0] - 0.5, -0.8*x[0] + 0.7*x[1] + 0.3}
	sum := 0.0
	for a, v := range z {
		z[a] = math.Exp(v)
		sum += z[a]
	}
	for a := range z {
		z[a] /= sum
	}
	return z
}

func choices(seed uint64, n int) (c ope.Choices[[]float64], p [][]float64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	for range n {
		x := []float64{rng.NormFloat64(), 3 * rng.NormFloat64()}
		p = append(p, truth(x))
		c.States, c.Actions = append(c.States, x), append(c.Actions, pick(rng, p[len(p)-1]))
	}
	return c, p
}

func TestLogisticPolicyRecoversTheChances(t *testing.T) {
	c, _ := choices(1, 6000)
	fit, err := ope.FitLogistic(c, 3, 1e-4)
	if err != nil {
		t.Fatal(err)
	}
	fresh, want := choices(2, 2000)
	worst, got := 0.0, make([][]float64, len(want))
	for i, x := range fresh.States {
		got[i] = fit.Probabilities(x)
		for a := range got[i] {
			worst = max(worst, math.Abs(got[i][a]-want[i][a]))
		}
	}
	if worst > 0.05 {
		t.Errorf("a probability is off by %v", worst)
	}
	fitted, err := ope.Calibrate(got, fresh.Actions)
	if err != nil {
		t.Fatal(err)
	}
	exact, err := ope.Calibrate(want, fresh.Actions)
	if err != nil {
		t.Fatal(err)
	}
	if fitted.ECE > 0.02 || fitted.LogLoss > exact.LogLoss+0.01 || math.Abs(fitted.Brier-exact.Brier) > 0.01 || fitted.Top1 < 0.4 {
		t.Errorf("fitted %+v, exact %+v", fitted, exact)
	}
}

func TestSeparableChoicesHaveAFit(t *testing.T) {
	c := ope.Choices[[]float64]{States: [][]float64{{0, 7}, {1, 7}, {2, 7}, {3, 7}}, Actions: []int{0, 0, 1, 1}}
	fit, err := ope.FitLogistic(c, 3, 1e-6)
	if err != nil {
		t.Fatal(err)
	}
	if p := fit.Probabilities([]float64{3, 7}); p[1] < 0.99 || p[2] > 0.01 {
		t.Errorf("probabilities %v", p)
	}
	if _, err := ope.FitLogistic(c, 3, 0); !errors.Is(err, ope.ErrOption) {
		t.Errorf("without penalty: %v", err)
	}
	c.Actions[0] = 3
	if _, err := ope.FitLogistic(c, 3, 1); !errors.Is(err, ope.ErrOption) {
		t.Errorf("an action out of range: %v", err)
	}
}

func TestTabularPolicyCountsAndSmooths(t *testing.T) {
	c := ope.Choices[int]{States: []int{0, 0, 0, 1}, Actions: []int{0, 0, 1, 1}}
	plain, err := ope.FitTabular(c, 3, 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "b(0|0)", plain.Probabilities(0)[0], 2.0/3, 1e-15)
	near(t, "b(0|1)", plain.Probabilities(1)[0], 0, 0)
	near(t, "b(0|a state never seen)", plain.Probabilities(2)[0], 0.5, 1e-15)
	smooth, err := ope.FitTabular(c, 3, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "smoothed b(0|1)", smooth.Probabilities(1)[0], 1.0/3, 1e-15)
}

func TestCalibrationMendsOverconfidence(t *testing.T) {
	c, exact := choices(3, 6000)
	sharp := make([][]float64, len(exact))
	for i, p := range exact {
		sharp[i] = make([]float64, len(p))
		sum := 0.0
		for a, v := range p {
			sharp[i][a] = math.Pow(v, 3) * []float64{1, 1, 4}[a]
			sum += sharp[i][a]
		}
		for a := range sharp[i] {
			sharp[i][a] /= sum
		}
	}
	temperature, err := ope.Temperature(sharp, c.Actions)
	if err != nil {
		t.Fatal(err)
	}
	platt, err := ope.Platt(sharp, c.Actions, 1e-5)
	if err != nil {
		t.Fatal(err)
	}
	measure := func(f func([]float64) []float64) ope.Calibration {
		out := make([][]float64, len(sharp))
		for i, p := range sharp {
			out[i] = f(p)
		}
		m, err := ope.Calibrate(out, c.Actions)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	raw, one, both := measure(func(p []float64) []float64 { return p }), measure(temperature.Apply), measure(platt.Apply)
	best, err := ope.Calibrate(exact, c.Actions)
	if err != nil {
		t.Fatal(err)
	}
	if !(raw.LogLoss > one.LogLoss && one.LogLoss > both.LogLoss && math.Abs(both.LogLoss-best.LogLoss) < 0.005 && both.ECE < 0.015 && raw.ECE > 0.05) {
		t.Errorf("raw %+v\ntemperature %+v\nplatt %+v\nexact %+v", raw, one, both, best)
	}
}

func TestHistoryHoldsThePastOnly(t *testing.T) {
	got, err := ope.History([][]float64{{9}, {8}, {7}}, []int{1, 0, 1}, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	want := [][]float64{{9, 0, 0, 0, 0, 0}, {8, 0, 1, 0, 0, 1}, {7, 1, 0, 0, 1, 2}}
	for i := range want {
		for j := range want[i] {
			near(t, "feature", got[i][j], want[i][j], 0)
		}
	}
}

func TestSoftenedAndFlooredPoliciesAreDistributions(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(2, 25).Draw(rt, "actions")
		best := rapid.IntRange(0, n-1).Draw(rt, "best")
		epsilon := rapid.Float64Range(0, 0.5).Draw(rt, "epsilon")
		allowed := rapid.SliceOfN(rapid.Bool(), n, n).Draw(rt, "allowed")
		allowed[best] = true
		soft, err := ope.Soften(best, n, epsilon, allowed)
		if err != nil {
			rt.Fatal(err)
		}
		even, err := ope.Soften((best+1)%n, n, 0.5, nil)
		if err != nil {
			rt.Fatal(err)
		}
		mixed, err := ope.Mix(soft, even, epsilon)
		if err != nil {
			rt.Fatal(err)
		}
		floored, err := ope.Floor(soft, 0.5/float64(n))
		if err != nil {
			rt.Fatal(err)
		}
		for _, p := range [][]float64{soft, mixed, floored} {
			sum := 0.0
			for a, v := range p {
				sum += v
				if v < 0 || v > 1+1e-12 {
					rt.Fatalf("action %d has probability %v", a, v)
				}
			}
			check(rt, "sum", sum, 1)
		}
		for a, ok := range allowed {
			if !ok && soft[a] != 0 {
				rt.Fatalf("action %d is not allowed and has probability %v", a, soft[a])
			}
			if mixed[a] < epsilon*even[a] {
				rt.Fatalf("action %d fell below its share of the behaviour", a)
			}
		}
	})
	if _, err := ope.Soften(0, 2, 0.1, []bool{false, true}); !errors.Is(err, ope.ErrOption) {
		t.Errorf("a best action that is not allowed: %v", err)
	}
}

func TestEstimatedBehaviourGivesTheValue(t *testing.T) {
	// With states that are all there is, counting gives weights that add up
	// per state, and WIS and WDR come to the value of the target.
	paths := toy.sample(rand.New(rand.NewPCG(8, 1)), clinician, 20000)
	var c ope.Choices[int]
	for _, p := range paths {
		c.States, c.Actions = append(c.States, p.states...), append(c.Actions, p.actions...)
	}
	b, err := ope.FitTabular(c, 3, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	believed := [][]float64{b.Probabilities(0), b.Probabilities(1), b.Probabilities(2)}
	_, value := toy.q(target, 1)
	log := trajectories(paths, believed, target, wrong(toy))
	for _, m := range []ope.Method{ope.WIS, ope.WPDIS, ope.DR, ope.WDR} {
		near(t, string(m), estimate(t, log, ope.Options{}, m), value, 0.04)
	}
}
