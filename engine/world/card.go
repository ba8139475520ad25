// SPDX-License-Identifier: Apache-2.0

package world

// This file: the model card, generated from the training record. It holds
// measured numbers only, and says plainly what the model is not.

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"strings"
)

// attribution of the open data sets, by a word in the cohort's source name.
var attribution = []struct{ word, text string }{
	{"mimic", "Bennett A, Ulrich H, Wiedekopf J, Szul P, Grimes J, Johnson A. MIMIC-IV Clinical Database Demo on FHIR (2.1.0), PhysioNet 2025, https://doi.org/10.13026/c2f9-3y63; Johnson A et al. MIMIC-IV Clinical Database Demo (2.2), PhysioNet 2023, https://doi.org/10.13026/dp1f-ex47. Open Database License (ODbL) 1.0."},
	{"eicu", "Johnson A, Pollard T, Badawi O, Raffa J. eICU Collaborative Research Database Demo (2.0.1), PhysioNet 2021, https://doi.org/10.13026/4mxk-na84; Pollard TJ et al., Scientific Data 5:180178 (2018); hourly values from the demo tables of YAIB (van de Water R et al., ICLR 2024). Open Database License (ODbL) 1.0."},
}

// RecordEffects asks the model about simulated patients with known futures and
// keeps the answers in its training record, so that the card can show them.
// The model's hash changes. Only who trains calls it, before anybody shares m.
func (m *Model) RecordEffects(ctx context.Context, patients iter.Seq2[Simulated, error]) error {
	e, err := MeasureEffects(ctx, m, patients)
	if err != nil {
		return err
	}
	m.file.Training.Effects = e
	_, weights, err := m.encode()
	if err != nil {
		return err
	}
	m.describe(digest(weights))
	return nil
}

// Record is what the model remembers of its making. Do not change it.
func (m *Model) Record() *TrainingRecord { return &m.file.Training }

// cardWriter writes Markdown.
type cardWriter struct{ bytes.Buffer }

func (w *cardWriter) say(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

// Card is the model card as Markdown, before a site has added to it.
func (m *Model) Card() []byte { return m.CardOf(nil) }

// CardOf is the model card with what a site says of its own use.
func (m *Model) CardOf(site SiteAttributes) []byte {
	r := &m.file.Training
	var w cardWriter
	w.say("# Model card: Clinical World Model %s\n", m.file.Version)
	w.say("Generated from the model file. Every number below was measured by `train world`.\n")
	w.say("**Not validated for clinical use.** No prospective study has been made. The data are small, old and from few regions. The model supports decisions of clinicians; it makes none.\n")
	w.say("## Source attributes\n")
	w.say("The 31 source attributes of a predictive decision support intervention (45 CFR 170.315(b)(11)(iv)(B)).")
	category := ""
	for _, a := range m.Attributes(site) {
		if a.Category != category {
			category = a.Category
			w.say("\n### %s\n", category)
		}
		owed := ""
		if a.BySite {
			owed = " *(to be filled in or confirmed by the site)*"
		}
		w.say("%d. **%s**: %s%s", a.ID, a.Name, a.Value, owed)
	}
	w.training(r)
	w.effects(r.Effects)
	w.say("## Known failures\n")
	for _, f := range r.Failures() {
		w.say("- %s.", f)
	}
	w.say("- Hospitals that chart no infusions look the same as no treatment unless the chart says so; such exposure is treated as unknown.")
	w.say("- Hourly medians (eICU) and raw readings (MIMIC) are mixed.")
	w.say("- Death in hospital and 90-day death are never pooled; only the first is modelled.")
	w.say("- Levels use the cut-points %v ug/kg/min and %v mL per 4 h. A site that changes them must train again.\n", m.file.VasopressorCuts, m.file.FluidCuts)
	w.scores("## Measured on test patients (real)", r.Test)
	w.scores("## Measured on hospitals left out of training", r.TestHospitals)
	w.scores("## Measured on simulated test patients", r.TestSynthetic)
	return append(bytes.TrimRight(w.Bytes(), "\n"), '\n')
}

// training says what the model was trained on.
func (w *cardWriter) training(r *TrainingRecord) {
	w.say("\n## What it was trained on\n")
	w.say("| source | patients | stays | 4-h steps |\n|---|---|---|---|")
	for _, s := range r.Sources {
		w.say("| %s | %d | %d | %d |", s.Source, s.Patients, s.Stays, s.Steps)
	}
	w.say("\nCounts are of training and validation patients; test patients are not among them. Data digest `%s`, seed %d.\n", r.DataDigest, r.Config.Seed)
	w.say("Attribution:\n")
	for _, a := range attribution {
		if strings.Contains(strings.ToLower(r.sources()), a.word) {
			w.say("- %s", a.text)
		}
	}
	w.say("- Goldberger AL et al. PhysioBank, PhysioToolkit, and PhysioNet. Circulation 101(23):e215-e220 (2000).")
	w.say("- Simulated patients come from this project's own simulator (`engine/physiology`).\n")
	w.say("The weights are a work produced from these databases, and hold sums over at least %d patients, no one's own rows; the databases themselves are not part of this repository. ODbL 1.0: https://opendatacommons.org/licenses/odbl/1-0/\n", minPatientsPerCentre)
}

// effects says what treatment changes.
func (w *cardWriter) effects(e *Effects) {
	w.say("## Effects of treatment\n")
	w.say("What norepinephrine and fluid change in a forecast is learned on simulated patients with randomised doses and carried over; it is not estimated from real records, where the sicker get more. Norepinephrine can only raise forecast pressure, by a saturating amount of at least %g mmHg between no dose and an unlimited one. Fluid may raise or lower anything. Read differences between plans as a simulator's.\n", minGainMmHg)
	if e == nil {
		w.say("This model file does not record how well that is learned; `evaluate world --counterfactual` measures it.\n")
		return
	}
	w.say("Difference between two plans in the next 4 h, on %d simulated patients whose other future is known:\n", e.Patients)
	w.say("| question | quantity | true | forecast | error | error of no effect | right sign |\n|---|---|---|---|---|---|---|")
	for _, f := range e.Effects {
		if f.Hours == 4 {
			w.say("| %s | %s, %s | %s | %s | %s | %s | %s of %d |", f.Question, label(f.Feature), f.Unit, shown(f.Truth), shown(f.Forecast), shown(f.Error), shown(f.NoEffect), shown(f.RightSign), f.Notable)
		}
	}
	w.say("")
}

// scores writes one set of scores.
func (w *cardWriter) scores(title string, s *Scores) {
	if s == nil {
		return
	}
	w.say("%s\n", title)
	w.say("%d patients, %d stays, %d decision times, %d observed next-step values. Errors are standardised on the modelling scale, observed entries only. Ranges are 95 %% intervals over resampled patients.\n", s.Patients, s.Stays, s.Steps, s.Entries)
	w.say("| measure | value |\n|---|---|")
	for _, row := range []struct {
		name, key string
		v         Number
	}{
		{"next-state MAE", "state_mae", s.StateMAE}, {"the same, persistence", "persistence_mae", s.PersistenceMAE},
		{"the same, newest single reading", "", s.NewestMAE}, {"the same, ridge", "ridge_mae", s.RidgeMAE}, {"the same, published network", "reference_mae", s.ReferenceMAE},
		{"share under the best baseline", "improvement", s.Improvement}, {"negative log-likelihood", "", s.NLL},
		{"80 % intervals hold", "interval80_coverage", s.Interval80}, {"95 % intervals hold", "interval95_coverage", s.Interval95},
		{"ventilation in the next step, AUROC", "vent_auroc", s.VentAUROC}, {"death in hospital at 24 h, AUROC", "mortality_auroc", s.MortalityAUROC},
		{"death in hospital at 24 h, AUPRC", "mortality_auprc", s.MortalityAUPRC}, {"death in hospital at 24 h, ECE", "mortality_ece", s.MortalityECE},
		{"vasopressor within 24 h among those off, AUROC", "vaso24h_auroc", s.Vaso24hAUROC}, {"clinicians' levels, log-loss", "", s.BehaviourNLL},
		{"clinicians' levels, top-1", "", s.BehaviourTop1},
	} {
		w.say("| %s | %s |", row.name, s.ranged(row.v, row.key))
	}
	w.say("\n| hours ahead | MAE | persistence |\n|---|---|---|")
	for h := range Horizon {
		w.say("| %d | %s | %s |", 4*(h+1), shown(s.RolloutMAE[h]), shown(s.PersistRollout[h]))
	}
	if len(s.Groups) > 0 {
		w.say("\nA group's death AUROC needs at least %d deaths and as many survivors; a hospital stands alone with at least %d patients, under the start of a hash.\n", minEvents, minHospitalPatients)
		w.say("| by | group | patients | MAE | 80 %% intervals hold | deaths at 24 h | death AUROC |\n|---|---|---|---|---|---|---|")
		for _, g := range s.Groups {
			w.say("| %s | %s | %d | %s | %s | %d of %d | %s |", g.By, g.Name, g.Patients, interval(g.StateMAE, g.MAERange), interval(g.Interval80, g.Range80), g.Deaths, g.AtLandmark, interval(g.Mortality, g.DeathRange))
		}
	}
	w.say("\n| variable | MAE | persistence | 80 %% intervals hold |\n|---|---|---|---|")
	for f := range features {
		name := string(features[f].Name)
		w.say("| %s (%s) | %s | %s | %s |", features[f].Label, features[f].Unit, shown(s.FeatureMAE[name]), shown(s.FeaturePersist[name]), shown(s.FeatureCover80[name]))
	}
	w.say("")
}

// ranged is a number with its interval, by its name.
func (s *Scores) ranged(n Number, name string) string {
	if r, found := s.Bootstrap[name]; found {
		return interval(n, r)
	}
	return shown(n)
}

func interval(n Number, r Interval) string {
	if !n.known() || !r.Low.known() || !r.High.known() {
		return shown(n)
	}
	return fmt.Sprintf("%s [%s, %s]", shown(n), shown(r.Low), shown(r.High))
}

// shown is a number for people.
func shown(n Number) string {
	if !n.known() {
		return "not measured"
	}
	return fmt.Sprintf("%.3f", float64(n))
}
