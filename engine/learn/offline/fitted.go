// SPDX-License-Identifier: Apache-2.0

package offline

// Fitted is a learnt policy with what it came from.
type Fitted struct {
	// Method and Config are how it was learnt.
	Method Method
	Config Config
	policy Policy
}

// Probabilities is the policy's; see Policy.
func (f *Fitted) Probabilities(seen []Observation) ([][]float64, error) {
	return f.policy.Probabilities(seen)
}

var _ Policy = (*Fitted)(nil)
