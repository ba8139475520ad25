// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: how often calls led to a card, and what became of the cards, one
// period after the other.

import (
	"context"
	"slices"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
)

// Period counts the decisions of a stretch of time, and of those with a card
// what became of it, whenever that was said. Groups of Rate are not told apart:
// Topic, Unit, Role and Model are empty.
type Period struct {
	Since      time.Time `json:"since"` // inclusive
	Until      time.Time `json:"until"` // exclusive
	Calls      int       `json:"calls"` // decided, with a card or without
	Abstained  int       `json:"abstained"`
	Suppressed int       `json:"suppressed"` // there was something to show, and it was not shown
	Rate
}

// Trend counts by period. edges are the beginnings of the periods and the end of
// the last, in order. Kind, Shown, Since, Until, Limit, After and the order of
// filter are its own.
func Trend(ctx context.Context, log Log, filter audit.Filter, edges []time.Time) ([]Period, error) {
	if len(edges) < 2 {
		return nil, nil
	}
	out := make([]Period, len(edges)-1)
	for i := range out {
		out[i].Since, out[i].Until = edges[i], edges[i+1]
	}
	filter.Kind, filter.Shown, filter.Since, filter.Until = KindDecision, nil, edges[0], edges[len(edges)-1]
	of := map[string]*Period{}
	err := everyRow(ctx, log, filter, func(ix audit.Index) {
		// The last edge that is not after it.
		i, exact := slices.BinarySearchFunc(edges, ix.Time, time.Time.Compare)
		if !exact {
			i--
		}
		p := &out[i]
		p.Calls++
		if ix.Status == "abstain" {
			p.Abstained++
		}
		if slices.Contains(ix.Reasons, "suppressed") {
			p.Suppressed++
		}
		if ix.Shown {
			p.Shown++
			of[ix.ID] = p
		}
	})
	if err != nil {
		return nil, err
	}
	last, err := lastOfEach(ctx, log, filter, func(decision string) bool { return of[decision] != nil })
	if err != nil {
		return nil, err
	}
	for decision, cards := range last {
		of[decision].count(cards)
	}
	for i := range out {
		out[i].Unanswered = out[i].Shown - out[i].Accepted - out[i].Overridden
	}
	return out, nil
}
