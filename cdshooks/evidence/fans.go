// SPDX-License-Identifier: Apache-2.0

package evidence

// This file: the forecasts of a decision as figures and as numbers.

import (
	"html/template"
	"math"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/figure"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// drawn are the quantities drawn. Mortality is not among them, and never is.
var drawn = []state.Concept{"meanbp", "lactate", "output_4hourly", "creatinine"}

// planRoles in the order of legends and tables.
var planRoles = []struct{ role, label string }{
	{"current", "current treatment"}, {"suggested", "suggested"}, {"alternative", "alternative"},
}

// plans are the options that are drawn, in order.
func plans(d agent.Decision) []agent.Option {
	var out []agent.Option
	for _, r := range planRoles {
		for _, o := range d.Options {
			if o.Role == r.role && len(o.Forecast.Steps) > 0 {
				out = append(out, o)
				break
			}
		}
	}
	return out
}

func planLabel(o agent.Option) string {
	for _, r := range planRoles {
		if r.role == o.Role {
			return r.label
		}
	}
	return o.Role
}

func figures(tl *state.Timeline, d agent.Decision) []figureRow {
	options := plans(d)
	if len(options) == 0 {
		return nil
	}
	var out []figureRow
	for _, concept := range drawn {
		f, ok := state.Lookup(concept)
		if !ok {
			continue
		}
		fan := figure.Fan{
			Title:  f.Label + " forecast",
			Desc:   describe(f, options),
			XLabel: "hours from the time of the card", YLabel: f.UnitLabel, XStep: state.StepHours, HistoryLabel: "charted, per 4 h",
			Width: 560, Height: 330,
		}
		for _, s := range tl.Steps {
			y := math.NaN()
			if s.InStay && s.Presence[f.Index] == state.Measured {
				y = s.Value[f.Index]
			}
			fan.History = append(fan.History, figure.Point{X: s.End.Sub(tl.At).Hours(), Y: y})
		}
		for _, o := range options {
			plan := figure.FanPlan{Name: planLabel(o), Strong: o.Role == "suggested" || len(options) == 1}
			for _, s := range o.Forecast.Steps {
				b := s.Band[f.Index]
				plan.Points = append(plan.Points, figure.FanPoint{X: s.EndH, Median: b.Median, Lo80: b.Lo80, Hi80: b.Hi80, Lo95: b.Lo95, Hi95: b.Hi95})
			}
			fan.Plans = append(fan.Plans, plan)
		}
		if concept == "meanbp" {
			fan.Goal, fan.GoalLabel = tl.Present.MAP.GoalMmHg, "goal "+number(tl.Present.MAP.GoalMmHg, 0)
		}
		out = append(out, figureRow{f.Label, template.HTML(fan.SVG())})
	}
	return out
}

// describe says in words what the figure shows, for those who do not see it.
func describe(f state.Feature, options []agent.Option) string {
	s := ""
	for _, o := range options {
		last := o.Forecast.Steps[len(o.Forecast.Steps)-1]
		b := last.Band[f.Index]
		s += "Under " + planLabel(o) + " after " + number(last.EndH, 0) + " h: " + number(b.Median, f.Precision) + " " + f.UnitLabel +
			", 80 % interval " + number(b.Lo80, f.Precision) + " to " + number(b.Hi80, f.Precision) + ". "
	}
	return s
}

func forecasts(d agent.Decision) (head []string, rows []forecastRow) {
	for _, c := range drawn {
		if f, ok := state.Lookup(c); ok {
			head = append(head, f.Label+", "+f.UnitLabel)
		}
	}
	for _, o := range plans(d) {
		for _, s := range o.Forecast.Steps {
			row := forecastRow{Plan: planLabel(o), After: number(s.EndH, 0) + " h", AtGoal: percent(s.PMAPAtGoal)}
			for _, c := range drawn {
				if f, ok := state.Lookup(c); ok {
					b := s.Band[f.Index]
					row.Cells = append(row.Cells, number(b.Median, f.Precision)+" ("+number(b.Lo80, f.Precision)+" to "+number(b.Hi80, f.Precision)+")")
				}
			}
			rows = append(rows, row)
		}
	}
	return head, rows
}
