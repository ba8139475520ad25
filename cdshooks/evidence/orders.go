// SPDX-License-Identifier: Apache-2.0

package evidence

// This file: the order check: each drafted order as it was written and as it
// was understood, and what was found about it.

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

type orderRow struct {
	Label    string // by which the forecast calls it
	ID       string
	Words    []fact
	Findings []findingRow
	Spoke    []ruleRow
	Unclear  []string
}

type findingRow struct {
	Rule    ruleRow
	Instead string
}

// orderTones are the looks of severities.
var orderTones = map[agent.Severity]string{agent.SeverityCritical: "critical", agent.SeverityWarning: "warning", agent.SeverityInfo: "info"}

// orders lists the drafted orders that were asked about, and then by name those
// they were judged beside.
func orders(all []agent.Assessed, withheld bool) (rows []orderRow, beside string) {
	var others []string
	for i := range all {
		a := &all[i]
		if !a.Draft.Selected {
			others = append(others, orderName(&a.Draft))
			continue
		}
		row := orderRow{Label: orderLabel(a, i), ID: a.Draft.ID, Words: orderWords(a), Unclear: a.Unclear}
		for _, f := range a.Findings {
			found := findingRow{rule(f.Rule), f.Alternative}
			found.Rule.Effect, found.Rule.Tone = string(f.Severity), orderTones[f.Severity]
			if f.Dose != "" && !withheld {
				found.Instead = f.Dose
			}
			row.Findings = append(row.Findings, found)
		}
		for _, v := range a.Spoke {
			row.Spoke = append(row.Spoke, rule(v))
		}
		rows = append(rows, row)
	}
	return rows, strings.Join(others, ", ")
}

func orderName(d *state.Draft) string {
	return cmp.Or(string(d.Drug), d.Name, "a medication order")
}

func orderLabel(a *agent.Assessed, i int) string {
	return "Order " + number(float64(i+1), 0) + ": " + orderName(&a.Draft)
}

// orderWords say what an instruction orders, as it was written and as it was
// understood.
func orderWords(a *agent.Assessed) []fact {
	d := &a.Draft
	out := []fact{{"As drafted", cmp.Or(d.Received, d.Name, "unknown")}}
	unit := unitWords.Replace(d.RateUnit)
	read := ""
	switch {
	case d.RateKnown && d.RateHigh > d.Rate:
		read = rate(d.Rate) + " to " + rate(d.RateHigh) + " " + unit
	case d.RateKnown:
		read = rate(d.Rate) + " " + unit
	case d.MlKnown:
		read = millilitres(d.AmountMl)
		if d.OverMin > 0 {
			read += " over " + number(d.OverMin, 0) + " min"
		}
	case d.Unknown != "":
		read = "not understood: " + d.Unknown
	}
	if d.Does != "" && d.Does != state.DraftGives {
		read = strings.TrimSpace(d.Does + " the drug " + read)
	}
	if read != "" {
		out = append(out, fact{"Read as", read})
	}
	if d.ByText {
		out = append(out, fact{"Recognised by", "its name only, not by a code"})
	}
	if p := a.Proposal; p != nil && p.Drug != "" {
		out = append(out, fact{"Beside what runs", p.Direction})
	}
	if why := cmp.Or(d.Skip, a.Unjudged); why != "" {
		out = append(out, fact{"Not judged", why})
	}
	return out
}

// orderPlans are the simulated courses of the drafted orders, most urgent
// first, three at most.
func orderPlans(all []agent.Assessed) []plan {
	var out []plan
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		a, b := all[i].Severity(), all[j].Severity()
		switch {
		case a.Over(b):
			return -1
		case b.Over(a):
			return 1
		}
		return 0
	})
	for _, i := range order {
		a := &all[i]
		if a.Forecast == nil || len(a.Forecast.Steps) == 0 || len(out) == 3 {
			continue
		}
		out = append(out, plan{agent.Option{Role: "ordered", Forecast: *a.Forecast, Value: a.Value}, orderLabel(a, i), cmp.Or(a.Draft.Received, "as drafted")})
	}
	return out
}
