// SPDX-License-Identifier: Apache-2.0

package audit

// This file: Entry, what is put into the log. audit knows nothing of medicine:
// it stores bytes and the fields by which they can be found.

import "time"

// Index is the searchable side of an entry. Empty fields are not indexed.
type Index struct {
	ID           string    `json:"id"`   // receipt id, UUID v7, unique
	Time         time.Time `json:"time"` // wall clock, UTC
	Kind         string    `json:"kind"` // "decision","feedback","refusal","failure","config","read","erasure","hold","key"
	Client       string    `json:"client,omitempty"`
	RequestID    string    `json:"request,omitempty"`
	HookInstance string    `json:"hookInstance,omitempty"`
	Service      string    `json:"service,omitempty"`
	User         string    `json:"user,omitempty"`
	Patient      string    `json:"patient,omitempty"`
	Encounter    string    `json:"encounter,omitempty"`
	Unit         string    `json:"unit,omitempty"`
	Status       string    `json:"status,omitempty"` // decision status
	HTTP         int       `json:"http,omitempty"`
	Display      string    `json:"display,omitempty"`
	Topic        string    `json:"topic,omitempty"`
	Shown        bool      `json:"shown,omitempty"`
	Evidence     string    `json:"evidence,omitempty"`
	Reasons      []string  `json:"reasons,omitempty"`
	Drugs        []string  `json:"drugs,omitempty"`
	Rules        []string  `json:"rules,omitempty"`
	Cards        []string  `json:"cards,omitempty"` // card and suggestion uuids
	Model        string    `json:"model,omitempty"`
	RulesHash    string    `json:"ruleshash,omitempty"`
	CodeMaps     string    `json:"codemaps,omitempty"`
	Refers       string    `json:"refers,omitempty"`  // feedback: id of the decision; suppressed decision: of the card that stands
	Outcome      string    `json:"outcome,omitempty"` // feedback outcome
}

// Entry is one record to append. Salt makes the hash of an erased body reveal
// nothing; it is a recorded input. Body is opaque.
type Entry struct {
	Index Index  `json:"index"`
	Salt  []byte `json:"salt"`
	Body  []byte `json:"body"`
}

// Appended says where an entry went. When Append returns it, the row, its
// Merkle nodes and the signed checkpoint are durable.
type Appended struct {
	ID         string `json:"id"`
	Leaf       int64  `json:"leaf"` // 0-based leaf index
	LeafHash   string `json:"leafHash"`
	Size       int64  `json:"size"`
	Root       string `json:"root"`
	Checkpoint string `json:"checkpoint"`
}
