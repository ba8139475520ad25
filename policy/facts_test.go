// SPDX-License-Identifier: Apache-2.0

package policy

// This file: what the facts read of a chart and of a forecast, and when they
// have no value.

import (
	"fmt"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

func read1(t *testing.T, in *input, name string) any {
	t.Helper()
	if in.fc != nil && in.p == nil {
		in.p = &Proposal{Direction: DirectionNone}
	}
	v, ok := read(in).known[name]
	if !ok {
		return nil
	}
	return v
}

func (b *bed) reading(concept string, value, ageMin float64) {
	if b.tl.Present.Readings == nil {
		b.tl.Present.Readings = map[string]state.Reading{}
	}
	b.tl.Present.Readings[concept] = state.Reading{Concept: state.Concept(concept), Value: value, AgeMin: ageMin}
}

// creatinine charts one value per step, newest last, and the newest now.
func (b *bed) creatinine(mgDl ...float64) {
	for i, v := range mgDl {
		s := &b.tl.Steps[len(b.tl.Steps)-len(mgDl)+i]
		s.Value[state.Creatinine], s.Presence[state.Creatinine] = v, state.Measured
		b.reading("creatinine", v, 60)
	}
}

func (b *bed) urine(sixHoursMl, dayMl float64) {
	f := &b.tl.Present.Fluids
	f.UrineKnown, f.Urine6hMl, f.Urine24hMl = true, sixHoursMl, dayMl
	b.tl.HoursInICU = 30
}

func TestFactsOfTheChart(t *testing.T) {
	for _, c := range []struct {
		name, fact string
		set        func(b *bed)
		want       any // nil: unknown
	}{
		{"creatinine charted once stages nothing", "akin_stage", func(b *bed) { b.creatinine(3) }, nil},
		{"creatinine that does not rise is stage 0", "akin_stage", func(b *bed) { b.creatinine(1, 1.1) }, 0.0},
		{"a rise of 0.3 is stage 1", "akin_stage", func(b *bed) { b.creatinine(1, 1.3) }, 1.0},
		{"more than twice is stage 2", "akin_stage", func(b *bed) { b.creatinine(1, 2.1) }, 2.0},
		{"more than three times is stage 3", "akin_stage", func(b *bed) { b.creatinine(1, 2, 3.2) }, 3.0},
		{"4 with a rise of 0.5 is stage 3", "akin_stage", func(b *bed) { b.creatinine(3.4, 4.0) }, 3.0},
		{"a creatinine of yesterday morning stages nothing", "akin_stage", func(b *bed) { b.creatinine(1, 2.1); b.reading("creatinine", 2.1, 30*60) }, nil},
		{"little urine is stage 1", "akin_stage", func(b *bed) { b.creatinine(1, 1); b.urine(100, 1500) }, 1.0},
		{"little urine all day is stage 2", "akin_stage", func(b *bed) { b.urine(100, 800) }, 2.0},
		{"next to no urine all day is stage 3", "akin_stage", func(b *bed) { b.urine(50, 200) }, 3.0},
		{"enough urine alone stages nothing", "akin_stage", func(b *bed) { b.urine(600, 2400) }, nil},
		{"urine without a weight stages nothing", "akin_stage", func(b *bed) { b.urine(50, 200); b.tl.Present.Weight.Known = false }, nil},
		{"dialysis for acute injury is stage 3", "akin_stage", func(b *bed) { b.check(state.CheckDialysis) }, 3.0},
		{"chronic dialysis is no acute injury", "akin_stage", func(b *bed) { b.check(state.CheckDialysis); b.check(state.CheckESRD) }, nil},
		{"glucose of now", "glucose_mg_dl", func(b *bed) { b.reading("glucose", 210, 30) }, 210.0},
		{"glucose of six hours ago is unknown", "glucose_mg_dl", func(b *bed) { b.reading("glucose", 210, 360) }, nil},
		{"a line pressure", "arterial_line", func(b *bed) { b.tl.Present.MAP.ArterialNow = &state.Reading{AgeMin: 10} }, true},
		{"cuff pressures only", "arterial_line", func(b *bed) { b.tl.Present.MAP.Newest.Method = state.MethodCuff }, false},
		{"pressures of an unnamed source", "arterial_line", func(*bed) {}, nil},
		{"a line of yesterday and a cuff now", "arterial_line", func(b *bed) {
			b.tl.Present.MAP.ArterialNow = &state.Reading{AgeMin: 1500}
			b.tl.Present.MAP.Newest.Method = state.MethodCuff
		}, false},
		{"shock where lactate was never measured", "septic_shock", func(*bed) {}, nil},
		{"no shock where both are known", "septic_shock", func(b *bed) { b.tl.Present.Lactate.Now = &state.Reading{Value: 1, AgeMin: 30} }, false},
		{"shock", "septic_shock", func(b *bed) { b.tl.Present.Sepsis.Shock = true }, true},
		{"esmolol running", "beta_blocker_running", func(b *bed) {
			b.tl.Present.Agents = []state.Agent{{Drug: "esmolol", Class: state.ClassVasoactive, State: state.AgentRunning}}
		}, true},
		{"no beta-blocker charted is not known to be none", "beta_blocker_running", func(*bed) {}, nil},
		{"ScvO2", "scvo2_pct", func(b *bed) { b.reading("scvo2", 61, 20) }, 61.0},
		{"cardiac index never charted", "cardiac_index_l_min_m2", func(*bed) {}, nil},
		{"hemoglobin of the day before yesterday", "hemoglobin_g_dl", func(b *bed) { b.reading("hemoglobin", 6.5, 40*60) }, nil},
		{"the dose of eight hours ago", "ne_8h_ago_ug_kg_min", func(b *bed) {
			s := &b.tl.Steps[len(b.tl.Steps)-3]
			s.InStay, s.Given.VasoKnown, s.Given.NEEndUgKgMin = true, true, 0.2
		}, 0.2},
		{"the dose before the stay", "ne_8h_ago_ug_kg_min", func(b *bed) { b.tl.Steps[len(b.tl.Steps)-3].Given.VasoKnown = true }, nil},
		{"the lowest pressure of any source", "map_lowest_source_mmhg", func(b *bed) {
			b.tl.Present.MAP.CuffNow = &state.Reading{Value: 49, AgeMin: 20}
		}, 49.0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &bed{tl: known()}
			c.set(b)
			if got := read1(t, &input{tl: b.tl}, c.fact); fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("%s is %v, want %v", c.fact, got, c.want)
			}
		})
	}
}

func TestFactsOfTheFuture(t *testing.T) {
	future := func(mapMmHg ...float64) *world.Forecast {
		fc := &world.Forecast{}
		for k, v := range mapMmHg {
			s := world.StepForecast{EndH: float64(4 * (k + 1))}
			s.Band[state.MeanBP].Median, s.Band[state.MeanBP].Lo80 = v, v-8
			s.Band[state.PaO2].Median, s.Band[state.FiO2].Median = 80, 50
			fc.Steps = append(fc.Steps, s)
		}
		return fc
	}
	measured := func(tl *state.Timeline) {
		last := &tl.Steps[len(tl.Steps)-1]
		last.Presence[state.PaO2], last.Presence[state.FiO2] = state.Measured, state.Carried
	}
	for _, c := range []struct {
		name, fact string
		fc         *world.Forecast
		set        func(tl *state.Timeline)
		want       any
	}{
		{"MAP of the second step", "forecast_map_8h_mmhg", future(60, 67), nil, 67.0},
		{"MAP of a step that was not simulated", "forecast_map_12h_mmhg", future(60, 67), nil, nil},
		{"the lower end of the first", "forecast_map_4h_low80_mmhg", future(60), nil, 52.0},
		{"the goal is reached at step 2", "forecast_first_at_goal_h", future(60, 67, 70), nil, 8.0},
		{"the goal is never reached", "forecast_first_at_goal_h", future(60, 61), nil, nil},
		{"and that is known", "forecast_reaches_goal", future(60, 61), nil, false},
		{"nothing simulated", "forecast_reaches_goal", future(), nil, nil},
		{"P/F where both were measured", "forecast_pf_4h_ratio", future(60), measured, 160.0},
		{"P/F that the model only assumes", "forecast_pf_4h_ratio", future(60), nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			tl := known()
			if c.set != nil {
				c.set(tl)
			}
			if got := read1(t, &input{tl: tl, fc: c.fc}, c.fact); fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("%s is %v, want %v", c.fact, got, c.want)
			}
		})
	}
}

func TestAFactIsWrittenForPeople(t *testing.T) {
	for name, want := range map[string][2]string{
		"map_mmhg": {"map", "mmHg"}, "ne_now_ug_kg_min": {"ne now", "ug/kg/min"}, "bolus_3h_ml": {"bolus 3h", "mL"},
		"cardiac_index_l_min_m2": {"cardiac index", "L/min/m2"}, "akin_stage": {"akin stage", "stage"}, "pf_ratio": {"pf ratio", "ratio"},
		"urine_ml_kg_h": {"urine", "mL/kg/h"}, "scvo2_pct": {"scvo2", "%"}, "vasopressor_running": {"vasopressor running", ""}, "ph": {"ph", ""},
	} {
		if got := [2]string{Plain(name), Unit(name)}; got != want {
			t.Errorf("%s reads %q, want %q", name, got, want)
		}
	}
}
