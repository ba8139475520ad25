// SPDX-License-Identifier: Apache-2.0

package agent

// This file: how a vasopressor is raised below goal. Everything here reads the
// chart, nothing the forecast, and each answer can only turn towards less
// vasopressor as MAP rises.

import (
	"math"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/policy"
)

// course says what has to be done about a MAP below goal.
type course int

const (
	courseNone   course = iota // nothing: MAP is at goal
	courseRaise                // the vasopressor goes up, with volume or without
	courseVolume               // volume goes before a first vasopressor
)

// course is courseRaise on a running vasopressor and where MAP is well below
// goal. A MAP just below it without any vasopressor gets volume first, unless
// volume has been given or must not be (SSC 2021 R9: a vasopressor during or
// after volume).
func (n *Native) course(tl *state.Timeline) course {
	m, f := tl.Present.MAP, tl.Present.Fluids
	switch {
	case m.Newest.Value >= m.GoalMmHg:
		return courseNone
	case len(vasopressors(tl)) > 0 || n.wellBelow(m.Newest, m.GoalMmHg):
		return courseRaise
	case policy.FluidCaution(tl) != "" || f.Bolus3hMl >= n.cfg.VolumeGivenMl || f.BalanceKnown && f.BalanceMl >= n.cfg.LargeBalanceMl:
		return courseRaise
	}
	return courseVolume
}

func (n *Native) wellBelow(r *state.Reading, goalMmHg float64) bool {
	return r != nil && (goalMmHg-r.Value >= n.cfg.DeepMmHg || r.Value < n.cfg.SevereMmHg)
}

// sustained reports whether a low MAP is more than one reading just below
// goal: the mean of the last step or the last hour was low too, lactate is
// raised, or volume has been given. One such reading starts no vasopressor.
func (n *Native) sustained(tl *state.Timeline) bool {
	m := tl.Present.MAP
	return tl.Present.StepsAtGoal == 0 || n.wellBelow(m.Newest, m.GoalMmHg) || n.wellBelow(m.LastHourMin, m.GoalMmHg) ||
		n.lactateRaised(tl) || tl.Present.Fluids.Bolus3hMl > 0
}

// Pressures that older adults are not started on a vasopressor for.
const (
	olderYears    = 65
	toleratedMmHg = 60
)

// tolerated reports a MAP that SSC 2026 Rec 14 (conditional; rule V2) suggests
// as target at 65 years and over: 60 to 65 mmHg, where no other goal is ordered
// and neither lactate nor urine speaks of hypoperfusion. It stays below goal,
// and is shown as such.
func (n *Native) tolerated(tl *state.Timeline) bool {
	m := tl.Present.MAP
	return tl.AgeKnown && tl.AgeYears >= olderYears && !m.GoalOrdered && m.Newest.Value >= toleratedMmHg &&
		(m.LastHourMin == nil || m.LastHourMin.Value >= toleratedMmHg) && !n.lactateRaised(tl) && !oliguric(tl)
}

// raises are the moves offered below goal: norepinephrine first, vasopressin
// as second agent. Which of the two is allowed is the rules' matter (V3, V4).
func (n *Native) raises(tl *state.Timeline) []move {
	var out []move
	m, ne := tl.Present.MAP, tl.Present.NEUgKgMin
	if a, ok := runningAgent(tl, state.DrugNorepinephrine); ok {
		steps := []float64{n.cfg.SmallStepUgKgMin}
		if m.GoalMmHg-m.Newest.Value >= n.cfg.FullBelowMmHg || m.Newest.Value < n.cfg.SevereMmHg {
			steps = append(steps, n.cfg.FullStepUgKgMin) // where the rules leave it, it is the one taken
		}
		for i, step := range steps {
			to := math.Min(floor6(a.RateUgKgMin+step), n.cfg.CeilingUgKgMin)
			if a.RateUgKgMin > 0 && to > a.RateUgKgMin && (len(out) == 0 || to > out[len(out)-1].toUgKgMin) {
				out = append(out, move{direction: policy.DirectionIncrease, drug: a.Drug, fromUgKgMin: a.RateUgKgMin, toUgKgMin: to, neDeltaUgKgMin: to - a.RateUgKgMin, rank: rankRaise + float64(i), source: SourceGuideline})
			}
		}
	} else if direction := policy.DirectionAdd; len(vasopressors(tl)) > 0 || n.sustained(tl) && !n.tolerated(tl) {
		if len(vasopressors(tl)) == 0 {
			direction = policy.DirectionStart
		}
		out = append(out, move{direction: direction, drug: state.DrugNorepinephrine, toUgKgMin: n.cfg.StartUgKgMin, neDeltaUgKgMin: n.cfg.StartUgKgMin, rank: rankRaise + 2, source: SourceGuideline})
	}
	_, vasopressin := runningAgent(tl, state.DrugVasopressin)
	if !vasopressin && ne >= n.cfg.VasopressinFromUgKgMin {
		out = append(out, move{direction: policy.DirectionAdd, drug: state.DrugVasopressin, uMin: n.cfg.VasopressinUMin, neDeltaUgKgMin: n.neOfVasopressin(n.cfg.VasopressinUMin), rank: rankRaise + 3, source: SourceGuideline})
	}
	return out
}

// permitted returns the options that may be gone with, on the given course:
// none that raises a vasopressor before volume, and where it is due only those
// with the largest step that the rules leave. Where they leave none, the rest
// stands.
func permitted(options []*option, c course) []*option {
	var out []*option
	largest := math.Inf(-1)
	for _, o := range options {
		if !o.simulated || o.Blocked || o.Proposal.Raises() && c == courseVolume {
			continue
		}
		out = append(out, o)
		if o.Proposal.Raises() {
			largest = max(largest, o.Proposal.NENextUgKgMin)
		}
	}
	if c == courseRaise && math.IsInf(largest, -1) && unsupportedRaise(options) != nil {
		// How rare a raise is in such states turns with the model's view of the
		// pressure, not with need: volume alone in its place would turn with it too.
		return slices.DeleteFunc(out, func(o *option) bool { return !o.current() })
	}
	if c == courseRaise && !math.IsInf(largest, -1) {
		out = slices.DeleteFunc(out, func(o *option) bool { return !o.Proposal.Raises() || o.Proposal.NENextUgKgMin < largest })
	}
	return out
}

// unsupportedRaise is the verdict that blocks a raise because the model does not
// know it in such states; nil where none does.
func unsupportedRaise(options []*option) *policy.Verdict {
	for _, o := range options {
		for i := range o.Verdicts {
			if v := &o.Verdicts[i]; o.Proposal.Raises() && v.Effect == policy.Block && v.ID == ruleOutOfSupport {
				return v
			}
		}
	}
	return nil
}
