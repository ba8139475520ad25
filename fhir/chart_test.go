// SPDX-License-Identifier: Apache-2.0

package fhir

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// asJSON is the chart without what only tells how its resources came.
func asJSON(t interface{ Fatal(...any) }, c *state.Chart) string {
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func chartFrom(t interface{ Fatal(...any) }, m *Mapper, id string, resources []json.RawMessage) *state.Chart {
	b := NewBag(id)
	for _, r := range resources {
		if err := m.Add(b, r, state.Origin{Via: "bundle"}); err != nil {
			t.Fatal(err)
		}
	}
	c, err := m.Chart(b, "", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	m := testMapper(t)
	rapid.Check(t, func(t *rapid.T) {
		chart := syntheticChart(t, 9)
		resources, err := Write(chart, StyleOf(rapid.Uint64().Draw(t, "style")))
		if err != nil {
			t.Fatal(err)
		}
		got := chartFrom(t, m, chart.Person.ID, resources)
		if len(got.Rejects) > 0 {
			t.Fatalf("rejected: %v", got.Rejects[0])
		}
		if got.Stay.ID != chart.Stay.ID || !got.Stay.ICU || !got.Stay.Start.Equal(chart.Stay.Start.Truncate(time.Second)) {
			t.Fatalf("stay %+v, want %+v", got.Stay, chart.Stay)
		}
		understood := 0
		for _, a := range got.Administrations {
			if a.Class == state.ClassVasopressor && a.Form == state.FormInfusion && !a.RateKnown {
				t.Fatalf("vasopressor rate not understood: %+v", a)
			}
			understood++
		}
		if want := len(chart.Administrations); understood != want {
			t.Fatalf("%d administrations of %d", understood, want)
		}
	})
}

func TestOrderAndDuplicatesNeverChangeBytes(t *testing.T) {
	m := testMapper(t)
	rapid.Check(t, func(t *rapid.T) {
		chart := syntheticChart(t, 5)
		resources, err := Write(chart, StyleOf(rapid.Uint64().Draw(t, "style")))
		if err != nil {
			t.Fatal(err)
		}
		first := chartFrom(t, m, chart.Person.ID, resources)
		seed := rapid.Uint64().Draw(t, "order")
		shuffled := slices.Clone(resources)
		rand.New(rand.NewPCG(seed, 1)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		repeats := resources[len(resources)/2:] // administrations and the like, all of them read
		again := chartFrom(t, m, chart.Person.ID, append(shuffled, repeats...))
		if again.Tally.Reasons[reasonDuplicate] != len(repeats) || again.Tally.Used != first.Tally.Used {
			t.Fatalf("tally %+v, %d repeats", again.Tally, len(repeats))
		}
		again.Tally = first.Tally
		if a, b := asJSON(t, first), asJSON(t, again); a != b {
			t.Fatal(cmp.Diff(a, b))
		}
	})
}

func TestRemapOfTheRecordsIsTheSameChart(t *testing.T) {
	m := testMapper(t)
	rapid.Check(t, func(t *rapid.T) {
		chart := syntheticChart(t, 5)
		resources, err := Write(chart, StyleOf(rapid.Uint64().Draw(t, "style")))
		if err != nil {
			t.Fatal(err)
		}
		want := chartFrom(t, m, chart.Person.ID, resources)
		stored, err := json.Marshal(want.Records)
		if err != nil {
			t.Fatal(err)
		}
		var records []state.Record
		if err := json.Unmarshal(stored, &records); err != nil {
			t.Fatal(err)
		}
		got, err := m.Remap(want.Person, want.Stay, want.Gaps, records)
		if err != nil {
			t.Fatal(err)
		}
		got.Tally, got.Rejects = want.Tally, want.Rejects
		if a, b := asJSON(t, want), asJSON(t, got); a != b {
			t.Fatal(cmp.Diff(a, b))
		}
	})
}

func TestTheSameFactFromTwoSourcesCountsOnce(t *testing.T) {
	chart := func(first, second string) *state.Chart {
		return chartOf(t, testMapper(t), first, second)
	}
	lab := observation("2160-0", `"issued":"2026-03-01T10:40:00Z",`+valueIn("1.2", "mg/dL"))
	nurse := strings.Replace(observation("2160-0", valueIn("1.2", "mg/dL")), `"o1"`, `"o2"`, 1)
	for _, c := range []*state.Chart{chart(lab, nurse), chart(nurse, lab)} {
		if len(c.Measurements) != 1 || c.Measurements[0].Available.Minute() != 40 || c.Tally.Reasons[reasonSameEvent] != 1 {
			t.Errorf("got %+v %+v", c.Measurements, c.Tally)
		}
	}
}

func TestAddTellsWrongPatientsAndBrokenJSON(t *testing.T) {
	m := testMapper(t)
	b := NewBag("p1")
	b.Base = "https://ehr.example/fhir"
	add := func(raw string) error { return m.Add(b, []byte(raw), state.Origin{Via: "prefetch", Key: "vitals"}) }
	hr := observation("8867-4", valueIn("88", "/min"))
	for _, tt := range []struct {
		name, res string
		want      error
	}{
		{"another patient", strings.Replace(hr, "Patient/p1", "Patient/p2", 1), ErrWrongPatient},
		{"the same id at another server", strings.Replace(hr, "Patient/p1", "https://other.example/fhir/Patient/p1", 1), ErrWrongPatient},
		{"an absolute reference into our server", strings.Replace(hr, "Patient/p1", "https://ehr.example/fhir/Patient/p1/_history/3", 1), nil},
		{"another Patient resource", `{"resourceType":"Patient","id":"p2"}`, ErrWrongPatient},
		{"broken JSON", `{"resourceType":`, ErrMalformed},
		{"no resourceType", `{}`, ErrMalformed},
	} {
		if err := add(tt.res); !errors.Is(err, tt.want) || tt.want == nil && err != nil {
			t.Errorf("%s: %v", tt.name, err)
		} else if err != nil && strings.Contains(err.Error(), "p2") {
			t.Errorf("%s: the error names a patient: %v", tt.name, err)
		}
	}
}

func TestAMedicationThatComesLateIsStillRead(t *testing.T) {
	m := testMapper(t)
	b := NewBag("p1")
	dose := strings.Replace(given(rx("7512"), rate("8", "mcg/min")), `"medicationCodeableConcept":`+rx("7512"), `"medicationReference":{"reference":"Medication/ne"}`, 1)
	for _, r := range []string{testPatient, testEncounter, dose} {
		if err := m.Add(b, []byte(r), state.Origin{}); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := m.Chart(b, "", testNow); err != nil || len(c.Administrations) != 1 || c.Administrations[0].Class != state.ClassUnidentified {
		t.Fatalf("%v, %+v", err, c.Administrations)
	}
	if err := m.Add(b, []byte(`{"resourceType":"Medication","id":"ne","code":`+rx("7512")+`}`), state.Origin{}); err != nil {
		t.Fatal(err)
	}
	if c, err := m.Chart(b, "", testNow); err != nil || len(c.Administrations) != 1 || c.Administrations[0].Drug != "norepinephrine" {
		t.Fatalf("%v, %+v", err, c.Administrations)
	}
}

func TestGapsNameWhatNobodySupplied(t *testing.T) {
	c := chartOf(t, testMapper(t))
	var what []string
	for _, g := range c.Gaps {
		what = append(what, g.What)
	}
	if want := []string{"conditions", "procedures", "orders", "vasopressor", "fluid"}; !slices.Equal(what, want) {
		t.Errorf("gaps %v, want %v", what, want)
	}
}

func TestStaysFromEncountersAndFromLocations(t *testing.T) {
	m := testMapper(t)
	ward := `{"resourceType":"Encounter","id":"h1","status":"in-progress","class":{"code":"IMP"},"subject":{"reference":"Patient/p1"},"period":{"start":"2026-02-27T08:00:00Z"},"location":[
		{"location":{"display":"Medicine ward"},"period":{"start":"2026-02-27T08:00:00Z","end":"2026-03-01T09:00:00Z"}},
		{"location":{"display":"MICU bed 4"},"period":{"start":"2026-03-01T09:00:00Z"}}]}`
	read := func(resources ...string) []state.Stay {
		b := NewBag("p1")
		for _, r := range resources {
			if err := m.Add(b, []byte(r), state.Origin{}); err != nil {
				t.Fatal(err)
			}
		}
		return m.Stays(b)
	}
	if s := read(testPatient, ward); len(s) != 1 || !s[0].ICU || s[0].ID != "h1" || s[0].Start.Hour() != 9 || s[0].Unit != "MICU bed 4" {
		t.Errorf("by location: %+v", s)
	}
	if s := read(testPatient, ward, testEncounter); len(s) != 1 || s[0].ID != "e1" {
		t.Errorf("an ICU encounter is the better record: %+v", s)
	}
	plain := strings.Replace(ward, "MICU bed 4", "Surgery ward", 1)
	if s := read(testPatient, plain); len(s) != 1 || s[0].ICU || !s[0].ICUKnown {
		t.Errorf("not in an ICU: %+v", s)
	}
}

func TestUndatedConditionsAreMarked(t *testing.T) {
	res := func(rest string) string {
		return `{"resourceType":"Condition","id":"c1","subject":{"reference":"Patient/p1"},"code":{"coding":[{"system":"http://hl7.org/fhir/sid/icd-10-cm","code":"R65.21"}]}` + rest + `}`
	}
	m := testMapper(t)
	if c := chartOf(t, m, res("")); len(c.Conditions) != 1 || c.Conditions[0].Dated || c.Conditions[0].Tags[0] != state.TagSepsis {
		t.Errorf("undated: %+v", c.Conditions)
	}
	if c := chartOf(t, m, res(`,"recordedDate":"2026-03-01"`)); !c.Conditions[0].Dated || c.Conditions[0].Available.Day() != 2 {
		t.Error("a date alone is known at the end of that day")
	}
	if c := chartOf(t, m, res(`,"verificationStatus":{"coding":[{"code":"refuted"}]}`)); len(c.Conditions) != 0 {
		t.Error("refuted")
	}
}

func TestAGermanDiagnosisCountsAsItsCertaintySays(t *testing.T) {
	m := testMapper(t)
	for certainty, counts := range map[string]bool{"A": false, "Z": false, "V": true, "G": true} {
		c := chartOf(t, m, `{"resourceType":"Condition","id":"c1","subject":{"reference":"Patient/p1"},"recordedDate":"2026-03-01","code":{"coding":[{"system":"http://fhir.de/CodeSystem/bfarm/icd-10-gm","code":"I50.01","extension":[{"url":"`+extCertainty+`","valueCoding":{"system":"https://fhir.kbv.de/CodeSystem/KBV_CS_SFHIR_ICD_DIAGNOSESICHERHEIT","code":"`+certainty+`"}}]}]}}`)
		if got := len(c.Conditions) == 1; got != counts {
			t.Errorf("heart failure of certainty %s counts: %t, want %t (%v)", certainty, got, counts, c.Tally.Reasons)
		}
	}
}

// TestICD10OfTheWHOIsNotThatOfTheUnitedStates: the same code says other things
// in the classification of the WHO and in the German one made from it.
func TestICD10OfTheWHOIsNotThatOfTheUnitedStates(t *testing.T) {
	const who, gm, cm = "http://hl7.org/fhir/sid/icd-10", "http://fhir.de/CodeSystem/bfarm/icd-10-gm", "http://hl7.org/fhir/sid/icd-10-cm"
	m := testMapper(t)
	for _, tt := range []struct {
		system, code string
		want         []state.Tag
	}{
		{cm, "R65.2", []state.Tag{state.TagSepsis}},  // severe sepsis
		{who, "R65.2", nil},                          // inflammation without infection
		{gm, "R65.2!", nil},                          // the same, marked as a secondary code
		{cm, "R65.11", nil},                          // inflammation without infection
		{who, "R65.1", []state.Tag{state.TagSepsis}}, // with infection and organ failure
		{who, "R65.21", []state.Tag{state.TagSepsis}},
		{gm, "R57.2", []state.Tag{state.TagSepsis}}, // septic shock
		{gm, "A41.9", []state.Tag{state.TagSepsis}},
		{"http://fhir.de/CodeSystem/dimdi/icd-10-gm", "A41.51", []state.Tag{state.TagSepsis}},
		{"urn:oid:2.16.840.1.113883.6.90", "A41.9", []state.Tag{state.TagSepsis}},
		{who, "I12.0", nil}, // renal failure of any stage; stage 5 in the United States
		{cm, "I12.0", []state.Tag{state.TagESRD}},
		{gm, "I85.0", []state.Tag{state.TagBleeding}},
		{who, "E14.1", []state.Tag{state.TagDKA}},
	} {
		t.Run(tt.system+" "+tt.code, func(t *testing.T) {
			c := chartOf(t, m, `{"resourceType":"Condition","id":"c1","subject":{"reference":"Patient/p1"},"recordedDate":"2026-03-01","code":{"coding":[{"system":"`+tt.system+`","code":"`+tt.code+`"}]}}`)
			var got []state.Tag
			if len(c.Conditions) == 1 {
				got = c.Conditions[0].Tags
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestCodeMapsThatAreWrongAreRefused(t *testing.T) {
	good := "version: 1\nname: x\nsystems: {a: [\"urn:a\"]}\n"
	for _, tt := range []struct{ name, text, want string }{
		{"an unknown key", good + "wibble: 1\n", "unknown key"},
		{"a concept nobody knows", good + "concepts: [{concept: wibble}]\n", "not in the catalogue"},
		{"a unit nobody knows", good + "units: {any: {x: wibble}}\n", "unknown unit"},
		{"a code with two meanings", good + "observations: [{concept: lactate, lag: lab, codes: {loinc: [2160-0]}}]\n", "means both"},
		{"a system that is not defined", good + "observations: [{concept: lactate, lag: lab, codes: {wibble: [x]}}]\n", "not defined"},
		{"a drug without a class", good + "drugs: [{drug: wibble, codes: {a: [x]}}]\n", "no entry with a class"},
		{"no version", "name: x\n", "version: 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := t.TempDir() + "/site.yaml"
			writeFile(t, path, []byte(tt.text))
			if _, err := LoadCodeMaps(embedded(), path); !errors.Is(err, ErrCodeMap) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestASiteAddsCodesWithoutRecompiling(t *testing.T) {
	path := t.TempDir() + "/site.yaml"
	writeFile(t, path, []byte("version: 1\nname: site\nsystems: {ours: [\"urn:ours\"]}\nobservations: [{concept: lactate, lag: lab, codes: {ours: [LAC]}}]\n"))
	maps, err := LoadCodeMaps(embedded(), path)
	if err != nil {
		t.Fatal(err)
	}
	plain := testMapper(t)
	if maps.Hash() == plain.CodeMaps().Hash() {
		t.Error("the hash does not tell the maps apart")
	}
	res := strings.Replace(strings.Replace(observation("LAC", valueIn("3.1", "mmol/L")), "http://loinc.org", "urn:ours", 1), "\n", "", -1)
	if c := chartOf(t, NewMapper(maps), res); len(c.Measurements) != 1 {
		t.Errorf("reasons %v", c.Tally.Reasons)
	}
}

func FuzzAdd(f *testing.F) {
	for _, s := range []string{testPatient, testEncounter, observation("8867-4", valueIn("88", "/min")), given(rx("7512"), bag4in250+rate("15", "ml/hr")),
		`{"resourceType":"Observation","component":[{"code":{"coding":[{}]}}]}`, `{"a":"\\\"","b":[{}]}`, `[]`, `"x`, `{"resourceType":"Medication","id":"m","ingredient":[{"itemReference":{"reference":"Medication/m"}}]}`} {
		f.Add([]byte(s))
	}
	m := testMapper(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		b := NewBag("p1")
		_ = m.Add(b, []byte(testPatient), state.Origin{})
		_ = m.Add(b, bytes.Clone(raw), state.Origin{})
		c, err := m.Chart(b, "", testNow)
		if err != nil {
			t.Fatal(err)
		}
		if c.Tally.Read != 2 || c.Tally.Used+c.Tally.Ignored+c.Tally.Rejected != 2 {
			t.Fatalf("%+v", c.Tally)
		}
		again, err := m.Remap(c.Person, c.Stay, c.Gaps, c.Records)
		if err != nil {
			t.Fatal(err)
		}
		again.Tally, again.Rejects = c.Tally, c.Rejects
		if asJSON(t, again) != asJSON(t, c) {
			t.Fatal("remap differs")
		}
	})
}

func TestDiagnosisTextIsReadForWhatItSaysAndNotForWhatItRulesOut(t *testing.T) {
	m := testMapper(t)
	for text, want := range map[string]state.Tag{
		"cardiovascular|cardiac arrest|cardiac arrest|un-witnessed":                                                                    state.TagPostArrest,
		"Coma/change in level of consciousness (for hepatic see GI, for diabetic see Endocrine, if related to cardiac arrest, see CV)": "",
		"Arrest, respiratory (without cardiac arrest)":                                                                                 "",
		"Sepsis, pulmonary":                                                                           state.TagSepsis,
		"Bleeding, upper GI":                                                                          state.TagBleeding,
		"Hemorrhage, intra/retroperitoneal":                                                           state.TagBleeding,
		"gastrointestinal|GI bleeding / PUD|peptic ulcer disease":                                     "",
		"hematology|bleeding and red blood cell disorders|anemia":                                     "",
		"renal|disorder of acid base|metabolic acidosis|ketoacidosis/diabetic":                        state.TagDKA,
		"surgery|obstetrics|pregnancy":                                                                state.TagPregnancy,
		"pulmonary|respiratory failure|due to volume overload without CHF":                            "",
		"signs and symptoms of sepsis (SIRS)|due to non-infectious process without organ dysfunction": "",
	} {
		c := chartOf(t, m, `{"resourceType":"Condition","id":"c1","subject":{"reference":"Patient/p1"},"recordedDate":"2026-03-01","code":{"text":"`+text+`"}}`)
		var got state.Tag
		for _, x := range c.Conditions {
			for _, tag := range x.Tags {
				got = tag
			}
		}
		if got != want {
			t.Errorf("%q gives %q, want %q", text, got, want)
		}
	}
}
