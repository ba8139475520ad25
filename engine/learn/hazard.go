// SPDX-License-Identifier: Apache-2.0

package learn

// This file: the four hazards of Festor et al. (BMJ Health Care Inform 2022,
// e100549), counted for what clinicians gave and for what is advised, in the
// same states. A rate without its denominator says nothing here: the same
// treatments are 0.1 % of all states and half of those at risk.

import (
	"math"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Festor is one published hazard: a state in which it can come about, and the
// treatment that makes it one.
type Festor struct {
	ID   string
	Text string
	// AtRisk is false where a value it needs is not known.
	AtRisk func(p *Point) bool
	// In says whether the treatment is the hazard; known is false where the
	// part it depends on is not charted.
	In func(t *Treatment) (in, known bool)
	// Levels is In for a policy that names levels and no dose.
	Levels func(l state.Levels) bool
}

// The bounds, per hour where the publication has them per hour.
const (
	trickleMlH  = 20   // A: fluid that is none
	floodMlH    = 240  // D: fluid that is the most
	highNE      = 0.65 // B: norepinephrine-equivalents that are the most, ug/kg/min
	overloadMl  = 10000
	severeMmHg  = 55
	highMmHg    = 95
	enoughMmHg  = 75
	lowCVPMmHg  = 5
	highCVPMmHg = 15
)

// FestorHazards are the hazards A to D.
func FestorHazards() []Festor {
	return []Festor{
		{"A", "MAP below 55 mmHg, no vasopressor and at most 20 mL/h of fluid",
			func(p *Point) bool { return p.MAPMmHg < severeMmHg },
			func(t *Treatment) (bool, bool) {
				return t.without(trickleMlH * state.StepHours)
			}, untreatedLevels},
		{"B", "MAP above 95 mmHg and more than 0.65 ug/kg/min of norepinephrine-equivalents",
			func(p *Point) bool { return p.MAPMmHg > highMmHg },
			func(t *Treatment) (bool, bool) { return t.NEUgKgMin > highNE, t.VasoKnown }, mostVasopressor},
		{"C", "MAP at most 55 mmHg, CVP at most 5 mmHg and no fluid",
			func(p *Point) bool { return p.MAPMmHg <= severeMmHg && p.CVPMmHg <= lowCVPMmHg },
			func(t *Treatment) (bool, bool) { return t.FluidMl <= 0, t.FluidKnown }, noFluid},
		{"D", "MAP at least 75 mmHg, balance over 10 L, CVP at least 15 mmHg and more than 240 mL/h of fluid",
			func(p *Point) bool {
				return p.MAPMmHg >= enoughMmHg && p.BalanceMl > overloadMl && p.CVPMmHg >= highCVPMmHg
			},
			func(t *Treatment) (bool, bool) { return t.FluidMl > floodMlH*state.StepHours, t.FluidKnown }, mostFluid},
	}
}

// without says that neither a vasopressor nor more than so much fluid is given.
func (t *Treatment) without(ml float64) (in, known bool) {
	switch {
	case t.VasoKnown && t.NEUgKgMin > 0, t.FluidKnown && t.FluidMl > ml:
		return false, true // one part is enough to know that it is not
	}
	return true, t.VasoKnown && t.FluidKnown
}

// HazardCount is one hazard counted at decision times that apply. Count is
// ours: advice that is the hazard, or silence while it is under way.
type HazardCount struct {
	Text   string `json:"text"`
	Count  int    `json:"count"`
	AtRisk int    `json:"at_risk"`
	// How Count and the rest of AtRisk came about.
	Advised int `json:"advised"` // suggested or affirmed, and in the hazard
	Silent  int `json:"silent"`  // no advice and no card while current treatment is in the hazard
	Warned  int `json:"warned"`  // no advice, but a card says that there is danger
	Treated int `json:"treated"` // advice out of the hazard, or current treatment is not in it
	Unknown int `json:"unknown"` // no advice and current treatment not charted; not in AtRisk
	// Clinicians, in the same states, over the four hours that followed. They
	// learn more in those hours than anybody knew before them.
	Clinician       Share `json:"clinician"`
	Ours            Share `json:"ours"`
	ClinicianUnsure int   `json:"clinician_unknown"` // not charted; not in Clinician
}

// hazardState says what came of a hazard at one point.
type hazardState int

const (
	notAtRisk hazardState = iota
	hazardUnknown
	hazardTreated
	hazardWarned
	hazardSilent
	hazardAdvised
)

// ours judges our decision.
func (f *Festor) ours(p *Point) hazardState {
	if !p.Applies() || !f.AtRisk(p) {
		return notAtRisk
	}
	t := &p.AsIs
	if p.Speaks() {
		t = &p.Advised
	}
	in, known := f.In(t)
	switch {
	case !known:
		return hazardUnknown
	case !in:
		return hazardTreated
	case p.Speaks():
		return hazardAdvised
	case p.Shown && len(p.Hazards) > 0:
		return hazardWarned
	}
	return hazardSilent
}

// clinician judges what was given.
func (f *Festor) clinician(p *Point) (in, known bool) {
	if !p.HasNext {
		return false, false
	}
	return f.In(&p.Given)
}

// countHazard counts one hazard over all points.
func (s *sample) countHazard(f Festor) HazardCount {
	out := HazardCount{Text: f.Text}
	for i := range s.points {
		p := &s.points[i]
		switch f.ours(p) {
		case notAtRisk:
			continue
		case hazardUnknown:
			out.Unknown++
		case hazardTreated:
			out.Treated++
		case hazardWarned:
			out.Warned++
		case hazardSilent:
			out.Silent++
		case hazardAdvised:
			out.Advised++
		}
		if _, known := f.clinician(p); !known {
			out.ClinicianUnsure++
		}
	}
	out.Ours = s.share(func(p *Point) (bool, bool) {
		h := f.ours(p)
		return h == hazardSilent || h == hazardAdvised, h != notAtRisk && h != hazardUnknown
	})
	out.Clinician = s.share(func(p *Point) (bool, bool) {
		in, known := f.clinician(p)
		return in, known && f.ours(p) != notAtRisk
	})
	out.Count, out.AtRisk = out.Ours.Count, out.Ours.Of
	return out
}

// untreatedLow is the state in which nobody may be silent: MAP below 55 mmHg,
// and no vasopressor running.
func untreatedLow(p *Point) bool {
	return p.Applies() && p.MAPMmHg < severeMmHg && p.AsIs.VasoKnown && p.AsIs.NEUgKgMin == 0
}

// belowGoal says that the newest MAP is below its goal.
func belowGoal(p *Point) bool { return !math.IsNaN(p.MAPMmHg) && p.MAPMmHg < p.GoalMmHg }

// raisesAdvised says that a card to start or raise a vasopressor came out.
func raisesAdvised(p *Point) bool {
	return p.Status == agent.Suggest && p.Course == Raise
}
