// SPDX-License-Identifier: Apache-2.0

package world

// This file: where the model is known to fail, computed from what was
// measured.

import (
	"fmt"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Bounds of what counts as a failure.
const (
	fewEntries = 100  // a variable or stratum with fewer values is not judged
	offBy      = 0.04 // 80 % intervals that hold less than this below 80 % of a stratum's values
)

// Failures lists what the test has shown to go wrong, one sentence each
// without its full stop. An empty list means that nothing was found, not that
// nothing is wrong.
func (r *TrainingRecord) Failures() (out []string) {
	if r.Test != nil {
		out = r.Test.Failures()
	}
	if r.Effects != nil {
		out = append(out, r.Effects.Failures()...)
	}
	return out
}

// Failures of the forecasts.
func (s *Scores) Failures() (out []string) {
	var worse, narrow, few []string
	for f := range features {
		name, label := string(features[f].Name), features[f].Label
		n, known := s.FeatureEntries[name]
		if !known {
			continue
		}
		switch {
		case n < fewEntries:
			few = append(few, fmt.Sprintf("%s (%d)", label, n))
			continue
		case s.FeatureMAE[name] >= s.FeaturePersist[name]:
			worse = append(worse, fmt.Sprintf("%s (%s against %s)", label, shown(s.FeatureMAE[name]), shown(s.FeaturePersist[name])))
		}
		if s.FeatureCover80[name] < 0.8-offBy {
			narrow = append(narrow, fmt.Sprintf("%s (%s)", label, shown(s.FeatureCover80[name])))
		}
	}
	for _, t := range s.Strata {
		if t.Entries >= fewEntries && t.Interval80 < 0.8-offBy {
			narrow = append(narrow, fmt.Sprintf("steps with %s (%s)", t.Name, shown(t.Interval80)))
		}
		if t.Entries >= fewEntries && t.StateMAE >= t.Persistence {
			worse = append(worse, fmt.Sprintf("steps with %s (%s against %s)", t.Name, shown(t.StateMAE), shown(t.Persistence)))
		}
	}
	for _, g := range s.Groups {
		if !g.MAERange.Low.known() || !g.Improvement.known() {
			continue
		}
		if g.Improvement <= 0 {
			worse = append(worse, fmt.Sprintf("%s %s", g.By, g.Name))
		}
		if g.Range80.High < 0.8 {
			narrow = append(narrow, fmt.Sprintf("%s %s (%s)", g.By, g.Name, interval(g.Interval80, g.Range80)))
		}
	}
	add := func(what string, list []string) {
		if len(list) > 0 {
			out = append(out, what+": "+strings.Join(list, ", "))
		}
	}
	add("No better than the baselines", worse)
	add("80 % intervals are too narrow", narrow)
	add(fmt.Sprintf("Fewer than %d test values, so not judged", fewEntries), few)
	return out
}

// Failures of the effects: what is forecast worse than by no effect in the next
// step, or with the wrong sign in more than a tenth of the states.
func (e *Effects) Failures() (out []string) {
	var bad []string
	for _, f := range e.Effects {
		if f.Hours == state.StepHours && (f.Error > f.NoEffect || f.Notable >= 10 && f.RightSign < 0.9) {
			bad = append(bad, fmt.Sprintf("%s under %q", strings.ToLower(label(f.Feature)), f.Question))
		}
	}
	if len(bad) > 0 {
		out = append(out, "What treatment changes is forecast no better than by nothing, or with an unsure sign: "+strings.Join(bad, ", "))
	}
	return out
}

// label names a feature for people.
func label(name string) string {
	if f, found := state.Lookup(state.Concept(name)); found {
		return f.Label
	}
	return name
}
