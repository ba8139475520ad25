// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: the what-if table: what the model forecasts under current
// treatment, the suggestion and one alternative, with 80 % intervals.

import (
	"math"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// whatIfHours are the hours ahead that the table shows.
var whatIfHours = []float64{4, 12}

// whatIfFeatures are the columns. Mortality is not among them, and never is.
var whatIfFeatures = []struct {
	concept state.Concept
	label   string
}{
	{"meanbp", "MAP"}, {"lactate", "Lactate"}, {"output_4hourly", "Urine"}, {"creatinine", "Creatinine"},
	{"pao2", "PaO2"},
}

// roles in the order of the table, with the words of each.
var roles = []struct{ role, label string }{
	{"current", "Current treatment"}, {"suggested", "Suggested"}, {"alternative", "Alternative"},
}

// option returns the option of a role, or nil.
func option(d agent.Decision, role string) *agent.Option {
	i := slices.IndexFunc(d.Options, func(o agent.Option) bool { return o.Role == role })
	if i < 0 {
		return nil
	}
	return &d.Options[i]
}

func (w writer) whatIf(p *page) {
	d := w.Outcome.Decision
	var plans []plan
	for _, r := range roles {
		if o := option(d, r.role); o != nil && (r.role == "current" || w.dosing()) {
			plans = append(plans, plan{r.label, planWords(o), &o.Forecast})
		}
	}
	w.forecastTable(p, plans, w.notChosen()...)
}

// notChosen says why the alternative was not.
func (w writer) notChosen() []string {
	d := w.Outcome.Decision
	alternative, suggested := option(d, "alternative"), option(d, "suggested")
	switch {
	case !w.dosing() || alternative == nil:
		return nil
	case suggested != nil && alternative.Value > suggested.Value:
		return []string{"Alternative not chosen: the smaller change is enough"}
	}
	return []string{"Alternative not chosen: not better on balance"}
}

// plan is one row group of a forecast table.
type plan struct {
	label, words string
	forecast     *world.Forecast
}

// forecastTable writes forecasts of several plans beside each other, with
// remarks below.
func (w writer) forecastTable(p *page, plans []plan, remarks ...string) {
	head := []string{"Plan", "Hours", "MAP mean ≥ goal"}
	for _, f := range whatIfFeatures {
		feature, _ := state.Lookup(f.concept)
		head = append(head, f.label+", "+escape(feature.UnitLabel))
	}
	var rows [][]string
	for _, r := range plans {
		label := "**" + r.label + "**: " + escape(r.words)
		for _, h := range whatIfHours {
			step := stepAt(*r.forecast, h)
			if step == nil {
				continue
			}
			rows = append(rows, append([]string{label, number(h, 0) + " h", percent(step.PMAPAtGoal)}, bands(step)...))
			label = r.label
		}
	}
	if len(rows) == 0 {
		return
	}
	p.heading("What the model forecasts (median and 80 % interval)")
	p.table(head, rows)
	p.gap()
	for _, r := range remarks {
		p.item(r)
	}
	p.item("Forecasts are estimates from past patients, not promises; other causes than treatment are part of them")
}

func bands(step *world.StepForecast) []string {
	var out []string
	for _, f := range whatIfFeatures {
		feature, ok := state.Lookup(f.concept)
		if !ok {
			out = append(out, "unknown")
			continue
		}
		b := step.Band[feature.Index]
		out = append(out, number(b.Median, feature.Precision)+" ("+number(b.Lo80, feature.Precision)+" to "+number(b.Hi80, feature.Precision)+")")
	}
	return out
}

// stepAt is the forecast of the step that ends hours after the decision.
func stepAt(f world.Forecast, hours float64) *world.StepForecast {
	for i := range f.Steps {
		if math.Abs(f.Steps[i].EndH-hours) < 0.01 {
			return &f.Steps[i]
		}
	}
	return nil
}

// planWords say what a plan does. The doses of a plan are norepinephrine-
// equivalents and never written as an order; the advice is.
func planWords(o *agent.Option) string {
	a := o.Advice
	switch {
	case o.Role == "current":
		return "unchanged"
	case a.Vasopressor != nil && a.Fluid != nil:
		return vasopressorWords(a.Vasopressor) + " and " + fluidWords(a.Fluid)
	case a.Vasopressor != nil:
		return vasopressorWords(a.Vasopressor)
	case a.Fluid != nil:
		return fluidWords(a.Fluid)
	}
	return "no change"
}
