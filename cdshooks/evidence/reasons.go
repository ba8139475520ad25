// SPDX-License-Identifier: Apache-2.0

package evidence

// This file: why: the advice with its bounds, the options that were weighed,
// and the rules with the values that made them true.

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/policy"
)

// advice writes the suggestion with its bounds, one part per line.
func advice(d agent.Decision) []fact {
	var out []fact
	if v := d.Advice.Vasopressor; v != nil {
		out = append(out, fact{capital(string(v.Drug)), capital(vasopressorWords(v))})
		bounds := "MAP goal " + number(v.GoalMmHg, 0) + " mmHg"
		if raises := v.Direction == agent.AdviceStart || v.Direction == agent.AdviceIncrease; raises && v.CeilingUgKgMin > 0 {
			bounds += ", ceiling " + rate(v.CeilingUgKgMin) + ugKgMin
		}
		if v.RecheckMin > 0 {
			bounds += ", recheck MAP in " + strconv.Itoa(v.RecheckMin) + " min, before any further step"
		}
		out = append(out, fact{"Within", bounds})
	}
	if f := d.Advice.Fluid; f != nil {
		words := "One " + millilitres(f.BolusMl) + " bolus"
		if f.OverMin > 0 {
			words += " over " + strconv.Itoa(f.OverMin) + " min"
		}
		if f.MlPerKg > 0 {
			words += " (" + number(f.MlPerKg, 1) + " mL/kg, " + f.WeightBasis + ")"
		}
		out = append(out, fact{capital(cmp.Or(f.Kind, "crystalloid")), words})
		if len(f.StopCriteria) > 0 {
			out = append(out, fact{"Stop the bolus if", strings.Join(f.StopCriteria, "; ")})
		}
	}
	if len(d.Advice.Recheck) > 0 {
		out = append(out, fact{"Also", strings.Join(d.Advice.Recheck, "; ")})
	}
	return out
}

// vasopressorWords say a direction from the drug's own running rate, never a
// dose in equivalents of another.
func vasopressorWords(v *agent.VasopressorAdvice) string {
	from, to := rate(v.FromUgKgMin), rate(v.ToUgKgMin)+ugKgMin
	if v.Drug == state.DrugVasopressin {
		to = rate(v.UMin) + " U/min"
	}
	switch v.Direction {
	case agent.AdviceStart:
		return "start at " + to
	case agent.AdviceIncrease:
		return "raise from " + from + " to " + to
	case agent.AdviceDecrease:
		return "lower from " + from + " to " + to
	case agent.AdviceStop:
		return "stop, now at " + from + ugKgMin
	case agent.AdviceHold:
		return "keep unchanged at " + to
	case agent.AdviceAddVasopressin:
		return "add at " + rate(v.UMin) + " U/min, no norepinephrine increase"
	}
	return "change"
}

// planWords say what an option does. Without a suggestion nothing is printed
// that could be read as a dose: then only what would change is named.
func planWords(o agent.Option, dosing bool) string {
	switch {
	case o.Role == agent.RoleCurrent:
		return "unchanged"
	case dosing:
		return o.Proposal.Name
	}
	var parts []string
	if p := o.Proposal; p.Drug != "" && p.Direction != "" && p.Direction != "none" {
		parts = append(parts, p.Direction+" "+string(p.Drug))
	}
	if o.Proposal.BolusMl > 0 {
		parts = append(parts, "a fluid bolus")
	}
	return cmp.Or(strings.Join(parts, " and "), "another treatment")
}

// optionName is planWords where options are listed.
func optionName(o agent.Option, d agent.Decision) string {
	if o.Role == agent.RoleCurrent {
		return "current treatment, unchanged"
	}
	return planWords(o, d.Status == agent.Suggest)
}

// sourceWords say who proposed an option. One that is not here goes by its own
// name.
var sourceWords = map[string]string{
	agent.SourceCurrent: "", agent.SourceGuideline: "guideline move", agent.SourceActor: "learned policy",
	agent.SourceBoth: "guideline move and learned policy", agent.SourceRefined: "refined between two others",
}

type optionRow struct {
	Name, Role, Source, Value, Support, Similar, Disagreement, Why string
	Blocked                                                        bool
}

func options(d agent.Decision) []optionRow {
	var out []optionRow
	for _, o := range d.Options {
		row := optionRow{
			Name: capital(optionName(o, d)), Role: o.Role, Blocked: o.Blocked,
			Value: number(o.Value, 2), Support: percent(o.Forecast.Support), Similar: strconv.Itoa(o.Forecast.Similar),
			Disagreement: number(o.Forecast.Disagreement, 1), Why: o.Why, Source: o.Source,
		}
		if words, ok := sourceWords[o.Source]; ok {
			row.Source = words
		}
		if o.Blocked && o.Why == "" {
			row.Why = "blocked by a rule"
		}
		if len(o.Parts) == 0 && o.Value == 0 && o.Blocked {
			row.Value, row.Support, row.Similar, row.Disagreement = "", "", "", "" // blocked before it was simulated
		}
		out = append(out, row)
	}
	return out
}

type ruleRow struct {
	ID, Effect, Tone, Text, When, Strength, Source string
	About                                          string // the options it speaks of, where it is not the one gone with
	Values                                         []fact
	Because                                        []fact // sub-expressions and what they came to
	Missing                                        string
}

// effects, strongest first.
var effects = []policy.Effect{policy.Block, policy.Warning, policy.Penalty, policy.Info}

// rules are those that spoke, strongest first: on the chart and on what was
// gone with, then those that spoke of another option only.
func rules(d agent.Decision) []ruleRow {
	var out []ruleRow
	for _, e := range effects {
		for _, v := range d.Verdicts {
			if v.Effect == e {
				out = append(out, rule(v))
			}
		}
	}
	about := map[string]int{} // rule id to its place in out
	for _, e := range effects {
		for i := range d.Options {
			for _, v := range d.Options[i].Verdicts {
				if v.Effect != e || slices.ContainsFunc(d.Verdicts, func(have policy.Verdict) bool { return have.ID == v.ID }) {
					continue
				}
				name := optionName(d.Options[i], d)
				if at, ok := about[v.ID]; ok {
					out[at].About += "; " + name
					continue
				}
				row := rule(v)
				row.About, about[v.ID] = name, len(out)
				out = append(out, row)
			}
		}
	}
	return out
}

// conflicts are the pairs of rules that spoke and pull in different directions.
func conflicts(d agent.Decision) []fact {
	sets := [][]policy.Verdict{d.Hazards, d.Verdicts}
	for i := range d.Options {
		sets = append(sets, d.Options[i].Verdicts)
	}
	var out []fact
	for _, c := range policy.Conflicts(sets...) {
		out = append(out, fact{c.Rules[0] + " against " + c.Rules[1], c.Text})
	}
	return out
}

func rule(v policy.Verdict) ruleRow {
	row := ruleRow{
		ID: v.ID, Effect: string(v.Effect), Tone: string(v.Effect), Text: v.Text, Source: v.Source,
		Strength: strings.Join(slices.DeleteFunc([]string{v.Strength, certainty(v.Certain), v.Pack}, func(s string) bool { return s == "" }), ", "),
		Missing:  strings.Join(v.Missing, ", "),
	}
	for _, b := range v.Because {
		row.Because = append(row.Because, fact{b.Expression, came(b)})
	}
	if v.When == policy.WhenForecast {
		row.When = "on the simulated course"
	}
	for _, k := range sortedKeys(v.Values) {
		row.Values = append(row.Values, fact{capital(spell(policy.Plain(k))), strconv.FormatFloat(v.Values[k], 'g', 5, 64) + unitOf(k)})
	}
	return row
}

// came is what a sub-expression came to, with the values it compared.
func came(b policy.Because) string {
	words := "true"
	if !b.Holds {
		words = "not true"
	}
	if b.Values == "" || b.Values == strconv.FormatBool(b.Holds) {
		return words
	}
	return words + ": " + b.Values
}

func certainty(s string) string {
	if s == "" {
		return ""
	}
	return "certainty " + s
}

// factUnits are the units that the names of facts end in.
var factUnits = []struct{ suffix, unit string }{
	{"_ug_kg_min", "ug/kg/min"}, {"_mmol_l", "mmol/L"}, {"_ml_h", "mL/h"}, {"_ml", "mL"}, {"_g_dl", "g/dL"}, {"_mmhg", "mmHg"},
	{"_years", "years"}, {"_min", "min"}, {"_kg", "kg"}, {"_h", "h"}, {"_s", "s"},
}

func unitOf(fact string) string {
	for _, u := range factUnits {
		if strings.HasSuffix(fact, u.suffix) {
			return " " + u.unit
		}
	}
	return ""
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// proposer says who chose, and what came of asking somebody else.
func proposer(d agent.Decision) string {
	c := d.Consulted
	if c == nil {
		return ""
	}
	switch c.Outcome {
	case agent.ConsultChosen:
		return "Chosen by the language model " + c.Model + " among options that the rules permit."
	case agent.ConsultFallback:
		return "The language model " + c.Model + " gave no usable answer (" + spell(c.Fault) + "); this is the native agent's own choice."
	}
	return "The language model was not asked: there was nothing to choose."
}

// rounds tell how the options were come to, one line for each round of
// proposing and simulating. They name doses, so they are told with a suggestion
// only.
func rounds(d agent.Decision) []string {
	if d.Status != agent.Suggest {
		return nil
	}
	var out []string
	for _, r := range d.Rounds {
		line := strings.Join(r.Asked, "; ")
		if r.Why != "" {
			line += ". " + capital(r.Why)
		}
		if r.Best != "" {
			line += ". Best so far: " + r.Best + " (value " + number(r.Value, 2) + ")"
		}
		out = append(out, "Simulated: "+line+".")
	}
	return out
}
