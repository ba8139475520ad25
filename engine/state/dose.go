// SPDX-License-Identifier: Apache-2.0

package state

// This file: doses and levels. A dose is what runs or ran, in units a pump
// shows; a level (0 to 4) is only a label for what was given over four hours
// and is never turned back into a dose.

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// LevelsOf labels a step: neUgKgMin is the highest norepinephrine equivalent
// in it, fluidModelMl the tonicity-adjusted volume. Zero, negative or
// not-a-number input is level 0; callers must not ask where exposure is
// unknown.
func (cfg Config) LevelsOf(neUgKgMin, fluidModelMl float64) Levels {
	return Levels{Vasopressor: level(neUgKgMin, cfg.VasopressorCuts), Fluid: level(fluidModelMl, cfg.FluidCuts)}
}

func level(v float64, cuts [3]float64) int {
	if !(v > 0) {
		return 0
	}
	for i, c := range cuts {
		// Rates are sums of charted decimals; a sum that is a cut-point up to
		// rounding belongs to the lower level.
		if v <= c*(1+1e-9) {
			return i + 1
		}
	}
	return 4
}

// DoseRange describes a level for people: lo is exclusive, hi inclusive, both
// in the unit of the cut-points; level 0 is 0 to 0 and the last level has hi
// +Inf.
func (cfg Config) DoseRange(vasopressor bool, level int) (lo, hi float64) {
	cuts := cfg.FluidCuts
	if vasopressor {
		cuts = cfg.VasopressorCuts
	}
	switch {
	case level <= 0:
		return 0, 0
	case level == 1:
		return 0, cuts[0]
	case level >= 4:
		return cuts[2], math.Inf(1)
	}
	return cuts[level-2], cuts[level-1]
}

// convertRate turns a rate into the wanted unit (UnitUgKgMin or UnitUMin).
func convertRate(rate float64, unit, want string, kg float64) (float64, string) {
	switch {
	case unit == want:
		return rate, ""
	case rate == 0 && (unit == UnitUgMin || unit == UnitUgKgMin || unit == UnitUMin || unit == UnitMlH):
		return 0, ""
	case unit == UnitUgMin && want == UnitUgKgMin:
		if kg <= 0 {
			return 0, "rate is per minute and no dosing weight is known"
		}
		return rate / kg, ""
	}
	return 0, fmt.Sprintf("rate in %q cannot be read as %s", unit, want)
}

func sortedDrugs[V any](m map[Drug]V) []Drug {
	out := make([]Drug, 0, len(m))
	for d := range m {
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b Drug) int { return cmp.Compare(a, b) })
	return out
}
