// SPDX-License-Identifier: Apache-2.0

package ope

// This file: the log that is evaluated, its checks, and the importance weights
// that every estimator reads.

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Errors of a log that cannot be evaluated. The message that wraps one says
// which trajectory and step.
var (
	// ErrEmpty means that there is nothing to evaluate.
	ErrEmpty = errors.New("no trajectories (hint: the cohort or the split may be empty)")
	// ErrTrajectory means that a trajectory has no steps or slices of unequal
	// lengths.
	ErrTrajectory = errors.New("malformed trajectory")
	// ErrProbability means a probability outside [0, 1], or a behaviour
	// probability of 0 for an action that was taken.
	ErrProbability = errors.New("impossible probability")
	// ErrNumber means a reward or value that is not finite.
	ErrNumber = errors.New("number is not finite")
	// ErrOption means an option outside its range.
	ErrOption = errors.New("option out of range")
	// ErrOverflow means that an estimator that does not normalise its weights
	// met one beyond float64.
	ErrOverflow = errors.New("importance weight overflows (hint: set RatioMax or WeightMax, or use a weighted estimator)")
	// ErrNoValues means that a method which needs Q and V got none.
	ErrNoValues = errors.New("trajectories carry no values (hint: fit FQE and set Trajectory.Values)")
	// ErrNoOverlap means that all weights are zero: the target policy never
	// does what was logged, and a weighted estimator has no value.
	ErrNoOverlap = errors.New("target policy never agrees with the log, all weights are zero")
)

// Trajectory is one logged episode under the behaviour policy b, with what the
// target policy π would have done in it. The slices have one element per step.
type Trajectory struct {
	// Patient is the unit of resampling: all stays of a patient are drawn
	// together. It is compared and sorted, never printed.
	Patient string
	// Behaviour is b(a_t|s_t) of the logged action, in (0, 1].
	Behaviour []float64
	// Target is π(a_t|s_t) of the logged action, in [0, 1].
	Target []float64
	// Rewards is r_t, received after the action of step t.
	Rewards []float64
	// Values is what a model says, for DM, DR and WDR; nil without one. Either
	// all trajectories of a log have values or none.
	Values *Values
}

// Values is a model of the target policy's value along one trajectory.
type Values struct {
	// Q is Q̂(s_t, a_t) of the logged action.
	Q []float64
	// V is V̂(s_t) = Σ_a π(a|s_t) Q̂(s_t, a).
	V []float64
}

// Options say what is estimated and how weights are limited. The zero value
// is the undiscounted whole episode with weights as they are.
type Options struct {
	// Discount is γ in (0, 1]; 0 means 1.
	Discount float64
	// Horizon keeps the first so many steps of each trajectory, which
	// estimates the value of that many steps; 0 keeps all.
	Horizon int
	// RatioMax limits each step's ratio π/b, 0 for no limit. It pulls an
	// estimate towards the clinicians' value.
	RatioMax float64
	// WeightMax limits each cumulative ratio after RatioMax, 0 for no limit;
	// the limit is not carried to later steps. √n is a usual choice
	// (Ionides 2008). It lowers the weight of what clinicians rarely do.
	WeightMax float64
}

// Sample is a checked log of one target policy with its weights. It is
// immutable, and safe for use by several goroutines.
type Sample struct {
	options  Options
	log      []Trajectory
	patients []string    // sorted
	of       []int       // trajectory → place in patients
	logW     [][]float64 // log w_{0:t} per trajectory, after limits
	scale    []float64   // per step, the largest padded log w_{0:t}
	largest  float64     // the largest log w_{0:t} of all
	returns  []float64   // Σ γ^t r_t
	discount []float64   // γ^t, one more than the horizon
	limited  limits
}

// limits counts what RatioMax and WeightMax took away.
type limits struct {
	steps, ratios, weights int
	kept, whole            []float64 // log final weight per trajectory
}

// New checks a log and computes its weights. The slices are kept and must not
// change afterwards.
func New(log []Trajectory, options Options) (*Sample, error) {
	if options.Discount == 0 {
		options.Discount = 1
	}
	if err := options.validate(); err != nil {
		return nil, err
	}
	if len(log) == 0 {
		return nil, ErrEmpty
	}
	s := &Sample{options: options, log: make([]Trajectory, len(log)), of: make([]int, len(log)), largest: math.Inf(-1)}
	ids := make([]string, len(log))
	horizon := 0
	for i, tr := range log {
		if err := tr.validate(log[0].Values != nil); err != nil {
			return nil, fmt.Errorf("trajectory %d: %w", i, err)
		}
		s.log[i] = tr.first(options.Horizon)
		horizon = max(horizon, len(s.log[i].Rewards))
		ids[i] = tr.Patient
	}
	s.patients = slices.Compact(slices.Sorted(slices.Values(ids)))
	for i, id := range ids {
		s.of[i], _ = slices.BinarySearch(s.patients, id)
	}
	s.discount = make([]float64, horizon+1)
	for t := range s.discount {
		s.discount[t] = math.Pow(options.Discount, float64(t))
	}
	s.weigh(horizon)
	return s, nil
}

func (o Options) validate() error {
	switch {
	case !(o.Discount > 0 && o.Discount <= 1):
		return fmt.Errorf("discount %v: %w: want (0, 1]", o.Discount, ErrOption)
	case o.Horizon < 0:
		return fmt.Errorf("horizon %d: %w: want at least 0", o.Horizon, ErrOption)
	case !(o.RatioMax >= 0) || o.RatioMax > 0 && o.RatioMax < 1:
		return fmt.Errorf("largest ratio %v: %w: want 0 or at least 1", o.RatioMax, ErrOption)
	case !(o.WeightMax >= 0) || o.WeightMax > 0 && o.WeightMax < 1:
		return fmt.Errorf("largest weight %v: %w: want 0 or at least 1", o.WeightMax, ErrOption)
	}
	return nil
}

// validate checks one trajectory; valued says whether it must have values.
func (tr Trajectory) validate(valued bool) error {
	n := len(tr.Rewards)
	if n == 0 {
		return fmt.Errorf("%w: no steps", ErrTrajectory)
	}
	if len(tr.Behaviour) != n || len(tr.Target) != n {
		return fmt.Errorf("%w: %d rewards, %d behaviour and %d target probabilities", ErrTrajectory, n, len(tr.Behaviour), len(tr.Target))
	}
	if (tr.Values != nil) != valued {
		return fmt.Errorf("%w: only some trajectories have values", ErrTrajectory)
	}
	if valued && (len(tr.Values.Q) != n || len(tr.Values.V) != n) {
		return fmt.Errorf("%w: %d rewards, %d Q and %d V", ErrTrajectory, n, len(tr.Values.Q), len(tr.Values.V))
	}
	for t := range n {
		if b := tr.Behaviour[t]; !(b > 0 && b <= 1) {
			return fmt.Errorf("step %d: behaviour %v: %w: want (0, 1] for an action that was taken", t, b, ErrProbability)
		}
		if p := tr.Target[t]; !(p >= 0 && p <= 1) {
			return fmt.Errorf("step %d: target %v: %w: want [0, 1]", t, p, ErrProbability)
		}
		if !finite(tr.Rewards[t]) || valued && !(finite(tr.Values.Q[t]) && finite(tr.Values.V[t])) {
			return fmt.Errorf("step %d: %w", t, ErrNumber)
		}
	}
	return nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// first keeps n steps, all of them when n is 0.
func (tr Trajectory) first(n int) Trajectory {
	if n == 0 || n >= len(tr.Rewards) {
		return tr
	}
	tr.Behaviour, tr.Target, tr.Rewards = tr.Behaviour[:n], tr.Target[:n], tr.Rewards[:n]
	if tr.Values != nil {
		tr.Values = &Values{Q: tr.Values.Q[:n], V: tr.Values.V[:n]}
	}
	return tr
}

// weigh computes the cumulative ratios in log space, where a product of many
// steps neither overflows nor vanishes, and the returns.
func (s *Sample) weigh(horizon int) {
	ratioMax, weightMax := limit(s.options.RatioMax), limit(s.options.WeightMax)
	s.scale = slices.Repeat([]float64{math.Inf(-1)}, horizon)
	for _, tr := range s.log {
		whole, clipped, ret := 0.0, 0.0, 0.0
		w := make([]float64, len(tr.Rewards))
		for t, r := range tr.Rewards {
			ret += s.discount[t] * r
			ratio := math.Log(tr.Target[t]) - math.Log(tr.Behaviour[t])
			whole += ratio
			clipped += min(ratio, ratioMax)
			w[t] = min(clipped, weightMax)
			s.limited.steps++
			if ratio > ratioMax {
				s.limited.ratios++
			}
			if clipped > weightMax {
				s.limited.weights++
			}
			s.largest = max(s.largest, w[t])
		}
		s.logW, s.returns = append(s.logW, w), append(s.returns, ret)
		s.limited.whole = append(s.limited.whole, whole)
		s.limited.kept = append(s.limited.kept, w[len(w)-1])
		for t := range s.scale {
			s.scale[t] = max(s.scale[t], w[min(t, len(w)-1)])
		}
	}
}

// limit turns a limit into log space, none into +Inf.
func limit(v float64) float64 {
	if v == 0 {
		return math.Inf(1)
	}
	return math.Log(v)
}

// Trajectories is how many trajectories the sample holds.
func (s *Sample) Trajectories() int { return len(s.log) }

// Patients is how many patients they belong to.
func (s *Sample) Patients() int { return len(s.patients) }

// perPatient counts the trajectories of each patient.
func (s *Sample) perPatient() []float64 {
	count := make([]float64, len(s.patients))
	for _, p := range s.of {
		count[p]++
	}
	return count
}

// Horizon is the number of steps of the longest trajectory.
func (s *Sample) Horizon() int { return len(s.scale) }

// MeanReturn is the mean discounted return of the log: the behaviour policy's
// own value, without any weights.
func (s *Sample) MeanReturn() float64 {
	sum := 0.0
	for _, g := range s.returns {
		sum += g
	}
	return sum / float64(len(s.returns))
}

// scaled is the padded weight w_{0:t} of trajectory i divided by the largest
// of that step. A constant factor cancels in everything normalised.
func (s *Sample) scaled(i, t int) float64 {
	if math.IsInf(s.scale[t], -1) {
		return 0
	}
	w := s.logW[i]
	return math.Exp(w[min(t, len(w)-1)] - s.scale[t])
}

// weight is w_{0:t} of trajectory i itself, with w_{0:−1} = 1.
func (s *Sample) weight(i, t int) float64 {
	if t < 0 {
		return 1
	}
	return math.Exp(s.logW[i][t])
}
