// SPDX-License-Identifier: Apache-2.0

package main

// This file: what `serve` refuses to start with.

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqlite"
)

// site writes a configuration whose log is h.
func site(t *testing.T, h auditHouse, more string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "site.yaml")
	text := "http: {addr: 127.0.0.1:0}\naudit: {path: " + h.db + ", key_file: " + h.key + ", seen_file: " + h.db + ".seen}\n" + more
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const oneClient = `cdshooks:
  public_url: https://cds.example.org
  clients:
    - {name: ehr, issuer: https://ehr.example.org, jwks_url: https://ehr.example.org/jwks.json}
`

func TestServeChecksBeforeItStarts(t *testing.T) {
	t.Setenv("SEPSISAGENT_FILES__MODEL", testModel(t))
	h := newAuditHouse(t)
	sepsisagent(t, "serve", "--check", "--config", site(t, h, oneClient)).want(exitOK).prints("ok: 1 clients").prints("warning: client ehr: cards link to no evidence page")
	sepsisagent(t, "serve", "--check", "--config", site(t, h, strings.Replace(oneClient, "}", ", display: suggest}", 1))).want(exitOK).
		prints("warning: client ehr: display suggest works as inform: no local validation of this model is on record")
	sepsisagent(t, "serve", "--check", "--addr", "127.0.0.1:99999").want(exitMisuse).says("http.addr")
	tests := []struct {
		name, more, says string
	}{
		{"no public URL", strings.Replace(oneClient, "  public_url: https://cds.example.org\n", "", 1), "public_url"},
		{"no client", "cdshooks: {public_url: https://cds.example.org}\n", "cdshooks.clients"},
		{"a public URL in clear text", strings.Replace(oneClient, "https://cds", "http://cds", 1), "TLS"},
		{"a leeway above its ceiling", strings.Replace(oneClient, "clients:", "leeway: 5m\n  clients:", 1), "leeway"},
		{"a kill switch that cannot be thrown", strings.Replace(oneClient, "clients:", "kill_switch_file: /nonexistent/off\n  clients:", 1), "kill_switch_file"},
		{"a key set without keys", strings.Replace(oneClient, "jwks_url: https://ehr.example.org/jwks.json", `jwks: '{"keys":[]}'`, 1), "no key"},
		{"prefetch keys renamed to nothing", strings.Replace(oneClient, "jwks.json}", "jwks.json, quirks: {prefetch_keys: {-vitals: vitalz}}}", 1), "vitalz"},
		{"a client without keys", strings.Replace(oneClient, ", jwks_url: https://ehr.example.org/jwks.json", "", 1), "no keys"},
		{"a client whose keys come over plain http", strings.Replace(oneClient, "jwks_url: https:", "jwks_url: http:", 1), "not https"},
		{"a client with an unknown key", strings.Replace(oneClient, "issuer:", "isuer:", 1), `"isuer"`},
		{"a rule pack that is not there", oneClient + "files: {rules: [/nonexistent.yaml]}\n", "nonexistent.yaml"},
		{"a code map that is not there", oneClient + "files: {code_maps: [/nonexistent.yaml]}\n", "nonexistent.yaml"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			sepsisagent(t, "serve", "--check", "--config", site(t, h, tc.more)).want(exitFailed).says(tc.says)
		})
	}
}

func TestServeRefusesAMissingAForeignAndARolledBackLog(t *testing.T) {
	t.Setenv("SEPSISAGENT_FILES__MODEL", testModel(t))
	h := newAuditHouse(t)
	missing := auditHouse{db: filepath.Join(t.TempDir(), "none.db"), key: h.key}
	sepsisagent(t, "serve", "--check", "--config", site(t, missing, oneClient)).want(exitFailed).says("audit init")
	if _, err := os.Stat(missing.db); err == nil {
		t.Error("a log was made at start")
	}
	foreign := auditHouse{db: h.db, key: newAuditHouse(t).key}
	sepsisagent(t, "serve", "--check", "--config", site(t, foreign, oneClient)).want(exitFailed).says("another key")

	h.fill(t, 4)
	config := site(t, h, oneClient)
	sepsisagent(t, "serve", "--check", "--config", config).want(exitOK) // remembers a log of 4
	key, err := audit.ReadKeyFile(h.key)
	if err != nil {
		t.Fatal(err)
	}
	for _, old := range []string{h.db, h.db + "-wal", h.db + "-shm"} {
		if err := os.RemoveAll(old); err != nil {
			t.Fatal(err)
		}
	}
	if err := sqlite.Create(t.Context(), h.db, sqlite.Options{Key: key}); err != nil {
		t.Fatal(err)
	}
	sepsisagent(t, "serve", "--check", "--config", config).want(exitFailed).says("not a continuation")
}

func TestServeRefusesAnEvidenceKeyThatOthersMayRead(t *testing.T) {
	key := filepath.Join(t.TempDir(), "evidence.key")
	if err := os.WriteFile(key, []byte(strings.Repeat("k", 40)), 0o644); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "site.yaml")
	if err := os.WriteFile(config, []byte("files: {evidence_key_file: "+key+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sepsisagent(t, "serve", "--check", "--config", config).want(exitFailed).says("chmod 600")
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := loadConfig(config, nil)
	if err != nil || len(cfg.CDSHooks.EvidenceKey.Reveal()) != 40 {
		t.Errorf("secret from file: %v", err)
	}
}
