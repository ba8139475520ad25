// SPDX-License-Identifier: Apache-2.0

package sqlite

// This file: creating, opening, appending, reading and proving.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/audit"
)

var ctx = context.Background()

func TestOpenRefusesALogThatDoesNotExist(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.db")
	if _, err := Open(ctx, path, Options{}); !errors.Is(err, audit.ErrMissing) {
		t.Fatalf("error %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Error("opening made a file")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ctx, path, Options{}); !errors.Is(err, audit.ErrMissing) {
		t.Errorf("an empty file: error %v", err)
	}
}

func TestCreateNeverOverwrites(t *testing.T) {
	tl := newTestLog(t)
	tl.add(3)
	if err := Create(ctx, tl.path, Options{Key: tl.key}); !errors.Is(err, audit.ErrExists) {
		t.Fatalf("error %v", err)
	}
	tl.wantOK(3)
}

func TestOpenRefusesAnotherKeyAndAFileThatIsNoLog(t *testing.T) {
	tl := newTestLog(t)
	other, _, err := audit.NewKey(nil, "hospital.example/sepsis")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ctx, tl.path, Options{Key: other}); !errors.Is(err, audit.ErrKey) {
		t.Errorf("another key: error %v", err)
	}
	junk := filepath.Join(t.TempDir(), "junk.db")
	if err := os.WriteFile(junk, []byte("this is not a database, whatever its name says"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ctx, junk, Options{}); err == nil {
		t.Error("junk was opened")
	}
}

func TestAppendAndGetGiveBackTheSameBytes(t *testing.T) {
	tl := newTestLog(t)
	tl.add(10)
	tl.reopen()
	for i := range 10 {
		want := entry(i)
		got, err := tl.Get(ctx, want.Index.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.Entry()); diff != "" || got.Leaf != int64(i) {
			t.Errorf("entry %d at leaf %d: %s", i, got.Leaf, diff)
		}
	}
	if _, err := tl.Get(ctx, "nobody"); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("unknown id: error %v", err)
	}
	tl.wantOK(10)
}

func TestAppendRefuses(t *testing.T) {
	tl := newTestLog(t)
	tl.add(1)
	change := func(f func(*audit.Entry)) audit.Entry { e := entry(7); f(&e); return e }
	tests := []struct {
		name string
		e    audit.Entry
		want error
	}{
		{"an id that is already in the log", entry(0), audit.ErrDuplicate},
		{"an entry without an id", change(func(e *audit.Entry) { e.Index.ID = "" }), audit.ErrInvalid},
		{"an id with a line break, which would forge leaf lines", change(func(e *audit.Entry) { e.Index.ID = "a\nb" }), audit.ErrInvalid},
		{"an entry without a kind", change(func(e *audit.Entry) { e.Index.Kind = "" }), audit.ErrInvalid},
		{"an entry without a time", change(func(e *audit.Entry) { e.Index.Time = time.Time{} }), audit.ErrInvalid},
		{"a salt too short to hide anything", change(func(e *audit.Entry) { e.Salt = []byte("short") }), audit.ErrInvalid},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := tl.Append(ctx, tc.e); !errors.Is(err, tc.want) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
		})
	}
	tl.wantOK(1)
}

func TestAppendAfterCloseIsRefused(t *testing.T) {
	tl := newTestLog(t)
	if err := tl.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := tl.Append(ctx, entry(0)); !errors.Is(err, audit.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

func TestAReadOnlyLogCannotBeAppendedTo(t *testing.T) {
	tl := newTestLog(t)
	tl.add(2)
	l, err := Open(ctx, tl.path, Options{Verifier: tl.key.Verifier()})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := l.Append(ctx, entry(9)); !errors.Is(err, audit.ErrKey) {
		t.Errorf("error %v", err)
	}
	if r, err := l.Verify(ctx); err != nil || !r.OK {
		t.Errorf("report %+v, error %v", r, err)
	}
}

func TestConcurrentAppendsAllArriveOnce(t *testing.T) {
	tl := newTestLog(t)
	const callers, each = 8, 25
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				e := entry(c*each + i)
				got, err := tl.Append(ctx, e)
				if err != nil {
					t.Error(err)
					return
				}
				leaf, err := audit.LeafOf(e)
				if err != nil || leaf.Hash().String() != got.LeafHash {
					t.Errorf("entry %s: leaf hash %s, error %v", e.Index.ID, got.LeafHash, err)
				}
				if _, err := tl.Append(ctx, e); !errors.Is(err, audit.ErrDuplicate) {
					t.Errorf("twice: error %v", err)
				}
			}
		})
	}
	wg.Wait()
	tl.wantOK(callers * each)
}

func TestTwoProcessesMayAppendToOneFile(t *testing.T) {
	tl := newTestLog(t)
	second, err := Open(ctx, tl.path, Options{Key: tl.key})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	var wg sync.WaitGroup
	for i, l := range []*Log{tl.Log, second} {
		wg.Go(func() {
			for k := range 20 {
				if _, err := l.Append(ctx, entry(i*100+k)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	tl.wantOK(40)
}

func TestQuerySelectsAndPages(t *testing.T) {
	tl := newTestLog(t)
	tl.add(30)
	yes := true
	tests := []struct {
		name string
		f    audit.Filter
		want int
	}{
		{"by patient", audit.Filter{Patient: "Patient/2"}, 6},
		{"by user", audit.Filter{User: "Practitioner/1"}, 10},
		{"by patient and user", audit.Filter{Patient: "Patient/2", User: "Practitioner/1"}, 2},
		{"by drug", audit.Filter{Drug: "norepinephrine"}, 30},
		{"by rule", audit.Filter{Rule: "V3"}, 7},
		{"by status", audit.Filter{Status: "abstain"}, 15},
		{"by shown", audit.Filter{Shown: &yes}, 15},
		{"by model", audit.Filter{Model: "m1"}, 30},
		{"by a model nobody used", audit.Filter{Model: "m2"}, 0},
		{"by time span", audit.Filter{Since: entry(10).Index.Time, Until: entry(20).Index.Time}, 10},
		{"a value with a quote is a value", audit.Filter{Patient: "x' OR '1'='1"}, 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			rows, err := tl.Query(ctx, tc.f)
			if err != nil || len(rows) != tc.want {
				t.Fatalf("%d rows, error %v, want %d", len(rows), err, tc.want)
			}
			for i := 1; i < len(rows); i++ {
				if rows[i].Leaf >= rows[i-1].Leaf {
					t.Error("not newest first")
				}
			}
		})
	}
	var seen []int64
	f := audit.Filter{Limit: 7, OldestFirst: true}
	for {
		rows, err := tl.Query(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) == 0 {
			break
		}
		for _, r := range rows {
			seen = append(seen, r.Leaf)
		}
		f.After = &rows[len(rows)-1].Leaf
	}
	if len(seen) != 30 || seen[0] != 0 || seen[29] != 29 {
		t.Errorf("pages gave %v", seen)
	}
	if _, err := tl.Query(ctx, audit.Filter{Limit: audit.MaxLimit + 1}); !errors.Is(err, audit.ErrInvalid) {
		t.Errorf("a limit without bound: error %v", err)
	}
}

// TestProofsHoldForAnotherLibrary has transparency-dev/merkle, which shares no
// code with ours, check every proof of every size up to 20.
func TestProofsHoldForAnotherLibrary(t *testing.T) {
	tl := newTestLog(t)
	var heads [][]byte
	_, empty, err := tl.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	heads = append(heads, empty)
	for n := range 20 {
		tl.add(1)
		head, signed, err := tl.Head(ctx)
		if err != nil {
			t.Fatal(err)
		}
		heads = append(heads, signed)
		for leaf := range int64(n + 1) {
			p, err := tl.ProveInclusion(ctx, leaf)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Check(tl.key.Verifier()); err != nil {
				t.Fatal(err)
			}
			if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(leaf), uint64(head.Size), p.LeafHash[:], raw(p.Path), head.Root[:]); err != nil {
				t.Fatalf("leaf %d of %d: %v", leaf, head.Size, err)
			}
		}
		for size, older := range heads {
			p, err := tl.ProveConsistency(ctx, older)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Check(tl.key.Verifier()); err != nil {
				t.Fatal(err)
			}
			was, err := audit.OpenCheckpoint(older, tl.key.Verifier())
			if err != nil {
				t.Fatal(err)
			}
			if size == 0 || int64(size) == head.Size {
				continue // the other library wants an empty proof and refuses size 0
			}
			if err := proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(size), uint64(head.Size), raw(p.Path), was.Root[:], head.Root[:]); err != nil {
				t.Fatalf("%d to %d: %v", size, head.Size, err)
			}
		}
	}
	if _, err := tl.ProveInclusion(ctx, 20); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("a leaf beyond the end: error %v", err)
	}
}

func raw(hashes []tlog.Hash) [][]byte {
	out := make([][]byte, len(hashes))
	for i := range hashes {
		out[i] = hashes[i][:]
	}
	return out
}

func TestARolledBackLogIsRefused(t *testing.T) {
	tl := newTestLog(t)
	tl.add(3)
	backup := filepath.Join(t.TempDir(), "backup.db")
	if _, err := tl.read.Exec(`VACUUM INTO ?`, backup); err != nil {
		t.Fatal(err)
	}
	seen := filepath.Join(t.TempDir(), "seen")
	tl.add(2)
	l, err := Open(ctx, tl.path, Options{Key: tl.key, Seen: seen})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ctx, backup, Options{Key: tl.key, Seen: seen}); !errors.Is(err, audit.ErrRolledBack) {
		t.Errorf("the older backup: error %v", err)
	}
	kept, err := os.ReadFile(seen)
	if err != nil {
		t.Fatal(err)
	}
	old, err := Open(ctx, backup, Options{Key: tl.key})
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if r, err := old.Verify(ctx); err != nil || !r.OK {
		t.Errorf("alone the backup is sound: %+v, %v", r, err)
	}
	if r, err := old.VerifyAgainst(ctx, kept); err != nil || r.OK || r.FirstBad == nil || *r.FirstBad != 3 {
		t.Errorf("against the kept checkpoint: %+v, %v", r, err)
	}
}

func TestAnyHistoryVerifiesAndIsReadBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp("", "audit")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir)
		key, _, err := audit.NewKey(nil, "o")
		if err != nil {
			rt.Fatal(err)
		}
		path := filepath.Join(dir, "a.db")
		if err := Create(ctx, path, Options{Key: key}); err != nil {
			rt.Fatal(err)
		}
		l, err := Open(ctx, path, Options{Key: key, Batch: rapid.IntRange(1, 5).Draw(rt, "batch")})
		if err != nil {
			rt.Fatal(err)
		}
		defer l.Close()
		n := rapid.IntRange(0, 12).Draw(rt, "entries")
		var all []audit.Entry
		for i := range n {
			e := audit.Entry{
				Index: audit.Index{
					ID: fmt.Sprintf("id-%d", i), Kind: "decision", Time: time.Unix(0, rapid.Int64Range(1e18, 2e18).Draw(rt, "ns")).UTC(),
					Patient: rapid.String().Draw(rt, "patient"), Rules: rapid.SliceOfN(rapid.StringMatching(`[A-Z]\d`), 0, 3).Draw(rt, "rules"),
				},
				Salt: rapid.SliceOfN(rapid.Byte(), 16, 32).Draw(rt, "salt"),
				Body: rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(rt, "body"),
			}
			all = append(all, e)
			if _, err := l.Append(ctx, e); err != nil {
				rt.Fatal(err)
			}
		}
		r, err := l.Verify(ctx)
		if err != nil || !r.OK || r.Size != int64(n) {
			rt.Fatalf("report %+v, error %v", r, err)
		}
		for _, e := range all {
			got, err := l.Get(ctx, e.Index.ID)
			if err != nil {
				rt.Fatal(err)
			}
			if string(got.Body) != string(e.Body) || string(got.Salt) != string(e.Salt) {
				rt.Fatalf("entry %s came back changed", e.Index.ID)
			}
		}
	})
}
