// SPDX-License-Identifier: Apache-2.0

package world

// This file: what a scored model and its baselines say of a sample, in one
// shape, so that every kind of model meets the same measures.

import "math"

// prediction is everything that is scored of one decision time.
type prediction struct {
	band  [Horizon][numF]Band // as served
	tail  [numF]tail          // of the next step
	event [numEvents]float64  // chances; NaN: the model has no such head
	pairs [numPairs]float64   // of the levels given next; sums to 1 where it is known
}

// tail is a Student t distribution on the standardised scale.
type tail struct{ mu, unit, nu float64 }

// The events whose chance is scored.
const (
	eventVent   = iota // invasive ventilation in the next step
	eventDeath         // in hospital
	eventVaso24        // vasopressor within 24 h
	numEvents
)

// predict looks at samples in order and gives each one's prediction, which is
// valid until f returns.
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
		p.event[eventDeath] = m.deathChance(sm.x, v)
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

// baseline gives a baseline's standardised forecast of every step, or false
// where the model file has none.
func (m *Model) baseline(by int, sm *sample, z *[Horizon * numF]float64) bool {
	switch by {
	case byPersistence, byNewest:
		for at := range z {
			in := sm.x[at%numF*perFeature:]
			z[at] = float64(in[inLast])
			if by == byNewest {
				z[at] += float64(in[inNewest])
			}
		}
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
