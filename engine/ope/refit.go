// SPDX-License-Identifier: Apache-2.0

package ope

// This file: resampling whole pipelines. Intervals of fixed nuisance models
// leave out that those were estimated too; here they are fitted anew from each
// draw.

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Refit bootstraps a pipeline: estimate is called with how often each
// trajectory counts, first 1 for all and then as patients are drawn, fits
// whatever it needs with those weights, and gives one number. patients names
// the patient of each trajectory. An ErrNoOverlap from estimate is a resample
// without a value; every other error ends the run. The interval is of
// percentile kind, since the others need a derivative of the whole pipeline;
// StdErr is the standard deviation of the resamples.
func Refit(b Bootstrap, patients []string, estimate func(times []float64) (float64, error)) (Estimate, error) {
	if err := b.validate(); err != nil {
		return Estimate{}, err
	}
	if b.Kind != Percentile {
		return Estimate{}, fmt.Errorf("%s interval of a pipeline: %w: want %s", b.Kind, ErrOption, Percentile)
	}
	if len(patients) == 0 {
		return Estimate{}, ErrEmpty
	}
	unique := slices.Compact(slices.Sorted(slices.Values(patients)))
	times := slices.Repeat([]float64{1}, len(patients))
	value, err := estimate(times)
	if err != nil {
		return Estimate{}, err
	}
	one := studied{value: value, se: math.NaN()}
	drawn := make([]float64, len(unique))
	for r := range b.Resamples {
		if len(unique) < 2 {
			break
		}
		draw(b.Seed, r, drawn)
		for i, id := range patients {
			at, _ := slices.BinarySearch(unique, id)
			times[i] = drawn[at]
		}
		v, err := estimate(times)
		if errors.Is(err, ErrNoOverlap) {
			v = math.NaN()
		} else if err != nil {
			return Estimate{}, fmt.Errorf("resample %d: %w", r, err)
		}
		one.resampled = append(one.resampled, v)
	}
	one.se = deviation(sortedFinite(one.resampled))
	return b.interval(one), nil
}

// deviation is the standard deviation of a sample, not a number below two.
func deviation(v []float64) float64 {
	mean, square := 0.0, 0.0
	for _, x := range v {
		mean += x / float64(len(v))
	}
	for _, x := range v {
		square += (x - mean) * (x - mean)
	}
	if len(v) < 2 {
		return math.NaN()
	}
	return math.Sqrt(square / float64(len(v)-1))
}

// WeightedValue is the estimate of m when trajectory i counts times[i] ≥ 0
// times, which must be the same for all trajectories of a patient.
func (s *Sample) WeightedValue(m Method, times []float64) (float64, error) {
	if len(times) != len(s.log) {
		return math.NaN(), fmt.Errorf("%w: %d weights for %d trajectories", ErrTrajectory, len(times), len(s.log))
	}
	terms, err := s.terms(m)
	if err != nil {
		return math.NaN(), err
	}
	perPatient := slices.Repeat([]float64{-1}, len(s.patients))
	for i, p := range s.of {
		if w := times[i]; !(w >= 0) || math.IsInf(w, 1) || perPatient[p] >= 0 && perPatient[p] != w {
			return math.NaN(), fmt.Errorf("trajectory %d: weight %v: %w: want one weight of at least 0 per patient", i, w, ErrOption)
		}
		perPatient[p] = times[i]
	}
	v := terms.value(perPatient)
	if math.IsNaN(v) {
		return v, fmt.Errorf("%s: %w", m, ErrNoOverlap)
	}
	return v, nil
}
