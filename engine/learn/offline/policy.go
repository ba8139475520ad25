// SPDX-License-Identifier: Apache-2.0

package offline

// This file: what a policy is.

import (
	"errors"
	"fmt"
)

// ErrObservation means that a policy cannot read what it was shown.
var ErrObservation = errors.New("a policy cannot read this observation")

// Policy says how likely it takes each action. Implementations are safe for
// concurrent use.
type Policy interface {
	// Probabilities returns π(·|seen[i]) for each observation: one number per
	// action, none negative, of sum 1 to rounding, 0 where not allowed. What is
	// seen together does not change a bit of the result. An error wraps
	// ErrObservation where an observation is at fault.
	Probabilities(seen []Observation) ([][]float64, error)
}

// Func makes a policy of a function of one observation, such as a guideline's
// rules.
type Func func(seen Observation) ([]float64, error)

// Probabilities asks the function about each observation.
func (f Func) Probabilities(seen []Observation) ([][]float64, error) {
	out := make([][]float64, len(seen))
	for i, o := range seen {
		var err error
		if out[i], err = f(o); err != nil {
			return nil, fmt.Errorf("observation %d: %w", i, err)
		}
	}
	return out, nil
}
