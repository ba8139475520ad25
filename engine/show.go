// SPDX-License-Identifier: Apache-2.0

package engine

// This file: whether a decision is shown, and when a repeat is not. Hazards
// are never suppressed; only the silent display mode and the role gate keep
// them from being shown, and both are on the receipt.

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
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
	SuppressedRepeat     = "repeat"
	SuppressedOverridden = "overridden"
)

// outcomeOverridden is Prior.Outcome of an overridden card.
const outcomeOverridden = "overridden"

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
// something to say, why.
func (d *Decider) show(c Case, out *Outcome) (bool, string) {
	hazard := len(out.Decision.Hazards) > 0
	if !hazard && !d.speaks(out.Decision.Status) {
		return false, ""
	}
	switch {
	case c.Display == DisplaySilent:
		return false, SuppressedSilent
	case len(d.cfg.Roles) > 0 && !slices.Contains(d.cfg.Roles, c.Role):
		return false, SuppressedRole
	case hazard:
		return true, ""
	}
	if reason := d.repeated(c, out); reason != "" {
		return false, reason
	}
	return true, ""
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

// repeated reports why the same advice to the same user on the same evidence
// is not shown again: it was overridden (until the evidence changes), or it was
// shown within the window.
func (d *Decider) repeated(c Case, out *Outcome) string {
	reason := ""
	for _, p := range c.Prior {
		if p.User != c.User || p.Topic != out.Topic || p.Evidence != out.Evidence || p.At.After(c.Now) {
			continue
		}
		if p.Outcome == outcomeOverridden {
			return SuppressedOverridden
		}
		if p.Shown && c.Now.Sub(p.At).Minutes() < d.cfg.RepeatWindowMin {
			reason = SuppressedRepeat
		}
	}
	return reason
}

// mapBandMmHg is how far MAP has to move before the evidence counts as
// changed: a fresh MAP arrives every minute and is never quite the same.
const mapBandMmHg = 5

// evidence is a fingerprint of what the advice rests on: the advice itself,
// the MAP band and goal, the running rates, the newest lactate and the hazards.
// It says nothing about the patient to whoever reads it.
func evidence(tl *state.Timeline, d *agent.Decision) (string, error) {
	type rate struct {
		Drug  state.Drug
		State string
		Rate  float64
		Unit  string
	}
	var e struct {
		Patient, Stay  string
		Status         agent.Status
		Advice         agent.Advice
		Reasons        []string
		Hazards        []string
		MAPBand        int
		GoalMmHg       float64
		Rates          []rate
		LactateMmolL   float64
		LactateTakenAt int64
	}
	p := &tl.Present
	e.Patient, e.Stay, e.Status, e.GoalMmHg, e.MAPBand = tl.PatientID, tl.StayID, d.Status, p.MAP.GoalMmHg, -1
	e.Advice = d.Advice
	e.Advice.Recheck = nil
	for _, r := range d.Reasons {
		e.Reasons = append(e.Reasons, r.Code)
	}
	for _, h := range d.Hazards {
		e.Hazards = append(e.Hazards, h.ID)
	}
	if m := p.MAP.Newest; m != nil {
		e.MAPBand = int(math.Floor((m.Value - p.MAP.GoalMmHg) / mapBandMmHg))
	}
	for _, a := range p.Agents {
		e.Rates = append(e.Rates, rate{a.Drug, a.State, a.Rate, a.RateUnit})
	}
	if l := p.Lactate.Now; l != nil {
		e.LactateMmolL, e.LactateTakenAt = l.Value, l.At.Unix()
	}
	b, err := json.Marshal(e)
	if err != nil {
		return "", fmt.Errorf("%w: evidence: %w", ErrUnsound, err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16]), nil
}
