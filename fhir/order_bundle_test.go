// SPDX-License-Identifier: Apache-2.0

package fhir

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestOrdersWithinOtherResourcesAreReadOrSaidNotToBe(t *testing.T) {
	m := testMapper(t)
	bundled := string(draftBundle(draftOf("inside", norepi+`,`+perKg("0.1"))))
	for _, tt := range []struct {
		name, resource string
		ids            []string // of the drafts
		unread         bool     // the last of them
	}{
		{"a Bundle within the Bundle", bundled, []string{"MedicationRequest/own", "MedicationRequest/inside"}, false},
		{"a Bundle within a Bundle within it", string(draftBundle(bundled)), []string{"MedicationRequest/own", "MedicationRequest/inside"}, false},
		{"a group with an order in itself", `{"resourceType":"RequestGroup","id":"g","contained":[{"resourceType":"MedicationRequest","id":"x"}]}`,
			[]string{"MedicationRequest/own", "RequestGroup/g"}, true},
		{"a group of an order that is in the Bundle", `{"resourceType":"RequestGroup","id":"g","action":[{"resource":{"reference":"MedicationRequest/own"}}]}`,
			[]string{"MedicationRequest/own"}, false},
		{"a group of an order that is elsewhere", `{"resourceType":"RequestGroup","id":"g","action":[{"action":[{"resource":{"reference":"https://ehr.example/fhir/MedicationRequest/other"}}]}]}`,
			[]string{"MedicationRequest/own", "RequestGroup/g"}, true},
		{"a plan with an order in place", `{"resourceType":"CarePlan","id":"c","activity":[{"detail":{"kind":"MedicationRequest"}}]}`,
			[]string{"MedicationRequest/own", "CarePlan/c"}, true},
		{"another order that is based on one", `{"resourceType":"ServiceRequest","id":"s","basedOn":[{"reference":"MedicationRequest/other"}]}`,
			[]string{"MedicationRequest/own"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			read, err := m.ReadDrafts(draftBundle(draftOf("own", norepi), tt.resource), DraftsFor{PatientID: "p"})
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			drafts := m.Drafts(read.Records)
			for _, d := range drafts {
				ids = append(ids, d.ID)
			}
			if last := drafts[len(drafts)-1]; !slices.Equal(ids, tt.ids) || last.Unread != tt.unread || tt.unread && !strings.Contains(last.Skip, "is not read") {
				t.Errorf("%v, the last unread %v: %s", ids, last.Unread, last.Skip)
			}
		})
	}
	deep := bundled
	for range maxBundles {
		deep = string(draftBundle(deep))
	}
	if _, err := m.ReadDrafts(draftBundle(deep), DraftsFor{PatientID: "p"}); !errors.Is(err, ErrMalformed) {
		t.Errorf("Bundles without end: %v", err)
	}
	stranger := string(draftBundle(strings.Replace(draftOf("inside", norepi), "Patient/p", "Patient/q", 1)))
	if _, err := m.ReadDrafts(draftBundle(stranger), DraftsFor{PatientID: "p"}); !errors.Is(err, ErrWrongPatient) {
		t.Errorf("an order of another patient within a Bundle: %v", err)
	}
}

func TestASubjectByIdentifierIsCompared(t *testing.T) {
	m := testMapper(t)
	const patient = `{"resourceType":"Patient","id":"p","identifier":[{"system":"urn:mrn","value":"1"},{"system":"urn:mrn","value":"1-old"},{"system":"urn:ssn","value":"9"}]}`
	for _, tt := range []struct {
		name, subject, patient string
		wrong, unknown         bool
	}{
		{"the patient's own", `{"identifier":{"system":"urn:mrn","value":"1"}}`, patient, false, false},
		{"an older one of the patient", `{"identifier":{"system":"urn:mrn","value":"1-old"}}`, patient, false, false},
		{"without a system, the value of one", `{"identifier":{"value":"9"}}`, patient, false, false},
		{"another patient's", `{"identifier":{"system":"urn:mrn","value":"2"}}`, patient, true, false},
		{"of a system that the chart has not", `{"identifier":{"system":"urn:visit","value":"2"}}`, patient, false, true},
		{"without a system and of no value that is known", `{"identifier":{"value":"2"}}`, patient, false, true},
		{"nothing to compare with", `{"identifier":{"system":"urn:mrn","value":"2"}}`, "", false, true},
		{"a Patient of another id to compare with", `{"identifier":{"system":"urn:mrn","value":"1"}}`, strings.Replace(patient, `"p"`, `"q"`, 1), false, true},
		{"a reference goes before", `{"reference":"Patient/p","identifier":{"system":"urn:visit","value":"2"}}`, patient, false, false},
		{"no identifier", `{"display":"somebody"}`, patient, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			order := strings.Replace(draftOf("o", norepi), `{"reference":"Patient/p"}`, tt.subject, 1)
			read, err := m.ReadDrafts(draftBundle(order), DraftsFor{PatientID: "p", Patient: json.RawMessage(tt.patient)})
			if errors.Is(err, ErrWrongPatient) != tt.wrong || !tt.wrong && err != nil {
				t.Fatal(err)
			}
			if err == nil && (m.Drafts(read.Records)[0].Whose != "") != tt.unknown {
				t.Errorf("whose: %q", m.Drafts(read.Records)[0].Whose)
			}
		})
	}
}

func TestAMedicationOutsideTheBundleIsReadOrItsOrderIsSaidNotToBe(t *testing.T) {
	m := testMapper(t)
	d := newDesk(t, func(w http.ResponseWriter, r *http.Request, _ int64) bool {
		switch r.URL.Path {
		case "/fhir/Medication/m1":
			fmt.Fprint(w, `{"resourceType":"Medication","id":"m1","code":{"text":"norepinephrine"}}`)
		case "/fhir/Medication/m2":
			fmt.Fprint(w, `{"resourceType":"Medication","id":"other","code":{"text":"norepinephrine"}}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
		return true
	})
	q := DraftsFor{PatientID: "p", Base: d.URL + "/fhir"}
	drafts := draftBundle(
		draftOf("relative", `"medicationReference":{"reference":"Medication/m1"},`+perKg("0.1")),
		draftOf("absolute", `"medicationReference":{"reference":"`+d.URL+`/fhir/Medication/m1"},`+perKg("0.1")),
		draftOf("another", `"medicationReference":{"reference":"Medication/m2"},`+perKg("0.1")),
		draftOf("gone", `"medicationReference":{"reference":"Medication/m3"}`),
		draftOf("foreign", `"medicationReference":{"reference":"https://elsewhere.example/Medication/m4"}`),
		draftOf("dangling", `"medicationReference":{"reference":"#m"}`),
		draftOf("words", `"medicationReference":{"reference":"Medication/m5","display":"paracetamol"}`))
	read, err := m.ReadDrafts(drafts, q)
	if err != nil || !slices.Equal(read.Wanted, []string{"m1", "m2", "m3"}) {
		t.Fatalf("wanted %v, %v", read.Wanted, err)
	}
	for _, one := range m.Drafts(read.Records)[:6] {
		if !one.Unread || one.Skip != faultByReference {
			t.Errorf("%s passes in silence: %+v", one.ID, one)
		}
	}
	for name, access := range map[string]Access{
		"no token": {}, "no scope for it": {Token: "secret", Scope: "patient/Observation.rs"}, "a token of another patient": {Token: "secret", Patient: "q"},
	} {
		before := d.asked.Load()
		if got := m.FetchMedications(context.Background(), GatherRequest{From: d.server(t, nil), Access: access, PatientID: "p"}, read.Wanted); got != nil || d.asked.Load() != before {
			t.Errorf("%s: %s", name, got)
		}
	}
	q.Medications = m.FetchMedications(context.Background(), GatherRequest{From: d.server(t, nil), Access: Access{Token: "secret"}, PatientID: "p"}, read.Wanted)
	if len(q.Medications) != 1 {
		t.Fatalf("%d medications came, of which one is what was asked for", len(q.Medications))
	}
	if read, err = m.ReadDrafts(drafts, q); err != nil {
		t.Fatal(err)
	}
	for i, one := range m.Drafts(read.Records) {
		if had := i < 2; had && (one.Drug != "norepinephrine" || !one.RateKnown) || one.Unread != (i >= 2 && i < 6) {
			t.Errorf("%s: %+v", one.ID, one)
		}
	}
	before := d.asked.Load()
	var many []string
	for i := range 3 * maxMedications {
		many = append(many, fmt.Sprint("m", i+10))
	}
	m.FetchMedications(context.Background(), GatherRequest{From: d.server(t, nil), Access: Access{Token: "secret"}, PatientID: "p"}, many)
	if n := d.asked.Load() - before; n > maxMedications {
		t.Errorf("%d reads for one call", n)
	}
}
