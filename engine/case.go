// SPDX-License-Identifier: Apache-2.0

package engine

// This file: Case, everything one decision may read, and the Receipt it leaves.

import (
	"time"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// Prior is an earlier decision about the same patient, with what became of its
// card, as the audit log has it.
type Prior struct {
	ReceiptID string    `json:"receipt"`
	At        time.Time `json:"at"`
	User      string    `json:"user"`
	Topic     string    `json:"topic"`
	Shown     bool      `json:"shown"`             // a card was returned
	Evidence  string    `json:"evidence"`          // what it rested on (Outcome.Evidence)
	Outcome   string    `json:"outcome,omitempty"` // the user's last word: "accepted", OutcomeOverridden, or empty
}

// Case is the whole input of a decision. Decide is a pure function of it and
// of the model, rules and configuration named by their hashes.
type Case struct {
	Timeline *state.Timeline `json:"timeline"`
	Now      time.Time       `json:"now"`
	Seed     uint64          `json:"seed"`
	ID       string          `json:"id"`               // decision id, recorded input
	Client   string          `json:"client,omitempty"` // registered name of the calling EHR; its ids are its own
	User     string          `json:"user"`             // Type/id of the hook's user
	Role     string          `json:"role,omitempty"`
	Display  string          `json:"display"` // "silent","inform","suggest"
	Prior    []Prior         `json:"prior,omitempty"`
	Ordering *Ordering       `json:"ordering,omitempty"` // of an order hook; nil: patient-view
	// Transcript is a recorded conversation with a language model. With it the
	// model is not asked again: its answers are these.
	Transcript *agent.Transcript `json:"transcript,omitempty"`
}

// Hashes name what a decision was made with.
type Hashes struct {
	Build    string `json:"build"`
	Model    string `json:"model"`
	Rules    string `json:"rules"`
	CodeMaps string `json:"codemaps"`
	Config   string `json:"config"`
	Actor    string `json:"actor,omitempty"`   // of the learned policy that proposes too; empty: guideline moves alone
	Prompts  string `json:"prompts,omitempty"` // of a language model's prompt templates; empty without one
}

// Outcome is a decision with what is to be done about it.
type Outcome struct {
	Decision   agent.Decision   `json:"decision"`
	Orders     []agent.Assessed `json:"orders,omitempty"`     // of an order hook: each draft with what was found
	Show       bool             `json:"show"`                 // a card is to be returned
	Suppressed string           `json:"suppressed,omitempty"` // why not, when it otherwise would
	Refers     string           `json:"refers,omitempty"`     // the receipt of the card that silences this one
	Topic      string           `json:"topic"`
	Evidence   string           `json:"evidence"` // what it rests on, to be compared with later ones (repeat.go)
	// Transcript is the conversation with a language model, where one was to
	// choose. Receipt puts it into the recorded case.
	Transcript *agent.Transcript `json:"-"`
}

// Receipt is the self-contained record of one decision: with it and the named
// model, rules and configuration the decision can be made again.
type Receipt struct {
	Schema         string         `json:"schema"` // "sepsisagent.receipt/1"
	ID             string         `json:"id"`
	Hashes         Hashes         `json:"hashes"`
	Model          world.Info     `json:"model"`
	Person         state.Person   `json:"person"`
	Stay           state.Stay     `json:"stay"` // outcomes removed
	Gaps           []state.Gap    `json:"gaps,omitempty"`
	Tally          state.Tally    `json:"tally"`
	Rejects        []state.Reject `json:"rejects,omitempty"`
	Records        []state.Record `json:"records"`        // as received, of the used events
	Case           Case           `json:"case"`           // with Timeline nil: it is built again from Records
	At             time.Time      `json:"at"`             // decision time T of the timeline
	TimelineDigest string         `json:"timelinedigest"` // SHA-256 of the canonical timeline
	Outcome        Outcome        `json:"outcome"`
}
