// SPDX-License-Identifier: Apache-2.0

package offline

// This file: a policy with what it came from.

// Record is how a policy was learnt. Its JSON keys are those of the file.
type Record struct {
	Method   Method `json:"method"`
	Config   Config `json:"config"`
	Inputs   int    `json:"inputs"`
	Actions  int    `json:"actions"`
	States   int    `json:"states"` // that the policy has rows for; 0: it reads features
	Clusters int    `json:"clusters"`
	Episodes int    `json:"episodes"` // with steps
	Steps    int    `json:"steps"`
}

// Fitted is a learnt policy.
type Fitted struct {
	Record
	policy interface {
		Policy
		// tensors are the policy's numbers, named within it.
		tensors() []tensor
	}
}

// Probabilities is the policy's; see Policy.
func (f *Fitted) Probabilities(seen []Observation) ([][]float64, error) {
	return f.policy.Probabilities(seen)
}

var _ Policy = (*Fitted)(nil)
