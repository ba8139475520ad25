// SPDX-License-Identifier: Apache-2.0

package sqllog

// This file: the memory of used tokens, shared by all who share the database. It
// is no part of the tree: what was done with a token is in the receipts.

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
)

const (
	// sweepEvery is how often expired tokens are removed.
	sweepEvery = time.Minute
	// sweepMargin is how long a token is kept after it expired: another
	// replica's clock may be behind ours.
	sweepMargin = 10 * time.Minute
)

// sweeper remembers when expired tokens were last removed.
type sweeper struct {
	mu   sync.Mutex
	last time.Time
}

// due says whether it is time to sweep, and then that it was done.
func (s *sweeper) due(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.last) < sweepEvery {
		return false
	}
	s.last = now
	return true
}

// FirstUse reports whether this is the first use of (issuer, jti) on any
// replica, and remembers it durably until some time after until. Of two calls
// with one token exactly one is told first: the primary key decides. The
// database keeps a digest only. Others who write are waited for as by Append. An
// error means that nobody knows; refuse.
func (l *Log) FirstUse(ctx context.Context, issuer, jti string, until time.Time) (bool, error) {
	if l.opts.Key == nil {
		return false, fmt.Errorf("used tokens: %w: the log was opened for reading", audit.ErrKey)
	}
	now := l.opts.Now()
	var done sql.Result
	exec := func(query string, args ...any) error {
		return l.patiently(l.patience(ctx), func() (err error) {
			done, err = l.store.Tokens.ExecContext(ctx, l.store.Dialect.Bind(query), args...)
			return err
		})
	}
	if l.tokens.due(now) {
		if err := exec(`DELETE FROM used_token WHERE until_ns < ?`, now.Add(-sweepMargin).UnixNano()); err != nil {
			return false, fmt.Errorf("used tokens: forget expired ones: %w", err)
		}
	}
	id := sha256.Sum256([]byte(issuer + "\x00" + jti))
	if err := exec(`INSERT INTO used_token (id, until_ns) VALUES (?, ?) ON CONFLICT (id) DO NOTHING`, id[:], until.UnixNano()); err != nil {
		return false, fmt.Errorf("used tokens: %w", err)
	}
	rows, err := done.RowsAffected()
	if err != nil || rows > 1 {
		return false, fmt.Errorf("used tokens: %w", errors.Join(err, fmt.Errorf("%d rows", rows)))
	}
	return rows == 1, nil
}
