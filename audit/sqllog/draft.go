// SPDX-License-Identifier: Apache-2.0

package sqllog

// This file: an entry as it will be written, but for its place in the log. Who
// appends makes it, so that the one writer of all has only to number and to hash
// the tree.

import (
	"golang.org/x/mod/sumdb/tlog"

	"github.com/sepsisagent/sepsisagent/audit"
)

type draft struct {
	entry  audit.Entry
	hash   tlog.Hash   // of its leaf
	row    []any       // entryNames without the leaf
	terms  [][2]string // what it is found by
	sealed []any       // sealedNames without the leaf; nil: its body is stored plain
}

// draft checks an entry and makes its draft. Errors: audit.ErrInvalid.
func (l *Log) draft(e audit.Entry) (draft, error) {
	if err := e.Validate(); err != nil {
		return draft{}, err
	}
	index, err := audit.EncodeIndex(e.Index)
	if err != nil {
		return draft{}, err
	}
	// What the columns say comes from the bytes that the tree commits to.
	ix, err := audit.DecodeIndex(index)
	if err != nil {
		return draft{}, err
	}
	leaf := audit.MakeLeaf(ix.ID, index, e.Salt, e.Body)
	d := draft{entry: e, hash: leaf.Hash(), row: []any{ix.ID, ix.Time.UnixNano()}, terms: l.store.Dialect.termsOf(ix)}
	for _, c := range columns {
		d.row = append(d.row, l.store.Dialect.value(c, ix))
	}
	body := e.Body
	if l.opts.Bodies != nil && !audit.Permanent(ix.Kind) {
		keyID, box := l.opts.Bodies.Seal(ix.ID, leaf.BodyDigest, body)
		d.sealed = []any{keyID, leaf.BodyDigest[:], box}
		body = nil
	}
	d.row = append(d.row, index, e.Salt, blob(body))
	return d, nil
}

// entryNames are the columns of a row of growth.entry.
var entryNames = func() []string {
	names := []string{"leaf", "id", "time_ns"}
	for _, c := range columns {
		names = append(names, c.name)
	}
	return append(names, "index_json", "salt", "body")
}()

var sealedNames = []string{"leaf", "key_id", "digest", "box"}

// blob keeps an empty body from being stored as NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
