// SPDX-License-Identifier: Apache-2.0

package bulk_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/fhir/bulk"
)

func TestFetchBringsTheWholeExport(t *testing.T) {
	s := newSite(t, withToken)
	cfg := s.config()
	local, err := bulk.Fetch(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	whole(t, cfg.Out)
	total := 0
	for _, f := range local.Files {
		total += f.Resources
		info, err := os.Stat(filepath.Join(cfg.Out, f.Name))
		if err != nil || info.Size() != f.Bytes || len(f.SHA256) != 64 || info.Mode().Perm() != 0o600 {
			t.Errorf("%+v is %v, %v", f, info, err)
		}
	}
	if total != len(resources()) || len(local.Files) != 7 || len(local.Absent) != 0 || local.TransactionTime.IsZero() {
		t.Errorf("%d resources in %d files, absent %v, as of %s", total, len(local.Files), local.Absent, local.TransactionTime)
	}
	data, err := os.ReadFile(filepath.Join(cfg.Out, bulk.LocalManifest))
	if err != nil || strings.Contains(string(data), secret) || strings.Contains(string(data), "/export/") {
		t.Errorf("the manifest holds secrets or links, %v:\n%s", err, data)
	}
	if info, err := os.Stat(cfg.Out); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder is %v, %v", info, err)
	}
	kick := s.requests(http.MethodGet, "$export")
	if len(kick) != 1 || kick[0].path != "/fhir/Patient/$export" || kick[0].header.Values("Prefer")[0] != "respond-async" || kick[0].header.Get("Accept") != "application/fhir+json" {
		t.Errorf("kick-off %+v", kick)
	}
	q, err := url.ParseQuery(kick[0].query)
	if err != nil || q.Get("_type") != "Medication,Observation,Patient" || q.Get("_outputFormat") != "application/fhir+ndjson" || q.Has("_since") {
		t.Errorf("parameters %v, %v", q, err)
	}
	if len(s.requests(http.MethodDelete, "")) != 0 {
		t.Error("an export that nobody asked to delete was deleted")
	}
	if _, err := bulk.Fetch(t.Context(), cfg); !errors.Is(err, bulk.ErrOccupied) {
		t.Errorf("a second export into the folder: %v", err)
	}
}

func TestASecondFetchIntoAFolderIsRefusedWhileOneRuns(t *testing.T) {
	s := newSite(t)
	cfg := s.config()
	second := cfg
	var refused []error
	cfg.Progress = func(bulk.Event) {
		_, err := bulk.Fetch(t.Context(), second)
		refused = append(refused, err)
	}
	if _, err := bulk.Fetch(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	for _, err := range refused {
		if !errors.Is(err, bulk.ErrOccupied) || !strings.Contains(err.Error(), "in use") {
			t.Fatalf("a second fetch: %v", err)
		}
	}
	if len(refused) == 0 || len(s.requests(http.MethodGet, "$export")) != 1 {
		t.Errorf("%d second fetches", len(refused))
	}
}

func TestWhatIsAskedForIsWhatTheCallerWants(t *testing.T) {
	tests := []struct {
		name      string
		change    func(*bulk.Config)
		path      string
		query     map[string]string
		resources int
	}{
		{"the whole system", func(c *bulk.Config) { c.Level = bulk.LevelSystem }, "/fhir/$export", nil, len(resources())},
		{"one group", func(c *bulk.Config) { c.Group = "icu" }, "/fhir/Group/icu/$export", nil, 2*(observations+1) + 1},
		{"one type", func(c *bulk.Config) { c.Types = []string{"Patient", "Patient"} }, "/fhir/Patient/$export", map[string]string{"_type": "Patient"}, patients},
		{"only what is new", func(c *bulk.Config) { c.Since = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }, "/fhir/Patient/$export", map[string]string{"_since": "2026-01-02T03:04:05Z"}, 0},
		{"a search", func(c *bulk.Config) { c.TypeFilters = []string{"Observation?category=vital-signs,laboratory"} }, "/fhir/Patient/$export",
			map[string]string{"_typeFilter": "Observation?category=vital-signs,laboratory"}, len(resources())},
		{"a base that ends with a slash", func(c *bulk.Config) { c.Server += "/" }, "/fhir/Patient/$export", nil, len(resources())},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			s := newSite(t)
			cfg := s.config()
			tc.change(&cfg)
			local, err := bulk.Fetch(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			kick := s.requests(http.MethodGet, "$export")[0]
			q, err := url.ParseQuery(kick.query)
			if err != nil || kick.path != tc.path {
				t.Errorf("asked %s, %v", kick.path, err)
			}
			for k, v := range tc.query {
				if q.Get(k) != v {
					t.Errorf("%s is %q, want %q", k, q.Get(k), v)
				}
			}
			n := 0
			for _, f := range local.Files {
				n += f.Resources
			}
			if n != tc.resources {
				t.Errorf("%d resources, want %d", n, tc.resources)
			}
		})
	}
}

func TestTypesOfWhichNothingCameAreNamed(t *testing.T) {
	s := newSite(t)
	cfg := s.config()
	cfg.Types = append(cfg.Types, "Procedure")
	local, err := bulk.Fetch(t.Context(), cfg)
	if err != nil || len(local.Absent) != 1 || local.Absent[0] != "Procedure" {
		t.Errorf("%+v, %v", local, err)
	}
}

func TestTypesThatAServerRefusesAreLeftOutWhereTheyAreOptional(t *testing.T) {
	s := newSite(t, before(func(w http.ResponseWriter, r *http.Request, step string) bool {
		refused := step == "kick-off" && strings.Contains(r.URL.Query().Get("_type"), "Medication")
		if refused {
			w.WriteHeader(http.StatusBadRequest)
		}
		return refused
	}))
	cfg := s.config()
	if _, err := bulk.Fetch(t.Context(), cfg); !errors.Is(err, bulk.ErrRefused) || len(s.asked) != 1 {
		t.Errorf("%v after %d requests", err, len(s.asked))
	}
	cfg.Optional = []string{"Medication"}
	local, err := bulk.Fetch(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(local.Absent) != 1 || local.Absent[0] != "Medication" || len(local.Types) != 3 || len(local.Refused) != 1 || local.Refused[0] != "Medication" || !strings.Contains(s.said(), "without Medication") {
		t.Errorf("absent %v of %v, said %q", local.Absent, local.Types, s.said())
	}
	cfg = s.config()
	cfg.Types, cfg.Optional = []string{"Medication"}, []string{"Medication"}
	if _, err := bulk.Fetch(t.Context(), cfg); !errors.Is(err, bulk.ErrRefused) {
		t.Errorf("nothing is left to ask for: %v", err)
	}
}

func TestWhatCannotWorkIsRefusedBeforeAnythingIsSent(t *testing.T) {
	tests := []struct {
		name   string
		change func(*bulk.Config)
		says   string
	}{
		{"no server", func(c *bulk.Config) { c.Server = "" }, "absolute"},
		{"a server that is a file", func(c *bulk.Config) { c.Server = "file:///etc/passwd" }, "absolute"},
		{"a password in the address", func(c *bulk.Config) { c.Server = "https://u:hunter2@ehr.example/fhir" }, "token file"},
		{"a query in the address", func(c *bulk.Config) { c.Server = "https://ehr.example/fhir?key=hunter2" }, "base"},
		{"a token in clear text", func(c *bulk.Config) { c.Server, c.Tokens = "http://ehr.example/fhir", token("t") }, "clear text"},
		{"a token origin in clear text", func(c *bulk.Config) { c.Tokens, c.TokenOrigins = token("t"), []string{"http://files.example"} }, "clear text"},
		{"a token origin with a path", func(c *bulk.Config) { c.TokenOrigins = []string{"https://files.example/x"} }, "token origin"},
		{"no types", func(c *bulk.Config) { c.Types = nil }, "types"},
		{"a type that is a path", func(c *bulk.Config) { c.Types = []string{"../Patient"} }, "not a resource type"},
		{"a group that is a path", func(c *bulk.Config) { c.Group = "a/../b" }, "Group"},
		{"a group level without a group", func(c *bulk.Config) { c.Level = bulk.LevelGroup }, "group"},
		{"an unknown level", func(c *bulk.Config) { c.Level = "planet" }, "planet"},
		{"a filter of a type that is not asked for", func(c *bulk.Config) { c.TypeFilters = []string{"Goal?x=y"} }, "filter"},
		{"no folder", func(c *bulk.Config) { c.Out = "" }, "folder"},
		{"a time below zero", func(c *bulk.Config) { c.Timeout = -1 }, "below zero"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			s := newSite(t)
			cfg := s.config()
			tc.change(&cfg)
			_, err := bulk.Fetch(t.Context(), cfg)
			if !errors.Is(err, bulk.ErrConfig) || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v, want one that says %q and no secret", err, tc.says)
			}
			if len(s.asked) != 0 {
				t.Errorf("asked %+v", s.asked)
			}
		})
	}
}

func TestAFolderWithSomethingElseInItIsLeftAlone(t *testing.T) {
	s := newSite(t)
	cfg := s.config()
	if err := os.MkdirAll(filepath.Join(cfg.Out, "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cfg.Out, "below", "other.ndjson.gz"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := bulk.Fetch(t.Context(), cfg); !errors.Is(err, bulk.ErrOccupied) || len(s.asked) != 0 {
		t.Errorf("%v after %d requests", err, len(s.asked))
	}
}

func TestTheServerIsToldWhenItMayDelete(t *testing.T) {
	s := newSite(t)
	cfg := s.config()
	cfg.Delete = true
	if _, err := bulk.Fetch(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if s.jobs() != 0 {
		t.Error("the server still has the export")
	}
	whole(t, cfg.Out)
}

func TestStoppingWhileTheServerPreparesCancelsThere(t *testing.T) {
	s := newSite(t, before(func(w http.ResponseWriter, _ *http.Request, step string) bool {
		if step == "status" {
			w.Header().Set("X-Progress", "12 % of the files")
			w.WriteHeader(http.StatusAccepted)
		}
		return step == "status"
	}))
	ctx, stop := context.WithCancel(t.Context())
	cfg := s.config()
	tell := cfg.Progress
	cfg.Progress = func(e bulk.Event) {
		tell(e)
		if e.Waiting != "" {
			stop()
		}
	}
	if _, err := bulk.Fetch(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if s.jobs() != 0 || len(names(t, cfg.Out)) != 0 {
		t.Errorf("%d exports on the server, %v in the folder", s.jobs(), names(t, cfg.Out))
	}
	if said := s.said(); !strings.Contains(said, "12 % of the files") || !strings.Contains(said, "cancelled on the server") {
		t.Errorf("said %q", said)
	}
}

func TestTheWholeFetchIsBounded(t *testing.T) {
	s := newSite(t, before(func(w http.ResponseWriter, _ *http.Request, step string) bool {
		if step == "status" {
			w.WriteHeader(http.StatusAccepted)
		}
		return step == "status"
	}))
	cfg := s.config()
	cfg.Timeout, cfg.Pause, cfg.MaxPoll = 30*time.Millisecond, nil, time.Millisecond
	if _, err := bulk.Fetch(t.Context(), cfg); !errors.Is(err, bulk.ErrLate) || !strings.Contains(err.Error(), "longer timeout") {
		t.Errorf("error %v", err)
	}
	if s.jobs() != 1 {
		t.Error("the export was not kept for the next call")
	}
	s.options.Before = nil
}

func TestTheLocalManifestReadsBack(t *testing.T) {
	s := newSite(t)
	cfg := s.config()
	want, err := bulk.Fetch(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(cfg.Out, bulk.LocalManifest))
	if err != nil {
		t.Fatal(err)
	}
	var got bulk.Local
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if got.Server != s.server.URL+"/fhir" || got.Level != bulk.LevelPatient || len(got.Files) != len(want.Files) || got.Files[0] != want.Files[0] || !got.TransactionTime.Equal(want.TransactionTime) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
