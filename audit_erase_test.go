// SPDX-License-Identifier: Apache-2.0

package main

// This file: the commands that erase, hold, encrypt, back up, prove and have
// witnesses sign.

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/audittest"
	"github.com/sepsisagent/sepsisagent/audit/sqlite"
)

// with adds the flags that name the log.
func (h auditHouse) with(args ...string) []string {
	return append(args, "--db", h.db, "--key", h.key)
}

// config writes a configuration with an audit section of these lines.
func (h auditHouse) config(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	text := fmt.Sprintf("audit:\n  path: %s\n  key_file: %s\n  seen_file: ''\n  %s\n", h.db, h.key, strings.Join(lines, "\n  "))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAuditErase(t *testing.T) {
	h := newAuditHouse(t)
	h.fill(t, 5)
	reasons := []string{"--operator", "A. Compliance", "--reason", "request 17"}
	sepsisagent(t, h.with("audit", "erase")...).want(exitMisuse).says("give one of")
	sepsisagent(t, h.with("audit", "erase", "--patient", "Patient/1")...).want(exitMisuse).says("--operator")
	sepsisagent(t, h.with("audit", "erase", "--retention", "--operator", "o", "--reason", "r")...).want(exitMisuse).says("audit.retention")
	sepsisagent(t, h.with("audit", "erase", "--before", "2030-01-01", "--kind", "display", "--dry-run")...).want(exitMisuse).says("state")
	var done struct {
		DryRun        bool `json:"dry_run"`
		Records, Held int
		Receipts      []string
	}
	sepsisagent(t, h.with("audit", "erase", "--patient", "Patient/1", "--dry-run", "--json")...).want(exitOK).object(&done)
	if !done.DryRun || done.Records != 5 || len(done.Receipts) != 0 {
		t.Errorf("dry run: %+v", done)
	}
	sepsisagent(t, h.with("audit", "show", "id-b")...).want(exitOK)
	sepsisagent(t, append(h.with("audit", "erase", "--receipt", "id-b"), reasons...)...).want(exitOK).prints("1 records erased", "recorded as")
	sepsisagent(t, h.with("audit", "show", "id-b")...).want(exitFailed).says("erased")
	sepsisagent(t, h.with("audit", "verify")...).want(exitOK).prints("ok:", "erased 1")

	var hold struct{ ID string }
	sepsisagent(t, h.with("audit", "hold", "add", "--patient", "Patient/1")...).want(exitMisuse).says("--operator")
	sepsisagent(t, append(h.with("audit", "hold", "add", "--patient", "Patient/1", "--json"), reasons...)...).want(exitOK).object(&hold)
	sepsisagent(t, h.with("audit", "hold", "list")...).want(exitOK).prints(hold.ID, "Patient/1", "request 17")
	sepsisagent(t, append(h.with("audit", "erase", "--patient", "Patient/1", "--json"), reasons...)...).want(exitOK).object(&done)
	if done.Records != 0 || done.Held != 4 {
		t.Errorf("under a hold: %+v", done)
	}
	sepsisagent(t, append(h.with("audit", "hold", "release", hold.ID), reasons...)...).want(exitOK).prints("released")
	kept := h.config(t, "retention: [{kind: decision, days: 36525}]")
	sepsisagent(t, "audit", "erase", "--config", kept, "--retention", "--dry-run").want(exitOK).prints("0 records would be erased")
	sepsisagent(t, append(h.with("audit", "erase", "--before", "2026-11-22T09:03:00Z", "--json"), reasons...)...).want(exitOK).object(&done)
	if done.Records != 2 {
		t.Errorf("before a time: %+v", done)
	}
	sepsisagent(t, h.with("audit", "verify")...).want(exitOK).prints("erased 3")
}

func TestRetentionSelectsEachKindByItsAge(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	a := AuditConfig{Retention: []RetentionConfig{{"decision", 10}, {"read", 1}}}
	sels, err := (&eraseFlags{retention: true}).plan(a, now)
	want := []audit.Selection{{Before: now.AddDate(0, 0, -10), Kind: "decision"}, {Before: now.AddDate(0, 0, -1), Kind: "read"}}
	if err != nil || !reflect.DeepEqual(sels, want) {
		t.Errorf("%+v, %v", sels, err)
	}
	for yaml, says := range map[string]string{
		"{kind: decision, days: 0}":                      "days",
		"{days: 10}":                                     "kind",
		"{kind: hold, days: 10}":                         "never erased",
		"{kind: display, days: 10}":                      "own state",
		"{kind: read, days: 10}, {kind: read, days: 20}": "twice",
		"{kind: read, days: 10, weeks: 2}":               "weeks",
	} {
		path := (auditHouse{"a", "b", ""}).config(t, "retention: ["+yaml+"]")
		if _, err := loadConfig(path, nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v", yaml, err)
		}
	}
}

func TestAuditEraseRefusesALogThatDoesNotVerify(t *testing.T) {
	h := newAuditHouse(t)
	h.fill(t, 5)
	data, err := os.ReadFile(h.db)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.db, bytes.Replace(data, []byte(`{"n":1}`), []byte(`{"n":2}`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	sepsisagent(t, h.with("audit", "erase", "--patient", "Patient/1", "--operator", "o", "--reason", "r")...).want(exitFailed).says("evidence")
}

func TestAuditBodiesAreEncryptedByConfiguration(t *testing.T) {
	h := newAuditHouse(t)
	h.fill(t, 2)
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	for _, file := range []string{first, second} {
		sepsisagent(t, "audit", "encryption-key", "--out", file).want(exitOK).prints("key ")
	}
	sepsisagent(t, "audit", "encryption-key", "--out", first).want(exitFailed).says("exists")
	one := h.config(t, "encryption_key_files: ["+first+"]")
	both := h.config(t, "encryption_key_files: ["+second+", "+first+"]")
	sepsisagent(t, "audit", "reseal", "--config", one).want(exitOK).prints("2 bodies resealed")
	sepsisagent(t, "audit", "show", "id-a", "--config", one).want(exitOK).prints(`"n": 1`)
	sepsisagent(t, "audit", "reseal", "--config", both).want(exitOK).prints("3 bodies resealed")
	sepsisagent(t, "audit", "show", "id-a", "--config", one).want(exitFailed).says("encryption_key_files")
	sepsisagent(t, h.with("audit", "query")...).want(exitFailed).says("encrypted")
	sepsisagent(t, h.with("audit", "verify")...).want(exitOK).prints("0 opened and compared")
	sepsisagent(t, "audit", "verify", "--config", both).want(exitOK).prints("encrypted ")
	if err := os.Chmod(second, 0o644); err != nil {
		t.Fatal(err)
	}
	sepsisagent(t, "audit", "show", "id-a", "--config", both).want(exitFailed).says("chmod")
}

func TestAuditBodiesAreEncryptedUnderAKeyOfAKeyService(t *testing.T) {
	h := newAuditHouse(t)
	h.fill(t, 2)
	dir := t.TempDir()
	file, again := filepath.Join(dir, "wrapped"), filepath.Join(dir, "again")
	command := "encryption_key_command: [" + os.Args[0] + "]"
	t.Setenv(audittest.KeyServiceEnv, "one")
	alone := h.config(t, command)
	sepsisagent(t, "audit", "query", "--config", alone).want(exitFailed).says("no key to unwrap")
	sepsisagent(t, "audit", "encryption-key", "--out", file, "--config", alone).want(exitOK).prints("wrapped by " + os.Args[0])
	config := h.config(t, "encryption_key_files: ["+file+"]", command)
	sepsisagent(t, "audit", "reseal", "--config", config).want(exitOK).prints("2 bodies resealed")
	sepsisagent(t, "audit", "show", "id-a", "--config", config).want(exitOK).prints(`"n": 1`)
	sepsisagent(t, "audit", "encryption-key", "--from", file, "--out", again, "--config", config).want(exitOK)
	moved := h.config(t, "encryption_key_files: ["+again+"]", command)
	sepsisagent(t, "audit", "reseal", "--config", moved).want(exitOK).prints("0 bodies resealed")
	sepsisagent(t, "audit", "show", "id-a", "--config", moved).want(exitOK).prints(`"n": 1`)
	unasked := h.config(t, "encryption_key_files: ["+file+"]")
	sepsisagent(t, "audit", "show", "id-a", "--config", unasked).want(exitFailed).says("encryption_key_command")
	t.Setenv(audittest.KeyServiceEnv, "another master")
	sepsisagent(t, "audit", "show", "id-a", "--config", config).want(exitFailed).says("access denied")
	sepsisagent(t, "serve", "--check", "--config", config).want(exitFailed).says("access denied")
}

func TestAuditBackupIsVerifiedAndRestores(t *testing.T) {
	h := newAuditHouse(t)
	h.fill(t, 3)
	out := filepath.Join(t.TempDir(), "copy.db")
	sepsisagent(t, h.with("audit", "backup", "--out", out)...).want(exitOK).prints("ok: 3 records")
	sepsisagent(t, h.with("audit", "backup", "--out", out)...).want(exitFailed).says("exists")
	if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	restored := auditHouse{db: out, key: h.key}
	sepsisagent(t, restored.with("audit", "show", "id-a")...).want(exitOK)
	sepsisagent(t, restored.with("audit", "verify")...).want(exitOK).prints("ok: 4 records")
}

func TestAuditProofsAreCheckedWithoutTheLog(t *testing.T) {
	h := newAuditHouse(t)
	h.fill(t, 3)
	dir := t.TempDir()
	save := func(name string, args ...string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(sepsisagent(t, args...).want(exitOK).out), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	old := save("old", h.with("audit", "checkpoint")...)
	sepsisagent(t, append(h.with("audit", "erase", "--receipt", "id-b"), "--operator", "o", "--reason", "r")...).want(exitOK)
	inclusion := save("inclusion", h.with("audit", "prove", "id-b")...)
	consistency := save("consistency", h.with("audit", "prove", "--from", old)...)
	sepsisagent(t, "audit", "check", inclusion, "--public-key", h.public).want(exitOK).prints("record 1", "tree of 4")
	sepsisagent(t, "audit", "check", consistency, "--public-key", h.public, "--json").want(exitOK).prints("begins with that of 3")
	sepsisagent(t, "audit", "check", old, "--public-key", h.public).want(exitFailed).says("not a proof")
	sepsisagent(t, "audit", "check", inclusion, "--public-key", newAuditHouse(t).public).want(exitFailed).says("checkpoint")
	sepsisagent(t, "audit", "check", inclusion).want(exitMisuse).says("--public-key")
	sepsisagent(t, h.with("audit", "prove")...).want(exitMisuse).says("--from")
	sepsisagent(t, h.with("audit", "prove", "nobody")...).want(exitFailed).says("no such entry")
}

func TestAuditWitness(t *testing.T) {
	h := newAuditHouse(t)
	h.fill(t, 3)
	w, err := audittest.NewWitness("witness.example/w1", h.public)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(w)
	defer server.Close()
	config := h.config(t, "witnesses: [{url: '"+server.URL+"', public_key: '"+w.VKey()+"'}]")
	sepsisagent(t, h.with("audit", "witness")...).want(exitMisuse).says("audit.witnesses")
	sepsisagent(t, "audit", "checkpoint", "--cosigned", "--config", config).want(exitFailed).says("no witness")
	sepsisagent(t, "audit", "witness", "--config", config).want(exitOK).prints("witness.example/w1 signed the tree of 3 records")
	sepsisagent(t, "audit", "checkpoint", "--cosigned", "--config", config).want(exitOK).prints("\u2014 witness.example/w1 ", "\u2014 test ")
	sepsisagent(t, "audit", "verify", "--config", config).want(exitOK).prints("witness witness.example/w1 signed up to record 3")
	bad := h.config(t, "witnesses: [{url: 'http://witness.example', public_key: '"+w.VKey()+"'}]")
	sepsisagent(t, "audit", "verify", "--config", bad).want(exitFailed).says("https")

	// The service asks by itself, and does not start on a log that was rolled back.
	cfg, err := loadConfig(config, nil)
	if err != nil {
		t.Fatal(err)
	}
	log, err := openAudit(t.Context(), cfg.Audit)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	stop, err := cfg.Audit.keepWitnessed(t.Context(), log, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	stop()
	key, err := audit.ReadKeyFile(h.key)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "b.db")
	if err := sqlite.Create(t.Context(), other, sqlite.Options{Key: key}); err != nil {
		t.Fatal(err)
	}
	fresh, err := sqlite.Open(t.Context(), other, sqlite.Options{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	if _, err := cfg.Audit.keepWitnessed(t.Context(), fresh, zap.NewNop()); err == nil || !strings.Contains(err.Error(), "has seen 3 entries") {
		t.Errorf("error %v", err)
	}
}

func TestAuditRotateKey(t *testing.T) {
	h := newAuditHouse(t)
	h.fill(t, 3)
	fresh := filepath.Join(t.TempDir(), "new.key")
	sepsisagent(t, h.with("audit", "rotate-key", "--new-key", fresh)...).want(exitMisuse).says("--operator")
	var made struct {
		PublicKey string `json:"public_key"`
	}
	sepsisagent(t, h.with("audit", "rotate-key", "--new-key", fresh, "--operator", "o", "--reason", "yearly", "--json")...).want(exitOK).object(&made)
	sepsisagent(t, h.with("audit", "query")...).want(exitFailed).says("replaced by another")
	now := auditHouse{db: h.db, key: fresh}
	sepsisagent(t, now.with("audit", "query")...).want(exitOK).prints("key")
	for _, public := range []string{h.public, made.PublicKey} {
		sepsisagent(t, "audit", "verify", "--db", h.db, "--public-key", public).want(exitOK).prints("ok: 5 records")
	}
	sepsisagent(t, "audit", "verify", "--db", h.db, "--public-key", newAuditHouse(t).public).want(exitFailed).prints("NOT OK")
}

func TestARecordOfAReadingIsErasedWithThePatientItNames(t *testing.T) {
	h := newAuditHouse(t)
	h.fill(t, 2)
	sepsisagent(t, h.with("audit", "query", "--patient", "Patient/1")...).want(exitOK)
	sepsisagent(t, h.with("audit", "query", "--patient", "Patient/1", "--json")...).want(exitOK)
	sepsisagent(t, h.with("audit", "erase", "--patient", "Patient/1", "--operator", "o", "--reason", "r")...).want(exitOK).prints("4 records erased", "read")
	data, err := os.ReadFile(h.db)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte("Patient/1")) {
		t.Error("the file still names the patient")
	}
	sepsisagent(t, h.with("audit", "verify")...).want(exitOK).prints("erased 4")
}
