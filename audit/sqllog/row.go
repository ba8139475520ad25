// SPDX-License-Identifier: Apache-2.0

package sqllog

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
	stored
	timeNs int64
	cols   []any
	terms  [][2]string // kind and value
}

func (r *rawRow) scan(rows *sql.Rows) error {
	r.cols = make([]any, len(columns))
	dest := r.into(&r.timeNs)
	for i := range r.cols {
		dest = append(dest, &r.cols[i])
	}
	return rows.Scan(dest...)
}

// problems says where the searchable columns and the signed index bytes part:
// a column that was changed hides an entry from a query.
func (r rawRow) problems(d Dialect) []string {
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
	if r.keyID != "" && len(r.body) > 0 {
		out = append(out, "a plain body lies beside the encrypted one")
	}
	for i, col := range columns {
		got := r.cols[i]
		if b, ok := got.([]byte); ok {
			got = string(b)
		}
		if got != d.value(col, ix) {
			out = append(out, fmt.Sprintf("the column %s differs from the index", col.name))
		}
	}
	return out
}

// termsProblem compares the search terms of an entry with its index.
func (r rawRow) termsProblem(d Dialect) string {
	ix, err := audit.DecodeIndex(r.index)
	if err == nil && !slices.Equal(r.terms, d.termsOf(ix)) {
		return "the search terms differ from the index"
	}
	return "" // bytes that cannot be decoded are reported by problems
}

// nodeStream reads stored nodes in order, a page at a time, so that a log of a
// million entries is verified without a million look-ups.
type nodeStream struct {
	c     *checker
	page  []storedNode
	last  int64 // idx of the last node read
	ended bool
	stray int // nodes that no leaf asked for
}

type storedNode struct {
	idx  int64
	hash tlog.Hash
}

// fill reads the next page when there is nothing at hand.
func (s *nodeStream) fill() error {
	if len(s.page) > 0 || s.ended {
		return nil
	}
	rows, err := s.c.query(`SELECT idx, hash FROM node WHERE idx > ? ORDER BY idx LIMIT ?`, s.last, int64(nodePage))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var n storedNode
		var raw []byte
		if err := rows.Scan(&n.idx, &raw); err != nil {
			return err
		}
		if len(raw) == tlog.HashSize {
			n.hash = tlog.Hash(raw)
		}
		s.page, s.last = append(s.page, n), n.idx
	}
	s.ended = len(s.page) < nodePage
	return rows.Err()
}

// next gives the node stored at idx; ok is false when there is none.
func (s *nodeStream) next(idx int64) (h tlog.Hash, ok bool, err error) {
	for {
		if err := s.fill(); err != nil || len(s.page) == 0 {
			return tlog.Hash{}, false, err
		}
		n := s.page[0]
		if n.idx > idx {
			return tlog.Hash{}, false, nil
		}
		s.page = s.page[1:]
		if n.idx == idx {
			return n.hash, true, nil
		}
		s.stray++
	}
}

// rest counts the nodes that were not asked for.
func (s *nodeStream) rest() (int, error) {
	n := 0
	for {
		if err := s.fill(); err != nil || len(s.page) == 0 {
			return n, err
		}
		n += len(s.page)
		s.page = nil
	}
}
