// SPDX-License-Identifier: Apache-2.0

package llm

// This file: how a simulated future is shown to the model: with intervals, with
// the chances that matter, and with how much support there is for it.

import (
	"fmt"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// result is one action of a simulation call, shown or refused.
type result struct {
	Pair  string
	Name  string
	Open  bool   // it may be prescribed
	Error string // JSON; instead of everything below
	Steps []resultStep

	Support, Similar, Disagreement, Value string
	Warnings                              []warning
}

type resultStep struct {
	EndH                      string
	Values                    []string
	AtGoal, LactateFall, Vent string
}

type warning struct{ Rule, Text string }

// simulated are the features shown of a future: those of the published reply.
var simulated = []int{
	state.HeartRate, state.SysBP, state.DiaBP, state.MeanBP, state.RespRate, state.SpO2, state.TempC,
	state.Lactate, state.Creatinine, state.Bilirubin, state.Platelet, state.PH, state.PaO2, state.Urine,
}

// show fills in the future of a choice.
func (r *result) show(c *agent.Choice, open bool) {
	percent := func(p float64) string { return fmt.Sprintf("%.0f %%", 100*p) }
	r.Name, r.Open = c.Name, open
	f := &c.Forecast
	for k := range f.Steps {
		s := &f.Steps[k]
		step := resultStep{EndH: fmt.Sprintf("%.0f", s.EndH), AtGoal: percent(s.PMAPAtGoal), LactateFall: percent(s.PLactateFall), Vent: percent(s.PVent)}
		for _, i := range simulated {
			feature, b := state.FeatureAt(i), s.Band[i]
			step.Values = append(step.Values, fmt.Sprintf("%s %s (%s to %s)", feature.Name,
				number(b.Median, feature.Precision), number(b.Lo80, feature.Precision), number(b.Hi80, feature.Precision)))
		}
		r.Steps = append(r.Steps, step)
	}
	r.Support, r.Similar = percent(f.Support), fmt.Sprint(f.Similar)
	r.Disagreement, r.Value = fmt.Sprintf("%.1f", f.Disagreement), fmt.Sprintf("%.2f", c.Value)
	for _, v := range c.Warnings {
		r.Warnings = append(r.Warnings, warning{v.ID, v.Text})
	}
}
