// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: how much of the service one client may have. What is over it is
// turned away after authentication, so that strangers use nothing of it up, and
// before the body is read.

import (
	"context"
	"math"
	"time"

	limiter "golang.org/x/time/rate"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
)

// patience is how long a call waits for a place before it is turned away.
const patience = 250 * time.Millisecond

// limits are the places of the service, and of one client in it.
type limits struct {
	pace   *limiter.Limiter
	places chan struct{} // nil: as many as there are
}

// newLimits gives each client its share. Where several are registered, none has
// more than three quarters of all places unless it is so registered: a client
// gone wild leaves some for the others.
func newLimits(clients []*trust.Client, all int) map[string]*limits {
	out := map[string]*limits{}
	for _, c := range clients {
		share := c.MaxConcurrent
		if share == 0 && len(clients) > 1 {
			share = max(1, all*3/4)
		}
		l := &limits{pace: limiter.NewLimiter(limiter.Inf, 0)}
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
