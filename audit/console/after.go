// SPDX-License-Identifier: Apache-2.0

package console

// This file: what happened to the patient after a decision, as later calls read
// the chart: pressure, rates and boluses beside what was suggested, and values
// that had been taken before the decision and were not known yet.

import (
	"cmp"
	"context"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/engine/figure"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// How far and how often is looked ahead.
const (
	afterSpan  = 48 * time.Hour
	afterCalls = 12
)

// after is the course after a decision.
type after struct {
	Suggested []fact
	Rows      []later
	Late      []string // taken before, known after
	Figures   []template.HTML
	More      bool // there were more calls than are shown
}

// later is one chart as it was read, the one decided on first.
type later struct {
	ID, At, Status, MAP, Rate, Lactate, Bolus, Urine string
	Differs                                          bool
}

// afterwards reads the later decisions of the same patient at the same EHR.
func (c *Console) afterwards(ctx context.Context, chart Chart, ix audit.Index, call *cdshooks.Record, tl *state.Timeline) (*after, error) {
	rows, err := c.Log.Query(ctx, audit.Filter{
		Kind: cdshooks.KindDecision, Client: ix.Client, Patient: ix.Patient,
		Since: ix.Time, Until: ix.Time.Add(afterSpan), OldestFirst: true, Limit: afterCalls + 2,
	})
	if err != nil {
		return nil, err
	}
	out := &after{Suggested: suggested(call)}
	at := call.Receipt.At
	var series [3][]figure.Point
	note := func(row later, t time.Time, tl *state.Timeline) {
		if tl != nil {
			for i, y := range row.fill(tl.Present) {
				series[i] = append(series[i], figure.Point{X: t.Sub(at).Hours(), Y: y})
			}
		}
		out.Rows = append(out.Rows, row)
	}
	note(later{ID: ix.ID, At: stamp(at, chart.Zone), Status: ix.Status + " (this record)"}, at, tl)
	late := map[string]string{}
	for _, r := range rows {
		if r.Index.ID == ix.ID {
			continue
		}
		if len(out.Rows) > afterCalls {
			out.More = true
			break
		}
		stored, err := c.Log.Get(ctx, r.Index.ID)
		if err != nil {
			continue // erased since
		}
		record, err := cdshooks.DecodeRecord(stored.Body)
		if err != nil || record.Receipt == nil || record.Receipt.At.Before(at) {
			continue
		}
		row := later{ID: r.Index.ID, At: stamp(record.Receipt.At, chart.Zone), Status: r.Index.Status}
		in, err := cdshooks.EvidenceOf(chart.Remapper, chart.State, record, cdshooks.PageView{Zone: chart.Zone, Now: record.Receipt.At})
		if err != nil || in.Timeline == nil {
			row.Differs = true
			out.Rows = append(out.Rows, row)
			continue
		}
		row.Differs = in.Differs
		note(row, record.Receipt.At, in.Timeline)
		for _, reading := range in.Timeline.Present.Readings {
			if !reading.At.After(at) && reading.Available.After(at) {
				late[string(reading.Concept)+reading.At.String()] = fmt.Sprintf("%s %s %s, taken %s, known from %s",
					reading.Concept, decimal(reading.Value), reading.Unit, stamp(reading.At, chart.Zone), stamp(reading.Available, chart.Zone))
			}
		}
	}
	for _, text := range late {
		out.Late = append(out.Late, text)
	}
	slices.Sort(out.Late)
	if len(out.Rows) > 1 {
		for i, q := range []struct{ name, unit string }{{"MAP", "mmHg"}, {"Vasopressors, norepinephrine-equivalents", "ug/kg/min"}, {"Lactate", "mmol/L"}} {
			out.Figures = append(out.Figures, template.HTML(figure.Lines{ // figure escapes what it draws
				Title: q.name + " after the decision", Desc: "One point for each later call, as the chart was read then.",
				XLabel: "hours after the decision", YLabel: q.unit, Width: 420, Height: 220, FromZero: i > 0,
				Series: []figure.Series{{Name: q.name, Points: series[i], Marks: true}},
			}.SVG()))
		}
	}
	return out, nil
}

// fill writes what a chart says into the row, and gives pressure, rate and lactate
// as numbers; NaN where unknown.
func (l *later) fill(p state.Present) [3]float64 {
	numbers := [3]float64{math.NaN(), math.NaN(), math.NaN()}
	l.MAP, l.Rate, l.Lactate, l.Bolus, l.Urine = "unknown", "unknown", "unknown", "unknown", "unknown"
	if m := p.MAP.Newest; m != nil {
		numbers[0], l.MAP = m.Value, decimal(m.Value)
	}
	if p.VasoKnown {
		numbers[1], l.Rate = p.NEUgKgMin, decimal(p.NEUgKgMin)
		var running []string
		for _, a := range p.Agents {
			if a.State == state.AgentRunning {
				rate, unit := a.RateUgKgMin, "ug/kg/min"
				if rate == 0 {
					rate, unit = a.Rate, a.RateUnit
				}
				running = append(running, string(a.Drug)+" "+decimal(rate)+" "+unit)
			}
		}
		if len(running) > 0 {
			l.Rate += " (" + strings.Join(running, ", ") + ")"
		}
	}
	if m := p.Lactate.Now; m != nil {
		numbers[2], l.Lactate = m.Value, m.Comparator+decimal(m.Value)
	}
	if p.Fluids.Known {
		l.Bolus = decimal(p.Fluids.Bolus3hMl)
	}
	if p.Fluids.UrineKnown {
		l.Urine = decimal(p.Fluids.Urine6hMl)
	}
	return numbers
}

// decimal writes a number with three significant decimals at most.
func decimal(x float64) string {
	return strconv.FormatFloat(math.Round(x*1000)/1000, 'f', -1, 64)
}

// suggested is what was advised, in numbers to compare with what was given.
func suggested(call *cdshooks.Record) []fact {
	a := call.Receipt.Outcome.Decision.Advice
	var out []fact
	if v := a.Vasopressor; v != nil {
		words := fmt.Sprintf("%s %s → %s ug/kg/min", v.Direction, decimal(v.FromUgKgMin), decimal(v.ToUgKgMin))
		if v.UMin > 0 {
			words = fmt.Sprintf("%s %s U/min", v.Direction, decimal(v.UMin))
		}
		out = append(out, fact{Label: string(v.Drug), Value: words})
	}
	if f := a.Fluid; f != nil {
		out = append(out, fact{Label: cmp.Or(f.Kind, "crystalloid"), Value: fmt.Sprintf("bolus of %s mL over %d min", decimal(f.BolusMl), f.OverMin)})
	}
	return out
}
