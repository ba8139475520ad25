// SPDX-License-Identifier: Apache-2.0

package world

// This file: Persistence, the Forecaster that says nothing changes.

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Persistence forecasts every feature at its last known value, whatever the
// plan. A feature never seen is forecast at the scale's mean. The zero value is
// ready for use: it has the published scale and widths that grow with the
// square root of time. Model.Persistence gives one with widths measured on the
// training patients.
type Persistence struct {
	scale            *Scale
	width80, width95 *[Horizon][numF]float64 // standardised half-widths; nil: from the scale
	config           *state.Config           // nil: the default cut-points
}

var _ Forecaster = Persistence{}

// Persistence returns the persistence baseline with widths measured on the
// patients that trained m.
func (m *Model) Persistence() Persistence {
	cfg := m.file.config()
	return Persistence{scale: &m.file.Scale, width80: &m.file.Persist80, width95: &m.file.Persist95, config: &cfg}
}

// Info identifies the baseline; the hash is that of its numbers.
func (p Persistence) Info() Info {
	p = p.ready()
	b, err := json.Marshal([]any{p.scale, p.width80, p.width95, p.config.VasopressorCuts, p.config.FluidCuts})
	if err != nil {
		b = nil // numbers that are not finite: still identified, never equal to a sound one
	}
	sum := sha256.Sum256(b)
	return Info{Kind: "persistence", Version: "1.0.0", Hash: hex.EncodeToString(sum[:]), Trained: "nothing", Members: 1}
}

// ready fills what the zero value leaves open.
func (p Persistence) ready() Persistence {
	if p.scale == nil {
		p.scale = defaultScale()
	}
	if p.config == nil {
		cfg := state.DefaultConfig()
		p.config = &cfg
	}
	if p.width80 == nil {
		p.width80, p.width95 = new([Horizon][numF]float64), new([Horizon][numF]float64)
		for h := range Horizon {
			for f := range numF {
				w := 0.5 * math.Sqrt(float64(h+1)) // half a standard deviation per step
				p.width80[h][f], p.width95[h][f] = w, 2*w
			}
		}
	}
	return p
}

// Forecast implements Forecaster.
func (p Persistence) Forecast(ctx context.Context, tl *state.Timeline, plans []Plan, goalMmHg float64) ([]Forecast, error) {
	steps, err := checkPlans(tl, plans)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p = p.ready()
	x := make([]float32, InputSize)
	p.scale.encode(tl, x)
	course := make([]StepForecast, steps)
	for h := range course {
		course[h] = p.step(x, h, goalMmHg)
	}
	probs := p.behaviour(tl)
	out := make([]Forecast, len(plans))
	for i, plan := range plans {
		levels := labels(*p.config, plan.Doses[0])
		out[i] = Forecast{Plan: plan, Levels: levels, Steps: append([]StepForecast(nil), course...),
			Support: probs[levels.Vasopressor][levels.Fluid]}
	}
	return out, nil
}

func (p Persistence) step(x []float32, h int, goalMmHg float64) StepForecast {
	st := StepForecast{EndH: float64((h + 1) * state.StepHours), PVent: 0.5}
	below := func(f int, v float64) float64 { // Student t with the two widths
		nu, unit := tailsOf(p.width80[h][f], p.width95[h][f])
		t := (forward(f, v) - p.scale.Mean[f]) / p.scale.SD[f]
		return distuv.StudentsT{Mu: float64(x[f*perFeature+inLast]), Sigma: unit, Nu: nu}.CDF(t)
	}
	for f := range numF {
		mu, a, b := float64(x[f*perFeature+inLast]), p.width80[h][f], p.width95[h][f]
		st.Band[f] = Band{Median: p.scale.value(f, mu), Lo80: p.scale.value(f, mu-a), Hi80: p.scale.value(f, mu+a),
			Lo95: p.scale.value(f, mu-b), Hi95: p.scale.value(f, mu+b)}
	}
	project(&st.Band)
	st.PMAPAtGoal = 1 - below(mbp, goalMmHg)
	if x[state.Lactate*perFeature+inKnown] == 1 {
		st.PLactateFall = below(state.Lactate, st.Band[state.Lactate].Median)
	}
	if x[globalAt+inVentKnown] == 1 {
		st.PVent = 0.05 + 0.9*float64(x[globalAt+inVent])
	}
	return st
}

// Behaviour implements Forecaster: clinicians go on as they did in the newest
// step with 60 %, the rest is even.
func (p Persistence) Behaviour(tl *state.Timeline) ([5][5]float64, error) {
	if tl == nil || len(tl.Steps) == 0 {
		return [5][5]float64{}, ErrTimeline
	}
	return p.ready().behaviour(tl), nil
}

func (p Persistence) behaviour(tl *state.Timeline) (b [5][5]float64) {
	same := pairsOf(newest(tl).Given)
	if same == 0 {
		same = 1<<numPairs - 1
	}
	var n float64
	for i := range numPairs {
		n += float64(same >> i & 1)
	}
	for i := range numPairs {
		b[i/5][i%5] = 0.4/numPairs + 0.6*float64(same>>i&1)/n
	}
	return b
}

// labels gives the levels of a dose.
func labels(cfg state.Config, d Dose) state.Levels { return cfg.LevelsOf(d.NEUgKgMin, d.FluidMl) }
