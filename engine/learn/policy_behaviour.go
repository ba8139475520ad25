// SPDX-License-Identifier: Apache-2.0

package learn

// This file: what clinicians do, calibrated on other patients, and how well that
// fits what they did.

import (
	"fmt"

	"github.com/sepsisagent/sepsisagent/engine/ope"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// calibrate sets the temperature of the behaviour model on other patients.
func (e *PolicyEvaluation) calibrate(episodes []episode, folds []int) error {
	gather := func(places []int) (p [][]float64, logged []int) {
		for _, at := range places {
			for i, point := range episodes[at].points {
				p, logged = append(p, normalised(point.Behaviour)), append(logged, episodes[at].logged[i])
			}
		}
		return p, logged
	}
	err := ope.CrossFit(folds, func(train []int) (*ope.Calibrator, error) {
		return ope.Temperature(gather(train))
	}, func(c *ope.Calibrator, held []int) error {
		for _, at := range held {
			for _, point := range episodes[at].points {
				b, err := ope.Floor(c.Apply(normalised(point.Behaviour)), leastBehaviour)
				if err != nil {
					return err
				}
				episodes[at].b = append(episodes[at].b, b)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("behaviour: %w", err)
	}
	var all [][]float64
	var logged []int
	for i := range episodes {
		all, logged = append(all, episodes[i].b...), append(logged, episodes[i].logged...)
	}
	c, err := ope.Calibrate(all, logged)
	if err != nil {
		return fmt.Errorf("behaviour: %w", err)
	}
	o := &e.OPESample
	o.LogLoss, o.Brier, o.ECE, o.Top1 = world.Number(c.LogLoss), world.Number(c.Brier), world.Number(c.ECE), world.Number(c.Top1)
	o.Reliability = reliability(all, logged)
	return nil
}

// reliability sorts every pair's probability into ten bins; empty ones are left
// out.
func reliability(p [][]float64, logged []int) (out []ReliabilityBin) {
	const bins = 10
	var of, predicted, observed [bins]float64
	for i, probabilities := range p {
		for a, v := range probabilities {
			at := min(int(v*bins), bins-1)
			of[at]++
			predicted[at] += v
			if a == logged[i] {
				observed[at]++
			}
		}
	}
	for k, n := range of {
		if n > 0 {
			out = append(out, ReliabilityBin{int(n), world.Number(predicted[k] / n), world.Number(observed[k] / n)})
		}
	}
	return out
}

// normalised takes the rounding out of probabilities that were kept short.
func normalised(p [Actions]float64) []float64 {
	sum := 0.0
	for _, v := range p {
		sum += v
	}
	out := make([]float64, Actions)
	for i, v := range p {
		out[i] = v / sum
	}
	return out
}
