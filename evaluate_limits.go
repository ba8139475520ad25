// SPDX-License-Identifier: Apache-2.0

package main

// This file: the rest of docs/world-model.md: what treatment changes, groups
// of patients, and what the data cannot support.

import (
	"fmt"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// treatment is what a plan changes.
func (d *worldDocument) treatment() {
	e := d.e
	d.say("\n## What treatment changes\n")
	d.say("No record of real patients shows what another dose would have done. What follows says whether the model's answers have the right shape, and how well it has learned the one world whose other futures are known: the project's own simulator.")
	if s := e.Shape; s != nil {
		d.say("\nOver %d states of the patients scored, norepinephrine was raised from 0 to 0.6 ug/kg/min in steps of 0.05 and held over 24 h: of %d increments, %d lower the forecast MAP in some step, and %d raise it more than the increment before. From none to the largest dose the next step's MAP rises by %.1f mmHg on average. A litre of fluid raises the next step's MAP in %s of the states and lowers PaO2 in %s: it may do either.",
			s.States, s.Increments, s.MAPFalls, s.NotSaturating, float64(s.RiseMmHg), digits(s.FluidRaisesMAP), digits(s.FluidLowersPO2))
		d.picture("dose-response")
	}
	if e.Effects == nil {
		d.say("\nSimulated patients were not asked (`--counterfactual`).")
		return
	}
	n := world.NotableChange
	d.say("\n%d simulated patients, each with two futures that differ in nothing but treatment. The error is that of the difference between the two plans; beside it stands the error of saying that nothing changes. The sign is scored where the truth differs by at least %g mmHg, %g mmol/L or %g mL.", e.Effects.Patients, n.MAPmmHg, n.LactateMmolL, n.UrineMl)
	d.say("\nThe model takes of each effect only what patients that trained nothing bear out. On lactate and urine, other simulated patients with two futures have damped it further, so that a plan that changes little is forecast to change nothing.")
	d.table("question", "quantity", "hours", "states", "true difference", "forecast", "error", "error of no effect", "right sign")
	for _, f := range e.Effects.Effects {
		if f.Hours != 4 && f.Hours != 12 && f.Hours != 24 {
			continue
		}
		sign := "none notable"
		if f.Notable > 0 {
			sign = fmt.Sprintf("%.0f %% of %d", 100*float64(f.RightSign), f.Notable)
		}
		d.row(f.Question, labelOf(f.Feature)+", "+f.Unit, f.Hours, f.States, signed(f.Truth), signed(f.Forecast), f.Error, f.NoEffect, sign)
	}
	if bad := worseThanNothing(e.Effects.Effects); len(bad) > 0 {
		d.say("\nWorse than saying that nothing changes: %s. Read no difference of these.", strings.Join(bad, "; "))
	}
	d.picture("dose-response-simulated")
	d.confounding()
}

func signed(n world.Number) string {
	if n != n {
		return "not measured"
	}
	return fmt.Sprintf("%+.2f", float64(n))
}

// labelOf names a feature for people.
func labelOf(name string) string {
	for _, f := range state.Catalogue() {
		if string(f.Name) == name {
			return f.Label
		}
	}
	return name
}

// worseThanNothing lists the next-step effects that are forecast worse than by
// no effect.
func worseThanNothing(all []world.Effect) (out []string) {
	for _, f := range all {
		if f.Hours == state.StepHours && f.Error > f.NoEffect {
			out = append(out, strings.ToLower(labelOf(f.Feature))+" under "+f.Question)
		}
	}
	return out
}

// groups are the scores by part of the patients.
func (d *worldDocument) groups() {
	d.say("\n## By group of patients\n")
	d.say("A hospital stands alone with at least ten patients; its name is the start of a hash.")
	d.table("by", "group", "patients", "error", "under the best baseline", "80 % hold", "ventilation AUROC", "deaths of stays at 24 h", "death AUROC")
	for _, g := range d.e.Groups {
		d.row(g.By, g.Name, g.Patients, ranged(g.StateMAE, g.MAERange), fmt.Sprintf("%.1f %%", 100*float64(g.Improvement)),
			ranged(g.Interval80, g.Range80), g.VentAUROC, fmt.Sprintf("%d of %d", g.Deaths, g.AtLandmark), ranged(g.Mortality, g.DeathRange))
	}
	if !d.knowsHospitals() {
		d.say("\nThe model file does not name the hospitals it learned from, so seen and unseen ones are not told apart.")
	}
}

func (d *worldDocument) knowsHospitals() bool { return len(d.r.Hospitals) > 0 }

// limits says what this much data cannot support.
func (d *worldDocument) limits() {
	e := d.e
	d.say("\n## What this much data can and cannot support\n")
	var patients, stays int
	for _, s := range d.r.Sources {
		if !strings.Contains(strings.ToLower(s.Source), "synth") {
			patients, stays = patients+s.Patients, stays+s.Stays
		}
	}
	d.say("- The model learned from %d patients (%d stays) that no simulator made. That is enough to tell an error of a few percent from the baselines', and to say within a percent or two whether intervals hold.", patients, stays)
	r := e.Bootstrap["mortality_auroc"]
	d.say("- %d deaths among %d stays at 24 h put the AUROC for death anywhere in %s to %s. Subgroups hold a handful of deaths each: their numbers are printed to show that, not to compare groups.", e.Deaths, e.MortalityN, digits(r.Low), digits(r.High))
	if met, never := d.group("hospitals", "seen in training"), d.group("hospitals", "never seen"); never == nil && d.knowsHospitals() && d.cv != nil {
		d.say("- Every hospital scored here, but for the cross-validation, is one that the model learned from.")
	} else if never == nil && d.knowsHospitals() {
		d.say("- Every hospital scored here is one that the model learned from. Nothing on this page says how it does elsewhere; `train world --cross-validate` does.")
	} else if never != nil {
		text := ""
		if met != nil {
			text = fmt.Sprintf(", against %s on hospitals it learned from", ranged(met.StateMAE, met.MAERange))
		}
		d.say("- On hospitals never seen the error is %s (%d patients)%s.", ranged(never.StateMAE, never.MAERange), never.Patients, text)
	}
	if thin := d.thin(); len(thin) > 0 {
		d.say("- Too few measured values to judge (under 100): %s.", strings.Join(thin, ", "))
	}
	for _, s := range e.Strata {
		if s.Name == "vasopressor level 3 or 4" {
			d.say("- %d of %d values were measured under high vasopressor doses, which is where advice matters most.", s.Entries, e.Entries)
		}
	}
	if e.ComfortKnown == 0 {
		d.say("- Comfort care is a competing event: decision times after such an order are neither learned from nor scored for death, and no vasopressor counts as not needed because of one. None of the %d decision times here says whether it was ordered, so part of the deaths above were decided, and nobody can tell which.", e.Steps)
	} else {
		d.say("- Comfort care is a competing event: decision times after such an order are not scored for death. %d of %d decision times say whether it was ordered.", e.ComfortKnown, e.Steps)
	}
	if d.r.Followed.Stays > 0 {
		d.say("- Death within 90 days rests on %d stays of %s. Its chance elsewhere is a guess.", d.r.Followed.Stays, strings.Join(d.r.Followed.Sources, ", "))
	}
	d.say("- Nothing here estimates what treatment does to people. Effects are the simulator's; no randomised dose of a real patient stands behind them.")
	d.say("- Both open data sets are from the United States, of years past, and small parts of larger ones. Performance elsewhere is unknown until it is measured there: `evaluate world` runs on any cohort.")
}

// group finds a group.
func (d *worldDocument) group(by, name string) *world.Group {
	for i := range d.e.Groups {
		if g := &d.e.Groups[i]; g.By == by && g.Name == name {
			return g
		}
	}
	return nil
}

// thin lists the variables with too few values.
func (d *worldDocument) thin() (out []string) {
	for _, f := range state.Catalogue() {
		if n := d.e.FeatureEntries[string(f.Name)]; n < 100 {
			out = append(out, fmt.Sprintf("%s (%d)", f.Label, n))
		}
	}
	return out
}

// training is how the model was made.
func (d *worldDocument) training() {
	d.say("\n## Training")
	d.table("source", "patients", "stays", "4-h steps")
	for _, s := range d.r.Sources {
		d.row(s.Source, s.Patients, s.Stays, s.Steps)
	}
	d.say("\nTraining and validation patients, data digest `%s`, seed %d.", d.r.DataDigest, d.r.Config.Seed)
	d.picture("loss")
}
