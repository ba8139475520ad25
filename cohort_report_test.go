// SPDX-License-Identifier: Apache-2.0

package main

// This file: the report of `cohort build` counts what it says it counts.

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir"
)

func TestMeasuredLags(t *testing.T) {
	tests := []struct {
		name    string
		delays  []float64 // minutes; -1e9 stands for not issued
		want    lagReport
		covered string
	}{
		{"none issued is not measured", []float64{-1e9, -1e9}, lagReport{NotIssued: 2, ConfiguredMin: 60}, "not measured"},
		{"one issued is every quantile", []float64{12}, lagReport{Issued: 1, P50Min: 12, P90Min: 12, P99Min: 12, ConfiguredMin: 60}, "100.0 %"},
		{"part of a minute is a whole one", []float64{12.1, 12.9}, lagReport{Issued: 2, P50Min: 13, P90Min: 13, P99Min: 13, ConfiguredMin: 60}, "100.0 %"},
		{"ten values", []float64{10, 20, 30, 40, 50, 60, 70, 80, 90, 100}, lagReport{Issued: 10, P50Min: 50, P90Min: 90, P99Min: 100, ConfiguredMin: 60}, "60.0 %"},
		{"issued before its time is counted as that", []float64{-5, -1e9, 15, 25}, lagReport{Issued: 3, NotIssued: 1, P50Min: 15, P90Min: 25, P99Min: 25, Negative: 1.0 / 3, ConfiguredMin: 60}, "100.0 %"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := lagReport{minutes: map[int]int{}}
			for _, minutes := range tt.delays {
				d := fhir.Delay{Class: "lab", ConfiguredMin: 60}
				if minutes > -1e9 {
					d.Issued, d.Minutes = true, minutes
				}
				got.add(&d)
			}
			got.finish()
			if covered := got.covered(); covered != tt.covered {
				t.Errorf("covered %s, want %s", covered, tt.covered)
			}
			got.minutes, got.early = nil, 0
			a, errA := json.Marshal(got)
			b, errB := json.Marshal(tt.want)
			if errA != nil || errB != nil || string(a) != string(b) {
				t.Errorf("got %s, want %s", a, b)
			}
		})
	}
}

func TestTheVolumeOfABagDoesNotTellTheDose(t *testing.T) {
	rate := &state.Quantity{Value: "20", Unit: "mL/h", Code: "mL/h"}
	c := &state.Chart{Records: []state.Record{{Rate: rate}, {Rate: rate, Strength: &state.Quantity{}}, {}, {Dose: &state.Quantity{Value: "5"}}, {}},
		Administrations: []state.Administration{
			{Drug: "norepinephrine", Class: state.ClassVasopressor, MlKnown: true, Unknown: "volume rate without a concentration", Record: 0},
			{Drug: "norepinephrine", Class: state.ClassVasopressor, RateKnown: true, Record: 1},
			{Drug: "lactated ringer", Class: state.ClassCrystalloid, MlKnown: true, Record: 2},
			{Drug: "phenylephrine", Class: state.ClassVasopressor, Form: state.FormPush, Unknown: "push dose has no rate", Record: 3},
			{Drug: "cefepime", Class: state.ClassAntimicrobial, Record: 4},
		}}
	r := newCohortReport()
	r.source("here", &fhir.Folder{Bytes: 10, Read: state.Tally{Read: 3, Used: 2, Ignored: 1, Reasons: map[string]int{"x": 1}}})
	r.add(patientRows{drugs: drugRows(c)})
	r.finish()
	d := &r.Drugs
	if d.Understood != 2 || d.Unknown != 2 || d.ByDrug["norepinephrine"].Unknown != 1 || d.ByDrug["cefepime"] != nil {
		t.Errorf("%+v", d)
	}
	want := []drugUnit{{"norepinephrine", "mL/h"}, {"norepinephrine", "mL/h, bag content known"}, {"phenylephrine", "no rate; dose in no unit"}}
	if len(d.ByUnit) != len(want) {
		t.Fatalf("%+v", d.ByUnit)
	}
	for i := range want {
		if d.ByUnit[i].drugUnit != want[i] {
			t.Errorf("got %+v, want %+v", d.ByUnit[i].drugUnit, want[i])
		}
	}
	if s := r.Sources[0]; s.Read != 3 || s.Drugs.Unknown != 2 || r.Read != 3 {
		t.Errorf("by folder %+v, together %+v", s.cohortCounts, r.cohortCounts)
	}
}

func TestCoverageCountsWhatBecameKnownOnlyLater(t *testing.T) {
	dir := t.TempDir()
	ndjson := `{"resourceType":"Patient","id":"p","gender":"female","birthDate":"1960-01-01"}
{"resourceType":"Encounter","id":"e","status":"finished","class":{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"ACUTE"},"type":[{"text":"ICU"}],"subject":{"reference":"Patient/p"},"period":{"start":"2026-01-01T00:00:00Z","end":"2026-01-01T16:00:00Z"},"location":[{"location":{"display":"Medical ICU"},"physicalType":{"text":"ICU"}}]}
{"resourceType":"Observation","id":"o","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"2160-0"}]},"subject":{"reference":"Patient/p"},"effectiveDateTime":"2026-01-01T03:00:00Z","valueQuantity":{"value":1.1,"system":"http://unitsofmeasure.org","code":"mg/dL"}}
`
	if err := os.WriteFile(filepath.Join(dir, "all.ndjson"), []byte(ndjson), 0o600); err != nil {
		t.Fatal(err)
	}
	var report cohortReport
	sepsisagent(t, "cohort", "build", "--fhir", dir, "--out", filepath.Join(t.TempDir(), "c.parquet"), "--json").want(exitOK).object(&report)
	if report.Steps != 4 || report.Coverage["creatinine"] != 0.25 {
		t.Errorf("%d steps, creatinine in %g of them, want 0.25 of 4", report.Steps, report.Coverage["creatinine"])
	}
}

func TestCohortBuildPrintsTheTablesOfTheResults(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long; left out by -short")
	}
	out := filepath.Join(t.TempDir(), "c.parquet")
	sepsisagent(t, "cohort", "build", "--fhir", synthetic(t), "--out", out, "--markdown").want(exitOK).prints(
		"# Reading real charts", "### Feature coverage", "| norepinephrine |", "### When values became known", "| lab |")
	var report cohortReport
	sepsisagent(t, "cohort", "build", "--fhir", synthetic(t), "--out", out, "--json").want(exitOK).object(&report)
	if len(report.Sources) != 1 || report.Lags["lab"] == nil || report.Lags["lab"].ConfiguredMin < 60 || len(report.Drugs.ByUnit) == 0 {
		t.Errorf("%+v", report)
	}
}
