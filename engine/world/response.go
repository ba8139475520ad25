// SPDX-License-Identifier: Apache-2.0

package world

// This file: the forecast dose response over states: whether norepinephrine
// only ever raises pressure, by less and less, and whether fluid may do harm.

import (
	"context"
	"fmt"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Shape counts where the dose response over states is not what it must be.
type Shape struct {
	States         int     `json:"states"`
	Increments     int     `json:"increments"`       // of dose, over states and steps
	MAPFalls       int     `json:"map_falls"`        // increments of norepinephrine that lower the forecast MAP
	NotSaturating  int     `json:"not_saturating"`   // increments that raise it more than the one before
	RiseMmHg       Number  `json:"rise_mmhg"`        // mean rise of the next step's MAP from no dose to the largest
	FluidRaisesMAP Number  `json:"fluid_raises_map"` // share of states in which a litre raises the next step's MAP
	FluidLowersPO2 Number  `json:"fluid_lowers_pao2"`
	Curves         []Curve `json:"dose_response"`
}

// doseGrid is what every state is asked: 0 to 0.6 ug/kg/min in equal parts.
var doseGrid = func() (v []float64) {
	for i := range 13 {
		v = append(v, float64(5*i)/100)
	}
	return v
}()

// slackMmHg is the rounding of a 32-bit forecast of pressure.
const slackMmHg = 1e-3

// response is the forecast MAP of one state under rising doses.
type response struct {
	mapMmHg  float64   // last known
	ne       []float64 // ug/kg/min
	forecast []float64 // MAP of the next step, mmHg
	truth    []float64 // where it is known
	all      []Forecast
}

// respond forecasts each dose held over the horizon.
func respond(ctx context.Context, m Forecaster, tl *state.Timeline, ne []float64, fluidMl float64) (response, error) {
	plans := make([]Plan, len(ne))
	for i, d := range ne {
		plans[i] = held(fmt.Sprintf("%.2f", d), Dose{NEUgKgMin: d, FluidMl: fluidMl})
	}
	fc, err := m.Forecast(ctx, tl, plans, 65)
	r := response{ne: ne, all: fc, mapMmHg: lastKnown(tl, state.MeanBP)}
	for i := range fc {
		r.forecast = append(r.forecast, fc[i].Steps[0].Band[state.MeanBP].Median)
	}
	return r, err
}

// held is a plan that gives the same in every step.
func held(name string, d Dose) Plan {
	return Plan{Name: name, Doses: slices.Repeat([]Dose{d}, Horizon)}
}

// lastKnown is the newest value of a feature, or 0 when there is none.
func lastKnown(tl *state.Timeline, f int) float64 {
	for _, st := range slices.Backward(tl.Steps) {
		if st.Presence[f] != state.Missing {
			return st.Value[f]
		}
	}
	return 0
}

// shaper adds up the shape over states.
type shaper struct {
	shape     Shape
	rise      mean
	raises    mean
	lowers    mean
	responses []response
}

// add asks m about one state.
func (s *shaper) add(ctx context.Context, m Forecaster, tl *state.Timeline) error {
	given, fluidMl := newest(tl).Given, 0.0
	if given.FluidKnown {
		fluidMl = given.FluidModelMl
	}
	r, err := respond(ctx, m, tl, doseGrid, fluidMl)
	if err != nil {
		return err
	}
	s.shape.States++
	for h := range Horizon {
		before := 0.0
		for i := 1; i < len(r.all); i++ {
			rise := r.all[i].Steps[h].Band[mbp].Median - r.all[i-1].Steps[h].Band[mbp].Median
			s.shape.Increments++
			s.shape.MAPFalls += int(indicator(rise < -slackMmHg))
			s.shape.NotSaturating += int(indicator(i > 1 && rise > before+slackMmHg))
			before = rise
		}
	}
	s.rise.add(r.forecast[len(r.forecast)-1] - r.forecast[0])
	now := Dose{NEUgKgMin: given.NEEndUgKgMin, FluidMl: fluidMl}
	more := now
	more.FluidMl += 1000
	fc, err := m.Forecast(ctx, tl, []Plan{held("as now", now), held("a litre more", more)}, 65)
	if err != nil {
		return err
	}
	a, b := &fc[0].Steps[0].Band, &fc[1].Steps[0].Band
	s.raises.add(indicator(b[mbp].Median > a[mbp].Median))
	s.lowers.add(indicator(b[state.PaO2].Median < a[state.PaO2].Median))
	r.all = nil
	s.responses = append(s.responses, r)
	return nil
}

func (s *shaper) sum() *Shape {
	if s.shape.States == 0 {
		return nil
	}
	s.shape.RiseMmHg, s.shape.FluidRaisesMAP, s.shape.FluidLowersPO2 = s.rise.value(), s.raises.value(), s.lowers.value()
	s.shape.Curves = curves(s.responses)
	return &s.shape
}

// curves averages responses within thirds of the states, by their MAP. All
// responses have the doses of the first.
func curves(all []response) (out []Curve) {
	known := slices.DeleteFunc(slices.Clone(all), func(r response) bool { return r.mapMmHg == 0 })
	slices.SortStableFunc(known, func(a, b response) int {
		return int(indicator(a.mapMmHg > b.mapMmHg) - indicator(a.mapMmHg < b.mapMmHg))
	})
	for third := range 3 {
		part := known[third*len(known)/3 : (third+1)*len(known)/3]
		if len(part) == 0 {
			continue
		}
		c := Curve{Group: fmt.Sprintf("MAP now %.0f to %.0f mmHg", part[0].mapMmHg, part[len(part)-1].mapMmHg), States: len(part)}
		for i, dose := range part[0].ne {
			var forecast, truth mean
			for _, r := range part {
				forecast.add(r.forecast[i])
				if r.truth != nil {
					truth.add(r.truth[i])
				}
			}
			c.NEUgKgMin, c.Forecast = append(c.NEUgKgMin, Number(dose)), append(c.Forecast, forecast.value())
			if truth.n > 0 {
				c.Truth = append(c.Truth, truth.value())
			}
		}
		out = append(out, c)
	}
	return out
}
