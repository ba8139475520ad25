// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: what is used again for speed: room and units.

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

func TestASlabHandsOutZeroedPiecesThatDoNotTouch(t *testing.T) {
	var s slab[int]
	for round := range 3 {
		var pieces [][]int
		for n := range 40 {
			p := s.take(n)
			if len(p) != n || cap(p) != n {
				t.Fatalf("round %d: asked for %d, got %d of %d", round, n, len(p), cap(p))
			}
			for i := range p {
				if p[i] != 0 {
					t.Fatalf("round %d: not zeroed", round)
				}
				p[i] = n
			}
			pieces = append(pieces, p)
		}
		for n, p := range pieces {
			for _, v := range p {
				if v != n {
					t.Fatalf("round %d: the piece of %d holds %d", round, n, v)
				}
			}
		}
		s.reset()
	}
}

func TestUnitsAreRememberedUpToABoundAndReadTheSame(t *testing.T) {
	x := *testMapper(t).x
	x.units = newReadings[unitKey, unitRead]()
	texts := []string{"mg/dL", "mmHg", "nonsense", "12", strings.Repeat("g", maxReadText+1)}
	for i := range maxReadings + 100 {
		texts = append(texts, fmt.Sprintf("{drop%d}", i))
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 3 {
				for _, text := range texts {
					for _, drug := range []bool{false, true} {
						k := unitKey{text, drug}
						u, code, ok := x.parseUnit(text, drug)
						if (unitRead{u, code, ok}) != x.readUnit(k) {
							t.Errorf("%q is read as %v %q %v", text, u, code, ok)
						}
					}
				}
			}
		})
	}
	group.Wait()
	if n := len(*x.units.known.Load()); n == 0 || n > maxReadings {
		t.Errorf("%d units are remembered", n)
	}
	if u, _, _ := x.spelledUnit(&state.Quantity{Unit: "mmHg"}, false); u.SameKind(x.readUnit(unitKey{"mg", false}).unit) {
		t.Error("a pressure is a mass")
	}
}
