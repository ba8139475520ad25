// SPDX-License-Identifier: Apache-2.0

package audit

// This file: Filter, the questions a log answers.

import (
	"fmt"
	"time"
)

// Bounds of one page of a query.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// Filter selects entries. Empty fields do not select; several fields must all
// hold. The newest entries come first unless OldestFirst is set.
type Filter struct {
	Kind         string    `json:"kind,omitempty"`
	Client       string    `json:"client,omitempty"`
	RequestID    string    `json:"request,omitempty"`
	HookInstance string    `json:"hookInstance,omitempty"`
	Service      string    `json:"service,omitempty"`
	User         string    `json:"user,omitempty"`
	Patient      string    `json:"patient,omitempty"`
	Encounter    string    `json:"encounter,omitempty"`
	Unit         string    `json:"unit,omitempty"`
	Status       string    `json:"status,omitempty"`
	Display      string    `json:"display,omitempty"`
	Topic        string    `json:"topic,omitempty"`
	Model        string    `json:"model,omitempty"`
	RulesHash    string    `json:"ruleshash,omitempty"`
	CodeMaps     string    `json:"codemaps,omitempty"`
	Refers       string    `json:"refers,omitempty"`
	Outcome      string    `json:"outcome,omitempty"`
	Reason       string    `json:"reason,omitempty"`  // one of Index.Reasons
	Reasons      []string  `json:"reasons,omitempty"` // each is one of Index.Reasons
	Drug         string    `json:"drug,omitempty"`    // one of Index.Drugs
	Rule         string    `json:"rule,omitempty"`    // one of Index.Rules
	Card         string    `json:"card,omitempty"`    // one of Index.Cards
	Shown        *bool     `json:"shown,omitempty"`
	Since        time.Time `json:"since,omitzero"` // inclusive
	Until        time.Time `json:"until,omitzero"` // exclusive

	OldestFirst bool   `json:"oldestFirst,omitempty"`
	Limit       int    `json:"limit,omitempty"` // 0: DefaultLimit; at most MaxLimit
	After       *int64 `json:"after,omitempty"` // leaf of the last entry of the page before
}

// Validate checks the filter's bounds. Errors wrap ErrInvalid.
func (f Filter) Validate() error {
	switch {
	case f.Limit < 0 || f.Limit > MaxLimit:
		return fmt.Errorf("%w filter: limit %d, at most %d", ErrInvalid, f.Limit, MaxLimit)
	case !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until):
		return fmt.Errorf("%w filter: since is not before until", ErrInvalid)
	}
	return nil
}

// PageSize is Limit with its default.
func (f Filter) PageSize() int {
	if f.Limit == 0 {
		return DefaultLimit
	}
	return f.Limit
}
