// SPDX-License-Identifier: Apache-2.0

package sqlite

// This file: the writer. One goroutine owns the write connection. It takes
// what is waiting, up to Options.Batch entries, and commits them together:
// rows, Merkle nodes and one signed checkpoint. Nobody is answered before the
// commit is synced, and one bad entry never takes its neighbours with it.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sepsisagent/sepsisagent/audit"
)

type request struct {
	entry audit.Entry
	index []byte
	reply chan result // buffered: the writer never waits for a reader
}

type result struct {
	appended audit.Appended
	err      error
}

// Append writes one entry. When it returns without error, the row, its Merkle
// nodes and the signed checkpoint are durable. ctx is heeded until the writer
// has accepted the entry; from then on Append waits for the outcome, so that a
// caller who gave up can never be unsure whether it was written.
// Errors: audit.ErrInvalid, audit.ErrDuplicate, audit.ErrClosed, audit.ErrKey
// (opened for reading), or the store's own.
func (l *Log) Append(ctx context.Context, e audit.Entry) (audit.Appended, error) {
	if l.write == nil {
		return audit.Appended{}, fmt.Errorf("append: %w: the log was opened for reading", audit.ErrKey)
	}
	if err := e.Validate(); err != nil {
		return audit.Appended{}, err
	}
	index, err := audit.EncodeIndex(e.Index)
	if err != nil {
		return audit.Appended{}, err
	}
	r := request{entry: e, index: index, reply: make(chan result, 1)}
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
	for first := range l.queue {
		batch := []request{first}
	gather:
		for len(batch) < l.opts.Batch {
			select {
			case r, ok := <-l.queue:
				if !ok {
					break gather
				}
				batch = append(batch, r)
			default:
				break gather
			}
		}
		results, signed, err := l.commit(batch)
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
	}
}

// commit writes one batch in one transaction. results[i].err is the fault of
// that entry alone; err is the fault of the whole batch.
func (l *Log) commit(batch []request) (results []result, signed []byte, err error) {
	ctx := context.Background()
	results = make([]result, len(batch))
	tx, err := l.write.BeginTx(ctx, nil)
	if err != nil {
		return results, nil, err
	}
	defer tx.Rollback()
	old, _, err := l.head(ctx, tx)
	if err != nil {
		return results, nil, err
	}
	size := old.Size
	nodes := &nodeReader{ctx: ctx, q: tx, fresh: map[int64]tlog.Hash{}}
	for i, r := range batch {
		leaf, err := insert(ctx, tx, size, r, nodes)
		if errors.Is(err, audit.ErrDuplicate) {
			results[i].err = err
			continue
		}
		if err != nil {
			return results, nil, err
		}
		results[i].appended = audit.Appended{ID: r.entry.Index.ID, Leaf: size, LeafHash: leaf.String()}
		size++
	}
	if size == old.Size {
		return results, nil, nil // every entry was a duplicate
	}
	root, err := tlog.TreeHash(size, nodes)
	if err != nil {
		return results, nil, err
	}
	head := audit.Checkpoint{Origin: l.opts.Key.Name(), Size: size, Root: root}
	if signed, err = saveCheckpoint(ctx, tx, head, l.opts.Key); err != nil {
		return results, nil, err
	}
	if err := tx.Commit(); err != nil {
		return results, nil, err
	}
	for i := range results {
		if results[i].err == nil {
			results[i].appended.Size = size
			results[i].appended.Root = root.String()
			results[i].appended.Checkpoint = string(signed)
		}
	}
	return results, signed, nil
}

// insert stores one row, its terms and its nodes.
func insert(ctx context.Context, tx *sql.Tx, n int64, r request, nodes *nodeReader) (tlog.Hash, error) {
	ix := r.entry.Index
	var there int
	err := tx.QueryRowContext(ctx, `SELECT 1 FROM entry WHERE id = ?`, ix.ID).Scan(&there)
	if err == nil {
		return tlog.Hash{}, fmt.Errorf("%w: %s", audit.ErrDuplicate, ix.ID)
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return tlog.Hash{}, err
	}
	args := []any{n, ix.ID, ix.Time.UnixNano()}
	for _, c := range columns {
		args = append(args, c.of(ix))
	}
	args = append(args, r.index, r.entry.Salt, blob(r.entry.Body))
	if _, err := tx.ExecContext(ctx, insertEntry, args...); err != nil {
		return tlog.Hash{}, fmt.Errorf("row: %w", err)
	}
	for _, t := range terms {
		for _, v := range t.of(ix) {
			if _, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO term (kind, value, leaf) VALUES (?, ?, ?)`, t.name, v, n); err != nil {
				return tlog.Hash{}, fmt.Errorf("term: %w", err)
			}
		}
	}
	leaf := audit.MakeLeaf(ix.ID, r.index, r.entry.Salt, r.entry.Body).Hash()
	hashes, err := tlog.StoredHashesForRecordHash(n, leaf, nodes)
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("nodes: %w", err)
	}
	at := tlog.StoredHashIndex(0, n)
	for i, h := range hashes {
		if _, err := tx.ExecContext(ctx, `INSERT INTO node (idx, hash) VALUES (?, ?)`, at+int64(i), h[:]); err != nil {
			return tlog.Hash{}, fmt.Errorf("node: %w", err)
		}
		nodes.fresh[at+int64(i)] = h
	}
	return leaf, nil
}

// blob keeps an empty body from being stored as NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func saveCheckpoint(ctx context.Context, tx *sql.Tx, head audit.Checkpoint, key *audit.Key) ([]byte, error) {
	signed, err := head.Sign(key)
	if err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO checkpoint (size, signed) VALUES (?, ?)`, head.Size, signed); err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return signed, nil
}
