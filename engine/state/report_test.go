// SPDX-License-Identifier: Apache-2.0

package state

// This file: that of several reports of one result the one that counts is the
// last that could be known, and that two results stay two.

import (
	"math"
	"testing"
	"time"
)

func TestReportsOfOneResult(t *testing.T) {
	drawn := t0.Add(-3 * time.Hour)
	report := func(value float64, status string, knownAfterMin int, record int) Measurement {
		return Measurement{Concept: catalogue[Lactate].Name, Value: value, Status: status, Effective: drawn,
			Available: drawn.Add(time.Duration(knownAfterMin) * time.Minute), Received: "as received", Record: record}
	}
	records := []Record{
		{Type: "Observation", ID: "a", Codes: []Coding{{System: "lab", Code: "LAC"}}},
		{Type: "Observation", ID: "b", Codes: []Coding{{System: "lab", Code: "LAC"}}},
		{Type: "Observation", ID: "c", Codes: []Coding{{System: "lab", Code: "LAC"}}},
		{Type: "Observation", ID: "d", Codes: []Coding{{System: "point of care", Code: "LAC"}}},
	}
	for _, c := range []struct {
		name    string
		reports []Measurement
		afterH  float64 // decision time after the draw
		mean    float64
		newest  float64
	}{
		{"a final result replaces the preliminary one", []Measurement{report(4, "preliminary", 20, 0), report(2, "final", 60, 1)}, 2, 2, 2},
		{"the preliminary one stands until the final one is known", []Measurement{report(4, "preliminary", 20, 0), report(2, "final", 60, 1)}, 0.5, 4, 4},
		{"a correction replaces a final result", []Measurement{report(6, "final", 20, 0), report(3, "corrected", 90, 1)}, 2, 3, 3},
		{"a correction back to the first value counts", []Measurement{report(5, "preliminary", 10, 0), report(6, "final", 20, 1), report(5, "corrected", 40, 2)}, 2, 5, 5},
		{"a preliminary report that comes late replaces nothing", []Measurement{report(2, "final", 20, 0), report(4, "preliminary", 60, 1)}, 2, 2, 2},
		{"a bedside analyser's result is another result", []Measurement{report(4, "preliminary", 20, 3), report(2, "final", 60, 1)}, 2, 3, 4},
		{"two final results are both read", []Measurement{report(4, "final", 20, 0), report(2, "final", 60, 1)}, 2, 3, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := drawn.Add(time.Duration(c.afterH * float64(time.Hour)))
			tl, err := Build(&Chart{Person: Person{ID: "p"}, Stay: Stay{ID: "s"}, Measurements: c.reports, Records: records}, at, DefaultConfig())
			if err != nil {
				t.Fatal(err)
			}
			if got := tl.Steps[MaxSteps-1].Value[Lactate]; math.Abs(got-c.mean) > 1e-12 {
				t.Errorf("the step holds %g, want %g", got, c.mean)
			}
			if got := tl.Present.Readings["lactate"].Value; got != c.newest {
				t.Errorf("the reading is %g, want %g", got, c.newest)
			}
		})
	}
}
