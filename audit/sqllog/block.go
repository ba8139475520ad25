// SPDX-License-Identifier: Apache-2.0

package sqllog

// This file: block_time, the earliest and latest time of every full block of
// leaves. Times are not in the order of leaves: a call is recorded when it ends
// and timed when it began, and replicas have clocks of their own. So a span of
// time is not a span of leaves, but most blocks lie outside it for certain. A
// block without a row is looked at; only a row can leave one out, and Verify
// holds every entry against its block's row.

import (
	"cmp"
	"context"
	"database/sql"
	"slices"

	"github.com/sepsisagent/sepsisagent/audit"
)

// blockLeaves is how many leaves a block has. The migration that fills block_time
// for older logs has the same number.
const blockLeaves = 1024

// blockTimeVersion is the migration that made block_time.
const blockTimeVersion = 20001

// closeBlocks puts down times and briefs of the blocks that a transaction has
// filled.
func (l *Log) closeBlocks(ctx context.Context, tx *sql.Tx, before, size int64) error {
	for block := before / blockLeaves; (block+1)*blockLeaves <= size; block++ {
		_, err := tx.ExecContext(ctx, l.store.Dialect.Bind(
			`INSERT INTO block_time (block, min_ns, max_ns) SELECT leaf / 1024, MIN(time_ns), MAX(time_ns) FROM entry WHERE leaf >= ? AND leaf < ? GROUP BY leaf / 1024`),
			block*blockLeaves, (block+1)*blockLeaves)
		if err == nil {
			err = packBlock(ctx, tx, l.store.Dialect, block)
		}
		if err == nil { // one of those that an erasure unpacked, too
			_, err = packOlder(ctx, tx, l.store.Dialect)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// span is a run of leaves: from is in it, to is not.
type span struct{ from, to int64 }

// maxSpans bounds into how many runs a span of time is taken apart. Clocks that
// jump about make more; then blocks in between are looked at too.
const maxSpans = 64

// spans are the runs of leaves below size in which an entry of the filter's time
// can be, lowest first.
func (l *Log) spans(ctx context.Context, f audit.Filter, size int64) ([]span, error) {
	whole := []span{{0, size}}
	if f.Since.IsZero() && f.Until.IsZero() {
		return whole, nil
	}
	version, err := l.store.Dialect.Version(ctx, l.store.Read)
	if err != nil || version < blockTimeVersion {
		return whole, err
	}
	where, args := "", []any{}
	if !f.Since.IsZero() {
		where, args = "max_ns < ?", append(args, f.Since.UnixNano())
	}
	if !f.Until.IsZero() {
		if where != "" {
			where += " OR "
		}
		where, args = where+"min_ns >= ?", append(args, f.Until.UnixNano())
	}
	rows, err := l.store.Read.QueryContext(ctx, l.store.Dialect.Bind(`SELECT block FROM block_time WHERE `+where+` ORDER BY block`), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []span
	from := int64(0)
	for rows.Next() {
		var outside int64
		if err := rows.Scan(&outside); err != nil {
			return nil, err
		}
		if at := outside * blockLeaves; at > from {
			out = append(out, span{from, min(at, size)})
		}
		from = (outside + 1) * blockLeaves
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if from < size {
		out = append(out, span{from, size})
	}
	return joined(out), nil
}

// joined closes the smallest gaps until there are no more than maxSpans runs.
func joined(runs []span) []span {
	if len(runs) <= maxSpans {
		return runs
	}
	gaps := make([]int64, len(runs)-1)
	for i := range gaps {
		gaps[i] = runs[i+1].from - runs[i].to
	}
	widest := slices.Clone(gaps)
	slices.SortFunc(widest, func(a, b int64) int { return cmp.Compare(b, a) })
	keep := widest[maxSpans-1] // gaps wider than this stay
	out := []span{runs[0]}
	for i, gap := range gaps {
		if gap > keep {
			out = append(out, runs[i+1])
			continue
		}
		out[len(out)-1].to = runs[i+1].to
	}
	return out
}

// blockTimes are the rows of block_time, for Verify.
func (c *checker) blockTimes() (map[int64][2]int64, error) {
	version, err := c.l.store.Dialect.Version(c.ctx, c.l.store.Read)
	if err != nil || version < blockTimeVersion {
		return nil, err
	}
	rows, err := c.query(`SELECT block, min_ns, max_ns FROM block_time`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[int64][2]int64{}
	for rows.Next() {
		var block int64
		var t [2]int64
		if err := rows.Scan(&block, &t[0], &t[1]); err != nil {
			return nil, err
		}
		out[block] = t
	}
	return out, rows.Err()
}

// blockProblem says that a question about an entry's time would pass it over.
func (c *checker) blockProblem(leaf, timeNs int64) string {
	if t, ok := c.blocks[leaf/blockLeaves]; ok && (timeNs < t[0] || timeNs > t[1]) {
		return "its time is outside what is stored of its block: questions by time would pass it over"
	}
	return ""
}
