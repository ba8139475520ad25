// SPDX-License-Identifier: Apache-2.0

package sqlite

// This file: everything somebody with the disk, and without the key, may try.

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sepsisagent/sepsisagent/audit"
)

func TestTheFileGuardsAgainstASlipOfTheHand(t *testing.T) {
	tl := newTestLog(t)
	tl.add(2)
	for _, stmt := range []string{
		`UPDATE entry SET body = x'00'`, `DELETE FROM entry`, `DELETE FROM node`, `UPDATE checkpoint SET size = 1`, `DELETE FROM term`,
	} {
		if _, err := tl.write.Exec(stmt); err == nil {
			t.Errorf("%s went through", stmt)
		}
	}
	tl.wantOK(2)
}

func TestVerifyNamesTheFirstBadRecord(t *testing.T) {
	swap := `UPDATE entry SET leaf = -1 WHERE leaf = 3; UPDATE entry SET leaf = 3 WHERE leaf = 4; UPDATE entry SET leaf = 4 WHERE leaf = -1;
		UPDATE term SET leaf = leaf + 100 WHERE leaf = 3; UPDATE term SET leaf = 3 WHERE leaf = 4; UPDATE term SET leaf = 4 WHERE leaf = 103`
	other, _, err := audit.NewKey(nil, "hospital.example/sepsis")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		stmts []string
		first int64
	}{
		{"a body changed", []string{`UPDATE entry SET body = x'00' WHERE leaf = 5`}, 5},
		{"a salt changed", []string{`UPDATE entry SET salt = zeroblob(32) WHERE leaf = 5`}, 5},
		{"an id changed", []string{`UPDATE entry SET id = 'other' WHERE leaf = 2`}, 2},
		{"the signed index changed", []string{`UPDATE entry SET index_json = CAST(replace(CAST(index_json AS TEXT), 'suggest', 'abstain') AS BLOB) WHERE leaf = 4`}, 4},
		{"a search column changed, which hides the entry", []string{`UPDATE entry SET patient = 'Patient/nobody' WHERE leaf = 6`}, 6},
		{"a time column changed, which moves the entry", []string{`UPDATE entry SET time_ns = time_ns + 1 WHERE leaf = 6`}, 6},
		{"a search term removed", []string{`DELETE FROM term WHERE leaf = 7 AND kind = 'drug'`}, 7},
		{"a search term added", []string{`INSERT INTO term VALUES ('drug', 'epinephrine', 7)`}, 7},
		{"a search term of no entry", []string{`INSERT INTO term VALUES ('drug', 'epinephrine', 99)`}, -1},
		{"a record removed from the middle", []string{`DELETE FROM entry WHERE leaf = 3`}, 3},
		{"the first record removed", []string{`DELETE FROM entry WHERE leaf = 0`}, 0},
		{"the middle removed and the rest moved up", []string{`DELETE FROM entry WHERE leaf = 3`, `UPDATE entry SET leaf = leaf - 1 WHERE leaf > 3`}, 3},
		{"two records swapped", []string{swap}, 3},
		{"the last record removed", []string{`DELETE FROM entry WHERE leaf = 9`}, 9},
		{"the end cut off with its nodes", []string{`DELETE FROM entry WHERE leaf >= 7`, fmt.Sprintf(`DELETE FROM node WHERE idx >= %d`, tlog.StoredHashIndex(0, 7))}, 7},
		{"everything removed", []string{`DELETE FROM entry`, `DELETE FROM node`, `DELETE FROM term`}, 0},
		{"a tree node changed", []string{fmt.Sprintf(`UPDATE node SET hash = zeroblob(32) WHERE idx = %d`, tlog.StoredHashIndex(0, 4))}, 4},
		{"an inner tree node changed", []string{fmt.Sprintf(`UPDATE node SET hash = zeroblob(32) WHERE idx = %d`, tlog.StoredHashIndex(1, 1))}, 3},
		{"a tree node removed", []string{fmt.Sprintf(`DELETE FROM node WHERE idx = %d`, tlog.StoredHashIndex(0, 4))}, 4},
		{"a tree node of no place", []string{`INSERT INTO node VALUES (-5, zeroblob(32))`}, -1},
		{"the newest checkpoint removed", []string{`DELETE FROM checkpoint WHERE size = 10`}, 9},
		{"all checkpoints removed", []string{`DELETE FROM checkpoint`}, 0},
		{"a checkpoint filed under another size", []string{`UPDATE checkpoint SET size = 20 WHERE size = 10`}, 9},
		{"a checkpoint signed by another key", []string{forged(t, other, 10)}, 9},
		{"a checkpoint that is garbage", []string{`UPDATE checkpoint SET signed = x'00ff' WHERE size = 10`}, 9},
		{"the stored public key replaced", []string{fmt.Sprintf(`UPDATE meta SET value = '%s' WHERE key = 'verifier'`, other.Verifier())}, -1},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			tl := newTestLog(t)
			tl.add(10)
			tl.wantOK(10)
			tl.tamper(tc.stmts...)
			r := tl.wantBad(tc.first)
			for _, f := range r.Findings {
				if f.Problem == "" {
					t.Error("a finding without words")
				}
			}
			tl.quiet()
		})
	}
}

// quiet closes a broken log, whose Close rightly complains.
func (tl *testLog) quiet() {
	tl.t.Helper()
	_ = tl.Close() //nolint:errcheck // a broken log may fail to close cleanly
}

// forged words an update that puts a checkpoint of another key in place.
func forged(t *testing.T, key *audit.Key, size int64) string {
	t.Helper()
	signed, err := audit.Checkpoint{Origin: key.Name(), Size: size, Root: sha256.Sum256(nil)}.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`UPDATE checkpoint SET signed = x'%s' WHERE size = %d`, hex.EncodeToString(signed), size)
}

// TestARewrittenTreeStillShows plays the strongest attacker without the key:
// a row changed and every node computed anew.
func TestARewrittenTreeStillShows(t *testing.T) {
	tl := newTestLog(t)
	tl.add(10)
	tl.tamper(`UPDATE entry SET body = CAST('nothing was given' AS BLOB) WHERE leaf = 4`, `DELETE FROM node`)
	db, err := connect(tl.path, "rw", DefaultBusy)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	fresh := &nodeReader{ctx: ctx, q: db, fresh: map[int64]tlog.Hash{}}
	for i := range int64(10) {
		var id string
		var index, salt, body []byte
		if err := db.QueryRow(`SELECT id, index_json, salt, body FROM entry WHERE leaf = ?`, i).Scan(&id, &index, &salt, &body); err != nil {
			t.Fatal(err)
		}
		hashes, err := tlog.StoredHashesForRecordHash(i, audit.MakeLeaf(id, index, salt, body).Hash(), fresh)
		if err != nil {
			t.Fatal(err)
		}
		for k, h := range hashes {
			at := tlog.StoredHashIndex(0, i) + int64(k)
			fresh.fresh[at] = h
			if _, err := db.Exec(`INSERT INTO node VALUES (?, ?)`, at, h[:]); err != nil {
				t.Fatal(err)
			}
		}
	}
	tl.wantBad(4) // the checkpoint of size 5 is the first that does not fit
	if _, err := tl.Get(ctx, entry(4).Index.ID); err != nil {
		t.Logf("get: %v", err)
	}
}

func TestGetRefusesARecordThatWasChanged(t *testing.T) {
	tl := newTestLog(t)
	tl.add(3)
	tl.tamper(`UPDATE entry SET body = x'00' WHERE leaf = 1`)
	if _, err := tl.Get(ctx, entry(1).Index.ID); !errors.Is(err, audit.ErrProof) {
		t.Errorf("error %v", err)
	}
}

func TestOpenRefusesALogShorterThanItsCheckpoint(t *testing.T) {
	tl := newTestLog(t)
	tl.add(5)
	tl.tamper(`DELETE FROM entry WHERE leaf = 4`)
	if _, err := Open(ctx, tl.path, Options{Key: tl.key}); !errors.Is(err, audit.ErrRolledBack) {
		t.Errorf("error %v", err)
	}
}
