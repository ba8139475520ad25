// SPDX-License-Identifier: Apache-2.0

package cdshooks

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
)

func TestAClientThatCallsTooOftenIsTurnedAwayWithAReceipt(t *testing.T) {
	c := open(t, func(_ *Deps, client *trust.Client) { client.RatePerSecond, client.RateBurst = 1e-6, 2 })
	for range 2 {
		if r := c.view(physiology.PostOperative, nil); r.status != http.StatusOK {
			t.Fatalf("%d %s", r.status, r.body)
		}
	}
	r := c.view(physiology.PostOperative, nil)
	c.wantRefusal(r, http.StatusTooManyRequests, KindRefusal, "too-many")
	if r.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestAClientThatHoldsAllItsPlacesLeavesSomeForOthers(t *testing.T) {
	clients := []*trust.Client{{Name: "wild"}, {Name: "calm"}, {Name: "small", MaxConcurrent: 1}}
	s := &Service{slots: make(chan struct{}, 8), limits: newLimits(clients, Config{MaxConcurrent: 8, MaxBodyBytes: 1 << 20}), metrics: newMetrics()}
	ctx := context.Background()
	var release []func()
	hold := func(client string, want error) {
		t.Helper()
		done, err := s.slot(ctx, client)
		if !errors.Is(err, want) {
			t.Fatalf("%s: %v, want %v", client, err, want)
		}
		if err == nil {
			release = append(release, done)
		}
	}
	for range 6 {
		hold("wild", nil)
	}
	hold("wild", ErrTooMany)
	hold("small", nil)
	hold("small", ErrTooMany)
	hold("calm", nil)
	hold("calm", ErrOverloaded) // all eight are taken
	for _, done := range release {
		done()
	}
	release = nil
	for range 6 {
		hold("calm", nil)
	}
	if n := len(s.slots); n != 6 {
		t.Errorf("%d places are held, want 6", n)
	}
}
