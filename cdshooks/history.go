// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: what the log knows of earlier: cards about the same patient shown
// to the same user, with what became of them, and the call to which a card
// belongs.

import (
	"context"
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
	outcome := lastWords(said)
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
			Evidence: ix.Evidence, Outcome: outcome[ix.ID],
		})
	}
	slices.Reverse(out)
	return out, nil
}

// lastWords gives the outcome that was said last of each decision. Batches
// arrive late and in any order, so that the time is the user's, with which the
// ids of feedback begin (feedbackID).
func lastWords(said []audit.Row) map[string]string {
	last := map[string]audit.Index{}
	for _, r := range said {
		if before, ok := last[r.Index.Refers]; !ok || r.Index.ID > before.ID {
			last[r.Index.Refers] = r.Index
		}
	}
	out := make(map[string]string, len(last))
	for decision, ix := range last {
		out[decision] = ix.Outcome
	}
	return out
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
