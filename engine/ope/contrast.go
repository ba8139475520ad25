// SPDX-License-Identifier: Apache-2.0

package ope

// This file: comparing policies with each other: paired differences, a ranking
// that refuses what the data cannot place, and the sensitivity to limits.

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Contrast is a less b with an interval from the resamples both share: two
// policies on one log, or two methods of one policy. Both must come from the
// same patients, seed, number of resamples and level. The interval is of
// percentile kind.
func Contrast(a, b Result) (Estimate, error) {
	if a.Patients != b.Patients || a.Trajectories != b.Trajectories || a.draws.Seed != b.draws.Seed ||
		a.draws.Level != b.draws.Level || len(a.resampled) != len(b.resampled) {
		return Estimate{}, fmt.Errorf("contrast of results with different patients or resamples: %w", ErrOption)
	}
	difference := make([]float64, len(a.resampled))
	for r := range difference {
		difference[r] = a.resampled[r] - b.resampled[r]
	}
	draws := a.draws
	draws.Kind = Percentile
	return draws.interval(studied{value: a.Value - b.Value, se: math.NaN(), resampled: difference}), nil
}

// Named is the result of one policy.
type Named struct {
	Name string
	Result
}

// Rank sorts policies by falling value and leaves out those whose evidence is
// too thin to place, with the reason of each by name. All must be of one
// method, beside Logged for the clinicians: numbers of different methods do not
// compare.
func Rank(policies []Named) (ranked []Named, refused map[string]error, err error) {
	refused = map[string]error{}
	method := Logged
	for _, p := range policies {
		if method == Logged {
			method = p.Method
		}
		if p.Method != method && p.Method != Logged {
			return nil, nil, fmt.Errorf("ranking %s with %s: %w", p.Method, method, ErrOption)
		}
		if why := p.Rankable(); why != nil {
			refused[p.Name] = why
			continue
		}
		ranked = append(ranked, p)
	}
	slices.SortStableFunc(ranked, func(a, b Named) int {
		return cmp.Or(cmp.Compare(b.Value, a.Value), cmp.Compare(a.Name, b.Name))
	})
	return ranked, refused, nil
}

// Sensitivity evaluates one method under several limits of the weights, to be
// printed together: a conclusion that a limit decides is none.
type Sensitivity struct {
	Options     Options
	Result      Result
	Diagnostics Diagnostics
}

// Vary runs one method under each of the options.
func Vary(log []Trajectory, m Method, b Bootstrap, options ...Options) ([]Sensitivity, error) {
	var out []Sensitivity
	for _, o := range options {
		s, err := New(log, o)
		if err != nil {
			return nil, err
		}
		results, err := s.Evaluate(b, m)
		if err != nil {
			return nil, err
		}
		out = append(out, Sensitivity{s.options, results[0], s.Diagnose()})
	}
	return out, nil
}
