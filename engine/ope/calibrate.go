// SPDX-License-Identifier: Apache-2.0

package ope

// This file: calibration of a behaviour policy. It works on probabilities of
// any model, fitted on choices that the model has not seen.

import (
	"fmt"
	"math"
)

// least is the smallest probability that is taken the logarithm of.
const least = 1e-12

// Calibrator maps a model's probabilities to better ones:
// p'_a ∝ exp(scale_a · log p_a + shift_a).
type Calibrator struct {
	scale, shift []float64
}

// Temperature fits one scale 1/T for all actions, the same shift for all
// (temperature scaling, Guo et al. 2017). It keeps the order of actions.
func Temperature(probabilities [][]float64, logged []int) (*Calibrator, error) {
	logs, err := logarithms(probabilities, logged)
	if err != nil {
		return nil, err
	}
	n := len(logs[0])
	// The slope of the log loss in 1/T rises: its zero is the minimum.
	slope := func(inverse float64) (sum float64) {
		p := make([]float64, n)
		for i, z := range logs {
			for a, v := range z {
				p[a] = inverse * v
			}
			softmax(p)
			sum -= z[logged[i]]
			for a, v := range z {
				sum += p[a] * v
			}
		}
		return sum
	}
	low, high := math.Log(1e-2), math.Log(1e2)
	for range 80 {
		if mid := (low + high) / 2; slope(math.Exp(mid)) < 0 {
			low = mid
		} else {
			high = mid
		}
	}
	out := &Calibrator{scale: make([]float64, n), shift: make([]float64, n)}
	for a := range out.scale {
		out.scale[a] = math.Exp((low + high) / 2)
	}
	return out, nil
}

// Platt fits a scale and a shift per action (vector scaling, the multinomial
// form of Platt's), with penalty/2 on the squared distance from no change so
// that rare actions stay as they are. penalty must be above 0.
func Platt(probabilities [][]float64, logged []int, penalty float64) (*Calibrator, error) {
	logs, err := logarithms(probabilities, logged)
	if err != nil {
		return nil, err
	}
	if !(penalty > 0) {
		return nil, fmt.Errorf("penalty %v: %w: want above 0", penalty, ErrOption)
	}
	n := len(logs[0])
	p := make([]float64, n)
	loss := func(gradient, x []float64) (loss float64) { // x: scales less 1, shifts
		clear(gradient)
		w := 1 / float64(len(logs))
		for i, z := range logs {
			for a, v := range z {
				p[a] = (1+x[a])*v + x[n+a]
			}
			chosen := p[logged[i]]
			loss += w * (softmax(p) - chosen)
			if gradient == nil {
				continue
			}
			p[logged[i]]--
			for a, v := range z {
				gradient[a] += w * p[a] * v
				gradient[n+a] += w * p[a]
			}
		}
		for k, v := range x {
			loss += penalty / 2 * v * v
			if gradient != nil {
				gradient[k] += penalty * v
			}
		}
		return loss
	}
	x, err := minimise(loss, make([]float64, 2*n))
	if err != nil {
		return nil, fmt.Errorf("calibrate: %w", err)
	}
	out := &Calibrator{scale: make([]float64, n), shift: x[n:]}
	for a := range out.scale {
		out.scale[a] = 1 + x[a]
	}
	return out, nil
}

// logarithms checks the distributions and takes their logarithms.
func logarithms(probabilities [][]float64, logged []int) ([][]float64, error) {
	if len(probabilities) == 0 {
		return nil, ErrEmpty
	}
	if len(probabilities) != len(logged) {
		return nil, fmt.Errorf("%w: %d distributions, %d actions", ErrTrajectory, len(probabilities), len(logged))
	}
	out := make([][]float64, len(probabilities))
	for i, p := range probabilities {
		if err := distributions(probabilities[0], p); err != nil {
			return nil, fmt.Errorf("choice %d: %w", i, err)
		}
		if logged[i] < 0 || logged[i] >= len(p) {
			return nil, fmt.Errorf("choice %d: action %d of %d: %w", i, logged[i], len(p), ErrOption)
		}
		out[i] = make([]float64, len(p))
		for a, v := range p {
			out[i][a] = math.Log(max(v, least))
		}
	}
	return out, nil
}

// Apply gives the calibrated probabilities. p must have the number of actions
// that the calibrator was fitted with; Apply panics otherwise.
func (c *Calibrator) Apply(p []float64) []float64 {
	if len(p) != len(c.scale) {
		panic("ope: calibrator of another number of actions")
	}
	out := make([]float64, len(p))
	for a, v := range p {
		out[a] = c.scale[a]*math.Log(max(v, least)) + c.shift[a]
	}
	softmax(out)
	return out
}

// Floor lifts every probability to at least floor before it is divided by
// their sum, which limits the ratios at the price of a bias towards the target
// policy's own choices being common.
func Floor(p []float64, floor float64) ([]float64, error) {
	if !(floor >= 0 && floor*float64(len(p)) <= 1) {
		return nil, fmt.Errorf("floor %v for %d actions: %w", floor, len(p), ErrOption)
	}
	if err := distributions(p); err != nil {
		return nil, err
	}
	out, sum := make([]float64, len(p)), 0.0
	for a, v := range p {
		out[a] = max(v, floor)
		sum += out[a]
	}
	for a := range out {
		out[a] /= sum
	}
	return out, nil
}

// Calibration is how well probabilities fit logged choices.
type Calibration struct {
	// LogLoss is the mean −log p of the logged action, in nats, with p at
	// least 1e-12.
	LogLoss float64
	// Brier is the mean over choices of Σ_a (p_a − [a logged])².
	Brier float64
	// ECE is the expected calibration error of every action's probability, in
	// ten bins of equal width: unlike that of the likeliest action alone, it
	// sees the small probabilities that ratios divide by.
	ECE float64
	// Top1 is the share of choices whose likeliest action was logged.
	Top1 float64
}

// Calibrate measures the fit of probabilities to choices.
func Calibrate(probabilities [][]float64, logged []int) (Calibration, error) {
	logs, err := logarithms(probabilities, logged)
	if err != nil {
		return Calibration{}, err
	}
	const bins = 10
	var out Calibration
	var gap [bins]float64
	n := float64(len(logs))
	for i, p := range probabilities {
		best := 0
		for a, v := range p {
			came := 0.0
			if a == logged[i] {
				came = 1
			}
			if v > p[best] {
				best = a
			}
			out.Brier += (v - came) * (v - came) / n
			gap[min(int(v*bins), bins-1)] += v - came
		}
		out.LogLoss -= logs[i][logged[i]] / n
		if best == logged[i] {
			out.Top1 += 1 / n
		}
	}
	for _, g := range gap {
		out.ECE += math.Abs(g) / (n * float64(len(logs[0])))
	}
	return out, nil
}
