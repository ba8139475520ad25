// SPDX-License-Identifier: Apache-2.0

package learn

// This file: choosing single cases for a clinician to read. Nobody picks them:
// a case belongs to one stratum by what was decided, and within a stratum the
// stays come in an order that their ids alone fix.

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Strata of cases, in the order in which they are dealt.
var strata = []struct {
	name string
	in   func(p *Point, d *agent.Decision) bool
}{
	{"start or raise a vasopressor", func(p *Point, d *agent.Decision) bool { return raisesAdvised(p) && d.Advice.Fluid == nil }},
	{"lower or stop a vasopressor", func(p *Point, _ *agent.Decision) bool { return p.Status == agent.Suggest && p.Course == Lower }},
	{"volume", func(_ *Point, d *agent.Decision) bool { return d.Advice.Fluid != nil }},
	{"no advice, but a danger shown", func(p *Point, _ *agent.Decision) bool { return p.Status == agent.Abstain && len(p.Hazards) > 0 }},
	{"pressures in conflict", func(p *Point, _ *agent.Decision) bool {
		return p.Status == agent.Abstain && slices.Contains(p.Reasons, agent.ReasonMAPConflict)
	}},
	{"current treatment affirmed", func(p *Point, _ *agent.Decision) bool { return p.Status == agent.Affirm && p.AsIs.NEUgKgMin > 0 }},
	// Where a stratum is empty, these fill up.
	{"no advice on a vasopressor", func(p *Point, _ *agent.Decision) bool { return p.Status == agent.Abstain && p.AsIs.NEUgKgMin > 0 }},
	{"vasopressor held, lactate to repeat", func(p *Point, d *agent.Decision) bool {
		return d.Advice.Vasopressor != nil && d.Advice.Vasopressor.Direction == agent.AdviceHold
	}},
	{"no advice", func(p *Point, _ *agent.Decision) bool { return p.Status == agent.Abstain }},
	{"affirmed", func(p *Point, _ *agent.Decision) bool { return p.Status == agent.Affirm }},
}

// firstStrata are the strata that cases are dealt from first.
const firstStrata = 6

// Case is one decision time that was chosen.
type Case struct {
	Stratum string
	// Row is the decision time and Next, nil at the end of the stay, the one after it.
	Row  cohort.Row
	Next *cohort.Row

	stratum int
	rank    string
}

// caseOf gives the case of a point, none where it belongs to no stratum. A
// point that belongs to several belongs to the first.
func caseOf(row, next *cohort.Row, p *Point, d *agent.Decision) []Case {
	for i, s := range strata {
		if s.in(p, d) {
			c := Case{Stratum: s.name, Row: *row, stratum: i, rank: rankOf(fmt.Sprintf("%s\x00%d", stayKey(row), row.Step))}
			if next != nil {
				after := *next
				after.Canonical = nil
				c.Next = &after
			}
			return []Case{c}
		}
	}
	return nil
}

// fewest keeps the n first cases of each stratum.
func fewest(cases []Case, n int) []Case {
	slices.SortStableFunc(cases, func(a, b Case) int {
		return cmp.Or(cmp.Compare(a.stratum, b.stratum), cmp.Compare(a.rank, b.rank))
	})
	var out []Case
	kept := map[int]int{}
	for _, c := range cases {
		if kept[c.stratum]++; kept[c.stratum] <= n {
			out = append(out, c)
		}
	}
	return out
}

// chooseCases deals n cases: from each of the first strata in turn, then from
// the others, a patient once.
func chooseCases(cases []Case, n int) []Case {
	if n <= 0 {
		return nil
	}
	byStratum := make([][]Case, len(strata))
	for _, c := range fewest(cases, len(cases)) {
		byStratum[c.stratum] = append(byStratum[c.stratum], c)
	}
	var out []Case
	taken := map[string]bool{}
	take := func(i int) bool {
		for len(byStratum[i]) > 0 {
			c := byStratum[i][0]
			byStratum[i] = byStratum[i][1:]
			if id := c.Row.Source + "\x00" + c.Row.Patient; !taken[id] {
				taken[id] = true
				out = append(out, c)
				return true
			}
		}
		return false
	}
	deal := func(from, to, most int) {
		for range most {
			for i := from; i < to && len(out) < n; i++ {
				take(i)
			}
		}
	}
	deal(0, firstStrata, (n+firstStrata-1)/firstStrata)
	deal(firstStrata, len(strata), n)
	deal(0, firstStrata, n)
	slices.SortStableFunc(out, func(a, b Case) int { return cmp.Compare(a.stratum, b.stratum) })
	return out
}

// LevelsGiven are the levels of the four hours after, where they are known.
func (c *Case) LevelsGiven() (levels state.Levels, vasopressor, fluid bool) {
	if c.Next == nil {
		return levels, false, false
	}
	return c.Next.Given.Levels, c.Next.Given.VasoKnown, c.Next.Given.FluidKnown
}
