// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: how often calls led to a card, and what became of the cards, one
// period after the other.

import (
	"cmp"
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

// Trend counts by period, and for the whole time by group as Rates does. edges are
// the beginnings of the periods and the end of the last, in order. Kind, Shown,
// Since, Until, Limit, After and the order of filter are its own.
// Errors: audit.ErrInvalid.
func Trend(ctx context.Context, log Counts, filter audit.Filter, edges []time.Time) ([]Period, []Rate, error) {
	if len(edges) < 2 {
		return nil, nil, nil
	}
	b := newBurden(make([]Period, len(edges)-1))
	for i := range b.periods {
		b.periods[i].Since, b.periods[i].Until = edges[i], edges[i+1]
	}
	filter.Since, filter.Until = edges[0], edges[len(edges)-1]
	if err := b.count(ctx, log, filter); err != nil {
		return nil, nil, err
	}
	for i := range b.periods {
		p := &b.periods[i]
		p.Unanswered = p.Shown - p.Accepted - p.Overridden
	}
	return b.periods, b.rates(), nil
}

// period counts a decision in the period that it falls into. Most fall into that of
// the decision before.
func (b *burden) period(c *audit.Counted) int32 {
	if c.TimeNs < b.from || c.TimeNs >= b.to {
		i, exact := slices.BinarySearchFunc(b.periods, c.TimeNs, func(p Period, ns int64) int { return cmp.Compare(p.Since.UnixNano(), ns) })
		if !exact {
			i--
		}
		b.now = int32(i)
		b.from, b.to = b.periods[i].Since.UnixNano(), b.periods[i].Until.UnixNano()
	}
	p := &b.periods[b.now]
	p.Calls++
	if c.Status == "abstain" {
		p.Abstained++
	}
	if slices.Contains(c.Reasons, "suppressed") {
		p.Suppressed++
	}
	if c.Shown {
		p.Shown++
	}
	return b.now
}
