// SPDX-License-Identifier: Apache-2.0

package world

// This file: Model, the native Clinical World Model, and how its members are
// combined into one predictive distribution.

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/sepsisagent/sepsisagent/engine/nn"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Errors of forecasts. On each of them there is no forecast; callers must not
// put one in its place.
var (
	// ErrPlans: the plans cannot be simulated (none, too long, unequal length,
	// or a dose that is negative or not a number). A defect of the caller.
	ErrPlans = errors.New("plans cannot be simulated")
	// ErrTimeline: the timeline has no steps.
	ErrTimeline = errors.New("timeline cannot be simulated from")
	// ErrNotFinite: the networks gave a number that is not finite. Check the
	// weights file.
	ErrNotFinite = errors.New("forecast is not finite")
)

// Model is the native Clinical World Model. It is immutable and safe for
// concurrent use.
type Model struct {
	info      Info
	file      modelFile // everything but the tensors
	net       *network
	members   [][]float32
	atlas     *atlas
	ridge     *ridge
	reference *Reference // the published kind, fitted to the same patients; nil in older files
	death     *outcome
	spare     sync.Pool // of *workspace for one state
}

var _ Forecaster = (*Model)(nil)

// Info identifies the model.
func (m *Model) Info() Info { return m.info }

// spreadOf is a predictive distribution on the modelling scale: the ensemble's
// mean and standard deviation, before calibration.
type spreadOf struct {
	mu, sigma [Horizon * numF]float64
	apart     [Horizon]float64 // ensemble standard deviation of MAP, standardised
}

// under combines the members for one course of saturated doses (NaN: unknown,
// then usual care is assumed). The variance is the members' own plus that of
// their means, at least what is usual for the feature, stretched for the state.
func (v *view) under(ne, fluid *[Horizon]float32, steps int) (s spreadOf) {
	for k := range v.out {
		dev := v.act(k, ne, fluid, steps)
		z, usual, gain, memory := &v.z[k], &v.usual[k], &v.gain[k], &v.memory[k]
		for f := range numF {
			var dNE, dFl, dSh float32
			for h := range steps { // drive, without its derivative
				dNE, dFl = memory[actNE][f]*dNE+dev[actNE][h], memory[actFluid][f]*dFl+dev[actFluid][h]
				dSh = memory[actShortfall][f]*dSh + dev[actShortfall][h]
				at := h*numF + f
				z[at] = usual[at] + gain[f][actNE]*dNE + gain[f][actFluid]*dFl + gain[f][actShortfall]*dSh
				s.mu[at] += float64(z[at])
			}
		}
	}
	n := float64(len(v.out))
	for at := range steps * numF {
		s.mu[at] /= n
		var between float64
		for k := range v.z {
			d := float64(v.z[k][at]) - s.mu[at]
			between += d * d
		}
		between /= n
		s.sigma[at] = v.wider * math.Max(v.least[at], math.Sqrt(v.within[at]+between))
		if at%numF == mbp {
			s.apart[at/numF] = math.Sqrt(between)
		}
	}
	return s
}

// Forecast implements Forecaster.
func (m *Model) Forecast(ctx context.Context, tl *state.Timeline, plans []Plan, goalMmHg float64) ([]Forecast, error) {
	steps, err := checkPlans(tl, plans)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w := m.borrow()
	defer m.giveBack(w)
	x, c := w.rows[0], w.context
	m.file.Scale.encode(tl, x)
	v := m.look(w, w.rows, steps)[0]
	place(c, x)
	probs, counts, ood := m.behaviour(v), m.atlas.near(w, c, tl.Synthetic), m.atlas.ood(c, tl.Synthetic)
	out := make([]Forecast, len(plans))
	forecasts := make([]StepForecast, len(plans)*steps)
	for i, plan := range plans {
		ne, fluid := saturateCourse(plan.Doses)
		s := v.under(&ne, &fluid, steps)
		levels := m.file.levels(plan.Doses[0])
		fc := Forecast{Plan: plan, Levels: levels, Steps: forecasts[i*steps : (i+1)*steps : (i+1)*steps],
			Support: probs[levels.Vasopressor][levels.Fluid], Similar: int(counts[5*levels.Vasopressor+levels.Fluid]),
			Disagreement: s.apart[0] * m.file.Scale.SD[mbp], OOD: ood}
		for h := range steps {
			m.step(&fc.Steps[h], v, &s, h, x, goalMmHg)
		}
		if !fc.finite() {
			return nil, fmt.Errorf("%w: plan %q", ErrNotFinite, plan.Name)
		}
		out[i] = fc
	}
	return out, nil
}

// step turns step h of a distribution into bands and chances.
func (m *Model) step(st *StepForecast, v *view, s *spreadOf, h int, x []float32, goalMmHg float64) {
	st.EndH = float64((h + 1) * state.StepHours)
	for f := range numF {
		st.Band[f] = m.band(f, h, s)
	}
	project(&st.Band)
	st.PMAPAtGoal = 1 - m.below(mbp, h, s, goalMmHg)
	if x[state.Lactate*perFeature+inKnown] == 1 {
		now := float64(x[state.Lactate*perFeature+inLast])
		st.PLactateFall = m.below(state.Lactate, h, s, m.file.Scale.value(state.Lactate, now))
	}
	var z float64
	for k := range v.out {
		z += float64(v.out[k][outVent+h])
	}
	st.PVent = m.file.VentScaling.chance(z / float64(len(v.out)))
}

// band gives the calibrated quantiles of feature f at step h.
func (m *Model) band(f, h int, s *spreadOf) Band {
	at := h*numF + f
	mu, sigma := s.mu[at], s.sigma[at]
	q80, q95 := m.file.Width80[h][f]*sigma, m.file.Width95[h][f]*sigma
	scale := &m.file.Scale
	return Band{Median: scale.value(f, mu), Lo80: scale.value(f, mu-q80), Hi80: scale.value(f, mu+q80),
		Lo95: scale.value(f, mu-q95), Hi95: scale.value(f, mu+q95)}
}

// below is the chance that feature f at step h is below v: that of the Student
// t distribution which has the calibrated 80 % and 95 % intervals.
func (m *Model) below(f, h int, s *spreadOf, v float64) float64 {
	at := h*numF + f
	t := (forward(f, v) - m.file.Scale.Mean[f]) / m.file.Scale.SD[f]
	nu, unit := tailsOf(m.file.Width80[h][f], m.file.Width95[h][f])
	return distuv.StudentsT{Mu: s.mu[at], Sigma: unit * s.sigma[at], Nu: nu}.CDF(t)
}

// tailsOf finds the degrees of freedom and unit scale of the Student t whose
// central 80 % and 95 % half-widths are w80 and w95.
func tailsOf(w80, w95 float64) (nu, unit float64) {
	best, least := tails[0], math.Inf(1)
	for _, c := range tails {
		if d := math.Abs(c.q975/c.q90 - w95/w80); d < least {
			best, least = c, d
		}
	}
	return best.nu, w80 / best.q90
}

// tails lists the upper quantiles of Student t distributions.
var tails = func() (r []struct{ nu, q90, q975 float64 }) {
	for _, nu := range []float64{1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 8, 10, 15, 30} {
		t := distuv.StudentsT{Sigma: 1, Nu: nu}
		r = append(r, struct{ nu, q90, q975 float64 }{nu, t.Quantile(0.9), t.Quantile(0.975)})
	}
	return r
}()

// Behaviour implements Forecaster.
func (m *Model) Behaviour(tl *state.Timeline) ([5][5]float64, error) {
	if tl == nil || len(tl.Steps) == 0 {
		return [5][5]float64{}, fmt.Errorf("%w: it has no steps", ErrTimeline)
	}
	w := m.borrow()
	defer m.giveBack(w)
	m.file.Scale.encode(tl, w.rows[0])
	p := m.behaviour(m.look(w, w.rows, 0)[0])
	for _, row := range p {
		for _, v := range row {
			if math.IsNaN(v) {
				return [5][5]float64{}, fmt.Errorf("%w: behaviour", ErrNotFinite)
			}
		}
	}
	return p, nil
}

// supportFloor is the least probability given to a pair of levels. It lies far
// below any threshold of support, so that a pair that was hardly ever given
// still counts as unsupported.
const supportFloor = 2e-4

// behaviour averages the members' calibrated probabilities of each pair.
func (m *Model) behaviour(v *view) (p [5][5]float64) {
	var one [numPairs]float32
	for k := range v.out {
		nn.Softmax(one[:], v.out[k][outPairs:outPairs+numPairs], float32(m.file.PairTemperature))
		for i, q := range one {
			p[i/5][i%5] += float64(q) / float64(len(v.out))
		}
	}
	for i := range p {
		for j := range p[i] {
			p[i][j] = supportFloor + (1-numPairs*supportFloor)*p[i][j]
		}
	}
	return p
}

// checkPlans returns the common length of the plans.
func checkPlans(tl *state.Timeline, plans []Plan) (int, error) {
	if tl == nil || len(tl.Steps) == 0 {
		return 0, fmt.Errorf("%w: it has no steps", ErrTimeline)
	}
	if len(plans) == 0 {
		return 0, fmt.Errorf("%w: there are none", ErrPlans)
	}
	steps := len(plans[0].Doses)
	if steps < 1 || steps > Horizon {
		return 0, fmt.Errorf("%w: plan %q has %d steps; 1 to %d can be simulated", ErrPlans, plans[0].Name, steps, Horizon)
	}
	for _, p := range plans {
		if len(p.Doses) != steps {
			return 0, fmt.Errorf("%w: plan %q has %d steps, the first has %d", ErrPlans, p.Name, len(p.Doses), steps)
		}
		for _, d := range p.Doses {
			if !(d.NEUgKgMin >= 0) || !(d.FluidMl >= 0) || math.IsInf(d.NEUgKgMin+d.FluidMl, 0) {
				return 0, fmt.Errorf("%w: plan %q has a dose that is not a finite number at or above 0", ErrPlans, p.Name)
			}
		}
	}
	return steps, nil
}

// saturateCourse saturates a plan's doses; steps beyond it are unknown.
func saturateCourse(doses []Dose) (ne, fluid [Horizon]float32) {
	for h := range Horizon {
		ne[h], fluid[h] = nan32, nan32
		if h < len(doses) {
			ne[h], fluid[h] = saturateDose(doses[h])
		}
	}
	return ne, fluid
}

// finite reports whether every number of a forecast is one.
func (fc *Forecast) finite() bool {
	sum := fc.Support + fc.Disagreement + fc.OOD
	for i := range fc.Steps {
		st := &fc.Steps[i]
		sum += st.PMAPAtGoal + st.PLactateFall + st.PVent
		for f := range st.Band {
			b := &st.Band[f]
			sum += b.Median + b.Lo80 + b.Hi80 + b.Lo95 + b.Hi95
		}
	}
	return !math.IsNaN(sum) && !math.IsInf(sum, 0)
}
