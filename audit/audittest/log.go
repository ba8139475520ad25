// SPDX-License-Identifier: Apache-2.0

package audittest

// This file: creating, opening, appending, reading and proving.

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
)

func missing(t *testing.T, place func(testing.TB) Place) {
	p := place(t)
	for range 2 { // opening made nothing
		if _, err := p.Open(t.Context(), sqllog.Options{}); !errors.Is(err, audit.ErrMissing) {
			t.Fatalf("error %v", err)
		}
	}
	if _, err := p.Verify(t.Context(), sqllog.Options{}, nil); !errors.Is(err, audit.ErrMissing) {
		t.Errorf("verify: error %v", err)
	}
}

func createTwice(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	h.add(3)
	if err := h.Create(t.Context(), sqllog.Options{Key: h.key}); !errors.Is(err, audit.ErrExists) {
		t.Fatalf("error %v", err)
	}
	h.wantOK(3)
	if err := place(t).Create(t.Context(), sqllog.Options{}); !errors.Is(err, audit.ErrKey) {
		t.Errorf("without a key: error %v", err)
	}
}

func otherKey(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	if _, err := h.Place.Open(t.Context(), sqllog.Options{Key: newKey(t)}); !errors.Is(err, audit.ErrKey) {
		t.Errorf("another key: error %v", err)
	}
}

func giveBack(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	h.add(10)
	h.reopen()
	for i := range 10 {
		want := Entry(i)
		got, err := h.Get(t.Context(), want.Index.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.Entry()); diff != "" || got.Leaf != int64(i) {
			t.Errorf("entry %d at leaf %d: %s", i, got.Leaf, diff)
		}
	}
	if _, err := h.Get(t.Context(), "nobody"); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("unknown id: error %v", err)
	}
	h.wantOK(10)
}

func refusals(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	h.add(1)
	change := func(f func(*audit.Entry)) audit.Entry { e := Entry(7); f(&e); return e }
	tests := []struct {
		name string
		e    audit.Entry
		want error
	}{
		{"an id that is already in the log", Entry(0), audit.ErrDuplicate},
		{"an entry without an id", change(func(e *audit.Entry) { e.Index.ID = "" }), audit.ErrInvalid},
		{"an id with a line break, which would forge leaf lines", change(func(e *audit.Entry) { e.Index.ID = "a\nb" }), audit.ErrInvalid},
		{"an entry without a kind", change(func(e *audit.Entry) { e.Index.Kind = "" }), audit.ErrInvalid},
		{"an entry without a time", change(func(e *audit.Entry) { e.Index.Time = time.Time{} }), audit.ErrInvalid},
		{"a salt too short to hide anything", change(func(e *audit.Entry) { e.Salt = []byte("short") }), audit.ErrInvalid},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := h.Append(t.Context(), tc.e); !errors.Is(err, tc.want) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
		})
	}
	h.wantOK(1)
}

func closed(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Append(t.Context(), Entry(0)); !errors.Is(err, audit.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

func readOnly(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	h.add(2)
	l := h.another(sqllog.Options{Verifier: h.key.Verifier()})
	if _, err := l.Append(t.Context(), Entry(9)); !errors.Is(err, audit.ErrKey) {
		t.Errorf("error %v", err)
	}
	if r, err := l.Verify(t.Context()); err != nil || !r.OK {
		t.Errorf("report %+v, error %v", r, err)
	}
}

func concurrent(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	const callers, each = 8, 25
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				e := Entry(c*each + i)
				got, err := h.Append(t.Context(), e)
				if err != nil {
					t.Error(err)
					return
				}
				leaf, err := audit.LeafOf(e)
				if err != nil || leaf.Hash().String() != got.LeafHash {
					t.Errorf("entry %s: leaf hash %s, error %v", e.Index.ID, got.LeafHash, err)
				}
				if _, err := h.Append(t.Context(), e); !errors.Is(err, audit.ErrDuplicate) {
					t.Errorf("twice: error %v", err)
				}
			}
		})
	}
	wg.Wait()
	h.wantOK(callers * each)
}

func replicas(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	const each = 20
	all := []*sqllog.Log{h.Log, h.another(sqllog.Options{Key: h.key}), h.another(sqllog.Options{Key: h.key, Batch: 1})}
	var wg sync.WaitGroup
	for i, l := range all {
		for half := range 2 {
			wg.Go(func() {
				for k := range each {
					if _, err := l.Append(t.Context(), Entry((2*i+half)*100+k)); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	h.wantOK(int64(2 * each * len(all)))
}

func queries(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	h.add(30)
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
		{"by time span", audit.Filter{Since: Entry(10).Index.Time, Until: Entry(20).Index.Time}, 10},
		{"a value with a quote is a value", audit.Filter{Patient: "x' OR '1'='1"}, 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			rows, err := h.Query(t.Context(), tc.f)
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
		rows, err := h.Query(t.Context(), f)
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
	if _, err := h.Query(t.Context(), audit.Filter{Limit: audit.MaxLimit + 1}); !errors.Is(err, audit.ErrInvalid) {
		t.Errorf("a limit without bound: error %v", err)
	}
}

// hostile appends what no hospital sends and somebody else might.
func hostile(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	texts := []string{
		"NUL \x00 inside", "\x00", "bytes that are no text \xff\xfe", strings.Repeat("long ", 20_000), strings.Repeat("ü", 400),
		"$1 ? :name @p", `quote " ' back\slash`, "\u202eright to left", "{1,2}", "NULL",
	}
	for i, text := range texts {
		e := Entry(i)
		e.Index.Patient, e.Index.Rules, e.Index.Drugs, e.Index.User = text, []string{text, text, "V1"}, nil, ""
		e.Body = []byte(text)
		if _, err := h.Append(t.Context(), e); err != nil {
			t.Fatalf("%.20q: %v", text, err)
		}
	}
	e := Entry(len(texts))
	e.Body = nil
	if _, err := h.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	h.wantOK(int64(len(texts) + 1))
	for i, text := range texts {
		got, err := h.Get(t.Context(), Entry(i).Index.ID)
		if err != nil || string(got.Body) != text {
			t.Fatalf("%.20q: came back as %.20q, %v", text, got.Body, err)
		}
		kept := got.Index.Patient // JSON has replaced what is no text
		for _, f := range []audit.Filter{{Patient: kept}, {Rule: kept}} {
			rows, err := h.Query(t.Context(), f)
			if err != nil || len(rows) != 1 || rows[0].Leaf != int64(i) {
				t.Errorf("%.20q: found %d rows, %v", text, len(rows), err)
			}
		}
	}
}

// proofs has transparency-dev/merkle, which shares no
// code with ours, check every proof of every size up to 20.
func proofs(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	var heads [][]byte
	_, empty, err := h.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	heads = append(heads, empty)
	for n := range 20 {
		h.add(1)
		head, signed, err := h.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		heads = append(heads, signed)
		for leaf := range int64(n + 1) {
			p, err := h.ProveInclusion(t.Context(), leaf)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Check(h.key.Verifier()); err != nil {
				t.Fatal(err)
			}
			if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(leaf), uint64(head.Size), p.LeafHash[:], raw(p.Path), head.Root[:]); err != nil {
				t.Fatalf("leaf %d of %d: %v", leaf, head.Size, err)
			}
		}
		for size, older := range heads {
			p, err := h.ProveConsistency(t.Context(), older)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Check(h.key.Verifier()); err != nil {
				t.Fatal(err)
			}
			was, err := audit.OpenCheckpoint(older, h.key.Verifier())
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
	if _, err := h.ProveInclusion(t.Context(), 20); !errors.Is(err, audit.ErrNotFound) {
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

func rolledBack(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	h.add(3)
	backup := h.Copy(t)
	seen := filepath.Join(t.TempDir(), "seen")
	h.add(2)
	if err := h.another(sqllog.Options{Key: h.key, Seen: seen}).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Open(t.Context(), sqllog.Options{Key: h.key, Seen: seen}); !errors.Is(err, audit.ErrRolledBack) {
		t.Errorf("the older backup: error %v", err)
	}
	kept, err := os.ReadFile(seen)
	if err != nil {
		t.Fatal(err)
	}
	opts := sqllog.Options{Verifier: h.key.Verifier()}
	if r, err := backup.Verify(t.Context(), opts, nil); err != nil || !r.OK {
		t.Errorf("alone the backup is sound: %+v, %v", r, err)
	}
	if r, err := backup.Verify(t.Context(), opts, kept); err != nil || r.OK || r.FirstBad == nil || *r.FirstBad != 3 {
		t.Errorf("against the kept checkpoint: %+v, %v", r, err)
	}
}

// histories appends whatever may be appended, in one log that grows.
func histories(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	var all []audit.Entry
	rapid.Check(t, func(rt *rapid.T) {
		l, err := h.Place.Open(t.Context(), sqllog.Options{Key: h.key, Batch: rapid.IntRange(1, 5).Draw(rt, "batch")})
		if err != nil {
			rt.Fatal(err)
		}
		defer l.Close()
		before := len(all)
		for range rapid.IntRange(0, 12).Draw(rt, "entries") {
			e := audit.Entry{
				Index: audit.Index{
					ID: fmt.Sprintf("id-%d", len(all)), Kind: "decision", Time: time.Unix(0, rapid.Int64Range(1e18, 2e18).Draw(rt, "ns")).UTC(),
					Patient: rapid.String().Draw(rt, "patient"), Rules: rapid.SliceOfN(rapid.StringMatching(`[A-Z]\d`), 0, 3).Draw(rt, "rules"),
				},
				Salt: rapid.SliceOfN(rapid.Byte(), 16, 32).Draw(rt, "salt"),
				Body: rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(rt, "body"),
			}
			if _, err := l.Append(t.Context(), e); err != nil {
				rt.Fatal(err)
			}
			all = append(all, e)
		}
		for _, e := range all[before:] {
			got, err := l.Get(t.Context(), e.Index.ID)
			if err != nil {
				rt.Fatal(err)
			}
			if string(got.Body) != string(e.Body) || string(got.Salt) != string(e.Salt) {
				rt.Fatalf("entry %s came back changed", e.Index.ID)
			}
		}
	})
	h.wantOK(int64(len(all)))
}
