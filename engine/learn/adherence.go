// SPDX-License-Identifier: Apache-2.0

package learn

// This file: guideline adherence. G1 and G2 are the published metric of the
// SepsisAgent paper, kept to be compared with it; they are metrics and never
// verdicts. Beside them, what our own rules would have said of what was given.

import (
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/policy"
)

// Adherence is the share of prescriptions that break none of the rules named.
// Ours are the decisions that stand for a treatment; an abstention prescribes
// nothing. ClinicianThere is clinicians at the same decision times as Ours.
type Adherence struct {
	G1        PairedShare `json:"g1"`       // hypoperfusion (lactate > 2 or MAP < 65) is not left without both
	G2        PairedShare `json:"g2"`       // at MAP >= 65 the vasopressor level does not rise
	Published PairedShare `json:"g1_or_g2"` // neither is broken
	// Rules is our rule packs, without the hard limits, which bound our own first
	// step and not what a clinician may do. What was given is judged with what
	// was known before it.
	Rules PairedShare `json:"rules"`
}

// PairedShare is a share of ours and of clinicians.
type PairedShare struct {
	Ours           Share `json:"ours"`
	Clinician      Share `json:"clinician"`
	ClinicianThere Share `json:"clinician_where_we_spoke"`
}

// prescribed is one prescription as the metrics see it.
type prescribed struct {
	levels    state.Levels
	before    int // vasopressor level of the step before
	hasBefore bool
	mapMmHg   float64
	lactate   float64 // mmol/L
}

// breaksG1 says that hypoperfusion is met with neither drug nor fluid.
func (p prescribed) breaksG1() bool {
	hypoperfused := p.lactate > 2 || p.mapMmHg < 65 // false where not known
	return hypoperfused && p.levels == (state.Levels{})
}

// breaksG2 says that a vasopressor is raised at a MAP of 65 or more.
func (p prescribed) breaksG2() bool {
	return p.hasBefore && p.mapMmHg >= 65 && p.levels.Vasopressor > p.before
}

// BreaksPublished says whether a prescription breaks G1 or G2, given the
// vasopressor level of the step before and that step's MAP (mmHg) and lactate
// (mmol/L), NaN where not known.
func BreaksPublished(levels state.Levels, vasopressorBefore int, mapMmHg, lactateMmolL float64) bool {
	p := prescribed{levels: levels, before: vasopressorBefore, hasBefore: true, mapMmHg: mapMmHg, lactate: lactateMmolL}
	return p.breaksG1() || p.breaksG2()
}

func (p *Point) prescribed(t *Treatment) prescribed {
	return prescribed{
		levels: t.Levels, before: p.Before.Levels.Vasopressor, hasBefore: p.Before.VasoKnown,
		mapMmHg: p.StepMAPMmHg, lactate: p.LactateMmolL,
	}
}

// adherence counts the published metrics and our rules.
func (s *sample) adherence() Adherence {
	paired := func(breaks func(prescribed) bool) PairedShare {
		ours := func(p *Point) (bool, bool) {
			return !breaks(p.prescribed(&p.Advised)), p.Applies() && p.Speaks() && p.Advised.known()
		}
		clinician := func(p *Point) (bool, bool) {
			return !breaks(p.prescribed(&p.Given)), p.Applies() && p.HasNext && p.Given.known()
		}
		return s.paired(ours, clinician)
	}
	return Adherence{
		G1: paired(prescribed.breaksG1), G2: paired(prescribed.breaksG2),
		Published: paired(func(p prescribed) bool { return p.breaksG1() || p.breaksG2() }),
		Rules: s.paired(
			func(p *Point) (bool, bool) { return !p.AdviceBlocked, p.Applies() && p.Speaks() },
			func(p *Point) (bool, bool) { return !p.Blocked, p.Applies() && p.BlockedKnown },
		),
	}
}

func (s *sample) paired(ours, clinician func(*Point) (bool, bool)) PairedShare {
	return PairedShare{
		Ours: s.share(ours), Clinician: s.share(clinician),
		ClinicianThere: s.share(func(p *Point) (bool, bool) {
			hit, counted := clinician(p)
			_, spoke := ours(p)
			return hit, counted && spoke
		}),
	}
}

// limitsPack is the Pack of hard limits' verdicts.
const limitsPack = "limits"

// blocked asks the rules about what was given as if it had been proposed.
func blocked(judge policy.Judge, tl *state.Timeline, p *Point) (bool, error) {
	given := policy.Proposal{
		Name: "given", NENowUgKgMin: p.AsIs.NEUgKgMin, NENextUgKgMin: p.GivenEnd,
		DrugNowUgKgMin: p.AsIs.NEUgKgMin, DrugNextUgKgMin: p.GivenEnd, Direction: policy.DirectionNone,
		BolusMl: p.Given.BolusMl, LevelsNow: p.Before.Levels, LevelsNext: p.Given.Levels,
	}
	switch course(p.GivenEnd - p.AsIs.NEUgKgMin) {
	case Raise:
		given.Direction = policy.DirectionIncrease
		if p.AsIs.NEUgKgMin == 0 {
			given.Direction = policy.DirectionStart
		}
	case Lower:
		given.Direction = policy.DirectionDecrease
		if p.GivenEnd == 0 {
			given.Direction = policy.DirectionStop
		}
	}
	if given.Direction != policy.DirectionNone {
		given.Drug = state.DrugNorepinephrine
	}
	verdicts, err := judge.Judge(tl, &given, nil)
	if err != nil {
		return false, err
	}
	for _, v := range verdicts {
		if v.Effect == policy.Block && v.Pack != limitsPack {
			return true, nil
		}
	}
	return false, nil
}
