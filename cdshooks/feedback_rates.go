// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: how often cards were accepted and overridden, by topic, unit,
// role and model, counted from the log's index. No body is read, so no comment
// and no chart is.

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sepsisagent/sepsisagent/audit"
)

// Rate counts the calls of one group in which a card was shown. A call without
// feedback is unanswered, which is no rejection: clients never report a card
// that was ignored. Of feedback told several times the last word counts, by the
// time of the outcome. Accepted + Overridden + Unanswered = Shown.
type Rate struct {
	Topic string `json:"topic"`
	Unit  string `json:"unit"`  // hospital unit; "" where the chart names none
	Role  string `json:"role"`  // type of the FHIR resource that the user is, e.g. Practitioner
	Model string `json:"model"` // hash of the model that decided

	Shown      int `json:"shown"`
	Accepted   int `json:"accepted"`
	Overridden int `json:"overridden"`
	Unanswered int `json:"unanswered"`

	// Shares of the calls with feedback, 0 to 1; absent where there was none.
	AcceptedShare   *float64 `json:"acceptedShare,omitempty"`
	OverriddenShare *float64 `json:"overriddenShare,omitempty"`

	OverrideReasons map[string]int `json:"overrideReasons,omitempty"` // by code
}

// Rates counts the decisions that filter selects and the feedback on them,
// whenever it came. Kind, Shown, Limit, After and the order are its own. A call
// with several cards is overridden if any of them was.
func Rates(ctx context.Context, log Log, filter audit.Filter) ([]Rate, error) {
	shown := true
	filter.Kind, filter.Shown = KindDecision, &shown
	groups, of := map[[4]string]*Rate{}, map[string]*Rate{}
	err := everyRow(ctx, log, filter, func(ix audit.Index) {
		role, _, _ := strings.Cut(ix.User, "/")
		key := [4]string{ix.Topic, ix.Unit, role, ix.Model}
		g := groups[key]
		if g == nil {
			g = &Rate{Topic: key[0], Unit: key[1], Role: key[2], Model: key[3]}
			groups[key] = g
		}
		g.Shown++
		of[ix.ID] = g
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
	out := make([]Rate, 0, len(groups))
	for _, g := range groups {
		g.Unanswered = g.Shown - g.Accepted - g.Overridden
		if n := g.Accepted + g.Overridden; n > 0 {
			accepted, overridden := float64(g.Accepted)/float64(n), float64(g.Overridden)/float64(n)
			g.AcceptedShare, g.OverriddenShare = &accepted, &overridden
		}
		out = append(out, *g)
	}
	slices.SortFunc(out, func(a, b Rate) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Unit, b.Unit), cmp.Compare(a.Role, b.Role), cmp.Compare(a.Model, b.Model))
	})
	return out, nil
}

// lastOfEach gives the last word on each card of the decisions that are asked
// for, by decision and card.
func lastOfEach(ctx context.Context, log Log, filter audit.Filter, asked func(decision string) bool) (map[string]map[string]audit.Index, error) {
	last := map[string]map[string]audit.Index{}
	err := everyRow(ctx, log, audit.Filter{Kind: KindFeedback, Client: filter.Client, Since: filter.Since}, func(ix audit.Index) {
		if !asked(ix.Refers) || len(ix.Cards) == 0 {
			return // an orphan, or about a decision that was not asked for
		}
		cards := last[ix.Refers]
		if cards == nil {
			cards = map[string]audit.Index{}
			last[ix.Refers] = cards
		}
		if old, ok := cards[ix.Cards[0]]; !ok || ix.ID > old.ID { // ids begin with the time of the outcome
			cards[ix.Cards[0]] = ix
		}
	})
	return last, err
}

// count adds what was said of the cards of one call.
func (g *Rate) count(cards map[string]audit.Index) {
	overridden := false
	for _, ix := range cards {
		if ix.Outcome != OutcomeOverridden {
			continue
		}
		overridden = true
		for _, code := range ix.Reasons {
			if g.OverrideReasons == nil {
				g.OverrideReasons = map[string]int{}
			}
			g.OverrideReasons[code]++
		}
	}
	if overridden {
		g.Overridden++
	} else {
		g.Accepted++
	}
}

// everyRow walks all pages of a query, oldest first.
func everyRow(ctx context.Context, log Log, f audit.Filter, each func(audit.Index)) error {
	f.OldestFirst, f.Limit, f.After = true, audit.MaxLimit, nil
	for {
		rows, err := log.Query(ctx, f)
		if err != nil {
			return fmt.Errorf("count feedback: %w", err)
		}
		for _, r := range rows {
			each(r.Index)
		}
		if len(rows) < f.Limit {
			return nil
		}
		f.After = &rows[len(rows)-1].Leaf
	}
}
