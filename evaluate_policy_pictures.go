// SPDX-License-Identifier: Apache-2.0

package main

// This file: the figures of docs/policy.md.

import (
	"fmt"

	"github.com/sepsisagent/sepsisagent/engine/figure"
	"github.com/sepsisagent/sepsisagent/engine/learn"
)

// policyPictures draws what was counted; what was not has no figure.
func policyPictures(e *learn.PolicyEvaluation) (out []picture) {
	if len(e.OverTime) > 0 {
		out = append(out, overTimePictures(e)...)
	}
	if len(e.Sweep.Gain) > 0 {
		out = append(out, sweepPicture(e))
	}
	return out
}

func overTimePictures(e *learn.PolicyEvaluation) []picture {
	advised, given, running := figure.Series{Name: "advised: after the first step", Marks: true}, figure.Series{Name: "given: mean of the next 4 h", Marks: true}, figure.Series{Name: "running at the decision"}
	advisedMl, givenMl := figure.Series{Name: "advised", Marks: true}, figure.Series{Name: "given in the next 4 h", Marks: true}
	n := 0
	for _, h := range e.OverTime {
		x := float64(h.Hour)
		n += h.Points
		advised.Points = append(advised.Points, figure.Point{X: x, Y: float64(h.AdvisedNE)})
		given.Points = append(given.Points, figure.Point{X: x, Y: float64(h.GivenNE)})
		running.Points = append(running.Points, figure.Point{X: x, Y: float64(h.BeforeNE)})
		advisedMl.Points = append(advisedMl.Points, figure.Point{X: x, Y: float64(h.AdvisedMl)})
		givenMl.Points = append(givenMl.Points, figure.Point{X: x, Y: float64(h.GivenMl)})
	}
	dose := figure.Lines{Title: "Norepinephrine-equivalents advised and given", XLabel: "hours after ICU admission", YLabel: "mean, ug/kg/min", XStep: 8, FromZero: true, Paper: true,
		Series: []figure.Series{advised, given, running},
		Desc:   fmt.Sprintf("Mean norepinephrine-equivalents by hours after admission at the %d decision times where we advised and treatment is charted: as advised, as given in the next 4 h, and as running before.", n)}
	bolus := figure.Lines{Title: "Bolus volume advised and given", XLabel: "hours after ICU admission", YLabel: "mean, mL", XStep: 8, FromZero: true, Paper: true,
		Series: []figure.Series{advisedMl, givenMl}, Desc: fmt.Sprintf("Mean bolus volume by hours after admission at the same %d decision times.", n)}
	return []picture{{"dose", dose.Desc, dose.SVG()}, {"bolus", bolus.Desc, bolus.SVG()}}
}

// sweepPicture draws what cards buy, by the two demands that change their
// number.
func sweepPicture(e *learn.PolicyEvaluation) picture {
	series := func(name string, points []learn.SweepPoint, of func(learn.SweepPoint) learn.Share) figure.Series {
		s := figure.Series{Name: name, Marks: true}
		for _, p := range points {
			if v := of(p); v.Of > 0 {
				s.Points = append(s.Points, figure.Point{X: float64(p.CardsPerDay.Value), Y: float64(v.Share)})
			}
		}
		return s
	}
	acted := func(p learn.SweepPoint) learn.Share { return p.Acted }
	gain, depth := e.Sweep.Gain, e.Sweep.Depth
	l := figure.Lines{Title: "What cards buy", XLabel: "cards per patient-day", YLabel: "share", FromZero: true, Paper: true, Width: 760, Series: []figure.Series{
		series("MAP < 55, no vasopressor: shown", depth, func(p learn.SweepPoint) learn.Share { return p.Hazards }),
		series("low MAP then treated: shown (by depth)", depth, acted),
		series("low MAP then treated: shown (by gain)", gain, acted),
		series("clinicians went that way (by gain)", gain, func(p learn.SweepPoint) learn.Share { return p.Agreement }),
	}}
	first := depth[0]
	l.Desc = fmt.Sprintf("Cards per patient-day against what they show. As configured, %.2f. A demand on the depth of a danger takes them to %.2f, one on the gain of a suggestion to %.2f.", float64(first.CardsPerDay.Value),
		float64(depth[len(depth)-1].CardsPerDay.Value), float64(gain[len(gain)-1].CardsPerDay.Value))
	return picture{"sweep", l.Desc, l.SVG()}
}
