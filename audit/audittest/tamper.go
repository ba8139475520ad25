// SPDX-License-Identifier: Apache-2.0

package audittest

// This file: everything somebody with the database, and without the key, may try.

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
)

func guards(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	h.add(2)
	db := h.db()
	for _, stmt := range []string{
		`UPDATE entry SET body = salt`, `DELETE FROM entry`, `DELETE FROM node`, `UPDATE checkpoint SET size = 1`, `DELETE FROM term`, `DELETE FROM meta`,
	} {
		if _, err := db.Exec(stmt); err == nil {
			t.Errorf("%s went through", stmt)
		}
	}
	h.wantOK(2)
}

func tampering(t *testing.T, place func(testing.TB) Place) {
	zero := make([]byte, 32)
	swap := []statement{
		do(`UPDATE entry SET leaf = -1 WHERE leaf = 3`), do(`UPDATE entry SET leaf = 3 WHERE leaf = 4`), do(`UPDATE entry SET leaf = 4 WHERE leaf = -1`),
		do(`UPDATE term SET leaf = leaf + 100 WHERE leaf = 3`), do(`UPDATE term SET leaf = 3 WHERE leaf = 4`), do(`UPDATE term SET leaf = 4 WHERE leaf = 103`),
	}
	index, err := audit.EncodeIndex(Entry(4).Index)
	if err != nil {
		t.Fatal(err)
	}
	index = bytes.ReplaceAll(index, []byte("suggest"), []byte("abstain"))
	other := newKey(t)
	tests := []struct {
		name  string
		stmts []statement
		first int64
	}{
		{"a body changed", []statement{do(`UPDATE entry SET body = ? WHERE leaf = 5`, zero)}, 5},
		{"a salt changed", []statement{do(`UPDATE entry SET salt = ? WHERE leaf = 5`, zero)}, 5},
		{"an id changed", []statement{do(`UPDATE entry SET id = 'other' WHERE leaf = 2`)}, 2},
		{"the signed index changed", []statement{do(`UPDATE entry SET index_json = ? WHERE leaf = 4`, index)}, 4},
		{"a search column changed, which hides the entry", []statement{do(`UPDATE entry SET patient = 'Patient/nobody' WHERE leaf = 6`)}, 6},
		{"a time column changed, which moves the entry", []statement{do(`UPDATE entry SET time_ns = time_ns + 1 WHERE leaf = 6`)}, 6},
		{"a search term removed", []statement{do(`DELETE FROM term WHERE leaf = 7 AND kind = 'drug'`)}, 7},
		{"a search term added", []statement{do(`INSERT INTO term VALUES ('drug', 'epinephrine', 7)`)}, 7},
		{"a search term of no entry", []statement{do(`INSERT INTO term VALUES ('drug', 'epinephrine', 99)`)}, -1},
		{"a record removed from the middle", []statement{do(`DELETE FROM entry WHERE leaf = 3`)}, 3},
		{"the first record removed", []statement{do(`DELETE FROM entry WHERE leaf = 0`)}, 0},
		{"the middle removed and the rest moved up", []statement{do(`DELETE FROM entry WHERE leaf = 3`), do(`UPDATE entry SET leaf = -leaf WHERE leaf > 3`), do(`UPDATE entry SET leaf = -leaf - 1 WHERE leaf < 0`)}, 3},
		{"two records swapped", swap, 3},
		{"the last record removed", []statement{do(`DELETE FROM entry WHERE leaf = 9`)}, 9},
		{"the end cut off with its nodes", []statement{do(`DELETE FROM entry WHERE leaf >= 7`), do(`DELETE FROM node WHERE idx >= ?`, tlog.StoredHashIndex(0, 7))}, 7},
		{"everything removed", []statement{do(`DELETE FROM entry`), do(`DELETE FROM node`), do(`DELETE FROM term`)}, 0},
		{"a tree node changed", []statement{do(`UPDATE node SET hash = ? WHERE idx = ?`, zero, tlog.StoredHashIndex(0, 4))}, 4},
		{"an inner tree node changed", []statement{do(`UPDATE node SET hash = ? WHERE idx = ?`, zero, tlog.StoredHashIndex(1, 1))}, 3},
		{"a tree node removed", []statement{do(`DELETE FROM node WHERE idx = ?`, tlog.StoredHashIndex(0, 4))}, 4},
		{"a tree node of no place", []statement{do(`INSERT INTO node VALUES (-5, ?)`, zero)}, -1},
		{"the newest checkpoint removed", []statement{do(`DELETE FROM checkpoint WHERE size = 10`)}, 9},
		{"all checkpoints removed", []statement{do(`DELETE FROM checkpoint`)}, 0},
		{"a checkpoint filed under another size", []statement{do(`UPDATE checkpoint SET size = 20 WHERE size = 10`)}, 9},
		{"a checkpoint signed by another key", []statement{forged(t, other, 10)}, 9},
		{"a checkpoint that is garbage", []statement{do(`UPDATE checkpoint SET signed = ? WHERE size = 10`, zero)}, 9},
		{"the stored public key replaced", []statement{do(`UPDATE meta SET value = ? WHERE key = 'verifier'`, other.Verifier().String())}, -1},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, place)
			h.add(10)
			h.wantOK(10)
			h.tamper(tc.stmts...)
			h.wantBad(tc.first)
		})
	}
}

// forged words an update that puts a checkpoint of another key in place.
func forged(t *testing.T, key *audit.Key, size int64) statement {
	t.Helper()
	signed, err := audit.Checkpoint{Origin: key.Name(), Size: size, Root: sha256.Sum256(nil)}.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	return do(`UPDATE checkpoint SET signed = ? WHERE size = ?`, signed, size)
}

// rewritten plays the strongest attacker without the key: a row changed and
// every node computed anew.
func rewritten(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	h.add(10)
	db := h.tamper(do(`UPDATE entry SET body = ? WHERE leaf = 4`, []byte("nothing was given")), do(`DELETE FROM node`))
	fresh := map[int64]tlog.Hash{}
	read := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(at))
		for i := range at {
			out[i] = fresh[at[i]]
		}
		return out, nil
	})
	for i := range int64(10) {
		var id string
		var index, salt, body []byte
		if err := db.QueryRow(h.Bind(`SELECT id, index_json, salt, body FROM entry WHERE leaf = ?`), i).Scan(&id, &index, &salt, &body); err != nil {
			t.Fatal(err)
		}
		hashes, err := tlog.StoredHashesForRecordHash(i, audit.MakeLeaf(id, index, salt, body).Hash(), read)
		if err != nil {
			t.Fatal(err)
		}
		for k, hash := range hashes {
			at := tlog.StoredHashIndex(0, i) + int64(k)
			fresh[at] = hash
			if _, err := db.Exec(h.Bind(`INSERT INTO node VALUES (?, ?)`), at, hash[:]); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.wantBad(4) // the checkpoint of size 5 is the first that does not fit
	if _, err := h.Append(t.Context(), Entry(10)); !errors.Is(err, audit.ErrRolledBack) {
		t.Errorf("our signature was put on it: error %v", err)
	}
}

func notContinued(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	h.add(6)
	h.tamper(do(`UPDATE node SET hash = ? WHERE idx = ?`, make([]byte, 32), tlog.StoredHashIndex(1, 2)))
	if _, err := h.Append(t.Context(), Entry(6)); !errors.Is(err, audit.ErrRolledBack) {
		t.Errorf("error %v", err)
	}
	if size, err := h.Size(t.Context()); err != nil || size != 6 {
		t.Errorf("%d entries, %v", size, err)
	}
}

func changedRecord(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	h.add(3)
	h.tamper(do(`UPDATE entry SET body = ? WHERE leaf = 1`, []byte("x")))
	if _, err := h.Get(t.Context(), Entry(1).Index.ID); !errors.Is(err, audit.ErrProof) {
		t.Errorf("error %v", err)
	}
}

func shorter(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	h.add(5)
	h.tamper(do(`DELETE FROM entry WHERE leaf = 4`))
	if _, err := h.Place.Open(t.Context(), sqllog.Options{Key: h.key}); !errors.Is(err, audit.ErrRolledBack) {
		t.Errorf("error %v", err)
	}
}
