// SPDX-License-Identifier: Apache-2.0

package main

// This file: the audit commands, on a log of our own making.

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqlite"
)

// auditHouse is a folder with a log, made by the command.
type auditHouse struct{ db, key, public string }

func newAuditHouse(t *testing.T) auditHouse {
	t.Helper()
	dir := t.TempDir()
	h := auditHouse{db: filepath.Join(dir, "a.db"), key: filepath.Join(dir, "a.key")}
	var made struct {
		PublicKey string `json:"public_key"`
	}
	sepsisagent(t, "audit", "init", "--db", h.db, "--key", h.key, "--origin", "test", "--json").want(exitOK).object(&made)
	h.public = made.PublicKey
	return h
}

func (h auditHouse) fill(t *testing.T, n int) {
	t.Helper()
	l, err := openAudit(t.Context(), AuditConfig{Path: h.db, KeyFile: h.key})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i := range n {
		_, err := l.Append(context.Background(), audit.Entry{
			Index: audit.Index{ID: "id-" + string(rune('a'+i)), Time: time.Date(2026, 11, 22, 9, i, 0, 0, time.UTC), Kind: "decision", Patient: "Patient/1"},
			Salt:  make([]byte, 32), Body: []byte(`{"n":1}`),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

type verified struct {
	OK       bool
	Size     int64
	Root     string
	FirstBad *int64 `json:"first_bad"`
}

func TestAuditInitNeverOverwrites(t *testing.T) {
	h := newAuditHouse(t)
	sepsisagent(t, "audit", "init", "--db", h.db, "--key", h.key).want(exitFailed).says("already exists")
	info, err := os.Stat(h.key)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file mode %v, %v", info.Mode(), err)
	}
}

func TestAuditVerify(t *testing.T) {
	h := newAuditHouse(t)
	h.fill(t, 5)
	var v verified
	sepsisagent(t, "audit", "verify", "--db", h.db, "--public-key", h.public, "--json").want(exitOK).object(&v)
	if !v.OK || v.Size != 5 || v.Root == "" || v.FirstBad != nil {
		t.Errorf("%+v", v)
	}
	sepsisagent(t, "audit", "verify", "--db", h.db, "--key", "nokey").want(exitOK).prints("ok: 5 records").says("--public-key")
	file := filepath.Join(t.TempDir(), "pub")
	if err := os.WriteFile(file, []byte(h.public+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sepsisagent(t, "audit", "verify", "--db", h.db, "--public-key", file).want(exitOK)
	other := newAuditHouse(t)
	sepsisagent(t, "audit", "verify", "--db", h.db, "--public-key", other.public).want(exitFailed).prints("NOT OK")
	sepsisagent(t, "audit", "verify", "--db", h.db, "--public-key", "nonsense").want(exitFailed).says("public key")
}

func TestAuditVerifyNamesTheFirstBadRecord(t *testing.T) {
	h := newAuditHouse(t)
	h.fill(t, 5)
	data, err := os.ReadFile(h.db)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(data), `{"n":1}`, `{"n":2}`, 1)
	if changed == string(data) {
		t.Fatal("no body found in the file")
	}
	if err := os.WriteFile(h.db, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	var v verified
	sepsisagent(t, "audit", "verify", "--db", h.db, "--public-key", h.public, "--json").want(exitFailed).object(&v)
	if v.OK || v.FirstBad == nil {
		t.Errorf("%+v", v)
	}
}

func TestAuditVerifyAgainstACheckpointKeptElsewhere(t *testing.T) {
	h := newAuditHouse(t)
	h.fill(t, 3)
	key, err := audit.ReadKeyFile(h.key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := sqlite.Open(t.Context(), h.db, sqlite.Options{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	_, signed, err := l.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(t.TempDir(), "kept")
	if err := os.WriteFile(kept, signed, 0o600); err != nil {
		t.Fatal(err)
	}
	sepsisagent(t, "audit", "verify", "--db", h.db, "--public-key", h.public, "--checkpoint", kept).want(exitOK)
	fresh := auditHouse{db: filepath.Join(t.TempDir(), "b.db"), key: h.key}
	if err := sqlite.Create(t.Context(), fresh.db, sqlite.Options{Key: key}); err != nil {
		t.Fatal(err)
	}
	sepsisagent(t, "audit", "verify", "--db", fresh.db, "--public-key", h.public, "--checkpoint", kept).want(exitFailed).prints("removed from the end")
}

func TestReadingTheLogIsLogged(t *testing.T) {
	h := newAuditHouse(t)
	h.fill(t, 3)
	var page struct{ Entries []audit.Row }
	sepsisagent(t, "audit", "query", "--db", h.db, "--key", h.key, "--patient", "Patient/1", "--json").want(exitOK).object(&page)
	if len(page.Entries) != 3 || page.Entries[0].Index.ID != "id-c" {
		t.Errorf("%+v", page)
	}
	sepsisagent(t, "audit", "show", "id-b", "--db", h.db, "--key", h.key).want(exitOK).prints("record 1 of 5", "proof of inclusion checked", `"n": 1`)
	sepsisagent(t, "audit", "query", "--db", h.db, "--key", h.key, "--kind", "read", "--json").want(exitOK).object(&page)
	if len(page.Entries) != 2 || page.Entries[0].Index.Refers != "id-b" || page.Entries[1].Index.User == "" {
		t.Errorf("%+v", page)
	}
	sepsisagent(t, "audit", "show", "nobody", "--db", h.db, "--key", h.key).want(exitFailed).says("no such entry")
	sepsisagent(t, "audit", "query", "--db", h.db, "--key", "none").want(exitFailed).says("--key")
	sepsisagent(t, "audit", "query", "--db", h.db, "--key", h.key, "--since", "yesterday").want(exitMisuse).says("--since")
	var v verified
	sepsisagent(t, "audit", "verify", "--db", h.db, "--public-key", h.public, "--json").want(exitOK).object(&v)
	if v.Size != 7 {
		t.Errorf("%d records, want 3 and 4 readings", v.Size)
	}
}
