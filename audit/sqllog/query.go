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

// Get reads one entry by id. Errors: audit.ErrNotFound, and with it
// audit.ErrErased; audit.ErrSealed, audit.ErrProof.
func (l *Log) Get(ctx context.Context, id string) (audit.Record, error) {
	var s stored
	var hash []byte
	err := l.store.Read.QueryRowContext(ctx, l.store.Dialect.Bind(l.selectStored("")+` WHERE e.id = ?`), id).Scan(s.into()...)
	if errors.Is(err, sql.ErrNoRows) {
		return audit.Record{}, l.gone(ctx, id)
	}
	if err != nil {
		return audit.Record{}, fmt.Errorf("get entry: %w", err)
	}
	err = l.store.Read.QueryRowContext(ctx, l.store.Dialect.Bind(`SELECT hash FROM node WHERE idx = ?`), tlog.StoredHashIndex(0, s.leaf)).Scan(&hash)
	if err != nil {
		return audit.Record{}, fmt.Errorf("get entry: node of leaf %d: %w", s.leaf, err)
	}
	row, err := asRow(s.leaf, s.index, hash)
	if err != nil {
		return audit.Record{}, err
	}
	// A record whose bytes no longer match its leaf is not handed out as one.
	if row.Index.ID != s.id {
		return audit.Record{}, fmt.Errorf("entry %s: %w: it is stored under another id (hint: run `sepsisagent audit verify`)", id, audit.ErrProof)
	}
	if err := s.matches(hash); err != nil {
		return audit.Record{}, err
	}
	body, err := s.open(l.opts.Bodies)
	if err != nil {
		return audit.Record{}, fmt.Errorf("entry %s: %w", id, err)
	}
	return audit.Record{Row: row, Salt: s.salt, Body: body}, nil
}

// gone says why an entry is not there.
func (l *Log) gone(ctx context.Context, id string) error {
	_, receipt, err := l.erasedAs(ctx, id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%w: %s", audit.ErrNotFound, id)
	case err != nil:
		return fmt.Errorf("get entry: %w", err)
	}
	return fmt.Errorf("%w: %s: %w (see %s)", audit.ErrNotFound, id, audit.ErrErased, receipt)
}

// erasedAs finds what is left of an erased entry, or sql.ErrNoRows.
func (l *Log) erasedAs(ctx context.Context, id string) (leaf int64, receipt string, err error) {
	if l.version < erasureVersion {
		return 0, "", sql.ErrNoRows
	}
	err = l.store.Read.QueryRowContext(ctx, l.store.Dialect.Bind(`SELECT leaf, receipt FROM erased WHERE id = ?`), id).Scan(&leaf, &receipt)
	return leaf, receipt, err
}

// LeafOf is the leaf number of an entry, also of an erased one.
// Errors: audit.ErrNotFound.
func (l *Log) LeafOf(ctx context.Context, id string) (leaf int64, err error) {
	err = l.store.Read.QueryRowContext(ctx, l.store.Dialect.Bind(`SELECT leaf FROM entry WHERE id = ?`), id).Scan(&leaf)
	if errors.Is(err, sql.ErrNoRows) {
		leaf, _, err = l.erasedAs(ctx, id)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("%w: %s", audit.ErrNotFound, id)
	}
	return leaf, err
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
