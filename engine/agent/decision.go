// SPDX-License-Identifier: Apache-2.0

package agent

// This file: Decision, the outcome of propose, simulate, refine, gate.

import (
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

// Status is how a decision ended.
type Status string

// The four endings (design.md 4).
const (
	Suggest       Status = "suggest"
	Affirm        Status = "affirm"
	Abstain       Status = "abstain"
	NotApplicable Status = "not-applicable"
)

// Reason says why a decision abstained or did not apply. Code is stable, Text
// is for people and always true of the chart.
type Reason struct {
	Code string `json:"code"` // e.g. "stale-map", "vasopressor-unknown", "not-adult"
	Text string `json:"text"`
}

// VasopressorAdvice is a direction with bounds, never a bare dose (design.md 5.2).
type VasopressorAdvice struct {
	Direction        string     `json:"direction"` // "start","increase","decrease","stop","hold","add-vasopressin"
	Drug             state.Drug `json:"drug"`
	GoalMmHg         float64    `json:"goal"`
	FromUgKgMin      float64    `json:"from"` // the drug's own running rate
	FirstStepUgKgMin float64    `json:"step"` // signed change, |step| <= 0.05; 0 when the advice is another agent
	ToUgKgMin        float64    `json:"to"`
	CeilingUgKgMin   float64    `json:"ceiling"`
	UMin             float64    `json:"umin,omitempty"` // vasopressin, U/min
	RecheckMin       int        `json:"recheck"`
}

// FluidAdvice is one bolus with stop criteria (design.md 5.3).
type FluidAdvice struct {
	BolusMl      float64  `json:"bolus"` // 250..500
	Kind         string   `json:"kind"`  // "balanced crystalloid"
	OverMin      int      `json:"over"`
	StopCriteria []string `json:"stop"`
	MlPerKg      float64  `json:"mlkg,omitempty"` // only where weight is sound
	WeightBasis  string   `json:"basis,omitempty"`
}

// Advice is what a card suggests. A nil part means no change is suggested.
type Advice struct {
	Vasopressor *VasopressorAdvice `json:"vasopressor,omitempty"`
	Fluid       *FluidAdvice       `json:"fluid,omitempty"`
	Recheck     []string           `json:"recheck,omitempty"` // e.g. "repeat lactate"
}

// Option is one candidate with its simulated future.
type Option struct {
	Role     string             `json:"role"`   // "current","suggested","alternative","considered"
	Source   string             `json:"source"` // who proposed it: SourceCurrent and the others
	Proposal policy.Proposal    `json:"proposal"`
	Advice   Advice             `json:"advice"`
	Forecast world.Forecast     `json:"forecast"`
	Value    float64            `json:"value"` // risk-adjusted, higher is better
	Parts    map[string]float64 `json:"parts"` // what the value is made of
	Verdicts []policy.Verdict   `json:"verdicts,omitempty"`
	Blocked  bool               `json:"blocked,omitempty"`
	Why      string             `json:"why,omitempty"` // why not chosen, in words made from the numbers
}

// Learned is what the actor makes of a state, against the levels that go on as
// they are: its chances of less and of more vasopressor, and of more fluid.
type Learned struct {
	LessVasopressor float64 `json:"less"`
	MoreVasopressor float64 `json:"more"`
	MoreFluid       float64 `json:"fluid"`
}

// Decision is the outcome. It is complete: a card is rendered from it and from
// the Timeline alone.
type Decision struct {
	Status    Status           `json:"status"`
	Reasons   []Reason         `json:"reasons,omitempty"`
	Hazards   []policy.Verdict `json:"hazards,omitempty"` // no-dose dangers, shown even on abstain (design.md 5.7)
	Advice    Advice           `json:"advice"`
	LevelsNow state.Levels     `json:"levelsnow"`
	Levels    state.Levels     `json:"levels"` // of the suggested plan's first step
	Options   []Option         `json:"options,omitempty"`
	Verdicts  []policy.Verdict `json:"verdicts,omitempty"` // on the chart and on the chosen option
	// Conflicts are pairs of rules that both spoke, on the chart or on any
	// option, and pull in different directions.
	Conflicts   []policy.Conflict `json:"conflicts,omitempty"`
	Explanation []string          `json:"explanation,omitempty"`
	NotAssessed []string          `json:"notassessed,omitempty"`
	Missing     []string          `json:"missing,omitempty"`
	Proposer    string            `json:"proposer"`          // who chose: "native" or "llm"
	Actor       string            `json:"actor,omitempty"`   // hash of the learned policy that proposed too; empty: guideline moves alone
	Learned     *Learned          `json:"learned,omitempty"` // what that policy makes of the state; nil where it was not asked
	Rounds      []Round           `json:"rounds,omitempty"`  // of proposing and simulating, in order
	// Consulted says that somebody else was to choose, and what came of it.
	Consulted *Consultation `json:"consulted,omitempty"`
}
