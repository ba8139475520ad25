// SPDX-License-Identifier: Apache-2.0

package sqllog

// This file: the writer. One goroutine owns the write connection. It takes the
// drafts that are waiting, up to Options.Batch, and commits them together: rows,
// Merkle nodes and one signed checkpoint. Nobody is answered before the commit is
// synced, and an entry that is there already never takes its neighbours with it.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sepsisagent/sepsisagent/audit"
)

type request struct {
	draft
	until time.Time   // from then on it is not begun to be written
	reply chan result // buffered: the writer never waits for a reader
}

type result struct {
	appended audit.Appended
	err      error
}

// Append writes one entry. When it returns without error, the row, its Merkle
// nodes and the signed checkpoint are durable. The deadline of ctx, and Options.Busy
// where that is sooner, bound how long the entry waits while others write (ErrBusy);
// once it is being written Append waits for the outcome, so that a caller who gave
// up can never be unsure whether it was written. Where the
// connection to a database breaks during the commit itself, Append fails and
// the entry may yet be in the log: appended again it is an audit.ErrDuplicate.
// Errors: audit.ErrInvalid, audit.ErrDuplicate, audit.ErrClosed, audit.ErrKey
// (opened for reading), ErrBusy, or the store's own.
func (l *Log) Append(ctx context.Context, e audit.Entry) (audit.Appended, error) {
	if l.opts.Key == nil {
		return audit.Appended{}, fmt.Errorf("append: %w: the log was opened for reading", audit.ErrKey)
	}
	d, err := l.draft(e)
	if err != nil {
		return audit.Appended{}, err
	}
	r := request{draft: d, until: l.patience(ctx), reply: make(chan result, 1)}
	if err := l.enqueue(ctx, r); err != nil {
		return audit.Appended{}, err
	}
	got := <-r.reply
	return got.appended, got.err
}

func (l *Log) enqueue(ctx context.Context, r request) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return audit.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	select {
	case l.queue <- r:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("append: %w", ctx.Err())
	}
}

func (l *Log) writer() {
	defer close(l.done)
	var batch []request
	for {
		if len(batch) == 0 {
			first, ok := <-l.queue
			if !ok {
				return
			}
			batch = []request{first}
			// Those who were just answered get a turn to come with their next.
			runtime.Gosched()
		}
		if batch = inTime(l.gather(batch)); len(batch) == 0 {
			continue
		}
		results, signed, err := l.commit(batch)
		if errors.Is(err, ErrBusy) {
			continue // those who can wait longer do
		}
		if err == nil && time.Since(l.lastSeen) >= seenEvery {
			l.lastSeen = time.Now()
			// The entries are durable; a memory that cannot be written is
			// Close's to report and no reason to deny them.
			l.seenErr = l.remember(signed)
		}
		for i, r := range batch {
			if err != nil && results[i].err == nil {
				results[i] = result{err: fmt.Errorf("append: %w", err)}
			}
			r.reply <- results[i]
		}
		batch = nil
	}
}

// gather adds to a batch what is waiting, as far as it may grow.
func (l *Log) gather(batch []request) []request {
	size := 0
	for _, r := range batch {
		size += len(r.entry.Body)
	}
	for len(batch) < l.opts.Batch && size < batchBytes {
		select {
		case r, ok := <-l.queue:
			if !ok {
				return batch
			}
			batch = append(batch, r)
			size += len(r.entry.Body)
		default:
			return batch
		}
	}
	return batch
}

// inTime keeps those requests whose callers still wait, and tells the others.
func inTime(batch []request) []request {
	now := time.Now()
	return slices.DeleteFunc(batch, func(r request) bool {
		late := !now.Before(r.until)
		if late {
			r.reply <- result{err: fmt.Errorf("append: %w", ErrBusy)}
		}
		return late
	})
}

// commit writes one batch in one transaction. results[i].err is the fault of
// that entry alone; err is the fault of the whole batch.
func (l *Log) commit(batch []request) (results []result, signed []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), commitTime)
	defer cancel()
	results = make([]result, len(batch))
	soonest := slices.MinFunc(batch, func(a, b request) int { return a.until.Compare(b.until) })
	tx, err := l.begin(ctx, soonest.until)
	if err != nil {
		if l.held(err) {
			err = fmt.Errorf("%w: %w", ErrBusy, err)
		}
		return results, nil, err
	}
	g, err := l.growOn(ctx, tx)
	if err != nil {
		return results, nil, err
	}
	defer tx.Rollback()
	there, err := l.existing(ctx, tx, batch)
	if err != nil {
		return results, nil, err
	}
	for i, r := range batch {
		id := r.entry.Index.ID
		if there[id] {
			results[i].err = fmt.Errorf("%w: %s", audit.ErrDuplicate, id)
			continue
		}
		there[id] = true
		if results[i].appended, err = g.add(r.draft); err != nil {
			return results, nil, err
		}
	}
	if g.size == g.before {
		return results, nil, nil // every entry was a duplicate
	}
	head, signed, err := l.conclude(ctx, tx, g)
	if err != nil {
		return results, nil, err
	}
	for i := range results {
		if results[i].err == nil {
			results[i].appended.Size = head.Size
			results[i].appended.Root = head.Root.String()
			results[i].appended.Checkpoint = string(signed)
		}
	}
	return results, signed, nil
}

// grow begins a transaction of a writer: alone, on a tree that is the one that was
// signed. Others who write are waited for until then (ErrBusy).
func (l *Log) grow(ctx context.Context, until time.Time) (*sql.Tx, *growth, error) {
	tx, err := l.alone(ctx, until)
	if err != nil {
		return nil, nil, err
	}
	g, err := l.growOn(ctx, tx)
	return tx, g, err
}

// growOn reads what the tree is to grow on. It ends the transaction where that is
// not the tree that was signed.
func (l *Log) growOn(ctx context.Context, tx *sql.Tx) (*growth, error) {
	old, _, err := l.head(ctx, tx)
	nodes := l.nodes(ctx, tx)
	if err == nil {
		err = continues(old, nodes)
	}
	if err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return &growth{before: old.Size, size: old.Size, nodes: nodes}, nil
}

// conclude signs what a transaction added, and commits it.
func (l *Log) conclude(ctx context.Context, tx *sql.Tx, g *growth) (head audit.Checkpoint, signed []byte, err error) {
	if head, err = treeHead(l.opts.Key.Name(), g.size, g.nodes); err != nil {
		return audit.Checkpoint{}, nil, err
	}
	if signed, err = head.Sign(l.opts.Key); err != nil {
		return audit.Checkpoint{}, nil, err
	}
	if err := l.store.Dialect.Insert(ctx, tx, g.additions(signed)); err != nil {
		return audit.Checkpoint{}, nil, err
	}
	if err := l.closeBlocks(ctx, tx, g.before, g.size); err != nil {
		return audit.Checkpoint{}, nil, err
	}
	return head, signed, tx.Commit()
}

// continues demands that the stored nodes give the root that was signed: a head
// that follows from others would put our signature on what somebody changed. It
// also reads, in one question, every node that growing the tree will ask for.
func continues(head audit.Checkpoint, nodes *nodeReader) error {
	now, err := treeHead(head.Origin, head.Size, nodes)
	if err != nil {
		return fmt.Errorf("%w: %w", audit.ErrRolledBack, err)
	}
	if now.Root != head.Root {
		return fmt.Errorf("%w: the stored tree of %d entries is not the one that was signed", audit.ErrRolledBack, head.Size)
	}
	return nil
}

// existing says which ids of a batch are in the log, or were.
func (l *Log) existing(ctx context.Context, tx *sql.Tx, batch []request) (map[string]bool, error) {
	ids := make([]any, 0, 4*len(batch))
	for _, r := range batch {
		ids = append(ids, r.entry.Index.ID)
	}
	// Up to a power of two: a database plans a question of each length anew.
	for len(ids)&(len(ids)-1) != 0 {
		ids = append(ids, ids[0])
	}
	in := ` WHERE id IN (` + marks(len(ids)) + `)`
	rows, err := tx.QueryContext(ctx, l.store.Dialect.Bind(`SELECT id FROM entry`+in+` UNION ALL SELECT id FROM erased`+in), append(ids, ids...)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	there := map[string]bool{}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		there[id] = true
	}
	return there, rows.Err()
}

// growth collects what one transaction adds, so that each table is written once.
type growth struct {
	before, size int64 // leaves when it began, and now
	nodes        *nodeReader

	entry, term, newNode, sealed [][]any
}

// add makes an entry the next leaf.
func (g *growth) add(d draft) (audit.Appended, error) {
	hashes, err := tlog.StoredHashesForRecordHash(g.size, d.hash, g.nodes)
	if err != nil {
		return audit.Appended{}, fmt.Errorf("nodes: %w", err)
	}
	at := tlog.StoredHashIndex(0, g.size)
	for i, h := range hashes {
		g.newNode = append(g.newNode, []any{at + int64(i), h[:]})
		g.nodes.fresh[at+int64(i)] = h
	}
	g.entry = append(g.entry, append([]any{g.size}, d.row...))
	for _, t := range d.terms {
		g.term = append(g.term, []any{t[0], t[1], g.size})
	}
	if d.sealed != nil {
		g.sealed = append(g.sealed, append([]any{g.size}, d.sealed...))
	}
	out := audit.Appended{ID: d.entry.Index.ID, Leaf: g.size, LeafHash: d.hash.String()}
	g.size++
	return out, nil
}

var checkpointNames = []string{"size", "signed"}

// additions are the rows to write, with the signed head of the tree they make.
func (g *growth) additions(signed []byte) []Addition {
	out := []Addition{
		{"entry", entryNames, g.entry},
		{"node", []string{"idx", "hash"}, g.newNode},
		{"checkpoint", checkpointNames, [][]any{{g.size, signed}}},
	}
	if len(g.term) > 0 {
		out = append(out, Addition{"term", []string{"kind", "value", "leaf"}, g.term})
	}
	if len(g.sealed) > 0 {
		out = append(out, Addition{"sealed", sealedNames, g.sealed})
	}
	return out
}
