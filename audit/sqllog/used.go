// SPDX-License-Identifier: Apache-2.0

package sqllog

// This file: whether something is in the memory that FirstUse writes.

import (
	"context"
	"crypto/sha256"
	"fmt"
)

// Used reports whether FirstUse was told of (issuer, jti), by any replica, and has
// not forgotten it. An error means that nobody knows.
func (l *Log) Used(ctx context.Context, issuer, jti string) (bool, error) {
	id := sha256.Sum256([]byte(issuer + "\x00" + jti))
	var n int
	err := l.store.Read.QueryRowContext(ctx, l.store.Dialect.Bind(`SELECT COUNT(*) FROM used_token WHERE id = ?`), id[:]).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("used tokens: %w", err)
	}
	return n > 0, nil
}
