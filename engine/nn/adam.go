// SPDX-License-Identifier: Apache-2.0

package nn

// This file: Adam with decoupled weight decay.

import "math"

// Adam holds the optimiser's moments. Sources: Kingma & Ba 2015 (Adam);
// Loshchilov & Hutter 2019 (decoupled decay).
type Adam struct {
	Beta1, Beta2, Eps float64
	Decay             float64 // per step, times the learning rate, on spans with Decay
	m, v              []float32
	step              int
}

// NewAdam returns an optimiser for size parameters with the published defaults.
func NewAdam(size int, decay float64) *Adam {
	return &Adam{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Decay: decay,
		m: make([]float32, size), v: make([]float32, size)}
}

// AdamState is what an optimiser has gathered, for a checkpoint.
type AdamState struct {
	M, V []float32
	Step int
}

// State returns the moments as they are; they change with the next Step.
func (a *Adam) State() AdamState { return AdamState{M: a.m, V: a.v, Step: a.step} }

// Restore continues from a state of an optimiser of the same size.
func (a *Adam) Restore(s AdamState) {
	check("Adam.Restore", len(s.M) == len(a.m) && len(s.V) == len(a.v))
	copy(a.m, s.M)
	copy(a.v, s.V)
	a.step = s.Step
}

// Step moves theta against grad with learning rate lr.
func (a *Adam) Step(layout *Layout, theta, grad []float32, lr float64) {
	check("Adam.Step", len(theta) == len(a.m) && len(grad) == len(a.m) && layout.size == len(theta))
	a.step++
	b1, b2 := float32(a.Beta1), float32(a.Beta2)
	rate := lr * math.Sqrt(1-math.Pow(a.Beta2, float64(a.step))) / (1 - math.Pow(a.Beta1, float64(a.step)))
	adam(theta, grad, a.m, a.v, &adamConstants{rate: rate, eps: a.Eps, keep1: b1, take1: 1 - b1, keep2: b2, take2: 1 - b2})
	for _, s := range layout.Spans {
		if !s.Decay {
			continue
		}
		keep := float32(1 - lr*a.Decay)
		part := s.In(theta)
		for i := range part {
			part[i] *= keep
		}
	}
}

// ClipNorm scales grad so that its Euclidean norm is at most limit, and
// returns the norm it had. A norm that is not finite is returned untouched:
// the caller must stop.
func ClipNorm(grad []float32, limit float64) float64 {
	var sum float64
	for _, g := range grad {
		sum += float64(g) * float64(g)
	}
	norm := math.Sqrt(sum)
	if norm > limit && !math.IsInf(norm, 0) {
		scale := float32(limit / norm)
		for i := range grad {
			grad[i] *= scale
		}
	}
	return norm
}
