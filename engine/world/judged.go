// SPDX-License-Identifier: Apache-2.0

package world

// This file: what a scored model and its baselines say of a sample, in one
// shape, so that every kind of model meets the same measures.

import (
	"math"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// judged is a model that can be scored. Errors are taken on its scale, which
// also encodes the samples.
type judged interface {
	Forecaster
	// predict looks at samples in order and gives each one's prediction,
	// which is valid until f returns.
	predict(samples []*sample, f func(*sample, *prediction))
	// baseline gives the standardised forecast of every step by one of the
	// forecasts below but the model's own, or false where there is none.
	baseline(by int, sm *sample, z *[Horizon * numF]float64) bool
	scoringScale() *Scale
	levelsConfig() state.Config
	// Record is what is known of the training; empty where nothing is.
	Record() *TrainingRecord
}

var (
	_ judged = (*Model)(nil)
	_ judged = (*Reference)(nil)
)

// prediction is everything that is scored of one decision time.
type prediction struct {
	band  [Horizon][numF]Band // as served
	tail  [numF]tail          // of the next step; unit 0: the model gives no density
	event [numEvents]float64  // chances; NaN: the model has no such head
	pairs [numPairs]float64   // of the levels given next; sums to 1, or all 0 where the model does not say
}

// noEvents is a model without heads.
var noEvents = [numEvents]float64{math.NaN(), math.NaN(), math.NaN(), math.NaN()}

// tail is a Student t distribution on the standardised scale.
type tail struct{ mu, unit, nu float64 }

// The events whose chance is scored.
const (
	eventVent    = iota // invasive ventilation in the next step
	eventDeath          // in hospital
	eventDeath90        // within 90 days
	eventVaso24         // vasopressor within 24 h
	numEvents
)

func (m *Model) scoringScale() *Scale       { return &m.file.Scale }
func (m *Model) levelsConfig() state.Config { return m.file.config() }

// predict implements judged.
func (m *Model) predict(samples []*sample, f func(*sample, *prediction)) {
	var p prediction
	m.each(samples, func(sm *sample, v *view) {
		s := v.under(&sm.ne, &sm.fluid, Horizon)
		for h := range Horizon {
			p.band[h] = m.bands(h, &s)
		}
		for i := range numF {
			nu, unit := tailsOf(m.file.Width80[0][i], m.file.Width95[0][i])
			p.tail[i] = tail{s.mu[i], unit * s.sigma[i], nu}
		}
		p.event[eventVent] = m.file.VentScaling.chance(v.mean(outVent))
		p.event[eventDeath] = m.deathChance(sm.x)
		p.event[eventDeath90] = m.death90Chance(sm.x)
		p.event[eventVaso24] = m.file.VasoScaling.chance(v.mean(outVaso24))
		for i, row := range m.behaviour(v) {
			copy(p.pairs[5*i:], row[:])
		}
		f(sm, &p)
	})
}

// The forecasts whose next-step error is kept beside the model's own.
const (
	byModel = iota
	byPersistence
	byNewest // persistence of the newest single reading
	byRidge
	byReference
	numForecasts
)

// isBaseline tells which of them the model is held against.
func isBaseline(by int) bool { return by == byPersistence || by == byRidge || by == byReference }

// baseline implements judged.
func (m *Model) baseline(by int, sm *sample, z *[Horizon * numF]float64) bool {
	switch by {
	case byPersistence, byNewest:
		persist(by, sm, z)
		return true
	case byRidge:
		m.ridge.course(sm, z)
		return true
	case byReference:
		if m.reference == nil || sm.past == nil {
			return false
		}
		m.reference.course(sm, &m.file.Scale, z)
		return true
	}
	return false
}

// logScore is minus the log density of the standardised truth.
func (t tail) logScore(y float64) float64 {
	return studentNLL((y-t.mu)/t.unit, t.nu) + math.Log(t.unit)
}

// persist carries the newest step's value, or the newest single reading, on.
func persist(by int, sm *sample, z *[Horizon * numF]float64) {
	for at := range z {
		in := sm.x[at%numF*perFeature:]
		z[at] = float64(in[inLast])
		if by == byNewest {
			z[at] += float64(in[inNewest])
		}
	}
}

// scoringScale is the scale of the native model that lends its atlas, so that
// both are held to the same measure, or else the published one.
func (r *Reference) scoringScale() *Scale {
	if r.support != nil {
		return r.support.scoringScale()
	}
	return defaultScale()
}

func (r *Reference) levelsConfig() state.Config { return r.config() }

// Record is what is known of the training; empty for imported weights.
func (r *Reference) Record() *TrainingRecord {
	if r.file.Training == nil {
		return &TrainingRecord{}
	}
	return r.file.Training
}

// predict implements judged. The published model says nothing of vasopressors
// to come or of what clinicians do, and its density is on another scale.
func (r *Reference) predict(samples []*sample, f func(*sample, *prediction)) {
	windows := make([]*window, len(samples))
	for i, sm := range samples {
		windows[i] = sm.past
	}
	var deaths []float64
	event := map[string]int{outcomeInHospital: eventDeath, outcome90Days: eventDeath90}
	at, known := event[r.file.Outcome]
	if known {
		deaths = r.deaths(windows)
	}
	for i, sm := range samples {
		p := prediction{event: noEvents}
		moments := r.simulate(sm.past, [][]uint16{sm.past.future[:]})[0]
		for h := range Horizon {
			st := r.step(sm.past, &moments[h], h, 65)
			p.band[h] = st.Band
			if h == 0 {
				p.event[eventVent] = st.PVent
			}
		}
		if deaths != nil {
			p.event[at] = deaths[i]
		}
		f(sm, &p)
	}
}

// baseline implements judged.
func (r *Reference) baseline(by int, sm *sample, z *[Horizon * numF]float64) bool {
	switch {
	case by == byPersistence || by == byNewest:
		persist(by, sm, z)
		return true
	case r.support != nil:
		return r.support.baseline(by, sm, z)
	}
	return false
}
