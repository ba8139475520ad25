// SPDX-License-Identifier: Apache-2.0

package sqllog

// This file: the keys of a log, the one it was made with and those that replaced
// it, and replacing it.

import (
	"context"
	"errors"
	"fmt"

	"github.com/sepsisagent/sepsisagent/audit"
)

// rotationKey begins the key of a row of meta that holds a statement of
// audit.SignRotation; the size follows, so that they are in order.
const rotationKey = "rotation:"

// KindKey is the kind of the entry that records that the key was replaced.
const KindKey = "key"

// follow gives the verifier of the log that a trusted key leads to.
func (l *Log) follow(ctx context.Context, q querier, anchor *audit.Verifier) (*audit.Verifier, error) {
	first, err := l.meta(ctx, q, "verifier")
	if err != nil {
		return nil, err
	}
	rows, err := q.QueryContext(ctx, l.store.Dialect.Bind(`SELECT value FROM meta WHERE key >= ? AND key < ? ORDER BY key`), rotationKey, rotationKey+"~")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var rotations [][]byte
	for rows.Next() {
		var signed string
		if err := rows.Scan(&signed); err != nil {
			return nil, err
		}
		rotations = append(rotations, []byte(signed))
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return anchor.Follow(first, rotations)
}

// keyChange is the body of an entry of audit.KindKey.
type keyChange struct {
	Schema string `json:"schema"`
	Old    string `json:"old"`
	New    string `json:"new"`
	audit.Why
}

// Rotate replaces the key of a log: from now on fresh signs its checkpoints, and
// nothing that the old key signs of a longer log is believed. Who holds either
// public key can verify the whole log. Nobody may be writing to the log: whoever
// has it open with the old key can append nothing more. The store is closed.
// Errors: audit.ErrKey, and those of Open.
func Rotate(ctx context.Context, s Store, opts Options, fresh *audit.Key, why audit.Why) (err error) {
	l := newLog(s, opts)
	defer func() {
		if err = errors.Join(err, s.close()); err != nil {
			err = fmt.Errorf("replace the key of %s: %w", s.Name, err)
		}
	}()
	if opts.Key == nil {
		return fmt.Errorf("%w: it needs the key in use", audit.ErrKey)
	}
	if err := errors.Join(why.Validate(), l.check(ctx)); err != nil {
		return err
	}
	tx, g, err := l.grow(ctx, l.patience(ctx))
	if err != nil {
		return err
	}
	defer tx.Rollback()
	signed, err := audit.SignRotation(opts.Key, fresh, g.size)
	if err != nil {
		return err
	}
	err = l.store.Dialect.Insert(ctx, tx, []Addition{{"meta", []string{"key", "value"}, [][]any{{fmt.Sprintf("%s%020d", rotationKey, g.size), string(signed)}}}})
	if err != nil {
		return err
	}
	e, err := l.own(audit.Index{Kind: audit.KindKey, User: why.Operator}, keyChange{"sepsisagent.key/1", opts.Key.Verifier().String(), fresh.Verifier().String(), why})
	if err != nil {
		return err
	}
	d, err := l.draft(e)
	if err != nil {
		return err
	}
	if _, err := g.add(d); err != nil {
		return err
	}
	l.opts.Key = fresh
	_, head, err := l.conclude(ctx, tx, g)
	if err != nil {
		return err
	}
	return l.remember(head)
}
