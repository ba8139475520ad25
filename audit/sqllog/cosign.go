// SPDX-License-Identifier: Apache-2.0

package sqllog

// This file: what witnesses signed, beside the checkpoints they signed.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sepsisagent/sepsisagent/audit"
)

// LastCosigned is the largest size a witness signed, as far as the log knows; 0
// where it signed none.
func (l *Log) LastCosigned(ctx context.Context, w *audit.WitnessKey) (size int64, err error) {
	if l.version < erasureVersion {
		return 0, nil
	}
	return size, l.store.Read.QueryRowContext(ctx, l.store.Dialect.Bind(`SELECT COALESCE(MAX(size), 0) FROM cosignature WHERE witness = ?`), w.String()).Scan(&size)
}

// ConsistencyPath proves that the tree of the first to leaves begins with the tree
// of the first from. It is empty where from is 0 or to.
// Errors: audit.ErrRolledBack where there are not so many.
func (l *Log) ConsistencyPath(ctx context.Context, from, to int64) ([]tlog.Hash, error) {
	tx, err := l.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	head, _, err := l.head(ctx, tx)
	switch {
	case err != nil:
		return nil, err
	case from < 0 || from > to || to > head.Size:
		return nil, fmt.Errorf("%w: from %d to %d of %d entries", audit.ErrRolledBack, from, to, head.Size)
	case from == 0 || from == to:
		return nil, nil
	}
	path, err := tlog.ProveTree(to, from, l.nodes(ctx, tx))
	if err != nil {
		return nil, fmt.Errorf("prove consistency: %w", err)
	}
	return path, nil
}

// AddCosignature keeps what a witness signed of the stored checkpoint of a size.
// One that does not hold is refused (audit.ErrWitness). Several replicas may bring
// one each; the first stays.
func (l *Log) AddCosignature(ctx context.Context, size int64, c audit.Cosignature) error {
	if l.opts.Key == nil {
		return fmt.Errorf("cosignature: %w: the log was opened for reading", audit.ErrKey)
	}
	signed, err := l.checkpointAt(ctx, l.store.Read, size)
	if err != nil {
		return fmt.Errorf("cosignature: %w", err)
	}
	if _, err := c.Check(signed); err != nil {
		return err
	}
	tx, err := l.alone(ctx, l.patience(ctx))
	if err != nil {
		return fmt.Errorf("cosignature: %w", err)
	}
	defer tx.Rollback()
	_, err = tx.ExecContext(ctx, l.store.Dialect.Bind(`INSERT INTO cosignature (size, witness, line) VALUES (?, ?, ?) ON CONFLICT (size, witness) DO NOTHING`), size, c.Witness.String(), c.Line)
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return fmt.Errorf("cosignature: %w", err)
	}
	return nil
}

// checkpointAt is the stored checkpoint of a size, as signed.
func (l *Log) checkpointAt(ctx context.Context, q querier, size int64) (signed []byte, err error) {
	err = q.QueryRowContext(ctx, l.store.Dialect.Bind(`SELECT signed FROM checkpoint WHERE size = ?`), size).Scan(&signed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%w: none of size %d", audit.ErrCheckpoint, size)
	}
	return signed, err
}

// Cosigned is the newest checkpoint that a witness signed, with the lines of all
// who did: a note that anybody can check who has the keys. Errors:
// audit.ErrNotFound where there is none.
func (l *Log) Cosigned(ctx context.Context) ([]byte, error) {
	if l.version < erasureVersion {
		return nil, fmt.Errorf("%w: no witness has signed", audit.ErrNotFound)
	}
	tx, err := l.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	var size sql.NullInt64
	if err := tx.QueryRowContext(ctx, `SELECT MAX(size) FROM cosignature`).Scan(&size); err != nil {
		return nil, err
	}
	if !size.Valid {
		return nil, fmt.Errorf("%w: no witness has signed", audit.ErrNotFound)
	}
	signed, err := l.checkpointAt(ctx, tx, size.Int64)
	if err != nil {
		return nil, err
	}
	rows, err := tx.QueryContext(ctx, l.store.Dialect.Bind(`SELECT line FROM cosignature WHERE size = ? ORDER BY witness`), size.Int64)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return nil, err
		}
		signed = append(signed, line...)
	}
	return signed, rows.Err()
}

// cosignatures checks those of the witnesses whose keys are known, against the
// stored checkpoints, which rows holds against the entries.
func (c *checker) cosignatures() error {
	if c.l.version < erasureVersion || len(c.l.opts.Witnesses) == 0 {
		return nil
	}
	heads := map[int64][]byte{}
	for _, h := range c.heads {
		if !h.kept {
			heads[h.size] = h.signed
		}
	}
	c.report.Witnessed = map[string]int64{}
	for _, w := range c.l.opts.Witnesses {
		c.report.Witnessed[w.Name()] = 0
		if err := c.cosignaturesOf(w, heads); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) cosignaturesOf(w *audit.WitnessKey, heads map[int64][]byte) error {
	rows, err := c.query(`SELECT size, line FROM cosignature WHERE witness = ? ORDER BY size`, w.String())
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var size int64
		sig := audit.Cosignature{Witness: w}
		if err := rows.Scan(&size, &sig.Line); err != nil {
			return err
		}
		signed, there := heads[size]
		if !there {
			c.report.Add(size-1, "", "the witness %s signed a checkpoint of size %d, which is gone", w.Name(), size)
			continue
		}
		if _, err := sig.Check(signed); err != nil {
			c.report.Add(size-1, "", "checkpoint of size %d: %v", size, err)
			continue
		}
		c.report.Witnessed[w.Name()] = size
	}
	return rows.Err()
}
