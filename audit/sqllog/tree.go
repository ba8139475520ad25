// SPDX-License-Identifier: Apache-2.0

package sqllog

// This file: the tree in its table: nodes, heads, proofs, and the memory of
// the newest checkpoint seen.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sepsisagent/sepsisagent/audit"
)

// nodeReader reads stored hashes, those of the transaction at hand first.
type nodeReader struct {
	ctx   context.Context
	q     querier
	bind  func(string) string
	fresh map[int64]tlog.Hash
}

var _ tlog.HashReader = (*nodeReader)(nil)

// ReadHashes implements tlog.HashReader.
func (r *nodeReader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	if r.fresh == nil {
		r.fresh = map[int64]tlog.Hash{}
	}
	if err := r.load(indexes); err != nil {
		return nil, err
	}
	out := make([]tlog.Hash, len(indexes))
	for i, idx := range indexes {
		h, ok := r.fresh[idx]
		if !ok {
			return nil, fmt.Errorf("node %d: %w", idx, sql.ErrNoRows)
		}
		out[i] = h
	}
	return out, nil
}

// load reads those of the nodes that are not at hand, in one question.
func (r *nodeReader) load(indexes []int64) error {
	var missing []any
	for _, idx := range indexes {
		if _, ok := r.fresh[idx]; !ok {
			missing = append(missing, idx)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	rows, err := r.q.QueryContext(r.ctx, r.bind(`SELECT idx, hash FROM node WHERE idx IN (`+marks(len(missing))+`)`), missing...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var idx int64
		var raw []byte
		if err := rows.Scan(&idx, &raw); err != nil {
			return err
		}
		if len(raw) != tlog.HashSize {
			return fmt.Errorf("node %d: %d bytes", idx, len(raw))
		}
		r.fresh[idx] = tlog.Hash(raw)
	}
	return rows.Err()
}

// marks are n question marks.
func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// nodes reads stored hashes of this log.
func (l *Log) nodes(ctx context.Context, q querier) *nodeReader {
	return &nodeReader{ctx: ctx, q: q, bind: l.store.Dialect.Bind}
}

// treeHead computes the head of the first size leaves from stored nodes.
func treeHead(origin string, size int64, nodes *nodeReader) (audit.Checkpoint, error) {
	root, err := tlog.TreeHash(size, nodes)
	if err != nil {
		return audit.Checkpoint{}, err
	}
	return audit.Checkpoint{Origin: origin, Size: size, Root: root}, nil
}

// head reads the newest checkpoint and checks its signature and its size.
func (l *Log) head(ctx context.Context, q querier) (audit.Checkpoint, []byte, error) {
	var size int64
	var signed []byte
	err := q.QueryRowContext(ctx, `SELECT size, signed FROM checkpoint ORDER BY size DESC LIMIT 1`).Scan(&size, &signed)
	if errors.Is(err, sql.ErrNoRows) {
		return audit.Checkpoint{}, nil, fmt.Errorf("%w: the log has none", audit.ErrCheckpoint)
	}
	if err != nil {
		return audit.Checkpoint{}, nil, err
	}
	c, err := audit.OpenCheckpoint(signed, l.verifier)
	if err != nil {
		return audit.Checkpoint{}, nil, err
	}
	if c.Size != size {
		return audit.Checkpoint{}, nil, fmt.Errorf("%w: filed under size %d, signed for %d", audit.ErrCheckpoint, size, c.Size)
	}
	return c, signed, nil
}

// Head gives the newest checkpoint, opened and as signed.
func (l *Log) Head(ctx context.Context) (audit.Checkpoint, []byte, error) {
	return l.head(ctx, l.store.Read)
}

// Size is the number of entries.
func (l *Log) Size(ctx context.Context) (int64, error) {
	c, _, err := l.head(ctx, l.store.Read)
	return c.Size, err
}

// ProveInclusion proves that a leaf is in the newest tree.
// Errors: audit.ErrNotFound.
func (l *Log) ProveInclusion(ctx context.Context, leaf int64) (audit.Inclusion, error) {
	tx, err := l.snapshot(ctx)
	if err != nil {
		return audit.Inclusion{}, err
	}
	defer tx.Rollback()
	head, signed, err := l.head(ctx, tx)
	if err != nil {
		return audit.Inclusion{}, err
	}
	if leaf < 0 || leaf >= head.Size {
		return audit.Inclusion{}, fmt.Errorf("%w: leaf %d of %d", audit.ErrNotFound, leaf, head.Size)
	}
	nodes := l.nodes(ctx, tx)
	hash, err := nodes.ReadHashes([]int64{tlog.StoredHashIndex(0, leaf)})
	if err != nil {
		return audit.Inclusion{}, err
	}
	path, err := tlog.ProveRecord(head.Size, leaf, nodes)
	if err != nil {
		return audit.Inclusion{}, fmt.Errorf("prove leaf %d: %w", leaf, err)
	}
	return audit.Inclusion{Leaf: leaf, LeafHash: hash[0], Path: path, Checkpoint: string(signed)}, nil
}

// ProveConsistency proves that the newest tree continues an older signed
// checkpoint of this log. Errors: audit.ErrCheckpoint, audit.ErrRolledBack.
func (l *Log) ProveConsistency(ctx context.Context, older []byte) (audit.Consistency, error) {
	was, err := audit.OpenCheckpoint(older, l.verifier)
	if err != nil {
		return audit.Consistency{}, err
	}
	tx, err := l.snapshot(ctx)
	if err != nil {
		return audit.Consistency{}, err
	}
	defer tx.Rollback()
	head, signed, err := l.head(ctx, tx)
	if err != nil {
		return audit.Consistency{}, err
	}
	proof := audit.Consistency{Older: string(older), Newer: string(signed), Path: []tlog.Hash{}}
	if was.Size > head.Size {
		return audit.Consistency{}, fmt.Errorf("%w: %d entries now, %d before", audit.ErrRolledBack, head.Size, was.Size)
	}
	if was.Size > 0 {
		if proof.Path, err = tlog.ProveTree(head.Size, was.Size, l.nodes(ctx, tx)); err != nil {
			return audit.Consistency{}, fmt.Errorf("prove consistency: %w", err)
		}
	}
	if err := audit.CheckConsistency(was, head, proof.Path); err != nil {
		return audit.Consistency{}, fmt.Errorf("%w: %w", audit.ErrRolledBack, err)
	}
	return proof, nil
}

// checkSeen holds the log against the newest checkpoint remembered.
func (l *Log) checkSeen(ctx context.Context, head audit.Checkpoint) error {
	if l.opts.Seen == "" {
		return nil
	}
	older, err := os.ReadFile(l.opts.Seen)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the checkpoint seen before: %w", err)
	}
	if _, err := l.ProveConsistency(ctx, older); err != nil {
		return fmt.Errorf("checkpoint seen before (%s), log of %d entries: %w", l.opts.Seen, head.Size, err)
	}
	return nil
}

// remember writes the newest checkpoint beside the log, whole or not at all.
func (l *Log) remember(signed []byte) error {
	if l.opts.Seen == "" || len(signed) == 0 {
		return nil
	}
	tmp := l.opts.Seen + ".new"
	if err := os.WriteFile(tmp, signed, 0o600); err != nil {
		return fmt.Errorf("remember checkpoint: %w", err)
	}
	if err := os.Rename(tmp, l.opts.Seen); err != nil {
		return fmt.Errorf("remember checkpoint: %w", err)
	}
	return nil
}
