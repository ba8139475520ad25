// SPDX-License-Identifier: Apache-2.0

package world

// This file: that what was said of the levels and what came are counted by
// level, by hand.

import (
	"math"
	"testing"
)

func TestSupportIsHeldAgainstWhatCame(t *testing.T) {
	var tally supportTally
	var sure, split [numPairs]float64
	sure[2*5+3] = 1                     // vasopressor 2 and fluid 3, surely
	split[0], split[1*5+4] = 0.75, 0.25 // neither, or vasopressor 1 and fluid 4
	tally.add(&sure, 2*5+3)
	tally.add(&split, 1*5+4)
	want := map[string][5][2]float64{
		"vasopressor": {{0.375, 0}, {0.125, 0.5}, {0.5, 0.5}},
		"fluid":       {0: {0.375, 0}, 3: {0.5, 0.5}, 4: {0.125, 0.5}},
	}
	got := tally.levels()
	if len(got) != 10 {
		t.Fatalf("%d rows", len(got))
	}
	for _, l := range got {
		w := want[l.Treatment][l.Level]
		if l.Steps != 2 || math.Abs(float64(l.Said)-w[0]) > 1e-12 || math.Abs(float64(l.Came)-w[1]) > 1e-12 {
			t.Errorf("%s level %d: %d steps, said %g, came %g, want %g and %g", l.Treatment, l.Level, l.Steps, float64(l.Said), float64(l.Came), w[0], w[1])
		}
	}
	if none := new(supportTally).levels(); none != nil {
		t.Errorf("of nothing: %v", none)
	}
}
