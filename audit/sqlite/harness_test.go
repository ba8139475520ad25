// SPDX-License-Identifier: Apache-2.0

package sqlite

// This file: TestLog, a log with verbs. Every test ends by verifying the whole
// tree, unless it says that it broke it.

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"flag"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sepsisagent/sepsisagent/audit"
)

var long = flag.Bool("long", false, "run the kill loop 200 times instead of 10")

func TestMain(m *testing.M) {
	flag.Parse()
	if childMain() {
		return
	}
	goleak.VerifyTestMain(m)
}

type testLog struct {
	*Log
	t    *testing.T
	path string
	key  *audit.Key
}

func newTestLog(t *testing.T) *testLog {
	t.Helper()
	key, _, err := audit.NewKey(nil, "hospital.example/sepsis")
	if err != nil {
		t.Fatal(err)
	}
	tl := &testLog{t: t, path: filepath.Join(t.TempDir(), "audit log?.db"), key: key}
	if err := Create(context.Background(), tl.path, Options{Key: key}); err != nil {
		t.Fatal(err)
	}
	tl.open()
	t.Cleanup(func() {
		if err := tl.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return tl
}

func (tl *testLog) open() {
	tl.t.Helper()
	l, err := Open(context.Background(), tl.path, Options{Key: tl.key})
	if err != nil {
		tl.t.Fatal(err)
	}
	tl.Log = l
}

func (tl *testLog) reopen() {
	tl.t.Helper()
	if err := tl.Close(); err != nil {
		tl.t.Fatal(err)
	}
	tl.open()
}

// entry makes the i-th entry of a small hospital.
func entry(i int) audit.Entry {
	salt := sha256.Sum256(fmt.Appendf(nil, "salt %d", i))
	return audit.Entry{
		Index: audit.Index{
			ID: fmt.Sprintf("0192-%06d", i), Time: time.Date(2026, 11, 22, 8, 0, i, 0, time.UTC), Kind: "decision",
			User: fmt.Sprintf("Practitioner/%d", i%3), Patient: fmt.Sprintf("Patient/%d", i%5), Status: []string{"suggest", "abstain"}[i%2],
			HTTP: 200, Shown: i%2 == 0, Drugs: []string{"norepinephrine"}, Rules: []string{"V1", fmt.Sprintf("V%d", i%4)}, Model: "m1",
		},
		Salt: salt[:],
		Body: fmt.Appendf(nil, "body of entry %d", i),
	}
}

func (tl *testLog) add(n int) {
	tl.t.Helper()
	size, err := tl.Size(context.Background())
	if err != nil {
		tl.t.Fatal(err)
	}
	for i := int(size); i < int(size)+n; i++ {
		got, err := tl.Append(context.Background(), entry(i))
		if err != nil {
			tl.t.Fatal(err)
		}
		if got.Leaf != int64(i) || got.Size != int64(i+1) {
			tl.t.Fatalf("entry %d went to leaf %d of %d", i, got.Leaf, got.Size)
		}
	}
}

func (tl *testLog) wantOK(size int64) audit.Report {
	tl.t.Helper()
	r, err := tl.Verify(context.Background())
	if err != nil {
		tl.t.Fatal(err)
	}
	if !r.OK || r.Size != size || r.FirstBad != nil {
		tl.t.Fatalf("report %+v, want ok of size %d", r, size)
	}
	return r
}

// wantBad verifies and demands a finding whose first leaf is first (-1: none).
func (tl *testLog) wantBad(first int64) audit.Report {
	tl.t.Helper()
	r, err := VerifyFile(context.Background(), tl.path, Options{Verifier: tl.key.Verifier()}, nil)
	if err != nil {
		tl.t.Fatal(err)
	}
	switch {
	case r.OK:
		tl.t.Fatalf("the log verifies: %+v", r)
	case first < 0 && r.FirstBad != nil:
		tl.t.Fatalf("first bad %d, want none: %+v", *r.FirstBad, r.Findings)
	case first >= 0 && (r.FirstBad == nil || *r.FirstBad != first):
		tl.t.Fatalf("first bad %v, want %d: %+v", r.FirstBad, first, r.Findings)
	}
	return r
}

// tamper changes the file behind the log's back, as somebody with the disk
// and no key would, guards removed.
func (tl *testLog) tamper(stmts ...string) {
	tl.t.Helper()
	db, err := connect(tl.path, "rw", time.Second)
	if err != nil {
		tl.t.Fatal(err)
	}
	defer db.Close()
	tl.dropGuards(db)
	for _, s := range stmts {
		if _, err := db.Exec(s); err != nil {
			tl.t.Fatalf("%s: %v", s, err)
		}
	}
}

func (tl *testLog) dropGuards(db *sql.DB) {
	tl.t.Helper()
	rows, err := db.Query(`SELECT name FROM sqlite_schema WHERE type = 'trigger'`)
	if err != nil {
		tl.t.Fatal(err)
	}
	var names []string
	for rows.Next() {
		var n string
		if err := rows.Scan(&n); err != nil {
			tl.t.Fatal(err)
		}
		names = append(names, n)
	}
	rows.Close()
	for _, n := range names {
		if _, err := db.Exec(`DROP TRIGGER ` + n); err != nil {
			tl.t.Fatal(err)
		}
	}
}
