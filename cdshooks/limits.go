// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: how much of the service one client may have. What is over it is
// turned away after authentication, so that strangers use nothing of it up, and
// before the body is read.

import (
	"cmp"
	"context"
	"math"
	"time"

	"golang.org/x/sync/semaphore"
	limiter "golang.org/x/time/rate"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
)

// patience is how long a call waits for a place before it is turned away.
const patience = 250 * time.Millisecond

// limits are the places of the service, and of one client in it.
type limits struct {
	pace   *limiter.Limiter
	places chan struct{} // nil: as many as there are
	bytes  *semaphore.Weighted
}

// newLimits gives each client its share. Where several are registered, none has
// more than three quarters of all places unless it is so registered, nor of the
// bytes: a client gone wild leaves some for the others.
func newLimits(clients []*trust.Client, cfg Config) map[string]*limits {
	all, bytes := cfg.MaxConcurrent, cfg.maxBytesInFlight()
	if len(clients) > 1 {
		bytes = max(cfg.MaxBodyBytes, bytes*3/4)
	}
	out := map[string]*limits{}
	for _, c := range clients {
		share := c.MaxConcurrent
		if share == 0 && len(clients) > 1 {
			share = max(1, all*3/4)
		}
		l := &limits{pace: limiter.NewLimiter(limiter.Inf, 0), bytes: semaphore.NewWeighted(bytes)}
		if share > 0 && share < all {
			l.places = make(chan struct{}, share)
		}
		if c.RatePerSecond > 0 {
			burst := c.RateBurst
			if burst == 0 {
				burst = int(math.Ceil(2 * c.RatePerSecond))
			}
			l.pace = limiter.NewLimiter(limiter.Limit(c.RatePerSecond), burst)
		}
		out[c.Name] = l
	}
	return out
}

// slot waits briefly for a place of the client's own and for one of all;
// release gives both back.
func (s *Service) slot(ctx context.Context, client string) (release func(), err error) {
	own := s.limits[client]
	if !own.pace.Allow() {
		return nil, ErrTooMany
	}
	wait := time.NewTimer(patience)
	defer wait.Stop()
	take := func(places chan struct{}, full error) error {
		select {
		case places <- struct{}{}:
			return nil
		case <-wait.C:
			return full
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	giveBack := func() {}
	if own.places != nil {
		if err := take(own.places, ErrTooMany); err != nil {
			return nil, err
		}
		giveBack = func() { <-own.places }
	}
	if err := take(s.slots, ErrOverloaded); err != nil {
		giveBack()
		return nil, err
	}
	s.metrics.inFlight.Inc()
	return func() { s.metrics.inFlight.Dec(); <-s.slots; giveBack() }, nil
}

// room waits briefly until a body of the given claim, or of the largest size
// where it claims none, may come into memory; release says that it has left
// it. What is decoded of a body takes several times its bytes, so that these,
// and not the number of calls, are what bounds memory.
func (s *Service) room(ctx context.Context, client string, claim int64) (release func(), err error) {
	if claim < 0 || claim > s.Config.MaxBodyBytes {
		claim = s.Config.MaxBodyBytes
	}
	brief, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	own := s.limits[client].bytes
	if own.Acquire(brief, claim) != nil {
		return nil, cmp.Or(ctx.Err(), ErrTooMany)
	}
	if s.bytes.Acquire(brief, claim) != nil {
		own.Release(claim)
		return nil, cmp.Or(ctx.Err(), ErrOverloaded)
	}
	return func() { s.bytes.Release(claim); own.Release(claim) }, nil
}

// newBytes is the room for the bodies of all calls.
func newBytes(cfg Config) *semaphore.Weighted { return semaphore.NewWeighted(cfg.maxBytesInFlight()) }
