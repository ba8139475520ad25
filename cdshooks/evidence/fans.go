// SPDX-License-Identifier: Apache-2.0

package evidence

// This file: the forecasts of a decision as figures, and the same as numbers.

import (
	"html/template"
	"math"

	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/figure"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// drawn are the quantities drawn. Mortality is not among them, and never is.
var drawn = []state.Concept{"meanbp", "lactate", "output_4hourly", "creatinine"}

// planRoles in the order of panels and tables.
var planRoles = []struct{ role, label string }{
	{agent.RoleCurrent, "Current treatment"}, {agent.RoleSuggested, "Suggested"}, {agent.RoleAlternative, "Alternative"},
}

// plan is an option that is drawn.
type plan struct {
	agent.Option
	label, does string
}

// plans are the options that are drawn, in order. What is not suggested is
// drawn beside a suggestion only: on its own it would be read as one. In an
// order check the drafted orders are drawn, not what else the agent thought of.
func plans(o engine.Outcome) []plan {
	d, out := o.Decision, []plan(nil)
	for _, r := range planRoles {
		if r.role != agent.RoleCurrent && (d.Status != agent.Suggest || o.Topic == engine.TopicOrder) {
			continue
		}
		for _, p := range d.Options {
			if p.Role == r.role && len(p.Forecast.Steps) > 0 {
				out = append(out, plan{p, r.label, planWords(p, true)})
				break
			}
		}
	}
	return append(out, orderPlans(o.Orders)...)
}

// figureView is one quantity: a panel for each plan, and the numbers.
type figureView struct {
	Caption, Unit string
	Panels        []template.HTML // made by package figure, which escapes all text
	Hours         []string
	Rows          []forecastRow
}

type forecastRow struct {
	Plan  string
	Cells []forecastCell
}

type forecastCell struct{ Median, Wide string }

// forecastView is all that is forecast.
type forecastView struct {
	Plans   []fact // what each plan does
	Figures []figureView
	Hours   []string
	Chances []chanceRow
}

type chanceRow struct {
	What, Plan string
	Cells      []string
}

func forecasts(tl *state.Timeline, o engine.Outcome) *forecastView {
	drawnPlans := plans(o)
	if len(drawnPlans) == 0 || tl == nil {
		return nil
	}
	v := &forecastView{}
	for _, p := range drawnPlans {
		v.Plans = append(v.Plans, fact{p.label, p.does})
	}
	for _, s := range drawnPlans[0].Forecast.Steps {
		v.Hours = append(v.Hours, "after "+number(s.EndH, 0)+" h")
	}
	for _, concept := range drawn {
		if f, ok := state.Lookup(concept); ok {
			v.Figures = append(v.Figures, figureOf(tl, f, drawnPlans, v.Hours))
		}
	}
	v.Chances = chances(tl, drawnPlans)
	return v
}

func figureOf(tl *state.Timeline, f state.Feature, drawnPlans []plan, hours []string) figureView {
	history := historyOf(tl, f)
	panels := figure.Panels{
		Title: f.Label + " forecast", Unit: f.UnitLabel, Decimals: f.Precision, XStep: state.StepHours, Floor: f.Lo,
		History: history, FromH: fromH(history), Newest: newest(tl, f),
	}
	if panels.FromH < -12 {
		panels.XStep = 6 // ticks of 4 h would crowd
	}
	if f.Index == state.MeanBP {
		panels.Goal, panels.GoalName = tl.Present.MAP.GoalMmHg, "goal "+number(tl.Present.MAP.GoalMmHg, 0)
	}
	v := figureView{Caption: f.Label, Unit: f.UnitLabel, Hours: hours}
	for _, p := range drawnPlans {
		panel := figure.Panel{Name: p.label, Desc: describe(f, p)}
		row := forecastRow{Plan: p.label}
		for _, s := range p.Forecast.Steps {
			b := s.Band[f.Index]
			panel.Points = append(panel.Points, figure.FanPoint{X: s.EndH, Median: b.Median, Lo80: b.Lo80, Hi80: b.Hi80, Lo95: b.Lo95, Hi95: b.Hi95})
			row.Cells = append(row.Cells, forecastCell{
				number(b.Median, f.Precision) + " (" + interval(f, b.Lo80, b.Hi80) + ")", interval(f, b.Lo95, b.Hi95),
			})
		}
		panels.Plans, v.Rows = append(panels.Plans, panel), append(v.Rows, row)
	}
	for i := range drawnPlans {
		v.Panels = append(v.Panels, template.HTML(panels.SVG(i)))
	}
	return v
}

func interval(f state.Feature, lo, hi float64) string {
	return number(lo, f.Precision) + " to " + number(hi, f.Precision)
}

// historyOf is what was measured, one value per 4-hour step. What was carried
// or imputed is not drawn as if it had been measured.
func historyOf(tl *state.Timeline, f state.Feature) []figure.Point {
	var out []figure.Point
	for _, s := range tl.Steps {
		y := math.NaN()
		if s.InStay && s.Presence[f.Index] == state.Measured {
			y = s.Value[f.Index]
		}
		out = append(out, figure.Point{X: s.End.Sub(tl.At).Hours(), Y: y})
	}
	return out
}

// fromH shows 12 h of history, or 24 h where the shorter has no line to draw.
func fromH(history []figure.Point) float64 {
	recent := 0
	for _, q := range history {
		if !math.IsNaN(q.Y) && q.X >= -12 {
			recent++
		}
	}
	if recent < 2 {
		return -24
	}
	return -12
}

// newest is the newest single value, where the history has means of several.
func newest(tl *state.Timeline, f state.Feature) *figure.Point {
	r, ok := tl.Present.Readings[string(f.Name)]
	if f.Index == state.MeanBP && tl.Present.MAP.Newest != nil {
		r, ok = *tl.Present.MAP.Newest, true
	}
	if !ok || f.Bin == state.BinSum {
		return nil // one entry is not the sum of 4 h
	}
	return &figure.Point{X: r.At.Sub(tl.At).Hours(), Y: r.Value}
}

// describe says in words what a panel shows, for those who do not see it.
func describe(f state.Feature, p plan) string {
	s := p.label + ". "
	for _, step := range p.Forecast.Steps {
		b := step.Band[f.Index]
		s += "After " + number(step.EndH, 0) + " h: " + number(b.Median, f.Precision) + " " + f.UnitLabel +
			", 80 % interval " + interval(f, b.Lo80, b.Hi80) + ", 95 % interval " + interval(f, b.Lo95, b.Hi95) + ". "
	}
	return s
}

// chances are the probabilities that are forecast.
func chances(tl *state.Timeline, drawnPlans []plan) []chanceRow {
	kinds := []struct {
		what string
		of   func(world.StepForecast) float64
		ok   bool
	}{
		{"Mean MAP at goal " + number(tl.Present.MAP.GoalMmHg, 0) + " or above", func(s world.StepForecast) float64 { return s.PMAPAtGoal }, true},
		{"Lactate lower than last charted", func(s world.StepForecast) float64 { return s.PLactateFall }, lactateKnown(tl)},
		{"Invasive ventilation", func(s world.StepForecast) float64 { return s.PVent }, true},
	}
	var out []chanceRow
	for _, k := range kinds {
		for _, p := range drawnPlans {
			if !k.ok {
				continue
			}
			row := chanceRow{What: k.what, Plan: p.label}
			for _, s := range p.Forecast.Steps {
				row.Cells = append(row.Cells, percent(k.of(s)))
			}
			out = append(out, row)
		}
	}
	return out
}

// lactateKnown reports whether there is a lactate that a forecast can be lower
// than.
func lactateKnown(tl *state.Timeline) bool {
	for _, s := range tl.Steps {
		if s.Presence[state.Lactate] != state.Missing {
			return true
		}
	}
	return false
}
