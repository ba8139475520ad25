// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: what the log knows of earlier: cards about the same patient shown
// to the same user, with what became of them, and the call to which a card
// belongs.

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/engine"
)

// maxPrior bounds how many earlier cards one case holds, newest first.
const maxPrior = 50

// prior reads the cards that this user was shown about this patient within
// prior_window, with the user's last word on each, oldest first. What was not
// shown silences nothing and is not read. A call of the same hook instance is
// not a repeat but a client that tries again, and is left out.
func (s *Service) prior(ctx context.Context, at time.Time, m *RequestMeta) ([]engine.Prior, error) {
	defer s.timed(ctx, "prior")()
	if s.Config.PriorWindow == 0 {
		return nil, nil
	}
	shown, since := true, at.Add(-s.Config.PriorWindow)
	rows, err := s.Log.Query(ctx, audit.Filter{
		Kind: KindDecision, Service: m.Service, Client: m.Client, Patient: m.Patient, User: m.User, Shown: &shown, Since: since, Limit: maxPrior,
	})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	said, err := s.Log.Query(ctx, audit.Filter{
		Kind: KindFeedback, Client: m.Client, Patient: m.Patient, User: m.User, Since: since, Limit: audit.MaxLimit,
	})
	if err != nil {
		return nil, err
	}
	words := lastWords(said)
	var out []engine.Prior
	for _, r := range rows {
		ix := r.Index
		if ix.HookInstance == m.HookInstance {
			continue
		}
		out = append(out, engine.Prior{
			// Whole seconds, as the decision time: a card of this very second is
			// not of the future.
			ReceiptID: ix.ID, At: ix.Time.UTC().Truncate(time.Second), User: ix.User, Topic: ix.Topic, Shown: ix.Shown,
			Evidence: ix.Evidence, Outcome: s.outcomeOf(ctx, &ix, words[ix.ID]),
		})
	}
	slices.Reverse(out)
	return out, nil
}

// lastWords gives the outcome that was said last of each card, by decision and
// card. Batches arrive late and in any order, so that the time is the user's,
// with which the ids of feedback begin (feedbackID).
func lastWords(said []audit.Row) map[string]map[string]string {
	last := map[string]map[string]audit.Index{}
	for _, r := range said {
		ix := r.Index
		if len(ix.Cards) != 1 {
			continue // what was said of no card says nothing of one
		}
		if last[ix.Refers] == nil {
			last[ix.Refers] = map[string]audit.Index{}
		}
		if before, ok := last[ix.Refers][ix.Cards[0]]; !ok || ix.ID > before.ID {
			last[ix.Refers][ix.Cards[0]] = ix
		}
	}
	out := make(map[string]map[string]string, len(last))
	for decision, cards := range last {
		out[decision] = make(map[string]string, len(cards))
		for card, ix := range cards {
			out[decision][card] = ix.Outcome
		}
	}
	return out
}

// outcomeOf is what became of a whole answer: overridden where each of its
// cards was. An order check has a card for each order, and an override of one
// says nothing of the others. An answer whose cards are no longer to be had was
// not overridden: it is shown again rather than silenced.
func (s *Service) outcomeOf(ctx context.Context, decision *audit.Index, words map[string]string) string {
	outcome := ""
	for _, card := range slices.Sorted(maps.Keys(words)) {
		if outcome = words[card]; outcome != OutcomeOverridden {
			return outcome
		}
	}
	if outcome == OutcomeOverridden && decision.Topic == engine.TopicOrder && !s.allIn(ctx, decision.ID, words) {
		return ""
	}
	return outcome
}

// allIn reports that every card of an answer is in words.
func (s *Service) allIn(ctx context.Context, decision string, words map[string]string) bool {
	row, err := s.Log.Get(ctx, decision)
	if err != nil {
		return false
	}
	record, err := DecodeRecord(row.Body)
	if err != nil {
		return false // erased, or of another form
	}
	var sent Response
	if json.Unmarshal(record.Response, &sent) != nil {
		return false
	}
	return !slices.ContainsFunc(sent.Cards, func(c Card) bool { return words[c.UUID] == "" })
}

// cardOwner finds the decision of a service that sent a card to this client, or
// nil.
func (s *Service) cardOwner(ctx context.Context, client, service, card string) (*audit.Index, error) {
	rows, err := s.Log.Query(ctx, audit.Filter{Kind: KindDecision, Client: client, Service: service, Card: card, Limit: 1})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0].Index, nil
}
