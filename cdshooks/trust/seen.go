// SPDX-License-Identifier: Apache-2.0

package trust

// This file: the in-memory memory of used tokens, for a single replica.

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

// maxSeen bounds the memory: at 64 bytes each about 32 MB. When it is full of
// tokens that could still be replayed, further calls are refused: forgetting
// one would let it be used twice.
const maxSeen = 500_000

// MemorySeen remembers tokens in this process. It forgets at a restart, so a
// token issued before one can be used once more until it expires; replicas
// that must not allow this share a Seen that outlives them.
type MemorySeen struct {
	now   func() time.Time
	mu    sync.Mutex
	until map[[32]byte]time.Time
	swept time.Time
}

var _ Seen = &MemorySeen{}

// NewMemorySeen returns an empty memory. now may be nil.
func NewMemorySeen(now func() time.Time) *MemorySeen {
	if now == nil {
		now = time.Now
	}
	return &MemorySeen{now: now, until: map[[32]byte]time.Time{}}
}

// FirstUse reports whether this is the first use of (issuer, jti).
func (m *MemorySeen) FirstUse(_ context.Context, issuer, jti string, until time.Time) (bool, error) {
	id := sha256.Sum256([]byte(issuer + "\x00" + jti))
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if t, ok := m.until[id]; ok && !now.After(t) {
		return false, nil
	}
	if now.Sub(m.swept) > time.Minute || len(m.until) >= maxSeen {
		m.swept = now
		for k, t := range m.until {
			if now.After(t) {
				delete(m.until, k)
			}
		}
	}
	if len(m.until) >= maxSeen {
		return false, errors.New("too many live tokens to remember")
	}
	m.until[id] = until
	return true, nil
}
