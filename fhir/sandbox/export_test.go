// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func exporter(t *testing.T, change func(*ExportConfig)) (*Export, func(method, path string, header map[string]string) *http.Response) {
	t.Helper()
	cfg := ExportConfig{BaseURL: "http://ehr.example/fhir", Groups: map[string][]string{"g": {"a"}}, Resources: []json.RawMessage{
		json.RawMessage(`{"resourceType":"Patient","id":"a","meta":{"lastUpdated":"2026-01-02T00:00:00Z"}}`),
		json.RawMessage(`{"resourceType":"Patient","id":"b"}`),
		json.RawMessage(`{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/b"}}`),
	}}
	if change != nil {
		change(&cfg)
	}
	e, err := NewExport(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e, func(method, path string, header map[string]string) *http.Response {
		r := httptest.NewRequest(method, path, nil)
		for k, v := range header {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		e.Handler().ServeHTTP(w, r)
		return w.Result()
	}
}

var async = map[string]string{"Prefer": "respond-async"}

func TestAnExportIsWhatTheGuideSays(t *testing.T) {
	tests := []struct {
		name, query string
		types       []string // of the files
	}{
		{"everything", "/fhir/$export", []string{"Observation", "Patient"}},
		{"all patients", "/fhir/Patient/$export", []string{"Observation", "Patient"}},
		{"a group", "/fhir/Group/g/$export", []string{"Patient"}},
		{"a type", "/fhir/$export?_type=Observation", []string{"Observation"}},
		{"what is new", "/fhir/$export?_since=2026-01-01T00:00:00Z", []string{"Patient"}},
		{"nothing", "/fhir/$export?_type=Goal", nil},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			e, ask := exporter(t, nil)
			started := ask(http.MethodGet, tc.query, async)
			if started.StatusCode != http.StatusAccepted {
				t.Fatalf("kick-off answers %d", started.StatusCode)
			}
			status := strings.TrimPrefix(started.Header.Get("Content-Location"), "http://ehr.example")
			var m struct {
				TransactionTime     string
				Request             string
				RequiresAccessToken *bool
				Output              []struct {
					Type, URL string
					Count     int
				}
				Error []any
			}
			body := ask(http.MethodGet, status, nil)
			if err := json.NewDecoder(body.Body).Decode(&m); err != nil || body.Header.Get("Content-Type") != "application/json" {
				t.Fatal(err)
			}
			if m.TransactionTime == "" || m.RequiresAccessToken == nil || *m.RequiresAccessToken || m.Error == nil || m.Request != "http://ehr.example"+tc.query {
				t.Errorf("manifest %+v", m)
			}
			var types []string
			for _, f := range m.Output {
				types = append(types, f.Type)
				file := ask(http.MethodGet, strings.TrimPrefix(f.URL, "http://ehr.example"), nil)
				lines, err := io.ReadAll(file.Body)
				if err != nil || strings.Count(string(lines), "\n") != f.Count || file.Header.Get("Content-Type") != "application/fhir+ndjson" {
					t.Errorf("%s: %q, %v", f.URL, lines, err)
				}
			}
			if strings.Join(types, " ") != strings.Join(tc.types, " ") {
				t.Errorf("types %v, want %v", types, tc.types)
			}
			if got := ask(http.MethodDelete, status, nil).StatusCode; got != http.StatusAccepted || e.Jobs() != 0 {
				t.Errorf("delete answers %d and leaves %d", got, e.Jobs())
			}
			for _, method := range []string{http.MethodGet, http.MethodDelete} {
				if got := ask(method, status, nil).StatusCode; got != http.StatusNotFound {
					t.Errorf("%s afterwards answers %d", method, got)
				}
			}
		})
	}
}

func TestAnExportThatIsAskedForWronglyIsRefused(t *testing.T) {
	tests := []struct {
		name, query string
		header      map[string]string
		status      int
	}{
		{"without Prefer", "/fhir/$export", nil, http.StatusBadRequest},
		{"since no instant", "/fhir/$export?_since=soon", async, http.StatusBadRequest},
		{"of no group", "/fhir/Group/x/$export", async, http.StatusNotFound},
		{"of an encounter", "/fhir/Encounter/$export", async, http.StatusNotFound},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			_, ask := exporter(t, nil)
			got := ask(http.MethodGet, tc.query, tc.header)
			body, err := io.ReadAll(got.Body)
			if err != nil || got.StatusCode != tc.status || !strings.Contains(string(body), "OperationOutcome") {
				t.Errorf("answers %d, %s, %v", got.StatusCode, body, err)
			}
		})
	}
}

func TestAnExportWithATokenShowsNothingWithoutIt(t *testing.T) {
	_, ask := exporter(t, func(c *ExportConfig) { c.Token = "t" })
	for _, path := range []string{"/fhir/$export", "/fhir/export/x", "/fhir/export/x/Patient.1.ndjson"} {
		for _, auth := range []string{"", "Bearer other", "t"} {
			if got := ask(http.MethodGet, path, map[string]string{"Authorization": auth, "Prefer": "respond-async"}); got.StatusCode != http.StatusUnauthorized || got.Header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s with %q answers %d", path, auth, got.StatusCode)
			}
		}
	}
	if got := ask(http.MethodGet, "/fhir/$export", map[string]string{"Authorization": "Bearer t", "Prefer": "respond-async"}); got.StatusCode != http.StatusAccepted {
		t.Errorf("with the token: %d", got.StatusCode)
	}
}

func TestResourcesOfAFolderThatAreNone(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.ndjson"), []byte("{\"id\":\"1\"}\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	resources, err := FolderResources(dir)
	if err != nil || len(resources) != 1 {
		t.Fatalf("%s, %v", resources, err)
	}
	if _, err := NewExport(ExportConfig{Resources: resources}); !errors.Is(err, ErrConfig) {
		t.Errorf("error %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "y.ndjson.gz"), []byte("no gzip"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := FolderResources(dir); !errors.Is(err, ErrConfig) {
		t.Errorf("error %v", err)
	}
}
