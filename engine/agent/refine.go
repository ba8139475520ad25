// SPDX-License-Identifier: Apache-2.0

package agent

// This file: refining. The first round simulates coarse proposals; the rounds
// after it look for the smallest dose that is still enough, by halving what lies
// between the change that would be gone with and the next smaller one, which was
// not enough. Each new dose passes the same gates and the same simulation.
//
// Volume and steps down are refined. A step up below goal is not: how far it goes
// is read from the chart alone (raise.go), so that no forecast can make a higher
// MAP ask for more.

import (
	"context"
	"fmt"
	"math"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/policy"
)

// The finest doses that are told apart.
const (
	bolusGridMl     = 50
	weanGridUgKgMin = 0.01
)

// Round is one round of proposing and simulating.
type Round struct {
	Asked []string `json:"asked"`          // what was simulated or blocked in it
	Best  string   `json:"best,omitempty"` // what would be gone with after it; empty when nothing is permitted
	Value float64  `json:"value"`          // of Best
	Why   string   `json:"why,omitempty"`  // what the round asked and what came of it
}

// refine adds rounds until no smaller dose is left to be asked about, and keeps
// the transcript of all of them.
func (n *Native) refine(ctx context.Context, x *Deliberation, options []*option) ([]*option, error) {
	course, hold := n.course(x.tl), options[0]
	choose := func() *option { return n.pick(x.tl, permitted(options, course), hold) }
	chosen := choose()
	first := Round{}
	for _, o := range options {
		first.Asked = append(first.Asked, o.Proposal.Name)
	}
	x.base.Rounds = append(x.base.Rounds, first.closed(chosen))
	for range n.cfg.RefineRounds {
		c, between, ok := n.between(x.tl, options, chosen)
		if !ok {
			break
		}
		fresh, err := n.gate(ctx, x.tl, []candidate{c})
		if err != nil {
			return nil, err
		}
		if !fresh[0].Blocked {
			if err := n.simulate(ctx, x.tl, fresh); err != nil {
				return nil, err
			}
		}
		options = append(options, fresh...)
		chosen = choose()
		r := Round{Asked: []string{c.proposal.Name}, Why: between + ": not enough"}
		switch {
		case fresh[0].Blocked:
			r.Why = between + ": not permitted"
		case chosen == fresh[0]:
			r.Why = between + ": enough"
		}
		x.base.Rounds = append(x.base.Rounds, r.closed(chosen))
	}
	return options, nil
}

func (r Round) closed(chosen *option) Round {
	if chosen != nil {
		r.Best, r.Value = chosen.Proposal.Name, chosen.Value
	}
	return r
}

// between is a candidate half way between the chosen option and the next smaller
// dose of the same change; false where none is left.
func (n *Native) between(tl *state.Timeline, options []*option, chosen *option) (c candidate, what string, ok bool) {
	switch {
	case chosen == nil || chosen.current():
		return c, "", false
	case chosen.Proposal.BolusMl > 0:
		return n.betweenBoluses(tl, options, chosen)
	case n.wellAbove(tl):
		return c, "", false // a smaller wean than the one that is enough is no use there
	case chosen.Proposal.Direction == policy.DirectionDecrease && chosen.Proposal.Drug != state.DrugVasopressin:
		return n.betweenWeans(tl, options, chosen)
	}
	return c, "", false
}

func (n *Native) betweenBoluses(tl *state.Timeline, options []*option, chosen *option) (c candidate, what string, ok bool) {
	p, least := &chosen.Proposal, 0.0
	for _, o := range options {
		q := &o.Proposal
		if q.Direction == p.Direction && q.Drug == p.Drug && q.DrugNextUgKgMin == p.DrugNextUgKgMin && q.VasopressinUMin == p.VasopressinUMin && q.BolusMl < p.BolusMl {
			least = math.Max(least, q.BolusMl)
		}
	}
	ml := math.Round((least+p.BolusMl)/2/bolusGridMl) * bolusGridMl
	if least < policy.MinBolusMl || ml <= least || ml >= p.BolusMl {
		return c, "", false
	}
	mv := chosen.move
	mv.source = SourceRefined
	return n.candidate(tl, mv, ml), fmt.Sprintf("%.0f mL, between %.0f, not enough, and %.0f", ml, least, p.BolusMl), true
}

func (n *Native) betweenWeans(tl *state.Timeline, options []*option, chosen *option) (c candidate, what string, ok bool) {
	a, running := runningAgent(tl, chosen.Proposal.Drug)
	if !running {
		return c, "", false
	}
	step := func(p *policy.Proposal) float64 { return p.DrugNowUgKgMin - p.DrugNextUgKgMin }
	most, least := step(&chosen.Proposal), 0.0
	for _, o := range options {
		q := &o.Proposal
		if q.Drug == a.Drug && q.Direction == policy.DirectionDecrease && q.BolusMl == 0 && step(q) < most-1e-9 {
			least = math.Max(least, step(q))
		}
	}
	half := math.Round((least+most)/2/weanGridUgKgMin) * weanGridUgKgMin
	if half < least+weanGridUgKgMin/2 || half > most-weanGridUgKgMin/2 {
		return c, "", false
	}
	mv := n.lower(a, half)
	mv.source = SourceRefined
	return n.candidate(tl, mv, 0), fmt.Sprintf("%.2f ug/kg/min less, between %.2f, not enough, and %.2f", half, least, most), true
}
