// SPDX-License-Identifier: Apache-2.0

package environment

// This file: drawing a next state from a forecast. Every quantity's
// distribution is the one its calibrated intervals describe; quantities that are
// one measurement, or one organ, move together.

import (
	"math"
	"math/rand/v2"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// luck is the chance of one step. It depends on the episode's seed and the
// number of the step alone, so that another treatment never shifts it.
type luck struct {
	z     [state.NumFeatures]float64 // standard normal, correlated within groups
	death float64                    // uniform
}

// Numbers that keep the streams of chance apart.
const (
	streamStep   = 0x5eb515a6e27c0de1
	streamMember = 0x9e3779b97f4a7c15
	streamStart  = 0xd1b54a32d192ed03
)

// together is the correlation within a group. It is a rough figure, not an
// estimate: without any, a pulse pressure would be drawn from two rolls of dice.
const together = 0.8

// groups are the quantities that move together, and those that move against the
// others of their group.
var groups = []struct{ with, against []int }{
	{with: []int{state.SysBP, state.DiaBP, state.MeanBP}},
	{with: []int{state.Hemoglobin, state.Hematocrit}},
	{with: []int{state.INR, state.PT}},
	{with: []int{state.PH}, against: []int{state.PaCO2}},
	{with: []int{state.Bicarbonate, state.BaseExcess, state.TotalCO2}},
	{with: []int{state.ALT, state.AST}},
	{with: []int{state.BUN, state.Creatinine}},
	{with: []int{state.GCSEye, state.GCSVerbal, state.GCSMotor}},
	{with: []int{state.PaO2, state.SpO2}},
}

func luckOf(seed uint64, step int) luck {
	r := rand.New(rand.NewPCG(seed^streamStep, uint64(step)))
	var l luck
	for i := range l.z {
		l.z[i] = r.NormFloat64()
	}
	for _, g := range groups {
		common := r.NormFloat64()
		for _, f := range g.with {
			l.z[f] = math.Sqrt(together)*common + math.Sqrt(1-together)*l.z[f]
		}
		for _, f := range g.against {
			l.z[f] = math.Sqrt(1-together)*l.z[f] - math.Sqrt(together)*common
		}
	}
	l.death = r.Float64()
	return l
}

// The standard normal quantiles of a band's five numbers, and how far into the
// tails a draw may go: beyond 98.8 % a band says nothing.
const (
	z90   = 1.2815515655446004
	z975  = 1.959963984540054
	mostZ = 2.5
)

// valueAt is the value of a band at a standard normal score: straight between
// the five known quantiles and on beyond the outer ones.
func valueAt(b world.Band, z float64) float64 {
	z = min(max(z, -mostZ), mostZ)
	at := [5]float64{-z975, -z90, 0, z90, z975}
	value := [5]float64{b.Lo95, b.Lo80, b.Median, b.Hi80, b.Hi95}
	i := 0
	for i < 3 && z > at[i+1] {
		i++
	}
	share := (z - at[i]) / (at[i+1] - at[i])
	return value[i] + share*(value[i+1]-value[i])
}

// drawn is one next state, before anybody charts it: in canonical units, in
// model ranges, to the precision that is charted, DBP <= MAP <= SBP.
type drawn [state.NumFeatures]float64

func (l *luck) draw(step *world.StepForecast) (d drawn) {
	for f := range d {
		feature := state.FeatureAt(f)
		v := valueAt(step.Band[f], l.z[f])
		d[f] = rounded(min(max(v, feature.ModelLo), feature.ModelHi), feature.Precision)
	}
	d[state.DiaBP] = min(d[state.DiaBP], d[state.MeanBP])
	d[state.SysBP] = max(d[state.SysBP], d[state.MeanBP])
	return d
}

func rounded(v float64, decimals int) float64 {
	p := math.Pow(10, float64(decimals))
	return math.Round(v*p) / p
}

// memberOf chooses one of n for an episode.
func memberOf(seed uint64, n int) int {
	return rand.New(rand.NewPCG(seed, streamMember)).IntN(n)
}

// ventilationOf is an episode's one draw for ventilation: the patient is
// ventilated in the steps whose chance exceeds it, so that it goes on and off
// with the chance and not with the dice.
func ventilationOf(seed uint64) float64 {
	return rand.New(rand.NewPCG(seed, streamMember+1)).Float64()
}
