// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: bodies that are small to send and large to hold, clocks that are
// wrong, and logs that are locked or away: the status, and what is on record.

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
)

func TestBodiesThatWouldFillTheMemoryAreRefusedWithAReceipt(t *testing.T) {
	list := func(n int) []byte {
		return []byte(`{"hook":"patient-view","prefetch":{"vitals":{"entry":[` + strings.Repeat("1,", n-1) + `1]}}}`)
	}
	var members bytes.Buffer
	members.WriteString(`{"a":0`)
	for i := range maxMembers {
		members.WriteString(`,"m` + strings.Repeat("x", i%7) + time.Duration(i).String() + `":1`)
	}
	members.WriteString("}")
	for name, tt := range map[string]struct {
		body   []byte
		coding string
		status int
		reason string
	}{
		"a gzip bomb":                 {bomb(64 << 20), "gzip", 415, "media-type"},
		"an array of too many":        {list(maxElements + 1), "", 413, "too-large"},
		"an object of too many":       {members.Bytes(), "", 413, "too-large"},
		"nested a million deep":       {bytes.Repeat([]byte("["), 1<<20), "", 400, "not-json"},
		"nested deep within a member": {[]byte(`{"prefetch":` + strings.Repeat(`{"a":`, 1<<18) + "1"), "", 400, "not-json"},
		"a byte over the limit":       {bytes.Repeat([]byte(" "), 8<<20+1), "", 413, "too-large"},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, func(d *Deps, _ *trust.Client) { d.Config.MaxBodyBytes = 8 << 20 })
			r := c.post(servicePath, tt.body, func(r *http.Request) {
				if tt.coding != "" {
					r.Header.Set("Content-Encoding", tt.coding)
				}
			})
			c.wantRefusal(r, tt.status, KindRefusal, tt.reason)
		})
	}
}

func TestBodiesThatTogetherWouldFillTheMemoryAreTurnedAway(t *testing.T) {
	c := open(t, func(d *Deps, _ *trust.Client) { d.Config.MaxBodyBytes, d.Config.MaxBytesInFlight = 8<<20, 8<<20 })
	leave, err := c.service.room(t.Context(), "ehr", -1) // a body of no stated length is taken for the largest
	if err != nil {
		t.Fatal(err)
	}
	c.wantRefusal(c.view(physiology.SepticShock, nil), 429, KindRefusal, "too-many")
	leave()
	if r := c.view(physiology.SepticShock, nil); r.status != 200 {
		t.Errorf("%d once there is room", r.status)
	}
}

func TestOneClientsBodiesLeaveRoomForOthers(t *testing.T) {
	clients := []*trust.Client{{Name: "wild"}, {Name: "calm"}}
	cfg := Config{MaxConcurrent: 16, MaxBodyBytes: 1 << 20}
	s := &Service{Deps: Deps{Config: cfg}, limits: newLimits(clients, cfg), bytes: newBytes(cfg), metrics: newMetrics()}
	for range 3 {
		if _, err := s.room(t.Context(), "wild", 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.room(t.Context(), "wild", 1); err == nil {
		t.Error("one client has all the room")
	}
	if _, err := s.room(t.Context(), "calm", 1<<20); err != nil {
		t.Errorf("nothing is left for the other: %v", err)
	}
}

func TestAClockThatIsWrongRefusesAndRecordsAndNeverAccepts(t *testing.T) {
	for name, tt := range map[string]struct {
		skew   time.Duration // of our clock against the client's
		status int
	}{
		"half a minute fast": {30 * time.Second, 200},
		"half a minute slow": {-30 * time.Second, 200},
		"ten minutes fast":   {10 * time.Minute, 401},
		"ten minutes slow":   {-10 * time.Minute, 401},
		"a day fast":         {24 * time.Hour, 401},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, nil)
			token := c.token(servicePath)
			c.wait(tt.skew)
			r := c.view(physiology.SepticShock, nil) // by the same clock: answered
			if r.status != 200 {
				t.Errorf("%d by one clock", r.status)
			}
			r = c.post(servicePath, []byte("{}"), func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) })
			if tt.status == 401 {
				refused := c.records(KindRefusal)
				if r.status != 401 || len(refused) != 1 || !strings.HasPrefix(refused[0].Reason, "unauthorized-") {
					t.Errorf("%d, %s", r.status, last(refused))
				}
			} else if r.status != 400 { // let in, and the body is none
				t.Errorf("%d within the leeway", r.status)
			}
		})
	}
}
