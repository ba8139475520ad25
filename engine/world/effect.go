// SPDX-License-Identifier: Apache-2.0

package world

// This file: how a plan's deviation from usual treatment changes the forecast.
//
// Each treatment acts on each feature with a gain that depends on the state
// and a memory that says how much of a step's effect is left in the next:
//
//	drive(h)  = memory·drive(h-1) + (given(h) - usual(h))
//	effect(h) = gain(state)·drive(h)
//
// with doses saturated (saturate). For norepinephrine on the three pressures
// the gain lies between minGainMmHg and maxGainMmHg, so more of it never
// lowers a forecast pressure in any step. Every other gain may have either
// sign: fluid in particular must be able to do harm.

import (
	"math"

	"github.com/sepsisagent/sepsisagent/engine/nn"
)

// The gain of norepinephrine on pressure, in mmHg between no dose and an
// unlimited one, lies between these.
const (
	minGainMmHg = 6.0
	maxGainMmHg = 90.0
)

// The other gains, in standardised units, are bounded by these.
const (
	maxOtherNE = 1.5
	maxFluid   = 1.5
)

// maxMemory bounds how much of a step's effect is left in the next.
const maxMemory = 0.9

// isPressure tells which features norepinephrine can only raise.
func isPressure(f int) bool { return f == mbp || f == sbp || f == dbp }

// gainOf turns the effect part's raw outputs for feature f into the gains of
// norepinephrine and fluid in standardised units, with their derivatives. sd is
// the feature's standard deviation in canonical units on the modelling scale,
// which for the pressures is mmHg.
func gainOf(f int, rawNE, rawFluid float32, sd float64) (ne, fluid, slopeNE, slopeFluid float32) {
	if isPressure(f) {
		s := nn.Sigmoid(rawNE)
		lo, width := float32(minGainMmHg/sd), float32((maxGainMmHg-minGainMmHg)/sd)
		ne, slopeNE = lo+width*s, width*s*(1-s)
	} else {
		t := nn.Tanh(rawNE)
		ne, slopeNE = maxOtherNE*t, maxOtherNE*(1-t*t)
	}
	t := nn.Tanh(rawFluid)
	return ne, maxFluid * t, slopeNE, maxFluid * (1 - t*t)
}

// memoryOf turns a raw memory weight into the share left after a step.
func memoryOf(raw float32) (m, slope float32) {
	s := nn.Sigmoid(raw)
	return maxMemory * s, maxMemory * s * (1 - s)
}

// deviation is given minus usual treatment per step, saturated; 0 where what
// was given is unknown.
type deviation struct{ ne, fluid [Horizon]float32 }

// deviationOf compares a course of saturated doses (NaN: unknown) with the
// head's usual treatment.
func deviationOf(out []float32, ne, fluid *[Horizon]float32) (d deviation) {
	for h := range Horizon {
		if v := ne[h]; !isNaN(v) {
			d.ne[h] = v - out[outUsual+h]
		}
		if v := fluid[h]; !isNaN(v) {
			d.fluid[h] = v - out[outUsual+Horizon+h]
		}
	}
	return d
}

// drive runs the recursion for one treatment and one memory. slope is the
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
