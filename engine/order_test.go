// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

// assessing answers every order check with the same assessment.
type assessing struct{ answer agent.Assessment }

func (a assessing) Decide(context.Context, *state.Timeline, uint64) (agent.Decision, error) {
	return a.answer.Decision, nil
}
func (assessing) Model() world.Info { return world.Info{} }
func (a assessing) Assess(context.Context, *state.Timeline, []state.Draft) (agent.Assessment, error) {
	return a.answer, nil
}

func TestAnOrderCheckThatBreaksAnInvariantIsAnError(t *testing.T) {
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	tl := &state.Timeline{At: at, Present: state.Present{MAP: state.Pressure{GoalMmHg: 65, Newest: &state.Reading{Value: 55, At: at}}}}
	finding := func(severity agent.Severity, text, instead string) agent.Finding {
		return agent.Finding{Severity: severity, Alternative: instead, Rule: policy.Verdict{ID: "X", Text: text, Effect: policy.Block}}
	}
	selected := state.Draft{ID: "MedicationRequest/1", Selected: true, Drug: state.DrugNorepinephrine}
	start := &policy.Proposal{Direction: policy.DirectionStart, Drug: state.DrugNorepinephrine}
	for name, w := range map[string]struct {
		order agent.Assessed
		sound bool
	}{
		"a warning with an alternative":        {agent.Assessed{Draft: selected, Findings: []agent.Finding{finding(agent.SeverityWarning, "t", "a")}}, true},
		"information on a first vasopressor":   {agent.Assessed{Draft: selected, Proposal: start, Findings: []agent.Finding{finding(agent.SeverityInfo, "t", "a")}}, true},
		"a first vasopressor is opposed":       {agent.Assessed{Draft: selected, Proposal: start, Findings: []agent.Finding{finding(agent.SeverityWarning, "t", "a")}}, false},
		"a warning without an alternative":     {agent.Assessed{Draft: selected, Findings: []agent.Finding{finding(agent.SeverityWarning, "t", "")}}, false},
		"a finding without words":              {agent.Assessed{Draft: selected, Findings: []agent.Finding{finding(agent.SeverityInfo, "", "a")}}, false},
		"an urgency nobody knows":              {agent.Assessed{Draft: selected, Findings: []agent.Finding{finding("loud", "t", "a")}}, false},
		"an order that nobody asked about":     {agent.Assessed{Draft: state.Draft{ID: "MedicationRequest/2"}, Findings: []agent.Finding{finding(agent.SeverityInfo, "t", "a")}}, false},
		"nothing to say about an order at all": {agent.Assessed{Draft: selected}, true},
	} {
		answer := agent.Assessment{
			Decision: agent.Decision{Status: agent.Abstain, Reasons: []agent.Reason{{Code: "c", Text: "t"}}}, Orders: []agent.Assessed{w.order},
		}
		d, err := New(assessing{answer}, Hashes{}, DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		c := Case{Timeline: tl, Now: at, ID: "1", User: "Practitioner/1", Display: DisplaySuggest, Ordering: &Ordering{Hook: "order-sign", Records: make([]state.Drafted, 1), Drafts: []state.Draft{selected}}}
		out, err := d.Decide(t.Context(), c)
		if w.sound != (err == nil) || !w.sound && !errors.Is(err, ErrUnsound) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && out.Show != (len(w.order.Findings) > 0) {
			t.Errorf("%s: shown %v", name, out.Show)
		}
		c.Ordering.Drafts = nil
		if _, err := d.Decide(t.Context(), c); !errors.Is(err, ErrCase) {
			t.Errorf("records that nobody mapped: %v", err)
		}
	}
}
