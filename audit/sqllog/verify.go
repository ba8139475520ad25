// SPDX-License-Identifier: Apache-2.0

package sqllog

// This file: Verify, which believes nothing but the public key. It reads every
// row in order, computes its leaf from the stored bytes, grows the tree from
// the leaves alone and holds everything stored against that.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sepsisagent/sepsisagent/audit"
)

// Verify checks the whole log. Findings are in the report, not in the error;
// an error means that the log could not be read at all.
func (l *Log) Verify(ctx context.Context) (audit.Report, error) { return l.verify(ctx, nil) }

// VerifyAgainst is Verify and also demands that the log continues a signed
// checkpoint kept elsewhere: only that finds a log that was rolled back whole.
func (l *Log) VerifyAgainst(ctx context.Context, kept []byte) (audit.Report, error) {
	return l.verify(ctx, kept)
}

// VerifyStore verifies a log that Open may refuse, such as one whose end was cut
// off. kept may be nil. Nothing is written. The store is closed.
func VerifyStore(ctx context.Context, s Store, opts Options, kept []byte) (audit.Report, error) {
	l := &Log{store: s, opts: opts}
	defer s.close()
	var err error
	if l.version, err = checkVersion(ctx, s, false); err == nil {
		err = l.chooseVerifier(ctx)
	}
	// A key that is none of the log's is a finding, and the rest is checked with it.
	if err != nil && !(errors.Is(err, audit.ErrKey) && l.verifier != nil) {
		return audit.Report{}, fmt.Errorf("verify %s: %w", s.Name, err)
	}
	return l.verify(ctx, kept)
}

func (l *Log) verify(ctx context.Context, kept []byte) (audit.Report, error) {
	// One read transaction: the log may be written to meanwhile.
	tx, err := l.snapshot(ctx)
	if err != nil {
		return audit.Report{}, fmt.Errorf("verify: %w", err)
	}
	defer tx.Rollback()
	c := &checker{ctx: ctx, tx: tx, l: l, report: audit.Report{OK: true, Origin: l.verifier.Name()}, fate: map[int64]uint8{}}
	c.gone = erasedStream{c: c, last: math.MinInt64}
	if c.blocks, err = c.blockTimes(); err != nil {
		return audit.Report{}, fmt.Errorf("verify: %w", err)
	}
	if err := c.loadCheckpoints(); err != nil {
		return audit.Report{}, fmt.Errorf("verify: %w", err)
	}
	if len(kept) > 0 {
		c.addKept(kept)
	}
	if err := c.cosignatures(); err != nil {
		return audit.Report{}, fmt.Errorf("verify: %w", err)
	}
	if err := c.rows(); err != nil {
		return audit.Report{}, fmt.Errorf("verify: %w", err)
	}
	if err := c.finish(); err != nil {
		return audit.Report{}, fmt.Errorf("verify: %w", err)
	}
	return c.report, nil
}

// Rows and nodes are read in pages: a connection answers one question at a time.
const (
	rowPage  = 16
	nodePage = 2048
)

// checker is the state of one verification.
type checker struct {
	ctx    context.Context
	tx     *sql.Tx
	l      *Log
	report audit.Report

	size   int64
	blocks map[int64][2]int64 // earliest and latest time of full blocks
	edge   []tlog.Hash        // edge[level]: newest complete node of that level
	heads  []signedHead
	next   int // first head not yet reached
	gone   erasedStream
	packed briefs
	fate   map[int64]uint8 // of erased leaves
	lost   bool            // a row is missing or misplaced: later rows were not read
}

func (c *checker) query(query string, args ...any) (*sql.Rows, error) {
	return c.tx.QueryContext(c.ctx, c.l.store.Dialect.Bind(query), args...)
}

type signedHead struct {
	size   int64
	root   tlog.Hash
	signed []byte
	kept   bool
}

// loadCheckpoints checks every stored signature.
func (c *checker) loadCheckpoints() error {
	rows, err := c.tx.QueryContext(c.ctx, `SELECT size, signed FROM checkpoint ORDER BY size`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var size int64
		var signed []byte
		if err := rows.Scan(&size, &signed); err != nil {
			return err
		}
		head, err := audit.OpenCheckpoint(signed, c.l.verifier)
		switch {
		case err != nil:
			c.report.Add(size-1, "", "checkpoint of size %d: %v", size, err)
		case head.Size != size:
			c.report.Add(min(size, head.Size)-1, "", "checkpoint filed under size %d is signed for %d", size, head.Size)
		default:
			c.heads = append(c.heads, signedHead{size: size, root: head.Root, signed: signed})
		}
	}
	return rows.Err()
}

func (c *checker) addKept(kept []byte) {
	head, err := audit.OpenCheckpoint(kept, c.l.verifier)
	if err != nil {
		c.report.Add(-1, "", "the checkpoint kept elsewhere: %v", err)
		return
	}
	c.heads = append(c.heads, signedHead{size: head.Size, root: head.Root, signed: kept, kept: true})
	slices.SortStableFunc(c.heads, func(a, b signedHead) int { return int(a.size - b.size) })
}

// rows walks entries and nodes side by side.
func (c *checker) rows() error {
	stored := nodeStream{c: c, last: math.MinInt64}
	c.reachedHeads()
	for last := int64(math.MinInt64); ; {
		page, err := c.page(last)
		if err != nil {
			return err
		}
		for _, r := range page {
			if err := c.erasedBefore(r.leaf, &stored); err != nil {
				return err
			}
			if r.leaf != c.size {
				c.report.Add(min(r.leaf, c.size), r.id, "leaf %d where %d was due: an entry was removed, inserted or renumbered", r.leaf, c.size)
				c.lost = true // from here on nothing stands where it was
				return nil
			}
			if err := c.row(r, &stored); err != nil {
				return err
			}
		}
		if len(page) < rowPage {
			break
		}
		last = page[len(page)-1].leaf
	}
	if err := c.erasedAtEnd(&stored); err != nil || c.lost {
		return err
	}
	if extra, err := stored.rest(); err != nil {
		return err
	} else if extra > 0 {
		c.report.Add(c.size, "", "%d tree nodes stored beyond the last entry: entries were removed from the end", extra)
	}
	if stored.stray > 0 {
		c.report.Add(-1, "", "%d tree nodes belong to no place in the tree", stored.stray)
	}
	return nil
}

// page reads the entries after a leaf, with their search terms.
func (c *checker) page(after int64) ([]rawRow, error) {
	names := make([]string, len(columns))
	for i, col := range columns {
		names[i] = col.quoted()
	}
	rows, err := c.query(c.l.selectStored(", e.time_ns, e."+strings.Join(names, ", e."))+` WHERE e.leaf > ? ORDER BY e.leaf LIMIT ?`, after, int64(rowPage))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var page []rawRow
	for rows.Next() {
		var r rawRow
		if err := r.scan(rows); err != nil {
			return nil, err
		}
		page = append(page, r)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || len(page) == 0 {
		return nil, err
	}
	return page, c.addTerms(page)
}

// addTerms reads the search terms of a page of entries, in order of leaves.
func (c *checker) addTerms(page []rawRow) error {
	rows, err := c.query(`SELECT leaf, kind, value FROM term WHERE leaf >= ? AND leaf <= ?`, page[0].leaf, page[len(page)-1].leaf)
	if err != nil {
		return err
	}
	defer rows.Close()
	at := map[int64]*rawRow{}
	for i := range page {
		at[page[i].leaf] = &page[i]
	}
	for rows.Next() {
		var leaf int64
		var t [2]string
		if err := rows.Scan(&leaf, &t[0], &t[1]); err != nil {
			return err
		}
		if r := at[leaf]; r != nil { // others are counted by finish
			r.terms = append(r.terms, t)
		}
	}
	for i := range page {
		slices.SortFunc(page[i].terms, byKindAndValue)
	}
	return rows.Err()
}

// row checks one entry and grows the tree by it.
func (c *checker) row(r rawRow, stored *nodeStream) error {
	for _, problem := range r.problems(c.l.store.Dialect) {
		c.report.Add(r.leaf, r.id, "%s", problem)
	}
	if problem := c.blockProblem(r.leaf, r.timeNs); problem != "" {
		c.report.Add(r.leaf, r.id, "%s", problem)
	}
	if problem := r.termsProblem(c.l.store.Dialect); problem != "" {
		c.report.Add(r.leaf, r.id, "%s", problem)
	}
	c.body(r)
	if err := c.brief(r.leaf, r.index); err != nil {
		return err
	}
	return c.grow(r.leaf, r.id, r.asLeaf().Hash(), stored)
}

// grow makes a hash the next leaf and holds the stored nodes against it.
func (c *checker) grow(at int64, id string, leaf tlog.Hash, stored *nodeStream) error {
	hashes, err := tlog.StoredHashesForRecordHash(c.size, leaf, tlog.HashReaderFunc(c.readEdge))
	if err != nil {
		return err
	}
	for level, h := range hashes {
		got, ok, err := stored.next(tlog.StoredHashIndex(0, c.size) + int64(level))
		if err != nil {
			return err
		}
		switch {
		case !ok:
			c.report.Add(at, id, "tree node at level %d is missing", level)
		case got != h && level == 0:
			c.report.Add(at, id, "stored bytes do not match the leaf hash: the entry was changed or moved")
		case got != h:
			c.report.Add(at, id, "tree node at level %d does not follow from the entries", level)
		}
		if level < len(c.edge) {
			c.edge[level] = h
		} else {
			c.edge = append(c.edge, h)
		}
	}
	c.size++
	c.reachedHeads()
	return nil
}

// readEdge serves the left neighbours a new leaf needs; they are always the
// newest complete node of their level.
func (c *checker) readEdge(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, idx := range indexes {
		level, _ := tlog.SplitStoredHashIndex(idx)
		if level >= len(c.edge) {
			return nil, fmt.Errorf("node %d is not on the edge", idx)
		}
		out[i] = c.edge[level]
	}
	return out, nil
}

// reachedHeads compares every checkpoint that speaks of the present size.
func (c *checker) reachedHeads() {
	for c.next < len(c.heads) && c.heads[c.next].size <= c.size {
		h := c.heads[c.next]
		c.next++
		root, err := tlog.TreeHash(c.size, tlog.HashReaderFunc(c.readEdge))
		switch {
		case err != nil:
			c.report.Add(h.size-1, "", "checkpoint of size %d: %v", h.size, err)
		case root != h.root:
			c.report.Add(c.firstUncovered(h.size), "", "the entries give another root than the %s of size %d: entries up to there were changed", h.name(), h.size)
		case !h.kept:
			c.report.Signed++
			c.report.Checkpoint = string(h.signed)
		}
	}
}

// firstUncovered is the first leaf that a checkpoint covers and the one
// before it does not.
func (c *checker) firstUncovered(size int64) int64 {
	var before int64
	for _, h := range c.heads {
		if h.size < size {
			before = max(before, h.size)
		}
	}
	return before
}

func (h signedHead) name() string {
	if h.kept {
		return "checkpoint kept elsewhere"
	}
	return "signed checkpoint"
}

// finish checks what only the end can tell.
func (c *checker) finish() error {
	root, err := tlog.TreeHash(c.size, tlog.HashReaderFunc(c.readEdge))
	if err != nil {
		return err
	}
	c.report.Size, c.report.Root = c.size, root.String()
	if c.lost {
		return nil
	}
	var newest int64 = -1
	for _, h := range c.heads {
		if !h.kept {
			newest = max(newest, h.size)
		}
	}
	for _, h := range c.heads[c.next:] {
		c.report.Add(c.size, "", "%d entries, but the %s speaks of %d: entries were removed from the end", c.size, h.name(), h.size)
	}
	if newest < c.size {
		c.report.Add(max(newest, 0), "", "no signed checkpoint covers the entries from %d on: they were inserted, or the checkpoint was removed", max(newest, 0))
	}
	var stray int64
	if err := c.tx.QueryRowContext(c.ctx, `SELECT COUNT(*) FROM term t WHERE NOT EXISTS (SELECT 1 FROM entry e WHERE e.leaf = t.leaf)`).Scan(&stray); err != nil {
		return err
	}
	if stray > 0 {
		c.report.Add(-1, "", "%d search terms point at no entry", stray)
	}
	if err := errors.Join(c.fates(), c.briefsAtEnd()); err != nil {
		return err
	}
	_, err = c.l.follow(c.ctx, c.tx, c.l.anchor)
	switch {
	case errors.Is(err, audit.ErrKey), errors.Is(err, sql.ErrNoRows):
		c.report.Add(-1, "", "the public keys stored in the log do not follow from the one it is verified with")
		return nil
	}
	return err
}
