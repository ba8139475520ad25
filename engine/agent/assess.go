// SPDX-License-Identifier: Apache-2.0

package agent

// This file: the order check: drafted orders, given instead of proposed, judged
// by the same rules and simulated on the same model as the agent's own
// candidates, with current treatment beside them. The bounds of package
// policy's hard limits are for what the agent may suggest; what a clinician
// orders is held against the order limits (assess_limits.go) instead, and never
// blocked: the answer is a word of advice.

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

// Severity is how urgent a finding about an order is.
type Severity string

// The severities, least urgent first; empty stands for no finding.
const (
	SeverityInfo     Severity = "information"
	SeverityWarning  Severity = "warning"
	SeverityCritical Severity = "critical"
)

var severities = []Severity{"", SeverityInfo, SeverityWarning, SeverityCritical}

// Over reports whether s is more urgent than t.
func (s Severity) Over(t Severity) bool {
	return slices.Index(severities, s) > slices.Index(severities, t)
}

// Finding is one thing to be said about an order. Alternative says what could
// be done instead, without a dose; Dose says it with one, where there is one.
type Finding struct {
	Severity    Severity       `json:"severity"`
	Rule        policy.Verdict `json:"rule"`
	Alternative string         `json:"alternative,omitempty"`
	Dose        string         `json:"dose,omitempty"`
}

// Assessed is one drafted order with what was found about it.
type Assessed struct {
	Draft    state.Draft      `json:"draft"`
	Unjudged string           `json:"unjudged,omitempty"` // why it was not, or not fully, judged
	Proposal *policy.Proposal `json:"proposal,omitempty"` // the action it stands for; nil where it maps to none
	Forecast *world.Forecast  `json:"forecast,omitempty"` // nil where it was not simulated
	Value    float64          `json:"value,omitempty"`    // risk-adjusted, as of the agent's own options; only with Forecast
	Findings []Finding        `json:"findings,omitempty"` // most urgent first
	Spoke    []policy.Verdict `json:"spoke,omitempty"`    // rules that spoke of the order without becoming a finding
	Unclear  []string         `json:"unclear,omitempty"`  // rules that could not be assessed
}

// Severity is that of the most urgent finding.
func (a *Assessed) Severity() Severity {
	if len(a.Findings) == 0 {
		return ""
	}
	return a.Findings[0].Severity
}

// Assessment is the answer of an order check.
type Assessment struct {
	Decision Decision   // what the agent itself says about the patient, and so the source of alternatives
	Orders   []Assessed // one per draft, in their order
}

// Assess judges drafted orders. It reads nothing but its arguments and the
// agent's model, rules and configuration. Only drafts that are selected are
// judged; the others are what they are judged beside. Errors are those of
// Decide.
func (n *Native) Assess(ctx context.Context, tl *state.Timeline, drafts []state.Draft) (Assessment, error) {
	x, err := n.Deliberate(ctx, tl)
	if err != nil {
		return Assessment{}, err
	}
	out := Assessment{Decision: x.Native(), Orders: make([]Assessed, len(drafts))}
	s := session{agent: n, tl: tl, x: x, decision: &out.Decision, drafts: drafts, scope: scopeOf(&out.Decision)}
	if s.holding, err = s.rulesOnHold(); err != nil {
		return Assessment{}, fmt.Errorf("%w: %w", ErrDecide, err)
	}
	s.actions = make([]action, len(drafts))
	for i := range drafts {
		out.Orders[i].Draft = drafts[i]
		s.actions[i] = s.act(&drafts[i])
	}
	for i := range drafts {
		if err := ctx.Err(); err != nil {
			return Assessment{}, fmt.Errorf("%w: %w", ErrDecide, err)
		}
		if err := s.judge(&out.Orders[i], i); err != nil {
			return Assessment{}, fmt.Errorf("%w: %w", ErrDecide, err)
		}
	}
	if err := s.simulate(ctx, out.Orders); err != nil {
		return Assessment{}, fmt.Errorf("%w: %w", ErrDecide, err)
	}
	for i := range out.Orders {
		slices.SortStableFunc(out.Orders[i].Findings, func(a, b Finding) int {
			return cmp.Compare(slices.Index(severities, b.Severity), slices.Index(severities, a.Severity))
		})
	}
	return out, nil
}

// session is one order check under way.
type session struct {
	agent    *Native
	tl       *state.Timeline
	x        *Deliberation
	decision *Decision
	drafts   []state.Draft
	actions  []action
	holding  map[string]bool // rules that speak of current treatment too
	scope    scope
}

// scope is how far the rules reach for this patient.
type scope int

const (
	scopeFull     scope = iota
	scopeLimits         // the chart does not let the rules about pressure be asked
	scopeDoseOnly       // sepsis treatment is not what this patient needs, or nobody can say
)

// otherShock are the reasons of an abstention that make the rules for sepsis
// not fit: volume and drugs follow other rules there.
var otherShock = []string{ReasonBleeding, ReasonCardiogenic, ReasonObstructive, ReasonNeurogenic, ReasonAnaphylaxis, ReasonPostArrest,
	ReasonBurns, ReasonDKA, ReasonAgeUnknown, ReasonSepsisUnknown}

func scopeOf(d *Decision) scope {
	switch d.Status {
	case NotApplicable:
		return scopeDoseOnly
	case Abstain:
		for _, r := range d.Reasons {
			if slices.Contains(otherShock, r.Code) {
				return scopeDoseOnly
			}
			switch r.Code {
			case ReasonMAPMissing, ReasonMAPStale, ReasonMAPConflict:
				return scopeLimits
			}
		}
	}
	return scopeFull
}

// rulesOnHold are the rules that speak of leaving the treatment as it is. What
// they say is about the patient, not about an order.
func (s *session) rulesOnHold() (map[string]bool, error) {
	out := map[string]bool{}
	hold := s.agent.holdProposal(s.tl)
	verdicts, err := s.agent.judge.Judge(s.tl, &hold, nil)
	if err != nil {
		return nil, err
	}
	for _, v := range verdicts {
		out[v.ID] = true
	}
	return out, nil
}

func (n *Native) holdProposal(tl *state.Timeline) policy.Proposal {
	levels := n.cfg.State.LevelsOf(tl.Present.NEUgKgMin, maintenanceModelMl(tl))
	return policy.Proposal{Name: "current treatment", Direction: policy.DirectionNone, NENowUgKgMin: tl.Present.NEUgKgMin,
		NENextUgKgMin: tl.Present.NEUgKgMin, LevelsNow: levels, LevelsNext: levels}
}

// judge asks the limits and the rules of the present about one draft.
func (s *session) judge(o *Assessed, i int) error {
	d, a := &s.drafts[i], &s.actions[i]
	switch {
	case !d.Selected:
		o.Unjudged = "not among the orders that were asked about"
		return nil
	case d.Unread:
		o.Unjudged = d.Skip
		o.find(SeverityInfo, limitUnread, alternative{plain: "check it without this service"})
		return nil
	case d.Skip != "":
		o.Unjudged = d.Skip
		return nil
	}
	o.Unjudged = a.why
	if d.Whose != "" {
		o.find(SeverityInfo, limitWhose, rightPatient)
	}
	if s.scope == scopeDoseOnly {
		if len(s.decision.Reasons) > 0 {
			o.Unjudged = s.decision.Reasons[0].Text
		}
		if s.decision.Status == Abstain || s.tl.Check(state.CheckAdult).Result != state.CheckAbsent {
			s.doseLimit(o, a)
		}
		return nil
	}
	if a.proposal != nil {
		o.Proposal = a.proposal
		verdicts, err := s.agent.judge.Judge(s.tl, a.proposal, nil)
		if err != nil {
			return err
		}
		s.hear(o, a, verdicts)
	}
	s.limits(o, a, i)
	return nil
}

// hear turns what rules say of an order into findings. What they would also
// say without it, and what bounds only the agent's own suggestions, is left out.
func (s *session) hear(o *Assessed, a *action, verdicts []policy.Verdict) {
	for _, v := range verdicts {
		switch {
		case v.Pack == packLimits, v.ID == ruleVasopressin && s.withVasopressin(), s.holding[v.ID] && v.ID != ruleUntreated, ofKnowledge(v):
			continue
		case v.Effect == policy.NotAssessed, len(v.Missing) > 0, s.scope == scopeLimits && aboutPressure(v):
			if text := notAssessedText(v); !slices.Contains(o.Unclear, text) {
				o.Unclear = append(o.Unclear, text)
			}
			continue
		case slices.ContainsFunc(o.Findings, func(f Finding) bool { return f.Rule.ID == v.ID }):
			continue // asked before and after simulation
		}
		severity := s.severity(a, v)
		if severity == "" {
			if !slices.ContainsFunc(o.Spoke, func(have policy.Verdict) bool { return have.ID == v.ID }) {
				o.Spoke = append(o.Spoke, v)
			}
			continue
		}
		o.find(severity, v, s.instead(a, v.ID))
	}
}

// packLimits is the pack of the hard limits on the agent's own suggestions.
const packLimits = "limits"

// ofKnowledge reports a rule about what the model knows. It says nothing for or
// against an order.
func ofKnowledge(v policy.Verdict) bool {
	return v.ID == ruleOutOfSupport || strings.HasPrefix(v.Strength, "limit of knowledge")
}

// aboutPressure reports a verdict that rests on MAP.
func aboutPressure(v policy.Verdict) bool {
	for name := range v.Values {
		if strings.HasPrefix(name, "map_") {
			return true
		}
	}
	return false
}

// Penalties of rules from which an order is worth a warning, or a word.
const (
	warningPenalty = 0.5
	infoPenalty    = 0.2
)

// severity is the urgency of a rule's verdict on an order. A rule that only
// informs makes no card.
func (s *session) severity(a *action, v policy.Verdict) Severity {
	out := Severity("")
	switch {
	case v.Effect == policy.Block && v.ID == ruleUntreated && a.proposal.Lowers():
		out = SeverityCritical
	case v.Effect == policy.Block && v.ID == ruleUntreated:
		return "" // the patient is in danger, but not by this order: patient-view says so
	case v.Effect == policy.Block, v.Effect == policy.Penalty && v.Penalty >= warningPenalty:
		out = SeverityWarning
	case v.Effect == policy.Penalty && v.Penalty >= infoPenalty, v.Effect == policy.Warning:
		out = SeverityInfo
	}
	return s.tempered(a, v.ID, out)
}

// tempered keeps the check from opposing a first vasopressor below goal (design.md
// 5.9), and from warning about an order that waits for a need. Dopamine is the
// one drug of which another is asked for even then, unless MAP is so low that
// any vasopressor at hand is right.
func (s *session) tempered(a *action, id string, severity Severity) Severity {
	if !severity.Over(SeverityInfo) {
		return severity
	}
	switch {
	case !a.raises():
		return severity
	case s.first(a) && id == ruleFirstLine && a.draft.Drug == state.DrugDopamine && !s.severe():
		return severity
	case s.first(a), a.draft.PRN:
		return SeverityInfo
	}
	return severity
}

// first reports a first vasopressor while MAP is, or may be, below goal.
func (s *session) first(a *action) bool {
	return a.raises() && len(vasopressors(s.tl)) == 0 && s.mayBeLow()
}

// mayBeLow reports that a MAP below goal cannot be ruled out.
func (s *session) mayBeLow() bool {
	m := s.tl.Present.MAP
	if s.scope == scopeLimits || m.Newest == nil {
		return true
	}
	return slices.ContainsFunc([]*state.Reading{m.Newest, m.LastHourMin, m.ArterialNow, m.CuffNow}, func(r *state.Reading) bool {
		return r != nil && r.AgeMin <= policy.MaxMAPAgeMin && r.Value < m.GoalMmHg
	})
}

// severe reports a charted MAP that no vasopressor should wait for.
func (s *session) severe() bool {
	m := s.tl.Present.MAP.Newest
	return m != nil && m.Value < s.agent.cfg.SevereMmHg
}

func (o *Assessed) find(severity Severity, v policy.Verdict, instead alternative) {
	o.Findings = append(o.Findings, Finding{severity, v, instead.plain, instead.dose})
}
