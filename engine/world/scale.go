// SPDX-License-Identifier: Apache-2.0

package world

// This file: the scale on which each feature is modelled, and the projection
// that keeps forecasts possible.

import (
	"math"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// logitMargin keeps the ends of a bounded range finite on the logit scale:
// the whole range maps into (margin, 1-margin).
const logitMargin = 0.02

// zLimit bounds standardised values, so that one wild reading cannot carry the
// network out of what it has seen.
const zLimit = 8

var features = state.Catalogue()

// forward puts a value in canonical units on the feature's modelling scale.
// Values outside the model range are moved to its nearest end.
func forward(f int, v float64) float64 {
	c := &features[f]
	v = clamp(v, c.ModelLo, c.ModelHi)
	switch c.Transform {
	case state.Log:
		return math.Log(v)
	case state.Log1p:
		return math.Log1p(v)
	case state.Logit:
		p := logitMargin + (1-2*logitMargin)*(v-c.ModelLo)/(c.ModelHi-c.ModelLo)
		return math.Log(p / (1 - p))
	default:
		return v
	}
}

// inverse undoes forward and never leaves the model range.
func inverse(f int, t float64) float64 {
	c := &features[f]
	switch c.Transform {
	case state.Log:
		t = math.Exp(t)
	case state.Log1p:
		t = math.Expm1(t)
	case state.Logit:
		p := (1/(1+math.Exp(-t)) - logitMargin) / (1 - 2*logitMargin)
		t = c.ModelLo + p*(c.ModelHi-c.ModelLo)
	}
	return clamp(t, c.ModelLo, c.ModelHi)
}

// clamp returns lo for NaN, so that a fault upstream stays inside the range.
func clamp(v, lo, hi float64) float64 {
	if !(v > lo) {
		return lo
	}
	return math.Min(v, hi)
}

// Scale standardises features: mean and standard deviation of measured
// training values on the modelling scale.
type Scale struct {
	Mean [state.NumFeatures]float64 `json:"mean"`
	SD   [state.NumFeatures]float64 `json:"sd"`
}

// z standardises a value in canonical units.
func (s *Scale) z(f int, v float64) float32 {
	return float32(clamp((forward(f, v)-s.Mean[f])/s.SD[f], -zLimit, zLimit))
}

// value undoes z.
func (s *Scale) value(f int, z float64) float64 { return inverse(f, s.Mean[f]+z*s.SD[f]) }

// published are mean and SD of each feature in the reference's scaler
// (reference/sepsisagent.md 2.3), in canonical units. They stand in where
// nothing was trained. Base excess is ours: the published mean of 3.84 comes
// from a filter that dropped every negative value (2.9 #16); temperature,
// albumin and ionised calcium have the SD widened for the constant imputation
// named in 2.9 #17.
var published = [state.NumFeatures][2]float64{
	{87.6, 17.9}, {117, 18.9}, {61.7, 12.4}, {77.8, 13.1}, {20.1, 5}, {96.9, 2.4}, {37, 0.7}, {47.5, 15.2},
	{2.96, 1.18}, {2.67, 1.87}, {4.92, 1.74}, {2.86, 0.6}, {96, 315}, {134, 436}, {-1, 5}, {23.4, 4.7},
	{1.6, 3.1}, {29.9, 22.4}, {1.12, 0.1}, {8.29, 0.72}, {104, 6.6}, {1.54, 1.39}, {140, 53}, {10.05, 1.92},
	{30.7, 5.7}, {1.47, 0.66}, {1.87, 1.16}, {2.1, 0.36}, {41.2, 8.9}, {106, 57}, {7.38, 0.065}, {199, 108},
	{4.14, 0.59}, {16.1, 6.8}, {38.1, 19.3}, {138.7, 5.2}, {25.3, 4.9}, {10.2, 4.5}, {175, 180},
}

// defaultScale is the published scale carried to the modelling scale: the
// spread there is half the distance between mean ± SD, kept inside the range.
func defaultScale() *Scale {
	var s Scale
	for f := range features {
		mean, sd := published[f][0], published[f][1]
		s.Mean[f] = forward(f, mean)
		up, down := forward(f, mean+sd), forward(f, math.Max(mean-sd, mean/3))
		if mean < 0 {
			down = forward(f, mean-sd)
		}
		s.SD[f] = math.Max((up-down)/2, 1e-3)
	}
	return &s
}

// pressures are kept in order by project.
const (
	sbp = state.SysBP
	dbp = state.DiaBP
	mbp = state.MeanBP
)

// project makes the bands of one step agree with each other: DBP <= MAP <= SBP
// at every quantile, and whole numbers for the coma scale. Median, order and
// nesting survive because each rule is monotone.
func project(b *[state.NumFeatures]Band) {
	for f := state.GCSEye; f <= state.GCSMotor; f++ {
		b[f] = b[f].apply(math.Round)
	}
	m := b[mbp]
	b[sbp] = b[sbp].with(m, math.Max)
	b[dbp] = b[dbp].with(m, math.Min)
}

func (b Band) apply(f func(float64) float64) Band {
	return Band{Median: f(b.Median), Lo80: f(b.Lo80), Hi80: f(b.Hi80), Lo95: f(b.Lo95), Hi95: f(b.Hi95)}
}

func (b Band) with(o Band, f func(a, b float64) float64) Band {
	return Band{Median: f(b.Median, o.Median), Lo80: f(b.Lo80, o.Lo80), Hi80: f(b.Hi80, o.Hi80),
		Lo95: f(b.Lo95, o.Lo95), Hi95: f(b.Hi95, o.Hi95)}
}
