// SPDX-License-Identifier: Apache-2.0

package console

// This file: what happened to the patient after a decision, as audit/story tells
// it, and drawn.

import (
	"context"
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/audit/story"
	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/engine/figure"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// after is the course after a decision.
type after struct {
	Untold  bool // a later record cannot be read, so that the course would have holes
	Became  []fact
	Rows    []later
	Orders  []string
	Late    []string // taken before, known only after
	Figures []template.HTML
}

// later is the chart as a later call read it.
type later struct{ ID, At, MAP, Running, Bolus string }

// afterwards tells it.
func (c *Console) afterwards(ctx context.Context, chart Chart, id string, call *cdshooks.Record) *after {
	s, err := story.Tell(ctx, story.Deps{Log: c.Log, Charts: chart.Remapper, State: chart.State}, id)
	if err != nil {
		c.Failed("story", err)
		return &after{Untold: true}
	}
	out := &after{Became: became(s.Afterwards, chart.Zone)}
	at := call.Receipt.At
	var pressure []figure.Point
	rates := map[string][]figure.Point{}
	var drugs []string
	note := func(t time.Time, running []story.Agent) {
		for _, a := range running {
			if a.State != state.AgentRunning || a.RateUgKgMin <= 0 {
				continue
			}
			if rates[a.Drug] == nil {
				drugs = append(drugs, a.Drug)
			}
			rates[a.Drug] = append(rates[a.Drug], figure.Point{X: t.Sub(at).Hours(), Y: a.RateUgKgMin})
		}
	}
	note(at, s.Running)
	for _, p := range s.Afterwards.Points {
		row := later{ID: p.Receipt, At: stamp(p.At, chart.Zone), MAP: "unknown", Running: runningWords(p.Running), Bolus: "unknown"}
		if p.MAPMmHg != nil {
			row.MAP = decimal(*p.MAPMmHg) + ", " + stamp(p.MAPAt, chart.Zone)
			pressure = append(pressure, figure.Point{X: p.MAPAt.Sub(at).Hours(), Y: *p.MAPMmHg})
		}
		if p.BolusMl != nil {
			row.Bolus = decimal(*p.BolusMl)
		}
		note(p.At, p.Running)
		out.Rows = append(out.Rows, row)
	}
	for _, o := range s.Afterwards.Orders {
		words := fmt.Sprintf("%s, %s: %s, %s", stamp(o.At, chart.Zone), o.Hook, o.Drug, o.Received)
		if o.Severity != "" {
			words += " (found: " + o.Severity + ")"
		}
		out.Orders = append(out.Orders, words)
	}
	for _, l := range s.Later {
		out.Late = append(out.Late, fmt.Sprintf("%s %s, of %s, known from %s", l.What, l.Received, stamp(l.True, chart.Zone), stamp(l.Available, chart.Zone)))
	}
	// One point is no course.
	draw := func(name, unit string, zero bool, series []figure.Series) {
		out.Figures = append(out.Figures, template.HTML(figure.Lines{ // figure escapes what it draws
			Title: name + " after the decision", Desc: "As later calls read the chart.", XLabel: "hours after the decision", YLabel: name + ", " + unit,
			Width: 480, Height: 240, FromZero: zero, Series: series,
		}.SVG()))
	}
	if len(pressure) > 1 {
		draw("MAP", "mmHg", false, []figure.Series{{Name: "newest MAP", Points: pressure, Marks: true}})
	}
	if len(out.Rows) > 1 && len(drugs) > 0 {
		var series []figure.Series
		for _, d := range drugs {
			series = append(series, figure.Series{Name: d, Points: rates[d], Marks: true})
		}
		draw("Running rates", "ug/kg/min", true, series)
	}
	return out
}

// became holds what was suggested against what was given.
func became(a story.Afterwards, zone *time.Location) []fact {
	var out []fact
	if v := a.Vasopressor; v != nil {
		words := fmt.Sprintf("suggested: %s, %s → %s ug/kg/min; given: %s", v.Direction, decimal(v.FromUgKgMin), decimal(v.ToUgKgMin), v.Became)
		if !v.Charted.IsZero() {
			words += fmt.Sprintf(", %s ug/kg/min at %s (%.0f min after)", decimal(v.GivenUgKgMin), stamp(v.Charted, zone), v.AfterMin)
		}
		out = append(out, fact{Label: v.Drug, Value: words})
		if v.MAPBeforeMmHg != nil && v.MAPAfterMmHg != nil {
			out = append(out, fact{Label: "MAP", Value: fmt.Sprintf("%s mmHg before, %s mmHg at %s", decimal(*v.MAPBeforeMmHg), decimal(*v.MAPAfterMmHg), stamp(v.MAPAfterChange, zone))})
		}
	}
	if f := a.Fluid; f != nil {
		given := "not known"
		if f.GivenMl != nil {
			given = decimal(*f.GivenMl) + " mL since"
		}
		out = append(out, fact{Label: "Bolus", Value: "suggested: " + decimal(f.SuggestedMl) + " mL; given: " + given})
	}
	return out
}

// runningWords lists what runs, and what nobody can tell.
func runningWords(agents []story.Agent) string {
	var out []string
	for _, a := range agents {
		switch {
		case a.State == state.AgentStopped:
		case a.State != state.AgentRunning:
			out = append(out, a.Drug+" "+a.State)
		case a.RateUgKgMin > 0:
			out = append(out, a.Drug+" "+decimal(a.RateUgKgMin)+" ug/kg/min")
		default:
			out = append(out, a.Drug+" "+decimal(a.Rate)+" "+a.RateUnit)
		}
	}
	if len(out) == 0 {
		return "none charted"
	}
	return strings.Join(out, ", ")
}

// decimal writes a number with at most three digits after the point.
func decimal(x float64) string {
	s := strconv.FormatFloat(x, 'f', 3, 64)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}
