// SPDX-License-Identifier: Apache-2.0

package policy

// This file: the hard limits. They stand behind the rules, are always applied
// to every proposal, and are constants on purpose: no configuration, rule pack,
// model or language model can widen them.

import (
	"math"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// The bounds of any suggestion (design.md 5.1 to 5.8).
const (
	MaxFirstStepUgKgMin = 0.05 // of norepinephrine or epinephrine, up or down
	MaxCeilingUgKgMin   = 0.5  // no increase above this
	MinBolusMl          = 250.0
	MaxBolusMl          = 500.0
	MaxVasopressinUMin  = 0.03
	MaxMAPAgeMin        = 120.0
)

// The directions of Proposal.Direction.
const (
	DirectionNone     = "none"
	DirectionStart    = "start"    // a first vasopressor
	DirectionAdd      = "add"      // a further vasopressor
	DirectionIncrease = "increase" // of a running one
	DirectionDecrease = "decrease"
	DirectionStop     = "stop"
)

// rounding allows for the last binary digit of sums like 0.12 + 0.05.
const rounding = 1e-9

// FluidCautions are the keys of the Timeline's checks under which no volume is
// suggested (design.md 5.3).
func FluidCautions() []string {
	return []string{state.CheckHeartFailure, state.CheckESRD, state.CheckDialysis, state.CheckCirrhosis, state.CheckWorseningPF}
}

// FluidCaution returns the key of the first charted reason for suggesting no
// volume, or "". Checks that could not be made do not count: callers disclose
// them.
func FluidCaution(tl *state.Timeline) string {
	for _, key := range FluidCautions() {
		if tl.Check(key).Result == state.CheckPresent {
			return key
		}
	}
	return ""
}

// Raises reports whether the proposal starts, adds or increases a vasopressor.
func (p *Proposal) Raises() bool {
	return p.Direction == DirectionStart || p.Direction == DirectionAdd || p.Direction == DirectionIncrease
}

// Lowers reports whether the proposal decreases or stops a vasopressor.
func (p *Proposal) Lowers() bool {
	return p.Direction == DirectionDecrease || p.Direction == DirectionStop
}

// limit is one hard limit: it speaks where broken is true.
type limit struct {
	id, text string
	broken   func(tl *state.Timeline, p *Proposal) bool
}

var limits = []limit{
	{"L01", "A proposal must be made of finite, non-negative numbers and a known direction.", malformed},
	{"L02", "The first step of a vasopressor must not exceed 0.05 ug/kg/min.", stepTooLarge},
	{"L03", "Norepinephrine must not be raised above 0.5 ug/kg/min.", func(_ *state.Timeline, p *Proposal) bool {
		return p.Raises() && p.Drug != state.DrugVasopressin && p.DrugNextUgKgMin > MaxCeilingUgKgMin+rounding
	}},
	{"L04", "A bolus must be between 250 and 500 mL.", func(_ *state.Timeline, p *Proposal) bool {
		return p.BolusMl != 0 && !(p.BolusMl >= MinBolusMl && p.BolusMl <= MaxBolusMl)
	}},
	{"L05", "Vasopressin must not exceed 0.03 U/min.", func(_ *state.Timeline, p *Proposal) bool {
		return p.Raises() && p.Drug == state.DrugVasopressin && !(p.VasopressinUMin > 0 && p.VasopressinUMin <= MaxVasopressinUMin+rounding)
	}},
	{"L06", "No vasopressor change without a known vasopressor exposure.", func(tl *state.Timeline, p *Proposal) bool {
		return p.changesVasopressor() && !tl.Present.VasoKnown
	}},
	{"L07", "No bolus without a known fluid exposure.", func(tl *state.Timeline, p *Proposal) bool {
		return p.BolusMl != 0 && !tl.Present.Fluids.Known
	}},
	{"L08", "No volume with heart failure, end-stage renal disease, dialysis, cirrhosis or a worsening P/F ratio.", func(tl *state.Timeline, p *Proposal) bool {
		return p.BolusMl != 0 && FluidCaution(tl) != ""
	}},
	{"L09", "No weight-based number while weights are in conflict.", weightInConflict},
	{"L10", "No dose without a current MAP that line and cuff agree on.", func(tl *state.Timeline, p *Proposal) bool {
		m := tl.Present.MAP
		return (p.changesVasopressor() || p.BolusMl != 0) &&
			(m.Newest == nil || !(m.Newest.AgeMin <= MaxMAPAgeMin) || m.Disagree || m.LoneOutlier)
	}},
	{"L11", "A vasopressor must not be raised while MAP is above its goal.", func(tl *state.Timeline, p *Proposal) bool {
		m := tl.Present.MAP
		return p.Raises() && (m.Newest == nil || !(m.Newest.Value <= m.GoalMmHg))
	}},
	{"L12", "Only norepinephrine or vasopressin may be started or raised.", func(_ *state.Timeline, p *Proposal) bool {
		return p.Raises() && p.Drug != state.DrugNorepinephrine && p.Drug != state.DrugVasopressin
	}},
}

// HardLimits lists the hard limits: id and text.
func HardLimits() []Rule {
	out := make([]Rule, len(limits))
	for i, l := range limits {
		out[i] = Rule{ID: l.id, Text: l.text, Effect: Block, Source: "hard limit", Pack: "limits"}
	}
	return out
}

func isLimit(id string) bool {
	return slices.ContainsFunc(limits, func(l limit) bool { return l.id == id })
}

// Limits returns a block verdict for every hard limit the proposal breaks. It
// never returns anything else and reads no configuration.
func Limits(tl *state.Timeline, p *Proposal) []Verdict {
	var out []Verdict
	for _, l := range limits {
		if l.broken(tl, p) {
			out = append(out, Verdict{
				ID: l.id, Pack: "limits", Text: l.text, Effect: Block,
				Strength: "hard limit", Source: "hard limit", When: WhenPresent,
			})
		}
	}
	return out
}

func (p *Proposal) changesVasopressor() bool { return p.Raises() || p.Lowers() }

func malformed(_ *state.Timeline, p *Proposal) bool {
	for _, v := range []float64{p.NENowUgKgMin, p.NENextUgKgMin, p.DrugNowUgKgMin, p.DrugNextUgKgMin, p.VasopressinUMin, p.BolusMl} {
		if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
			return true
		}
	}
	switch p.Direction {
	case DirectionNone:
		return p.Drug != "" || math.Abs(p.NENextUgKgMin-p.NENowUgKgMin) > rounding
	case DirectionStart, DirectionAdd, DirectionIncrease:
		return p.Drug == "" || p.NENextUgKgMin < p.NENowUgKgMin || p.DrugNextUgKgMin < p.DrugNowUgKgMin
	case DirectionDecrease, DirectionStop:
		return p.Drug == "" || p.NENextUgKgMin > p.NENowUgKgMin || p.DrugNextUgKgMin > p.DrugNowUgKgMin
	}
	return true
}

// stepTooLarge bounds the changed drug's own rate. Vasopressin is bounded in
// U/min; drugs with other scales (dopamine, phenylephrine) are only ever
// lowered, and then without a printed number.
func stepTooLarge(_ *state.Timeline, p *Proposal) bool {
	if p.Drug != state.DrugNorepinephrine && p.Drug != state.DrugEpinephrine {
		return false
	}
	return math.Abs(p.DrugNextUgKgMin-p.DrugNowUgKgMin) > MaxFirstStepUgKgMin+rounding
}

// weightInConflict allows a change of a drug whose running rate is charted
// per kg already: no weight of ours enters it.
func weightInConflict(tl *state.Timeline, p *Proposal) bool {
	if tl.Present.Weight.Conflict == "" || !p.changesVasopressor() || p.Drug == state.DrugVasopressin {
		return false
	}
	a, ok := running(tl, p.Drug)
	return !ok || a.RateUnit != state.UnitUgKgMin
}
