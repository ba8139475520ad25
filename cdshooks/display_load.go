// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: reading back from the log what the display was before a restart.

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
)

// maxLoaded is how many of the newest comparisons of a client are read back.
// Evidence from before is forgotten, which makes no alarm more likely.
const maxLoaded = 2 * audit.MaxLimit

// Load reads back the recorded state of the kill switch, of the validation and
// of every place. It writes nothing.
func (s *Service) Load(ctx context.Context) error {
	st := s.shown
	st.mu.Lock()
	defer st.mu.Unlock()
	// What comes after is heard, once, and not loaded.
	newest, err := s.Log.Query(ctx, audit.Filter{Limit: 1})
	if err != nil {
		return err
	}
	for _, row := range newest {
		st.heard[KindDisplay], st.heard[KindCalibration] = row.Leaf, row.Leaf
	}
	if last, err := s.lastChange(ctx, ChangeKillSwitch); err != nil {
		return err
	} else if last != nil {
		st.killed = last.Status == stateOn
		st.thrown = st.killed // if it is no longer there, look says so in the log
	}
	if last, err := s.lastChange(ctx, ChangeValidation); err != nil {
		return err
	} else if last != nil {
		code := last.Status
		if code == stateInForce {
			code = ""
		}
		st.validation = code + " " + last.Evidence
	}
	for _, c := range s.Trust.Clients() {
		if err := s.loadDrift(ctx, c); err != nil {
			return err
		}
		if err := s.loadOutcomes(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// lastChange is the newest change of a thing, nil without one.
func (s *Service) lastChange(ctx context.Context, what string) (*audit.Index, error) {
	rows, err := s.Log.Query(ctx, audit.Filter{Kind: KindDisplay, Reason: what, Limit: 1})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0].Index, nil
}

// loadDrift reads which places of a client have drifted with this model.
func (s *Service) loadDrift(ctx context.Context, c *trust.Client) error {
	rows, err := s.Log.Query(ctx, audit.Filter{Kind: KindDisplay, Reason: ChangeDrift, Client: c.Name, Model: s.Hashes.Model, Limit: audit.MaxLimit})
	if err != nil {
		return err
	}
	for _, row := range slices.Backward(rows) { // oldest first: the last word stands
		if row.Leaf > s.shown.heard[KindDisplay] {
			continue
		}
		w := s.shown.places[placeOf(c, row.Index.Unit)]
		if row.Index.Status == stateOn {
			w.drifted = row.Index.Time
		} else {
			*w = watched{since: row.Index.Time}
		}
	}
	return nil
}

// loadOutcomes adds up the newest comparisons of a client again.
func (s *Service) loadOutcomes(ctx context.Context, c *trust.Client) error {
	filter := audit.Filter{Kind: KindCalibration, Client: c.Name, Model: s.Hashes.Model, Limit: audit.MaxLimit}
	var rows []audit.Row
	for len(rows) < maxLoaded {
		page, err := s.Log.Query(ctx, filter)
		if err != nil {
			return err
		}
		rows = append(rows, page...)
		if len(page) < audit.MaxLimit {
			break
		}
		filter.After = &page[len(page)-1].Leaf
	}
	for _, row := range slices.Backward(rows) {
		if row.Leaf > s.shown.heard[KindCalibration] {
			continue
		}
		w := s.shown.places[placeOf(c, row.Index.Unit)]
		if row.Index.Time.Before(w.since) {
			continue
		}
		comparison, err := s.comparison(ctx, row.Index.ID)
		if err != nil {
			return err
		}
		w.detector.Add(comparison.outcome())
		if w.drifted.IsZero() && w.detector.Evidence() >= float64(s.Config.Drift.FalseAlarm) {
			w.drifted = row.Index.Time
		}
	}
	return nil
}

// comparison reads a recorded comparison.
func (s *Service) comparison(ctx context.Context, id string) (*Comparison, error) {
	stored, err := s.Log.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	var c Comparison
	if err := json.Unmarshal(stored.Body, &c); err != nil || c.Schema != ComparisonSchema {
		return nil, fmt.Errorf("%w: entry %s is no comparison", ErrRecord, id)
	}
	return &c, nil
}
