// SPDX-License-Identifier: Apache-2.0

package main

// This file: `audit export` on a log of our own making.

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/export"
)

func TestAnExportIsRecordedWithItsDigestAndCheckedWithThePublicKey(t *testing.T) {
	h := newAuditHouse(t)
	h.fill(t, 5)
	file := filepath.Join(t.TempDir(), "export.ndjson")
	var done exported
	sepsisagent(t, "audit", "export", "--db", h.db, "--key", h.key, "--proofs", "--out", file, "--json").want(exitOK).object(&done)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	if done.Records != 5 || done.SHA256 != hex.EncodeToString(sum[:]) || done.File != file {
		t.Errorf("%+v", done)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	sepsisagent(t, "audit", "export", "--db", h.db, "--key", h.key, "--out", file).want(exitMisuse).says("there already")
	var page struct{ Entries []audit.Row }
	sepsisagent(t, "audit", "query", "--db", h.db, "--key", h.key, "--kind", "read", "--oldest-first", "--json").want(exitOK).object(&page)
	if len(page.Entries) < 2 {
		t.Fatalf("%d readings, want the export and its digest", len(page.Entries))
	}
	sepsisagent(t, "audit", "show", page.Entries[1].Index.ID, "--db", h.db, "--key", h.key).want(exitOK).prints(done.SHA256)

	sepsisagent(t, "audit", "verify", "--export", file, "--public-key", h.public).want(exitOK).prints("ok: 5 records in the signed tree of 6, 5 with contents", "none is missing")
	sepsisagent(t, "audit", "verify", "--export", file).want(exitMisuse).says("--public-key")
	changed := bytes.Replace(data, []byte("Patient/1"), []byte("Patient/2"), 1)
	if err := os.WriteFile(file, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	var c export.Checked
	sepsisagent(t, "audit", "verify", "--export", file, "--public-key", h.public, "--json").want(exitFailed).object(&c)
	if c.OK || c.BadLine != 1 || c.BadID != "id-a" {
		t.Errorf("%+v", c)
	}
}

func TestAnExportAfterAnErasureNamesWhatWasErased(t *testing.T) {
	h := newAuditHouse(t)
	h.fill(t, 5)
	before := filepath.Join(t.TempDir(), "before.ndjson")
	after := filepath.Join(t.TempDir(), "after.ndjson")
	sepsisagent(t, "audit", "export", "--db", h.db, "--key", h.key, "--proofs", "--out", before).want(exitOK)
	sepsisagent(t, "audit", "erase", "--db", h.db, "--key", h.key, "--receipt", "id-b", "--operator", "os/officer", "--reason", "a request").want(exitOK)
	sepsisagent(t, "audit", "export", "--db", h.db, "--key", h.key, "--proofs", "--out", after).want(exitOK)
	check := func(file string) (c export.Checked) {
		t.Helper()
		sepsisagent(t, "audit", "verify", "--export", file, "--public-key", h.public, "--json").want(exitOK).object(&c)
		return c
	}
	c := check(after)
	if len(c.Erased) != 1 || c.Erased[0].ID != "id-b" || c.Erased[0].Leaf != 1 || c.Erased[0].Receipt == "" || c.Erased[0].Here || !c.Whole {
		t.Errorf("%+v", c)
	}
	sepsisagent(t, "audit", "verify", "--export", after, "--public-key", h.public).want(exitOK).prints("none is missing", "1 records of this log were erased", "record 1 (id-b)")
	if c := check(before); len(c.Erased) != 0 || !c.Whole {
		t.Errorf("%+v", c)
	}
	// A file that has the erased record and that of its erasure, as of an export that ran meanwhile.
	old, err := os.ReadFile(before)
	if err != nil {
		t.Fatal(err)
	}
	new, err := os.ReadFile(after)
	if err != nil {
		t.Fatal(err)
	}
	head := len(bytes.Join(bytes.SplitAfter(old, []byte("\n"))[:5], nil))
	lines := bytes.SplitAfter(new, []byte("\n"))
	both := append(bytes.Clone(old[:head]), bytes.Join(lines[4:], nil)...)
	if err := os.WriteFile(before, both, 0o600); err != nil {
		t.Fatal(err)
	}
	if c := check(before); len(c.Erased) != 1 || !c.Erased[0].Here || !c.Whole {
		t.Errorf("%+v", c)
	}
	sepsisagent(t, "audit", "verify", "--export", before, "--public-key", h.public).want(exitOK).prints("THIS FILE HOLDS IT STILL")
}

func TestAnExportIsTheSameAgainUpToATime(t *testing.T) {
	h := newAuditHouse(t)
	h.fill(t, 5)
	for _, format := range export.Formats() {
		var outs []string
		for range 2 {
			r := sepsisagent(t, "audit", "export", "--db", h.db, "--key", h.key, "--format", string(format), "--until", "2026-11-22T09:04:00Z").want(exitOK)
			outs = append(outs, r.out)
		}
		if outs[0] != outs[1] || format != export.HTI1 && strings.Count(outs[0], "id-d") == 0 || strings.Contains(outs[0], "id-e") {
			t.Errorf("%s: %q", format, outs)
		}
	}
	bodies := sepsisagent(t, "audit", "export", "--db", h.db, "--key", h.key, "--without-bodies", "--patient", "Patient/1").want(exitOK).out
	if strings.Count(bodies, "\n") != 5 || strings.Contains(bodies, "body") || strings.Contains(bodies, "salt") {
		t.Errorf("%s", bodies)
	}
	sepsisagent(t, "audit", "export", "--db", h.db, "--key", h.key, "--format", "xml").want(exitMisuse).says("--format")
	sepsisagent(t, "audit", "export", "--db", h.db, "--key", h.key, "--format", "csv", "--proofs").want(exitMisuse).says("ndjson")
}
