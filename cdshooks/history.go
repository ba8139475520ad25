// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: what the log knows of earlier: decisions about the same patient
// shown to the same user, with what became of them, and the call to which a
// card belongs.

import (
	"context"
	"slices"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/engine"
)

// maxPrior bounds how many earlier decisions one case holds.
const maxPrior = 50

// prior reads the earlier decisions that matter for the suppression of
// repeats, oldest first. A call of the same hook instance is not a repeat but
// a client that tries again, and is left out.
func (s *Service) prior(ctx context.Context, client string, req *Request) ([]engine.Prior, error) {
	defer s.metrics.timed("prior")()
	if s.Config.PriorWindow == 0 {
		return nil, nil
	}
	since := s.Now().Add(-s.Config.PriorWindow)
	rows, err := s.Log.Query(ctx, audit.Filter{
		Kind: KindDecision, Client: client, Patient: req.Context.PatientID, User: req.Context.UserID, Since: since, Limit: maxPrior,
	})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	said, err := s.Log.Query(ctx, audit.Filter{
		Kind: KindFeedback, Client: client, Patient: req.Context.PatientID, Since: since, Limit: audit.MaxLimit, OldestFirst: true,
	})
	if err != nil {
		return nil, err
	}
	outcome := map[string]string{}
	for _, r := range said {
		outcome[r.Index.Refers] = r.Index.Outcome
	}
	var out []engine.Prior
	for _, r := range rows {
		ix := r.Index
		if ix.HookInstance == req.HookInstance {
			continue
		}
		out = append(out, engine.Prior{
			ReceiptID: ix.ID, At: ix.Time.UTC(), User: ix.User, Topic: ix.Topic, Shown: ix.Shown, Evidence: ix.Evidence, Outcome: outcome[ix.ID],
		})
	}
	slices.Reverse(out)
	return out, nil
}

// cardOwner finds the decision that sent a card to this client, or nil.
func (s *Service) cardOwner(ctx context.Context, client, card string) (*audit.Index, error) {
	rows, err := s.Log.Query(ctx, audit.Filter{Kind: KindDecision, Client: client, Card: card, Limit: 1})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0].Index, nil
}
