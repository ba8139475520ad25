// SPDX-License-Identifier: Apache-2.0

package audittest

// This file: the shared memory of used tokens.

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
)

func tokenOnce(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	all := []*sqllog.Log{h.Log, h.another(sqllog.Options{Key: h.key}), h.another(sqllog.Options{Key: h.key})}
	until := time.Now().Add(5 * time.Minute)
	const tokens, tries = 10, 3
	var firsts [tokens]atomic.Int64
	var wg sync.WaitGroup
	for _, l := range all {
		for range tries {
			wg.Go(func() {
				for i := range tokens {
					first, err := l.FirstUse(t.Context(), "https://ehr.example.org", fmt.Sprint("jti", i), until)
					if err != nil {
						t.Error(err)
					}
					if first {
						firsts[i].Add(1)
					}
				}
			})
		}
	}
	wg.Wait()
	for i := range firsts {
		if n := firsts[i].Load(); n != 1 {
			t.Errorf("token %d was first %d times", i, n)
		}
	}
	h.reopen() // a restart forgets nothing
	if first, err := h.FirstUse(t.Context(), "https://ehr.example.org", "jti0", until); err != nil || first {
		t.Errorf("after a restart: first %v, %v", first, err)
	}
	for _, pair := range [][2]string{{"https://other.example.org", "jti0"}, {"https://ehr.example.or", "gjti0"}, {"", ""}, {"\x00", "\xff"}} {
		if first, err := h.FirstUse(t.Context(), pair[0], pair[1], until); err != nil || !first {
			t.Errorf("%q: first %v, %v", pair, first, err)
		}
	}
	h.wantOK(0)
}

func tokenExpiry(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	var ahead atomic.Int64
	start := time.Now()
	l := h.another(sqllog.Options{Key: h.key, Now: func() time.Time { return start.Add(time.Duration(ahead.Load())) }})
	use := func(jti string, until time.Duration, want bool) {
		t.Helper()
		first, err := l.FirstUse(t.Context(), "i", jti, start.Add(until))
		if err != nil || first != want {
			t.Errorf("%s: first %v, %v", jti, first, err)
		}
	}
	used := func(jti string, want bool) {
		t.Helper()
		for name, l := range map[string]*sqllog.Log{"the one that was told": l, "another": h.Log} {
			if got, err := l.Used(t.Context(), "i", jti); err != nil || got != want {
				t.Errorf("%s at %s: used %v, %v", jti, name, got, err)
			}
		}
	}
	used("short", false) // to ask is not to use
	use("short", 5*time.Minute, true)
	use("long", time.Hour, true)
	used("short", true)
	if got, err := l.Used(t.Context(), "other", "short"); err != nil || got {
		t.Errorf("of another issuer: used %v, %v", got, err)
	}
	ahead.Store(int64(6 * time.Minute))
	use("short", 5*time.Minute, false) // another replica's clock may be behind
	ahead.Store(int64(30 * time.Minute))
	use("long", time.Hour, false)
	used("short", false)
	used("long", true)
	var left int
	if err := h.db().QueryRow(`SELECT COUNT(*) FROM used_token`).Scan(&left); err != nil || left != 1 {
		t.Errorf("%d tokens are remembered, %v; want the one that has not expired", left, err)
	}
}

func tokenErrors(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	readOnly := h.another(sqllog.Options{Verifier: h.key.Verifier()})
	if first, err := readOnly.FirstUse(t.Context(), "i", "j", time.Now()); first || !errors.Is(err, audit.ErrKey) {
		t.Errorf("opened for reading: first %v, %v", first, err)
	}
	if used, err := readOnly.Used(t.Context(), "i", "j"); used || err != nil {
		t.Errorf("opened for reading: used %v, %v", used, err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if first, err := h.FirstUse(gone, "i", "j", time.Now()); first || err == nil {
		t.Errorf("a caller who left: first %v, %v", first, err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if first, err := h.FirstUse(t.Context(), "i", "j", time.Now()); first || err == nil {
		t.Errorf("after close: first %v, %v", first, err)
	}
}
