// SPDX-License-Identifier: Apache-2.0

package sqlite

// This file: one stored row as Verify sees it, and the stream of tree nodes
// that runs beside the rows.

import (
	"database/sql"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sepsisagent/sepsisagent/audit"
)

// rawRow is a row before anything in it is believed.
type rawRow struct {
	leaf, timeNs      int64
	id                string
	index, salt, body []byte
	cols              []any
}

func (r *rawRow) scan(rows *sql.Rows) error {
	r.cols = make([]any, len(columns))
	dest := []any{&r.leaf, &r.id, &r.timeNs, &r.index, &r.salt, &r.body}
	for i := range r.cols {
		dest = append(dest, &r.cols[i])
	}
	return rows.Scan(dest...)
}

// problems says where the searchable columns and the signed index bytes part:
// a column that was changed hides an entry from a query.
func (r rawRow) problems() []string {
	ix, err := audit.DecodeIndex(r.index)
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	if ix.ID != r.id {
		out = append(out, "the id column differs from the index")
	}
	if ix.Time.UnixNano() != r.timeNs {
		out = append(out, "the time column differs from the index")
	}
	for i, col := range columns {
		got := r.cols[i]
		if b, ok := got.([]byte); ok {
			got = string(b)
		}
		if got != col.of(ix) {
			out = append(out, fmt.Sprintf("the column %s differs from the index", col.name))
		}
	}
	return out
}

// terms compares the search terms of an entry with its index.
func (c *checker) terms(r rawRow) (string, error) {
	ix, err := audit.DecodeIndex(r.index)
	if err != nil {
		return "", nil // reported by problems
	}
	var want []string
	for _, t := range terms {
		for _, v := range t.of(ix) {
			want = append(want, t.name+"\x00"+v)
		}
	}
	slices.Sort(want)
	want = slices.Compact(want)
	rows, err := c.tx.QueryContext(c.ctx, `SELECT kind, value FROM term WHERE leaf = ?`, r.leaf)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var got []string
	for rows.Next() {
		var k, v string
		if err := rows.Scan(&k, &v); err != nil {
			return "", err
		}
		got = append(got, k+"\x00"+v)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		return "the search terms differ from the index", rows.Err()
	}
	return "", rows.Err()
}

// nodeStream reads stored nodes in order, so that a log of a million entries
// is verified without a million look-ups.
type nodeStream struct {
	rows  *sql.Rows
	held  bool
	idx   int64
	hash  tlog.Hash
	stray int // nodes that no leaf asked for
}

// next gives the node stored at idx; ok is false when there is none.
func (s *nodeStream) next(idx int64) (h tlog.Hash, ok bool, err error) {
	for {
		if !s.held {
			if !s.rows.Next() {
				return tlog.Hash{}, false, s.rows.Err()
			}
			var raw []byte
			if err := s.rows.Scan(&s.idx, &raw); err != nil {
				return tlog.Hash{}, false, err
			}
			s.held = true
			s.hash = tlog.Hash{}
			if len(raw) == tlog.HashSize {
				copy(s.hash[:], raw)
			}
		}
		switch {
		case s.idx < idx:
			s.held = false
			s.stray++
		case s.idx > idx:
			return tlog.Hash{}, false, nil
		default:
			s.held = false
			return s.hash, true, nil
		}
	}
}

// rest counts the nodes that were not asked for.
func (s *nodeStream) rest() (int, error) {
	n := 0
	if s.held {
		n++
	}
	for s.rows.Next() {
		n++
	}
	return n, s.rows.Err()
}
