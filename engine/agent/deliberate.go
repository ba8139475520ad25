// SPDX-License-Identifier: Apache-2.0

package agent

// This file: a decision with its options still at hand, so that somebody other
// than the native agent (a language model) may choose among them. What can be
// chosen is what the native agent itself might have gone with: options that no
// rule blocks, before or after simulation, on the course that the chart asks
// for. So whoever chooses, no vasopressor goes up with MAP at goal, and below it
// the chart alone says how far: the choices then differ in volume only.

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

// ErrNoChoice is wrapped when levels are chosen that stand for no choice.
var ErrNoChoice = errors.New("not among the choices")

// Deliberation is a decision under way: the native agent's own, and what else
// could be decided. It is immutable once it is returned.
type Deliberation struct {
	agent   *Native
	tl      *state.Timeline
	base    Decision // what holds whatever is chosen
	options []*option
	allowed []*option // of options, those that may be gone with
	native  Decision
}

// Choice is one option that may be decided for. Choices are told apart by their
// levels: of several options with the same levels the one stands that the
// native agent would take of them, since a level is no dose (design.md 4).
type Choice struct {
	Levels   state.Levels
	Name     string // made by the agent from numbers and drug names it knows
	Current  bool   // leaves treatment as it is
	Forecast world.Forecast
	Value    float64 // risk-adjusted, higher is better
	Warnings []policy.Verdict

	index int
}

// Refused is an option that may not be decided for, and why.
type Refused struct {
	Levels state.Levels
	Name   string
	Rule   string // the rule that blocks; empty where the agent's own course does
	Why    string
}

// open takes the simulated options and makes the native decision.
func (x *Deliberation) open(options []*option) error {
	hold := options[0]
	if !hold.current() || !hold.simulated {
		return fmt.Errorf("%w: current treatment was not simulated", ErrForecast)
	}
	x.options, x.allowed = options, permitted(options, x.agent.course(x.tl))
	x.native = x.conclude(x.best(x.allowed), proposerNative)
	return nil
}

func (x *Deliberation) best(of []*option) *option {
	return x.agent.pick(x.tl, of, x.options[0])
}

// conclude makes the decision for one of x.options, or for none. It works on
// copies, because concluding writes into the options.
func (x *Deliberation) conclude(chosen *option, proposer string) Decision {
	d := x.base
	d.Proposer = proposer
	d.Verdicts, d.NotAssessed = slices.Clip(d.Verdicts), slices.Clip(d.NotAssessed)
	options := make([]*option, len(x.options))
	var own *option
	for i, o := range x.options {
		c := *o
		options[i] = &c
		if o == chosen {
			own = &c
		}
	}
	x.agent.conclude(x.tl, &d, options, own)
	return d
}

// Native is the native agent's decision.
func (x *Deliberation) Native() Decision {
	if x.options == nil {
		return x.base
	}
	return x.native
}

// Choices lists what may be decided for, by rising levels. It is empty where
// the native agent did not come to a suggestion or an affirmation: nobody may
// turn an abstention into a dose.
func (x *Deliberation) Choices() []Choice {
	if x.native.Status != Suggest && x.native.Status != Affirm {
		return nil
	}
	byLevels := map[state.Levels][]*option{}
	for _, o := range x.allowed {
		if o.current() && !x.holdStands() {
			continue
		}
		byLevels[o.Proposal.LevelsNext] = append(byLevels[o.Proposal.LevelsNext], o)
	}
	var out []Choice
	for levels, group := range byLevels {
		o := x.best(group)
		c := Choice{
			Levels: levels, Name: o.Proposal.Name, Current: o.current(), Forecast: o.Forecast, Value: o.Value,
			index: slices.Index(x.options, o),
		}
		for _, v := range o.Verdicts {
			if v.Effect == policy.Warning || v.Effect == policy.Penalty {
				c.Warnings = append(c.Warnings, v)
			}
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Choice) int { return compareLevels(a.Levels, b.Levels) })
	return out
}

// holdStands reports whether leaving treatment as it is ends in anything but an
// abstention.
func (x *Deliberation) holdStands() bool {
	return x.conclude(x.options[0], proposerNative).Status != Abstain
}

// Current is the simulated future of current treatment, the yardstick; false
// where nothing was simulated.
func (x *Deliberation) Current() (Choice, bool) {
	if x.options == nil {
		return Choice{}, false
	}
	o := x.options[0]
	return Choice{Levels: o.Proposal.LevelsNext, Name: o.Proposal.Name, Current: true, Forecast: o.Forecast, Value: o.Value}, true
}

// Refused lists the candidates that may not be decided for, by rising levels,
// each with the rule that blocks it or the course that leaves it out.
func (x *Deliberation) Refused() []Refused {
	var out []Refused
	for _, o := range x.options {
		r := Refused{Levels: o.Proposal.LevelsNext, Name: o.Proposal.Name}
		i := slices.IndexFunc(o.Verdicts, func(v policy.Verdict) bool { return v.Effect == policy.Block })
		switch {
		case i >= 0:
			r.Rule, r.Why = o.Verdicts[i].ID, o.Verdicts[i].Text
		case !slices.Contains(x.allowed, o):
			r.Why = "the charted pressure asks for another course"
		case o.current() && !x.holdStands():
			r.Why = "current treatment cannot be affirmed on this chart"
		default:
			continue
		}
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(a, b Refused) int { return compareLevels(a.Levels, b.Levels) })
	return out
}

// Choose makes the decision for the choice with these levels in the name of
// proposer. Without such a choice the error wraps ErrNoChoice.
func (x *Deliberation) Choose(levels state.Levels, proposer string) (Decision, error) {
	for _, c := range x.Choices() {
		if c.Levels == levels {
			return x.conclude(x.options[c.index], proposer), nil
		}
	}
	return Decision{}, fmt.Errorf("%w: levels %d and %d", ErrNoChoice, levels.Vasopressor, levels.Fluid)
}

func compareLevels(a, b state.Levels) int {
	if a.Vasopressor != b.Vasopressor {
		return a.Vasopressor - b.Vasopressor
	}
	return a.Fluid - b.Fluid
}
