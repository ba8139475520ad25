// SPDX-License-Identifier: Apache-2.0

package evidence

// This file: the evidence page: first what a person has ten seconds for, then
// all that it rests on.

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Input is what the evidence page is made of.
type Input struct {
	Receipt *engine.Receipt
	// Timeline was built again from the receipt's own records; nil where this
	// build cannot.
	Timeline *state.Timeline
	// Differs: the timeline built again is not the one that was decided on,
	// because this build or its code maps read the chart otherwise.
	Differs bool
	// Withheld: the display mode shows no dose, so that the advice, the options
	// and what speaks of them are left out.
	Withheld   bool
	Summary    string // of the card, or what it would have said
	Unseen     string // why no card was shown; empty when one was
	Indicator  string
	Void       time.Time // when the advice stops holding, if nothing is charted before
	Now        time.Time // when the page is opened
	Zone       *time.Location
	ReceiptURL string
}

type view struct {
	frame
	At, AtISO, Void               string
	Outdated, Differs, Synthetic  bool
	StatusWords, Indicator, Tone  string
	Summary, Unseen, ReceiptURL   string
	Hazards                       []ruleRow
	Advice                        []fact
	OrderCheck                    bool
	Orders                        []orderRow
	Beside                        string   // drafted orders that were not asked about
	Own                           []string // in an order check: what the agent itself makes of the patient
	ReasonsTitle                  string
	Reasons                       []string
	Tiles                         []tile
	InShort                       []string
	Forecast                      *forecastView
	Explanation                   []string
	Proposer                      string
	Rounds                        []string
	Options                       []optionRow
	Rules                         []ruleRow
	Conflicts                     []fact
	Chart                         *chartView
	Missing, NotAssessed, Rejects []string
	Gaps                          []state.Gap
	Tally                         string
	Limits                        []fact
	MadeWith                      []fact
}

// tile is one number that a person looks for first.
type tile struct{ Label, Value, Unit, Note, Alarm string }

// statusWords are the endings as a person calls them.
var statusWords = map[agent.Status]string{
	agent.Suggest: "Suggestion", agent.Affirm: "No change suggested", agent.Abstain: "No advice", agent.NotApplicable: "Does not apply",
}

// Evidence writes the evidence page.
func Evidence(in Input) ([]byte, error) {
	return execute("evidence.html", newView(in))
}

func newView(in Input) view {
	tl, o := in.Timeline, in.Receipt.Outcome
	d := o.Decision
	status := cmp.Or(statusWords[d.Status], string(d.Status))
	if in.Withheld {
		if d.Status == agent.Suggest {
			status = "Worth reviewing; no dose in this display mode"
		}
		d = withoutAdvice(d)
	}
	o.Decision = d
	t := times{in.Receipt.At, in.Zone}
	v := view{
		frame: newFrame("Evidence: " + in.Summary),
		At:    t.at.In(in.Zone).Format("15:04 MST, 2 Jan 2006"), AtISO: t.at.UTC().Format(time.RFC3339),
		Void: t.clock(in.Void), Outdated: in.Now.After(in.Void), Differs: in.Differs || tl == nil,
		StatusWords: status, Indicator: in.Indicator, Tone: toneWords(in.Indicator),
		Summary: in.Summary, Unseen: in.Unseen, ReceiptURL: in.ReceiptURL,
		Advice: advice(d), InShort: inShort(o), Forecast: forecasts(tl, o),
		Explanation: t.all(d.Explanation), Proposer: proposer(d), Rounds: rounds(d), Options: options(d), Rules: rules(d), Conflicts: conflicts(d), Chart: chartOf(t, in),
		Missing: t.all(d.Missing), NotAssessed: t.all(d.NotAssessed), Gaps: in.Receipt.Gaps,
		MadeWith: madeWith(in.Receipt), Limits: limits(in.Receipt, d),
	}
	if tl != nil {
		v.Synthetic, v.Tiles = tl.Synthetic, tiles(t, tl)
	}
	for _, h := range d.Hazards {
		v.Hazards = append(v.Hazards, rule(h))
	}
	if d.Status != agent.Suggest {
		v.ReasonsTitle = "Why"
	}
	for _, r := range d.Reasons {
		v.Reasons = append(v.Reasons, t.local(r.Text))
	}
	if o.Topic == engine.TopicOrder {
		v.StatusWords, v.OrderCheck = "Order check", true
		v.Orders, v.Beside = orders(o.Orders, in.Withheld)
		v.Own = append([]string{"On its own, without these orders: " + strings.ToLower(status) + "."}, v.Reasons...)
		for _, f := range v.Advice {
			v.Own = append(v.Own, f.Label+": "+f.Value)
		}
		v.Advice, v.Reasons, v.ReasonsTitle = nil, nil, "" // these answer a question that was not asked
	}
	n := in.Receipt.Tally
	v.Tally = fmt.Sprintf("%d resources read: %d used, %d not of interest, %d not usable.", n.Read, n.Used, n.Ignored, n.Rejected)
	v.Rejects = rejects(in.Receipt.Rejects)
	return v
}

func toneWords(indicator string) string {
	switch indicator {
	case "critical":
		return "Critical"
	case "warning":
		return "Warning"
	}
	return "Information"
}

// rejects lists what could not be used, the first fifty one by one.
func rejects(all []state.Reject) []string {
	var out []string
	for i, r := range all {
		if i == 50 {
			return append(out, fmt.Sprintf("and %d more", len(all)-i))
		}
		out = append(out, strings.TrimSpace(strings.TrimSpace(r.Type+" "+r.Part)+": "+r.Reason+" "+r.Detail))
	}
	return out
}

// withoutAdvice keeps of a decision what shows no dose.
func withoutAdvice(d agent.Decision) agent.Decision {
	d.Advice, d.Explanation, d.Verdicts, d.Learned, d.Rounds = agent.Advice{}, nil, nil, nil, nil
	d.Options = slices.DeleteFunc(slices.Clone(d.Options), func(o agent.Option) bool { return o.Role != agent.RoleCurrent })
	for i := range d.Options {
		d.Options[i].Verdicts, d.Options[i].Why = nil, ""
	}
	return d
}

// inShort says in a line or two what the forecast and the experience behind it
// come to.
func inShort(o engine.Outcome) []string {
	drawnPlans := plans(o)
	if len(drawnPlans) == 0 {
		return nil
	}
	var chances, support, similar []string
	for _, p := range drawnPlans {
		under := " (" + strings.ToLower(p.label) + ")"
		chances = append(chances, percent(p.Forecast.Steps[0].PMAPAtGoal)+under)
		support = append(support, percent(p.Forecast.Support)+under)
		similar = append(similar, strconv.Itoa(p.Forecast.Similar))
	}
	return []string{
		"Chance of a mean MAP at goal over the next 4 h: " + strings.Join(chances, ", ") + ".",
		"Clinicians in such states are estimated to do so: " + strings.Join(support, ", ") + "; similar 4-h steps in the training data: " + strings.Join(similar, ", ") + ".",
	}
}

// limits says how far the model can be trusted here.
func limits(r *engine.Receipt, d agent.Decision) []fact {
	out := []fact{
		{"Learned from", cmp.Or(r.Model.Trained, "unknown")},
		{"Kind of evidence", "observational data of other hospitals; forecasts are estimates from past patients, and other causes than treatment are part of them"},
		{"Sees", "what is charted here and known at the as-of time, in steps of 4 h; not the bedside, not free text"},
	}
	for _, o := range d.Options {
		if o.Role == agent.RoleCurrent && len(o.Forecast.Steps) > 0 {
			out = append(out, fact{"This state", "stranger than " + percent(o.Forecast.OOD) + " of the states it was trained on; its " +
				fmt.Sprint(r.Model.Members) + " members differ by " + number(o.Forecast.Disagreement, 1) + " mmHg (SD) on MAP after 4 h"})
		}
	}
	return out
}

// tiles are the few numbers that a person looks for first.
func tiles(t times, tl *state.Timeline) []tile {
	p := tl.Present
	out := []tile{mapTile(t, p.MAP), vasopressorTile(t, p), lactateTile(t, p.Lactate)}
	urine := tile{Label: "Urine, 6 h", Value: "unknown", Note: "none charted"}
	if p.Fluids.UrineKnown {
		urine = tile{Label: "Urine, 6 h", Value: number(p.Fluids.Urine6hMl, 0), Unit: "mL", Note: "24 h: " + millilitres(p.Fluids.Urine24hMl)}
		if w := p.Weight; w.Known && w.Conflict == "" && w.Kg > 0 && tl.HoursInICU >= 6 {
			urine.Note = number(p.Fluids.Urine6hMl/6/w.Kg, 1) + " mL/kg/h; " + urine.Note
		}
	}
	bolus := tile{Label: "Bolus, 24 h", Value: "unknown", Note: p.Fluids.Why}
	if p.Fluids.Known {
		bolus = tile{Label: "Bolus, 24 h", Value: number(p.Fluids.Bolus24hMl, 0), Unit: "mL", Note: "charted here; all fluids: " + millilitres(p.Fluids.In24hMl)}
		if p.Fluids.BalanceKnown {
			bolus.Note += "; balance of the stay: " + millilitres(p.Fluids.BalanceMl)
		}
	}
	sofa := tile{Label: "SOFA", Value: fmt.Sprint(p.Sepsis.SOFA), Note: "no known baseline"}
	if p.Sepsis.BaselineKnown {
		sofa.Note = fmt.Sprintf("baseline %d", p.Sepsis.BaselineSOFA)
	}
	if pf := p.PFRatio.Now; pf != nil {
		sofa.Note += "; P/F " + number(pf.Value, 0) + " mmHg, " + t.stamp(pf.At)
	} else {
		sofa.Note += "; P/F unknown"
	}
	return append(out, urine, bolus, sofa)
}

// staleMAP is the age from which a pressure is called old (design.md 5.1 calls
// a rate unknown after as long).
const staleMAP = 2 * time.Hour

func mapTile(t times, p state.Pressure) tile {
	goal := "goal " + number(p.GoalMmHg, 0)
	if p.GoalOrdered {
		goal = "ordered goal " + number(p.GoalMmHg, 0)
	}
	m := p.Newest
	if m == nil {
		return tile{Label: "MAP", Value: "unknown", Note: "none charted; " + goal}
	}
	out := tile{Label: strings.TrimSuffix("MAP, "+method(*m), ", "), Value: number(m.Value, 0), Unit: "mmHg", Note: goal + "; " + t.stamp(m.At)}
	if p.Derived {
		out.Note += ", from systolic and diastolic"
	}
	if p.LastHourMin != nil && p.LastHourMin.Value < m.Value {
		out.Note += "; lowest of 1 h: " + number(p.LastHourMin.Value, 0)
	}
	switch {
	case t.at.Sub(m.At) > staleMAP:
		out.Alarm = "old: " + t.age(m.At)
	case p.Disagree:
		out.Alarm = "arterial line and cuff disagree: confirm"
		if p.Other != nil {
			out.Alarm = strings.TrimSuffix(number(p.Other.Value, 0)+" mmHg, "+method(*p.Other), ", ") + ": confirm"
		} else if p.ArterialNow != nil && p.CuffNow != nil { // a receipt of before Other was kept
			out.Alarm = "arterial " + number(p.ArterialNow.Value, 0) + ", cuff " + number(p.CuffNow.Value, 0) + ": confirm"
		}
	case p.LoneOutlier:
		out.Alarm = "stands apart from its neighbours: confirm"
	case m.Value < p.GoalMmHg:
		out.Alarm = "below goal"
	}
	return out
}

func vasopressorTile(t times, p state.Present) tile {
	if !p.VasoKnown {
		return tile{Label: "Vasopressors", Value: "unknown", Note: p.VasoWhy}
	}
	var running []state.Agent
	for _, a := range p.Agents {
		if a.State == state.AgentRunning && a.Class == state.ClassVasopressor {
			running = append(running, a)
		}
	}
	switch len(running) {
	case 0:
		return tile{Label: "Vasopressors", Value: "none", Note: "none running as charted; verify pump"}
	case 1:
		a := running[0]
		value, unit := rate(a.RateUgKgMin), strings.TrimSpace(ugKgMin)
		if a.RateUgKgMin == 0 {
			value, unit = rate(a.Rate), unitWords.Replace(a.RateUnit)
		}
		return tile{Label: capital(string(a.Drug)), Value: value, Unit: unit, Note: "charted " + t.stamp(a.ChartedAt) + "; verify pump"}
	}
	var names []string
	for _, a := range running {
		names = append(names, string(a.Drug)+" "+agentRate(a))
	}
	return tile{Label: "Vasopressors together", Value: rate(p.NEUgKgMin), Unit: strings.TrimSpace(ugKgMin) + " NE-eq.", Note: strings.Join(names, ", ") + "; verify pumps"}
}

func lactateTile(t times, l state.Trend) tile {
	if l.Now == nil {
		return tile{Label: "Lactate", Value: "unknown", Note: "none charted"}
	}
	out := tile{Label: "Lactate", Value: l.Now.Comparator + number(l.Now.Value, 1), Unit: unitWords.Replace(l.Now.Unit), Note: t.stamp(l.Now.At)}
	if l.Before != nil {
		out.Note += "; before: " + number(l.Before.Value, 1)
	}
	switch {
	case l.Rising:
		out.Alarm = "rising"
	case l.Falling:
		out.Note = "falling; " + out.Note
	}
	return out
}
