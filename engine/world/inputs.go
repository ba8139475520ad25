// SPDX-License-Identifier: Apache-2.0

package world

// This file: what a learned treatment policy shares with the world model: the
// encoding of a timeline, and how later steps of a recorded stay are read. An
// actor that reads the same inputs has no skew of its own.

import (
	"fmt"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Encode returns what the networks read of a timeline, InputSize numbers. The
// error wraps ErrTimeline.
func (m *Model) Encode(tl *state.Timeline) ([]float32, error) {
	if tl == nil || len(tl.Steps) == 0 {
		return nil, fmt.Errorf("%w: it has no steps", ErrTimeline)
	}
	x := make([]float32, InputSize)
	m.file.Scale.encode(tl, x)
	return x, nil
}

// PressureInputs lists the places of the input vector that move when arterial
// pressure is another and nothing else is: those of the three pressures, and
// the SOFA score, which counts a low one.
func PressureInputs() []int {
	var at []int
	for _, f := range []int{state.SysBP, state.DiaBP, state.MeanBP} {
		for i := range perFeature {
			at = append(at, f*perFeature+i)
		}
	}
	return append(at, globalAt+inSOFA, globalAt+inScored)
}

// Settled is the step that ends at decision time k of a stay with everything
// that was measured in it, as one of its next timelines shows it: labels for
// training, never inputs.
func Settled(stay []*state.Timeline, k int) *state.Step { return settled(stay, k) }

// Pairs gives the pairs of levels that agree with what is known of an exposure:
// bit 5*vasopressor+fluid of each; 0 where nothing is known.
func Pairs(g state.Exposure) uint32 { return pairsOf(g) }

// TaughtBy reports whether the patient trained, stopped or calibrated the model.
func (r *TrainingRecord) TaughtBy(patient string) bool { return r.knows(patient) }
