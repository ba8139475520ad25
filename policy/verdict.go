// SPDX-License-Identifier: Apache-2.0

package policy

// This file: what rules are asked and what they answer.

import (
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// Effect says what a rule does to a proposal.
type Effect string

// The effects, strongest first.
const (
	Block   Effect = "block"       // the proposal must not be made
	Penalty Effect = "penalty"     // the proposal costs Verdict.Penalty in the agent's value
	Warning Effect = "warning"     // shown; changes nothing
	Info    Effect = "information" // shown; changes nothing

	// NotAssessed is the effect of a verdict whose rule could not be evaluated
	// because a fact it needs is unknown. Verdict.Missing names the facts.
	NotAssessed Effect = "not assessed"
)

// Proposal is one candidate treatment as a rule sees it: the plan plus the
// bedside change it stands for. NENow and NENext are norepinephrine-equivalents
// of all agents together; DrugNow and DrugNext are the changed drug's own rate
// and are what hard limits bound.
type Proposal struct {
	Name            string  `json:"name"`
	NENowUgKgMin    float64 `json:"nenow"`             // running at T
	NENextUgKgMin   float64 `json:"nenext"`            // after the first step of the change
	DrugNowUgKgMin  float64 `json:"drugnow,omitempty"` // own rate of Drug at T; 0 for vasopressin
	DrugNextUgKgMin float64 `json:"drugnext,omitempty"`
	VasopressinUMin float64 `json:"vasopressin,omitempty"` // rate after the change, when Drug is vasopressin

	Drug       state.Drug   `json:"drug"`      // drug that is changed; empty when none
	Direction  string       `json:"dir"`       // "none","start","increase","decrease","stop","add"
	BolusMl    float64      `json:"bolus"`     // suggested bolus; 0 none
	FluidKind  string       `json:"fluidkind"` // e.g. "balanced crystalloid"
	LevelsNow  state.Levels `json:"levelsnow"`
	LevelsNext state.Levels `json:"levelsnext"`
}

// Verdict is what one rule says.
type Verdict struct {
	ID       string             `json:"id"`   // e.g. "V8"
	Pack     string             `json:"pack"` // pack id@version
	Text     string             `json:"text"`
	Effect   Effect             `json:"effect"`
	Penalty  float64            `json:"penalty,omitempty"`
	Strength string             `json:"strength"`
	Certain  string             `json:"certainty,omitempty"` // certainty of the evidence behind the rule
	Source   string             `json:"source"`
	When     string             `json:"when"`              // WhenPresent or WhenForecast
	Values   map[string]float64 `json:"values,omitempty"`  // the values that made it true
	Missing  []string           `json:"missing,omitempty"` // facts without which it could not be assessed
	Hazard   bool               `json:"hazard,omitempty"`  // a danger shown even on abstain (V11), never suppressed
	Because  []Because          `json:"because,omitempty"` // the sub-expressions that made it true, in the order written
	Opposes  []Opposition       `json:"opposes,omitempty"` // rules that pull the other way; see Conflicts
}

// Judge evaluates rules. tl is never nil. p nil: rules about the chart alone.
// fc nil: the present; non-nil: the simulated future of p. The result is
// sorted by rule id. An error (e.g. cost limit) means no verdict: fail closed.
type Judge interface {
	Judge(tl *state.Timeline, p *Proposal, fc *world.Forecast) ([]Verdict, error)
	Hash() string
}
