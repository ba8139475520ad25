// SPDX-License-Identifier: Apache-2.0

package state

import (
	"testing"
	"time"
)

// This file: hand-made charts and what must be read from them.

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// ago is h hours before t0.
func ago(h float64) time.Time { return t0.Add(-time.Duration(h * float64(time.Hour))) }

func measure(c Concept, value float64, h float64, method string) Measurement {
	return Measurement{Concept: c, Value: value, Effective: ago(h), Available: ago(h), Method: method, Record: -1}
}

func infusion(drug Drug, rate float64, unit string, startH, endH float64) Administration {
	a := Administration{Drug: drug, Class: ClassVasopressor, Form: FormInfusion, Start: ago(startH), Available: ago(startH),
		RateKnown: true, Rate: rate, RateUnit: unit, DocumentedEveryMin: 60, Record: -1}
	if endH != open {
		a.End, a.EndAvail = ago(endH), ago(endH)
	}
	return a
}

// open marks an infusion without a charted end.
const open = -1e6

func icuChart() *Chart {
	return &Chart{
		Person: Person{ID: "p", Sex: "female", BirthDate: time.Date(1960, 5, 1, 0, 0, 0, 0, time.UTC)},
		Stay:   Stay{ID: "s", ICU: true, ICUKnown: true, Start: ago(30)},
	}
}

func mustBuild(t *testing.T, c *Chart) *Timeline {
	t.Helper()
	tl, err := Build(c, t0, DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	return tl
}

func TestBuildSmoke(t *testing.T) {
	c := icuChart()
	for h := 0.0; h < 30; h++ {
		c.Measurements = append(c.Measurements, measure("meanbp", 60+h, h, MethodArterial))
	}
	c.Administrations = append(c.Administrations, infusion(DrugNorepinephrine, 0.12, UnitUgKgMin, 5, open))
	tl := mustBuild(t, c)
	if len(tl.Steps) != MaxSteps || !tl.Last().End.Equal(t0) {
		t.Fatalf("steps %d, last ends %s", len(tl.Steps), tl.Last().End)
	}
	if got := tl.Present.NEUgKgMin; got != 0.12 {
		t.Errorf("running norepinephrine %v, want 0.12", got)
	}
	if !tl.Present.VasoKnown || tl.Last().Given.Levels.Vasopressor != 2 {
		t.Errorf("exposure %+v", tl.Last().Given)
	}
	if tl.Present.MAP.Newest == nil || tl.Present.MAP.Newest.Value != 60 {
		t.Errorf("MAP %+v", tl.Present.MAP)
	}
}
