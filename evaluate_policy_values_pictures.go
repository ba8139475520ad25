// SPDX-License-Identifier: Apache-2.0

package main

// This file: the figures of docs/evaluation.md.

import (
	"fmt"

	"github.com/sepsisagent/sepsisagent/engine/figure"
	"github.com/sepsisagent/sepsisagent/engine/learn"
	"github.com/sepsisagent/sepsisagent/engine/ope"
)

// valuePictures draws the estimates; none where there are none.
func valuePictures(e *learn.PolicyEvaluation) []picture {
	if e.OPESample.Why != "" {
		return nil
	}
	return []picture{forestPicture(e), weightsPicture(e), essPicture(e), behaviourPicture(e)}
}

// Intervals are drawn within these: a stay brings between about -15 and 15.
const leastDrawn, mostDrawn = -20, 40

// forestPicture draws every policy's estimates with their intervals.
func forestPicture(e *learn.PolicyEvaluation) picture {
	f := figure.Rows{Title: "Values by policy, published reward", XLabel: "value, with 95 % intervals over patients", Series: []string{"WIS", "WPDIS", "DR", "fitted Q"}, Width: 760, Paper: true,
		Targets: []float64{float64(e.OPEPaper[learn.PolicyClinician].WIS.Value)}}
	f.Desc = fmt.Sprintf("Estimates of each policy's value by four estimators with 95 %% intervals over resampled patients, from %d stays. The line is the mean return of clinicians. Intervals are cut at %d and %d. In brackets the effective sample size.", e.OPESample.Episodes, leastDrawn, mostDrawn)
	for _, name := range e.Policies {
		v := e.OPEPaper[name]
		row := figure.Row{Name: fmt.Sprintf("%s (%.1f)", wordsOf(name), float64(v.WIS.ESS))}
		for _, x := range []learn.ValueEstimate{v.WIS, v.WPDIS, v.DR, v.FQE} {
			row.Values = append(row.Values, float64(x.Value))
			row.Low, row.High = append(row.Low, max(float64(x.Low), leastDrawn)), append(row.High, min(float64(x.High), mostDrawn))
		}
		f.Rows = append(f.Rows, row)
	}
	return picture{"values", f.Desc, f.SVG()}
}

// weightsPicture draws how many stays speak for each policy.
func weightsPicture(e *learn.PolicyEvaluation) picture {
	f := figure.Rows{Title: "How many stays speak for a policy", XLabel: "effective sample size, stays", Series: []string{"whole stays (WIS)", "least over the steps (WPDIS)"}, Width: 760, Paper: true, Targets: []float64{ope.MinESS}}
	f.Desc = fmt.Sprintf("Effective sample size of each policy out of %d stays. The line is at %d: below, no policy is placed.", e.OPESample.Episodes, ope.MinESS)
	for _, name := range e.Policies {
		v := e.OPE[name]
		f.Rows = append(f.Rows, figure.Row{Name: wordsOf(name), Values: []float64{float64(v.WIS.ESS), float64(v.WPDIS.ESS)}})
	}
	return picture{"weights", f.Desc, f.SVG()}
}

// behaviourPicture draws the calibration of what clinicians do.
func behaviourPicture(e *learn.PolicyEvaluation) picture {
	came := figure.Series{Name: "given", Marks: true}
	for _, b := range e.OPESample.Reliability {
		came.Points = append(came.Points, figure.Point{X: float64(b.Predicted), Y: float64(b.Observed)})
	}
	l := figure.Lines{Title: "Probability of what clinicians do", XLabel: "probability by the behaviour model", YLabel: "share that was given", FromZero: true, Paper: true,
		Series: []figure.Series{came, {Name: "calibrated", Points: []figure.Point{{X: 0, Y: 0}, {X: 1, Y: 1}}}},
		Desc:   fmt.Sprintf("Share of pairs of levels that were given against the probability that the behaviour model gave them, in ten bins, over %d steps.", e.OPESample.Steps)}
	return picture{"behaviour", l.Desc, l.SVG()}
}

// essPicture draws how fast the evidence goes.
func essPicture(e *learn.PolicyEvaluation) picture {
	s := figure.Series{Name: "effective sample size of ours", Marks: true}
	bar := figure.Series{Name: fmt.Sprintf("%d: below, no policy is placed", ope.MinESS)}
	for _, key := range numericKeys(e.OPEByTimes) {
		var x float64
		fmt.Sscan(key, &x)
		s.Points = append(s.Points, figure.Point{X: x, Y: float64(e.OPEByTimes[key].WIS.ESS)})
		bar.Points = append(bar.Points, figure.Point{X: x, Y: ope.MinESS})
	}
	l := figure.Lines{Title: "How many stays speak", XLabel: "advices followed in a stay", YLabel: "effective sample size, stays", FromZero: true, Paper: true, Series: []figure.Series{s, bar}}
	l.Desc = fmt.Sprintf("Effective sample size of %d stays by how many advices of a stay are followed: it falls below %d within a few.", e.OPESample.Episodes, ope.MinESS)
	return picture{"ess", l.Desc, l.SVG()}
}
