// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: the summary of a card. It is built to fit: each sentence is tried
// from the fullest wording to the shortest, and one that does not fit is left
// out whole. A dose, a unit or a negation is never cut.

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// fit returns the first candidate within the limit. The last candidate of
// every caller is a constant that fits.
func fit(candidates ...string) string {
	for _, s := range candidates {
		s = plain(s)
		if n := utf8.RuneCountInString(s); n > 0 && n <= MaxSummary {
			return s
		}
	}
	return "Sepsis treatment: see the details of this card"
}

func (w writer) summary() string {
	d := w.Outcome.Decision
	if w.dosing() {
		return w.doseSummary()
	}
	if len(d.Hazards) > 0 {
		return w.hazardSummary()
	}
	state := w.mapWords()
	switch d.Status {
	case agent.Suggest: // mode inform: something changed is worth a look, no dose
		return fit(state+": treatment worth reviewing; no dose shown in this mode", "Sepsis treatment worth reviewing; no dose shown in this mode")
	case agent.Affirm:
		return fit(state+w.runningWords()+": no change suggested now; reassess as charted values change",
			state+": no change suggested now; reassess as charted values change")
	case agent.Abstain:
		return fit("No treatment advice: "+w.reason()+" ("+state+")", "No treatment advice: "+w.reason(), "No treatment advice can be given; see the details for the reason")
	}
	return fit("Sepsis treatment advice does not apply: "+w.reason(), "Sepsis treatment advice does not apply; see the details for the reason")
}

// doseSummary says what is suggested, with the pressure it answers to.
func (w writer) doseSummary() string {
	a := w.Outcome.Decision.Advice
	var long, short []string
	if v := a.Vasopressor; v != nil {
		long = append(long, vasopressorWords(v))
		short = append(short, vasopressorWords(v))
	}
	if f := a.Fluid; f != nil {
		long = append(long, fluidWords(f)+" with stop criteria")
		short = append(short, fluidWords(f))
	}
	recheck := ""
	if v := a.Vasopressor; v != nil && v.RecheckMin > 0 {
		recheck = ", recheck in " + number(float64(v.RecheckMin), 0) + " min"
	}
	full, brief := strings.Join(long, " and "), strings.Join(short, " and ")
	prefix := w.mapWords() + ": "
	return fit(prefix+"consider "+full+recheck, prefix+"consider "+full, prefix+"consider "+brief, "Consider "+full, "Consider "+brief,
		"Sepsis treatment suggestion: open the details for drug, dose and limits")
}

// vasopressorWords are the words of one vasopressor suggestion: direction,
// own running rate, next rate; never a dose of another drug's equivalents.
func vasopressorWords(v *agent.VasopressorAdvice) string {
	drug, next := drugName(v.Drug), rate(v.ToUgKgMin)+" ug/kg/min"
	from := " from " + rate(v.FromUgKgMin)
	if v.Drug == state.DrugVasopressin {
		next, from = number(v.UMin, 3)+" U/min", ""
	}
	switch v.Direction {
	case agent.AdviceStart:
		return "starting " + drug + " at " + next
	case agent.AdviceIncrease:
		return "raising " + drug + from + " to " + next
	case agent.AdviceDecrease:
		return "lowering " + drug + from + " to " + next
	case agent.AdviceStop:
		return "stopping " + drug + strings.Replace(from, " from", ", now at", 1) + unitAfter(from)
	case agent.AdviceAddVasopressin:
		return "adding vasopressin " + number(v.UMin, 3) + " U/min, no norepinephrine increase"
	case agent.AdviceHold:
		return "keeping " + drug + " unchanged at " + next // "holding" a drug means stopping it at a bedside
	}
	return "a change of " + drug
}

// unitAfter is the unit that belongs after a weight-based rate.
func unitAfter(from string) string {
	if from == "" {
		return ""
	}
	return " ug/kg/min"
}

func fluidWords(f *agent.FluidAdvice) string {
	kind := f.Kind
	if kind == "" {
		kind = "crystalloid"
	}
	return "one " + number(f.BolusMl, 0) + " mL " + kind + " bolus"
}

// hazardSummary says the danger, and that and why no dose is given.
func (w writer) hazardSummary() string {
	d := w.Outcome.Decision
	text := strings.TrimSuffix(plain(d.Hazards[0].Text), ".")
	because := ". No dose suggested"
	if d.Status == agent.Abstain && len(d.Reasons) > 0 {
		because += ": " + w.reason()
	}
	if when := w.oldMAP(); when != "" {
		// A danger read off an old pressure says so, and sooner than why there is no dose.
		return fit(text+". MAP"+when+because, text+". MAP"+when+". No dose suggested", text+". MAP"+when+"; no dose", w.mapWords()+": reassess now; no dose suggested")
	}
	return fit(text+because, text+". No dose suggested", text, w.mapWords()+": reassess now; no dose suggested", "Reassess now: see the details; no dose suggested")
}

// mapWords names the newest charted pressure and the goal, or that there is
// none. One that is not of the last hour carries its time.
func (w writer) mapWords() string {
	p := w.Timeline.Present.MAP
	if p.Newest == nil {
		return "No MAP charted"
	}
	return "MAP " + number(p.Newest.Value, 0) + w.oldMAP() + ", goal " + number(p.GoalMmHg, 0)
}

// oldMAP is " at 02:00" for a newest MAP that is not of the last hour, else "".
func (w writer) oldMAP() string {
	p := w.Timeline.Present.MAP
	if p.Newest == nil || w.Timeline.At.Sub(p.Newest.At) <= time.Hour {
		return ""
	}
	return " at " + w.time(p.Newest.At)
}

// runningWords names a vasopressor that runs, when it is one.
func (w writer) runningWords() string {
	var running []state.Agent
	for _, a := range w.Timeline.Present.Agents {
		if a.State == state.AgentRunning {
			running = append(running, a)
		}
	}
	if len(running) != 1 {
		return ""
	}
	dose := w.agentRate(running[0])
	if running[0].RateUgKgMin > 0 {
		dose = rate(running[0].RateUgKgMin) + " ug/kg/min" // the charted unit is in the detail
	}
	return " on " + drugName(running[0].Drug) + " " + dose
}

func (w writer) reason() string {
	if r := w.Outcome.Decision.Reasons; len(r) > 0 {
		return strings.TrimSuffix(plain(r[0].Text), ".")
	}
	return "the reason is in the details"
}

// drugName is a drug as a person writes it.
func drugName(d state.Drug) string {
	if d == "" {
		return "the vasopressor"
	}
	return string(d)
}
