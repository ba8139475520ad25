// SPDX-License-Identifier: Apache-2.0

package sqllog

// This file: reading entries: one by id, a page by filter.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sepsisagent/sepsisagent/audit"
)

// Get reads one entry by id. Errors: audit.ErrNotFound.
func (l *Log) Get(ctx context.Context, id string) (audit.Record, error) {
	var leaf int64
	var index, salt, body, hash []byte
	err := l.store.Read.QueryRowContext(ctx, l.store.Dialect.Bind(
		`SELECT leaf, index_json, salt, body FROM entry WHERE id = ?`), id).Scan(&leaf, &index, &salt, &body)
	if errors.Is(err, sql.ErrNoRows) {
		return audit.Record{}, fmt.Errorf("%w: %s", audit.ErrNotFound, id)
	}
	if err != nil {
		return audit.Record{}, fmt.Errorf("get entry: %w", err)
	}
	err = l.store.Read.QueryRowContext(ctx, l.store.Dialect.Bind(`SELECT hash FROM node WHERE idx = ?`), tlog.StoredHashIndex(0, leaf)).Scan(&hash)
	if err != nil {
		return audit.Record{}, fmt.Errorf("get entry: node of leaf %d: %w", leaf, err)
	}
	row, err := asRow(leaf, index, hash)
	if err != nil {
		return audit.Record{}, err
	}
	// A record whose bytes no longer match its leaf is not handed out as one.
	if audit.MakeLeaf(row.Index.ID, index, salt, body).Hash().String() != row.LeafHash {
		return audit.Record{}, fmt.Errorf("entry %s: %w: stored bytes do not match leaf %d (hint: run `sepsisagent audit verify`)", id, audit.ErrProof, leaf)
	}
	return audit.Record{Row: row, Salt: salt, Body: body}, nil
}

// Query gives one page of entries that match, newest first unless the filter
// says otherwise. For the next page set Filter.After to the last row's leaf.
func (l *Log) Query(ctx context.Context, f audit.Filter) ([]audit.Row, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	rows, _, err := l.Page(ctx, f, 0)
	return rows, err
}

// withHashes puts the stored leaf hashes into rows.
func (l *Log) withHashes(ctx context.Context, out []audit.Row) ([]audit.Row, error) {
	at := make([]int64, len(out))
	for i := range out {
		at[i] = tlog.StoredHashIndex(0, out[i].Leaf)
	}
	hashes, err := l.nodes(ctx, l.store.Read).ReadHashes(at)
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	for i := range out {
		out[i].LeafHash = hashes[i].String()
	}
	return out, nil
}

func asRow(leaf int64, index, hash []byte) (audit.Row, error) {
	ix, err := audit.DecodeIndex(index)
	if err != nil {
		return audit.Row{}, fmt.Errorf("leaf %d: %w", leaf, err)
	}
	if len(hash) != tlog.HashSize {
		return audit.Row{}, fmt.Errorf("leaf %d: %w: node of %d bytes", leaf, audit.ErrProof, len(hash))
	}
	return audit.Row{Leaf: leaf, LeafHash: tlog.Hash(hash).String(), Index: ix}, nil
}
