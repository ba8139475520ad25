// SPDX-License-Identifier: Apache-2.0

package sqllog

// This file: reading entries: one by id, a page by filter.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

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
	stmt, args := l.store.Dialect.selectRows(f)
	rows, err := l.store.Read.QueryContext(ctx, l.store.Dialect.Bind(stmt), args...)
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	defer rows.Close()
	var out []audit.Row
	for rows.Next() {
		var leaf int64
		var index []byte
		if err := rows.Scan(&leaf, &index); err != nil {
			return nil, fmt.Errorf("query: %w", err)
		}
		out = append(out, audit.Row{Leaf: leaf})
		if out[len(out)-1].Index, err = audit.DecodeIndex(index); err != nil {
			return nil, fmt.Errorf("query: leaf %d: %w", leaf, err)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
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

// selectRows words the filter as SQL. Values travel as arguments only.
func (d Dialect) selectRows(f audit.Filter) (string, []any) {
	var where []string
	var args []any
	and := func(cond string, v ...any) {
		where = append(where, cond)
		args = append(args, v...)
	}
	for _, c := range columns {
		if c.want == nil {
			continue
		}
		if v := c.want(f); v != "" {
			and(fmt.Sprintf("(%s = ? AND %s <> '')", c.quoted(), c.quoted()), d.Text(v))
		}
	}
	for _, t := range terms {
		if v := t.want(f); v != "" {
			and("leaf IN (SELECT leaf FROM term WHERE kind = ? AND value = ?)", t.name, d.Text(v))
		}
	}
	if f.Shown != nil {
		and("shown = ?", boolean(*f.Shown))
	}
	if !f.Since.IsZero() {
		and("time_ns >= ?", f.Since.UnixNano())
	}
	if !f.Until.IsZero() {
		and("time_ns < ?", f.Until.UnixNano())
	}
	order := "DESC"
	if f.OldestFirst {
		order = "ASC"
	}
	if f.After != nil {
		if f.OldestFirst {
			and("leaf > ?", *f.After)
		} else {
			and("leaf < ?", *f.After)
		}
	}
	stmt := "SELECT leaf, index_json FROM entry"
	if len(where) > 0 {
		stmt += " WHERE " + strings.Join(where, " AND ")
	}
	return stmt + fmt.Sprintf(" ORDER BY leaf %s LIMIT %d", order, f.PageSize()), args
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
