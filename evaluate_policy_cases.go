// SPDX-License-Identifier: Apache-2.0

package main

// This file: single cases for a clinician to judge, as `evaluate policy
// --cases N` prints them: the chart as it was used, what was decided, the card
// as it would be shown, the rules that spoke, what the model forecast, and what
// was given instead. docs/cases.md is made of simulated patients; the cases of
// real stays are patients' data and belong where their licence allows.

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/learn"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/policy"
)

// caseDocument writes the cases.
type caseDocument struct {
	policyDocument
	synthetic bool
}

// printCases decides the chosen cases again and prints them. Figures of real
// patients are readable by their owner alone.
func (r *rooms) printCases(ctx context.Context, w io.Writer, e *learn.PolicyEvaluation, f *policyFlags) error {
	d := &caseDocument{policyDocument: policyDocument{e: e, info: r.model.Info(), figures: linkTo(f.figures)}, synthetic: e.Synthetic}
	d.preface(f.cases)
	mode := os.FileMode(0o600)
	if e.Synthetic {
		mode = 0o644
	}
	for i := range e.CasesDrawn {
		c := &e.CasesDrawn[i]
		made, err := r.decideCase(ctx, c)
		if err != nil {
			return fmt.Errorf("case %d: %w", i+1, err)
		}
		drawn := casePictures(i+1, made.timeline, &made.outcome.Decision)
		if f.figures != "" {
			if err := writeFigures(f.figures, "case-", drawn, mode); err != nil {
				return err
			}
		}
		d.one(i+1, c, made, drawn)
	}
	_, err := w.Write(d.Bytes())
	return err
}

// madeCase is one case decided.
type madeCase struct {
	timeline *state.Timeline
	outcome  engine.Outcome
	response cdshooks.Response
}

// decideCase decides as a first look at the chart would.
func (r *rooms) decideCase(ctx context.Context, c *learn.Case) (*madeCase, error) {
	tl, err := c.Row.Timeline()
	if err != nil {
		return nil, err
	}
	id := fmt.Sprintf("case-%s-%d", c.Row.Stay, c.Row.Step)
	outcome, err := r.decider.Decide(ctx, engine.Case{Timeline: tl, Now: c.Row.At, Seed: 1, ID: id, User: "Practitioner/evaluation", Display: engine.DisplaySuggest})
	if err != nil {
		return nil, err
	}
	response, err := cdshooks.Render(cdshooks.Rendering{
		ID: id, Seed: 1, Display: engine.DisplaySuggest, Timeline: tl, Outcome: outcome, Model: r.model.Info(), Hashes: r.hashes,
		Settings: cdshooks.RenderSettings{SourceLabel: r.cfg.CDSHooks.SourceLabel, TopicSystem: r.cfg.CDSHooks.TopicSystem, TimeZone: r.cfg.CDSHooks.TimeZone, PatientID: tl.PatientID},
	})
	if err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	return &madeCase{timeline: tl, outcome: outcome, response: response}, nil
}

func (d *caseDocument) preface(wanted int) {
	d.say("# Cases to judge\n")
	d.say("Printed by `sepsisagent evaluate policy --cases %d`; nothing here is typed. Model %s %s, hash `%s`; rules `%s`. Data digest `%s`.\n", wanted, d.info.Kind, d.info.Version, d.e.Hashes.Model, d.e.Hashes.Rules, d.e.DataDigest)
	if d.synthetic {
		d.say("**The patients are simulated.** They show what the product says, not whether it is right: their physiology is simpler than a patient's. The same command on a cohort of real stays writes real cases, to a place of your choice.")
	} else {
		d.say("**These are real patients' data.** Keep them where the licence of the data allows, and nowhere else.")
	}
	d.say("\n%d cases from %d stays. Nobody picked them: two are dealt from each of six strata of what was decided (raise or start a vasopressor, lower or stop one, volume, no advice with a danger shown, pressures in conflict, a running vasopressor affirmed), and where a stratum is empty from the remaining decisions; within a stratum stays come in an order that their ids alone fix, a patient once. What was given and what followed was not known to the decision; simulated clinicians and real ones alike may have had other reasons.", len(d.e.CasesDrawn), d.e.Stays)
	d.say("\nFor each: would you do this, at this bedside, with this chart? If not, what is wrong: the chart as read, the rule, the forecast, the dose, the words?")
}

// one writes one case.
func (d *caseDocument) one(n int, c *learn.Case, made *madeCase, drawn []picture) {
	tl := made.timeline
	d.say("\n## Case %d: %s\n", n, c.Stratum)
	age := "age unknown"
	if tl.AgeKnown {
		age = fmt.Sprintf("%.0f years", tl.AgeYears)
	}
	d.say("%s, %s, %.0f h after ICU admission. Source `%s`, stay `%s`, step %d.", age, orUnknown(tl.Sex), tl.HoursInICU, cell(c.Row.Source), cell(c.Row.Stay), c.Row.Step)
	d.chart(tl)
	d.decided(made)
	for _, p := range drawn {
		if d.figures != "" {
			d.say("\n![%s](%s/case-%s.svg)", cell(p.alt), d.figures, p.name)
		}
	}
	d.card(made)
	d.rules(made)
	d.after(c, tl)
}

func orUnknown(s string) string {
	if s == "" {
		return "sex unknown"
	}
	return s
}

// chart writes what was read.
func (d *caseDocument) chart(tl *state.Timeline) {
	p := &tl.Present
	d.say("\n### The chart as used")
	d.table("", "value", "age", "before")
	reading := func(name string, r, before *state.Reading) {
		if r == nil {
			d.row(name, "not charted", "", "")
			return
		}
		was := ""
		if before != nil {
			was = fmt.Sprintf("%.4g, %s ago", before.Value, ageText(before.AgeMin))
		}
		d.row(name, fmt.Sprintf("%s%.4g %s", r.Comparator, r.Value, cell(r.Unit)), ageText(r.AgeMin)+methodText(r.Method), was)
	}
	reading(fmt.Sprintf("MAP (goal %.0f)", p.MAP.GoalMmHg), p.MAP.Newest, nil)
	reading("lowest MAP of the last hour", p.MAP.LastHourMin, nil)
	reading("MAP by arterial line", p.MAP.ArterialNow, nil)
	reading("MAP by cuff", p.MAP.CuffNow, nil)
	reading("lactate", p.Lactate.Now, p.Lactate.Before)
	reading("P/F", p.PFRatio.Now, p.PFRatio.Before)
	reading("haemoglobin", p.Hb.Now, p.Hb.Before)
	for _, concept := range []string{"heart_rate", "spo2", "creatinine", "cvp"} {
		if r, ok := p.Readings[concept]; ok {
			reading(strings.ReplaceAll(concept, "_", " "), &r, nil)
		}
	}
	for _, a := range p.Agents {
		d.row(cell(string(a.Drug)), fmt.Sprintf("%s, %.4g %s", a.State, a.Rate, cell(a.RateUnit)), ageText(a.AgeMin), fmt.Sprintf("%.2f ug/kg/min as norepinephrine", a.NEUgKgMin))
	}
	if len(p.Agents) == 0 {
		d.row("vasoactive drugs", "none charted in 24 h", "", "")
	}
	if !p.VasoKnown {
		d.row("vasopressors", "unknown: "+cell(p.VasoWhy), "", "")
	}
	if p.Fluids.Known {
		d.row("fluid charted", fmt.Sprintf("bolus %.0f mL in 3 h, %.0f mL in 24 h; all %.0f mL in 24 h", p.Fluids.Bolus3hMl, p.Fluids.Bolus24hMl, p.Fluids.In24hMl), "", balanceText(&p.Fluids))
	} else {
		d.row("fluid charted", "unknown: "+cell(p.Fluids.Why), "", "")
	}
	if p.Fluids.UrineKnown {
		d.row("urine", fmt.Sprintf("%.0f mL in 6 h", p.Fluids.Urine6hMl), "", "")
	}
	d.row("weight", weightText(&p.Weight), "", "")
	d.row("sepsis", fmt.Sprintf("SOFA %d (known before: %d); %s", p.Sepsis.SOFA, p.Sepsis.BaselineSOFA, cell(strings.Join(p.Sepsis.Evidence, "; "))), "", "")
	for _, check := range p.Checks {
		if check.Result == state.CheckPresent {
			d.row(cell(check.Key), "present: "+cell(check.Evidence), "", "")
		}
	}
	d.steps(tl)
}

// steps are the last day in steps.
func (d *caseDocument) steps(tl *state.Timeline) {
	d.table("hours before", "MAP mean", "lactate", "urine mL", "norepinephrine-eq. mean", "bolus mL", "SOFA")
	for _, s := range tl.Steps[max(0, len(tl.Steps)-6):] {
		if !s.InStay {
			continue
		}
		value := func(f int, format string) string {
			switch s.Presence[f] {
			case state.Measured:
				return fmt.Sprintf(format, s.Value[f])
			case state.Carried:
				return fmt.Sprintf("("+format+")", s.Value[f])
			}
			return ""
		}
		vaso, bolus := "unknown", "unknown"
		if s.Given.VasoKnown {
			vaso = fmt.Sprintf("%.3f", s.Given.NEMeanUgKgMin)
		}
		if s.Given.FluidKnown {
			bolus = fmt.Sprintf("%.0f", s.Given.BolusMl)
		}
		d.row(fmt.Sprintf("%.0f to %.0f", tl.At.Sub(s.Start).Hours(), math.Abs(tl.At.Sub(s.End).Hours())), value(state.MeanBP, "%.0f"), value(state.Lactate, "%.1f"), value(state.Urine, "%.0f"), vaso, bolus, s.SOFA.Total)
	}
	d.say("\nIn parentheses: carried from an earlier step.")
}

// decided writes what was decided and why.
func (d *caseDocument) decided(made *madeCase) {
	decision := &made.outcome.Decision
	d.say("\n### Decided: %s\n", decision.Status)
	for _, r := range decision.Reasons {
		d.say("- %s: %s", r.Code, cell(r.Text))
	}
	for _, h := range decision.Hazards {
		d.say("- danger %s: %s", h.ID, cell(h.Text))
	}
	for _, line := range decision.Explanation {
		d.say("- %s", cell(line))
	}
	if len(decision.Options) == 0 {
		return
	}
	d.table("option", "", "value", "MAP at goal in 4 h", "clinicians who do this", "why not")
	for _, o := range decision.Options {
		at := ""
		if len(o.Forecast.Steps) > 0 {
			at = fmt.Sprintf("%.0f %%", 100*o.Forecast.Steps[0].PMAPAtGoal)
		}
		d.row(cell(o.Proposal.Name), o.Role, fmt.Sprintf("%.2f", o.Value), at, fmt.Sprintf("%.1f %%", 100*o.Forecast.Support), cell(o.Why))
	}
}

// card writes the card as an EHR gets it.
func (d *caseDocument) card(made *madeCase) {
	d.say("\n### The card")
	if len(made.response.Cards) == 0 {
		d.say("\nNone is shown.")
	}
	for _, c := range made.response.Cards {
		d.say("\n> **%s** (%s)", cell(c.Summary), c.Indicator)
		d.say(">")
		for line := range strings.Lines(c.Detail) {
			d.say("> %s", strings.TrimRight(line, "\n"))
		}
		for _, s := range c.Suggestions {
			d.say(">\n> Button: %s", cell(s.Label))
		}
	}
}

// rules writes the verdicts.
func (d *caseDocument) rules(made *madeCase) {
	verdicts := made.outcome.Decision.Verdicts
	d.say("\n### The rules that spoke")
	if len(verdicts) == 0 {
		d.say("\nNone.")
		return
	}
	d.table("rule", "effect", "says", "because", "strength", "source")
	for _, v := range verdicts {
		d.row(v.ID, string(v.Effect), cell(v.Text), valuesText(v), cell(v.Strength), cell(v.Source))
	}
}

func valuesText(v policy.Verdict) string {
	var out []string
	for name, value := range v.Values {
		out = append(out, fmt.Sprintf("%s %.4g", name, value))
	}
	slices.Sort(out)
	return cell(strings.Join(out, ", "))
}

// after writes what was given and what followed.
func (d *caseDocument) after(c *learn.Case, tl *state.Timeline) {
	d.say("\n### What was given, and what followed\n")
	if c.Next == nil {
		d.say("The stay ended within 4 h.")
		return
	}
	g := &c.Next.Given
	vaso, fluid := "vasopressors not charted", "fluid not charted"
	if g.VasoKnown {
		vaso = fmt.Sprintf("norepinephrine-equivalents from %.3f now to %.3f at the end (highest %.3f) ug/kg/min", tl.Present.NEUgKgMin, g.NEEndUgKgMin, g.NEMaxUgKgMin)
	}
	if g.FluidKnown {
		fluid = fmt.Sprintf("bolus %.0f mL, other fluid %.0f mL, blood %.0f mL", g.BolusMl, g.MaintenanceMl+g.CarrierMl, g.BloodMl)
	}
	var then []string
	for _, f := range []int{state.MeanBP, state.Lactate, state.Urine, state.Creatinine} {
		if c.Next.Presence[f] == state.Measured {
			feature := state.Catalogue()[f]
			then = append(then, fmt.Sprintf("%s %.*f %s", feature.Label, feature.Precision, c.Next.Value[f], feature.UnitLabel))
		}
	}
	d.say("In the next 4 h: %s; %s. Then: %s.", vaso, fluid, strings.Join(then, ", "))
}

func ageText(min float64) string {
	if min < 120 {
		return fmt.Sprintf("%.0f min", min)
	}
	return fmt.Sprintf("%.1f h", min/60)
}

func methodText(method string) string {
	if method == "" {
		return ""
	}
	return ", " + cell(method)
}

func balanceText(f *state.FluidBook) string {
	if !f.BalanceKnown {
		return "balance unknown"
	}
	return fmt.Sprintf("balance of the stay %+.0f mL", f.BalanceMl)
}

func weightText(w *state.Weight) string {
	switch {
	case !w.Known:
		return "unknown"
	case w.Conflict != "":
		return "in conflict: " + cell(w.Conflict)
	}
	return fmt.Sprintf("%.0f kg, %s", w.Kg, cell(w.Source))
}
