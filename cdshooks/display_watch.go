// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: the watch over forecasts. After a call is answered, the oldest
// forecast about the same patient whose four hours are over is compared with
// what the call's chart says came. That happens beside the calls, by one worker;
// when it cannot keep up it leaves comparisons out and counts them. Windows
// compared of one patient do not overlap.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

const (
	maxQueue    = 32               // charts that wait for the worker
	maxPatients = 20_000           // whose next comparison is remembered
	oldest      = 24 * time.Hour   // forecasts before are not looked for
	lookAgain   = 15 * time.Minute // where nothing could be compared
	watchEvery  = 15 * time.Second // the switch, the validation and other replicas are looked at, calls or not
)

// seen is what the worker needs of an answered call.
type seen struct {
	at                       time.Time
	place                    place
	unit, patient, encounter string
	chart                    *state.Chart
}

// due is when a patient's forecasts are looked at again, and from when on.
type due struct{ next, from time.Time }

// watch is the worker with what it remembers. It runs between start and close.
type watch struct {
	queue chan seen
	stop  context.CancelFunc
	done  chan struct{}

	mu       sync.Mutex
	patients map[string]due // by client and patient; in memory only
	idle     *sync.Cond     // nothing waits and nothing is worked on
	waiting  int
}

func newWatch() *watch {
	w := &watch{queue: make(chan seen, maxQueue), patients: map[string]due{}}
	w.idle = sync.NewCond(&w.mu)
	return w
}

// Start reads back from the log what the display was, applies resets of the
// configuration, and watches the kill switch, the validation and the forecasts
// until Close. It is called once, before the first call is answered.
func (s *Service) Start(ctx context.Context) error {
	if err := s.Load(ctx); err != nil {
		return err
	}
	for _, r := range s.Config.Drift.Resets {
		at := place{r.Client, r.Unit}
		if found := s.shown.places[at].drifted; !found.IsZero() && r.Before.After(found) && !s.clearDrift(ctx, at, oneLine(r.Operator), oneLine(r.Why)) {
			return fmt.Errorf("%w: the end of a drift", ErrNotRecorded)
		}
	}
	s.look(ctx)
	s.watchOn(ctx)
	return nil
}

// watchOn starts the worker.
func (s *Service) watchOn(ctx context.Context) {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	s.watch.stop, s.watch.done = stop, make(chan struct{})
	go s.watchOver(working)
}

// look notices what has changed without a call.
func (s *Service) look(ctx context.Context) {
	s.killed(ctx)
	s.standing(ctx)
	s.hear(ctx)
}

// close ends the worker, if there is one, and waits for it.
func (w *watch) close() {
	if w.stop != nil {
		w.stop()
		<-w.done
	}
}

// watchOver is the worker.
func (s *Service) watchOver(ctx context.Context) {
	defer close(s.watch.done)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.look(ctx)
		case one := <-s.watch.queue:
			result := "failed"
			err := s.compareOne(ctx, one)
			switch {
			case err == nil:
				result = ""
			case errors.Is(err, errUnforecast), errors.Is(err, errUnmeasured), errors.Is(err, errUntried):
				result = err.Error()
			case ctx.Err() == nil:
				s.Logger.Warn("a forecast could not be compared", zap.Error(err))
			}
			if result != "" {
				s.metrics.compared.WithLabelValues(one.place.client, result).Inc()
			}
			s.watch.mu.Lock()
			s.watch.waiting--
			s.watch.idle.Broadcast()
			s.watch.mu.Unlock()
		}
	}
}

// compareLater hands an answered call to the worker, where a forecast about its
// patient may be due. It never waits.
func (s *Service) compareLater(c *call) {
	w := s.watch
	if c.chart == nil || c.record.Receipt == nil || c.service.id != ServiceID {
		return
	}
	unit, at := c.record.Receipt.Stay.Unit, c.at
	one := seen{at: at, place: placeOf(c.caller.Client, unit), unit: unit, patient: c.record.Request.Patient, encounter: c.record.Request.Encounter, chart: c.chart}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stop == nil {
		return
	}
	if d, known := w.patients[one.key()]; known && at.Before(d.next) {
		return
	}
	select {
	case w.queue <- one:
		w.waiting++
	default:
		s.metrics.compared.WithLabelValues(one.place.client, "dropped").Inc()
	}
}

func (one *seen) key() string { return one.place.client + "\x00" + one.patient }

// settle waits until the worker has nothing left to do.
func (w *watch) settle() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.waiting > 0 {
		w.idle.Wait()
	}
}

// remember says when the patient is looked at again.
func (w *watch) remember(key string, d due) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.patients) >= maxPatients {
		clear(w.patients) // at worst somebody is looked up once too often
	}
	w.patients[key] = d
}

// compareOne compares the oldest forecast about a patient that is due. Nothing
// due is no error.
func (s *Service) compareOne(ctx context.Context, one seen) error {
	s.watch.mu.Lock()
	d, known := s.watch.patients[one.key()]
	s.watch.mu.Unlock()
	if !known {
		from, err := s.comparedUntil(ctx, one)
		if err != nil {
			return err
		}
		d.from = from
	}
	if oldestFrom := one.at.Add(-oldest); d.from.Before(oldestFrom) {
		d.from = oldestFrom
	}
	d.next = one.at.Add(lookAgain)
	defer func() { s.watch.remember(one.key(), d) }()
	decision, over, err := s.oldestForecast(ctx, one, d.from)
	if !over.IsZero() {
		d.next = over
	}
	if err != nil || decision == nil {
		return err
	}
	c, err := s.compareWith(one.chart, decision)
	if err != nil {
		d.from = decision.Receipt.At.Add(time.Second)
		return err
	}
	d.from = c.At.Add(horizon)
	return s.noteComparison(ctx, one, &c)
}

// comparedUntil is where the last comparison of the patient ended, by the log.
func (s *Service) comparedUntil(ctx context.Context, one seen) (time.Time, error) {
	rows, err := s.Log.Query(ctx, audit.Filter{Kind: KindCalibration, Client: one.place.client, Patient: one.patient, Limit: 1})
	if err != nil || len(rows) == 0 {
		return time.Time{}, err
	}
	c, err := s.comparison(ctx, rows[0].Index.ID)
	if err != nil {
		return time.Time{}, err
	}
	return c.At.Add(horizon), nil
}

// oldestForecast finds the oldest decision of this model about the patient from
// a time on that simulated something and whose four hours are over. Where there
// is none it gives nil and, if one is under way, when its four hours are over.
func (s *Service) oldestForecast(ctx context.Context, one seen, from time.Time) (_ *Record, over time.Time, err error) {
	rows, err := s.Log.Query(ctx, audit.Filter{
		Kind: KindDecision, Service: ServiceID, Client: one.place.client, Patient: one.patient, Model: s.Hashes.Model,
		Since: from, OldestFirst: true, Limit: audit.MaxLimit,
	})
	if err != nil {
		return nil, over, err
	}
	for _, row := range rows {
		// Other endings simulate nothing.
		if st := agent.Status(row.Index.Status); st != agent.Suggest && st != agent.Affirm || row.Index.Encounter != one.encounter {
			continue
		}
		if end := row.Index.Time.Add(horizon); one.at.Before(end) {
			return nil, end, nil
		}
		stored, err := s.Log.Get(ctx, row.Index.ID)
		if err != nil {
			return nil, over, err
		}
		r, err := DecodeRecord(stored.Body)
		if err != nil {
			return nil, over, err
		}
		if r.Receipt != nil && len(r.Receipt.Outcome.Decision.Options) > 0 {
			return r, over, nil
		}
	}
	return nil, over, nil
}

// compareWith reads from a later chart what came in the four hours after a
// decision, by the code that made the decision's own timeline.
func (s *Service) compareWith(chart *state.Chart, r *Record) (Comparison, error) {
	before, err := rebuild(s.Charts, s.State, r)
	if err != nil {
		return Comparison{}, err
	}
	after, err := state.Build(chart, r.Receipt.At.Add(horizon), s.State)
	if err != nil {
		return Comparison{}, err
	}
	c, err := compare(r.Receipt.Outcome.Decision.Options, before.Present.MAP.GoalMmHg, after.Last())
	c.Decision, c.At = r.ID, r.Receipt.At
	return c, err
}

// noteComparison records a comparison and adds it to the evidence of its place.
// When that amounts to drift, the display falls silent there.
func (s *Service) noteComparison(ctx context.Context, one seen, c *Comparison) error {
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	outcome := "outside"
	if c.Inside {
		outcome = "inside"
	}
	st := s.shown
	st.mu.Lock()
	st.own[id.String()] = struct{}{}
	st.mu.Unlock()
	// No call waits for this entry: there is one worker, so the order of entries
	// is that of the evidence.
	if _, err := s.appendEntry(ctx, audit.Index{
		ID: id.String(), Time: one.at.UTC(), Kind: KindCalibration, Client: one.place.client, Service: ServiceID, Unit: one.unit,
		Patient: one.patient, Encounter: one.encounter, Outcome: outcome, Refers: c.Decision, Model: s.Hashes.Model,
	}, body); err != nil {
		return fmt.Errorf("%w: %w", ErrNotRecorded, err)
	}
	s.metrics.compared.WithLabelValues(one.place.client, outcome).Inc()
	st.mu.Lock()
	defer st.mu.Unlock()
	st.places[one.place].detector.Add(c.outcome())
	s.weigh(ctx, one.place)
	return nil
}

// weigh makes a place silent where the evidence amounts to drift. shown.mu is
// held.
func (s *Service) weigh(ctx context.Context, at place) {
	w := s.shown.places[at]
	if !w.drifted.IsZero() || w.detector.Evidence() < float64(s.Config.Drift.FalseAlarm) {
		return
	}
	// It acts whether or not its own receipt can be written: the receipts of the
	// comparisons can, and lead to the same after a restart.
	w.drifted = s.Now()
	sum := w.detector.Summary()
	s.changed(ctx, DisplayChange{What: ChangeDrift, State: stateOn, Client: at.client, Unit: at.unit, Why: "forecasts of the pressure four hours ahead no longer hold: silent until an operator looks", Evidence: &sum})
}
