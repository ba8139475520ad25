// SPDX-License-Identifier: Apache-2.0

package fhir

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

const (
	testPatient   = `{"resourceType":"Patient","id":"p1","gender":"female","birthDate":"1960-05-04"}`
	testEncounter = `{"resourceType":"Encounter","id":"e1","status":"in-progress","class":{"code":"IMP"},"subject":{"reference":"Patient/p1"},"type":[{"coding":[{"system":"http://snomed.info/sct","code":"305351004"}]}],"period":{"start":"2026-03-01T08:00:00Z"}}`
)

var testNow = time.Date(2026, 3, 1, 20, 0, 0, 0, time.UTC)

// chartOf maps resources of patient p1 at testNow.
func chartOf(t testing.TB, m *Mapper, resources ...string) *state.Chart {
	t.Helper()
	b := NewBag("p1")
	for _, r := range append([]string{testPatient, testEncounter}, resources...) {
		_ = m.Add(b, []byte(r), state.Origin{Via: "prefetch", Key: "test"})
	}
	c, err := m.Chart(b, "", testNow)
	if err != nil {
		t.Fatal(err)
	}
	if c.Tally.Read != len(resources)+2 || c.Tally.Read != c.Tally.Used+c.Tally.Ignored+c.Tally.Rejected {
		t.Fatalf("tally does not sum: %+v", c.Tally)
	}
	return c
}

// observation builds an Observation of p1 at 10:00 with the given LOINC code;
// rest is more members.
func observation(code, rest string) string {
	return fmt.Sprintf(`{"resourceType":"Observation","id":"o1","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"%s"}]},"subject":{"reference":"Patient/p1"},"effectiveDateTime":"2026-03-01T10:00:00Z",%s}`, code, rest)
}

// valueIn is a valueQuantity member.
func valueIn(v, unit string) string {
	if unit == "" {
		return fmt.Sprintf(`"valueQuantity":{"value":%s}`, v)
	}
	return fmt.Sprintf(`"valueQuantity":{"value":%s,"unit":"%s","system":"http://unitsofmeasure.org","code":"%s"}`, v, unit, unit)
}

func TestObservationsBecomeCanonicalValues(t *testing.T) {
	m := testMapper(t)
	tests := []struct {
		name    string
		res     string
		concept state.Concept
		want    float64
		method  string
	}{
		{"creatinine in umol/L", observation("14682-9", valueIn("176.84", "umol/L")), "creatinine", 2, ""},
		{"bilirubin in umol/L under the mass code", observation("1975-2", valueIn("34.208", "umol/L")), "bilirubin_total", 2, ""},
		{"glucose in mmol/L", observation("14749-6", valueIn("10", "mmol/L")), "glucose", 180.16, ""},
		{"urea in mmol/L becomes urea nitrogen", observation("22664-7", valueIn("10", "mmol/L")), "bun", 28.01, ""},
		{"lactate in mg/dL", observation("32693-4", valueIn("18.016", "mg/dL")), "lactate", 2, ""},
		{"magnesium in mEq/L is not mg/dL", observation("2601-3", valueIn("2", "meq/L")), "magnesium", 2.43, ""},
		{"magnesium in mg/dL stays", observation("19123-9", valueIn("2", "mg/dL")), "magnesium", 2, ""},
		{"ionised calcium in mg/dL", observation("17863-2", valueIn("4.008", "mg/dL")), "calcium_free", 1, ""},
		{"haemoglobin in g/L", observation("718-7", valueIn("98", "g/L")), "hemoglobin", 9.8, ""},
		{"haematocrit as a fraction", observation("4544-3", valueIn("0.31", "1")), "hematocrit", 31, ""},
		{"base excess keeps its sign", observation("1925-7", valueIn("-8.5", "mmol/L")), "base_excess", -8.5, ""},
		{"oxygen tension in kPa", observation("2703-7", valueIn("10", "kPa")), "pao2", 75.006, "arterial"},
		{"oxygen tension of an unspecified sample is not arterial", observation("11556-8", valueIn("40", "mm[Hg]")), "pao2", 40, "venous"},
		{"fahrenheit", observation("8310-5", valueIn("101.3", "[degF]")), "temp_c", 38.5, ""},
		{"inspired oxygen as a fraction in percent", observation("3150-0", valueIn("0.4", "%")), "fio2", 40, ""},
		{"inspired oxygen as a fraction without dimension", observation("3150-0", valueIn("0.4", "1")), "fio2", 40, ""},
		{"potassium in mEq/L", observation("2823-3", valueIn("4.1", "mEq/L")), "potassium", 4.1, ""},
		{"platelets in 10*9/L", observation("777-3", valueIn("85", "10*9/L")), "platelet", 85, ""},
		{"platelets spelled K/uL are no kelvin", observation("777-3", valueIn("85", "K/uL")), "platelet", 85, ""},
		{"pH without a unit", observation("2744-1", valueIn("7.21", "")), "ph", 7.21, "arterial"},
		{"transaminase in IU/L", observation("1742-6", valueIn("85", "IU/L")), "alt", 85, ""},
		{"cuff pressure", observation("76536-2", valueIn("61", "mm[Hg]")), "meanbp", 61, "cuff"},
		{"a score as an integer", observation("9267-6", `"valueInteger":3`), "gcs_eye", 3, ""},
		{"a score as a coded answer", observation("9268-4", `"valueCodeableConcept":{"coding":[{"system":"http://loinc.org","code":"LA6567-7"}]}`), "gcs_motor", 6, ""},
		{"an intubated verbal score is marked", observation("9270-0", `"valueString":"No Response-ETT"`), "gcs_verbal", 1, "intubated"},
		{"a pressure by an invasive method, said by its code", observation("8478-0", `"method":{"coding":[{"system":"http://snomed.info/sct","code":"77938009"}],"text":"invasive"},`+valueIn("61", "mm[Hg]")), "meanbp", 61, "arterial"},
		{"a pressure by a cuff, said by its code", observation("8478-0", `"method":{"coding":[{"system":"http://snomed.info/sct","code":"31813000"}]},`+valueIn("61", "mm[Hg]")), "meanbp", 61, "cuff"},
		{"weight in pounds", observation("29463-7", valueIn("176.37", "[lb_av]")), "weight", 80, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := chartOf(t, m, tt.res)
			if len(c.Measurements) != 1 {
				t.Fatalf("got %d measurements, rejects %v, reasons %v", len(c.Measurements), c.Rejects, c.Tally.Reasons)
			}
			got := c.Measurements[0]
			if got.Concept != tt.concept || math.Abs(got.Value-tt.want) > 1e-3*math.Abs(tt.want) || got.Method != tt.method {
				t.Errorf("got %s %g %q, want %s %g %q", got.Concept, got.Value, got.Method, tt.concept, tt.want, tt.method)
			}
		})
	}
}

func TestUnusableObservationsAreRejectedWithAReason(t *testing.T) {
	m := testMapper(t)
	tests := []struct{ name, res, reason string }{
		{"impossible value", observation("8867-4", valueIn("900", "/min")), reasonImpossible},
		{"unknown unit", observation("2160-0", valueIn("1.2", "wibble")), reasonUnitUnknown},
		{"unit missing", observation("2160-0", valueIn("1.2", "")), reasonUnitMissing},
		{"unit of another quantity", observation("2160-0", valueIn("1.2", "mm[Hg]")), reasonUnitOther},
		{"unit text against unit code", observation("2160-0", `"valueQuantity":{"value":1.2,"unit":"umol/L","code":"mg/dL"}`), reasonUnitConflict},
		{"inspired oxygen between fraction and percent", observation("3150-0", valueIn("8", "%")), reasonImpossible},
		{"half a coma score", observation("9267-6", valueIn("2.5", "{score}")), reasonNotWhole},
		{"a score in percent", observation("9267-6", valueIn("3", "%")), reasonUnitOther},
		{"number in quotes", observation("8867-4", `"valueQuantity":{"value":"88","code":"/min"}`), faultQuoted},
		{"member name in the wrong case", observation("8867-4", `"valuequantity":{"value":88,"code":"/min"}`), faultCase},
		{"wrong type of a member", observation("8867-4", `"valueQuantity":"88"`), "a member has the wrong type"},
		{"a status nobody defined", strings.Replace(observation("8867-4", valueIn("88", "/min")), "final", "wibble", 1), "a code is not in its FHIR value set"},
		{"no status", strings.Replace(observation("8867-4", valueIn("88", "/min")), `"status":"final",`, "", 1), reasonNoStatus},
		{"undated", strings.Replace(observation("8867-4", valueIn("88", "/min")), `"effectiveDateTime":"2026-03-01T10:00:00Z",`, "", 1), errNoTime.Error()},
		{"date without a time", strings.Replace(observation("8867-4", valueIn("88", "/min")), "T10:00:00Z", "", 1), errDateOnly.Error()},
		{"time without a zone", strings.Replace(observation("8867-4", valueIn("88", "/min")), "10:00:00Z", "10:00:00", 1), errNoZone.Error()},
		{"after the decision time", strings.Replace(observation("8867-4", valueIn("88", "/min")), "2026-03-01T10", "2026-03-02T10", 1), reasonFuture},
		{"no patient", strings.Replace(observation("8867-4", valueIn("88", "/min")), `"subject":{"reference":"Patient/p1"},`, "", 1), reasonNoPatient},
		{"another patient", strings.Replace(observation("8867-4", valueIn("88", "/min")), "Patient/p1", "Patient/p2", 1), reasonWrongPatient},
		{"broken JSON", `{"resourceType":"Observation","id":`, faultBroken},
		{"not an object", `[1]`, faultNotAnObj},
		{"the same member twice", observation("8867-4", `"status":"final",`+valueIn("88", "/min")), faultTwice},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := chartOf(t, m, tt.res)
			if len(c.Measurements) != 0 || c.Tally.Rejected != 1 || len(c.Rejects) != 1 || c.Rejects[0].Reason != tt.reason {
				t.Errorf("got %v used %d, want a reject %q", c.Rejects, len(c.Measurements), tt.reason)
			}
		})
	}
}

func TestIgnoredObservationsSayWhy(t *testing.T) {
	m := testMapper(t)
	hr := observation("8867-4", valueIn("88", "/min"))
	tests := []struct{ name, res, reason string }{
		{"entered in error", strings.Replace(hr, "final", "entered-in-error", 1), "status entered-in-error"},
		{"cancelled", strings.Replace(hr, "final", "cancelled", 1), "status cancelled"},
		{"a code nobody asked for", observation("99999-9", valueIn("1", "1")), reasonNotCoded},
		{"absent value", observation("8867-4", `"dataAbsentReason":{"text":"not performed"}`), reasonNoValue},
		{"a resource type that is not read", `{"resourceType":"CarePlan","id":"x"}`, reasonNotRead},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if c := chartOf(t, m, tt.res); c.Tally.Ignored != 1 || c.Tally.Reasons[tt.reason] != 1 {
				t.Errorf("got %+v, want ignored: %s", c.Tally, tt.reason)
			}
		})
	}
}

func TestPanelsGiveOneRecordPerComponent(t *testing.T) {
	c := chartOf(t, testMapper(t), `{"resourceType":"Observation","id":"bp","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"85354-9"}]},
		"subject":{"reference":"https://ehr.example/fhir/Patient/p1"},"effectiveDateTime":"2026-03-01T10:00:00+01:00","component":[
		{"code":{"coding":[{"system":"http://loinc.org","code":"8480-6"}]},"valueQuantity":{"value":91,"unit":"mmHg"}},
		{"code":{"coding":[{"system":"http://loinc.org","code":"8462-4"}]},"valueQuantity":{"value":480,"unit":"mmHg"}}]}`)
	if len(c.Measurements) != 1 || c.Measurements[0].Concept != "sysbp" || c.Records[0].Part != "component[0]" {
		t.Fatalf("got %+v", c.Measurements)
	}
	if at := c.Measurements[0].Effective; !at.Equal(time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)) || at.Location() != time.UTC {
		t.Errorf("effective %s", at)
	}
	if len(c.Rejects) != 1 || c.Rejects[0].Part != "component[1]" || c.Tally.Used != 3 {
		t.Errorf("rejects %v, tally %+v", c.Rejects, c.Tally)
	}
}

func TestInstantsOfTheWire(t *testing.T) {
	tests := []struct {
		text, want string
		err        error
	}{
		{"2026-03-01T24:00:00Z", "2026-03-02T00:00:00Z", nil},
		{"2026-03-01T23:59:60Z", "2026-03-02T00:00:00Z", nil},
		{"2026-03-01T10:00Z", "2026-03-01T10:00:00Z", nil},
		{"2026-03-01T10:00:00.125+05:30", "2026-03-01T04:30:00.125Z", nil},
		{"2026-03", "", errDateOnly},
		{"2026-03-01T10:00:00", "", errNoZone},
		{"2026-13-01T10:00:00Z", "", errBadTime},
		{"9999-01-01T00:00:00Z", "", errBadTime},
		{"yesterday", "", errBadTime},
		{"", "", errNoTime},
	}
	for _, tt := range tests {
		got, err := instant(tt.text)
		if err != tt.err || err == nil && got.Format(time.RFC3339Nano) != tt.want {
			t.Errorf("%q: got %s, %v", tt.text, got.Format(time.RFC3339Nano), err)
		}
	}
}

func TestACorrectionReplacesTheFirstResult(t *testing.T) {
	first := observation("2160-0", valueIn("9.9", "mg/dL"))
	fixed := strings.Replace(observation("2160-0", valueIn("1.2", "mg/dL")), "final", "corrected", 1)
	for _, order := range [][]string{{first, fixed}, {fixed, first}} {
		c := chartOf(t, testMapper(t), order...)
		if len(c.Measurements) != 1 || c.Measurements[0].Value != 1.2 || c.Tally.Reasons[reasonSuperseded] != 1 {
			t.Errorf("got %+v, %+v", c.Measurements, c.Tally)
		}
	}
}

func TestTheSpecimenRowMakesAGasArterial(t *testing.T) {
	lab := func(id, item, rest string) string {
		return fmt.Sprintf(`{"resourceType":"Observation","id":"%s","status":"final","code":{"coding":[{"system":"http://mimic.mit.edu/fhir/mimic/CodeSystem/mimic-d-labitems","code":"%s"}]},"subject":{"reference":"Patient/p1"},"effectiveDateTime":"2026-03-01T10:00:00Z","specimen":{"reference":"Specimen/s1"},%s}`, id, item, rest)
	}
	gas := lab("a", "50821", valueIn("88", "mm Hg"))
	if c := chartOf(t, testMapper(t), gas); c.Measurements[0].Method != state.MethodVenous {
		t.Errorf("unspecified gas: %q", c.Measurements[0].Method)
	}
	c := chartOf(t, testMapper(t), gas, lab("b", "52033", `"valueString":"ART."`))
	if c.Measurements[0].Method != state.MethodArterial || c.Tally.Used != 4 {
		t.Errorf("arterial gas: %q, %+v", c.Measurements[0].Method, c.Tally)
	}
}
