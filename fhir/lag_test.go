// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: when each kind of event could first be known, by the public way:
// bytes to chart, and where it matters chart to timeline.

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// clock is a time of the test's day.
func clock(h, m int) time.Time { return time.Date(2026, 3, 1, h, m, 0, 0, time.UTC) }

// testLag is the configured lag of a class, as a duration.
func testLag(t testing.TB, m *Mapper, class string) time.Duration {
	t.Helper()
	for _, l := range m.CodeMaps().Lags() {
		if l.Class == class && l.Source == "" {
			return time.Duration(l.Minutes * float64(time.Minute))
		}
	}
	t.Fatalf("no lag %q", class)
	return 0
}

func TestWhenAnObservationCouldBeKnown(t *testing.T) {
	m := testMapper(t)
	lag := func(class string) time.Duration { return testLag(t, m, class) }
	value := valueIn("1.2", "mg/dL")
	period := func(s, from, to string) string {
		return strings.Replace(s, `"effectiveDateTime":"2026-03-01T10:00:00Z"`, fmt.Sprintf(`"effectivePeriod":{"start":%q,"end":%q}`, from, to), 1)
	}
	status := func(s, status string) string { return strings.Replace(s, "final", status, 1) }
	tests := []struct {
		name, res      string
		effective, end time.Time
		available      time.Time
		lagged         bool
	}{
		{"issued counts", observation("2160-0", `"issued":"2026-03-01T11:20:00Z",`+value), clock(10, 0), time.Time{}, clock(11, 20), false},
		{"issued at once counts too", observation("2160-0", `"issued":"2026-03-01T10:00:00Z",`+value), clock(10, 0), time.Time{}, clock(10, 0), false},
		{"issued in another zone is the same instant", observation("2160-0", `"issued":"2026-03-01T06:20:00-05:00",`+value), clock(10, 0), time.Time{}, clock(11, 20), false},
		{"issued to the millisecond is kept so", observation("2160-0", `"issued":"2026-03-01T11:20:00.250Z",`+value), clock(10, 0), time.Time{}, clock(11, 20).Add(250 * time.Millisecond), false},
		{"issued as a date alone is over when the date is over everywhere", observation("2160-0", `"issued":"2026-03-01",`+value), clock(10, 0), time.Time{}, clock(36, 0), false},
		{"issued without a zone is not believed", observation("2160-0", `"issued":"2026-03-01T11:20:00",`+value), clock(10, 0), time.Time{}, clock(10, 0).Add(lag("lab")), true},
		{"issued before sampling is not believed", observation("2160-0", `"issued":"2026-03-01T09:00:00Z",`+value), clock(10, 0), time.Time{}, clock(10, 0).Add(lag("lab")), true},
		{"a laboratory value without issued is late", observation("2160-0", value), clock(10, 0), time.Time{}, clock(10, 0).Add(lag("lab")), true},
		{"a blood gas without issued is late by the lag of gases", observation("32693-4", valueIn("2.1", "mmol/L")), clock(10, 0), time.Time{}, clock(10, 0).Add(lag("gas")), true},
		{"lactate of plasma went to the laboratory at once", observation("2524-7", valueIn("2.1", "mmol/L")), clock(10, 0), time.Time{}, clock(10, 0).Add(lag("urgent")), true},
		{"a monitor value is known at its time", observation("8867-4", valueIn("88", "/min")), clock(10, 0), time.Time{}, clock(10, 0).Add(lag("monitor")), true},
		{"a nurse-charted value is known when she has charted it", observation("9267-6", valueIn("3", "{score}")), clock(10, 0), time.Time{}, clock(10, 0).Add(lag("chart")), true},
		{"urine without issued is late by the lag of output", observation("9187-6", valueIn("80", "mL")), clock(10, 0), time.Time{}, clock(10, 0).Add(lag("output")), true},
		{"a weight is known at its time", observation("29463-7", valueIn("80", "kg")), clock(10, 0), time.Time{}, clock(10, 0).Add(lag("weight")), true},
		{"a collected volume is not known before its period is over", period(observation("9187-6", valueIn("300", "mL")), "2026-03-01T06:00:00Z", "2026-03-01T10:00:00Z"),
			clock(6, 0), clock(10, 0), clock(10, 0).Add(lag("output")), true},
		{"a collected volume issued within its period is not believed", period(observation("9187-6", `"issued":"2026-03-01T07:00:00Z",`+valueIn("300", "mL")), "2026-03-01T06:00:00Z", "2026-03-01T10:00:00Z"),
			clock(6, 0), clock(10, 0), clock(10, 0).Add(lag("output")), true},
		{"an hourly median is known at the end of its hour", observation("8867-4", `"method":{"text":"hourly median"},`+valueIn("88", "/min")),
			clock(10, 0), clock(11, 0), clock(11, 0), true},
		{"an hourly median issued within its hour is known at the end of it", observation("8867-4", `"issued":"2026-03-01T10:00:00Z","method":{"text":"hourly median"},`+valueIn("88", "/min")),
			clock(10, 0), clock(11, 0), clock(11, 0), true},
		{"an hourly median issued after its hour is known then", observation("8867-4", `"issued":"2026-03-01T11:30:00Z","method":{"text":"hourly median"},`+valueIn("88", "/min")),
			clock(10, 0), clock(11, 0), clock(11, 30), false},
		{"an hourly median of a laboratory value waits for the laboratory", observation("2160-0", `"method":{"text":"hourly median"},`+value),
			clock(10, 0), clock(11, 0), clock(11, 0).Add(lag("lab")), true},
		{"the worst of a day is known when the day is over", period(observation("9267-6", valueIn("3", "{score}")), "2026-02-28T10:00:00Z", "2026-03-01T10:00:00Z"),
			clock(-14, 0), clock(10, 0), clock(10, 0).Add(lag("chart")), true},
		{"a preliminary result counts from its issue", status(observation("2160-0", `"issued":"2026-03-01T11:20:00Z",`+value), "preliminary"), clock(10, 0), time.Time{}, clock(11, 20), false},
		{"a correction counts from its own issue", status(observation("2160-0", `"issued":"2026-03-01T16:00:00Z",`+value), "corrected"), clock(10, 0), time.Time{}, clock(16, 0), false},
		{"a correction without issued waits for the lag of corrections", status(observation("2160-0", value), "corrected"), clock(10, 0), time.Time{}, clock(10, 0).Add(lag("correction")), true},
		{"an amended score without issued waits too", status(observation("9267-6", valueIn("3", "{score}")), "amended"), clock(10, 0), time.Time{}, clock(10, 0).Add(lag("correction")), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := chartOf(t, m, tt.res)
			if len(c.Measurements) != 1 {
				t.Fatalf("rejects %v, tally %+v", c.Rejects, c.Tally)
			}
			g := c.Measurements[0]
			if !g.Effective.Equal(tt.effective) || !g.End.Equal(tt.end) || !g.Available.Equal(tt.available) || g.Lagged != tt.lagged {
				t.Errorf("got %s to %s, known %s, lagged %v; want known %s", g.Effective, g.End, g.Available, g.Lagged, tt.available)
			}
		})
	}
}

func TestWhenAnAdministrationCouldBeKnown(t *testing.T) {
	m := testMapper(t)
	give := func(status, code, when, dosage string) string {
		return fmt.Sprintf(`{"resourceType":"MedicationAdministration","id":"a","status":%q,"medicationCodeableConcept":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":%q}]},
			"subject":{"reference":"Patient/p1"},%s,"dosage":{%s}}`, status, code, when, dosage)
	}
	const (
		period  = `"effectivePeriod":{"start":"2026-03-01T10:00:00Z","end":"2026-03-01T12:00:00Z"}`
		open    = `"effectivePeriod":{"start":"2026-03-01T10:00:00Z"}`
		once    = `"effectiveDateTime":"2026-03-01T10:00:00Z"`
		rate    = `"rateQuantity":{"value":0.1,"unit":"ug/kg/min","system":"http://unitsofmeasure.org","code":"ug/kg/min"}`
		mlRate  = `"rateQuantity":{"value":100,"unit":"mL/h","system":"http://unitsofmeasure.org","code":"mL/h"}`
		volume  = `"dose":{"value":500,"unit":"mL","system":"http://unitsofmeasure.org","code":"mL"}`
		norepi  = "7512"
		saline  = "9863"
		cefepim = "20481"
	)
	tests := []struct {
		name, res                string
		start, end, avail, ended time.Time
		form                     state.Form
	}{
		{"a finished infusion is known as it was set, its end when it ended", give("completed", norepi, period, rate), clock(10, 0), clock(12, 0), clock(10, 0), clock(12, 0), state.FormInfusion},
		{"an open infusion is known as it was set and has no end", give("in-progress", norepi, open, rate), clock(10, 0), time.Time{}, clock(10, 0), time.Time{}, state.FormInfusion},
		{"a rate charted at one instant is known then", give("in-progress", norepi, once, rate), clock(10, 0), time.Time{}, clock(10, 0), time.Time{}, state.FormInfusion},
		{"a fluid rate is known as it was set", give("completed", saline, period, mlRate), clock(10, 0), clock(12, 0), clock(10, 0), clock(12, 0), state.FormInfusion},
		{"a volume spread over a period is known when it was charted, at its end", give("completed", saline, period, volume), clock(10, 0), clock(12, 0), clock(12, 0), clock(12, 0), state.FormBolus},
		{"a bag hung and running is known as it was hung", give("in-progress", saline, period, volume), clock(10, 0), clock(12, 0), clock(10, 0), clock(12, 0), state.FormBolus},
		{"a bolus at one instant is known then", give("completed", saline, once, volume), clock(10, 0), clock(10, 0), clock(10, 0), clock(10, 0), state.FormBolus},
		{"an antimicrobial at one instant is known then", give("completed", cefepim, once, `"dose":{"value":2,"unit":"g"}`), clock(10, 0), clock(10, 0), clock(10, 0), clock(10, 0), state.FormBolus},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := chartOf(t, m, tt.res)
			if len(c.Administrations) != 1 {
				t.Fatalf("rejects %v, tally %+v", c.Rejects, c.Tally)
			}
			a := c.Administrations[0]
			if a.Form != tt.form || !a.Start.Equal(tt.start) || !a.End.Equal(tt.end) || !a.Available.Equal(tt.avail) || !a.EndAvail.Equal(tt.ended) {
				t.Errorf("got %s %s to %s, known %s, end known %s", a.Form, a.Start, a.End, a.Available, a.EndAvail)
			}
		})
	}
}

func TestWhenHistoryAndOrdersCouldBeKnown(t *testing.T) {
	m := testMapper(t)
	condition := func(rest string) string {
		return `{"resourceType":"Condition","id":"c","subject":{"reference":"Patient/p1"},"code":{"coding":[{"system":"http://hl7.org/fhir/sid/icd-10-cm","code":"A41.9"}]}` + rest + `}`
	}
	procedure := func(status, when string) string {
		return fmt.Sprintf(`{"resourceType":"Procedure","id":"pr","status":%q,"subject":{"reference":"Patient/p1"},"code":{"coding":[{"system":"http://snomed.info/sct","code":"40617009"}]},%s}`, status, when)
	}
	order := func(authored string) string {
		return fmt.Sprintf(`{"resourceType":"MedicationRequest","id":"m","status":"active","intent":"order","subject":{"reference":"Patient/p1"},"medicationCodeableConcept":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"20481"}]},"authoredOn":%q}`, authored)
	}
	tests := []struct {
		name, res string
		known     time.Time // zero: never
		dated     bool
	}{
		{"a condition is known when it was recorded", condition(`,"recordedDate":"2026-03-01T11:00:00Z"`), clock(11, 0), true},
		{"a condition with an earlier onset is known when it was recorded", condition(`,"onsetDateTime":"2026-02-27T06:00:00Z","recordedDate":"2026-03-01T11:00:00Z"`), clock(11, 0), true},
		{"a condition recorded on a date is known when that date is over everywhere", condition(`,"recordedDate":"2026-02-28"`), clock(12, 0), true},
		{"a condition recorded in a month is known when the month is over", condition(`,"recordedDate":"2026-02"`), clock(12, 0), true},
		{"a condition with an onset alone is known from its onset", condition(`,"onsetDateTime":"2026-03-01T06:00:00Z"`), clock(6, 0), true},
		{"an undated condition is never known", condition(``), time.Time{}, false},
		{"a condition with an age of onset alone is never known", condition(`,"onsetAge":{"value":60,"unit":"a"}`), time.Time{}, false},
		{"a condition with an onset in words alone is never known", condition(`,"onsetString":"last week"`), time.Time{}, false},
		{"a condition whose dates cannot be read is never known", condition(`,"recordedDate":"2026-03-01T11:00:00"`), time.Time{}, false},
		{"a procedure is known at its start", procedure("in-progress", `"performedPeriod":{"start":"2026-03-01T09:00:00Z"}`), clock(9, 0), true},
		{"an order is known when it was written", order("2026-03-01T09:00:00Z"), clock(9, 0), true},
		{"an order written on a date is known when that date is over everywhere", order("2026-02-28"), clock(12, 0), true},
		{"a culture is known as drawn", `{"resourceType":"Observation","id":"o","status":"preliminary","issued":"2026-03-03T09:00:00Z","code":{"coding":[{"system":"http://loinc.org","code":"600-7"}]},"subject":{"reference":"Patient/p1"},"effectiveDateTime":"2026-03-01T09:00:00Z","valueString":"pending"}`, clock(9, 0), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := chartOf(t, m, tt.res)
			var known time.Time
			var id string
			dated := true
			switch {
			case len(c.Conditions) == 1:
				known, dated, id = c.Conditions[0].Available, c.Conditions[0].Dated, "condition"
			case len(c.Procedures) == 1:
				known, id = c.Procedures[0].Available, "procedure"
			case len(c.Orders) == 1:
				known, id = c.Orders[0].Available, "order"
			default:
				t.Fatalf("no event; rejects %v, tally %+v", c.Rejects, c.Tally)
			}
			if !known.Equal(tt.known) || dated != tt.dated {
				t.Errorf("%s known %s (dated %v), want %s", id, known, dated, tt.known)
			}
		})
	}
}

// TestAnEventCountsFromTheInstantItIsKnown walks T over the instant: one
// microsecond before it nothing is known, at it everything is.
func TestAnEventCountsFromTheInstantItIsKnown(t *testing.T) {
	m := testMapper(t)
	chart := func(t *testing.T, res string) *state.Chart {
		b := NewBag("p1")
		for _, r := range []string{testPatient, testEncounter, res} {
			if err := m.Add(b, []byte(r), state.Origin{Via: "folder"}); err != nil {
				t.Fatal(err)
			}
		}
		c, err := m.Chart(b, "", time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	reading := func(concept state.Concept) func(*state.Timeline) bool {
		return func(tl *state.Timeline) bool { _, ok := tl.Present.Readings[string(concept)]; return ok }
	}
	suspected := func(tl *state.Timeline) bool { return tl.Present.Sepsis.Suspected }
	tests := []struct {
		name, res string
		at        time.Time
		seen      func(*state.Timeline) bool
	}{
		{"an issued result", observation("2160-0", `"issued":"2026-03-01T11:20:00Z",`+valueIn("1.2", "mg/dL")), clock(11, 20), reading("creatinine")},
		{"a result without issued", observation("2160-0", valueIn("1.2", "mg/dL")), clock(10, 0).Add(testLag(t, m, "lab")), reading("creatinine")},
		{"a corrected result, not before the correction", strings.Replace(observation("2160-0", `"issued":"2026-03-01T16:00:00Z",`+valueIn("1.2", "mg/dL")), "final", "corrected", 1), clock(16, 0), reading("creatinine")},
		{"an hourly median", observation("8867-4", `"method":{"text":"hourly median"},`+valueIn("88", "/min")), clock(11, 0), reading("heart_rate")},
		{"a condition recorded long after its onset", `{"resourceType":"Condition","id":"c","subject":{"reference":"Patient/p1"},"code":{"coding":[{"system":"http://hl7.org/fhir/sid/icd-10-cm","code":"A41.9"}]},"onsetDateTime":"2026-03-01T09:00:00Z","recordedDate":"2026-03-01T13:00:00Z"}`, clock(13, 0), suspected},
		{"an order", `{"resourceType":"MedicationRequest","id":"m","status":"active","intent":"order","subject":{"reference":"Patient/p1"},"medicationCodeableConcept":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"20481"}]},"authoredOn":"2026-03-01T12:30:00Z"}`, clock(12, 30), suspected},
		{"a volume charted at the end of its period", `{"resourceType":"MedicationAdministration","id":"a","status":"completed","medicationCodeableConcept":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"9863"}]},"subject":{"reference":"Patient/p1"},"effectivePeriod":{"start":"2026-03-01T10:00:00Z","end":"2026-03-01T12:00:00Z"},"dosage":{"dose":{"value":500,"unit":"mL"}}}`,
			clock(12, 0), func(tl *state.Timeline) bool { return tl.Present.Fluids.In24hMl > 0 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := chart(t, tt.res)
			for _, step := range []struct {
				offset time.Duration
				want   bool
			}{{-time.Hour, false}, {-time.Microsecond, false}, {0, true}, {time.Microsecond, true}} {
				tl, err := state.Build(c, tt.at.Add(step.offset), state.DefaultConfig())
				if err != nil {
					t.Fatal(err)
				}
				if got := tt.seen(tl); got != step.want {
					t.Errorf("at known %+v: seen %v, want %v", step.offset, got, step.want)
				}
			}
		})
	}
}

func TestACopyOfAResultIsKnownWhenTheResultWas(t *testing.T) {
	m := testMapper(t)
	result := observation("2160-0", `"issued":"2026-03-01T15:00:00Z",`+valueIn("1.2", "mg/dL"))
	early := strings.Replace(result, "T15:00", "T12:00", 1)
	rename := func(s, id string) string { return strings.Replace(s, `"o1"`, `"`+id+`"`, 1) }
	for _, tt := range []struct {
		name, one, other string
		want             time.Time
	}{
		{"a copy without issued does not make the result known before it was issued", result, rename(observation("2160-0", valueIn("1.2", "mg/dL")), "copy"), clock(15, 0)},
		{"of two issued copies the first counts", result, rename(early, "copy"), clock(12, 0)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, order := range [][]string{{tt.one, tt.other}, {tt.other, tt.one}} {
				c := chartOf(t, m, order...)
				if len(c.Measurements) != 1 || !c.Measurements[0].Available.Equal(tt.want) {
					t.Errorf("got %+v", c.Measurements)
				}
			}
		})
	}
}

func TestAnOpenInfusionIsCutAtTheDecision(t *testing.T) {
	m := testMapper(t)
	b := NewBag("p1")
	for _, r := range []string{testPatient, testEncounter,
		`{"resourceType":"MedicationAdministration","id":"a","status":"completed","medicationCodeableConcept":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"9863"}]},"subject":{"reference":"Patient/p1"},
		"effectivePeriod":{"start":"2026-03-01T10:00:00Z","end":"2026-03-01T20:00:00Z"},"dosage":{"dose":{"value":1000,"unit":"mL"},"rateQuantity":{"value":100,"unit":"mL/h"}}}`} {
		if err := m.Add(b, []byte(r), state.Origin{Via: "folder"}); err != nil {
			t.Fatal(err)
		}
	}
	c, err := m.Chart(b, "", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		at   time.Time
		want float64
	}{{clock(10, 0), 0}, {clock(12, 0), 200}, {clock(15, 30), 550}, {clock(20, 0), 1000}, {clock(22, 0), 1000}} {
		tl, err := state.Build(c, tt.at, state.DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		if got := tl.Present.Fluids.InStayMl; got < tt.want-1e-6 || got > tt.want+1e-6 {
			t.Errorf("at %s: %g mL given, want %g", tt.at.Format("15:04"), got, tt.want)
		}
	}
}

func TestASiteSetsItsOwnLags(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site.yaml")
	load := func(text string) (*Mapper, error) {
		writeFile(t, path, []byte("version: 1\nname: site\n"+text))
		maps, err := LoadCodeMaps(configs.FS, path)
		if err != nil {
			return nil, err
		}
		return NewMapper(maps), nil
	}
	available := func(t *testing.T, m *Mapper, res string) time.Time {
		t.Helper()
		c := chartOf(t, m, res)
		if len(c.Measurements) != 1 {
			t.Fatalf("rejects %v", c.Rejects)
		}
		return c.Measurements[0].Available
	}
	creatinine := observation("2160-0", valueIn("1.2", "mg/dL"))
	m, err := load("lagMinutes: {lab: 45}\n")
	if err != nil {
		t.Fatal(err)
	}
	if got := available(t, m, creatinine); !got.Equal(clock(10, 45)) {
		t.Errorf("a class: known %s", got)
	}
	m, err = load("systems: {gluc: ['urn:hospital:lab']}\nsourceLagMinutes: {gluc: {lab: 30}}\nobservations: [{concept: creatinine, lag: lab, codes: {gluc: [CREA]}}]\n")
	if err != nil {
		t.Fatal(err)
	}
	own := strings.Replace(strings.Replace(creatinine, "http://loinc.org", "urn:hospital:lab", 1), "2160-0", "CREA", 1)
	if got := available(t, m, own); !got.Equal(clock(10, 30)) {
		t.Errorf("a source: known %s", got)
	}
	if got := available(t, m, creatinine); !got.Equal(clock(10, 0).Add(testLag(t, m, "lab"))) {
		t.Errorf("another source has the lag of its class: known %s", got)
	}
	for text, want := range map[string]string{
		"lagMinutes: {lab: -1}\n":                         "lab",
		"lagMinutes: {lab: .nan}\n":                       "lab",
		"lagMinutes: {lab: 99999}\n":                      "0 to 10080",
		"sourceLagMinutes: {nowhere: {lab: 1}}\n":         "nowhere",
		"sourceLagMinutes: {loinc: {laboratory: 1}}\n":    "laboratory",
		"observations: [{concept: creatinine, lag: x}]\n": "lag",
	} {
		if _, err := load(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error that names %q", text, err, want)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
