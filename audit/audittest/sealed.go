// SPDX-License-Identifier: Apache-2.0

package audittest

// This file: bodies that are stored encrypted.

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
)

// bodyKey makes a key for bodies.
func bodyKey(t testing.TB) []byte {
	t.Helper()
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		t.Fatal(err)
	}
	return key
}

func bodyKeys(t testing.TB, keys ...[]byte) *audit.BodyKeys {
	t.Helper()
	k, err := audit.NewBodyKeys(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// newSealedHouse is a log whose bodies are encrypted.
func newSealedHouse(t *testing.T, place func(testing.TB) Place, keys *audit.BodyKeys) *house {
	t.Helper()
	h := &house{Place: place(t), t: t, key: newKey(t)}
	if err := h.Create(t.Context(), sqllog.Options{Key: h.key}); err != nil {
		t.Fatal(err)
	}
	h.Log = h.another(sqllog.Options{Key: h.key, Bodies: keys})
	return h
}

// verify gives the report with some keys for bodies, or none.
func (h *house) verify(keys *audit.BodyKeys) audit.Report {
	h.t.Helper()
	r, err := h.Place.Verify(h.t.Context(), sqllog.Options{Verifier: h.key.Verifier(), Bodies: keys}, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

// wantBodies demands the bodies of the first n entries.
func (h *house) wantBodies(l *sqllog.Log, n int) {
	h.t.Helper()
	for i := range n {
		want := Entry(i)
		got, err := l.Get(h.t.Context(), want.Index.ID)
		if err != nil || !bytes.Equal(got.Body, want.Body) {
			h.t.Errorf("entry %d: %q, %v", i, got.Body, err)
		}
	}
}

// storedBytes are all bodies as the database holds them.
func (h *house) storedBytes() []byte {
	h.t.Helper()
	var out []byte
	for _, q := range []string{`SELECT body FROM entry`, `SELECT box FROM sealed`} {
		rows, err := h.db().Query(q)
		if err != nil {
			h.t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var b []byte
			if err := rows.Scan(&b); err != nil {
				h.t.Fatal(err)
			}
			out = append(out, b...)
		}
		if err := rows.Err(); err != nil {
			h.t.Fatal(err)
		}
	}
	return out
}

func encrypted(t *testing.T, place func(testing.TB) Place) {
	keys := bodyKeys(t, bodyKey(t))
	h, plain := newSealedHouse(t, place, keys), newHouse(t, place)
	h.add(8)
	plain.add(8)
	h.wantBodies(h.Log, 8)
	if bytes.Contains(h.storedBytes(), []byte("body of entry")) || !bytes.Contains(plain.storedBytes(), []byte("body of entry")) {
		t.Error("a plain body is stored, or the test looks in the wrong place")
	}
	a, b := h.verify(keys), plain.verify(nil)
	if !a.OK || a.Encrypted != 8 || a.Unopened != 0 || a.Root != b.Root {
		t.Errorf("report %+v, the plain log's %+v", a, b)
	}
	done, err := h.Erase(t.Context(), audit.Selection{Patient: "Patient/1"}, why)
	if err != nil || done.Records != 2 {
		t.Fatalf("%+v, %v", done, err)
	}
	if r := h.verify(keys); !r.OK || r.Erased != 2 || r.Encrypted != 6 {
		t.Errorf("after an erasure: %+v", r)
	}
}

func withoutBodyKey(t *testing.T, place func(testing.TB) Place) {
	h := newSealedHouse(t, place, bodyKeys(t, bodyKey(t)))
	h.add(5)
	if _, err := h.Erase(t.Context(), audit.Selection{ID: Entry(3).Index.ID}, why); err != nil {
		t.Fatal(err)
	}
	for name, keys := range map[string]*audit.BodyKeys{"no key": nil, "another key": bodyKeys(t, bodyKey(t))} {
		if r := h.verify(keys); !r.OK || r.Size != 6 || r.Encrypted != 4 || r.Unopened != 4 || r.Erased != 1 {
			t.Errorf("%s: %+v", name, r)
		}
		l := h.another(sqllog.Options{Verifier: h.key.Verifier(), Bodies: keys})
		if _, err := l.Get(t.Context(), Entry(1).Index.ID); !errors.Is(err, audit.ErrSealed) {
			t.Errorf("%s: error %v", name, err)
		}
		if rows, err := l.Query(t.Context(), audit.Filter{Patient: "Patient/1"}); err != nil || len(rows) != 1 {
			t.Errorf("%s: %d rows, %v", name, len(rows), err)
		}
	}
	if _, err := h.Place.Open(t.Context(), sqllog.Options{Key: h.key}); !errors.Is(err, audit.ErrSealed) {
		t.Errorf("it would go on unencrypted: error %v", err)
	}
}

func encryptedTampering(t *testing.T, place func(testing.TB) Place) {
	zero := make([]byte, 64)
	tests := []struct {
		name         string
		stmts        []statement
		with, anyway int64 // first bad with the key, and without (-2: only the key tells)
	}{
		{"a box changed", []statement{do(`UPDATE sealed SET box = ? WHERE leaf = 3`, zero)}, 3, -2},
		{"a box emptied", []statement{do(`UPDATE sealed SET box = ? WHERE leaf = 3`, []byte{})}, 3, -2},
		{"another record's box", []statement{do(`UPDATE sealed SET box = (SELECT box FROM sealed WHERE leaf = 4) WHERE leaf = 3`)}, 3, -2},
		{"a digest changed", []statement{do(`UPDATE sealed SET digest = ? WHERE leaf = 3`, zero[:32])}, 3, 3},
		{"a box removed", []statement{do(`DELETE FROM sealed WHERE leaf = 3`)}, 3, 3},
		{"a plain body beside it", []statement{do(`UPDATE entry SET body = ? WHERE leaf = 3`, zero)}, 3, 3},
		{"a box of no record", []statement{do(`INSERT INTO sealed (leaf, key_id, digest, box) VALUES (77, 'k', ?, ?)`, zero[:32], zero)}, -1, -1},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			keys := bodyKeys(t, bodyKey(t))
			h := newSealedHouse(t, place, keys)
			h.add(6)
			h.tamper(tc.stmts...)
			for name, x := range map[string]struct {
				keys  *audit.BodyKeys
				first int64
			}{"with the key": {keys, tc.with}, "without": {nil, tc.anyway}} {
				r := h.verify(x.keys)
				switch {
				case x.first == -2:
					if !r.OK || r.Unopened == 0 {
						t.Errorf("%s: %+v", name, r)
					}
				case r.OK, x.first >= 0 && (r.FirstBad == nil || *r.FirstBad != x.first):
					t.Errorf("%s: %+v, want first bad %d", name, r, x.first)
				}
			}
		})
	}
}

func rekeyed(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	h.add(3)
	old, fresh := bodyKey(t), bodyKey(t)
	h.Log = h.another(sqllog.Options{Key: h.key, Bodies: bodyKeys(t, old)})
	h.add(3)
	if _, err := h.PlaceHold(t.Context(), audit.Hold{Topic: audit.HoldPatient, Patient: "Patient/77", Why: why}); err != nil {
		t.Fatal(err)
	}
	before := h.verify(nil)
	if n, err := h.Reseal(t.Context()); err != nil || n != 3 {
		t.Fatalf("plain ones: %d, %v", n, err)
	}
	both := bodyKeys(t, fresh, old)
	h.Log = h.another(sqllog.Options{Key: h.key, Bodies: both})
	h.wantBodies(h.Log, 6)
	for _, want := range []int64{6, 0} {
		if n, err := h.Reseal(t.Context()); err != nil || n != want {
			t.Fatalf("%d, %v, want %d", n, err, want)
		}
	}
	after := h.verify(bodyKeys(t, fresh))
	if !after.OK || after.Root != before.Root || after.Unopened != 0 || after.Encrypted != 6 {
		t.Errorf("%+v, before %+v", after, before)
	}
	if bytes.Contains(h.storedBytes(), []byte("body of entry")) {
		t.Error("a plain body is still stored")
	}
	h.Log = h.another(sqllog.Options{Key: h.key, Bodies: bodyKeys(t, fresh)})
	h.wantBodies(h.Log, 6)
	third := h.another(sqllog.Options{Key: h.key, Bodies: bodyKeys(t, old)})
	if _, err := third.Reseal(t.Context()); !errors.Is(err, audit.ErrSealed) {
		t.Errorf("without the key they are under: error %v", err)
	}
	if _, err := h.another(sqllog.Options{Verifier: h.key.Verifier()}).Reseal(t.Context()); !errors.Is(err, audit.ErrKey) {
		t.Errorf("without the signing key: error %v", err)
	}
}
