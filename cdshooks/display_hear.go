// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: what other replicas on the same log have recorded of the display
// since this one looked last. The log is all that replicas share. The last word
// in it about the kill switch counts everywhere, and a replica whose own switch
// is still thrown says so again; comparisons of all replicas are one evidence,
// and a drift that one has found is one of all.

import (
	"context"
	"slices"

	"go.uber.org/zap"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
)

// killedElsewhere tells whether the last word in the log is that the kill switch
// is thrown, which it is not here.
func (s *Service) killedElsewhere() bool {
	st := s.shown
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.killed && !st.thrown
}

// hear reads what others have recorded. What cannot be read now is read at the
// next look.
func (s *Service) hear(ctx context.Context) {
	for _, kind := range []string{KindDisplay, KindCalibration} {
		if err := s.hearOf(ctx, kind); err != nil && ctx.Err() == nil {
			s.Logger.Warn("what other replicas recorded of the display could not be read", zap.String("kind", kind), zap.Error(err))
		}
	}
	st := s.shown
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.thrown && !st.killed && s.switchThrown() {
		operator, note := readSwitch(s.Config.KillSwitchFile)
		s.changed(ctx, DisplayChange{What: ChangeKillSwitch, State: stateOn, Why: "taken back at another replica, and still thrown at this one", Operator: operator, Note: note})
		st.killed = true
	}
}

// hearOf reads the new entries of a kind, in the order of the log.
func (s *Service) hearOf(ctx context.Context, kind string) error {
	clients := map[string]*trust.Client{}
	for _, c := range s.Trust.Clients() {
		clients[c.Name] = c
	}
	st := s.shown
	st.mu.Lock()
	after := st.heard[kind]
	st.mu.Unlock()
	for {
		rows, err := s.Log.Query(ctx, audit.Filter{Kind: kind, OldestFirst: true, After: &after, Limit: audit.MaxLimit})
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := s.hearOne(ctx, kind, row, clients[row.Index.Client]); err != nil {
				return err
			}
			after = row.Leaf
		}
		if len(rows) < audit.MaxLimit {
			return nil
		}
	}
}

// hearOne takes in one entry. client is nil where it is of none that is
// registered here.
func (s *Service) hearOne(ctx context.Context, kind string, row audit.Row, client *trust.Client) error {
	st := s.shown
	st.mu.Lock()
	defer st.mu.Unlock()
	ours := client != nil && row.Index.Model == s.Hashes.Model
	_, own := st.own[row.Index.ID]
	delete(st.own, row.Index.ID)
	switch is := func(what string) bool { return kind == KindDisplay && slices.Contains(row.Index.Reasons, what) }; {
	case is(ChangeKillSwitch):
		st.killed = row.Index.Status == stateOn // our own words too: their order is that of the log
	case own: // it has had its effect
	case kind == KindCalibration && ours:
		if w := st.places[placeOf(client, row.Index.Unit)]; !row.Index.Time.Before(w.since) {
			c, err := s.comparison(ctx, row.Index.ID)
			if err != nil {
				return err
			}
			w.detector.Add(c.outcome())
			s.weigh(ctx, placeOf(client, row.Index.Unit))
		}
	case is(ChangeDrift) && ours:
		w := st.places[placeOf(client, row.Index.Unit)]
		switch {
		case row.Index.Status != stateOn:
			*w = watched{since: row.Index.Time}
		case w.drifted.IsZero():
			w.drifted = row.Index.Time
		}
	}
	st.heard[kind] = row.Leaf
	return nil
}
