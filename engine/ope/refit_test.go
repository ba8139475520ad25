// SPDX-License-Identifier: Apache-2.0

package ope_test

// This file: pipelines that are fitted anew in each resample.

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/ope"
)

func TestRefittingNothingIsTheOrdinaryBootstrap(t *testing.T) {
	log := toyLog(4, 60, wrong(toy))
	ids := make([]string, len(log))
	for i := range log {
		log[i].Patient = log[i/2*2].Patient
		ids[i] = log[i].Patient
	}
	s, err := ope.New(log, ope.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := ope.Bootstrap{Resamples: 100, Seed: 3}
	for _, want := range evaluate(t, log, ope.Options{}, b, ope.Methods()...) {
		got, err := ope.Refit(b, ids, func(times []float64) (float64, error) { return s.WeightedValue(want.Method, times) })
		if err != nil {
			t.Fatal(err)
		}
		near(t, string(want.Method), got.Value, want.Value, 0)
		near(t, string(want.Method)+" low", got.Low, want.Low, 0)
		near(t, string(want.Method)+" high", got.High, want.High, 0)
	}
	if _, err := s.WeightedValue(ope.WIS, append([]float64{2}, make([]float64, 59)...)); !errors.Is(err, ope.ErrOption) {
		t.Errorf("two stays of one patient with different weights: %v", err)
	}
}

func TestRefittedFQEHasTheIntervalThatFixedValuesHide(t *testing.T) {
	paths := toy.sample(rand.New(rand.NewPCG(6, 1)), clinician, 120)
	all := episodes(paths, placed)
	ids := make([]string, len(all))
	for i, e := range all {
		ids[i] = e.Patient
	}
	first := func(times []float64) (float64, []*ope.Values, error) {
		fit, err := ope.FQE(all, times, ope.FQEOptions{Actions: 2}, ope.Table{States: 9})
		if err != nil {
			return 0, nil, err
		}
		sum, n := 0.0, 0.0
		values := make([]*ope.Values, len(all))
		for i, e := range all {
			if values[i], err = fit.Values(e); err != nil {
				return 0, nil, err
			}
			sum, n = sum+times[i]*values[i].V[0], n+times[i]
		}
		return sum / n, values, nil
	}
	b := ope.Bootstrap{Resamples: 200}
	var values []*ope.Values
	refitted, err := ope.Refit(b, ids, func(times []float64) (float64, error) {
		v, along, err := first(times)
		if values == nil {
			values = along
		}
		return v, err
	})
	if err != nil {
		t.Fatal(err)
	}
	_, value := toy.q(target, 1)
	if !refitted.Holds(value) {
		t.Errorf("refitted FQE says %v to %v, the value is %v", refitted.Low, refitted.High, value)
	}
	log := trajectories(paths, clinician, target, nil)
	for i := range log {
		log[i].Values = values[i]
	}
	fixed := evaluate(t, log, ope.Options{}, b, ope.DM)[0]
	near(t, "value", fixed.Value, refitted.Value, 1e-12)
	if wide, narrow := refitted.High-refitted.Low, fixed.High-fixed.Low; wide < 1.5*narrow {
		t.Errorf("refitted the interval is %v wide, with fixed values %v", wide, narrow)
	}
}
