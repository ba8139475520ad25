// SPDX-License-Identifier: Apache-2.0

package access

// This file: how often requests failed, by address and by reader, in bounded
// memory.

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxFailing bounds how many are remembered. Beyond that the others share one
// count: whoever comes from very many addresses gets no more than one.
const maxFailing = 10_000

// failures counts what failed.
type failures struct {
	perMinute int
	now       func() time.Time
	mu        sync.Mutex // guards by
	by        map[string]*rate.Limiter
	others    *rate.Limiter
}

func newFailures(perMinute int, now func() time.Time) *failures {
	f := &failures{perMinute: perMinute, now: now, by: map[string]*rate.Limiter{}}
	f.others = f.fresh()
	return f
}

func (f *failures) fresh() *rate.Limiter {
	return rate.NewLimiter(rate.Limit(float64(f.perMinute)/60), f.perMinute)
}

// add counts a failure and says whether there were too many.
func (f *failures) add(who string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	l := f.by[who]
	if l == nil && len(f.by) >= maxFailing {
		for k, old := range f.by {
			if old.TokensAt(now) >= float64(f.perMinute) { // as if it never failed
				delete(f.by, k)
			}
		}
	}
	switch {
	case l == nil && len(f.by) >= maxFailing:
		l = f.others
	case l == nil:
		l = f.fresh()
		f.by[who] = l
	}
	return !l.AllowN(now, 1)
}

// tooMany says whether a further failure would be one too many.
func (f *failures) tooMany(who string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.by[who]
	return l != nil && l.TokensAt(f.now()) < 1
}
