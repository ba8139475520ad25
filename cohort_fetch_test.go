// SPDX-License-Identifier: Apache-2.0

package main

// This file: `cohort fetch` against a Bulk Data server in this process, and on
// to `cohort build`.

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sepsisagent/sepsisagent/fhir/bulk"
	"github.com/sepsisagent/sepsisagent/fhir/sandbox"
)

// The synthetic folder as resources, read once for all servers; nobody writes to it.
var (
	readExported  sync.Once
	exportedLines []json.RawMessage
	exportedErr   error
)

// exportServer serves the synthetic patients as a bulk export.
func exportServer(t *testing.T, change func(*sandbox.ExportConfig)) string {
	t.Helper()
	folder := synthetic(t)
	readExported.Do(func() { exportedLines, exportedErr = sandbox.FolderResources(folder) })
	if exportedErr != nil {
		t.Fatal(exportedErr)
	}
	resources := exportedLines
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	cfg := sandbox.ExportConfig{BaseURL: server.URL + "/fhir", Resources: resources, Groups: map[string][]string{"icu": {}}}
	for _, r := range resources {
		var p struct{ ResourceType, ID string }
		if err := json.Unmarshal(r, &p); err != nil {
			t.Fatal(err)
		}
		if p.ResourceType == "Patient" {
			cfg.Groups["icu"] = append(cfg.Groups["icu"], p.ID)
		}
	}
	if change != nil {
		change(&cfg)
	}
	export, err := sandbox.NewExport(cfg)
	if err != nil {
		t.Fatal(err)
	}
	handler = export.Handler()
	return cfg.BaseURL
}

func TestAFetchedCohortIsTheOneThatTheServerHas(t *testing.T) {
	var asked atomic.Int32
	base := exportServer(t, func(c *sandbox.ExportConfig) {
		c.FileLines = 500
		c.Before = func(w http.ResponseWriter, _ *http.Request, step string) bool {
			if step != sandbox.StepStatus || asked.Add(1) > 2 {
				return false
			}
			w.Header().Set("X-Progress", fmt.Sprintf("%d %% done", 40*asked.Load()))
			w.WriteHeader(http.StatusAccepted)
			return true
		}
	})
	dir := t.TempDir()
	// Rows name the folder they are from, so both have the same name.
	out := filepath.Join(dir, filepath.Base(synthetic(t)))
	r := sepsisagent(t, "cohort", "fetch", "--fhir", base, "--out", out, "--max-poll", "1ms").want(exitOK)
	r.says("40 % done", "80 % done", "files (").prints("Observation", "MedicationAdministration", "next: sepsisagent cohort build --fhir "+out)
	sepsisagent(t, "cohort", "fetch", "--fhir", base, "--out", out).want(exitMisuse).says("holds a complete export")
	if testing.Short() {
		t.Skip("builds two cohorts")
	}
	var direct, fetched cohortReport
	sepsisagent(t, "cohort", "build", "--fhir", synthetic(t), "--out", filepath.Join(dir, "a.parquet"), "--json").want(exitOK).object(&direct)
	sepsisagent(t, "cohort", "build", "--fhir", out, "--out", filepath.Join(dir, "b.parquet"), "--json").want(exitOK).object(&fetched)
	if fetched.Steps == 0 || fetched.Digest != direct.Digest || fetched.Used != direct.Used || fetched.Rejected != 0 {
		t.Errorf("fetched %+v\nwant    %+v", fetched, direct)
	}
}

func TestFetchPrintsOneObject(t *testing.T) {
	base := exportServer(t, nil)
	var report struct {
		Server    string
		Level     bulk.Level
		Files     []bulk.File
		Resources int
		Bytes     int64
	}
	out := filepath.Join(t.TempDir(), "export")
	sepsisagent(t, "cohort", "fetch", "--fhir", base, "--group", "icu", "--out", out, "--json").want(exitOK).object(&report)
	if report.Server != base || report.Level != bulk.LevelGroup || len(report.Files) == 0 || report.Resources == 0 || report.Bytes == 0 {
		t.Errorf("%+v", report)
	}
}

func TestFetchIsAuthorizedInOneWay(t *testing.T) {
	base := exportServer(t, func(c *sandbox.ExportConfig) { c.Token = "good" })
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, bad, open := file("good", "good\n", 0o600), file("bad", "bad", 0o600), file("open", "good", 0o644)
	two, key := file("two", "good\nbad", 0o600), file("key", "no key", 0o600)
	tests := []struct {
		name string
		args []string
		env  string
		code int
		says string
	}{
		{"a token file", []string{"--token-file", good}, "", exitOK, ""},
		{"the environment", nil, "good", exitOK, ""},
		{"no token", nil, "", exitFailed, "wants an access token"},
		{"a token that the server does not take", []string{"--token-file", bad}, "", exitFailed, "scopes"},
		{"a token file that everybody can read", []string{"--token-file", open}, "", exitFailed, "chmod 600"},
		{"a file of more than a token", []string{"--token-file", two}, "", exitFailed, "does not hold one token"},
		{"a token file that is not there", []string{"--token-file", "/nonexistent"}, "", exitFailed, "no such file"},
		{"two tokens", []string{"--token-file", good}, "good", exitMisuse, "keep one"},
		{"a client without a key", []string{"--client-id", "us"}, "", exitMisuse, "go together"},
		{"a scope without a client", []string{"--scope", "system/*.rs"}, "", exitMisuse, "--client-id"},
		{"a key that is none", []string{"--client-id", "us", "--key-file", key}, "", exitFailed, "--key-file"},
		{"an instant that is none", []string{"--token-file", good, "--since", "yesterday"}, "", exitMisuse, "--since"},
		{"a type that is none", []string{"--token-file", good, "--type", "../x"}, "", exitMisuse, "resource type"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv(tokenEnv, tc.env)
			args := append([]string{"cohort", "fetch", "--fhir", base, "--out", filepath.Join(t.TempDir(), "x"), "--max-poll", "1ms"}, tc.args...)
			sepsisagent(t, args...).want(tc.code).says(tc.says)
		})
	}
}

// TestFetchAsABackendClient shows the wiring only: what an assertion must be is
// tested in fhir/smart.
func TestFetchAsABackendClient(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	var scope atomic.Value
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("grant_type") != "client_credentials" || r.FormValue("client_assertion") == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		scope.Store(r.FormValue("scope"))
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "good", "token_type": "bearer", "expires_in": 300, "scope": r.FormValue("scope")})
	}))
	defer tokens.Close()
	base := exportServer(t, func(c *sandbox.ExportConfig) { c.Token = "good" })
	out := filepath.Join(t.TempDir(), "export")
	sepsisagent(t, "cohort", "fetch", "--fhir", base, "--out", out, "--client-id", "us", "--key-file", key, "--token-url", tokens.URL+"/token").want(exitOK)
	if got, _ := scope.Load().(string); !strings.Contains(got, "system/Observation.rs") || strings.Contains(got, "*") {
		t.Errorf("scope %q", got)
	}
}

func TestSharedResourcesThatAServerRefusesAreFetchedOnTheirOwn(t *testing.T) {
	base := exportServer(t, func(c *sandbox.ExportConfig) {
		c.Resources = append(c.Resources, json.RawMessage(`{"resourceType":"Medication","id":"m"}`))
		c.Before = func(w http.ResponseWriter, r *http.Request, step string) bool {
			refused := step == sandbox.StepKickOff && strings.Contains(r.URL.Path, "Patient") && strings.Contains(r.URL.RawQuery, "Medication%2C")
			if refused {
				w.WriteHeader(http.StatusBadRequest)
			}
			return refused
		}
	})
	out := filepath.Join(t.TempDir(), "export")
	r := sepsisagent(t, "cohort", "fetch", "--fhir", base, "--out", out).want(exitOK)
	_, hint, ok := strings.Cut(r.out, "\n  sepsisagent ")
	hint, _, _ = strings.Cut(hint, "\n")
	if !ok {
		t.Fatalf("no hint:\n%s", r.out)
	}
	sepsisagent(t, strings.Fields(hint)...).want(exitOK).prints("Medication", filepath.Join(out, "shared"))
}

func TestFetchThatIsStoppedSaysWhatHappensNext(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	base := exportServer(t, func(c *sandbox.ExportConfig) {
		c.Before = func(w http.ResponseWriter, _ *http.Request, step string) bool {
			if step == sandbox.StepStatus {
				stop()
				w.WriteHeader(http.StatusAccepted)
			}
			return step == sandbox.StepStatus
		}
	})
	sepsisagentContext(ctx, t, "cohort", "fetch", "--fhir", base, "--out", filepath.Join(t.TempDir(), "x")).want(exitFailed).says("stopped", "the same command", "cancelled on the server")
}
