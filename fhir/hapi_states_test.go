// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: what happens to resources on a HAPI server over time, as our
// client sees it: absent, deleted, amended, retracted.

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

func TestHAPIHasNoSuchPatient(t *testing.T) {
	h := hapiServer(t)
	got, err := h.gather(testMapper(t), "nobody", "", testNow, nil)
	if !errors.Is(err, ErrUnobtainable) || errors.Is(err, ErrDenied) {
		t.Fatalf("error %v", err)
	}
	if p := part(t, got, KeyPatient); p.From != IsFailed || !strings.Contains(p.Why, "404") {
		t.Errorf("%+v", p)
	}
	if strings.Contains(err.Error(), "nobody") {
		t.Errorf("the error names the patient: %v", err)
	}
}

// loaded is a patient with two lactates on the server, ready to be changed
// there.
type loaded struct {
	id, stay string
	at       time.Time
	lactate  string // the older one
}

func (h *hapi) loaded() loaded {
	h.t.Helper()
	l := loaded{id: fmt.Sprintf("changing-%d", time.Now().UnixNano()), at: testNow}
	l.stay = l.id + "-icu"
	own := strings.NewReplacer(`"Patient/p1"`, `"Patient/`+l.id+`"`, `"id":"p1"`, `"id":"`+l.id+`"`, `"id":"e1"`, `"id":"`+l.stay+`"`,
		`"id":"o1"`, `"id":"`+l.id+`-a"`)
	l.lactate = own.Replace(observation("32693-4", valueIn("2.1", "mmol/L")))
	newer := strings.NewReplacer(l.id+"-a", l.id+"-b", "T10:00:00Z", "T10:30:00Z", "2.1", "3.3").Replace(l.lactate)
	h.load([]json.RawMessage{[]byte(own.Replace(testPatient)), []byte(own.Replace(testEncounter)), []byte(l.lactate), []byte(newer)})
	return l
}

// lactates are the values the chart holds, by resource.
func lactates(c *state.Chart) map[string]float64 {
	out := map[string]float64{}
	for _, m := range c.Measurements {
		if m.Concept == "lactate" {
			out[c.Records[m.Record].ID] = m.Value
		}
	}
	return out
}

func TestHAPIChangesAResource(t *testing.T) {
	h, m := hapiServer(t), testMapper(t)
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, name, resource string)
		value  float64 // of the changed lactate; 0: it is not in the chart
	}{
		{"it is amended: the new value counts", func(t *testing.T, name, resource string) {
			h.write(http.MethodPut, "/"+name, withLactate(t, resource, "9.7", "amended"))
		}, 9.7},
		{"it is changed in place, with a trailing zero", func(t *testing.T, name, resource string) {
			h.write(http.MethodPut, "/"+name, withLactate(t, resource, "9.70", "final"))
		}, 9.7},
		{"it is retracted: no value counts", func(t *testing.T, name, resource string) {
			h.write(http.MethodPut, "/"+name, withLactate(t, resource, "9.7", "entered-in-error"))
		}, 0},
		{"it is deleted: it is gone from searches", func(t *testing.T, name, _ string) {
			h.write(http.MethodDelete, "/"+name, "")
		}, 0},
		{"it is deleted and written anew", func(t *testing.T, name, resource string) {
			h.write(http.MethodDelete, "/"+name, "")
			h.write(http.MethodPut, "/"+name, withLactate(t, resource, "4.4", "corrected"))
		}, 4.4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := h.loaded()
			name := nameOf(t, json.RawMessage(l.lactate))
			tt.change(t, name, l.lactate)
			got, err := h.gather(m, l.id, l.stay, l.at, nil)
			if err != nil {
				t.Fatalf("%v: %+v", err, got.Manifest)
			}
			complete(t, got)
			values := lactates(got.Chart)
			if v, has := values[strings.TrimPrefix(name, "Observation/")]; v != tt.value || has != (tt.value != 0) {
				t.Errorf("lactate %v, want %v (0 is none)", v, tt.value)
			}
			want := 2
			if tt.value == 0 {
				want--
			}
			if len(values) != want {
				t.Errorf("%d lactates, want %d", len(values), want)
			}
		})
	}
}

// withLactate gives a lactate another value and status. Its issue time stays,
// as it does where a laboratory corrects in place.
func withLactate(t *testing.T, resource, value, status string) string {
	t.Helper()
	var r map[string]any
	if err := json.Unmarshal([]byte(resource), &r); err != nil {
		t.Fatal(err)
	}
	r["status"] = status
	r["valueQuantity"].(map[string]any)["value"] = json.Number(value)
	out, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestHAPIDeletesThePatient(t *testing.T) {
	h := hapiServer(t)
	l := h.loaded()
	h.write(http.MethodDelete, "/Patient/"+l.id, "")
	got, err := h.gather(testMapper(t), l.id, l.stay, l.at, nil)
	if !errors.Is(err, ErrUnobtainable) {
		t.Fatalf("error %v", err)
	}
	if p := part(t, got, KeyPatient); p.From != IsFailed || !strings.Contains(p.Why, "410") {
		t.Errorf("%+v", p)
	}
}

func TestHAPIIncludesTheMedicationThatADoseRefersTo(t *testing.T) {
	h, m := hapiServer(t), testMapper(t)
	l := h.loaded()
	h.load([]json.RawMessage{
		json.RawMessage(fmt.Sprintf(`{"resourceType":"Medication","id":"%s-bag","code":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"11149"}],"text":"vasopressin"}}`, l.id)),
		json.RawMessage(fmt.Sprintf(`{"resourceType":"MedicationAdministration","id":"%s-drip","status":"in-progress",
			"medicationReference":{"reference":"Medication/%s-bag"},"subject":{"reference":"Patient/%s"},
			"effectivePeriod":{"start":%q},"dosage":{"rateQuantity":{"value":0.03,"unit":"units/min","system":"http://unitsofmeasure.org","code":"[iU]/min"}}}`,
			l.id, l.id, l.id, l.at.Add(-time.Hour).Format(time.RFC3339))),
	})
	got, err := h.gather(m, l.id, l.stay, l.at, nil)
	if err != nil {
		t.Fatalf("%v: %+v", err, got.Manifest)
	}
	for _, a := range got.Chart.Administrations {
		if got.Chart.Records[a.Record].ID == l.id+"-drip" {
			if a.Drug != "vasopressin" || !a.RateKnown || a.Rate != 0.03 {
				t.Errorf("%+v", a)
			}
			return
		}
	}
	t.Errorf("the infusion is not in the chart: %+v", got.Chart.Rejects)
}
