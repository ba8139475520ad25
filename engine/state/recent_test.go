// SPDX-License-Identifier: Apache-2.0

package state

// This file: that a value of another illness is no reading of this one.

import (
	"testing"
	"time"
)

func TestAReadingOfLongAgoIsNotOfThePresent(t *testing.T) {
	for _, c := range []struct {
		name    string
		concept Concept
		value   float64
		ageDays int
		shown   bool
	}{
		{"a lactate of six days ago is stale but of this illness", catalogue[Lactate].Name, 3, 6, true},
		{"a lactate of last year is of another", catalogue[Lactate].Name, 3, 413, false},
		{"so is a haemoglobin", catalogue[Hemoglobin].Name, 9, 105, false},
		{"a height stands until there is another", ConceptHeight, 171, 413, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := t0.AddDate(0, 0, -c.ageDays)
			chart := &Chart{Person: Person{ID: "p"}, Stay: Stay{ID: "s"}, Measurements: []Measurement{
				{Concept: c.concept, Value: c.value, Effective: at, Available: at, Received: "as received"}}}
			b, err := NewBuilder(chart, DefaultConfig())
			if err != nil {
				t.Fatal(err)
			}
			tl, err := b.Build(t0)
			if err != nil {
				t.Fatal(err)
			}
			if _, shown := tl.Present.Readings[string(c.concept)]; shown != c.shown {
				t.Errorf("shown %t, want %t", shown, c.shown)
			}
			if c.concept == catalogue[Lactate].Name && (tl.Present.Lactate.Now != nil) != c.shown {
				t.Errorf("the trend holds %v, want it to hold one: %t", tl.Present.Lactate.Now, c.shown)
			}
			trimmed, err := Build(chart.Trim(t0.Add(time.Minute), DefaultConfig()), t0, DefaultConfig())
			if err != nil {
				t.Fatal(err)
			}
			if _, shown := trimmed.Present.Readings[string(c.concept)]; shown != c.shown {
				t.Errorf("after Trim: shown %t, want %t", shown, c.shown)
			}
		})
	}
}
