// SPDX-License-Identifier: Apache-2.0

package main

// This file: docs/policy.md, as `evaluate policy --markdown` prints it, and the
// short form for a terminal.

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/sepsisagent/sepsisagent/engine/learn"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// policyDocument writes what was counted.
type policyDocument struct {
	bytes.Buffer
	e        *learn.PolicyEvaluation
	info     world.Info
	pictures []picture
	figures  string // folder of the figures, as the document links to it; empty: none
	prefix   string // of the figures' names
}

func (d *policyDocument) say(format string, args ...any) { fmt.Fprintf(d, format+"\n", args...) }

func (d *policyDocument) table(heads ...string) {
	d.say("\n| %s |\n|%s", strings.Join(heads, " | "), strings.Repeat("---|", len(heads)))
}

func (d *policyDocument) row(cells ...any) {
	text := make([]string, len(cells))
	for i, c := range cells {
		switch c := c.(type) {
		case learn.Share:
			text[i] = shareText(c)
		case learn.Estimate:
			text[i] = estimateText(c)
		default:
			text[i] = fmt.Sprint(c)
		}
	}
	d.say("| %s |", strings.Join(text, " | "))
}

func (d *policyDocument) picture(name string) {
	for _, p := range d.pictures {
		if p.name == name && d.figures != "" {
			d.say("\n![%s](%s/%s%s.svg)", strings.NewReplacer("[", "(", "]", ")", "\n", " ").Replace(p.alt), d.figures, d.prefix, name)
		}
	}
}

// shareText is "n of N (x %, 95 % interval a to b)".
func shareText(s learn.Share) string {
	if s.Of == 0 {
		return "none"
	}
	text := fmt.Sprintf("%d of %d (%s %%", s.Count, s.Of, percentOf(s.Share))
	if s.Low == s.Low {
		text += fmt.Sprintf(" [%s, %s]", percentOf(s.Low), percentOf(s.High))
	}
	return text + ")"
}

func percentOf(n world.Number) string { return fmt.Sprintf("%.1f", 100*float64(n)) }

func estimateText(e learn.Estimate) string {
	switch {
	case e.Value != e.Value:
		return "none"
	case e.Low != e.Low:
		return fmt.Sprintf("%.2f", float64(e.Value))
	}
	return fmt.Sprintf("%.2f [%.2f, %.2f]", float64(e.Value), float64(e.Low), float64(e.High))
}

// write writes the whole document.
func (d *policyDocument) write() []byte {
	e := d.e
	d.say("# What we would have advised in recorded stays\n")
	d.say("Printed by `sepsisagent evaluate policy --markdown`; nothing here is typed. Model %s %s, hash `%s`; rules `%s`. Data digest `%s`.\n", d.info.Kind, d.info.Version, e.Hashes.Model, e.Hashes.Rules, e.DataDigest)
	d.say("%s Every 4 h of each stay is one decision, by the code that answers an EHR, with what could be known then. Counts stand with what they are counted of; ranges in brackets are 95 %% intervals over %d resamples of whole patients.", d.who(), e.Resamples)
	d.decisions()
	d.agreement()
	d.adherence()
	d.hazards()
	d.cards()
	d.say("\nWhat policies prescribe beside each other, and what they may be worth, is in [evaluation.md](evaluation.md).")
	d.limits()
	return d.Bytes()
}

// who says whose stays these are.
func (d *policyDocument) who() string {
	e := d.e
	kind := "real"
	if e.Synthetic {
		kind = "SIMULATED"
	}
	text := fmt.Sprintf("%d %s stays of %d patients.", e.Stays, kind, e.Patients)
	if e.Training {
		return text + " **Patients who trained or chose the model are counted too: what the model has learned from them makes these numbers optimistic.**"
	}
	return text + fmt.Sprintf(" None of them trained or chose the model; %d stays of patients who did are left out.", e.LeftOut)
}

func (d *policyDocument) decisions() {
	e := d.e
	d.say("\n## Decisions")
	d.table("decisions", "suggest", "affirm", "abstain", "not applicable", "abstained, with a danger shown")
	d.row(e.Decisions, e.Suggest, e.Affirm, e.Abstain, e.NotApplicable, e.DangerOnAbstain)
	d.say("\nErrors: %d. A decision may have several reasons:", total(e.Errors))
	d.table("reason", "decisions")
	for _, name := range byCount(e.Reasons) {
		d.row(name, e.Reasons[name])
	}
	for _, name := range byCount(e.Errors) {
		d.row("error: "+cell(name), e.Errors[name])
	}
}

func (d *policyDocument) agreement() {
	e := d.e
	d.say("\n## Agreement with clinicians\n")
	d.say("Where we suggested or affirmed, and what was given in the next 4 h is charted. Neither side is the truth: clinicians see what no chart holds and learn more during those hours, and we advise a first step where four hours of titration were given.")
	d.levels("Vasopressor level advised (rows) against given (columns)", e.Vasopressor)
	d.levels("Fluid level advised (rows) against given (columns)", e.Fluid)
	d.say("\nDirection of the vasopressor advised (rows) against taken by the end of the 4 h (columns):")
	d.table("", "lower", "hold", "raise")
	for i, name := range []string{"lower", "hold", "raise"} {
		r := e.Direction.Table[i]
		d.row(name, r[0], r[1], r[2])
	}
	d.say("\nThe same: %s; opposed: %s; the same where a vasopressor ran or MAP was below goal: %s.", shareText(e.Direction.Same), shareText(e.Direction.Opposed), shareText(e.Direction.OnOrBelow))
	b := e.Bolus
	d.say("\nA bolus of at least 250 mL: advised and given %d, advised only %d, given only %d, neither %d.", b.Both, b.OursOnly, b.GivenOnly, b.Neither)
	d.picture("dose")
	d.picture("bolus")
	d.say("\nWhat became of suggestions, by how far MAP was below its goal. A pressure that was left alone and came back by itself is one that a card need not have spoken of; one that did not come back is not thereby one that a drug would have helped. Volume that a hospital does not chart as a bolus counts as none.")
	d.table("suggested", "mmHg below goal", "clinicians did the like", "neither vasopressor nor bolus given", "of those, mean MAP at goal in the next 4 h")
	for _, f := range e.FollowUps {
		d.row(f.Kind, f.Depth, f.Alike, f.Alone, f.Recovered)
	}
}

func (d *policyDocument) levels(title string, a learn.LevelAgreement) {
	d.say("\n%s:", title)
	d.table("", "0", "1", "2", "3", "4")
	for i, r := range a.Table {
		d.row(i, r[0], r[1], r[2], r[3], r[4])
	}
	d.say("\nThe same: %s; within one level: %s. Going on as before, without any advice, would have been the same in %s. Quadratic kappa %s.", shareText(a.Same), shareText(a.WithinOne), shareText(a.Unchanged), digits(a.Kappa))
}

func (d *policyDocument) adherence() {
	a := d.e.Adherence
	d.say("\n## Guideline adherence\n")
	d.say("G1 and G2 are the published metric (arXiv 2605.14723) and are metrics only, never verdicts of ours: G1, lactate > 2 mmol/L or MAP < 65 mmHg is not left without any drug or fluid; G2, at MAP ≥ 65 the vasopressor level does not rise. They read the mean MAP of the last 4 h and count levels, and we read the newest MAP: a start at 58 mmHg after hours at 70 breaks G2, and a hold while lactate falls may break G1. An abstention prescribes nothing and is not counted for us. The last row asks our own rules about what clinicians gave, with what was known before they gave it.")
	d.table("kept", "ours", "clinicians, all decision times that apply", "clinicians, where we spoke")
	for _, r := range []struct {
		name string
		of   learn.PairedShare
	}{{"G1", a.G1}, {"G2", a.G2}, {"G1 and G2", a.Published}, {"our rules", a.Rules}} {
		d.row(r.name, r.of.Ours, r.of.Clinician, r.of.ClinicianThere)
	}
}

func (d *policyDocument) hazards() {
	d.say("\n## Hazards\n")
	d.say("After Festor 2022 (BMJ HCI e100549), in septic patients as known at the time. Clinicians: what they gave in the following 4 h. Ours: advice that is the hazard, or silence while current treatment is in it. Where we do not advise, a card that shows the danger is a warning, and the rest of the treatment is theirs. Treatment that is not charted counts on neither side.")
	d.table("", "hazard", "clinicians", "ours", "advised into it", "silent", "warned without a dose", "not in it as advised or as running", "treatment unknown")
	for _, f := range learn.FestorHazards() {
		h := d.e.Hazards[f.ID]
		d.row(f.ID, h.Text, h.Clinician, h.Ours, h.Advised, h.Silent, h.Warned, h.Treated, h.Unknown)
	}
}

func (d *policyDocument) cards() {
	b := d.e.Burden
	d.say("\n## Cards\n")
	d.say("One user who looks every 4 h, repeats suppressed as configured: %d cards in %.0f patient-days, %s per patient-day; %s looks brought a card; %s days of stays were without any.", b.Cards, b.PatientDays, estimateText(b.CardsPerPatientDay), shareText(b.CardsPerView), shareText(b.DaysWithout))
	d.table("topic", "cards")
	for _, t := range b.ByTopic {
		d.row(t.Topic, t.Cards)
	}
	h := b.Danger
	d.say("\nCards that show a danger are never held back, so what they rest on matters most. Of %d:", h.Cards)
	d.table("", "cards")
	d.row("no MAP of the last 2 h stands behind it", h.OldMAP)
	d.row("vasopressors are not charted, so that none running is a guess", h.UnknownDose)
	d.row("MAP at most 5 mmHg below goal", h.Near)
	d.row("the look 4 h before showed a danger too", h.Again)
	d.row("passed without vasopressor or bolus: mean MAP of the next 4 h at goal", h.Passed)
	for _, id := range byCount(h.ByRule) {
		d.row("danger "+id, h.ByRule[id])
	}
	d.say("\nWhat fewer cards cost, when a suggestion must gain more in value over current treatment. Hazards are never held back, so their line cannot fall: it is drawn to show that.")
	d.picture("sweep")
	sweep := func(head string, points []learn.SweepPoint, of func(learn.SweepPoint) any) {
		d.table(head, "cards", "cards per patient-day", "clinicians went the suggested way", "severe hypotension without a vasopressor shown", "low pressure that clinicians then treated shown", "raises anticipated")
		for _, p := range points {
			d.row(of(p), p.Cards, p.CardsPerDay, p.Agreement, p.Hazards, p.Acted, p.Raises)
		}
	}
	sweep("least gain", d.e.Sweep.Gain, func(p learn.SweepPoint) any { return p.GainAtLeast })
	d.say("\nWhat if a danger without advice spoke only from so far below goal, on a MAP of the last 2 h (below 55 mmHg always)? The rules are as they are; this is what changing them would buy:")
	sweep("mmHg below goal", d.e.Sweep.Depth, func(p learn.SweepPoint) any { return p.DepthMmHg })
	d.say("\nThe window in which the same advice on unchanged evidence is not repeated. At one look every 4 h the evidence has nearly always changed, so that this sweep says little about a user who looks more often:")
	sweep("window, min", d.e.Sweep.Window, func(p learn.SweepPoint) any { return p.WindowMin })
}

// limits says what so few stays can show.
func (d *policyDocument) limits() {
	e := d.e
	d.say("\n## What so few stays can show\n")
	d.say("They can show whether advice is given where it should be, in which states it is silent and why, whether it runs into a known hazard, and how many cards that makes. They cannot show that it helps. %d decisions of ours stand for a treatment, in %d stays; of those that can be valued, %d ended in death. No estimator sees what the chart does not hold: why a pressure was left low, what was said at the bedside, that care was being withdrawn. Where clinicians gave more to the sicker, that looks like harm; every number here that compares treatments is an association. The simulated futures behind our advice come from a simulator's treatment effects, and agreement with clinicians is no outcome. What is needed is a silent trial at a site, with its own validation, and then a randomised one.", e.Suggest+e.Affirm, e.Stays, e.OPESample.Deaths)
}

// printPolicy prints for a terminal.
func printPolicy(w io.Writer, e *learn.PolicyEvaluation) error {
	d := policyDocument{e: e}
	fmt.Fprintf(w, "%s\n\n", strings.ReplaceAll(d.who(), "**", ""))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, value string) { fmt.Fprintf(t, "%s\t%s\n", name, value) }
	row("decisions", fmt.Sprintf("%d: suggest %d, affirm %d, abstain %d, not applicable %d, errors %d", e.Decisions, e.Suggest, e.Affirm, e.Abstain, e.NotApplicable, total(e.Errors)))
	row("vasopressor level as given", shareText(e.Vasopressor.Same))
	row("fluid level as given", shareText(e.Fluid.Same))
	row("direction as taken", shareText(e.Direction.Same))
	row("G1 and G2 kept (a metric), ours", shareText(e.Adherence.Published.Ours))
	row("  clinicians", shareText(e.Adherence.Published.Clinician))
	for _, f := range learn.FestorHazards() {
		row("hazard "+f.ID+", ours", shareText(e.Hazards[f.ID].Ours))
		row("  clinicians", shareText(e.Hazards[f.ID].Clinician))
	}
	row("cards per patient-day", estimateText(e.Burden.CardsPerPatientDay))
	if why := e.OPESample.Why; why != "" {
		row("value of policies", "none: "+why)
	}
	for _, name := range e.Policies {
		v := e.OPE[name]
		if v.WIS.Value != v.WIS.Value {
			continue
		}
		row("value of "+name+" by WIS", fmt.Sprintf("%s, effective sample size %.1f", valueText(v.WIS), float64(v.WIS.ESS)))
	}
	row("order of policies", rankingText(e))
	row("data digest", e.DataDigest)
	row("model hash", e.Hashes.Model)
	return t.Flush()
}
