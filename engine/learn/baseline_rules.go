// SPDX-License-Identifier: Apache-2.0

package learn

// This file: the rule-based policy: what the guideline packs alone would do on
// the grid of levels, without a forecast and without a learnt value.

import (
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/learn/environment"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/policy"
)

// PolicyRules is the name of the rule-based policy.
const PolicyRules = "rules"

// RuleCandidate is the policy of the rule packs: of the pairs at most one
// vasopressor level from what runs that no rule blocks, the one that rules
// charge least for. Of equals it is the one nearest to what runs, then the
// lower. Where treatment is not charted or every pair is blocked it has none.
func RuleCandidate(cfg state.Config, judge policy.Judge) Candidate {
	return Candidate{Name: PolicyRules, Probabilities: func(tl *state.Timeline) (p [5][5]float64, ok bool, err error) {
		if !tl.Present.VasoKnown || !tl.Last().Given.FluidKnown {
			return p, false, nil
		}
		now := agent.LevelsNow(cfg, tl)
		var best state.Levels
		least, nearest := 0.0, 0
		for pair := range Actions {
			l := environment.LevelsOf(pair)
			if apart(l.Vasopressor, now.Vasopressor) > 1 {
				continue
			}
			proposal := environment.ProposalOf(cfg, tl, l)
			charge, blocked, err := charged(judge, tl, &proposal)
			if err != nil {
				return p, false, err
			}
			far := apart(l.Vasopressor, now.Vasopressor) + apart(l.Fluid, now.Fluid)
			if blocked || ok && (charge > least || charge == least && far >= nearest) {
				continue
			}
			best, least, nearest, ok = l, charge, far, true
		}
		if ok {
			p[best.Vasopressor][best.Fluid] = 1
		}
		return p, ok, nil
	}}
}

// charged is what rules take from a proposal, and whether one blocks it. Hard
// limits bound a first step at the bedside and not the hours after it.
func charged(judge policy.Judge, tl *state.Timeline, p *policy.Proposal) (charge float64, blocked bool, err error) {
	verdicts, err := judge.Judge(tl, p, nil)
	if err != nil {
		return 0, false, err
	}
	for _, v := range verdicts {
		switch {
		case v.Pack == limitsPack:
		case v.Effect == policy.Block:
			blocked = true
		case v.Effect == policy.Penalty:
			charge += v.Penalty
		}
	}
	return charge, blocked, nil
}

func apart(a, b int) int { return max(a-b, b-a) }
