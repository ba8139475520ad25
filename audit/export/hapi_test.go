// SPDX-License-Identifier: Apache-2.0

package export

// This file: every resource of an export, judged by a FHIR server that is not
// ours. `.ci/hapi/run` starts one and sets SEPSISAGENT_HAPI to its base; without
// it the test skips.

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
)

func TestHAPIFindsNoErrorInWhatIsExported(t *testing.T) {
	base := os.Getenv("SEPSISAGENT_HAPI")
	if base == "" {
		t.Skip("no HAPI server: SEPSISAGENT_HAPI is not set (.ci/hapi/run starts one)")
	}
	for _, line := range bytes.Split(bytes.TrimSpace(export(t, FHIR)), []byte("\n")) {
		var r struct{ ResourceType, ID string }
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		for _, issue := range judged(t, base, r.ResourceType, line) {
			if issue.Severity == "error" || issue.Severity == "fatal" {
				t.Errorf("%s %s: %s at %v", r.ResourceType, r.ID, issue.Diagnostics, issue.Location)
			} else {
				t.Logf("%s %s: %s: %s at %v", r.ResourceType, r.ID, issue.Severity, issue.Diagnostics, issue.Location)
			}
		}
	}
	// One that is wrong is found to be wrong, or the test proves nothing.
	found := false
	for _, issue := range judged(t, base, "AuditEvent", []byte(`{"resourceType":"AuditEvent","id":"x","type":{"code":"rest"},"recorded":"yesterday","agent":[]}`)) {
		found = found || issue.Severity == "error" || issue.Severity == "fatal"
	}
	if !found {
		t.Error("the server finds no error in a wrong AuditEvent")
	}
}

type issue struct {
	Severity, Diagnostics string
	Location              []string
}

// judged asks the server what it thinks of a resource.
func judged(t *testing.T, base, kind string, resource []byte) []issue {
	t.Helper()
	res, err := http.Post(base+"/"+kind+"/$validate", "application/fhir+json", bytes.NewReader(resource))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var outcome struct {
		ResourceType string
		Issue        []issue
	}
	if err := json.Unmarshal(text, &outcome); err != nil || outcome.ResourceType != "OperationOutcome" || len(outcome.Issue) == 0 {
		t.Fatalf("the server answered %d %.500s", res.StatusCode, text)
	}
	return outcome.Issue
}

func TestHAPIFindsNoErrorInASearchset(t *testing.T) {
	base := os.Getenv("SEPSISAGENT_HAPI")
	if base == "" {
		t.Skip("no HAPI server: SEPSISAGENT_HAPI is not set (.ci/hapi/run starts one)")
	}
	log, _ := newLog(t)
	for _, query := range []string{day + "_count=3", "date=2020", "nonsense=1"} {
		w := httptest.NewRecorder()
		h := &Handler{Site: site, Log: log, Failed: func(err error) { t.Error(err) }, Admit: func(http.ResponseWriter, *http.Request, *Search) func(context.Context, int) error {
			return func(context.Context, int) error { return nil }
		}}
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/fhir/AuditEvent?"+query, nil))
		kind := "Bundle"
		if w.Code != http.StatusOK {
			kind = "OperationOutcome"
		}
		for _, issue := range judged(t, base, kind, w.Body.Bytes()) {
			if issue.Severity == "error" || issue.Severity == "fatal" {
				t.Errorf("%s: %s at %v", query, issue.Diagnostics, issue.Location)
			}
		}
	}
}
