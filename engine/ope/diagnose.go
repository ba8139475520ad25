// SPDX-License-Identifier: Apache-2.0

package ope

// This file: how much of the log speaks for the target policy. No estimate is
// better than the overlap it rests on.

import (
	"fmt"
	"math"
	"slices"
)

// Diagnostics describe the weights of a sample.
type Diagnostics struct {
	Patients, Trajectories, Horizon int
	// Running is how many trajectories still run at each step.
	Running []int
	// ESS is Kish's effective sample size (Σw)²/Σw² of the padded cumulative
	// weights at each step, in trajectories.
	ESS []float64
	// FinalESS is that of the whole-trajectory weights.
	FinalESS float64
	// PatientESS is Kish's size of each patient's summed final weights: what
	// is left when several stays of a patient count as one.
	PatientESS float64
	// MaxWeight is the largest final weight as a share of their sum.
	MaxWeight float64
	// MeanWeight is the mean final weight. Its expectation is 1 when b is
	// right and no limit is set; far from 1 means a wrong b or too little data.
	MeanWeight float64
	// ZeroShare is the share of trajectories with final weight 0, in which the
	// target policy would at some step not have done what was done.
	ZeroShare float64
	// LimitedRatios and LimitedWeights are the shares of steps at which
	// RatioMax and WeightMax took effect.
	LimitedRatios, LimitedWeights float64
	// LostMass is the share of the sum of final weights that the limits took
	// away, 0 without limits. With returns within ±g the bias of IS that the
	// limits cause is at most about LostMass·MeanWeightWhole·g.
	LostMass float64
	// MeanWeightWhole is the mean final weight had there been no limits.
	MeanWeightWhole float64
}

// Diagnose describes the weights.
func (s *Sample) Diagnose() Diagnostics {
	last, n := len(s.scale)-1, float64(len(s.log))
	d := Diagnostics{Patients: len(s.patients), Trajectories: len(s.log), Horizon: len(s.scale), Running: make([]int, len(s.scale))}
	for t := range s.scale {
		d.ESS = append(d.ESS, s.ess(t))
	}
	d.FinalESS = d.ESS[last]
	var sum, most float64
	perPatient := make([]float64, len(s.patients))
	for i, w := range s.logW {
		for t := range w {
			d.Running[t]++
		}
		final := s.scaled(i, last)
		sum, most = sum+final, max(most, final)
		perPatient[s.of[i]] += final
		if final == 0 {
			d.ZeroShare += 1 / n
		}
		d.MeanWeight += math.Exp(s.limited.kept[i]) / n
		d.MeanWeightWhole += math.Exp(s.limited.whole[i]) / n
	}
	d.PatientESS = kish(slices.Values(perPatient))
	if sum > 0 {
		d.MaxWeight = most / sum
	}
	d.LimitedRatios = float64(s.limited.ratios) / float64(s.limited.steps)
	d.LimitedWeights = float64(s.limited.weights) / float64(s.limited.steps)
	d.LostMass = s.lost()
	return d
}

// lost is 1 − Σw'/Σw, in log space because w may be beyond float64.
func (s *Sample) lost() float64 {
	top := slices.Max(s.limited.whole)
	if math.IsInf(top, -1) {
		return 0
	}
	var kept, whole float64
	for i := range s.log {
		kept += math.Exp(s.limited.kept[i] - top)
		whole += math.Exp(s.limited.whole[i] - top)
	}
	return 1 - kept/whole
}

// ess is Kish's effective sample size at step t, 0 when all weights are 0.
func (s *Sample) ess(t int) float64 {
	return kish(func(yield func(float64) bool) {
		for i := range s.log {
			if !yield(s.scaled(i, t)) {
				return
			}
		}
	})
}

// kish is (Σw)²/Σw².
func kish(weights func(func(float64) bool)) float64 {
	var sum, square float64
	for w := range weights {
		sum, square = sum+w, square+w*w
	}
	if square == 0 {
		return 0
	}
	return sum * sum / square
}

// methodESS is the effective sample size that Result reports for m.
func (s *Sample) methodESS(m Method) float64 {
	switch m {
	case Logged:
		return float64(len(s.log))
	case IS, WIS, PHWIS, DM:
		return s.ess(len(s.scale) - 1)
	}
	least := math.Inf(1)
	for t := range s.scale {
		least = min(least, s.ess(t))
	}
	return least
}

// Support is how much a target policy does what clinicians hardly ever did.
// Inputs are whole distributions, not only those of logged actions.
type Support struct {
	// Steps is how many states were looked at.
	Steps int
	// Mass is the mean probability that the target policy gives to actions
	// with behaviour probability below the floor.
	Mass float64
	// Worst is the largest such probability in one state.
	Worst float64
	// Violations is the share of states in which more than half of the target
	// policy is outside support.
	Violations float64
}

// CheckSupport compares π(·|s) with b(·|s) state by state.
func CheckSupport(target, behaviour [][]float64, floor float64) (Support, error) {
	if len(target) == 0 {
		return Support{}, ErrEmpty
	}
	if len(target) != len(behaviour) {
		return Support{}, fmt.Errorf("%w: %d target and %d behaviour distributions", ErrTrajectory, len(target), len(behaviour))
	}
	out := Support{Steps: len(target)}
	for i := range target {
		if err := distributions(target[i], behaviour[i]); err != nil {
			return Support{}, fmt.Errorf("state %d: %w", i, err)
		}
		outside := 0.0
		for a, p := range target[i] {
			if behaviour[i][a] < floor {
				outside += p
			}
		}
		out.Mass += outside / float64(len(target))
		out.Worst = max(out.Worst, outside)
		if outside > 0.5 {
			out.Violations += 1 / float64(len(target))
		}
	}
	return out, nil
}

// distributions checks that each is a distribution over the same actions.
func distributions(of ...[]float64) error {
	for _, p := range of {
		if len(p) == 0 || len(p) != len(of[0]) {
			return fmt.Errorf("%w: %d and %d actions", ErrTrajectory, len(of[0]), len(p))
		}
		sum := 0.0
		for a, v := range p {
			if !(v >= 0 && v <= 1) {
				return fmt.Errorf("action %d: %v: %w", a, v, ErrProbability)
			}
			sum += v
		}
		if math.Abs(sum-1) > 1e-6 {
			return fmt.Errorf("%w: probabilities sum to %v", ErrProbability, sum)
		}
	}
	return nil
}
