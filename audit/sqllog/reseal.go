// SPDX-License-Identifier: Apache-2.0

package sqllog

// This file: changing the key of encrypted bodies, and encrypting those of a log
// that was not encrypted. The tree does not change: it commits to the plain body.

import (
	"context"
	"fmt"
	"strings"

	"github.com/sepsisagent/sepsisagent/audit"
)

// Reseal encrypts every body that is stored plain, or under another key than
// Options.Bodies' first, with that key. It may be interrupted and run again, beside
// a service. Errors: audit.ErrKey, audit.ErrSealed where an old key is missing,
// audit.ErrProof.
func (l *Log) Reseal(ctx context.Context) (n int64, err error) {
	if l.opts.Key == nil || l.opts.Bodies == nil {
		return 0, fmt.Errorf("reseal: %w: it needs the signing key and a key for bodies", audit.ErrKey)
	}
	for after := int64(-1); ; {
		some, last, err := l.resealSome(ctx, after)
		n += some
		if err != nil {
			return n, fmt.Errorf("reseal: %w", err)
		}
		if last == after {
			break
		}
		after = last
	}
	if scrub := l.store.Dialect.Scrub; scrub != nil && n > 0 {
		if _, err := scrub(ctx, l.store.Write); err != nil {
			return n, fmt.Errorf("resealed, but bytes may lie in the database's files yet: %w", err)
		}
	}
	return n, nil
}

func (l *Log) resealSome(ctx context.Context, after int64) (n, last int64, err error) {
	tx, err := l.alone(ctx, l.patience(ctx))
	if err != nil {
		return 0, 0, err
	}
	defer tx.Rollback()
	keys := l.opts.Bodies
	plain := "'" + strings.Join(audit.PermanentKinds(), "', '") + "'" // constants of ours
	rows, err := tx.QueryContext(ctx, l.store.Dialect.Bind(l.selectStored("")+
		` WHERE e.leaf > ? AND e.kind NOT IN (`+plain+`) AND COALESCE(s.key_id, '') <> ? ORDER BY e.leaf LIMIT ?`),
		after, keys.Current(), int64(eraseBatch))
	if err != nil {
		return 0, 0, err
	}
	defer rows.Close()
	var entries []stored
	for rows.Next() {
		var s stored
		if err := rows.Scan(s.into()...); err != nil {
			return 0, 0, err
		}
		entries = append(entries, s)
	}
	if err := rows.Err(); err != nil || len(entries) == 0 {
		return 0, after, err
	}
	if err := rows.Close(); err != nil {
		return 0, 0, err
	}
	if err := l.matchAll(ctx, tx, entries); err != nil {
		return 0, 0, err
	}
	exec := func(stmt string, args ...any) error {
		_, err := tx.ExecContext(ctx, l.store.Dialect.Bind(stmt), args...)
		return err
	}
	for _, s := range entries {
		body, err := s.open(keys)
		if err != nil {
			return 0, 0, err
		}
		digest := s.asLeaf().BodyDigest
		keyID, box := keys.Seal(s.id, digest, body)
		if s.keyID != "" {
			err = exec(`UPDATE sealed SET key_id = ?, box = ? WHERE leaf = ?`, keyID, box, s.leaf)
		} else if err = exec(`INSERT INTO sealed (leaf, key_id, digest, box) VALUES (?, ?, ?, ?)`, s.leaf, keyID, digest[:], box); err == nil {
			err = exec(`UPDATE entry SET body = ? WHERE leaf = ?`, []byte{}, s.leaf)
		}
		if err != nil {
			return 0, 0, err
		}
	}
	return int64(len(entries)), entries[len(entries)-1].leaf, tx.Commit()
}
