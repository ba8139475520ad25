// SPDX-License-Identifier: Apache-2.0

package main

// This file: the figures of docs/world-model.md.

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/sepsisagent/sepsisagent/engine/figure"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// picture is one figure of the document.
type picture struct {
	name string // of the file, without its ending
	alt  string
	svg  []byte
}

// pictures draws what was measured; what was not has no figure.
func pictures(e *world.Evaluation, r *world.TrainingRecord) (out []picture) {
	out = append(out, rolloutPicture(e), coveragePicture(e))
	if len(e.VentReliability) > 0 {
		out = append(out, reliabilityPicture("ventilation", "invasive ventilation in the next 4 h", e.VentReliability))
	}
	if len(e.DeathReliability) > 0 {
		out = append(out, reliabilityPicture("death", "death in hospital, predicted at 24 h", e.DeathReliability))
	}
	if e.Shape != nil {
		out = append(out, dosePicture("dose-response", "Dose response over the states of the cohort", e.Shape.Curves))
	}
	if e.Effects != nil {
		out = append(out, dosePicture("dose-response-simulated", "Dose response on simulated patients, with the truth", e.Effects.Curves))
	}
	if len(r.Curves) > 0 {
		out = append(out, lossPicture(r.Curves))
	}
	return out
}

// writePictures writes each figure into dir, which is made if needed.
func writePictures(dir string, all []picture) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	for _, p := range all {
		if err := os.WriteFile(filepath.Join(dir, "world-"+p.name+".svg"), p.svg, 0o644); err != nil {
			return fmt.Errorf("write figures: %w", err)
		}
	}
	return nil
}

func rolloutPicture(e *world.Evaluation) picture {
	series := func(name string, v [world.Horizon]world.Number) figure.Series {
		s := figure.Series{Name: name, Marks: true}
		for h, n := range v {
			s.Points = append(s.Points, figure.Point{X: float64(state.StepHours * (h + 1)), Y: float64(n)})
		}
		return s
	}
	l := figure.Lines{Title: "Error by horizon", XLabel: "hours ahead", YLabel: "mean absolute error, standard deviations", XStep: state.StepHours, Paper: true,
		Series: []figure.Series{series("model", e.RolloutMAE), series("persistence", e.PersistRollout), series("ridge", e.RidgeRollout)}}
	if e.ReferenceRollout[0] == e.ReferenceRollout[0] {
		l.Series = append(l.Series, series("reference network", e.ReferenceRollout))
	}
	l.Desc = fmt.Sprintf("Mean absolute error of the observed values by hours ahead, standardised. The model's is %s at 4 h and %s at 24 h; that of persistence %s and %s.",
		digits(e.RolloutMAE[0]), digits(e.RolloutMAE[5]), digits(e.PersistRollout[0]), digits(e.PersistRollout[5]))
	return picture{"rollout", l.Desc, l.SVG()}
}

func coveragePicture(e *world.Evaluation) picture {
	r := figure.Rows{Title: "Coverage of the intervals by variable", XLabel: "share of measured next values inside the interval", Series: []string{"80 % interval", "95 % interval"},
		Targets: []float64{0.8, 0.95}, Paper: true}
	r.Desc = fmt.Sprintf("For each variable the share of measured next values inside the 80 %% and the 95 %% interval; dashed lines are at 0.80 and 0.95. Over all variables %s and %s.", digits(e.Interval80), digits(e.Interval95))
	for _, f := range state.Catalogue() {
		name := string(f.Name)
		r.Rows = append(r.Rows, figure.Row{Name: fmt.Sprintf("%s (%d)", f.Label, e.FeatureEntries[name]), Values: []float64{float64(e.FeatureCover80[name]), float64(e.FeatureCover95[name])}})
	}
	return picture{"coverage", r.Desc, r.SVG()}
}

func reliabilityPicture(name, of string, bins []world.Bin) picture {
	s := figure.Series{Name: "observed share with its 95 % interval", Bare: true}
	var n int
	for _, b := range bins {
		n += b.N
		s.Points = append(s.Points, figure.Point{X: float64(b.Predicted), Y: float64(b.Observed)})
		s.Low, s.High = append(s.Low, float64(b.Range.Low)), append(s.High, float64(b.Range.High))
	}
	l := figure.Lines{Title: "Calibration: " + of, XLabel: "predicted chance", YLabel: "observed share", Unit: true, Height: 340, Width: 480, Paper: true, Series: []figure.Series{s},
		Desc: fmt.Sprintf("Reliability of the chance of %s, %d predictions in %d bins of equal width. A calibrated model lies on the dashed diagonal.", of, n, len(bins))}
	return picture{"calibration-" + name, l.Desc, l.SVG()}
}

func dosePicture(name, title string, curves []world.Curve) picture {
	l := figure.Lines{Title: title, XLabel: "norepinephrine, ug/kg/min", YLabel: "mean MAP of the next 4 h, mmHg", Paper: true}
	points := func(dose, v []world.Number) (out []figure.Point) {
		for i := range v {
			out = append(out, figure.Point{X: float64(dose[i]), Y: float64(v[i])})
		}
		return out
	}
	for i, c := range curves {
		l.Series = append(l.Series, figure.Series{Name: fmt.Sprintf("%s, n=%d", c.Group, c.States), Points: points(c.NEUgKgMin, c.Forecast)})
		if c.Truth != nil {
			l.Series = append(l.Series, figure.Series{Name: "truth of the same", Like: 2*i + 1, Bare: true, Points: points(c.NEUgKgMin, c.Truth)})
		}
		l.Desc += fmt.Sprintf("%s: forecast MAP from %.0f mmHg without norepinephrine to %.0f at the largest dose. ", c.Group, float64(c.Forecast[0]), float64(c.Forecast[len(c.Forecast)-1]))
	}
	return picture{name, title + ": " + l.Desc, l.SVG()}
}

// lossPicture draws the mean loss of the members by epoch.
func lossPicture(curves []world.Progress) picture {
	var train, validation, n []float64
	for _, p := range curves {
		for len(n) <= p.Epoch {
			train, validation, n = append(train, 0), append(validation, 0), append(n, 0)
		}
		train[p.Epoch] += p.TrainLoss
		validation[p.Epoch] += p.ValidationLoss
		n[p.Epoch]++
	}
	a, b := figure.Series{Name: "training, mean of the members"}, figure.Series{Name: "validation", Marks: true}
	for i := range n {
		a.Points = append(a.Points, figure.Point{X: float64(i + 1), Y: train[i] / n[i]})
		b.Points = append(b.Points, figure.Point{X: float64(i + 1), Y: validation[i] / n[i]})
	}
	l := figure.Lines{Title: "Loss by epoch", XLabel: "epoch", YLabel: "negative log-likelihood per observed value", XStep: 1, Paper: true, Series: []figure.Series{a, b},
		Desc: fmt.Sprintf("Training and validation loss over %d epochs, mean of the members still in training.", len(n))}
	return picture{"loss", l.Desc, l.SVG()}
}

// digits prints a number for people.
func digits(n world.Number) string {
	if n != n {
		return "not measured"
	}
	return fmt.Sprintf("%.3f", float64(n))
}
