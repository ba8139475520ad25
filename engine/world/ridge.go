// SPDX-License-Identifier: Apache-2.0

package world

// This file: the ridge baseline: each feature one step ahead as a linear
// function of all last known values, what is known, and treatment. It is
// fitted and stored by training so that evaluation never fits anything.

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/sepsisagent/sepsisagent/engine/nn"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// ridgeInputs is the number of regressors: intercept, values, known flags,
// age, hours, ventilation, running dose, planned norepinephrine and fluid with
// their known flags.
const ridgeInputs = 1 + 2*numF + 4 + 4

// ridge holds one column of coefficients per feature.
type ridge struct{ weight *nn.Mat } // [ridgeInputs][feature]

// regressors writes the inputs of a sample into r.
func regressors(r []float64, sm *sample) {
	r[0] = 1
	for f := range numF {
		r[1+f] = float64(sm.x[f*perFeature+inLast])
		r[1+numF+f] = float64(sm.x[f*perFeature+inKnown])
	}
	rest := r[1+2*numF:]
	for i, at := range []int{inAgeYears, inHours, inVent, inNEEnd} {
		rest[i] = float64(sm.x[globalAt+at])
	}
	planned(rest, sm, 0)
}

// planned writes the doses of step h.
func planned(rest []float64, sm *sample, h int) {
	for i, v := range []float32{sm.ne[h], sm.fluid[h]} {
		rest[4+2*i], rest[5+2*i] = 0, 0
		if !isNaN(v) {
			rest[4+2*i], rest[5+2*i] = float64(v), 1
		}
	}
}

// fitRidge solves one regularised least-squares problem per feature.
func fitRidge(train []*sample, lambda float64) (*ridge, error) {
	out := &ridge{weight: nn.NewMat(ridgeInputs, numF)}
	rows := make([][]float64, len(train))
	for i, sm := range train {
		rows[i] = make([]float64, ridgeInputs)
		regressors(rows[i], sm)
	}
	for f := range numF {
		gram := make([]float64, ridgeInputs*ridgeInputs)
		moment := make([]float64, ridgeInputs)
		for i, sm := range train {
			y := sm.y[f]
			if isNaN(y) {
				continue
			}
			for j, a := range rows[i] {
				if a == 0 {
					continue
				}
				moment[j] += a * float64(y)
				row := gram[j*ridgeInputs:]
				for k, b := range rows[i][:j+1] {
					row[k] += a * b
				}
			}
		}
		sym := mat.NewSymDense(ridgeInputs, nil)
		for j := range ridgeInputs {
			for k := range j + 1 {
				v := gram[j*ridgeInputs+k]
				if j == k {
					v += lambda
				}
				sym.SetSym(j, k, v)
			}
		}
		var chol mat.Cholesky
		if !chol.Factorize(sym) {
			return nil, fmt.Errorf("%w: ridge for %s is singular", ErrTraining, features[f].Name)
		}
		w := mat.NewVecDense(ridgeInputs, nil)
		if err := chol.SolveVecTo(w, mat.NewVecDense(ridgeInputs, moment)); err != nil {
			return nil, fmt.Errorf("%w: ridge for %s: %w", ErrTraining, features[f].Name, err)
		}
		for j := range ridgeInputs {
			out.weight.Row(j)[f] = float32(w.AtVec(j))
		}
	}
	return out, nil
}

// course gives the standardised value of every feature in every step: each
// step is forecast from the one before, with the doses that were given. What
// was never measured goes on being unknown.
func (r *ridge) course(sm *sample, z *[Horizon * numF]float64) {
	in := make([]float64, ridgeInputs)
	regressors(in, sm)
	rest := in[1+2*numF:]
	for h := range Horizon {
		out := z[h*numF : (h+1)*numF]
		clear(out)
		for j, v := range in {
			if v == 0 {
				continue
			}
			for f, w := range r.weight.Row(j) {
				out[f] += v * float64(w)
			}
		}
		if h+1 == Horizon {
			break
		}
		for f, v := range out {
			if in[1+numF+f] == 1 {
				in[1+f] = clamp(v, -zLimit, zLimit)
			}
		}
		rest[1] = math.Log1p(sm.hours+float64(state.StepHours*(h+1))) / 4
		if !isNaN(sm.ne[h]) {
			rest[3] = float64(sm.ne[h])
		}
		planned(rest, sm, h+1)
	}
}
