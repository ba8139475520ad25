// SPDX-License-Identifier: Apache-2.0

package engine

// This file: whether a decision is shown. Hazards are never suppressed; only the
// silent display mode and the role gate keep them from being shown, and both are
// on the receipt. When a repeat is not shown is in repeat.go.

import (
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/agent"
)

// Topics are the static codes of what a decision is about. Clients key
// persistence and feedback on them.
const (
	TopicHazard      = "hazard"
	TopicVasopressor = "vasopressor"
	TopicFluid       = "fluid"
	TopicReview      = "review" // affirm, abstain and not-applicable
)

// Reasons in Outcome.Suppressed.
const (
	SuppressedSilent     = "display-silent"
	SuppressedRole       = "role"
	SuppressedRepeat     = "repeat"     // repeat.go
	SuppressedOverridden = "overridden" // repeat.go
)

func topic(d *agent.Decision) string {
	switch {
	case d.Status == agent.Suggest && d.Advice.Vasopressor != nil && d.Advice.Vasopressor.Direction != agent.AdviceHold:
		return TopicVasopressor
	case d.Status == agent.Suggest && d.Advice.Fluid != nil:
		return TopicFluid
	case d.Status == agent.Suggest:
		return TopicVasopressor
	case len(d.Hazards) > 0:
		return TopicHazard
	}
	return TopicReview
}

// show decides whether a card is returned, and if not although there was
// something to say, why, and on account of which earlier receipt.
func (d *Decider) show(c *Case, out *Outcome, e *evidence) (show bool, suppressed, refers string) {
	hazard := len(out.Decision.Hazards) > 0
	if !hazard && !d.speaks(out.Decision.Status) {
		return false, "", ""
	}
	return d.pass(c, out.Topic, e, hazard)
}

// pass takes what there is to say through the gates: display mode, role and,
// unless it must not be silenced as a repeat, repetition.
func (d *Decider) pass(c *Case, topic string, e *evidence, always bool) (show bool, suppressed, refers string) {
	switch {
	case c.Display == DisplaySilent:
		return false, SuppressedSilent, ""
	case len(d.cfg.Roles) > 0 && !slices.Contains(d.cfg.Roles, c.Role):
		return false, SuppressedRole, ""
	case always:
		return true, "", ""
	}
	suppressed, refers = d.cfg.silences(c, topic, e)
	return suppressed == "", suppressed, refers
}

func (d *Decider) speaks(status agent.Status) bool {
	switch status {
	case agent.Suggest:
		return true
	case agent.Affirm:
		return d.cfg.ShowAffirm
	case agent.Abstain:
		return d.cfg.ShowAbstain
	case agent.NotApplicable:
		return d.cfg.ShowNotApplicable
	}
	return false
}
