// SPDX-License-Identifier: Apache-2.0

package fhir

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

func TestAnswersThatAreNumbersAndThoseThatAreNot(t *testing.T) {
	m := testMapper(t)
	text := func(s string) string { return fmt.Sprintf(`"valueString":%q`, s) }
	coded := func(code string) string {
		return fmt.Sprintf(`"valueCodeableConcept":{"coding":[{"system":"http://loinc.org","code":%q}]}`, code)
	}
	tests := []struct {
		name, code, value string
		want              float64
		comparator        string
		method            string
		reason            string
	}{
		{"below the limit of the assay", "2524-7", `"valueQuantity":{"value":0.5,"comparator":"<","code":"mmol/L"}`, 0.5, "<", "", ""},
		{"the comparator stays through a conversion", "14682-9", `"valueQuantity":{"value":884.2,"comparator":">=","code":"umol/L"}`, 10, ">=", "", ""},
		{"a number sent as text", "2160-0", text("1.2 mg/dL"), 1.2, "", "", ""},
		{"a decimal comma", "718-7", text("7,5 g/dL"), 7.5, "", "", ""},
		{"a comparator in text", "2524-7", text("> 24 mmol/L"), 24, ">", "", ""},
		{"a sign in text", "1925-7", text("≤-8.5 mmol/L"), -8.5, "<=", "", ""},
		{"a bare number in text has no unit either", "2160-0", text("1.2"), 0, "", "", reasonUnitMissing},
		{"a star of an abnormal result", "1975-2", text("<0.2 mg/dL*."), 0.2, "<", "", ""},
		{"a comma that could part thousands", "777-3", text("1,200 10*3/uL"), 0, "", "", reasonText},
		{"a range in text", "9279-1", text("12-16"), 0, "", "", reasonText},
		{"a pair in text", "8480-6", text("120/80"), 0, "", "", reasonText},
		{"a number with a remark", "2160-0", text("1.2 hemolyzed"), 0, "", "", reasonText},
		{"not a number", "2160-0", text("NaN mg/dL"), 0, "", "", reasonText},
		{"hexadecimal", "2160-0", text("0x1p3 mg/dL"), 0, "", "", reasonText},
		{"words", "2160-0", text("see comment"), 0, "", "", reasonText},
		{"a score with its meaning", "9267-6", text("4 - Spontaneous"), 4, "", "", ""},
		{"a score in decimals", "9268-4", text("6.0"), 6, "", "", ""},
		{"a score in words", "9268-4", text("Localizes Pain"), 5, "", "", ""},
		{"a score by its answer", "9267-6", coded("LA6554-5"), 2, "", "", ""},
		{"an answer of another question", "9267-6", coded("LA6567-7"), 0, "", "", reasonText},
		{"intubated, in short", "9270-0", text("1T"), 1, "", state.MethodIntubated, ""},
		{"intubated, as MetaVision has it", "9270-0", text("No Response-ETT"), 1, "", state.MethodIntubated, ""},
		{"intubated, as Epic has it", "9270-0", text("1.0 ET/Trach"), 1, "", state.MethodIntubated, ""},
		{"intubated, in words", "9270-0", text("1 - Intubated"), 1, "", state.MethodIntubated, ""},
		{"no response without a tube", "9270-0", text("1 - None"), 1, "", "", ""},
		{"a total with a tube is no total", "9269-2", text("10T"), 0, "", "", reasonText},
		{"a total with a tube, spaced", "9269-2", text("10 T"), 0, "", "", reasonText},
		{"a score beyond its scale", "9270-0", text("6 - Oriented"), 0, "", "", reasonImpossible},
		{"a range", "2160-0", `"valueRange":{"low":{"value":1,"code":"mg/dL"},"high":{"value":2,"code":"mg/dL"}}`, 0, "", "", reasonKind},
		{"a ratio", "2160-0", `"valueRatio":{"numerator":{"value":1}}`, 0, "", "", reasonKind},
		{"sampled data", "8867-4", `"valueSampledData":{"origin":{"value":0},"period":10,"dimensions":1,"data":"1 2 3"}`, 0, "", "", reasonKind},
		{"a time", "5902-2", `"valueTime":"00:12:00"`, 0, "", "", reasonKind},
		{"a boolean", "9269-2", `"valueBoolean":true`, 0, "", "", reasonKind},
		{"a number beside the reason for its absence", "2160-0", `"dataAbsentReason":{"coding":[{"code":"error"}]},"valueQuantity":{"value":0,"code":"mg/dL"}`, 0, "", "", reasonAbsent},
		{"only the reason for its absence", "2160-0", `"dataAbsentReason":{"coding":[{"code":"error"}]}`, 0, "", "", reasonNoValue},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := chartOf(t, m, observation(tt.code, tt.value))
			if tt.reason != "" {
				if len(c.Measurements) != 0 || c.Tally.Reasons[tt.reason] != 1 {
					t.Errorf("got %+v, reasons %v, want %q", c.Measurements, c.Tally.Reasons, tt.reason)
				}
				return
			}
			if len(c.Measurements) != 1 {
				t.Fatalf("rejects %v, reasons %v", c.Rejects, c.Tally.Reasons)
			}
			if g := c.Measurements[0]; !near(g.Value, tt.want) || g.Comparator != tt.comparator || g.Method != tt.method || g.Received == "" {
				t.Errorf("got %g %q %q (%q), want %g %q %q", g.Value, g.Comparator, g.Method, g.Received, tt.want, tt.comparator, tt.method)
			}
		})
	}
}

func TestATotalAloneGivesNoParts(t *testing.T) {
	c := chartOf(t, testMapper(t), observation("9269-2", valueIn("9", "{score}")))
	if len(c.Measurements) != 1 || c.Measurements[0].Concept != state.ConceptGCSTotal {
		t.Errorf("got %+v", c.Measurements)
	}
}

func TestComponentsStandAlone(t *testing.T) {
	part := func(code, rest string) string {
		return fmt.Sprintf(`{"code":{"coding":[{"system":"http://loinc.org","code":"%s"}]},%s}`, code, rest)
	}
	tests := []struct {
		name, code, parts string
		want              map[state.Concept]float64
		rejects           int
	}{
		{"a pressure that could not be taken leaves the other", "85354-9",
			part("8480-6", `"valueQuantity":{"value":91,"code":"mm[Hg]"}`) + "," + part("8462-4", `"dataAbsentReason":{"coding":[{"code":"unknown"}]}`),
			map[state.Concept]float64{"sysbp": 91}, 0},
		{"a component's interpretation is not its value", "85354-9",
			part("8480-6", `"valueQuantity":{"value":91,"code":"mm[Hg]"},"interpretation":[{"coding":[{"code":"L"}]}]`),
			map[state.Concept]float64{"sysbp": 91}, 0},
		{"scores of other scales are noise", "35088-4",
			part("9267-6", `"valueInteger":3`) + "," + part("32405-3", `"valueInteger":2`) + "," + part("9270-0", `"valueString":"1T"`),
			map[state.Concept]float64{"gcs_eye": 3, "gcs_verbal": 1}, 0},
		{"a saturation with its oxygen", "59408-5",
			part("3151-8", `"valueQuantity":{"value":4,"code":"L/min"}`) + "," + part("3150-0", `"valueQuantity":{"value":36,"code":"%"}`),
			map[state.Concept]float64{"o2_flow": 4, "fio2": 36}, 0},
		{"one wrong component is one reject", "24336-0",
			part("2744-1", `"valueQuantity":{"value":7.2,"code":"[pH]"}`) + "," + part("2703-7", `"valueQuantity":{"value":80,"code":"mg/dL"}`),
			map[state.Concept]float64{"ph": 7.2}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := chartOf(t, testMapper(t), observation(tt.code, `"component":[`+tt.parts+`]`))
			if len(c.Measurements) != len(tt.want) || len(c.Rejects) != tt.rejects {
				t.Fatalf("got %+v, rejects %v", c.Measurements, c.Rejects)
			}
			for _, g := range c.Measurements {
				if want, ok := tt.want[g.Concept]; !ok || g.Value != want {
					t.Errorf("%s = %g, want %g", g.Concept, g.Value, want)
				}
			}
		})
	}
}

func TestAGasIsArterialOnlyWhereSomethingSaysSo(t *testing.T) {
	const arterial, venous, whole = "122552005", "122555007", "258580003"
	specimen := func(kind string) string {
		return fmt.Sprintf(`"contained":[{"resourceType":"Specimen","id":"s","type":{"coding":[{"system":"http://snomed.info/sct","code":"%s"}]},"subject":{"reference":"Patient/p1"}}],"specimen":{"reference":"#s"},`, kind)
	}
	site := `"bodySite":{"coding":[{"system":"http://snomed.info/sct","code":"45631007"}]},`
	words := `"contained":[{"resourceType":"Specimen","id":"s","type":{"text":"Arterial Blood"},"subject":{"reference":"Patient/p1"}}],"specimen":{"reference":"#s"},`
	tests := []struct{ name, code, rest, want, reason string }{
		{"the code says it", "2703-7", "", state.MethodArterial, ""},
		{"nothing says it", "11556-8", "", state.MethodVenous, ""},
		{"the contained specimen says it", "11556-8", specimen(arterial), state.MethodArterial, ""},
		{"the specimen says it in words", "11556-8", words, state.MethodArterial, ""},
		{"the artery it was drawn from says it", "11556-8", site, state.MethodArterial, ""},
		{"whole blood says nothing", "11556-8", specimen(whole), state.MethodVenous, ""},
		{"artery by site and vein by specimen is neither", "11556-8", site + specimen(venous), state.MethodVenous, ""},
		{"an arterial code on a venous specimen", "2703-7", specimen(venous), "", reasonVessel},
		{"a venous code on an arterial specimen", "2705-2", specimen(arterial), "", reasonVessel},
		{"a venous code stays venous", "2705-2", "", state.MethodVenous, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := chartOf(t, testMapper(t), observation(tt.code, tt.rest+valueIn("80", "mm[Hg]")))
			if tt.reason != "" {
				if len(c.Rejects) != 1 || c.Rejects[0].Reason != tt.reason {
					t.Errorf("got %+v, rejects %v", c.Measurements, c.Rejects)
				}
				return
			}
			if len(c.Measurements) != 1 || c.Measurements[0].Method != tt.want {
				t.Errorf("got %+v, rejects %v, want %q", c.Measurements, c.Rejects, tt.want)
			}
		})
	}
}

func TestAPressureIsOfTheLineOrTheCuffAsItsResourceSays(t *testing.T) {
	device := func(name string) string { return `"device":{"display":"` + name + `"},` }
	for _, tt := range []struct{ name, rest, want string }{
		{"nothing says it", "", ""},
		{"the method says it", `"method":{"text":"Intra-arterial"},`, state.MethodArterial},
		{"the device says arterial line", device("Radial A-line, left"), state.MethodArterial},
		{"the device says cuff", device("NIBP module"), state.MethodCuff},
		{"the device is a monitor", device("Bedside monitor 12"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := chartOf(t, testMapper(t), observation("8478-0", tt.rest+valueIn("61", "mm[Hg]")))
			if len(c.Measurements) != 1 || c.Measurements[0].Method != tt.want {
				t.Errorf("got %+v, rejects %v, want %q", c.Measurements, c.Rejects, tt.want)
			}
		})
	}
}

func TestCodingsOfOneValue(t *testing.T) {
	with := func(more string) string {
		return strings.Replace(observation("11556-8", valueIn("80", "mm[Hg]")), `"code":"11556-8"}]`, `"code":"11556-8"},{"system":"http://loinc.org","code":"`+more+`"}]`, 1)
	}
	m := testMapper(t)
	if c := chartOf(t, m, with("2703-7")); len(c.Measurements) != 1 || c.Measurements[0].Method != state.MethodArterial {
		t.Errorf("unspecified and arterial: %+v", c.Measurements)
	}
	if c := chartOf(t, m, with("2160-0")); len(c.Rejects) != 1 || c.Rejects[0].Reason != reasonCodesClash {
		t.Errorf("oxygen and creatinine: %+v %v", c.Measurements, c.Rejects)
	}
	both := strings.Replace(observation("2703-7", valueIn("80", "mm[Hg]")), `"code":"2703-7"}]`, `"code":"2703-7"},{"system":"http://loinc.org","code":"2705-2"}]`, 1)
	if c := chartOf(t, m, both); len(c.Rejects) != 1 || c.Rejects[0].Reason != reasonCodesClash {
		t.Errorf("arterial and venous: %+v %v", c.Measurements, c.Rejects)
	}
}

func TestRepeatsOfOneResult(t *testing.T) {
	obs := func(id, code, rest string) string {
		return strings.Replace(observation(code, rest), `"id":"o1"`, `"id":"`+id+`"`, 1)
	}
	tests := []struct {
		name string
		res  []string
		want []float64
	}{
		{"a rounded copy is the same result", []string{obs("a", "2160-0", valueIn("1.23", "mg/dL")), obs("b", "38483-4", valueIn("1.2", "mg/dL"))}, []float64{1.23}},
		{"a copy in another unit is the same result", []string{obs("a", "2160-0", valueIn("1.2", "mg/dL")), obs("b", "14682-9", valueIn("106", "umol/L"))}, []float64{106 / 88.42}},
		{"another result is not", []string{obs("a", "2160-0", valueIn("1.23", "mg/dL")), obs("b", "2160-0", valueIn("1.3", "mg/dL"))}, []float64{1.23, 1.3}},
		{"a limit is not the value", []string{obs("a", "2524-7", `"valueQuantity":{"value":0.5,"comparator":"<","code":"mmol/L"}`), obs("b", "2524-7", valueIn("0.5", "mmol/L"))}, []float64{0.5, 0.5}},
		{"the same volume twice is one", []string{obs("a", "9187-6", valueIn("100", "mL")), obs("b", "9187-6", valueIn("100", "mL"))}, []float64{100}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, res := range [][]string{tt.res, {tt.res[1], tt.res[0]}} {
				c := chartOf(t, testMapper(t), res...)
				if len(c.Measurements) != len(tt.want) || c.Tally.Reasons[reasonSameEvent] != len(tt.res)-len(tt.want) {
					t.Fatalf("got %+v, %+v", c.Measurements, c.Tally)
				}
				for i, g := range c.Measurements {
					if !near(g.Value, tt.want[i]) {
						t.Errorf("got %g, want %g", g.Value, tt.want[i])
					}
				}
			}
		})
	}
	drain := func(id, item string) string {
		return fmt.Sprintf(`{"resourceType":"Observation","id":"%s","status":"final","code":{"coding":[{"system":"http://mimic.mit.edu/fhir/mimic/CodeSystem/mimic-d-items","code":"%s"}]},"subject":{"reference":"Patient/p1"},"effectiveDateTime":"2026-03-01T10:00:00Z","valueQuantity":{"value":100,"unit":"mL"}}`, id, item)
	}
	if c := chartOf(t, testMapper(t), drain("a", "226564"), drain("b", "226565")); len(c.Measurements) != 2 {
		t.Errorf("two nephrostomies: got %+v", c.Measurements)
	}
}

func TestWhatAStatusAllows(t *testing.T) {
	for status, want := range map[string]int{"final": 1, "amended": 1, "corrected": 1, "preliminary": 1, "registered": 0, "cancelled": 0, "entered-in-error": 0, "unknown": 0} {
		c := chartOf(t, testMapper(t), strings.Replace(observation("2160-0", valueIn("1.2", "mg/dL")), `"final"`, `"`+status+`"`, 1))
		if len(c.Measurements) != want || want == 1 && c.Measurements[0].Status != status {
			t.Errorf("%s: got %+v, %v", status, c.Measurements, c.Tally.Reasons)
		}
	}
}

func TestInstantsThatFHIRForbids(t *testing.T) {
	tests := []struct {
		text, want string
		err        error
	}{
		{"2026-03-01T10:00:00+0100", "2026-03-01T09:00:00Z", nil},
		{"2026-03-01T10:00:00-05", "2026-03-01T15:00:00Z", nil},
		{"2026-03-01T10:00:00-00:00", "2026-03-01T10:00:00Z", nil},
		{"2026-03-01T10:00:00+14:00", "2026-02-28T20:00:00Z", nil},
		{"2026-03-01T10:00:00+15:00", "", errBadTime},
		{"2026-03-01T10:00:00+1", "", errBadTime},
		{"2026-03-01T24:00:01Z", "", errBadTime},
		{"2026-02-30T10:00:00Z", "", errBadTime},
		{"2026-03-01 10:00:00Z", "", errBadTime},
		{"2026-03-01t10:00:00z", "", errBadTime},
		{"2026", "", errDateOnly},
		{"2026-03-01", "", errDateOnly},
		{"20260301T100000Z", "", errBadTime},
		{"2026-W09-7", "", errBadTime},
		{"1.7e9", "", errBadTime},
	}
	for _, tt := range tests {
		got, err := instant(tt.text)
		if !errors.Is(err, tt.err) || err == nil && got.Format(time.RFC3339) != tt.want {
			t.Errorf("%q: got %s, %v", tt.text, got.Format(time.RFC3339), err)
		}
	}
}

func TestAnInstantReadsBackAsItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(-3e9, 1e10).Draw(t, "seconds"), 0)
		zone := time.FixedZone("", rapid.IntRange(-14*4, 14*4).Draw(t, "quarters")*900)
		text := at.In(zone).Format("2006-01-02T15:04:05-07:00")
		for _, form := range []string{text, text[:len(text)-3] + text[len(text)-2:]} {
			if got, err := instant(form); err != nil || !got.Equal(at) {
				t.Fatalf("%s: got %v, %v", form, got, err)
			}
		}
	})
}

func TestAnEncounterWithoutAnInstantSaysSo(t *testing.T) {
	m := testMapper(t)
	b := NewBag("p1")
	for _, r := range []string{testPatient, strings.Replace(testEncounter, "2026-03-01T08:00:00Z", "2026-03-01", 1)} {
		if err := m.Add(b, []byte(r), state.Origin{Via: "prefetch"}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := m.Chart(b, "e1", testNow)
	if !errors.Is(err, ErrNoStay) || !strings.Contains(err.Error(), "period.start: "+errDateOnly.Error()) {
		t.Errorf("got %v", err)
	}
	c, err := m.Chart(b, "", testNow)
	if err != nil || c.Tally.Rejected != 1 || len(c.Rejects) != 1 || c.Rejects[0].Type != "Encounter" {
		t.Errorf("got %v, %+v", err, c)
	}
}

// FuzzObservation sends an Observation with any text for the number, the unit
// and the time, and asks that it is counted once and that what comes out is
// inside the plausible range.
func FuzzObservation(f *testing.F) {
	f.Add("2160-0", "1.2", "mg/dL", "7,5 mg/dL", "2026-03-01T10:00:00Z")
	f.Add("9270-0", "1e3", "{score}", "1.0 ET/Trach", "2026-03-01T24:00:00+0100")
	f.Add("777-3", "-0", "G/L", "> 24", "2026-03-01T23:59:60Z")
	m := testMapper(f)
	f.Fuzz(func(t *testing.T, code, number, unit, text, at string) {
		quote := func(s string) string { return fmt.Sprintf("%q", strings.ToValidUTF8(s, "?")) }
		head := `{"resourceType":"Observation","id":"o1","status":"final","subject":{"reference":"Patient/p1"},"code":{"coding":[{"system":"http://loinc.org","code":` +
			quote(code) + `}]},"effectiveDateTime":` + quote(at)
		c := chartOf(t, m, head+`,"valueQuantity":{"value":`+number+`,"unit":`+quote(unit)+`}}`,
			strings.Replace(head, `"o1"`, `"o2"`, 1)+`,"valueString":`+quote(text)+`}`)
		for _, g := range c.Measurements {
			if lo, hi, _, _ := state.Range(g.Concept); !(g.Value >= lo && g.Value <= hi) {
				t.Errorf("%s = %g", g.Concept, g.Value)
			}
		}
	})
}
