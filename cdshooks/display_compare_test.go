// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: forecasts held against what came.

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

func TestAForecastIsComparedWithWhatTheNextCallFindsCharted(t *testing.T) {
	s := openSite(t, nil)
	s.mu.Lock()
	s.now = clinicNow.Add(-5 * time.Hour)
	s.mu.Unlock()
	for _, p := range []physiology.Scenario{physiology.SepticShock, physiology.RefractoryShock, physiology.Improving} {
		s.view(p, nil).cards()
	}
	s.service.watch.settle()
	if rows := s.records(KindDecision); len(rows) != 3 {
		t.Fatalf("%d decisions", len(rows))
	}
	s.wait(3 * time.Hour)
	s.view(physiology.SepticShock, nil).cards()
	s.service.watch.settle()
	if n := len(s.comparisons()); n != 0 {
		t.Fatalf("%d comparisons before four hours are over", n)
	}
	s.wait(2 * time.Hour)
	for range 2 { // the second finds nothing left to compare
		for _, p := range []physiology.Scenario{physiology.SepticShock, physiology.RefractoryShock, physiology.Improving} {
			s.view(p, nil).cards()
		}
		s.service.watch.settle()
	}
	got := s.comparisons()
	if len(got) == 0 {
		t.Fatal("nothing was compared")
	}
	for _, c := range got {
		if !c.At.Equal(clinicNow.Add(-5*time.Hour)) || c.GoalMmHg != 65 || !(c.MAPMmHg > 30 && c.MAPMmHg < 130) || !(c.Lo80MmHg < c.Hi80MmHg) ||
			c.Inside != (c.MAPMmHg >= c.Lo80MmHg && c.MAPMmHg <= c.Hi80MmHg) || c.AtGoal != (c.MAPMmHg >= 65) {
			t.Errorf("%+v", c)
		}
	}
	t.Logf("compared: %+v", got)
}

func (s *site) comparisons() (out []Comparison) {
	s.t.Helper()
	rows, err := s.log.Query(context.Background(), audit.Filter{Kind: KindCalibration, OldestFirst: true})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, row := range rows {
		c, err := s.service.comparison(context.Background(), row.Index.ID)
		if err != nil {
			s.t.Fatal(err)
		}
		if row.Index.Refers != c.Decision || row.Index.Patient == "" || row.Index.Model != siteHashes().Model {
			s.t.Errorf("the entry cannot be found: %+v", row.Index)
		}
		out = append(out, *c)
	}
	return out
}

func TestWhatIsForecastIsComparedUnderTheTreatmentThatWasGiven(t *testing.T) {
	option := func(vasopressor, fluid int, neUgKgMin float64, median float64) agent.Option {
		var step world.StepForecast
		step.Band[state.MeanBP] = world.Band{Median: median, Lo80: median - 5, Hi80: median + 5}
		step.PMAPAtGoal = 0.7
		return agent.Option{Forecast: world.Forecast{
			Plan:   world.Plan{Name: fmt.Sprint(neUgKgMin), Doses: []world.Dose{{NEUgKgMin: neUgKgMin}}},
			Levels: state.Levels{Vasopressor: vasopressor, Fluid: fluid}, Steps: []world.StepForecast{step},
		}}
	}
	came := func(mapMmHg, neUgKgMin float64, change func(*state.Step)) *state.Step {
		st := &state.Step{InStay: true, Given: state.Exposure{VasoKnown: true, FluidKnown: true, NEMeanUgKgMin: neUgKgMin, Levels: state.Levels{Vasopressor: 2, Fluid: 1}}}
		st.Value[state.MeanBP], st.Presence[state.MeanBP] = mapMmHg, state.Measured
		if change != nil {
			change(st)
		}
		return st
	}
	options := []agent.Option{option(1, 1, 0.05, 60), option(2, 1, 0.10, 65), option(2, 1, 0.15, 75), {}}
	for _, c := range []struct {
		name    string
		options []agent.Option
		came    *state.Step
		plan    string
		inside  bool
		atGoal  bool
		err     error
	}{
		{"of two plans of the levels given the nearer in dose", options, came(71, 0.14, nil), "0.15", true, true, nil},
		{"on the edge of the interval is inside", options, came(60, 0.1, nil), "0.1", true, false, nil},
		{"outside", options, came(59.9, 0.1, nil), "0.1", false, false, nil},
		{"another treatment than was simulated says nothing", options, came(70, 0.1, func(s *state.Step) { s.Given.Levels.Vasopressor = 4 }), "", false, false, errUntried},
		{"a pressure that was carried over is none that came", options, came(70, 0.1, func(s *state.Step) { s.Presence[state.MeanBP] = state.Carried }), "", false, false, errUnmeasured},
		{"a treatment that is not charted is unknown", options, came(70, 0.1, func(s *state.Step) { s.Given.FluidKnown = false }), "", false, false, errUnmeasured},
		{"after the stay nothing comes", options, came(70, 0.1, func(s *state.Step) { s.InStay = false }), "", false, false, errUnmeasured},
		{"a decision that simulated nothing", []agent.Option{{}}, came(70, 0.1, nil), "", false, false, errUnforecast},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := compare(c.options, 65, c.came)
			if !errors.Is(err, c.err) || err == nil && (got.Plan != c.plan || got.Inside != c.inside || got.AtGoal != c.atGoal || got.Chance != 0.7) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}
