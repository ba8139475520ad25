// SPDX-License-Identifier: Apache-2.0

package ope

// This file: the estimators, each written as a sum of ratios of patient
// totals, which is what terms.go evaluates, resamples and linearises.

import (
	"fmt"
	"math"
	"slices"
)

// Method is an estimator; the package comment defines each.
type Method string

// The estimators. Those that say so need Trajectory.Values.
const (
	// Logged is the mean return of the log, the behaviour policy's value.
	Logged Method = "logged"
	// IS is ordinary importance sampling of whole returns: unbiased, with the
	// largest variance.
	IS Method = "is"
	// WIS normalises the weights of IS: biased in small samples towards the
	// behaviour policy's value, consistent.
	WIS Method = "wis"
	// PDIS weighs each reward by the ratios up to it: unbiased.
	PDIS Method = "pdis"
	// WPDIS normalises PDIS at each step over all trajectories, where one that
	// has ended keeps its last weight: consistent.
	WPDIS Method = "wpdis"
	// WPDISAlive normalises at each step over the trajectories still running.
	// It is printed only to be compared with publications: it is inconsistent
	// and not on the scale of a return, since a terminal reward is counted as
	// often as trajectories end at different steps.
	WPDISAlive Method = "wpdis-alive"
	// PHWIS is WIS within each episode length, mixed as lengths were logged.
	PHWIS Method = "phwis"
	// PHWPDIS is WPDIS within each episode length.
	PHWPDIS Method = "phwpdis"
	// PHWDR is WDR within each episode length. It needs values.
	PHWDR Method = "phwdr"
	// DM is the model's value of the first states, as of FQE. It needs values.
	DM Method = "dm"
	// DR is the doubly robust estimator. It needs values.
	DR Method = "dr"
	// WDR is DR with weights normalised at each step. It needs values.
	WDR Method = "wdr"
)

// Methods lists every estimator in the order of the constants.
func Methods() []Method {
	return []Method{Logged, IS, WIS, PDIS, WPDIS, WPDISAlive, PHWIS, PHWPDIS, PHWDR, DM, DR, WDR}
}

// NeedsValues says whether the method reads Trajectory.Values.
func (m Method) NeedsValues() bool { return m == DM || m == DR || m == WDR || m == PHWDR }

// normalised says whether weights of the method are divided by their sum.
func (m Method) normalised() bool {
	switch m {
	case WIS, WPDIS, WPDISAlive, PHWIS, PHWPDIS, PHWDR, WDR:
		return true
	}
	return false
}

// Value is the estimate of m. ErrNoOverlap means that a normaliser is zero.
func (s *Sample) Value(m Method) (float64, error) {
	terms, err := s.terms(m)
	if err != nil {
		return math.NaN(), err
	}
	v := terms.value(slices.Repeat([]float64{1}, len(s.patients)))
	if math.IsNaN(v) {
		return v, fmt.Errorf("%s: %w", m, ErrNoOverlap)
	}
	return v, nil
}

// terms builds the method's sum of ratios.
func (s *Sample) terms(m Method) (*terms, error) {
	if !slices.Contains(Methods(), m) {
		return nil, fmt.Errorf("method %q: %w", m, ErrOption)
	}
	if m.NeedsValues() && s.log[0].Values == nil {
		return nil, fmt.Errorf("%s: %w", m, ErrNoValues)
	}
	// exp(700) is close to the largest float64, and sums need room.
	if !m.normalised() && m != Logged && m != DM && s.largest > 690 {
		return nil, fmt.Errorf("%s: %w", m, ErrOverflow)
	}
	out := newTerms(s.perPatient())
	switch m {
	case Logged:
		s.mean(out, func(i int) float64 { return s.returns[i] })
	case IS:
		s.mean(out, func(i int) float64 { return s.weight(i, len(s.logW[i])-1) * s.returns[i] })
	case PDIS:
		s.mean(out, s.pdis)
	case DM:
		s.mean(out, func(i int) float64 { return s.log[i].Values.V[0] })
	case DR:
		s.mean(out, s.dr)
	case WIS, PHWIS:
		s.wis(out, m == PHWIS)
	default:
		s.stepwise(out, m)
	}
	return out, nil
}

// mean averages one number per trajectory.
func (s *Sample) mean(out *terms, of func(i int) float64) {
	k := out.term(always)
	for i, p := range s.of {
		out.add(p, k, of(i), 1)
	}
}

// pdis is Σ_t γ^t w_{0:t} r_t of one trajectory.
func (s *Sample) pdis(i int) (sum float64) {
	for t, r := range s.log[i].Rewards {
		sum += s.discount[t] * s.weight(i, t) * r
	}
	return sum
}

// dr is Σ_t γ^t (w_{0:t} (r_t − Q_t) + w_{0:t−1} V_t) of one trajectory.
func (s *Sample) dr(i int) (sum float64) {
	v := s.log[i].Values
	for t, r := range s.log[i].Rewards {
		sum += s.discount[t] * (s.weight(i, t)*(r-v.Q[t]) + s.weight(i, t-1)*v.V[t])
	}
	return sum
}

// wis is one ratio of weighted returns and weights, or one per length.
func (s *Sample) wis(out *terms, byLength bool) {
	last := len(s.scale) - 1
	group := s.grouping(out, byLength)
	for i, p := range s.of {
		w := s.scaled(i, last)
		out.add(p, group(len(s.logW[i]), 0), w*s.returns[i], w)
	}
}

// grouping gives the term of a step within a group of trajectories: of all of
// them, or of those of one length.
func (s *Sample) grouping(out *terms, byLength bool) func(length, step int) int {
	known := map[[2]int]int{}
	return func(length, step int) int {
		kind, key := always, [2]int{0, step}
		if byLength {
			kind, key = mixed, [2]int{length, step}
		}
		k, ok := known[key]
		if !ok {
			k = out.term(kind)
			known[key] = k
		}
		return k
	}
}

// stepwise builds the estimators that normalise at each step. Those with
// values have one more term, of the first states, and move V̂(s_{t+1}) into
// the numerator of step t, whose weight it carries.
func (s *Sample) stepwise(out *terms, m Method) {
	byLength := m == PHWPDIS || m == PHWDR
	valued := m.NeedsValues()
	group := s.grouping(out, byLength)
	if m == WPDISAlive {
		steps := make([]int, len(s.scale))
		for t := range steps {
			steps[t] = out.term(whenPresent)
		}
		group = func(_, step int) int { return steps[step] }
	}
	for i, p := range s.of {
		tr := s.log[i]
		n := len(tr.Rewards)
		if valued {
			out.add(p, group(n, -1), tr.Values.V[0], 1)
		}
		end := len(s.scale) // padding: an ended trajectory keeps its weight
		if byLength || m == WPDISAlive {
			end = n
		}
		for t := range end {
			w, gain := s.scaled(i, t), 0.0
			if t < n {
				gain = s.discount[t] * tr.Rewards[t]
				if valued {
					gain -= s.discount[t] * tr.Values.Q[t]
				}
			}
			if valued && t+1 < n {
				gain += s.discount[t+1] * tr.Values.V[t+1]
			}
			out.add(p, group(n, t), w*gain, w)
		}
	}
}
