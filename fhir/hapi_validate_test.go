// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: what Write writes, judged by HAPI's validator.

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/physiology"
)

// notCounted are warnings that say nothing about the resource: advice on good
// style, and code systems that this server does not have.
var notCounted = []string{"Best Practice", "http://loinc.org", "http://snomed.info/sct", "http://www.nlm.nih.gov/research/umls/rxnorm", "http://hl7.org/fhir/sid/icd-10-cm"}

// complaints are the errors and warnings that HAPI has about a resource.
func (h *hapi) complaints(raw json.RawMessage) []string {
	h.t.Helper()
	status, body := h.call(http.MethodPost, "/"+kindOf(raw)+"/$validate", raw)
	var out struct {
		Issue []struct {
			Severity, Diagnostics string
			Location              []string
		}
	}
	if err := json.Unmarshal(body, &out); err != nil || len(out.Issue) == 0 {
		h.t.Fatalf("$validate: %d %.500s", status, body)
	}
	var found []string
	for _, issue := range out.Issue {
		known := slices.ContainsFunc(notCounted, func(words string) bool { return strings.Contains(issue.Diagnostics, words) })
		if issue.Severity == "error" || issue.Severity == "fatal" || issue.Severity == "warning" && !known {
			found = append(found, fmt.Sprintf("%s at %v: %s", issue.Severity, issue.Location, issue.Diagnostics))
		}
	}
	return found
}

func TestHAPIFindsWhatIsWrittenValid(t *testing.T) {
	h := hapiServer(t)
	judged := map[string]bool{} // by form
	for _, style := range []Style{
		{},
		{SI: true, FiO2Fraction: true, SplitPressure: true, CodedScores: true, VasopressinPerHour: true, Rate: RateMlH, OffsetMin: 330},
		{Fahrenheit: true, Pounds: true, Rate: RateRatio, OffsetMin: -300},
		{Rate: RatePerMin, PersonName: "Ann Example"},
	} {
		for _, scenario := range []physiology.Scenario{physiology.RefractoryShock, physiology.MissingData} {
			resources, err := Write(simulated(t, scenario, 9).Chart(), style)
			if err != nil {
				t.Fatal(err)
			}
			for _, raw := range resources {
				form := formOf(raw)
				if judged[form] {
					continue
				}
				judged[form] = true
				for _, c := range h.complaints(raw) {
					t.Errorf("%s\n%s", c, raw)
				}
			}
		}
	}
	t.Logf("%d forms of resources were judged", len(judged))
}

func TestHAPIFindsABrokenResourceInvalid(t *testing.T) {
	h := hapiServer(t)
	broken := json.RawMessage(`{"resourceType":"MedicationAdministration","status":"completed","medicationCodeableConcept":{"text":"x"},
		"subject":{"reference":"Patient/p"},"effectiveDateTime":"2026-03-01T10:00:00Z","dosage":{"text":"no dose and no rate"}}`)
	if list := h.complaints(broken); len(list) != 1 || !strings.Contains(list[0], "mad-1") {
		t.Errorf("%v", list)
	}
}

// formOf tells resources apart that are built differently: by type, members,
// code and unit.
func formOf(raw json.RawMessage) string {
	var form strings.Builder
	form.WriteString(kindOf(raw))
	eachMember(raw, func(name string, value []byte) {
		form.WriteString(" " + name)
		switch {
		case name == "code" || strings.HasPrefix(name, "medication"):
			form.Write(value)
		case name == "valueQuantity":
			eachMember(value, func(name string, value []byte) {
				if name == "code" {
					form.Write(value)
				}
			})
		case name == "dosage":
			eachMember(value, func(name string, _ []byte) { form.WriteString(" " + name) })
		}
	})
	return form.String()
}
