// SPDX-License-Identifier: Apache-2.0

package main

// This file: `train world --confounding`: what records alone would teach about
// norepinephrine, beside what is done about it.

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/figure"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// raiseQuestion is the question of counterfactuals that the study is about.
const raiseQuestion = "norepinephrine +0.1 ug/kg/min"

// studyConfounding trains throw-away models and prints what each says of
// norepinephrine.
func studyConfounding(cmd *cobra.Command, file, config string, train world.TrainConfig, asJSON bool) error {
	if err := require(cmd, "cohort"); err != nil {
		return err
	}
	cfg, err := loadConfig(config, os.Environ())
	if err != nil {
		return err
	}
	train.Levels, train.Damp = cfg.State, dampedBy(cmd.Context(), train.Seed, cfg.State)
	study, err := world.StudyConfounding(cmd.Context(), cohort.Read(file), train, counterfactuals(cmd.Context(), cardPatients, train.Seed, cfg.State), epochLines(cmd.ErrOrStderr()))
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), study)
	}
	return printConfounding(cmd.OutOrStdout(), study)
}

// printConfounding prints for a terminal.
func printConfounding(w io.Writer, study *world.Confounding) error {
	fmt.Fprintf(w, "%d simulated patients, %s, MAP of the next 4 h\n\n", study.Patients, raiseQuestion)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "effects learned from\ttruth\tforecast\terror\tright sign\trecorded: largest dose\tincrements that lower MAP\n")
	for _, row := range confoundingRows(study) {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", row...)
	}
	return t.Flush()
}

// confoundingRows are the table of the study.
func confoundingRows(study *world.Confounding) (rows [][]any) {
	for i := range study.Variants {
		v := &study.Variants[i]
		for _, e := range v.Effects {
			if e.Question != raiseQuestion || e.Feature != "meanbp" {
				continue
			}
			rise, falls := "not measured", "not measured"
			if s := v.Shape; s != nil {
				rise = signed(s.RiseMmHg) + " mmHg"
				falls = fmt.Sprintf("%.1f %% of %d", 100*float64(s.MAPFalls)/float64(s.Increments), s.Increments)
			}
			rows = append(rows, []any{v.Name, signed(e.Truth), signed(e.Forecast), digits(e.Error),
				fmt.Sprintf("%.0f %% of %d", 100*float64(e.RightSign), e.Notable), rise, falls})
		}
	}
	return rows
}

// confounding is the section of the study.
func (d *worldDocument) confounding() {
	study := d.study
	if study == nil {
		return
	}
	d.say("\n### Confounding by indication, before and after\n")
	d.say("Sicker patients get more norepinephrine, so records alone teach that it lowers pressure. `train world --confounding` trains throw-away models (networks in each: %d) that differ in nothing but how they learn effects, and asks each what %s does to the MAP of the next 4 h: of %d simulated patients, where the truth is known, and, held from 0 to 0.6 ug/kg/min, of recorded patients that trained nothing, where it is not. Data digest `%s`.",
		study.Networks, raiseQuestion, study.Patients, study.DataDigest)
	d.table("effects learned from", "true difference, mmHg", "forecast", "error", "right sign", "recorded patients: from no dose to the largest", "increments that lower MAP")
	for _, row := range confoundingRows(study) {
		d.row(row...)
	}
	d.picture("confounding")
	d.say("\nThe published network reads levels, not doses; a dose that does not change the level changes nothing for it. What is done about confounding: usual care is forecast apart from what a plan changes, the part that says what it changes learns only where doses were drawn by lot, in simulated patients, and pressure may only rise with norepinephrine.")
}

// confoundingPicture draws the dose response of recorded patients by each way
// of learning.
func confoundingPicture(study *world.Confounding) picture {
	l := figure.Lines{Title: "Dose response of recorded patients, by what taught the effects", XLabel: "norepinephrine, ug/kg/min",
		YLabel: "mean MAP of the next 4 h, mmHg", Paper: true}
	for i := range study.Variants {
		v := &study.Variants[i]
		if v.Shape == nil || len(v.Shape.Curves) == 0 {
			continue
		}
		first := v.Shape.Curves[0] // of the patients with the lowest pressure
		s := figure.Series{Name: v.Name}
		for k := range first.Forecast {
			s.Points = append(s.Points, figure.Point{X: float64(first.NEUgKgMin[k]), Y: float64(first.Forecast[k])})
		}
		l.Series = append(l.Series, s)
		l.Desc += fmt.Sprintf("%s: from %.0f to %.0f mmHg. ", v.Name, float64(first.Forecast[0]), float64(first.Forecast[len(first.Forecast)-1]))
	}
	l.Desc = "Mean forecast MAP of the third of recorded patients with the lowest pressure, without norepinephrine and at the largest dose. " + l.Desc
	return picture{"confounding", l.Desc, l.SVG()}
}
