// SPDX-License-Identifier: Apache-2.0

package main

// This file: /fhir/AuditEvent under the access check of the log's API.

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/access"
)

func TestAuditEventsAreSearchedByWhoMayAndTheSearchIsRecorded(t *testing.T) {
	h, appends := newAPIHouse(t)
	const day = "/fhir/AuditEvent?date=2026-11-22"
	for _, tc := range []struct {
		name, path, role, reason string
		status                   int
		says                     string
	}{
		{"an auditor, everything", day, "auditor", "", 200, `"searchset"`},
		{"an auditor, a patient", day + "&patient=p1", "auditor", because, 403, "OperationOutcome"},
		{"an auditor, an encounter", day + "&entity=Encounter/e1", "auditor", because, 403, "OperationOutcome"},
		{"an investigator, a patient with a reason", day + "&patient=Patient/p1", "investigator", because, 200, `"id":"id-1"`},
		{"an investigator, a patient without", day + "&patient=p1", "investigator", "", 403, "reason"},
		{"an investigator, everything", day, "investigator", because, 403, "OperationOutcome"},
		{"an operator", day, "operator", because, 403, "OperationOutcome"},
		{"nobody", day, "", "", 401, "OperationOutcome"},
		{"nobody, in words that are no search", "/fhir/AuditEvent?x=1", "", "", 401, "OperationOutcome"},
		{"an auditor, in words that are no search", "/fhir/AuditEvent?x=1", "auditor", "", 400, "not a parameter"},
		{"an operator, in words that are no search", "/fhir/AuditEvent?x=1", "operator", because, 403, "OperationOutcome"},
		{"nobody, another resource", "/fhir/Patient/p1", "", "", 401, "OperationOutcome"},
		{"an auditor, another resource", "/fhir/Patient/p1", "auditor", "", 404, "OperationOutcome"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			token := ""
			if tc.role != "" {
				token = h.token(tc.name, tc.role)
			}
			var headers []string
			if tc.reason != "" {
				headers = []string{access.ReasonHeader, tc.reason}
			}
			status, body := h.call("GET", tc.path, token, headers...)
			if status != tc.status || !strings.Contains(body, tc.says) {
				t.Errorf("%d %s", status, body)
			}
			if status != 200 && (strings.Contains(body, "id-") || strings.Contains(body, "secret")) {
				t.Errorf("a refusal tells: %s", body)
			}
		})
	}
	rows, err := h.log.Query(t.Context(), audit.Filter{Kind: access.KindRead, Patient: "Patient/p1"})
	if err != nil || len(rows) == 0 {
		t.Errorf("the search for a patient is on record %d times, %v", len(rows), err)
	}
	if status, body := h.call("POST", day, h.token("x", "auditor")); status != 405 {
		t.Errorf("POST: %d %s", status, body)
	}
	if status, body := h.call("POST", day, ""); status != 401 || strings.Contains(body, "POST") {
		t.Errorf("POST of nobody: %d %s", status, body)
	}
	appends.err = errors.New("disk full")
	if status, body := h.call("GET", day, h.token("y", "auditor")); status != 500 || strings.Contains(body, "id-") || strings.Contains(body, "disk") {
		t.Errorf("a reading that could not be recorded was answered: %d %s", status, body)
	}
}

func TestAuditEventsAreSearchedByFormSoThatNoAddressNamesAPatient(t *testing.T) {
	h, _ := newAPIHouse(t)
	post := func(path, token, kind, form string, headers ...string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.base+path, strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", kind)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(body)
	}
	const form, search = "application/x-www-form-urlencoded", "/fhir/AuditEvent/_search"
	for _, tc := range []struct {
		name, path, kind, form, role string
		status                       int
		says                         string
	}{
		{"an investigator, a patient", search, form, "date=2026-11-22&patient=p1", "investigator", 200, `"id":"id-1"`},
		{"what the address says counts too", search + "?date=2026-11-22", form + "; charset=utf-8", "patient=p1", "investigator", 200, `"id":"id-1"`},
		{"what is said twice", search + "?patient=p1", form, "date=2026-11-22&patient=p0", "investigator", 400, "twice"},
		{"an auditor, a patient", search, form, "date=2026-11-22&patient=p1", "auditor", 403, "OperationOutcome"},
		{"an auditor, everything", search, form, "date=2026-11-22", "auditor", 200, "searchset"},
		{"no form", search, "application/json", "{}", "auditor", 415, "form"},
		{"half a form", search, form, "date=%zz", "auditor", 400, "OperationOutcome"},
		{"too much of a form", search, form, "date=2026-11-22&agent=" + strings.Repeat("a", 70_000), "auditor", 413, "longer"},
		{"too much of a form, of nobody", search, form, strings.Repeat("a", 70_000), "", 401, "OperationOutcome"},
		{"nobody", search, form, "date=2026-11-22", "", 401, "OperationOutcome"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			token := ""
			if tc.role != "" {
				token = h.token(tc.name, tc.role)
			}
			status, body := post(tc.path, token, tc.kind, tc.form, access.ReasonHeader, because)
			if status != tc.status || !strings.Contains(body, tc.says) {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	if status, body := h.call("GET", search+"?date=2026-11-22", h.token("g", "auditor")); status != 405 {
		t.Errorf("GET: %d %s", status, body)
	}
	rows, err := h.log.Query(t.Context(), audit.Filter{Kind: access.KindRead, Patient: "Patient/p1"})
	if err != nil || len(rows) < 3 {
		t.Errorf("the searches for a patient are on record %d times, %v", len(rows), err)
	}
}

func TestOneAuditEventIsReadByWhoMayAndTheReadingIsRecorded(t *testing.T) {
	h, appends := newAPIHouse(t)
	const one = "/fhir/AuditEvent/id-1"
	for _, tc := range []struct {
		name, path, role string
		headers          []string
		status           int
		says             string
	}{
		{"an auditor", one, "auditor", nil, 200, `"id":"id-1"`},
		{"an auditor, of what there is not", "/fhir/AuditEvent/none", "auditor", nil, 404, "not-found"},
		{"an investigator who names the patient and why", one, "investigator", []string{access.ReasonHeader, because, patientHeader, "p1"}, 200, `"id":"id-1"`},
		{"an investigator who names another", one, "investigator", []string{access.ReasonHeader, because, patientHeader, "p0"}, 404, "not-found"},
		{"an investigator who names nobody", one, "investigator", []string{access.ReasonHeader, because}, 404, "not-found"},
		{"an investigator who does not say why", one, "investigator", []string{patientHeader, "p1"}, 403, "reason"},
		{"an operator", one, "operator", []string{access.ReasonHeader, because}, 403, "forbidden"},
		{"a patient in the address", one + "?patient=p1", "auditor", nil, 400, "address"},
		{"nobody", one, "", nil, 401, "login"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			token := ""
			if tc.role != "" {
				token = h.token(tc.name, tc.role)
			}
			status, body := h.call("GET", tc.path, token, tc.headers...)
			if status != tc.status || !strings.Contains(body, tc.says) || strings.Contains(body, "secret") {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	if status, body := h.call("DELETE", one, h.token("d", "auditor")); status != 405 {
		t.Errorf("DELETE: %d %s", status, body)
	}
	rows, err := h.log.Query(t.Context(), audit.Filter{Kind: access.KindRead, Refers: "id-1"})
	if err != nil || len(rows) != 2 {
		t.Errorf("the readings of the record are on record %d times, %v", len(rows), err)
	}
	appends.err = errors.New("disk full")
	if status, body := h.call("GET", one, h.token("y", "auditor")); status != 500 || strings.Contains(body, "id-1") || strings.Contains(body, "disk") {
		t.Errorf("a reading that could not be recorded was answered: %d %s", status, body)
	}
}
