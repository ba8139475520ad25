// SPDX-License-Identifier: Apache-2.0

package main

// This file: the what-if figures of a case: what was charted, and what the
// model forecasts under current, suggested and alternative treatment.

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/figure"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// caseFeatures are drawn. Mortality is not among them, and never is.
var caseFeatures = []int{state.MeanBP, state.Lactate}

// casePictures draws the forecasts of a decision; none where nothing was
// simulated.
func casePictures(n int, tl *state.Timeline, d *agent.Decision) (out []picture) {
	for _, index := range caseFeatures {
		f := state.Catalogue()[index]
		fan := figure.Fan{
			Title:  fmt.Sprintf("Case %d: %s", n, f.Label),
			XLabel: "hours from the decision", YLabel: f.Label + ", " + f.UnitLabel, XStep: state.StepHours, HistoryLabel: "charted: 4-h means, newest", Width: 600, Height: 340,
			Paper: true,
		}
		for _, s := range tl.Steps {
			y := math.NaN()
			if s.InStay && s.Presence[index] == state.Measured {
				y = s.Value[index]
			}
			fan.History = append(fan.History, figure.Point{X: s.End.Sub(tl.At).Hours() - state.StepHours/2., Y: y})
		}
		if r, ok := tl.Present.Readings[string(f.Name)]; ok && r.AgeMin <= 60*f.HoldHours {
			fan.History = append(fan.History, figure.Point{X: -r.AgeMin / 60, Y: r.Value})
		}
		slices.SortStableFunc(fan.History, func(a, b figure.Point) int { return cmp.Compare(a.X, b.X) })
		for _, role := range []string{agent.RoleCurrent, agent.RoleSuggested, agent.RoleAlternative} {
			for _, o := range d.Options {
				if o.Role != role || len(o.Forecast.Steps) == 0 {
					continue
				}
				plan := figure.FanPlan{Name: role, Strong: role == agent.RoleSuggested || d.Status != agent.Suggest && role == agent.RoleCurrent}
				for _, s := range o.Forecast.Steps {
					b := s.Band[index]
					plan.Points = append(plan.Points, figure.FanPoint{X: s.EndH, Median: b.Median, Lo80: b.Lo80, Hi80: b.Hi80, Lo95: b.Lo95, Hi95: b.Hi95})
				}
				fan.Plans = append(fan.Plans, plan)
				last := plan.Points[len(plan.Points)-1]
				fan.Desc += fmt.Sprintf("%s (%s) after %.0f h: %.*f %s, 80 %% interval %.*f to %.*f. ", role, o.Proposal.Name, last.X, f.Precision, last.Median, f.UnitLabel, f.Precision, last.Lo80, f.Precision, last.Hi80)
			}
		}
		if len(fan.Plans) == 0 {
			continue
		}
		if index == state.MeanBP {
			fan.Goal, fan.GoalLabel = tl.Present.MAP.GoalMmHg, fmt.Sprintf("goal %.0f", tl.Present.MAP.GoalMmHg)
		}
		out = append(out, picture{fmt.Sprintf("%d-%s", n, f.Name), fan.Title + ". " + fan.Desc, fan.SVG()})
	}
	return out
}
