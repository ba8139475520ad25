// SPDX-License-Identifier: Apache-2.0

package state

// This file: that what was measured in a step is what a timeline of days later
// shows there, when every result had come.

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestWhatWasObservedIsWhatALaterTimelineShows(t *testing.T) {
	const later = 10 // steps; the longest delay drawn is 33 h
	rapid.Check(t, func(t *rapid.T) {
		b, err := NewBuilder(drawChart(t), DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		end := t0.Add(-time.Duration(rapid.IntRange(0, 80).Draw(t, "hours")) * time.Hour)
		tl, err := b.Build(end.Add(later * StepHours * time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		step, got := &tl.Steps[MaxSteps-1-later], b.Observed(end)
		for f := range NumFeatures {
			if want := step.Presence[f] == Measured; got[f] != want {
				t.Errorf("%s: observed %t, but %t in the later timeline", catalogue[f].Name, got[f], want)
			}
		}
	})
}
