// SPDX-License-Identifier: Apache-2.0

package agent

// This file: what the agent checks before it believes a timeline or a
// forecast. A model can be wrong; it must not be impossible.

import (
	"errors"
	"fmt"
	"math"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

var (
	errTimeline = errors.New("timeline not usable")
	errShape    = errors.New("wrong shape")
)

func soundTimeline(tl *state.Timeline) error {
	switch {
	case tl == nil:
		return fmt.Errorf("%w: none given", errTimeline)
	case tl.At.IsZero():
		return fmt.Errorf("%w: no decision time", errTimeline)
	case len(tl.Steps) == 0:
		return fmt.Errorf("%w: no steps", errTimeline)
	case !(tl.Present.MAP.GoalMmHg > 0) || math.IsInf(tl.Present.MAP.GoalMmHg, 0):
		return fmt.Errorf("%w: MAP goal %g", errTimeline, tl.Present.MAP.GoalMmHg)
	case !finite(tl.Present.NEUgKgMin) || tl.Present.NEUgKgMin < 0:
		return fmt.Errorf("%w: norepinephrine-equivalents %g", errTimeline, tl.Present.NEUgKgMin)
	}
	if m := tl.Present.MAP.Newest; m != nil && (!finite(m.Value) || !finite(m.AgeMin) || m.AgeMin < 0) {
		return fmt.Errorf("%w: MAP %g of age %g min", errTimeline, m.Value, m.AgeMin)
	}
	return nil
}

func soundForecast(fc *world.Forecast, plan world.Plan) error {
	if len(fc.Steps) != len(plan.Doses) {
		return fmt.Errorf("%w: %d steps for %d doses", errShape, len(fc.Steps), len(plan.Doses))
	}
	for _, v := range []float64{fc.Support, fc.OOD} {
		if !(v >= 0 && v <= 1) {
			return fmt.Errorf("%w: support or distance %g is no probability", errShape, v)
		}
	}
	if !finite(fc.Disagreement) || fc.Disagreement < 0 {
		return fmt.Errorf("%w: disagreement %g", errShape, fc.Disagreement)
	}
	catalogue := state.Catalogue()
	for k := range fc.Steps {
		s := &fc.Steps[k]
		for _, p := range []float64{s.PMAPAtGoal, s.PLactateFall, s.PVent} {
			if !(p >= 0 && p <= 1) {
				return fmt.Errorf("%w: step %d: probability %g", errShape, k+1, p)
			}
		}
		for f, b := range s.Band {
			lo, hi := catalogue[f].Lo, catalogue[f].Hi
			// Comparisons are written so that a NaN fails them.
			if !(lo <= b.Lo95 && b.Lo95 <= b.Lo80 && b.Lo80 <= b.Median && b.Median <= b.Hi80 && b.Hi80 <= b.Hi95 && b.Hi95 <= hi) {
				return fmt.Errorf("%w: step %d: %s has an impossible interval", errShape, k+1, catalogue[f].Name)
			}
		}
	}
	return nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
