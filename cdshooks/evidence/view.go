// SPDX-License-Identifier: Apache-2.0

package evidence

// This file: from a receipt and its timeline to what the evidence page shows.

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/policy"
)

type view struct {
	CSS                            template.CSS
	At, AtISO, Void, StatusWords   string
	Summary, Indicator, ReceiptURL string
	Synthetic                      bool
	Tiles                          []tile
	ReasonsTitle                   string
	Reasons                        []string
	Hazards                        []ruleRow
	Figures                        []figureRow
	ForecastHead                   []string
	ForecastRows                   []forecastRow
	Options                        []optionRow
	Explanation                    []string
	Rules                          []ruleRow
	Agents                         []agentRow
	VasoWhy                        string
	Readings                       []readingRow
	Missing, NotAssessed, Rejects  []string
	Gaps                           []state.Gap
	Tally                          string
	MadeWith                       []fact
}

type tile struct{ Label, Value, Note string }
type figureRow struct {
	Caption string
	SVG     template.HTML // made by package figure, which escapes all text
}
type forecastRow struct {
	Plan, After, AtGoal string
	Cells               []string
}
type optionRow struct{ Name, Role, Value, Support, Why string }
type ruleRow struct{ ID, Effect, Text, Values, Strength, Source string }
type agentRow struct{ Drug, State, Rate, Charted, Received string }
type readingRow struct{ Label, Value, Taken, Method, Received, Source string }

// times writes times as the card does.
type times struct {
	at   time.Time
	zone *time.Location
}

func (t times) stamp(u time.Time) string {
	return u.In(t.zone).Format("2006-01-02 15:04") + " (" + t.age(u) + ")"
}

func (t times) age(u time.Time) string {
	d := t.at.Sub(u)
	switch {
	case d < time.Minute:
		return "now"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d.Minutes()+0.5)) + " min before"
	case d < 48*time.Hour:
		return strconv.FormatFloat(d.Hours(), 'f', 1, 64) + " h before"
	}
	return strconv.Itoa(int(d.Hours()/24)) + " days before"
}

func newView(in Input) view {
	tl, d := in.Timeline, in.Receipt.Outcome.Decision
	if in.Withheld {
		d = withoutAdvice(d)
	}
	t := times{tl.At, in.Zone}
	v := view{
		CSS: template.CSS(style), At: tl.At.In(in.Zone).Format("2006-01-02 15:04 MST"), AtISO: tl.At.UTC().Format(time.RFC3339),
		Void: tl.At.Add(30*time.Minute).In(in.Zone).Format("15:04") + ", or at a new MAP or rate", Synthetic: tl.Synthetic,
		StatusWords: string(d.Status), Summary: in.Summary, Indicator: in.Indicator, ReceiptURL: in.ReceiptURL,
		Explanation: d.Explanation, Missing: d.Missing, NotAssessed: d.NotAssessed, Gaps: tl.Gaps,
		MadeWith: madeWith(in.Receipt), Tiles: tiles(t, tl), VasoWhy: tl.Present.VasoWhy,
	}
	if tl.Present.VasoKnown {
		v.VasoWhy = ""
	}
	if len(d.Reasons) > 0 {
		v.ReasonsTitle = "Why it ended so"
		for _, r := range d.Reasons {
			v.Reasons = append(v.Reasons, r.Text)
		}
	}
	for _, h := range d.Hazards {
		v.Hazards = append(v.Hazards, rule(h))
	}
	for _, r := range d.Verdicts {
		if r.Effect != policy.NotAssessed {
			v.Rules = append(v.Rules, rule(r))
		}
	}
	v.Figures = figures(tl, d)
	v.ForecastHead, v.ForecastRows = forecasts(d)
	v.Options = options(d)
	v.Agents = agents(t, tl)
	v.Readings = readings(t, in)
	n := in.Receipt.Tally
	v.Tally = fmt.Sprintf("%d resources read: %d used, %d not of interest, %d not usable.", n.Read, n.Used, n.Ignored, n.Rejected)
	for i, r := range in.Receipt.Rejects {
		if i == 50 {
			v.Rejects = append(v.Rejects, fmt.Sprintf("and %d more", len(in.Receipt.Rejects)-i))
			break
		}
		v.Rejects = append(v.Rejects, strings.TrimSpace(r.Type+" "+r.Part)+": "+r.Reason+" "+r.Detail)
	}
	return v
}

// withoutAdvice keeps of a decision what shows no dose.
func withoutAdvice(d agent.Decision) agent.Decision {
	d.Advice, d.Explanation, d.Verdicts = agent.Advice{}, nil, nil
	d.Options = slices.DeleteFunc(slices.Clone(d.Options), func(o agent.Option) bool { return o.Role != "current" })
	return d
}

func number(v float64, decimals int) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "unknown"
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// rate writes a dose without a zero after its last digit.
func rate(v float64) string {
	s := number(v, 3)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

func percent(p float64) string {
	switch {
	case p < 0.01:
		return "under 1 %"
	case p > 0.99:
		return "over 99 %"
	}
	return number(100*p, 0) + " %"
}

// tiles are the few numbers that a person looks for first.
func tiles(t times, tl *state.Timeline) []tile {
	p := tl.Present
	out := []tile{{"MAP", "not charted", "goal " + number(p.MAP.GoalMmHg, 0) + " mmHg"}}
	if m := p.MAP.Newest; m != nil {
		out[0] = tile{"MAP " + m.Method, number(m.Value, 0) + " mmHg", "goal " + number(p.MAP.GoalMmHg, 0) + ", " + t.age(m.At)}
	}
	vaso := tile{"Vasopressors", "unknown", "exposure could not be read"}
	if p.VasoKnown {
		vaso = tile{"Vasopressors together", rate(p.NEUgKgMin), "ug/kg/min norepinephrine-equivalent"}
	}
	out = append(out, vaso)
	if l := p.Lactate.Now; l != nil {
		trend := ""
		switch {
		case p.Lactate.Rising:
			trend = "rising, "
		case p.Lactate.Falling:
			trend = "falling, "
		}
		out = append(out, tile{"Lactate", number(l.Value, 1) + " " + l.Unit, trend + t.age(l.At)})
	} else {
		out = append(out, tile{"Lactate", "not charted", ""})
	}
	if p.Fluids.UrineKnown {
		out = append(out, tile{"Urine, 6 h", number(p.Fluids.Urine6hMl, 0) + " mL", "24 h: " + number(p.Fluids.Urine24hMl, 0) + " mL"})
	}
	if p.Fluids.Known {
		out = append(out, tile{"Bolus charted here, 24 h", number(p.Fluids.Bolus24hMl, 0) + " mL", "all fluids: " + number(p.Fluids.In24hMl, 0) + " mL"})
	}
	sofa := tile{"SOFA", strconv.Itoa(p.Sepsis.SOFA), "no known baseline"}
	if p.Sepsis.BaselineKnown {
		sofa.Note = "baseline " + strconv.Itoa(p.Sepsis.BaselineSOFA)
	}
	return append(out, sofa)
}

func rule(v policy.Verdict) ruleRow {
	names := make([]string, 0, len(v.Values))
	for k := range v.Values {
		names = append(names, k)
	}
	sort.Strings(names)
	var values []string
	for _, k := range names {
		values = append(values, policy.Plain(k)+" "+strconv.FormatFloat(v.Values[k], 'g', 5, 64)+unitOf(k))
	}
	return ruleRow{v.ID, string(v.Effect), v.Text, strings.Join(values, ", "), v.Strength, v.Source}
}

// factUnits are the units that the names of facts end in.
var factUnits = []struct{ suffix, unit string }{
	{"_ug_kg_min", "ug/kg/min"}, {"_mmol_l", "mmol/L"}, {"_ml_h", "mL/h"}, {"_ml", "mL"}, {"_g_dl", "g/dL"}, {"_mmhg", "mmHg"},
	{"_years", "years"}, {"_min", "min"}, {"_kg", "kg"}, {"_h", "h"},
}

func unitOf(fact string) string {
	for _, u := range factUnits {
		if strings.HasSuffix(fact, u.suffix) {
			return " " + u.unit
		}
	}
	return ""
}

func options(d agent.Decision) []optionRow {
	var out []optionRow
	for _, o := range d.Options {
		why := o.Why
		if o.Blocked && why == "" {
			why = "blocked by a rule"
		}
		out = append(out, optionRow{o.Proposal.Name, o.Role, number(o.Value, 3), percent(o.Forecast.Support), why})
	}
	return out
}

func agents(t times, tl *state.Timeline) []agentRow {
	var out []agentRow
	for _, a := range tl.Present.Agents {
		r := agentRow{Drug: string(a.Drug), State: a.State, Charted: t.stamp(a.ChartedAt), Received: a.Received}
		switch {
		case a.State == state.AgentUnknownRate:
			r.Rate = "unknown: " + a.Why
		case a.RateUgKgMin > 0:
			r.Rate = rate(a.RateUgKgMin) + " ug/kg/min"
		default:
			r.Rate = rate(a.Rate) + " " + strings.ReplaceAll(a.RateUnit, "[iU]", "U")
		}
		if a.State == state.AgentStopped && !a.EndedAt.IsZero() {
			r.State += " at " + t.stamp(a.EndedAt)
		}
		out = append(out, r)
	}
	return out
}

// readings lists the newest value of every concept, features first, in the
// order of the catalogue.
func readings(t times, in Input) []readingRow {
	came := map[string]string{}
	for _, r := range in.Receipt.Records {
		s := r.Type + ", " + r.Origin.Via
		if r.Origin.Key != "" {
			s += " " + r.Origin.Key
		}
		came[r.Type+"/"+r.ID] = s
	}
	all := in.Timeline.Present.Readings
	names := make([]string, 0, len(all))
	for k := range all {
		names = append(names, k)
	}
	rank := func(k string) int {
		if f, ok := state.Lookup(state.Concept(k)); ok {
			return f.Index
		}
		return state.NumFeatures
	}
	slices.SortFunc(names, func(a, b string) int {
		if c := rank(a) - rank(b); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	var out []readingRow
	for _, k := range names {
		r := all[k]
		label, unit, decimals := strings.ReplaceAll(k, "_", " "), r.Unit, 1
		if f, ok := state.Lookup(state.Concept(k)); ok {
			label, unit, decimals = f.Label, f.UnitLabel, f.Precision
			if f.Index == state.Urine {
				label, unit = "Urine, last entry", r.Unit // the feature is a sum over 4 h, this is not
			}
		}
		record, _, _ := strings.Cut(r.RecordID, "#") // a component came with its resource
		received := r.Received
		if r.Conversion != "" {
			received += " (" + r.Conversion + ")"
		}
		out = append(out, readingRow{label, r.Comparator + number(r.Value, decimals) + " " + unit, t.stamp(r.At), r.Method, received, came[record]})
	}
	return out
}
