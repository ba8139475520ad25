// SPDX-License-Identifier: Apache-2.0

package world

// This file: forecasts of what treatment changes, against patients whose other
// future is known. Only a simulator knows it, so these numbers say how well a
// model has learned the simulator's physiology, and nothing about people.

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// ErrNoContrast: no simulated patient could be asked anything.
var ErrNoContrast = errors.New("no patient with two known futures (hint: ask for more patients)")

// Outcome is what truly happens in one 4-hour step; not a number where the
// patient does not reach its end.
type Outcome struct {
	MAPmmHg      float64 // mean
	LactateMmolL float64 // mean
	UrineMl      float64 // sum
}

// Contrast is one question about a patient: what the second plan changes
// against the first. The plans have Horizon steps.
type Contrast struct {
	Question string
	Plans    [2]Plan
	Truth    [2][Horizon]Outcome
}

// Simulated is a patient whose futures are known.
type Simulated struct {
	Timeline  *state.Timeline
	Contrasts []Contrast
	FluidMl   float64   // per step, beside each of the doses below
	NEUgKgMin []float64 // rising doses, each given for one step from now
	MAPmmHg   []float64 // the true mean MAP of that step under each
}

// Effect says how well the difference between two plans is forecast for one
// quantity at one time.
type Effect struct {
	Question  string `json:"question"`
	Feature   string `json:"feature"`
	Unit      string `json:"unit"`
	Hours     int    `json:"hours"`     // end of the step after the decision
	States    int    `json:"states"`    // patients asked
	Truth     Number `json:"truth"`     // mean true difference
	Forecast  Number `json:"forecast"`  // mean forecast difference
	Error     Number `json:"error"`     // mean absolute error of the difference
	NoEffect  Number `json:"no_effect"` // the same for a forecast of no difference
	Notable   int    `json:"notable"`   // states whose true difference is worth a sign: see NotableChange
	RightSign Number `json:"right_sign"`
}

// Curve is a dose-response curve, averaged over a third of the states.
type Curve struct {
	Group     string   `json:"group"`
	States    int      `json:"states"`
	NEUgKgMin []Number `json:"ne_ug_kg_min"`
	Forecast  []Number `json:"forecast_map_mmhg"`
	Truth     []Number `json:"true_map_mmhg,omitempty"` // of simulated patients
}

// Effects is the result of MeasureEffects.
type Effects struct {
	Patients int      `json:"patients"`
	Effects  []Effect `json:"effects"`
	Curves   []Curve  `json:"dose_response"`
}

// NotableChange is the smallest true difference whose sign is scored: below it
// the sign is the simulator's noise.
var NotableChange = Outcome{MAPmmHg: 1, LactateMmolL: 0.1, UrineMl: 10}

// quantities are the features of an Outcome.
var quantities = []struct {
	feature int
	notable float64
	of      func(*Outcome) float64
}{
	{state.MeanBP, NotableChange.MAPmmHg, func(o *Outcome) float64 { return o.MAPmmHg }},
	{state.Lactate, NotableChange.LactateMmolL, func(o *Outcome) float64 { return o.LactateMmolL }},
	{state.Urine, NotableChange.UrineMl, func(o *Outcome) float64 { return o.UrineMl }},
}

// effectTally adds up one question, quantity and step.
type effectTally struct{ truth, forecast, off, still, sign mean }

// MeasureEffects asks m about every patient. Its errors are those of patients,
// of m, or ErrNoContrast.
func MeasureEffects(ctx context.Context, m Forecaster, patients iter.Seq2[Simulated, error]) (*Effects, error) {
	out := &Effects{}
	var questions []string
	tallies := map[string]*[3][Horizon]effectTally{}
	var responses []response
	for p, err := range patients {
		if err != nil {
			return nil, err
		}
		out.Patients++
		for i := range p.Contrasts {
			c := &p.Contrasts[i]
			t := tallies[c.Question]
			if t == nil {
				t = &[3][Horizon]effectTally{}
				tallies[c.Question] = t
				questions = append(questions, c.Question)
			}
			if err := c.ask(ctx, m, p.Timeline, t); err != nil {
				return nil, err
			}
		}
		r, err := respond(ctx, m, p.Timeline, p.NEUgKgMin, p.FluidMl)
		if err != nil {
			return nil, err
		}
		r.truth = p.MAPmmHg
		responses = append(responses, r)
	}
	if out.Patients == 0 {
		return nil, ErrNoContrast
	}
	for _, q := range questions {
		for i := range quantities {
			for h := range Horizon {
				out.Effects = append(out.Effects, tallies[q][i][h].effect(q, i, h))
			}
		}
	}
	out.Curves = curves(responses)
	return out, nil
}

// ask forecasts both plans and adds the differences to t.
func (c *Contrast) ask(ctx context.Context, m Forecaster, tl *state.Timeline, t *[3][Horizon]effectTally) error {
	fc, err := m.Forecast(ctx, tl, c.Plans[:], 65)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Question, err)
	}
	for i, q := range quantities {
		for h := range fc[0].Steps {
			truth := q.of(&c.Truth[1][h]) - q.of(&c.Truth[0][h])
			if math.IsNaN(truth) {
				continue
			}
			got := fc[1].Steps[h].Band[q.feature].Median - fc[0].Steps[h].Band[q.feature].Median
			e := &t[i][h]
			e.truth.add(truth)
			e.forecast.add(got)
			e.off.add(math.Abs(got - truth))
			e.still.add(math.Abs(truth))
			if math.Abs(truth) >= q.notable {
				e.sign.add(indicator(got*truth > 0))
			}
		}
	}
	return nil
}

func (t *effectTally) effect(question string, quantity, h int) Effect {
	f := &features[quantities[quantity].feature]
	return Effect{Question: question, Feature: string(f.Name), Unit: f.UnitLabel, Hours: state.StepHours * (h + 1), States: int(t.truth.n),
		Truth: t.truth.value(), Forecast: t.forecast.value(), Error: t.off.value(), NoEffect: t.still.value(),
		Notable: int(t.sign.n), RightSign: t.sign.value()}
}
