// SPDX-License-Identifier: Apache-2.0

package world

// This file: how a plan's deviation from usual treatment changes the forecast.
//
// Three things act on each feature: norepinephrine, fluid, and the want of
// perfusion that a plan's own forecast of arterial pressure brings or spares
// (shortfall). Each acts with a gain that depends on the state and a memory
// that says how much of a step's effect is left in the next:
//
//	drive(h)  = memory·drive(h-1) + (given(h) - usual(h))
//	effect(h) = gain(state)·drive(h)
//
// with doses saturated (saturate). For norepinephrine on the three pressures
// the gain lies between minGainMmHg and maxGainMmHg, so more of it never
// lowers a forecast pressure in any step. Every other gain may have either
// sign: fluid in particular must be able to do harm. Perfusion acts on what
// follows from pressure and not on pressure: that stopping norepinephrine
// raises lactate and starting more of it does not is one effect of pressure,
// and no gain of norepinephrine alone could say so.

import (
	"math"

	"github.com/sepsisagent/sepsisagent/engine/nn"
)

// What acts.
const (
	actNE = iota
	actFluid
	actShortfall
	numActs
)

// The gain of norepinephrine on pressure, in mmHg between no dose and an
// unlimited one, lies between these.
const (
	minGainMmHg = 6.0
	maxGainMmHg = 90.0
)

// maxGain bounds the other gains, in standardised units.
const maxGain = 1.5

// maxMemory bounds how much of a step's effect is left in the next.
const maxMemory = 0.9

// Perfusion is short below about 65 mmHg, the goal of guidelines: the
// shortfall rises from 0 to one unit per ten mmHg, with a soft knee.
const (
	kneeMmHg  = 65
	kneeWidth = 5
	unitMmHg  = 10
)

// isPressure tells which features norepinephrine can only raise.
func isPressure(f int) bool { return f == mbp || f == sbp || f == dbp }

// gains are those of one feature in standardised units, with their derivatives
// by the effect part's raw outputs.
type gains struct{ value, slope [numActs]float32 }

// gainsOf turns the effect part's raw outputs for feature f into gains. sd is
// the feature's standard deviation in canonical units on the modelling scale,
// which for the pressures is mmHg.
func (a *Architecture) gainsOf(f int, raw []float32, sd float64) (g gains) {
	for act := range numActs {
		t := nn.Tanh(raw[act*numF+f])
		g.value[act], g.slope[act] = maxGain*t, maxGain*(1-t*t)
	}
	if !isPressure(f) {
		return g
	}
	g.value[actShortfall], g.slope[actShortfall] = 0, 0
	switch lo, width := float32(minGainMmHg/sd), float32((maxGainMmHg-minGainMmHg)/sd); {
	case a.Unsigned: // as wide, but of either sign
		g.value[actNE], g.slope[actNE] = g.value[actNE]*(lo+width)/maxGain, g.slope[actNE]*(lo+width)/maxGain
	default:
		s := nn.Sigmoid(raw[actNE*numF+f])
		g.value[actNE], g.slope[actNE] = lo+width*s, width*s*(1-s)
	}
	return g
}

// memoryOf turns a raw memory weight into the share left after a step.
func memoryOf(raw float32) (m, slope float32) {
	s := nn.Sigmoid(raw)
	return maxMemory * s, maxMemory * s * (1 - s)
}

// deviation is what acts in each step: given minus usual treatment, saturated
// (0 where what was given is unknown), and the shortfall beside usual care.
type deviation [numActs][Horizon]float32

// deviationOf compares a course of saturated doses (NaN: unknown) with the
// head's usual treatment. The shortfall is not in it yet.
func deviationOf(out []float32, ne, fluid *[Horizon]float32) (d deviation) {
	for h := range Horizon {
		if v := ne[h]; !isNaN(v) {
			d[actNE][h] = v - out[outUsual+h]
		}
		if v := fluid[h]; !isNaN(v) {
			d[actFluid][h] = v - out[outUsual+Horizon+h]
		}
	}
	return d
}

// shortfall is the want of perfusion at a standardised MAP.
func (s *Scale) shortfall(z float32) float32 {
	below := (kneeMmHg - s.Mean[mbp] - float64(z)*s.SD[mbp]) / kneeWidth
	return float32(kneeWidth * math.Log1p(math.Exp(clamp(below, -40, 40))) / unitMmHg)
}

// drive runs the recursion for one act and one memory. slope is the
// derivative by the memory.
func drive(d *[Horizon]float32, memory float32) (v, slope [Horizon]float32) {
	var last, lastSlope float32
	for h := range Horizon {
		v[h] = memory*last + d[h]
		slope[h] = last + memory*lastSlope
		last, lastSlope = v[h], slope[h]
	}
	return v, slope
}

func isNaN(v float32) bool { return v != v }

var nan32 = float32(math.NaN())
