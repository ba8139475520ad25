// SPDX-License-Identifier: Apache-2.0

package ope_test

// This file: intervals, contrasts and the rule that thin evidence is not
// ranked.

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/ope"
)

func evaluate(t *testing.T, log []ope.Trajectory, o ope.Options, b ope.Bootstrap, m ...ope.Method) []ope.Result {
	t.Helper()
	s, err := ope.New(log, o)
	if err != nil {
		t.Fatal(err)
	}
	results, err := s.Evaluate(b, m...)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// draws a log of n episodes of the toy.
func toyLog(seed uint64, n int, q [][][]float64) []ope.Trajectory {
	return trajectories(toy.sample(rand.New(rand.NewPCG(seed, 7)), clinician, n), clinician, target, q)
}

func TestIntervalsHoldTheTruthAsOftenAsTheySay(t *testing.T) {
	if testing.Short() {
		t.Skip("a few hundred bootstraps")
	}
	exact, value := toy.q(target, 1)
	_, logged := toy.q(clinician, 1)
	methods := []ope.Method{ope.WIS, ope.PDIS, ope.WPDIS, ope.DR, ope.WDR}
	for i := range exact { // a Q that is somewhat off, as a fitted one is
		for s := range exact[i] {
			exact[i][s][0] += 0.4
		}
	}
	const runs = 200
	for _, kind := range []ope.Kind{ope.Percentile, ope.BCa, ope.Studentised} {
		held, heldGain := map[ope.Method]int{}, map[ope.Method]int{}
		for run := range runs {
			for _, r := range evaluate(t, toyLog(uint64(run), 150, exact), ope.Options{}, ope.Bootstrap{Resamples: 300, Level: 0.9, Kind: kind, Seed: uint64(run)}, methods...) {
				if r.Holds(value) {
					held[r.Method]++
				}
				if r.Difference.Holds(value - logged) {
					heldGain[r.Method]++
				}
			}
		}
		for _, m := range methods {
			for what, n := range map[string]int{"value": held[m], "gain": heldGain[m]} {
				t.Logf("%s, %s, 90 %% intervals of the %s: %.3f", m, kind, what, float64(n)/runs)
				if share := float64(n) / runs; share < 0.82 || share > 0.97 {
					t.Errorf("%s, %s: 90 %% intervals of the %s hold the truth %.3f of the time", m, kind, what, share)
				}
			}
		}
	}
}

func TestStandardErrorIsTheSpreadOfResamples(t *testing.T) {
	for _, r := range evaluate(t, toyLog(3, 400, wrong(toy)), ope.Options{}, ope.Bootstrap{Resamples: 1000}, ope.Methods()...) {
		half := (r.High - r.Low) / 2 / 1.96
		if ratio := half / r.StdErr; ratio < 0.85 || ratio > 1.15 {
			t.Errorf("%s: the interval suggests a standard error of %v, the influence values %v", r.Method, half, r.StdErr)
		}
		half = (r.Difference.High - r.Difference.Low) / 2 / 1.96
		if r.Method != ope.Logged && math.Abs(half/r.Difference.StdErr-1) > 0.15 {
			t.Errorf("%s, difference: the interval suggests a standard error of %v, the influence values %v", r.Method, half, r.Difference.StdErr)
		}
	}
}

func TestNormalisersAreComputedAnewInEachResample(t *testing.T) {
	// One patient carries nearly all weight. Resampling values that were
	// normalised once would say that WIS is 0 whenever that patient is not
	// drawn; it is then the others' return.
	log := []ope.Trajectory{{Patient: "heavy", Behaviour: []float64{0.001}, Target: []float64{1}, Rewards: []float64{1}}}
	for i := range 30 {
		log = append(log, ope.Trajectory{Patient: fmt.Sprint(i), Behaviour: []float64{1}, Target: []float64{0.5}, Rewards: []float64{1}})
	}
	r := evaluate(t, log, ope.Options{}, ope.Bootstrap{Resamples: 200}, ope.WIS)[0]
	near(t, "low", r.Low, 1, 1e-12)
	near(t, "high", r.High, 1, 1e-12)
}

func TestTheEnvelopeHoldsTheOtherTwo(t *testing.T) {
	log := toyLog(4, 60, wrong(toy))
	of := func(kind ope.Kind) []ope.Result {
		return evaluate(t, log, ope.Options{}, ope.Bootstrap{Resamples: 200, Seed: 2, Kind: kind}, ope.WIS, ope.WPDIS, ope.DR)
	}
	percentile, studentised := of(ope.Percentile), of(ope.Studentised)
	for i, r := range of(ope.Envelope) {
		near(t, string(r.Method)+" low", r.Low, min(percentile[i].Low, studentised[i].Low), 0)
		near(t, string(r.Method)+" high", r.High, max(percentile[i].High, studentised[i].High), 0)
	}
}

func TestStaysOfAPatientAreDrawnTogether(t *testing.T) {
	apart := toyLog(5, 60, nil)
	var together []ope.Trajectory
	for _, tr := range apart {
		for range 4 {
			together = append(together, tr)
		}
	}
	for _, kind := range []ope.Kind{ope.Percentile, ope.BCa, ope.Studentised, ope.Envelope} {
		b := ope.Bootstrap{Resamples: 200, Kind: kind}
		one, four := evaluate(t, apart, ope.Options{}, b, ope.WPDIS)[0], evaluate(t, together, ope.Options{}, b, ope.WPDIS)[0]
		near(t, string(kind)+" low", four.Low, one.Low, 1e-9)
		near(t, string(kind)+" high", four.High, one.High, 1e-9)
		near(t, string(kind)+" standard error", four.StdErr, one.StdErr, 1e-9)
	}
}

func TestResultsDependOnTheSeedAlone(t *testing.T) {
	log := toyLog(11, 80, wrong(toy))
	b := ope.Bootstrap{Resamples: 100, Seed: 9, Kind: ope.BCa}
	old := runtime.GOMAXPROCS(1)
	one := evaluate(t, log, ope.Options{}, b, ope.Methods()...)
	runtime.GOMAXPROCS(2)
	two := evaluate(t, log, ope.Options{}, b, ope.Methods()...)
	runtime.GOMAXPROCS(old)
	if !reflect.DeepEqual(one, two) {
		t.Error("one seed gave two results")
	}
	slices.Reverse(log)
	for i, r := range evaluate(t, log, ope.Options{}, b, ope.Methods()...) {
		near(t, string(r.Method)+" low of the reversed log", r.Low, one[i].Low, 1e-10)
		near(t, string(r.Method)+" high of the reversed log", r.High, one[i].High, 1e-10)
	}
	b.Seed++
	if evaluate(t, log, ope.Options{}, b, ope.WIS)[0].Low == one[2].Low {
		t.Error("another seed gave the same resamples")
	}
}

func TestEqualPolicyHasNoDifferenceFromTheClinicians(t *testing.T) {
	log := trajectories(toy.sample(rand.New(rand.NewPCG(1, 1)), clinician, 50), clinician, clinician, nil)
	for _, r := range evaluate(t, log, ope.Options{}, ope.Bootstrap{Resamples: 200}, ope.IS, ope.WIS, ope.PDIS, ope.WPDIS) {
		for _, v := range []float64{r.Difference.Value, r.Difference.Low, r.Difference.High} {
			near(t, string(r.Method)+" less logged", v, 0, 1e-12)
		}
		if r.High-r.Low < 0.1 {
			t.Errorf("%s: the value itself has the interval %v to %v", r.Method, r.Low, r.High)
		}
	}
}

func TestPermutedRewardsGiveNoGain(t *testing.T) {
	held := map[ope.Method]int{}
	methods := []ope.Method{ope.WIS, ope.WPDIS, ope.DR, ope.WDR}
	const runs = 40
	for run := range uint64(runs) {
		log := toyLog(run, 300, wrong(toy))
		// One reward per stay, at its end, dealt out anew: what was done no
		// longer says anything about what came of it.
		returns := make([]float64, len(log))
		for i, tr := range log {
			for _, r := range tr.Rewards {
				returns[i] += r
			}
		}
		rand.New(rand.NewPCG(run, 99)).Shuffle(len(returns), func(i, j int) { returns[i], returns[j] = returns[j], returns[i] })
		for i := range log {
			log[i].Rewards = make([]float64, len(log[i].Rewards))
			log[i].Rewards[len(log[i].Rewards)-1] = returns[i]
		}
		for _, r := range evaluate(t, log, ope.Options{}, ope.Bootstrap{Resamples: 200, Seed: run}, methods...) {
			if r.Difference.Holds(0) {
				held[r.Method]++
			}
		}
	}
	for _, m := range methods {
		if share := float64(held[m]) / runs; share < 0.85 {
			t.Errorf("%s: only %.2f of the intervals of the difference hold 0", m, share)
		}
	}
}

func TestContrastPairsTwoPolicies(t *testing.T) {
	paths := toy.sample(rand.New(rand.NewPCG(2, 2)), clinician, 200)
	close := [][]float64{{0.88, 0.12}, {0.22, 0.78}, {0.6, 0.4}}
	b := ope.Bootstrap{Resamples: 300, Seed: 4}
	one := evaluate(t, trajectories(paths, clinician, target, nil), ope.Options{}, b, ope.WIS, ope.WPDIS)
	two := evaluate(t, trajectories(paths, clinician, close, nil), ope.Options{}, b, ope.WIS)[0]
	difference, err := ope.Contrast(one[0], two)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "difference", difference.Value, one[0].Value-two.Value, 1e-15)
	if wide, narrow := one[0].High-one[0].Low, difference.High-difference.Low; narrow > wide/3 {
		t.Errorf("the paired interval is %v wide, one policy's own %v: the draws are not shared", narrow, wide)
	}
	b.Seed++
	other := evaluate(t, trajectories(paths, clinician, close, nil), ope.Options{}, b, ope.WIS)[0]
	if _, err := ope.Contrast(one[0], other); !errors.Is(err, ope.ErrOption) {
		t.Errorf("a contrast of different draws: %v", err)
	}
}

func TestThinEvidenceIsNotRanked(t *testing.T) {
	b := ope.Bootstrap{Resamples: 100}
	enough := evaluate(t, toyLog(1, 400, nil), ope.Options{}, b, ope.WIS, ope.WPDISAlive)
	thin := evaluate(t, toyLog(2, 40, nil), ope.Options{}, b, ope.WIS)[0]
	if thin.ESS >= ope.MinESS {
		t.Fatalf("the thin log has effective sample size %v", thin.ESS)
	}
	best := enough[0]
	best.Value += 1
	ranked, refused, err := ope.Rank([]ope.Named{{"good", enough[0]}, {"thin", thin}, {"best", best}})
	if err != nil {
		t.Fatal(err)
	}
	if len(ranked) != 2 || ranked[0].Name != "best" || ranked[1].Name != "good" {
		t.Errorf("ranked %v", ranked)
	}
	if !errors.Is(refused["thin"], ope.ErrNotRankable) || len(refused) != 1 {
		t.Errorf("refused %v", refused)
	}
	if err := enough[1].Rankable(); !errors.Is(err, ope.ErrNotRankable) {
		t.Errorf("the alive-only form may be ranked: %v", err)
	}
	if _, _, err := ope.Rank([]ope.Named{{"a", enough[0]}, {"b", enough[1]}}); !errors.Is(err, ope.ErrOption) {
		t.Errorf("two methods in one ranking: %v", err)
	}
}

func TestNoOverlapHasNoInterval(t *testing.T) {
	log := toyLog(1, 60, nil)
	for i := range log {
		if i > 0 {
			log[i].Target[0] = 0
		}
	}
	r := evaluate(t, log, ope.Options{}, ope.Bootstrap{Resamples: 200}, ope.WIS)[0]
	if !math.IsNaN(r.Low) || !math.IsNaN(r.High) || r.Undefined < 0.2 {
		t.Errorf("one matching stay of 60 gives the interval %v to %v with %v of resamples undefined", r.Low, r.High, r.Undefined)
	}
	one := evaluate(t, log[:1], ope.Options{}, ope.Bootstrap{Resamples: 200}, ope.WIS)[0]
	if math.IsNaN(one.Value) || !math.IsNaN(one.Low) || one.Rankable() == nil {
		t.Errorf("one patient gives %+v", one)
	}
	for i := range log {
		log[i].Target[0] = 0
	}
	r = evaluate(t, log, ope.Options{}, ope.Bootstrap{Resamples: 20}, ope.WIS)[0]
	if !math.IsNaN(r.Value) || r.ESS != 0 || !errors.Is(r.Rankable(), ope.ErrNotRankable) {
		t.Errorf("no matching stay gives %+v", r)
	}
}

func TestLimitsAreReported(t *testing.T) {
	rows, err := ope.Vary(toyLog(1, 200, nil), ope.WIS, ope.Bootstrap{Resamples: 50},
		ope.Options{}, ope.Options{RatioMax: 2}, ope.Options{RatioMax: 1}, ope.Options{WeightMax: 3})
	if err != nil {
		t.Fatal(err)
	}
	lost, ess := -1.0, 0.0
	for _, row := range rows[:3] {
		if row.Diagnostics.LostMass <= lost || row.Diagnostics.FinalESS <= ess {
			t.Errorf("limit %v: lost %v after %v, effective sample size %v after %v", row.Options.RatioMax, row.Diagnostics.LostMass, lost, row.Diagnostics.FinalESS, ess)
		}
		lost, ess = row.Diagnostics.LostMass, row.Diagnostics.FinalESS
	}
	if d := rows[3].Diagnostics; d.LimitedWeights == 0 || d.LimitedRatios != 0 || d.LostMass <= 0 || d.MeanWeight >= d.MeanWeightWhole {
		t.Errorf("a largest weight: %+v", d)
	}
}

func TestBadBootstrapsAreRefused(t *testing.T) {
	s, err := ope.New(toyLog(1, 10, nil), ope.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []ope.Bootstrap{{Resamples: 1}, {Resamples: -5}, {Level: 1}, {Level: math.NaN()}, {Kind: "guess"}} {
		if _, err := s.Evaluate(b, ope.WIS); !errors.Is(err, ope.ErrOption) {
			t.Errorf("%+v: %v", b, err)
		}
	}
	if _, err := s.Evaluate(ope.Bootstrap{}); !errors.Is(err, ope.ErrOption) {
		t.Errorf("no methods: %v", err)
	}
}

func TestSupportViolationsAreCounted(t *testing.T) {
	got, err := ope.CheckSupport([][]float64{{1, 0}, {0.2, 0.8}, {0.5, 0.5}}, [][]float64{{0.001, 0.999}, {0.5, 0.5}, {0.999, 0.001}}, 0.01)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "mass", got.Mass, 0.5, 1e-15)
	near(t, "worst", got.Worst, 1, 0)
	near(t, "violations", got.Violations, 1.0/3, 1e-15)
	if _, err := ope.CheckSupport([][]float64{{0.5, 0.6}}, [][]float64{{0.5, 0.5}}, 0.01); !errors.Is(err, ope.ErrProbability) {
		t.Errorf("a distribution that sums to 1.1: %v", err)
	}
}
