// SPDX-License-Identifier: Apache-2.0

package world

// This file: chances of a state that belong to no plan, for those who train
// and examine policies in simulation. They are never shown on a card.

import (
	"fmt"
	"math"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// DeathInHospital is the calibrated chance, 0 to 1, that a patient in this
// state dies in hospital under usual care. The error wraps ErrTimeline or
// ErrNotFinite.
func (m *Model) DeathInHospital(tl *state.Timeline) (float64, error) {
	x, err := m.Encode(tl)
	if err != nil {
		return 0, err
	}
	p := m.deathChance(x)
	if math.IsNaN(p) {
		return 0, fmt.Errorf("%w: death in hospital", ErrNotFinite)
	}
	return p, nil
}
