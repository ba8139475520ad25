// SPDX-License-Identifier: Apache-2.0

package sqllog

// This file: one entry as it lies in the tables, its body plain or encrypted.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sepsisagent/sepsisagent/audit"
)

// stored is an entry before anything in it is believed.
type stored struct {
	leaf              int64
	id                string
	index, salt, body []byte
	keyID             string // "": the body is plain
	digest, box       []byte // of an encrypted body
}

// erasureVersion is the version of the tables that erasure, encryption and
// cosignatures came with. Older logs are read as they are.
const erasureVersion = 3

// selectStored begins a query for entries, called e; more may name further columns
// of e, each preceded by a comma.
func (l *Log) selectStored(more string) string {
	if l.version < erasureVersion {
		return `SELECT e.leaf, e.id, e.index_json, e.salt, e.body, '', NULL, NULL` + more + ` FROM entry e`
	}
	return `SELECT e.leaf, e.id, e.index_json, e.salt, e.body, COALESCE(s.key_id, ''), s.digest, s.box` + more +
		` FROM entry e LEFT JOIN sealed s ON s.leaf = e.leaf`
}

// into are the places that a row of selectStored is scanned into.
func (s *stored) into(more ...any) []any {
	return append([]any{&s.leaf, &s.id, &s.index, &s.salt, &s.body, &s.keyID, &s.digest, &s.box}, more...)
}

// asLeaf is what the stored bytes say the leaf is. Of an encrypted body its stored
// digest takes part: the tree tells whether that is right without any key.
func (s stored) asLeaf() audit.Leaf {
	leaf := audit.MakeLeaf(s.id, s.index, s.salt, s.body)
	if s.keyID != "" {
		leaf.BodyDigest = s.bodyDigest()
	}
	return leaf
}

func (s stored) bodyDigest() (d [sha256.Size]byte) {
	if len(s.digest) == sha256.Size {
		d = [sha256.Size]byte(s.digest)
	}
	return d
}

// open gives the body, decrypted where it must be, if it is the one that its
// digest speaks of. Errors: audit.ErrSealed, audit.ErrProof.
func (s stored) open(keys *audit.BodyKeys) ([]byte, error) {
	if s.keyID == "" {
		return s.body, nil
	}
	body, err := keys.Open(s.keyID, s.id, s.bodyDigest(), s.box)
	if err != nil {
		return nil, err
	}
	if audit.MakeLeaf(s.id, s.index, s.salt, body).BodyDigest != s.bodyDigest() {
		return nil, fmt.Errorf("%w: the encrypted body of %s is not the one that was signed", audit.ErrProof, s.id)
	}
	return body, nil
}

// matches demands that the stored bytes are those of the leaf with this hash.
func (s stored) matches(hash []byte) error {
	want := s.asLeaf().Hash()
	if !bytes.Equal(want[:], hash) {
		return fmt.Errorf("entry %s: %w: stored bytes do not match leaf %d (hint: run `sepsisagent audit verify`)", s.id, audit.ErrProof, s.leaf)
	}
	return nil
}

// matchAll holds entries against their leaves in the tree of a transaction.
func (l *Log) matchAll(ctx context.Context, q querier, entries []stored) error {
	at := make([]int64, len(entries))
	for i, s := range entries {
		at[i] = tlog.StoredHashIndex(0, s.leaf)
	}
	hashes, err := l.nodes(ctx, q).ReadHashes(at)
	if err != nil {
		return err
	}
	for i, s := range entries {
		if err := s.matches(hashes[i][:]); err != nil {
			return err
		}
	}
	return nil
}
