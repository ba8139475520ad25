// SPDX-License-Identifier: Apache-2.0

package agent

// This file: what becomes of the actor's word. It is turned into the moves the
// guidelines know too: a step down of the agent that is weaned first, or one
// bolus. How far a vasopressor goes up below goal stays a matter of the chart
// alone, so there the actor can only agree. Its chance of less vasopressor, and
// the level it would go to, move one way with MAP (actor.go), and so does what is
// offered because of it.

import (
	"math"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/policy"
)

// likely is the chance from which the actor is taken to propose a change.
const likely = 0.5

// levelUgKgMin is a rate that stands for a level of vasopressor: the middle of
// what the cut-points hold, and the last of them for the highest.
func levelUgKgMin(cuts [3]float64, level int) float64 {
	switch level {
	case 0:
		return 0
	case 1:
		return cuts[0] / 2
	case 2, 3:
		return (cuts[level-2] + cuts[level-1]) / 2
	}
	return cuts[2]
}

// agree marks the moves that the actor proposes too.
func (l *leaning) agree(moves []move) []move {
	for i := range moves {
		up := moves[i].neDeltaUgKgMin > 0
		if l != nil && moves[i].source == SourceGuideline && (up && l.more > likely || !up && l.less > likely) {
			moves[i].source = SourceBoth
		}
	}
	return moves
}

// agreeVolume is the source of a move with a bolus.
func (l *leaning) agreeVolume(mv move) string {
	if l != nil && l.fluid > likely && (mv.neDeltaUgKgMin == 0 || mv.source == SourceBoth) {
		return SourceBoth
	}
	return SourceGuideline
}

// learnedWeans adds to the weans the step down that the actor would take: towards
// the level it would go to, within one full step.
func (n *Native) learnedWeans(tl *state.Timeline, lean *leaning, weans []move) []move {
	if lean == nil || lean.less <= likely {
		return weans
	}
	a, ok := lastAgent(tl)
	if !ok {
		return weans
	}
	var mv move
	switch a.Drug {
	case state.DrugVasopressin:
		moves := n.weanVasopressin(a)
		if len(moves) == 0 {
			return weans
		}
		mv = moves[0]
	case state.DrugNorepinephrine, state.DrugEpinephrine:
		step := tl.Present.NEUgKgMin - levelUgKgMin(n.cfg.State.VasopressorCuts, lean.vasoTo)
		step = math.Max(n.cfg.SmallStepUgKgMin, math.Min(n.cfg.FullStepUgKgMin, math.Floor(step/weanGridUgKgMin+1e-9)*weanGridUgKgMin))
		switch {
		case leaves(a, step):
			mv = n.lower(a, step)
		case leaves(a, n.cfg.SmallStepUgKgMin):
			mv = n.lower(a, n.cfg.SmallStepUgKgMin)
		default:
			mv = stop(a)
		}
	default:
		return weans
	}
	mv.source = SourceActor
	if slices.ContainsFunc(weans, func(w move) bool {
		return w.direction == mv.direction && w.toUgKgMin == mv.toUgKgMin && w.uMin == mv.uMin
	}) {
		return weans
	}
	return append(weans, mv)
}

// learnedBolus reports whether one bolus is to be considered at goal because the
// actor would give more fluid and the chart shows why: urine below 0.5 mL/kg/h in
// the last four hours, and nothing against volume.
func (n *Native) learnedBolus(tl *state.Timeline, below bool, lean *leaning) bool {
	return lean != nil && lean.fluid > likely && !below && policy.FluidCaution(tl) == "" && oliguric(tl)
}

// oliguric reports whether urine charted in the last four hours is below
// 0.5 mL/kg/h. Without a charted volume or a weight it is not known to be.
func oliguric(tl *state.Timeline) bool {
	w, last := tl.Present.Weight, tl.Last()
	return w.Known && w.Conflict == "" && w.Kg > 0 && last.Presence[state.Urine] == state.Measured &&
		last.Value[state.Urine] < urineMlKgH*state.StepHours*w.Kg
}
