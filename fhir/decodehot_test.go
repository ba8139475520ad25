// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: the decoder of Observations and MedicationAdministrations against
// samply's models, on cases, on real data and on made-up damage.

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// hot are resources that use what the decoder reads, and some that use what it
// only checks.
var hot = []string{
	`{"resourceType":"Observation","id":"a","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8867-4","display":"Heart rate","userSelected":true}],"text":"HR"},
	  "subject":{"reference":"Patient/p1","display":"x"},"encounter":{"reference":"Encounter/e1"},"effectiveDateTime":"2024-01-01T00:00:00Z","issued":"2024-01-01T00:01:00Z",
	  "meta":{"lastUpdated":"2024-01-01T00:02:00Z","security":[{"system":"s","code":"HTEST"}],"tag":[{"code":"t"},null],"profile":["x"]},
	  "valueQuantity":{"value":-1.50e1,"unit":"b\u00e9ats","system":"http://unitsofmeasure.org","code":"/min","comparator":"<"},
	  "bodySite":{"coding":[{"code":"arm"}]},"method":{"text":"cuff"},"specimen":{"reference":"#s"},"interpretation":[{"text":"high"}],
	  "referenceRange":[{"low":{"value":1},"age":{"high":{"value":3}}}],"contained":[{"resourceType":"Specimen","id":"s","type":{"text":"Blood arterial"}}]}`,
	`{"resourceType":"Observation","id":"b","meta":{"tag":[{"code":"t"}],"versionId":"1","security":[{"code":"u"}]},"status":"amended","code":{},"effectivePeriod":{"start":"2024","end":null},
	  "component":[{"code":{"coding":[{"system":"http://loinc.org","code":"8480-6"}]},"valueInteger":-0},null,{"code":{"text":"c"},"valueString":"a\tb"},{"code":{},"valueCodeableConcept":{"coding":[{"display":"d"}]}}]}`,
	`{"id":"c","component":[],"valueInteger":7,"effectiveInstant":"2024-01-01T00:00:00Z","code":{"coding":[null,{"system":"x"}]},"status":"final","resourceType":"Observation"}`,
	`{"resourceType" : "MedicationAdministration","id":"d","status":"completed","category":{"coding":[{"code":"drip"}]},"medicationCodeableConcept":{"coding":[{"system":"rx","code":"1"}]},
	  "subject":{"reference":"Patient/p1"},"context":{"reference":"Encounter/e1"},"effectivePeriod":{"start":"2024-01-01T00:00:00Z"},"extension":[{"url":"urn:x:dosing-weight","valueQuantity":{"value":80,"unit":"kg"}}],
	  "dosage":{"text":"t","route":{"text":"IV"},"method":{"coding":[{"code":"m"}]},"dose":{"value":1},"rateQuantity":{"value":2,"unit":"mL/h"},
	  "extension":[{"url":"http://x/infusion-concentration","valueRatio":{"numerator":{"value":4,"unit":"mg"},"denominator":{"value":250,"unit":"mL"}}},{"url":"pump-rate","valueQuantity":{"value":5}},null]},
	  "note":[{"text":"n"}],"performer":[{"actor":{"reference":"Practitioner/1"}}]}`,
	`{"resourceType":"MedicationAdministration","medicationReference":{"reference":"#m"},"contained":[{"resourceType":"Medication","id":"m","code":{"text":"norepinephrine"}}],
	  "effectiveDateTime":"2024-01-01T00:00:00Z","dosage":{"rateRatio":{"numerator":{"value":1},"denominator":{"value":2}},"rateQuantity":{"value":3},"route":{"coding":[{"code":"iv"}]}}}`,
}

func TestOursAndTheModelsAgree(t *testing.T) {
	m := testMapper(t)
	for _, raw := range hot {
		agree(t, m, []byte(raw))
		if _, err := m.decodeHot([]byte(raw)); err != nil {
			t.Errorf("%v: %s", err, raw)
		}
	}
}

func TestWhatIsForgivenElsewhereIsRefusedHere(t *testing.T) {
	o := func(members string) string {
		return `{"resourceType":"Observation","id":"a","subject":{"reference":"Patient/p1"},"code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},` + members + `}`
	}
	d := func(dosage string) string {
		return `{"resourceType":"MedicationAdministration","id":"a","subject":{"reference":"Patient/p1"},"status":"completed","dosage":` + dosage + `}`
	}
	tests := []struct{ name, raw, want string }{
		{"a status of no value set", o(`"status":"Final"`), errWrongCode.Error()},
		{"a status that is null", o(`"status":null`), errWrongCode.Error()},
		{"a number in quotes", o(`"status":"final","valueQuantity":{"value":"7"}`), faultQuoted},
		{"a number in quotes that nobody reads", o(`"status":"final","referenceRange":[{"low":{"value":"7"}}]`), faultQuoted},
		{"a unit that is a number", o(`"status":"final","valueQuantity":{"value":7,"unit":7}`), errWrongType.Error()},
		{"a whole number that is none", o(`"status":"final","valueInteger":7.5`), errWrongType.Error()},
		{"an object for a list", o(`"status":"final","component":{}`), errWrongType.Error()},
		{"a list for an object", o(`"status":"final","method":[]`), errWrongType.Error()},
		{"a comparator of no value set", o(`"status":"final","valueQuantity":{"value":7,"comparator":"~"}`), errWrongCode.Error()},
		{"a fault where nobody reads", o(`"status":"final","performer":[{"reference":5}]`), errWrongType.Error()},
		{"a wrong case", o(`"Status":"final"`), faultCase},
		{"a wrong case in a quantity", o(`"status":"final","valueQuantity":{"Value":7}`), faultCase},
		{"a wrong case of a member that nobody reads", o(`"status":"final","Performer":[]`), faultCase},
		{"a letter that folds to another", o("\"\u017ftatus\":\"final\""), faultCase},
		{"a name spelled with escapes, twice", o(`"status":"final","st\u0061tus":"entered-in-error"`), faultTwice},
		{"a member twice", o(`"status":"final","status":"final"`), faultTwice},
		{"a value twice", o(`"status":"final","valueQuantity":{"value":7,"value":8}`), faultTwice},
		{"a value twice, once as nothing", o(`"status":"final","valueQuantity":{"value":7,"value":null}`), faultTwice},
		{"a dose twice", d(`{"dose":{"value":1},"dose":{"value":2}}`), faultTwice},
		{"a rate in quotes", d(`{"rateQuantity":{"value":"1"}}`), faultQuoted},
		{"a rate of a wrong type", d(`{"rateQuantity":1}`), errWrongType.Error()},
		{"nesting without end", o(`"status":"final","extension":` + strings.Repeat(`[`, 100) + strings.Repeat(`]`, 100)), faultDeep},
		{"a control character", o("\"status\":\"fi\x01nal\""), faultBroken},
		{"a number that starts with nought", o(`"status":"final","valueInteger":07`), faultBroken},
		{"two documents", o(`"status":"final"`) + `{}`, faultBroken},
	}
	m := testMapper(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := inspect([]byte(tt.raw), m.want)
			_, err := m.decodeHot([]byte(tt.raw))
			if err == nil || err.Error() != tt.want || h.fault != "" && h.fault != tt.want {
				t.Errorf("fault %q, error %v, want %s", h.fault, err, tt.want)
			}
			agree(t, m, []byte(tt.raw))
		})
	}
}

// TestRealResourcesAreDecodedAsByTheModels samples every file of both sets.
func TestRealResourcesAreDecodedAsByTheModels(t *testing.T) {
	m := testMapper(t)
	const every = 97
	for _, set := range []string{"mimic-iv-demo-fhir", "eicu-demo-fhir"} {
		files, err := filepath.Glob(filepath.Join(realData(t, set), "*.ndjson.gz"))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, name := range files {
			if base := filepath.Base(name); !strings.Contains(base, "Observation") && !strings.Contains(base, "Administration") {
				continue
			}
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			z, err := gzip.NewReader(f)
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(z)
			lines.Buffer(nil, 1<<20)
			for i := 0; lines.Scan(); i++ {
				if i%every == 0 {
					agree(t, m, lines.Bytes())
					n++
				}
			}
			if err := lines.Err(); err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
		if n == 0 {
			t.Errorf("no resource of %s compared", set)
		}
	}
}

// damage changes a document as a faulty sender would.
func damage(raw []byte, r *rand.Rand) []byte {
	out := bytes.Clone(raw)
	bits := []string{`null`, `"x"`, `7`, `[]`, `{}`, `true`, `"value":`, `,`, `"`, `\`, `{"coding":[{"code":"c"}]}`, `1e5`, "\xff", `"status":"final",`, `\u0041`}
	for range 1 + r.IntN(3) {
		at := r.IntN(len(out))
		switch r.IntN(4) {
		case 0:
			out[at] = byte(r.IntN(256))
		case 1:
			out = append(out[:at:at], out[min(len(out), at+1+r.IntN(8)):]...)
		case 2:
			out = append(out[:at:at], append([]byte(bits[r.IntN(len(bits))]), out[at:]...)...)
		case 3: // another value for a member
			if i := bytes.IndexByte(out[at:], ':'); i >= 0 {
				at += i + 1
				rest := out[at:]
				end := bytes.IndexAny(rest, ",}")
				if end < 0 {
					end = 0
				}
				out = append(out[:at:at], append([]byte(bits[r.IntN(len(bits))]), rest[end:]...)...)
			}
		}
		if len(out) == 0 {
			return out
		}
	}
	return out
}

func TestDamagedResourcesAreDecodedAsByTheModelsOrRefused(t *testing.T) {
	m := testMapper(t)
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		r := rand.New(rand.NewPCG(seed, 7))
		for range 50 {
			agree(t, m, damage([]byte(hot[r.IntN(len(hot))]), r))
		}
	})
}

func FuzzDecodeHot(f *testing.F) {
	for _, raw := range hot {
		var b bytes.Buffer
		if err := json.Compact(&b, []byte(raw)); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	m := testMapper(f)
	f.Fuzz(func(t *testing.T, raw []byte) { agree(t, m, raw) })
}

// BenchmarkDecode says how fast bytes become Records, ours and by the models.
func BenchmarkDecode(b *testing.B) {
	m := testMapper(b)
	var raw bytes.Buffer
	if err := json.Compact(&raw, []byte(hot[0])); err != nil {
		b.Fatal(err)
	}
	h := inspect(raw.Bytes(), m.want)
	for name, decode := range map[string]func(){
		"ours":   func() { _, _ = m.decodeHot(raw.Bytes()) },
		"models": func() { _, _ = m.oracle(&h, raw.Bytes()) },
		"head":   func() { inspect(raw.Bytes(), m.want) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(raw.Len()))
			b.ReportAllocs()
			for b.Loop() {
				decode()
			}
		})
	}
}
