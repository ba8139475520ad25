// SPDX-License-Identifier: Apache-2.0

package ope

// This file: intervals. Patients are drawn with replacement, all their stays
// together, and every estimate and its difference to the clinicians is computed
// anew from each draw.

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// Kind is a way to make an interval of resamples.
type Kind string

// The kinds of interval.
const (
	// Percentile takes the quantiles of the resampled estimates.
	Percentile Kind = "percentile"
	// BCa corrects the quantiles for bias and for a spread that changes with
	// the estimate (Efron 1987).
	BCa Kind = "bca"
	// Studentised takes the quantiles of the resampled errors, each in units of
	// its own standard error.
	Studentised Kind = "studentised"
	// Envelope reaches from the lower of the percentile and studentised ends to
	// the higher: wider than either, and the safest of few effective patients.
	Envelope Kind = "envelope"
)

// Defaults of Bootstrap.
const (
	DefaultResamples = 2000
	DefaultLevel     = 0.95
)

// MinESS is the effective sample size below which a policy is not ranked, and
// its number is not to be read as a result.
const MinESS = 30

// maxUndefined is the share of resamples without a value above which there is
// no interval: what is left is no longer a sample of all.
const maxUndefined = 0.01

// ErrNotRankable means that the data cannot place a policy among others.
var ErrNotRankable = errors.New("not to be ranked")

// Bootstrap says how to resample. The zero value uses the defaults and seed 0.
type Bootstrap struct {
	// Resamples is the number of draws; 0 means DefaultResamples.
	Resamples int
	// Level is the coverage aimed at, in (0, 1); 0 means DefaultLevel.
	Level float64
	// Kind is the kind of interval; empty means Percentile.
	Kind Kind
	// Seed fixes the draws. Two samples of the same patients with one seed get
	// the same draws, which makes them comparable pair by pair.
	Seed uint64
}

func (b *Bootstrap) validate() error {
	if b.Resamples == 0 {
		b.Resamples = DefaultResamples
	}
	if b.Level == 0 {
		b.Level = DefaultLevel
	}
	if b.Kind == "" {
		b.Kind = Percentile
	}
	switch {
	case b.Resamples < 2:
		return fmt.Errorf("%d resamples: %w: want at least 2", b.Resamples, ErrOption)
	case !(b.Level > 0 && b.Level < 1):
		return fmt.Errorf("level %v: %w: want (0, 1)", b.Level, ErrOption)
	case !slices.Contains([]Kind{Percentile, BCa, Studentised, Envelope}, b.Kind):
		return fmt.Errorf("interval %q: %w", b.Kind, ErrOption)
	}
	return nil
}

// Estimate is a number with its uncertainty. Low and High are not numbers when
// there is no interval: one patient, or too many resamples without a value.
type Estimate struct {
	Value, Low, High float64
	// StdErr is the linearised standard error with patients as clusters; a
	// Contrast has none.
	StdErr float64
	// Undefined is the share of resamples that had no value.
	Undefined float64
	resampled []float64
}

// Holds says whether the interval contains v.
func (e Estimate) Holds(v float64) bool { return e.Low <= v && v <= e.High }

// Result is what one method says of the target policy.
type Result struct {
	Method Method
	Estimate
	// Difference is the estimate less the mean return of the log, which is the
	// clinicians' value, both from the same resamples.
	Difference Estimate
	// ESS is the effective sample size behind the estimate: of the final
	// weights for whole-return methods and DM, the smallest over the steps for
	// the others. DM uses no weights; the number says how far it extrapolates.
	ESS float64
	// Patients and Trajectories are how many were used.
	Patients, Trajectories int
	draws                  Bootstrap
}

// Rankable is nil when the estimate may be set beside that of other policies,
// and says why not otherwise, as an ErrNotRankable.
func (r Result) Rankable() error {
	switch {
	case r.Method == WPDISAlive:
		return fmt.Errorf("%w: %s is not on the scale of a return", ErrNotRankable, r.Method)
	case !(r.ESS >= MinESS):
		return fmt.Errorf("%w: effective sample size %.1f is below %d", ErrNotRankable, r.ESS, MinESS)
	case !finite(r.Value) || !finite(r.Low) || !finite(r.High):
		return fmt.Errorf("%w: no interval", ErrNotRankable)
	}
	return nil
}

// Evaluate estimates the target policy's value by each method. A method that
// cannot be computed for want of overlap has a Value that is not a number;
// every other fault is an error.
func (s *Sample) Evaluate(b Bootstrap, methods ...Method) ([]Result, error) {
	if err := b.validate(); err != nil {
		return nil, err
	}
	if len(methods) == 0 {
		return nil, fmt.Errorf("no methods: %w", ErrOption)
	}
	logged, err := s.terms(Logged)
	if err != nil {
		return nil, err
	}
	var of []*terms
	for _, m := range methods {
		terms, err := s.terms(m)
		if err != nil {
			return nil, err
		}
		of = append(of, terms, terms.less(logged))
	}
	estimates := b.estimate(of, len(s.patients))
	out := make([]Result, len(methods))
	for i, m := range methods {
		out[i] = Result{Method: m, Estimate: estimates[2*i], Difference: estimates[2*i+1], ESS: s.methodESS(m),
			Patients: len(s.patients), Trajectories: len(s.log), draws: b}
	}
	return out, nil
}

// Draw gives the multiplicities of one resample of n units: how often each was
// drawn. It depends on nothing but its arguments, so resamples may be computed
// in any order and at the same time. Refit whole pipelines with it, nuisance
// models included, by weighing every patient with its multiplicity.
func Draw(seed uint64, resample, n int) []float64 {
	times := make([]float64, n)
	draw(seed, resample, times)
	return times
}

func draw(seed uint64, resample int, times []float64) {
	clear(times)
	rng := rand.New(rand.NewPCG(seed, uint64(resample)))
	for range times {
		times[rng.IntN(len(times))]++
	}
}

// studied is one sum of ratios under resampling.
type studied struct {
	terms       *terms
	sums        *sums
	value, se   float64
	accelerated float64 // BCa's acceleration
	resampled   []float64
	errors      []float64 // studentised
}

// estimate resamples every sum of ratios with the same draws.
func (b Bootstrap) estimate(of []*terms, patients int) []Estimate {
	times, influence := slices.Repeat([]float64{1}, patients), make([]float64, patients)
	all := make([]studied, len(of))
	for i, t := range of {
		one := studied{terms: t, sums: t.newSums()}
		one.value = t.fill(one.sums, times)
		one.se = math.NaN()
		if !math.IsNaN(one.value) {
			t.influence(one.sums, influence)
			one.se, one.accelerated = stdErr(influence, times), acceleration(influence)
		}
		all[i] = one
	}
	for r := range b.Resamples {
		if patients < 2 {
			break // one patient is always drawn: that is no interval
		}
		draw(b.Seed, r, times)
		for i := range all {
			one := &all[i]
			v := one.terms.fill(one.sums, times)
			one.resampled = append(one.resampled, v)
			if b.Kind == Studentised || b.Kind == Envelope {
				one.terms.influence(one.sums, influence)
				one.errors = append(one.errors, (v-one.value)/stdErr(influence, times))
			}
		}
	}
	out := make([]Estimate, len(all))
	for i, one := range all {
		out[i] = b.interval(one)
	}
	return out
}

// interval makes one estimate of its resamples.
func (b Bootstrap) interval(one studied) Estimate {
	e := Estimate{Value: one.value, Low: math.NaN(), High: math.NaN(), StdErr: one.se, resampled: one.resampled}
	defined := sortedFinite(one.resampled)
	if len(one.resampled) == 0 {
		return e
	}
	e.Undefined = 1 - float64(len(defined))/float64(len(one.resampled))
	if math.IsNaN(e.Value) || e.Undefined > maxUndefined {
		return e
	}
	tail := (1 - b.Level) / 2
	spread := defined[len(defined)-1] - defined[0]
	switch {
	case spread <= 1e-12*max(1, math.Abs(e.Value)):
		// Nothing varies: DM with one initial state, say. Ratios of rounding
		// errors say nothing more.
		e.Low, e.High = defined[0], defined[len(defined)-1]
	case b.Kind == Percentile:
		e.Low, e.High = Quantile(defined, tail), Quantile(defined, 1-tail)
	case b.Kind == BCa:
		low, high := correct(defined, one.value, one.accelerated, tail)
		e.Low, e.High = Quantile(defined, low), Quantile(defined, high)
	default:
		// A resample of one policy-consistent patient has no spread of its own.
		t := sortedFinite(one.errors)
		if float64(len(t)) < (1-maxUndefined)*float64(len(one.errors)) {
			return e
		}
		e.Low, e.High = one.value-Quantile(t, 1-tail)*one.se, one.value-Quantile(t, tail)*one.se
		if b.Kind == Envelope {
			e.Low, e.High = min(e.Low, Quantile(defined, tail)), max(e.High, Quantile(defined, 1-tail))
		}
	}
	return e
}

// correct gives the two BCa probabilities that stand for tail and 1−tail.
func correct(sorted []float64, value, acceleration, tail float64) (low, high float64) {
	below := 0.0
	for _, v := range sorted {
		if v < value {
			below++
		} else if v == value {
			below += 0.5
		}
	}
	n := float64(len(sorted))
	normal := distuv.UnitNormal
	bias := normal.Quantile(min(max(below/n, 0.5/n), 1-0.5/n))
	at := func(p float64) float64 {
		z := bias + normal.Quantile(p)
		if scale := 1 - acceleration*z; scale > 0 {
			return normal.CDF(bias + z/scale)
		}
		return p // far beyond where the correction means anything
	}
	return at(tail), at(1 - tail)
}

// acceleration is a sixth of the skewness of the influence values (Efron 1987,
// equation 6.6).
func acceleration(influence []float64) float64 {
	var square, cube float64
	for _, d := range influence {
		square += d * d
		cube += d * d * d
	}
	if square == 0 || math.IsNaN(square) {
		return 0
	}
	return cube / (6 * math.Pow(square, 1.5))
}

func sortedFinite(v []float64) []float64 {
	out := make([]float64, 0, len(v))
	for _, one := range v {
		if finite(one) {
			out = append(out, one)
		}
	}
	slices.Sort(out)
	return out
}

// Quantile interpolates linearly between order statistics (Hyndman and Fan's
// type 7). sorted is ascending and not empty, p is in 0..1.
func Quantile(sorted []float64, p float64) float64 {
	at := p * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}
