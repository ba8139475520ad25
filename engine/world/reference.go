// SPDX-License-Identifier: Apache-2.0

package world

// This file: Reference, the published Clinical World Model behind the same
// interface as ours, so that the two can be swapped and compared.
//
// What is published stays: the networks, the inputs, the window, zero padding,
// Gaussian steps. What the product does not allow is mended at the edge, where
// it changes no weight: log-scales are bounded, samples seeded, forecasts kept
// possible, masks mean measured, one rule aligns actions.
//
// The published model does not know how often clinicians do what a plan does.
// Without a native model that lends its support atlas, forecasts therefore
// carry a support of 0 and the greatest strangeness, which every gate reads as
// out of support, and Behaviour is an error: the agent abstains.

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

// ErrNoBehaviour: the model does not know how clinicians treat. Use the
// reference of a native model (Model.Reference), which lends its own atlas.
var ErrNoBehaviour = errors.New("the reference model has no behaviour model")

// Reference is the published architecture with some weights: fitted here, or
// imported. It is immutable and safe for concurrent use.
type Reference struct {
	info     Info
	file     refFile
	dynamics []float32
	outcome  []float32 // nil where only the dynamics were fitted
	core     *refCore
	support  *Model    // lends behaviour and atlas; may be nil
	work     sync.Pool // refWork of questions
	single   sync.Pool // refWork of one plan along its mean
}

var _ Forecaster = (*Reference)(nil)

// refFile is everything about a reference model but its tensors.
type refFile struct {
	Schema   string          `json:"schema"`
	Version  string          `json:"version"`
	Origin   string          `json:"origin"` // where the weights come from, for people
	Features []string        `json:"features"`
	Scale    refScale        `json:"scale"`
	Outcome  string          `json:"outcome"` // what the outcome network predicts; empty: there is none
	Width80  [numF]float64   `json:"width80"` // half-widths in predicted standard deviations
	Width95  [numF]float64   `json:"width95"`
	Cuts     refCuts         `json:"cuts"`
	Training *TrainingRecord `json:"training,omitempty"` // nil where others trained it
	Settings *RefConfig      `json:"settings,omitempty"`
}

// refCuts are the cut-points of the levels that actions are labelled with.
type refCuts struct {
	Vasopressor [3]float64 `json:"vasopressor"`
	Fluid       [3]float64 `json:"fluid"`
}

// Half-widths of a normal distribution, before calibration.
var normal80, normal95 = distuv.UnitNormal.Quantile(0.9), distuv.UnitNormal.Quantile(0.975)

// newReference makes a model of checked parts.
func newReference(file refFile, dynamics, outcome []float32) *Reference {
	r := &Reference{file: file, dynamics: dynamics, outcome: outcome}
	r.core = newRefCore(publishedDynamics(), dynamics, &r.file.Scale)
	return r
}

// Info identifies the model.
func (r *Reference) Info() Info { return r.info }

func (r *Reference) config() state.Config {
	cfg := state.DefaultConfig()
	cfg.VasopressorCuts, cfg.FluidCuts = r.file.Cuts.Vasopressor, r.file.Cuts.Fluid
	return cfg
}

// refMoments is the distribution of one plan at one step: of the features,
// standardised, and the chance of ventilation.
type refMoments struct {
	mu, sigma [numF]float64
	vent      float64
}

// Reference returns the published architecture fitted to the patients that
// trained m, with m's support and behaviour; false where m was trained without.
func (m *Model) Reference() (*Reference, bool) {
	if m.reference == nil {
		return nil, false
	}
	r := newReference(m.reference.file, m.reference.dynamics, m.reference.outcome)
	r.support, r.info = m, m.info
	r.info.Kind, r.info.Members = kindReference, 1
	return r, true
}

// simulate gives the moments of every plan at every step: of the paths'
// mixture, whose variance is the paths' own plus that of their means.
func (r *Reference) simulate(w *window, courses [][]uint16) [][]refMoments {
	steps := len(courses[0])
	k, _ := r.work.Get().(*refWork)
	if k == nil || k.plans != len(courses) || k.steps < steps {
		k = r.core.newWork(len(courses), steps, refPaths)
	}
	defer r.work.Put(k)
	out := make([][]refMoments, len(courses))
	for i := range out {
		out[i] = make([]refMoments, steps)
	}
	r.core.rollout(k, w, courses, func(h int, mu, sigma, logit *nn.Mat) {
		paths := mu.Rows / len(courses)
		for i := range out {
			out[i][h].take(mu, sigma, logit, i*paths, paths)
		}
	})
	return out
}

// take mixes n rows of equal weight.
func (m *refMoments) take(mu, sigma, logit *nn.Mat, from, n int) {
	for i := from; i < from+n; i++ {
		m.vent += float64(nn.Sigmoid(logit.Data[i])) / float64(n)
		for f, v := range mu.Row(i) {
			m.mu[f] += float64(v) / float64(n)
		}
	}
	for f := range numF {
		var variance float64
		for i := from; i < from+n; i++ {
			d := float64(mu.Row(i)[f]) - m.mu[f]
			variance += (d*d + math.Exp(2*float64(sigma.Row(i)[f]))) / float64(n)
		}
		m.sigma[f] = math.Sqrt(variance)
	}
}

// Forecast implements Forecaster.
func (r *Reference) Forecast(ctx context.Context, tl *state.Timeline, plans []Plan, goalMmHg float64) ([]Forecast, error) {
	steps, err := checkPlans(tl, plans)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cfg := r.config()
	courses, levels := make([][]uint16, len(plans)), make([]state.Levels, len(plans))
	for i, p := range plans {
		courses[i] = make([]uint16, steps)
		for h, d := range p.Doses {
			courses[i][h] = bitsOf(labels(cfg, d))
		}
		levels[i] = labels(cfg, p.Doses[0])
	}
	w := windowAt(tl)
	moments := r.simulate(w, courses)
	known := r.familiarity(tl)
	out := make([]Forecast, len(plans))
	for i, plan := range plans {
		fc := Forecast{Plan: plan, Levels: levels[i], Steps: make([]StepForecast, steps), OOD: known.ood,
			Support: known.probs[levels[i].Vasopressor][levels[i].Fluid],
			Similar: int(known.counts[5*levels[i].Vasopressor+levels[i].Fluid])}
		for h := range steps {
			fc.Steps[h] = r.step(w, &moments[i][h], h, goalMmHg)
		}
		if !moments[i][0].finite() || !fc.finite() {
			return nil, fmt.Errorf("%w: plan %q", ErrNotFinite, plan.Name)
		}
		out[i] = fc
	}
	return out, nil
}

// finite looks at the moments themselves: bands are kept in range, which would
// hide what is not a number.
func (m *refMoments) finite() bool {
	sum := m.vent
	for f := range numF {
		sum += m.mu[f] + m.sigma[f]
	}
	return finite(sum)
}

// familiarity is how much is known about a state: nothing, unless a native
// model lends its atlas.
type familiarity struct {
	probs  [5][5]float64
	counts [numPairs]float32
	ood    float64
}

func (r *Reference) familiarity(tl *state.Timeline) familiarity {
	if r.support == nil {
		return familiarity{ood: 1}
	}
	m := r.support
	w := m.borrow()
	defer m.giveBack(w)
	x, c := w.rows[0], w.context
	m.file.Scale.encode(tl, x)
	place(c, x)
	return familiarity{probs: m.behaviour(m.look(w, w.rows, 0)[0]), counts: m.atlas.near(w, c, tl.Synthetic), ood: m.atlas.ood(c, tl.Synthetic)}
}

// step turns moments into bands and chances.
func (r *Reference) step(w *window, m *refMoments, h int, goalMmHg float64) StepForecast {
	st := StepForecast{EndH: float64((h + 1) * state.StepHours), PVent: m.vent}
	for f := range numF {
		st.Band[f] = r.band(f, m)
	}
	project(&st.Band)
	st.PMAPAtGoal = 1 - r.below(mbp, m, goalMmHg)
	for i := outcomeWindow - 1; i >= 0; i-- {
		if v := w.value[i][state.Lactate]; !isNaN(v) {
			st.PLactateFall = r.below(state.Lactate, m, float64(v))
			break
		}
	}
	return st
}

func (r *Reference) band(f int, m *refMoments) Band {
	a, b := r.file.Width80[f]*m.sigma[f], r.file.Width95[f]*m.sigma[f]
	at := func(z float64) float64 { return r.file.Scale.value(f, z) }
	return Band{Median: at(m.mu[f]), Lo80: at(m.mu[f] - a), Hi80: at(m.mu[f] + a), Lo95: at(m.mu[f] - b), Hi95: at(m.mu[f] + b)}
}

// below is the chance that feature f is below v, by a normal distribution with
// the 80 % interval that is served.
func (r *Reference) below(f int, m *refMoments, v float64) float64 {
	s := &r.file.Scale
	z := (v - s.Mean[f]) / s.SD[f]
	return distuv.Normal{Mu: m.mu[f], Sigma: m.sigma[f] * r.file.Width80[f] / normal80}.CDF(z)
}

// Behaviour implements Forecaster. Without a native model that lends its own,
// it is ErrNoBehaviour.
func (r *Reference) Behaviour(tl *state.Timeline) ([5][5]float64, error) {
	if r.support == nil {
		return [5][5]float64{}, ErrNoBehaviour
	}
	return r.support.Behaviour(tl)
}

// course forecasts what was measured after sm, along the mean of what was
// given, standardised on another scale: what a stored baseline is scored by.
func (r *Reference) course(sm *sample, scale *Scale, z *[Horizon * numF]float64) {
	k, _ := r.single.Get().(*refWork)
	if k == nil {
		k = r.core.newWork(1, Horizon, 1)
	}
	defer r.single.Put(k)
	r.core.rollout(k, sm.past, [][]uint16{sm.past.future[:]}, func(h int, mu, _, _ *nn.Mat) {
		var b [numF]Band
		for f, v := range mu.Row(0) {
			b[f].Median = r.file.Scale.value(f, float64(v))
		}
		project(&b)
		for f := range b {
			z[h*numF+f] = float64(scale.z(f, b[f].Median))
		}
	})
}

// refNext is what the networks say of one decision time, one step ahead.
type refNext struct {
	median [numF]float64 // canonical units, in range
	vent   float64       // chance of ventilation in the next step
}

// next predicts one step ahead for windows whose last action is what was given.
func (r *Reference) next(windows []*window) []refNext {
	out := make([]refNext, len(windows))
	net := publishedDynamics()
	net.each(r.dynamics, &r.file.Scale, windows, func(from int, p *refPass) {
		for i := range p.rows {
			o := &out[from+i]
			o.vent = float64(nn.Sigmoid(p.logit.Data[i]))
			for f, z := range p.mu.Row(i) {
				o.median[f] = r.file.Scale.value(f, float64(z))
			}
		}
	})
	return out
}

// deaths gives the outcome network's chances: of what file.Outcome names. nil
// where there is no such network.
func (r *Reference) deaths(windows []*window) []float64 {
	if r.outcome == nil {
		return nil
	}
	out := make([]float64, len(windows))
	net := publishedOutcome()
	net.each(r.outcome, &r.file.Scale, windows, func(from int, p *refPass) {
		for i := range p.rows {
			out[from+i] = float64(nn.Sigmoid(p.logit.Data[i]))
		}
	})
	return out
}
