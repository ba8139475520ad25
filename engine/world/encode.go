// SPDX-License-Identifier: Apache-2.0

package world

// This file: what the networks read of a Timeline. Training and serving go
// through the same function, so there is no skew between them.

import (
	"math"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Horizon is how many 4-hour steps are forecast at most (24 h).
const Horizon = 6

// The inputs of one feature, relative to its last known value.
const (
	inLast     = iota // last known value, standardised; 0 when none
	inKnown           // 1 when there is a last known value
	inMeasured        // 1 when it was measured in the newest step
	inAge             // log of its age
	inChange          // change from the measured value before it
	inChanged         // 1 when there is a measured value before it
	inSwing           // last value minus the mean of the last 24 h
	inCharted         // share of the timeline's steps with a measured value
	inNewest          // newest single reading, where it is of the newest step, minus the last value
	perFeature
)

// The inputs of one past step of treatment.
const (
	inNE = iota // saturated norepinephrine equivalent, step mean
	inNEKnown
	inFluid // saturated fluid volume
	inFluidKnown
	perStep
)

const treatSteps = 6 // steps of treatment history read

// The inputs that belong to no feature.
const (
	inAgeYears = iota
	inMale
	inFemale
	inHours
	inNEEnd // saturated norepinephrine equivalent at T
	inVent
	inVentKnown
	inVentBefore
	inSOFA
	inScored
	inDepth // share of the timeline's steps inside the stay
	numGlobal
)

// Places of the three groups in the input vector.
const (
	treatAt   = state.NumFeatures * perFeature
	globalAt  = treatAt + treatSteps*perStep
	InputSize = globalAt + numGlobal // length of the input vector
)

// Half-saturation doses: at this dose half of the largest effect is reached.
// 0.2 ug/kg/min lies between the second and third published level; one litre
// in 4 h is a large bolus volume.
const (
	halfNEUgKgMin = 0.2
	halfFluidMl   = 1000
)

// saturate maps a dose 0..inf to 0..1 with a diminishing return.
func saturate(dose, half float64) float64 {
	dose = math.Max(dose, 0)
	return dose / (dose + half)
}

func saturateDose(d Dose) (ne, fluid float32) {
	return float32(saturate(d.NEUgKgMin, halfNEUgKgMin)), float32(saturate(d.FluidMl, halfFluidMl))
}

// encode writes the input vector of a timeline into x (length InputSize).
func (s *Scale) encode(tl *state.Timeline, x []float32) {
	clear(x)
	for f := range features {
		s.encodeFeature(tl, f, x[f*perFeature:(f+1)*perFeature])
	}
	for f := range features {
		// A step's value is mostly a mean; where the patient is going shows in
		// the newest reading.
		r, ok := tl.Present.Readings[string(features[f].Name)]
		if in := x[f*perFeature:]; ok && in[inMeasured] == 1 && features[f].Bin != state.BinSum && r.AgeMin >= 0 && r.AgeMin <= 60*state.StepHours {
			in[inNewest] = s.z(f, r.Value) - in[inLast]
		}
	}
	n := len(tl.Steps)
	for k := 0; k < treatSteps && k < n; k++ { // newest first
		g, in := &tl.Steps[n-1-k].Given, x[treatAt+k*perStep:]
		if g.VasoKnown {
			in[inNE], in[inNEKnown] = float32(saturate(g.NEMeanUgKgMin, halfNEUgKgMin)), 1
		}
		if g.FluidKnown {
			in[inFluid], in[inFluidKnown] = float32(saturate(g.FluidModelMl, halfFluidMl)), 1
		}
	}
	s.encodeGlobal(tl, x[globalAt:])
}

// encodeFeature writes the inputs of feature f.
func (s *Scale) encodeFeature(tl *state.Timeline, f int, in []float32) {
	n := len(tl.Steps)
	last := -1
	var sum, count float64
	for i := n - 1; i >= 0; i-- {
		st := &tl.Steps[i]
		if st.Presence[f] == state.Missing {
			continue
		}
		z := s.z(f, st.Value[f])
		if last < 0 {
			last = i
			in[inLast], in[inKnown] = z, 1
			age := st.AgeH[f] + float64(state.StepHours*(n-1-i))
			in[inAge] = float32(math.Log1p(clamp(age, 0, 200)) / 4)
		}
		if st.Presence[f] != state.Measured {
			continue
		}
		in[inCharted] += 1 / float32(n)
		if i == n-1 {
			in[inMeasured] = 1
		}
		if n-1-i < Horizon {
			sum, count = sum+float64(z), count+1
		}
		if i < last && in[inChanged] == 0 && s.older(tl, f, i, last) {
			in[inChange], in[inChanged] = in[inLast]-z, 1
		}
	}
	if count > 0 {
		in[inSwing] = in[inLast] - float32(sum/count)
	}
}

// older tells whether the value measured in step i was taken before the one
// that step last shows; a carried value is the same measurement again.
func (s *Scale) older(tl *state.Timeline, f, i, last int) bool {
	if tl.Steps[last].Presence[f] == state.Measured {
		return true
	}
	taken := float64(state.StepHours*(last-i)) + tl.Steps[i].AgeH[f]
	return taken > tl.Steps[last].AgeH[f]+0.01
}

// encodeGlobal writes the inputs that belong to no feature.
func (s *Scale) encodeGlobal(tl *state.Timeline, in []float32) {
	if tl.AgeKnown {
		in[inAgeYears] = float32((tl.AgeYears - 64) / 16)
	}
	switch tl.Sex {
	case "male":
		in[inMale] = 1
	case "female":
		in[inFemale] = 1
	}
	in[inHours] = float32(math.Log1p(clamp(tl.HoursInICU, 0, 2000)) / 4)
	n := len(tl.Steps)
	if n == 0 {
		return
	}
	now := &tl.Steps[n-1]
	if now.Given.VasoKnown {
		in[inNEEnd] = float32(saturate(now.Given.NEEndUgKgMin, halfNEUgKgMin))
	}
	if now.VentKnown {
		in[inVentKnown] = 1
		if now.Vent {
			in[inVent] = 1
		}
	}
	if n > 1 && tl.Steps[n-2].VentKnown && tl.Steps[n-2].Vent {
		in[inVentBefore] = 1
	}
	in[inSOFA] = float32(now.SOFA.Total) / 10
	in[inScored] = float32(now.SOFA.Scored) / 6
	for i := range tl.Steps {
		if tl.Steps[i].InStay {
			in[inDepth] += 1 / float32(n)
		}
	}
}

// contextOf lists the inputs read by the effect part and by the search for
// similar states: few, and meaning the same on any chart.
var contextOf = func() []int {
	var at []int
	for _, f := range []int{state.HeartRate, state.SysBP, state.DiaBP, state.MeanBP, state.RespRate, state.SpO2,
		state.TempC, state.Lactate, state.PH, state.BaseExcess, state.Creatinine, state.Hemoglobin,
		state.PaO2, state.FiO2, state.Platelet, state.Bilirubin, state.GCSMotor, state.Urine} {
		at = append(at, f*perFeature+inLast)
	}
	for k := range 3 {
		at = append(at, treatAt+k*perStep+inNE, treatAt+k*perStep+inFluid)
	}
	return append(at, globalAt+inNEEnd, globalAt+inAgeYears, globalAt+inHours, globalAt+inVent)
}()

// contextSize is the length of the context vector.
var contextSize = len(contextOf)

// context copies the context inputs of x into c.
func contextInto(c, x []float32) {
	for i, at := range contextOf {
		c[i] = x[at]
	}
}
