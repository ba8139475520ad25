// SPDX-License-Identifier: Apache-2.0

package cdshooks

import (
	"encoding/binary"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/audit"
)

func TestACallIsFoundInWhateverOrderIDsCome(t *testing.T) {
	for name, id := range map[string]func(t *rapid.T, i int) uint64{
		"one after the other":         func(_ *rapid.T, i int) uint64 { return uint64(i) },
		"backwards":                   func(_ *rapid.T, i int) uint64 { return 1<<20 - uint64(i) },
		"calls of one time overtake":  func(t *rapid.T, i int) uint64 { return uint64(8*i + rapid.IntRange(0, 800).Draw(t, "ahead")) },
		"at random":                   func(t *rapid.T, _ int) uint64 { return rapid.Uint64().Draw(t, "id") },
		"one clock is years ahead":    func(_ *rapid.T, i int) uint64 { return uint64(i) + uint64(i%900/899)<<40 },
		"nearly all in the last byte": func(_ *rapid.T, i int) uint64 { return uint64(i)<<56 | uint64(i)>>8 },
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				c, want := newShownCalls(), map[audit.Ref]int32{}
				for i := range rapid.IntRange(0, 3*chunkCalls).Draw(t, "calls") {
					var u uuid.UUID
					binary.BigEndian.PutUint64(u[:], 1)
					binary.BigEndian.PutUint64(u[8:], id(t, i))
					ref := audit.Ref{UUID: u}
					if i%500 == 3 {
						ref = audit.Ref{Text: u.String() + " or so"}
					}
					if _, known := want[ref]; known {
						continue // the log has an id once
					}
					want[ref] = int32(i)
					c.add(ref, shownCall{group: int32(i)})
				}
				for ref, n := range want {
					if got := c.find(ref); got == nil || got.group != n {
						t.Fatalf("%v: found %+v, want %d", ref, got, n)
					}
				}
				for _, ref := range []audit.Ref{{UUID: uuid.Max}, {UUID: uuid.UUID{15: 1}}, {Text: "nobody"}} {
					if got := c.find(ref); got != nil {
						t.Errorf("%v: found %+v", ref, got)
					}
				}
				seen := 0
				c.each(func(*shownCall) { seen++ })
				if seen != len(want) {
					t.Errorf("each gives %d calls of %d", seen, len(want))
				}
			})
		})
	}
}
