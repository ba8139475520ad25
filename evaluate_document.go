// SPDX-License-Identifier: Apache-2.0

package main

// This file: docs/world-model.md, as `evaluate world --markdown` prints it.

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// worldDocument writes what was measured.
type worldDocument struct {
	bytes.Buffer
	e        *world.Evaluation
	r        *world.TrainingRecord
	info     world.Info
	pictures []picture
	cv       *world.CrossValidation // nil: none was given
	study    *world.Confounding     // nil: none was given
	figures  string                 // folder of the figures, as the document links to it; empty: none
}

func (d *worldDocument) say(format string, args ...any) { fmt.Fprintf(d, format+"\n", args...) }

// table begins a table.
func (d *worldDocument) table(heads ...string) {
	d.say("\n| %s |\n|%s", strings.Join(heads, " | "), strings.Repeat("---|", len(heads)))
}

func (d *worldDocument) row(cells ...any) {
	text := make([]string, len(cells))
	for i, c := range cells {
		if n, ok := c.(world.Number); ok {
			c = digits(n)
		}
		text[i] = fmt.Sprint(c)
	}
	d.say("| %s |", strings.Join(text, " | "))
}

// picture links a figure, where it was drawn.
func (d *worldDocument) picture(name string) {
	for _, p := range d.pictures {
		if p.name == name && d.figures != "" {
			d.say("\n![%s](%s/world-%s.svg)", strings.NewReplacer("[", "(", "]", ")", "\n", " ").Replace(strings.TrimSpace(p.alt)), d.figures, name)
		}
	}
}

// ranged prints a number with its interval.
func (d *worldDocument) ranged(n world.Number, name string) string {
	return ranged(n, d.e.Bootstrap[name])
}

func ranged(n world.Number, r world.Interval) string {
	if n != n {
		return "not measured"
	}
	if r == (world.Interval{}) || r.Low != r.Low || r.High != r.High {
		return digits(n)
	}
	return fmt.Sprintf("%s [%s, %s]", digits(n), digits(r.Low), digits(r.High))
}

// write writes the whole document.
func (d *worldDocument) write() []byte {
	e := d.e
	d.say("# The Clinical World Model, measured\n")
	d.say("Printed by `sepsisagent evaluate world --markdown`; nothing here is typed. Model %s %s, hash `%s`. Data digest `%s`.\n", d.info.Kind, d.info.Version, e.ModelHash, e.DataDigest)
	d.say("Scored on %d patients (%d stays, %d decision times, %d observed next-step values) that neither trained nor chose the model; %d stays of patients that did are left out. Nothing is fitted here: the baselines were fitted with the model. Errors are mean absolute errors of observed values on the modelling scale, in standard deviations. Ranges in brackets are 95 %% intervals over %d resamples of whole patients.", e.Patients, e.Stays, e.Steps, e.Entries, e.LeftOut, world.Resamples)
	d.bars()
	d.hospitals()
	d.next()
	d.coverage()
	d.outcomes()
	d.support()
	d.treatment()
	d.groups()
	d.limits()
	d.training()
	return d.Bytes()
}

// bars compares with the numbers that were set as the bar.
func (d *worldDocument) bars() {
	e := d.e
	d.say("\n## Against the bar")
	d.say("\nOn the patients above:")
	d.against(&e.Scores)
	d.say("\nThe calibration error of few predictions is never near zero even for a perfect model, so its interval lies high.")
}

// against compares one set of scores with the bar.
func (d *worldDocument) against(s *world.Scores) {
	d.table("measure", "measured", "bar", "")
	put := func(name, key string, v world.Number, bar string, holds func(float64) bool) {
		verdict := "not measured"
		if v == v {
			r := s.Bootstrap[key]
			low, high := holds(float64(r.Low)), holds(float64(r.High))
			switch in := holds(float64(v)); {
			case r.Low != r.Low:
				verdict = map[bool]string{true: "met", false: "not met"}[in] + "; too few patients for an interval"
			case in && low && high:
				verdict = "met"
			case in:
				verdict = "met; the interval reaches beyond"
			case low || high:
				verdict = "not met; the interval reaches it"
			default:
				verdict = "not met"
			}
		}
		d.row(name, ranged(v, s.Bootstrap[key]), bar, verdict)
	}
	above := func(bar float64) func(float64) bool { return func(v float64) bool { return v >= bar } }
	put("next-state error under the best baseline, share", "improvement", s.Improvement, "at least 0.05", above(0.05))
	put("80 % intervals hold", "interval80_coverage", s.Interval80, "0.78 to 0.82", func(v float64) bool { return v >= 0.78 && v <= 0.82 })
	put("ventilation in the next 4 h, AUROC", "vent_auroc", s.VentAUROC, "at least 0.94", above(0.94))
	put("death in hospital at 24 h, AUROC", "mortality_auroc", s.MortalityAUROC, "at least 0.80", above(0.80))
	put("death in hospital at 24 h, ECE", "mortality_ece", s.MortalityECE, "at most 0.03", func(v float64) bool { return v <= 0.03 })
}

// hospitals is what cross-validation found on hospitals never seen.
func (d *worldDocument) hospitals() {
	cv := d.cv
	if cv == nil {
		return
	}
	d.say("\nOn hospitals and patients never seen (`train world --cross-validate`): %d patients, %d stays and %d decision times, each forecast by a throw-away model of the same settings (%d networks) that was trained without the hospital; %d stays are left out because their patients were also treated in a hospital of training. Data digest `%s`.", cv.Patients, cv.Stays, cv.Steps, cv.Networks, cv.LeftOut, cv.DataDigest)
	d.against(&cv.Scores)
	d.say("\nThe error is %s, that of persistence %s, of ridge %s, of the published network %s.", ranged(cv.StateMAE, cv.Bootstrap["state_mae"]),
		ranged(cv.PersistenceMAE, cv.Bootstrap["persistence_mae"]), ranged(cv.RidgeMAE, cv.Bootstrap["ridge_mae"]), ranged(cv.ReferenceMAE, cv.Bootstrap["reference_mae"]))
	d.table("fold", "hospitals", "patients", "stays", "deaths at 24 h", "error", "under the best baseline", "80 % hold", "death AUROC")
	for _, f := range cv.Folds {
		d.row(f.Fold, f.Hospitals, f.Patients, f.Stays, f.Deaths, f.StateMAE, fmt.Sprintf("%.1f %%", 100*float64(f.Improvement)), f.Interval80, f.MortalityAUROC)
	}
	d.say("\nBy what was given in the step forecast, on hospitals never seen:")
	d.strata(cv.Strata)
	d.say("\nBy hours ahead, on hospitals never seen:")
	d.rollout(&cv.Scores)
	d.say("\nDeath in hospital on hospitals never seen:")
	d.landmarks(cv.Landmarks)
	if len(cv.Landmarks90) > 0 {
		d.say("\nDeath within 90 days on hospitals never seen. Where no model of a fold has a head for it, the chance of death in hospital ranks it and calibration is not measured:")
		d.landmarks(cv.Landmarks90)
	}
	if bad := cv.Failures(); len(bad) > 0 {
		d.say("\nFailures on hospitals never seen:\n")
		for _, text := range bad {
			d.say("- %s.", text)
		}
	}
}

// next is the forecast of the state.
func (d *worldDocument) next() {
	e := d.e
	d.say("\n## The next state")
	d.table("forecast", "error at 4 h")
	d.row("the model", d.ranged(e.StateMAE, "state_mae"))
	d.row("persistence (the newest step's value)", d.ranged(e.PersistenceMAE, "persistence_mae"))
	d.row("persistence of the newest single reading", e.NewestMAE)
	d.row("ridge regression", d.ranged(e.RidgeMAE, "ridge_mae"))
	if e.ReferenceMAE == e.ReferenceMAE {
		d.row("the published network, fitted to the same patients", d.ranged(e.ReferenceMAE, "reference_mae"))
	} else {
		d.row("the published network", "the model file holds none")
	}
	d.say("\nNegative log-likelihood of the next values under the served distribution, standardised: %s.", digits(e.NLL))
	d.picture("rollout")
	d.rollout(&e.Scores)
	d.table("variable", "measured values", "error of the model", "of persistence", "unit")
	for _, f := range state.Catalogue() {
		name := string(f.Name)
		d.row(f.Label, e.FeatureEntries[name], e.FeatureMAE[name], e.FeaturePersist[name], unitOf(f))
	}
}

// rollout is the error by hours ahead.
func (d *worldDocument) rollout(s *world.Scores) {
	d.table("hours ahead", "model", "persistence", "ridge", "reference", "80 % intervals hold", "95 % intervals hold")
	for h := range world.Horizon {
		d.row(state.StepHours*(h+1), s.RolloutMAE[h], s.PersistRollout[h], s.RidgeRollout[h], s.ReferenceRollout[h], s.Rollout80[h], s.Rollout95[h])
	}
}

// strata are scores by treatment.
func (d *worldDocument) strata(all []world.Stratum) {
	d.table("given in the step forecast", "values", "error", "error of persistence", "80 % hold", "95 % hold")
	for _, s := range all {
		d.row(s.Name, s.Entries, s.StateMAE, s.Persistence, s.Interval80, s.Interval95)
	}
}

// unitOf names a unit for people.
func unitOf(f state.Feature) string {
	if f.Unit == "{score}" {
		return "points"
	}
	return f.UnitLabel
}

// coverage is whether intervals hold.
func (d *worldDocument) coverage() {
	e := d.e
	d.say("\n## Whether the intervals hold\n")
	d.say("80 %% intervals hold %s of the next values, 95 %% intervals %s.", d.ranged(e.Interval80, "interval80_coverage"), d.ranged(e.Interval95, "interval95_coverage"))
	d.picture("coverage")
	d.strata(e.Strata)
	d.say("\nLevels are those of the model's cut-points, by the mean dose of the step; unknown means that the chart does not say.")
}

// outcomes are ventilation, death and vasopressors.
func (d *worldDocument) outcomes() {
	e := d.e
	d.say("\n## Ventilation, death, vasopressors\n")
	d.say("Invasive ventilation in the next 4 h: AUROC %s, calibration error %s, over %d decision times of which %d ventilated. Most of it is that who is ventilated stays so.", d.ranged(e.VentAUROC, "vent_auroc"), digits(e.VentECE), e.VentSteps, e.VentYes)
	d.picture("calibration-ventilation")
	d.say("\nA vasopressor within 24 h among those off vasopressors at 24 h: AUROC %s, %d stays, %d of them started.", d.ranged(e.Vaso24hAUROC, "vaso24h_auroc"), e.Vaso24hN, e.Vaso24hStarts)
	d.say("\nDeath in hospital, one prediction per stay and landmark, among those still in the unit:")
	d.landmarks(e.Landmarks)
	d.picture("calibration-death")
	if len(e.Landmarks90) > 0 {
		d.say("\nDeath within 90 days, apart from death in hospital, by its own head and only in sources that follow people after they leave%s:", d.followUp())
		d.landmarks(e.Landmarks90)
	}
}

// followUp says whom the head of death within 90 days was learned from.
func (d *worldDocument) followUp() string {
	h := d.r.Followed
	if h.Stays == 0 {
		return ". The model has no such head: too few people were followed; this is how its chance of death in hospital ranks it"
	}
	return fmt.Sprintf(" (%s). It was learned from %d stays, of which %d died within 90 days: too few for more than to move the chance of death in hospital, whose ranking it keeps", strings.Join(h.Sources, ", "), h.Stays, h.Deaths)
}

func (d *worldDocument) landmarks(all []world.Landmark) {
	d.table("h after admission", "stays", "deaths", "AUROC", "AUPRC", "ECE")
	for _, l := range all {
		d.row(l.Hour, l.Stays, l.Deaths, ranged(l.AUROC, l.Range), l.AUPRC, l.ECE)
	}
}

// support holds what the behaviour model says of each level against what came.
func (d *worldDocument) support() {
	if len(d.e.Support) == 0 {
		return
	}
	d.say("\n## Support\n")
	d.say("What the behaviour model says clinicians do in the next 4 h, beside what they did, over the %d decision times after which both treatments are charted. The pair of levels given was the likeliest in %s of them.", d.e.Support[0].Steps, digits(d.e.BehaviourTop1))
	d.table("treatment", "level", "said", "came")
	for _, l := range d.e.Support {
		d.row(l.Treatment, l.Level, l.Said, l.Came)
	}
}
