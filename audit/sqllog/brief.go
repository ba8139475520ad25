// SPDX-License-Identifier: Apache-2.0

package sqllog

// This file: block_brief, what of a full block's entries is counted by, packed
// into one row. It follows from the entries alone: Verify packs them again and
// compares, a block without a brief is read entry by entry, and an erasure takes
// the briefs of its blocks away. They are made again one by one.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/sepsisagent/sepsisagent/audit"
)

// briefVersion is the migration that made block_brief.
const briefVersion = 20002

// EachCounted calls each with what is counted by of all entries that match, in the
// order of the log. What each is given is valid until it returns; its Shape stays.
// The filter may ask what audit.Filter.Counts answers, and for a time. wants, if it
// is not nil, says which entries are left out besides, by their shape and whether a
// card was shown; many entries have one shape, for which it is asked once. Errors:
// audit.ErrInvalid.
func (l *Log) EachCounted(ctx context.Context, f audit.Filter, wants func(s *audit.Shape, shown bool) bool, each func(*audit.Counted)) error {
	if err := f.Validate(); err != nil {
		return err
	}
	test, ok := f.Counts()
	if !ok {
		return fmt.Errorf("count: %w: the filter asks what is not counted by", audit.ErrInvalid)
	}
	if wants != nil {
		asked := test
		test = func(s *audit.Shape, shown bool) bool { return asked(s, shown) && wants(s, shown) }
	}
	w := want{test: test, since: math.MinInt64, until: math.MaxInt64, each: each}
	if !f.Since.IsZero() {
		w.since = f.Since.UnixNano()
	}
	if !f.Until.IsZero() {
		w.until = f.Until.UnixNano() - 1
	}
	if err := l.eachCounted(ctx, f, w); err != nil {
		return fmt.Errorf("count: %w", err)
	}
	return nil
}

func (l *Log) eachCounted(ctx context.Context, f audit.Filter, w want) error {
	size, err := l.Size(ctx)
	if err != nil {
		return err
	}
	runs, err := l.spans(ctx, f, size)
	if err != nil {
		return err
	}
	// One state of the log: what an erasure unpacks meanwhile is not read twice.
	tx, err := l.snapshot(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, run := range runs {
		if err := l.countRun(ctx, tx, run, w); err != nil {
			return err
		}
	}
	return nil
}

// countRun counts a run, of which some blocks have briefs and the rest has not.
func (l *Log) countRun(ctx context.Context, tx *sql.Tx, run span, w want) error {
	packed, err := l.packedRuns(ctx, tx, run)
	if err != nil {
		return err
	}
	next := run.from
	for _, p := range packed {
		if err := l.countRows(ctx, tx, span{next, p.from}, w); err != nil {
			return err
		}
		if err := l.countPacked(ctx, tx, p, w); err != nil {
			return err
		}
		next = p.to
	}
	return l.countRows(ctx, tx, span{next, run.to}, w)
}

// packedRuns gives the runs of blocks that have briefs, in order. A block that the
// run covers in part is not packed for it.
func (l *Log) packedRuns(ctx context.Context, tx *sql.Tx, run span) (packed []span, err error) {
	if l.version < briefVersion {
		return nil, nil
	}
	first, last := (run.from+blockLeaves-1)/blockLeaves, run.to/blockLeaves
	rows, err := tx.QueryContext(ctx, l.store.Dialect.Bind(`SELECT block FROM block_brief WHERE block >= ? AND block < ? ORDER BY block`), first, last)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var block int64
		if err := rows.Scan(&block); err != nil {
			return nil, err
		}
		at := block * blockLeaves
		if n := len(packed) - 1; n >= 0 && packed[n].to == at {
			packed[n].to += blockLeaves
		} else {
			packed = append(packed, span{at, at + blockLeaves})
		}
	}
	return packed, rows.Err()
}

// countPacked counts a run of blocks that all have briefs.
func (l *Log) countPacked(ctx context.Context, tx *sql.Tx, run span, w want) error {
	rows, err := tx.QueryContext(ctx, l.store.Dialect.Bind(`SELECT block, brief FROM block_brief WHERE block >= ? AND block < ? ORDER BY block`), run.from/blockLeaves, run.to/blockLeaves)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var block int64
		var brief sql.RawBytes
		if err := rows.Scan(&block, &brief); err != nil {
			return err
		}
		if err := unpack(brief, w); err != nil {
			return fmt.Errorf("entries from %d on: %w (hint: run `sepsisagent audit verify`)", block*blockLeaves, err)
		}
	}
	return rows.Err()
}

// countRows counts the entries of a run one by one.
func (l *Log) countRows(ctx context.Context, tx *sql.Tx, run span, w want) error {
	if run.from >= run.to {
		return nil
	}
	return eachIndex(ctx, tx, l.store.Dialect, run, func(x audit.Index) {
		c := audit.CountedOf(x)
		if c.TimeNs >= w.since && c.TimeNs <= w.until && w.test(c.Shape, c.Shown) {
			w.each(&c)
		}
	})
}

func eachIndex(ctx context.Context, tx *sql.Tx, d Dialect, run span, each func(audit.Index)) error {
	rows, err := tx.QueryContext(ctx, d.Bind(`SELECT leaf, index_json FROM entry WHERE leaf >= ? AND leaf < ? ORDER BY leaf`), run.from, run.to)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var leaf int64
		var index sql.RawBytes
		if err := rows.Scan(&leaf, &index); err != nil {
			return err
		}
		x, err := audit.DecodeIndex(index)
		if err != nil {
			return fmt.Errorf("leaf %d: %w", leaf, err)
		}
		each(x)
	}
	return rows.Err()
}

// packBlock puts down the brief of a full block.
func packBlock(ctx context.Context, tx *sql.Tx, d Dialect, block int64) error {
	var p packer
	err := eachIndex(ctx, tx, d, span{block * blockLeaves, (block + 1) * blockLeaves}, func(x audit.Index) { p.add(audit.CountedOf(x)) })
	if err == nil {
		_, err = tx.ExecContext(ctx, d.Bind(`INSERT INTO block_brief (block, brief) VALUES (?, ?)`), block, p.bytes())
	}
	return err
}

// packOlder packs the first full block that has no brief; done: there is none.
func packOlder(ctx context.Context, tx *sql.Tx, d Dialect) (done bool, err error) {
	var block int64
	err = tx.QueryRowContext(ctx, `SELECT t.block FROM block_time t WHERE NOT EXISTS (SELECT 1 FROM block_brief b WHERE b.block = t.block) ORDER BY t.block LIMIT 1`).Scan(&block)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return true, nil
	case err != nil:
		return false, err
	}
	return false, packBlock(ctx, tx, d, block)
}

// packAll packs all full blocks of a log that was written by an older build, each
// in a transaction of its own.
func packAll(ctx context.Context, db *sql.DB, d Dialect) error {
	for done := false; !done; {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		if d.Lock != "" {
			_, err = tx.ExecContext(ctx, d.Lock)
		}
		if err == nil {
			done, err = packOlder(ctx, tx, d)
		}
		if err != nil {
			return errors.Join(err, tx.Rollback())
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return nil
}

// unpackBlocks takes away the briefs of the blocks that leaves are in.
func (l *Log) unpackBlocks(ctx context.Context, tx *sql.Tx, leaves []any) error {
	var blocks []any
	for _, leaf := range leaves {
		if block := any(leaf.(int64) / blockLeaves); !slices.Contains(blocks, block) {
			blocks = append(blocks, block)
		}
	}
	_, err := tx.ExecContext(ctx, l.store.Dialect.Bind(`DELETE FROM block_brief WHERE block IN (`+marks(len(blocks))+`)`), blocks...)
	return err
}

// briefs holds the entries of one block at a time against its brief, for Verify.
type briefs struct {
	block   int64 // that is being packed
	p       packer
	checked int64 // briefs
}

// brief takes the next entry.
func (c *checker) brief(leaf int64, index []byte) error {
	if c.l.version < briefVersion {
		return nil
	}
	if err := c.briefsBefore(leaf / blockLeaves); err != nil {
		return err
	}
	x, err := audit.DecodeIndex(index)
	if err != nil {
		return nil // reported already
	}
	c.packed.p.add(audit.CountedOf(x))
	return nil
}

// briefsBefore checks the blocks that are complete once block begins.
func (c *checker) briefsBefore(block int64) error {
	for b := &c.packed; b.block < block; b.block++ {
		var brief []byte
		err := c.tx.QueryRowContext(c.ctx, c.l.store.Dialect.Bind(`SELECT brief FROM block_brief WHERE block = ?`), b.block).Scan(&brief)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err == nil {
			b.checked++
			if string(brief) != string(b.p.bytes()) {
				c.report.Add(b.block*blockLeaves, "", "what is counted of %d entries from here on does not follow from them", blockLeaves)
			}
		}
		b.p = packer{}
	}
	return nil
}

// briefsAtEnd checks the last full block, and that there are no other briefs.
func (c *checker) briefsAtEnd() error {
	if c.l.version < briefVersion {
		return nil
	}
	if err := c.briefsBefore(c.size / blockLeaves); err != nil {
		return err
	}
	var n int64
	if err := c.tx.QueryRowContext(c.ctx, `SELECT COUNT(*) FROM block_brief`).Scan(&n); err != nil {
		return err
	}
	if n != c.packed.checked {
		c.report.Add(-1, "", "what is counted speaks of entries that there are not")
	}
	return nil
}
