// SPDX-License-Identifier: Apache-2.0

package engine

// This file: the order check as a case: what an order hook asks about, the
// decision on it, and whether it is shown.

import (
	"context"
	"fmt"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/policy"
)

// TopicOrder is the topic of every order check. Its cards have narrower ones.
const TopicOrder = "order"

// Ordering is what an order hook asks about: the drafted orders as received,
// from which Drafts are mapped again in a replay.
type Ordering struct {
	Hook       string          `json:"hook"`                 // order-select or order-sign
	Selections []string        `json:"selections,omitempty"` // Type/id of the orders asked about; empty: all
	Records    []state.Drafted `json:"records,omitempty"`    // medication orders as received
	Others     map[string]int  `json:"others,omitempty"`     // entries of other types, which are not judged
	// Drafts are what Records mean, one for each. Whoever makes a case maps them.
	Drafts []state.Draft `json:"-"`
}

// asked gives the drafts with those marked that the hook asks about.
func (o *Ordering) asked() []state.Draft {
	out := slices.Clone(o.Drafts)
	for i := range out {
		out[i].Selected = len(o.Selections) == 0 || slices.Contains(o.Selections, out[i].ID)
	}
	return out
}

// Assessor is an Agent that can judge drafted orders. agent.Native is one.
type Assessor interface {
	Assess(ctx context.Context, tl *state.Timeline, drafts []state.Draft) (agent.Assessment, error)
}

var _ Assessor = (*agent.Native)(nil)

// check judges the drafted orders of a case. A language model is not asked: an
// order waits for the answer, and the rules do not need one.
func (d *Decider) check(ctx context.Context, c *Case) (Outcome, error) {
	assessor, ok := d.agent.(Assessor)
	if !ok {
		return Outcome{}, fmt.Errorf("%w: this agent cannot judge orders", ErrConfig)
	}
	if len(c.Ordering.Drafts) != len(c.Ordering.Records) {
		return Outcome{}, fmt.Errorf("%w: %d drafts of %d records", ErrCase, len(c.Ordering.Drafts), len(c.Ordering.Records))
	}
	got, err := assessor.Assess(ctx, c.Timeline, c.Ordering.asked())
	if err != nil {
		return Outcome{}, err
	}
	if err := ctx.Err(); err != nil {
		return Outcome{}, fmt.Errorf("decide: %w", err)
	}
	if err := sound(c.Timeline, &got.Decision); err != nil {
		return Outcome{}, err
	}
	if err := soundOrders(c.Timeline, got.Orders); err != nil {
		return Outcome{}, err
	}
	out := Outcome{Decision: got.Decision, Orders: got.Orders, Topic: TopicOrder}
	e, err := orderEvidence(c, &out)
	if err != nil {
		return Outcome{}, err
	}
	out.Evidence = e.String()
	out.Show, out.Suppressed, out.Refers = d.showOrders(c, &out, e)
	return out, nil
}

// soundOrders checks the invariants of every order check, whatever agent made
// it (design.md 5.9).
func soundOrders(tl *state.Timeline, orders []agent.Assessed) error {
	m := tl.Present.MAP.Newest
	for i := range orders {
		o := &orders[i]
		for _, f := range o.Findings {
			bad := func(what string) error {
				return fmt.Errorf("%w: %s of an order of %s: %s", ErrUnsound, f.Rule.ID, o.Draft.Drug, what)
			}
			switch {
			case !slices.Contains([]agent.Severity{agent.SeverityInfo, agent.SeverityWarning, agent.SeverityCritical}, f.Severity):
				return bad(fmt.Sprintf("severity %q", f.Severity))
			case f.Rule.Text == "" || f.Alternative == "":
				return bad("without a text or an alternative")
			case !o.Draft.Selected:
				return bad("it was not asked about")
			}
			p := o.Proposal
			first := p != nil && p.Direction == policy.DirectionStart && p.Drug == state.DrugNorepinephrine && m != nil && m.Value < tl.Present.MAP.GoalMmHg
			if first && f.Rule.Pack != agent.PackOrderLimits && f.Severity.Over(agent.SeverityInfo) {
				return bad("opposes a first vasopressor below goal")
			}
		}
	}
	return nil
}

// orderEvidence is what an order check rests on. The orders and what was found
// are among the facts: another order is never a repeat.
func orderEvidence(c *Case, out *Outcome) (*evidence, error) {
	e, err := evidenceOf(c, &out.Decision)
	if err != nil {
		return nil, err
	}
	type found struct {
		Drug            state.Drug
		Does            string
		Rate, High, Ml  float64
		Unit, Name, Why string
		Rules           []string
	}
	var all []found
	for i := range out.Orders {
		o := &out.Orders[i]
		if !o.Draft.Selected {
			continue
		}
		f := found{Drug: o.Draft.Drug, Does: o.Draft.Does, Rate: o.Draft.Rate, High: o.Draft.RateHigh, Ml: o.Draft.AmountMl, Unit: o.Draft.RateUnit, Name: o.Draft.Name, Why: o.Draft.Skip}
		for _, r := range o.Findings {
			f.Rules = append(f.Rules, r.Rule.ID+" "+string(r.Severity))
		}
		all = append(all, f)
	}
	if e.facts, err = digestOf([]any{e.facts, all}); err != nil {
		return nil, err
	}
	return e, nil
}

// showOrders decides whether cards are returned. A warning that comes from an
// order limit or a blocking rule, and whatever is critical, is never a repeat.
func (d *Decider) showOrders(c *Case, out *Outcome, e *evidence) (show bool, suppressed, refers string) {
	said, hard := false, false
	for i := range out.Orders {
		for _, f := range out.Orders[i].Findings {
			said = true
			hard = hard || f.Severity == agent.SeverityCritical ||
				f.Severity == agent.SeverityWarning && (f.Rule.Pack == agent.PackOrderLimits || f.Rule.Effect == policy.Block)
		}
	}
	if !said {
		return false, "", ""
	}
	return d.pass(c, out.Topic, e, hard)
}
