// SPDX-License-Identifier: Apache-2.0

package sqllog

// This file: waiting for others who write to the same log, for as long as a caller
// can wait and no longer.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// patience is until when to wait for others who write.
func (l *Log) patience(ctx context.Context) time.Time {
	until := time.Now().Add(l.opts.Wait())
	if d, ok := ctx.Deadline(); ok && d.Before(until) {
		return d
	}
	return until
}

// patiently tries until nobody else's lock is in the way, or until then.
func (l *Log) patiently(until time.Time, try func() error) error {
	for {
		err := try()
		if err == nil || !l.held(err) {
			return err
		}
		if !time.Now().Before(until) {
			return fmt.Errorf("%w: %w", ErrBusy, err)
		}
	}
}

// held says that another process writes, so that it is worth trying again.
func (l *Log) held(err error) bool {
	return l.store.Dialect.Held != nil && l.store.Dialect.Held(err)
}

// alone begins a transaction that no other writer's overlaps, and waits for them
// until then (ErrBusy).
func (l *Log) alone(ctx context.Context, until time.Time) (tx *sql.Tx, err error) {
	err = l.patiently(until, func() (err error) {
		tx, err = l.begin(ctx, until)
		return err
	})
	return tx, err
}

// begin is one attempt of alone.
func (l *Log) begin(ctx context.Context, until time.Time) (*sql.Tx, error) {
	tx, err := l.store.Write.BeginTx(ctx, nil)
	lock := l.store.Dialect.Lock
	if err != nil || lock == "" {
		return tx, err
	}
	waiting, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	if _, err := tx.ExecContext(waiting, lock); err != nil {
		if waiting.Err() != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", ErrBusy, err)
		}
		return nil, errors.Join(fmt.Errorf("queue up: %w", err), tx.Rollback())
	}
	return tx, nil
}
