// SPDX-License-Identifier: Apache-2.0

package main

// This file: GET /fhir/AuditEvent under the access check of the log's API.

import (
	"errors"
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
	appends.err = errors.New("disk full")
	if status, body := h.call("GET", day, h.token("y", "auditor")); status != 500 || strings.Contains(body, "id-") || strings.Contains(body, "disk") {
		t.Errorf("a reading that could not be recorded was answered: %d %s", status, body)
	}
}
