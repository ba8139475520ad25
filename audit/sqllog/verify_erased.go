// SPDX-License-Identifier: Apache-2.0

package sqllog

// This file: what Verify makes of erased entries and of encrypted bodies. An
// erased entry counts only if an entry of the tree records its erasure: else
// anybody with the database could put digests in the place of a record.

import (
	"maps"
	"math"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sepsisagent/sepsisagent/audit"
)

// What is known of an erased leaf.
const (
	fateGone     = 1 << iota // its digests are stored in the place of the entry
	fateRecorded             // an entry records the erasure
)

// erasedRow is what is left of an entry.
type erasedRow struct {
	leaf    int64
	id      string
	digests []byte
}

// erasedStream reads erased entries in order, a page at a time.
type erasedStream struct {
	c     *checker
	page  []erasedRow
	last  int64
	ended bool
}

// peek gives the next one without taking it.
func (s *erasedStream) peek() (e erasedRow, ok bool, err error) {
	if len(s.page) == 0 && !s.ended {
		if err := s.fill(); err != nil {
			return erasedRow{}, false, err
		}
	}
	if len(s.page) == 0 {
		return erasedRow{}, false, nil
	}
	return s.page[0], true, nil
}

func (s *erasedStream) fill() error {
	if s.c.l.version < erasureVersion {
		s.ended = true
		return nil
	}
	rows, err := s.c.query(`SELECT leaf, id, digests FROM erased WHERE leaf > ? ORDER BY leaf LIMIT ?`, s.last, int64(nodePage))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var e erasedRow
		if err := rows.Scan(&e.leaf, &e.id, &e.digests); err != nil {
			return err
		}
		s.page, s.last = append(s.page, e), e.leaf
	}
	s.ended = len(s.page) < nodePage
	return rows.Err()
}

// erasedBefore grows the tree by the erased entries that stand next, up to a leaf.
func (c *checker) erasedBefore(leaf int64, nodes *nodeStream) error {
	for {
		e, ok, err := c.gone.peek()
		if err != nil || !ok || e.leaf >= leaf {
			return err
		}
		switch {
		case e.leaf < c.size:
			c.report.Add(max(e.leaf, -1), e.id, "it is stored, and its digests as of an erased entry too")
		case e.leaf > c.size:
			return nil // a gap: the caller says so
		default:
			parsed, err := audit.ParseLeaf(e.digests)
			if err != nil || parsed.ID != e.id {
				c.report.Add(e.leaf, e.id, "the digests of an erased entry are not those of one")
			}
			if err := c.grow(e.leaf, e.id, tlog.RecordHash(e.digests), nodes); err != nil {
				return err
			}
			c.fate[e.leaf] |= fateGone
			c.report.Erased++
		}
		c.gone.page = c.gone.page[1:]
	}
}

// erasedAtEnd takes those after the last entry, and says if one is out of place.
func (c *checker) erasedAtEnd(nodes *nodeStream) error {
	if err := c.erasedBefore(math.MaxInt64, nodes); err != nil {
		return err
	}
	e, ok, err := c.gone.peek()
	if err == nil && ok {
		c.report.Add(min(e.leaf, c.size), e.id, "erased leaf %d where %d was due: an entry was removed, inserted or renumbered", e.leaf, c.size)
		c.lost = true
	}
	return err
}

// body checks what only some bodies need: those encrypted, and those that record
// erasures.
func (c *checker) body(r rawRow) {
	if r.keyID != "" {
		c.report.Encrypted++
		if !c.l.opts.Bodies.Has(r.keyID) {
			c.report.Unopened++
		} else if _, err := r.open(c.l.opts.Bodies); err != nil {
			c.report.Add(r.leaf, r.id, "%v", err)
		}
	}
	ix, err := audit.DecodeIndex(r.index)
	if err != nil || ix.Kind != audit.KindErasure {
		return // bytes that cannot be decoded are reported by problems
	}
	e, err := audit.DecodeErasure(r.stored.body)
	if err != nil {
		c.report.Add(r.leaf, r.id, "%v", err)
		return
	}
	for _, one := range e.Records {
		if one.Leaf < 0 || one.Leaf >= r.leaf {
			c.report.Add(r.leaf, r.id, "it records the erasure of leaf %d, which is not before it", one.Leaf)
			continue
		}
		c.fate[one.Leaf] |= fateRecorded
	}
}

// fates says of every erased leaf whether entry and erasure agree.
func (c *checker) fates() error {
	for _, leaf := range slices.Sorted(maps.Keys(c.fate)) {
		switch c.fate[leaf] {
		case fateGone:
			c.report.Add(leaf, "", "erased, and no entry records the erasure")
		case fateRecorded:
			c.report.Add(leaf, "", "it is stored, and an entry records its erasure: it was put back")
		}
	}
	if c.l.version < erasureVersion {
		return nil
	}
	var stray int64
	if err := c.tx.QueryRowContext(c.ctx, `SELECT COUNT(*) FROM sealed s WHERE NOT EXISTS (SELECT 1 FROM entry e WHERE e.leaf = s.leaf)`).Scan(&stray); err != nil {
		return err
	}
	if stray > 0 {
		c.report.Add(-1, "", "%d encrypted bodies belong to no entry", stray)
	}
	return nil
}
