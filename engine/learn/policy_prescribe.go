// SPDX-License-Identifier: Apache-2.0

package learn

// This file: what each policy prescribes, in the same states: the published
// guideline metric, and under- and overdosing.

import (
	"github.com/sepsisagent/sepsisagent/engine/learn/environment"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// Prescribing is what a policy prescribes at the decision times that apply and
// whose treatment is charted, the same ones for all policies, in pairs of
// levels. The publication does not define under- and overdosing; they are the
// hazards of Festor 2022 here, on levels (Festor.Levels). A policy that leaves
// the decision to clinicians prescribes what they gave.
type Prescribing struct {
	Adherence Expected `json:"guideline_adherence"` // neither G1 nor G2 broken
	// Under is hazard A or C and Over B or D, of all prescriptions as published,
	// and AtRisk of those in states in which the hazard can come about.
	Under       Expected `json:"underdosing"`
	UnderAtRisk Expected `json:"underdosing_at_risk"`
	Over        Expected `json:"overdosing"`
	OverAtRisk  Expected `json:"overdosing_at_risk"`
	// Own is at how many of them the policy decides itself.
	Own Expected `json:"own_decisions"`
}

// Expected is a Share whose count is an expectation where a policy is chance.
type Expected struct {
	Count world.Number `json:"count"`
	Of    int          `json:"of"`
	Share world.Number `json:"share"`
	Low   world.Number `json:"low"`
	High  world.Number `json:"high"`
}

// prescribing counts for every policy of names; those from place standing on are
// the others of a point.
func (s *sample) prescribing(names []string, standing int) map[string]Prescribing {
	hazards := FestorHazards()
	hazard := func(p *Point, a int, ids ...int) (in, atRisk bool) {
		for _, i := range ids {
			if h := &hazards[i]; h.AtRisk(p) {
				atRisk = true
				in = in || h.Levels(environment.LevelsOf(a))
			}
		}
		return in, atRisk
	}
	const a, b, c, d = 0, 1, 2, 3
	out := map[string]Prescribing{}
	for i, name := range names {
		intends := intention(name, i-standing)
		count := func(of func(p *Point, action int) (hit, counted bool)) Expected {
			return s.expected(func(p *Point, action int) (float64, bool) {
				hit, counted := of(p, action)
				if !hit {
					return 0, counted
				}
				return 1, counted
			}, intends)
		}
		out[name] = Prescribing{
			Adherence: count(func(p *Point, action int) (bool, bool) {
				t := p.prescribed(&Treatment{Levels: environment.LevelsOf(action)})
				return !t.breaksG1() && !t.breaksG2(), true
			}),
			Under:       count(func(p *Point, action int) (bool, bool) { in, _ := hazard(p, action, a, c); return in, true }),
			Over:        count(func(p *Point, action int) (bool, bool) { in, _ := hazard(p, action, b, d); return in, true }),
			UnderAtRisk: count(func(p *Point, action int) (bool, bool) { return hazard(p, action, a, c) }),
			OverAtRisk:  count(func(p *Point, action int) (bool, bool) { return hazard(p, action, b, d) }),
			Own: s.expected(func(p *Point, _ int) (float64, bool) {
				if intends(p) == nil {
					return 0, true
				}
				return 1, true
			}, intends),
		}
	}
	return out
}

// intention gives what a policy of that name would do at a point: probabilities
// of the pairs, nil where clinicians decide. Nothing is softened: that is for
// estimates.
func intention(name string, other int) func(p *Point) []float64 {
	switch name {
	case PolicyClinician:
		return func(p *Point) []float64 { return only(p.Given.action()) }
	case PolicyNoAction:
		return func(*Point) []float64 { return only(0) }
	case PolicyRandom:
		return func(*Point) []float64 { return evenly() }
	case PolicyOurs:
		return func(p *Point) []float64 {
			if !p.Speaks() || !p.Advised.known() {
				return nil
			}
			return only(p.Advised.action())
		}
	}
	return func(p *Point) []float64 {
		if other < len(p.Others) {
			return p.Others[other]
		}
		return nil
	}
}

// expected counts what a policy does, each action by its probability.
func (s *sample) expected(of func(p *Point, action int) (hit float64, counted bool), intends func(p *Point) []float64) Expected {
	num, den := make([]float64, len(s.patients)), make([]float64, len(s.patients))
	out, total := Expected{}, 0.0
	for i := range s.points {
		p := &s.points[i]
		if !p.Applies() || !p.HasNext || !p.Given.known() {
			continue
		}
		pi := intends(p)
		if pi == nil {
			pi = only(p.Given.action())
		}
		counts := false
		for action, chance := range pi {
			if chance == 0 {
				continue
			}
			hit, counted := of(p, action)
			counts = counts || counted
			if counted {
				num[s.of[i]] += chance * hit
				total += chance * hit
			}
		}
		if counts {
			out.Of++
			den[s.of[i]]++
		}
	}
	e := s.ratio(num, den)
	out.Count, out.Share, out.Low, out.High = world.Number(total), e.Value, e.Low, e.High
	return out
}

// Festor hazards on levels, where a policy names no dose. Fluid level 1 is at
// most 12.5 mL/h by the default cut-points; the highest levels begin below the
// published bounds, so that they count more.
func untreatedLevels(l state.Levels) bool { return l.Vasopressor == 0 && l.Fluid <= 1 }
func mostVasopressor(l state.Levels) bool { return l.Vasopressor == 4 }
func noFluid(l state.Levels) bool         { return l.Fluid == 0 }
func mostFluid(l state.Levels) bool       { return l.Fluid == 4 }
