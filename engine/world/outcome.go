// SPDX-License-Identifier: Apache-2.0

package world

// This file: the outcome model, which gives the chance of death in hospital.
// Deaths are few (some hundred in a cohort of a thousand), so it is kept apart
// from the networks: a logistic regression, strongly penalised, on few inputs
// that every hospital charts in the same sense. A stay counts once, however
// long it was. It needs no validation split: nothing stops it early, and the
// penalty, chosen once by cross-validation over hospitals, leaves it calibrated
// there, so that those few deaths train it too.

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/sepsisagent/sepsisagent/engine/nn"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// outcomeFeatures enter with their last known value, their mean over 24 h and
// whether they are known.
var outcomeFeatures = []int{state.GCSEye, state.GCSMotor, state.GCSVerbal, state.Lactate, state.MeanBP, state.Urine,
	state.Bilirubin, state.Creatinine, state.BUN, state.Platelet, state.FiO2, state.SpO2, state.TempC, state.HeartRate,
	state.RespRate, state.Albumin, state.INR, state.PH, state.Sodium, state.WBC, state.Bicarbonate}

// Inputs of the outcome model beside the intercept: three per feature, then
// age, hours, SOFA and how many of its parts were scored, ventilation, the
// norepinephrine that runs and its mean over 24 h.
const outcomeRest = 7

var outcomeSize = 3*len(outcomeFeatures) + outcomeRest

// Penalty of one squared weight (per standard deviation of its input), in
// units of stays, and the hours from which a decision time may be learnt from.
const (
	outcomePenalty   = 30
	outcomeFromHours = 4
)

// maxNewton bounds how far one of the steps of Newton's method moves a weight.
const (
	newtonSteps = 50
	maxNewton   = 0.5
)

// outcomeClip bounds the inputs: how extreme an extreme value is hardly
// matters, and a wrong one must not decide.
const outcomeClip = 3

// outcomeInto writes the inputs of the outcome model that belong to the
// encoded timeline x.
func outcomeInto(o []float64, x []float32) {
	bound := func(v float32) float64 { return float64(max(-outcomeClip, min(v, outcomeClip))) }
	for i, f := range outcomeFeatures {
		in := x[f*perFeature:]
		o[3*i], o[3*i+1], o[3*i+2] = bound(in[inLast]), bound(in[inLast]-in[inSwing]), float64(in[inKnown])
	}
	rest := o[3*len(outcomeFeatures):]
	for i, at := range []int{inAgeYears, inHours, inSOFA, inScored, inVent, inNEEnd} {
		rest[i] = bound(x[globalAt+at])
	}
	rest[6] = 0
	for k := range treatSteps {
		rest[6] += float64(x[treatAt+k*perStep+inNE]) / treatSteps
	}
}

// outcome is the fitted model: the intercept, then a weight per input.
type outcome struct{ weight []float32 }

// logit of the outcome in the state x.
func (o *outcome) logit(x []float32) float64 {
	in := make([]float64, outcomeSize)
	outcomeInto(in, x)
	z := float64(o.weight[0])
	for i, v := range in {
		z += v * float64(o.weight[1+i])
	}
	return z
}

// deathChance is the chance of death in hospital.
func (m *Model) deathChance(x []float32) float64 { return logistic{A: 1}.chance(m.death.logit(x)) }

// outcomeSamples keeps decision times of real patients whose outcome is known,
// with the weight of each: those of a stay add up to one.
func outcomeSamples(samples []*sample) (in []*sample, weight []float64) {
	in = keep(samples, func(s *sample) bool {
		return !s.synthetic && s.died != unknown && s.comfort != 1 && s.hours >= outcomeFromHours-0.01
	})
	count := map[int]float64{}
	for _, s := range in {
		count[s.stay]++
	}
	for _, s := range in {
		weight = append(weight, 1/count[s.stay])
	}
	return in, weight
}

// minDeaths is how many stays of either outcome it takes to fit anything.
const minDeaths = 10

// fitOutcome fits the outcome model by Newton's method on standardised inputs.
// Where stays of either outcome are too few it gives every state the same
// chance, that of the training stays.
func fitOutcome(training []*sample) (*outcome, error) {
	in, weight := outcomeSamples(training)
	n := 1 + outcomeSize
	out := &outcome{weight: make([]float32, n)}
	var ones, all float64
	rows := make([][]float64, len(in))
	for i, s := range in {
		rows[i] = make([]float64, n)
		rows[i][0] = 1
		outcomeInto(rows[i][1:], s.x)
		ones, all = ones+weight[i]*float64(s.died), all+weight[i]
	}
	base := math.Log((ones + 0.5) / (all - ones + 0.5))
	if ones < minDeaths || all-ones < minDeaths {
		out.weight[0] = float32(base)
		return out, nil
	}
	mean, sd := standardise(rows, weight)
	beta := mat.NewVecDense(n, nil)
	beta.SetVec(0, base)
	for range newtonSteps {
		gram, gradient := mat.NewSymDense(n, nil), mat.NewVecDense(n, nil)
		for j := 1; j < n; j++ {
			gram.SetSym(j, j, outcomePenalty)
			gradient.SetVec(j, outcomePenalty*beta.AtVec(j))
		}
		gram.SetSym(0, 0, 1e-9)
		for i, r := range rows {
			p := 1 / (1 + math.Exp(-mat.Dot(beta, mat.NewVecDense(n, r))))
			d, w := weight[i]*(p-float64(in[i].died)), weight[i]*p*(1-p)
			gradient.AddScaledVec(gradient, d, mat.NewVecDense(n, r))
			gram.SymRankOne(gram, w, mat.NewVecDense(n, r))
		}
		var chol mat.Cholesky
		if !chol.Factorize(gram) {
			return nil, fmt.Errorf("%w: the outcome model is singular", ErrTraining)
		}
		step := mat.NewVecDense(n, nil)
		if err := chol.SolveVecTo(step, gradient); err != nil {
			return nil, fmt.Errorf("%w: the outcome model: %w", ErrTraining, err)
		}
		// Far from the optimum the curvature is flat and Newton's step too long.
		largest := mat.Norm(step, math.Inf(1))
		beta.AddScaledVec(beta, -math.Min(1, maxNewton/largest), step)
		if largest < 1e-8 {
			break
		}
	}
	intercept := beta.AtVec(0)
	for j := 1; j < n; j++ {
		out.weight[j] = float32(beta.AtVec(j) / sd[j])
		intercept -= beta.AtVec(j) * mean[j] / sd[j]
	}
	out.weight[0] = float32(intercept)
	return out, nil
}

// standardise brings every column but the first to mean 0 and deviation 1 in
// place, and returns what it took away.
func standardise(rows [][]float64, weight []float64) (mean, sd []float64) {
	n := len(rows[0])
	mean, sd = make([]float64, n), make([]float64, n)
	var all float64
	for i, r := range rows {
		all += weight[i]
		for j, v := range r {
			mean[j] += weight[i] * v
			sd[j] += weight[i] * v * v
		}
	}
	for j := range n {
		mean[j] /= all
		sd[j] = math.Sqrt(math.Max(sd[j]/all-mean[j]*mean[j], 0))
		if sd[j] < 1e-3 {
			sd[j] = 1 // hardly ever different: the penalty keeps its weight near 0
		}
	}
	for _, r := range rows {
		for j := 1; j < n; j++ {
			r[j] = (r[j] - mean[j]) / sd[j]
		}
	}
	return mean, sd
}

// tensor is the outcome model as it lies in the weights file.
func (o *outcome) tensor() nn.Tensor {
	return nn.Tensor{Name: outcomeTensor, Shape: []int{len(o.weight)}, Data: o.weight}
}

const outcomeTensor = "death.weight"
