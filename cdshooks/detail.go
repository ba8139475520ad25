// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: the detail of a card, in the order of design.md 5.10: when it
// holds, what runs, what decided, what is suggested and its limits, forecasts,
// rules, what is missing or was not assessed, what it was made with, and what
// it is not.

import (
	"regexp"
	"slices"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/policy"
)

func (w writer) detail() string {
	var p page
	p.paragraph("**As of " + w.full(w.Timeline.At) + ".** Void after " + w.time(w.Timeline.At.Add(CardValid)) +
		", or as soon as a new MAP or a new infusion rate is charted.")
	w.hazards(&p)
	w.running(&p)
	w.suggested(&p)
	w.facts(&p)
	w.whatIf(&p)
	if !w.withheld() {
		w.rules(&p)
		w.conflicts(&p)
	}
	w.unknowns(&p)
	w.basis(&p)
	return p.String()
}

func (w writer) hazards(p *page) {
	d := w.Outcome.Decision
	if len(d.Hazards) > 0 {
		p.heading("Danger")
		for _, h := range d.Hazards {
			p.item(escape(h.Text) + " (" + escape(h.ID) + ", " + escape(h.Source) + ")")
		}
		if !w.dosing() {
			p.item("This warning carries no dose. Assess the patient.")
		}
	}
	if len(d.Reasons) > 0 && d.Status != agent.Suggest {
		title := "Why no advice is given"
		if d.Status == agent.NotApplicable {
			title = "Why this does not apply"
		}
		p.heading(title)
		for _, r := range d.Reasons {
			p.item(escape(r.Text))
		}
	}
}

// running lists every vasoactive drug with its charted rate and its age.
func (w writer) running(p *page) {
	p.heading("Vasoactive drugs as charted (verify pump)")
	present := w.Timeline.Present
	for _, a := range present.Agents {
		p.item(w.agentWords(a))
	}
	if len(present.Agents) == 0 && present.VasoKnown {
		p.item("none charted in the last 24 h")
	}
	if !present.VasoKnown {
		why := present.VasoWhy
		if why == "" {
			why = "the chart does not say"
		}
		p.item("exposure **unknown**: " + escape(why))
	}
}

func (w writer) agentWords(a state.Agent) string {
	name := "**" + escape(drugName(a.Drug)) + "** "
	switch a.State {
	case state.AgentRunning:
		return name + "charted " + w.agentRate(a) + " at " + w.time(a.ChartedAt) + " (" + w.age(a.ChartedAt) + "); verify pump"
	case state.AgentStopped:
		return name + "stopped at " + w.time(a.EndedAt)
	case state.AgentUndocumented:
		return name + "last charted " + w.agentRate(a) + " at " + w.time(a.ChartedAt) + " (" + w.age(a.ChartedAt) + "); rate now **unknown**"
	}
	return name + "running at a rate that could not be read: " + escape(a.Why)
}

// agentRate writes a rate in the unit it was charted in, with the weight-based
// rate beside it when that was computed.
func (w writer) agentRate(a state.Agent) string {
	if a.RateUnit == state.UnitUgKgMin || a.RateUnit == "" {
		return rate(a.RateUgKgMin) + " ug/kg/min"
	}
	unit := strings.ReplaceAll(a.RateUnit, "[iU]", "U")
	s := number(a.Rate, 3) + " " + unit
	if a.RateUgKgMin > 0 {
		s += " = " + rate(a.RateUgKgMin) + " ug/kg/min"
		if a.RateUnit == state.UnitUgMin {
			s += " at " + number(a.Rate/a.RateUgKgMin, 1) + " kg" // the weight the rate was converted with
		}
	}
	return s
}

// suggested says the advice with its bounds.
func (w writer) suggested(p *page) {
	if !w.dosing() {
		return
	}
	a := w.Outcome.Decision.Advice
	p.heading("Suggestion (for your judgement; nothing is ordered)")
	if v := a.Vasopressor; v != nil {
		p.item("Consider " + escape(vasopressorWords(v)) + "; MAP goal " + number(v.GoalMmHg, 0) + " mmHg")
		if raises := v.Direction == agent.AdviceStart || v.Direction == agent.AdviceIncrease; raises && v.CeilingUgKgMin > 0 {
			p.item("Ceiling " + rate(v.CeilingUgKgMin) + " ug/kg/min")
		}
		if v.RecheckMin > 0 {
			p.item("Recheck MAP in " + number(float64(v.RecheckMin), 0) + " min, before any further step")
		}
	}
	if f := a.Fluid; f != nil {
		words := "Consider " + escape(fluidWords(f))
		if f.OverMin > 0 {
			words += " over " + number(float64(f.OverMin), 0) + " min"
		}
		if f.MlPerKg > 0 {
			words += " (" + number(f.MlPerKg, 1) + " mL/kg, " + escape(f.WeightBasis) + ")"
		}
		p.item(words)
		for _, s := range f.StopCriteria {
			p.item("Stop: " + escape(s))
		}
	}
	for _, r := range a.Recheck {
		p.item("Also: " + escape(r))
	}
}

// shown are the readings a card lists when they are charted, in order.
var shown = []struct {
	concept state.Concept
	label   string
}{
	{"heart_rate", "Heart rate"}, {"spo2", "SpO2"}, {"resp_rate", "Respiratory rate"}, {"temp_c", "Temperature"},
	{"creatinine", "Creatinine"}, {"hemoglobin", "Hemoglobin"}, {"platelet", "Platelets"}, {"bilirubin_total", "Bilirubin"},
}

func (w writer) facts(p *page) {
	p.heading("What it rests on")
	present := w.Timeline.Present
	w.pressureFacts(p)
	w.trend(p, "Lactate", present.Lactate)
	w.trend(p, "PaO2/FiO2", present.PFRatio)
	for _, s := range shown {
		if r, ok := present.Readings[string(s.concept)]; ok {
			p.item(s.label + " " + w.reading(r))
		}
	}
	w.fluidFacts(p)
	w.sepsisFacts(p)
	w.weighing(p)
}

// weighing says what spoke against leaving the treatment as it is, and how
// often clinicians do what is suggested. The arithmetic is on the evidence
// page: nobody at a bedside can use it.
func (w writer) weighing(p *page) {
	if w.withheld() {
		return
	}
	current, plan := option(w.Outcome.Decision, "current"), option(w.Outcome.Decision, "suggested")
	if w.dosing() && current != nil {
		for _, v := range current.Verdicts {
			if v.Effect == policy.Penalty {
				p.item("Against leaving the treatment as it is: " + escape(v.Text) + " (" + escape(v.ID) + ")")
			}
		}
	}
	if plan == nil && w.dosing() {
		p.item("No simulated change is clearly better than current treatment")
	}
	if plan == nil {
		plan = current
	}
	if plan != nil && len(plan.Forecast.Steps) > 0 {
		p.item("Clinicians are estimated to treat " + percent(plan.Forecast.Support) + " of such states this way; similar 4-h steps in the training data: " +
			number(float64(plan.Forecast.Similar), 0))
	}
}

func (w writer) pressureFacts(p *page) {
	m := w.Timeline.Present.MAP
	if m.Newest == nil {
		p.item("MAP: none charted")
		return
	}
	goal := "default goal " + number(m.GoalMmHg, 0)
	if m.GoalOrdered {
		goal = "ordered goal " + number(m.GoalMmHg, 0)
	}
	line := "MAP " + w.reading(*m.Newest) + "; " + goal
	if m.Derived {
		line += "; computed from systolic and diastolic pressure"
	}
	if m.LastHourMin != nil {
		line += "; lowest of the last hour " + number(m.LastHourMin.Value, 0) + " at " + w.time(m.LastHourMin.At)
	}
	p.item(line)
	if m.Disagree && m.Other != nil {
		p.item("**Two sources disagree**: " + w.reading(*m.Newest) + " against " + w.reading(*m.Other) + ". Confirm MAP.")
	}
	if m.LoneOutlier {
		p.item("**The newest MAP stands apart from its neighbours.** Confirm MAP.")
	}
}

func (w writer) trend(p *page, name string, t state.Trend) {
	if t.Now == nil {
		p.item(name + ": none charted")
		return
	}
	line := name + " " + w.reading(*t.Now)
	if t.Before != nil {
		line += ", before it " + value(*t.Before) + " at " + w.time(t.Before.At)
		switch {
		case t.Rising:
			line += " (rising)"
		case t.Falling:
			line += " (falling)"
		}
	}
	p.item(line)
}

// reading writes a value with unit, method, time and age.
func (w writer) reading(r state.Reading) string {
	s := value(r) + " " + escape(unitLabel(r))
	if r.Method != "" {
		s += ", " + escape(r.Method)
	}
	return s + ", " + w.time(r.At) + " (" + w.age(r.At) + ")"
}

func value(r state.Reading) string {
	decimals := 1
	if f, ok := state.Lookup(r.Concept); ok {
		decimals = f.Precision
	} else if r.Concept == state.ConceptPF {
		decimals = 0
	}
	return escape(r.Comparator) + number(r.Value, decimals)
}

func unitLabel(r state.Reading) string {
	if f, ok := state.Lookup(r.Concept); ok && f.UnitLabel != "" {
		return f.UnitLabel
	}
	return strings.NewReplacer("mm[Hg]", "mmHg", "[iU]", "U", "cm[H2O]", "cmH2O").Replace(r.Unit)
}

func (w writer) fluidFacts(p *page) {
	f := w.Timeline.Present.Fluids
	if !f.Known {
		why := f.Why
		if why == "" {
			why = "the chart does not say"
		}
		p.item("Fluids **unknown**: " + escape(why))
	} else {
		p.item("Fluids charted here: bolus " + number(f.Bolus3hMl, 0) + " mL in 3 h, " + number(f.Bolus24hMl, 0) +
			" mL in 24 h; all fluids " + number(f.In24hMl, 0) + " mL in 24 h")
	}
	if f.UrineKnown {
		p.item("Urine charted: " + number(f.Urine6hMl, 0) + " mL in 6 h, " + number(f.Urine24hMl, 0) + " mL in 24 h")
	}
	if f.BalanceKnown {
		p.item("Balance charted here: " + number(f.BalanceMl, 0) + " mL since ICU admission")
	}
	weight := w.Timeline.Present.Weight
	switch {
	case weight.Conflict != "":
		p.item("Weight: " + escape(weight.Conflict) + "; no weight-based number is given")
	case weight.Known && weight.BMI > 30:
		p.item("Weight " + number(weight.Kg, 1) + " kg (" + escape(weight.Source) + "), BMI " + number(weight.BMI, 0) + ": mL/kg are per kg of this weight")
	case weight.Known:
		p.item("Weight " + number(weight.Kg, 1) + " kg (" + escape(weight.Source) + ")")
	}
}

func (w writer) sepsisFacts(p *page) {
	s := w.Timeline.Present.Sepsis
	if s.Suspected {
		var evidence []string
		for _, e := range s.Evidence {
			evidence = append(evidence, escape(w.localTimes(e)))
		}
		line := "Charted evidence for sepsis, not a diagnosis: " + strings.Join(evidence, "; ") + "; SOFA " + number(float64(s.SOFA), 0)
		if s.BaselineKnown {
			line += " over a known baseline of " + number(float64(s.BaselineSOFA), 0)
		} else {
			line += " (baseline not known, taken as 0)"
		}
		if !slices.ContainsFunc(s.Evidence, func(e string) bool { return !strings.HasPrefix(e, "antimicrobial") }) {
			line += "; antimicrobials alone may be prophylaxis"
		}
		p.item(line)
	}
	if s.Shock && s.ShockWhy != "" {
		p.item("Septic shock by Sepsis-3: " + escape(s.ShockWhy))
	}
}

func (w writer) unknowns(p *page) {
	d := w.Outcome.Decision
	if len(d.Missing) > 0 {
		p.heading("Missing or out of date")
		p.items(d.Missing)
	}
	if len(d.NotAssessed) > 0 {
		p.heading("Not assessed (the chart does not say; not the same as absent)")
		for _, line := range grouped(d.NotAssessed) {
			p.item(escape(bedsideWords.ReplaceAllStringFunc(line, func(word string) string { return bedsideWord[word] })))
		}
	}
}

// bedsideWord writes the names of checks and facts as a clinician does.
var bedsideWord = map[string]string{"dnr": "DNR", "dka": "DKA", "cvp": "CVP", "pf": "P/F", "ecmo": "ECMO", "esrd": "ESRD", "map": "MAP", "spo2": "SpO2"}

var bedsideWords = regexp.MustCompile(`\b(` + strings.Join(sortedKeys(bedsideWord), "|") + `)\b`)

func (w writer) basis(p *page) {
	p.heading("Made with")
	p.item(w.decidedBy())
	p.item("Model " + escape(w.Model.Kind) + " " + escape(w.Model.Version) + " (" + short(w.Model.Hash) + "), trained on " + escape(w.Model.Trained))
	p.item("Rules " + short(w.Hashes.Rules) + ", code maps " + short(w.Hashes.CodeMaps) + ", configuration " + short(w.Hashes.Config) + ", build " + escape(w.Hashes.Build))
	p.item("Decision " + escape(w.ID))
	p.paragraph("Decision support for clinicians, **not validated for clinical use**. It knows only what is charted here, not the bedside. " +
		"It was learned from observational data of other hospitals and can be wrong for this patient. The clinician decides.")
}

// short is the beginning of a hash, enough to compare by eye.
func short(hash string) string {
	if len(hash) > 12 {
		hash = hash[:12]
	}
	if hash == "" {
		return "unknown"
	}
	return escape(hash)
}

// grouped joins lines "a: why" and "b: why" into "a, b: why", in the order of
// their first.
func grouped(lines []string) []string {
	var whys []string
	what := map[string][]string{}
	for _, l := range lines {
		name, why, ok := strings.Cut(l, ": ")
		if !ok {
			name, why = l, ""
		}
		if what[why] == nil || why == "" {
			whys = append(whys, why)
		}
		what[why] = append(what[why], name)
	}
	var out []string
	for _, why := range whys {
		if why == "" {
			out = append(out, what[""][0])
			what[""] = what[""][1:]
			continue
		}
		out = append(out, strings.Join(what[why], ", ")+": "+why)
	}
	return out
}
