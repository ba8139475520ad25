// SPDX-License-Identifier: Apache-2.0

package agent

// This file: the choice. Current treatment stands unless a permitted change is
// clearly better; among changes of about equal value the smallest wins.

import (
	"cmp"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/policy"
)

// Roles of an Option.
const (
	RoleCurrent     = "current"
	RoleSuggested   = "suggested"
	RoleAlternative = "alternative"
	RoleConsidered  = "considered"
)

// option is a candidate on its way to becoming an Option.
type option struct {
	candidate
	Option
	simulated bool
	unclear   []policy.Verdict // rules that could not be assessed
}

func (o *option) current() bool { return o.rank == rankHold }

// hear takes the verdicts of one judging. The same rule may speak before and
// after simulation; both are kept.
func (o *option) hear(verdicts []policy.Verdict) {
	for _, v := range verdicts {
		switch {
		case v.Effect == policy.NotAssessed:
			o.unclear = append(o.unclear, v)
			continue
		case slices.ContainsFunc(o.Verdicts, func(have policy.Verdict) bool { return have.ID == v.ID }):
			continue // a rule asked before and after simulation counts once
		case v.Effect == policy.Block:
			o.Blocked = true
		}
		o.Verdicts = append(o.Verdicts, v)
	}
}

// conclude sets the decision's status, advice, options and explanation. chosen
// is one of the permitted options, nil when there is none.
func (n *Native) conclude(tl *state.Timeline, d *Decision, options []*option, chosen *option) {
	forbidden := n.affirmForbidden(tl)
	switch {
	case chosen == nil:
		d.Status = Abstain
		d.Reasons = blockedReasons(options)
	case !chosen.current():
		d.Status = Suggest
	case len(forbidden) == 0:
		d.Status = Affirm
	default:
		n.holdOrAbstain(tl, d, forbidden)
		if v := unsupportedRaise(options); d.Status == Abstain && v != nil && n.course(tl) == courseRaise {
			d.Reasons = append([]Reason{{ReasonOutOfSupport, v.Text}}, d.Reasons...)
		}
	}
	n.report(tl, d, options, chosen)
}

// pick is best, but for how far to wean. Where MAP has been well above goal for
// the hour, the step down that is due is the largest that is simulated to leave
// MAP at goal and that costs no value: the smallest change is not the aim of a
// wean, least vasopressor for the goal is. Stopping is never the larger step.
func (n *Native) pick(tl *state.Timeline, permitted []*option, hold *option) *option {
	m := tl.Present.MAP
	first := n.best(permitted, hold, m.Newest.Value >= m.GoalMmHg)
	if first == nil || !first.Proposal.Lowers() || first.Proposal.BolusMl > 0 || !n.wellAbove(tl) {
		return first
	}
	out := first
	for _, o := range permitted {
		if o.Proposal.Direction == policy.DirectionDecrease && o.Proposal.Drug == first.Proposal.Drug && o.Proposal.BolusMl == 0 && o.Proposal.NENextUgKgMin < out.Proposal.NENextUgKgMin &&
			o.Forecast.Steps[0].PMAPAtGoal >= n.cfg.Sufficient && o.Value >= first.Value-n.cfg.Tie {
			out = o
		}
	}
	return out
}

// wellAbove reports a MAP that has been WeanMarginMmHg above goal, or more, for
// the last hour.
func (n *Native) wellAbove(tl *state.Timeline) bool {
	m := tl.Present.MAP
	least := m.GoalMmHg + n.cfg.WeanMarginMmHg
	return m.Newest.Value >= least && m.LastHourMin != nil && m.LastHourMin.Value >= least
}

// best returns the option to go with, or nil when nothing is permitted, not
// even current treatment. At goal current treatment has to be beaten by MinGain.
func (n *Native) best(permitted []*option, hold *option, atGoal bool) *option {
	worth := func(o *option) float64 {
		if o.current() && atGoal {
			return o.Value + n.cfg.MinGain
		}
		return o.Value
	}
	if len(permitted) == 0 {
		return nil
	}
	top := worth(slices.MaxFunc(permitted, func(a, b *option) int { return cmp.Compare(worth(a), worth(b)) }))
	var near []*option
	for _, o := range permitted {
		if worth(o) >= top-n.cfg.Tie {
			near = append(near, o)
		}
	}
	smaller := func(a, b *option) int { return cmp.Compare(a.rank, b.rank) }
	first := slices.MinFunc(near, smaller)
	if first.rank < rankBolus {
		return first
	}
	for _, o := range permitted {
		enough := o.Forecast.Steps[0].PMAPAtGoal >= n.cfg.Sufficient && o.Value >= hold.Value+n.cfg.SufficientShare*(top-hold.Value)
		if !o.current() && enough && smaller(o, first) < 0 {
			first = o
		}
	}
	return first
}

// holdOrAbstain ends a decision in which nothing beats current treatment but
// current treatment must not be affirmed. A running vasopressor with a MAP at
// goal and a lactate that is only old is held while the lactate is repeated;
// everything else abstains.
func (n *Native) holdOrAbstain(tl *state.Timeline, d *Decision, forbidden []Reason) {
	onlyStale := !slices.ContainsFunc(forbidden, func(r Reason) bool { return r.Code != ReasonStaleLactate })
	if hold := n.holdAdvice(tl); onlyStale && hold != nil {
		d.Status = Suggest
		d.Advice.Vasopressor = hold
		return
	}
	d.Status = Abstain
	for _, r := range forbidden {
		if r.Code == ReasonNoBetter {
			r.Text += ", and no permitted change does better in simulation"
		}
		d.Reasons = append(d.Reasons, r)
	}
}

// blockedReasons says why nothing at all is permitted.
func blockedReasons(options []*option) []Reason {
	hold := options[0]
	var out []Reason
	for _, v := range hold.Verdicts {
		if v.Effect != policy.Block {
			continue
		}
		code := ReasonBlocked
		if v.ID == ruleOutOfSupport {
			code = ReasonOutOfSupport
		}
		out = append(out, Reason{code, v.Text})
	}
	return out
}

// report fills in what the decision shows beside its status.
func (n *Native) report(tl *state.Timeline, d *Decision, options []*option, chosen *option) {
	hold := options[0]
	hold.Role = RoleCurrent
	speaker := hold
	if d.Status == Suggest && !chosen.current() {
		chosen.Role = RoleSuggested
		speaker = chosen
		d.Advice.Vasopressor, d.Advice.Fluid = chosen.Advice.Vasopressor, chosen.Advice.Fluid
		d.Levels = chosen.Proposal.LevelsNext
	}
	if alternative := runnerUp(options, chosen); alternative != nil {
		alternative.Role = RoleAlternative
	}
	d.addVerdicts(speaker.Verdicts)
	for _, v := range speaker.unclear {
		if text := notAssessedText(v); !slices.Contains(d.NotAssessed, text) {
			d.NotAssessed = append(d.NotAssessed, text)
		}
	}
	slices.SortStableFunc(options[1:], func(a, b *option) int { return cmp.Compare(roleOrder(a.Role), roleOrder(b.Role)) })
	spoke := [][]policy.Verdict{d.Verdicts}
	for _, o := range options {
		spoke = append(spoke, o.Verdicts)
		if o.Role == "" {
			o.Role = RoleConsidered
		}
		o.Why = n.why(d, o, speaker)
		if o.Role == RoleConsidered {
			o.Forecast.Steps = nil // the receipt keeps its value and support; the bands are those of a plan nobody is shown
		}
		d.Options = append(d.Options, o.Option)
	}
	d.Conflicts = policy.Conflicts(spoke...)
	d.Explanation = n.explain(tl, d, speaker, hold)
}

// runnerUp is the best other permitted change.
func runnerUp(options []*option, chosen *option) *option {
	var out *option
	for _, o := range options {
		if !o.simulated || o.Blocked || o.current() || o == chosen {
			continue
		}
		if out == nil || o.Value > out.Value {
			out = o
		}
	}
	return out
}

func roleOrder(role string) int {
	switch role {
	case RoleSuggested:
		return 0
	case RoleAlternative:
		return 1
	}
	return 2
}
