// SPDX-License-Identifier: Apache-2.0

package world

// This file: scores of the next step by the treatment that was given in it.

import "github.com/sepsisagent/sepsisagent/engine/state"

// The strata of treatment, by what was given in the forecast step.
const (
	noVaso = iota
	lowVaso
	highVaso
	unknownVaso
	noFluid
	lowFluid
	highFluid
	unknownFluid
	numStrata
)

var strataNames = [numStrata]string{"no vasopressor", "vasopressor level 1 or 2", "vasopressor level 3 or 4", "vasopressor unknown",
	"fluid level 0", "fluid level 1 or 2", "fluid level 3 or 4", "fluid unknown"}

// strataOf finds the two strata of a sample's next step: by its vasopressor,
// and by its fluid.
func strataOf(sm *sample, cfg *state.Config) [2]int {
	out := [2]int{unknownVaso, unknownFluid}
	place := func(given float32, half float64, cuts [3]float64, into *int, first int) {
		if isNaN(given) {
			return
		}
		level := 0
		if given > 0 {
			level = 1
			for _, cut := range cuts {
				level += int(indicator(float64(given) > saturate(cut, half)))
			}
		}
		*into = first + (level+1)/2
	}
	place(sm.ne[0], halfNEUgKgMin, cfg.VasopressorCuts, &out[0], noVaso)
	place(sm.fluid[0], halfFluidMl, cfg.FluidCuts, &out[1], noFluid)
	return out
}

type stratumTally struct{ model, still, in80, in95 mean }

func (t *stratumTally) add(model, still, in80, in95 float64) {
	t.model.add(model)
	t.still.add(still)
	t.in80.add(in80)
	t.in95.add(in95)
}

func (t *stratumTally) stratum(name string) Stratum {
	return Stratum{Name: name, Entries: int(t.model.n), StateMAE: t.model.value(), Persistence: t.still.value(),
		Interval80: t.in80.value(), Interval95: t.in95.value()}
}
