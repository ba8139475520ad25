// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: slabs. A Record is large and short-lived where whole exports are
// read; taking them from blocks that are used again saves most of what
// allocating and collecting them would cost.

import (
	"sync"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// slab hands out zeroed pieces of a block.
type slab[T any] struct {
	block []T
	used  int
}

// firstSlab is how many elements the first block of a slab has.
const firstSlab = 64

// take returns n elements. A full block is left to those who hold parts of it,
// and the next one is twice as large.
func (s *slab[T]) take(n int) []T {
	if n == 0 {
		return nil
	}
	if len(s.block)-s.used < n {
		s.block, s.used = make([]T, max(n, firstSlab, 2*len(s.block))), 0
	}
	s.used += n
	return s.block[s.used-n : s.used : s.used]
}

// reset takes back everything handed out, which must not be used any more.
func (s *slab[T]) reset() {
	clear(s.block[:s.used])
	s.used = 0
}

// store is where decoding takes its room. A nil store allocates.
type store struct {
	records slab[state.Record]
	codings slab[state.Coding]
	amounts slab[state.Quantity]
	decoded slab[decoded]
	entries slab[entry]
	read    slab[readResource]
	mapped  slab[mapped]
	placed  slab[placed]
	charted slab[state.Record] // of charts: as many at a time as a patient has
}

// stores keeps stores for the next chunk or bag.
var stores = sync.Pool{New: func() any { return new(store) }}

// release takes back everything handed out.
func (st *store) release() {
	st.records.reset()
	st.codings.reset()
	st.amounts.reset()
	st.decoded.reset()
	st.entries.reset()
	st.read.reset()
	st.mapped.reset()
	st.placed.reset()
	st.charted.reset()
	stores.Put(st)
}

func (st *store) newRecords(n int) []state.Record {
	if st == nil {
		return make([]state.Record, n)
	}
	return st.records.take(n)
}

func (st *store) newCodings(n int) []state.Coding {
	if st == nil {
		return make([]state.Coding, n)
	}
	return st.codings.take(n)
}

func (st *store) newAmount() *state.Quantity {
	if st == nil {
		return &state.Quantity{}
	}
	return &st.amounts.take(1)[0]
}

func (st *store) newDecoded() *decoded {
	if st == nil {
		return &decoded{}
	}
	return &st.decoded.take(1)[0]
}

func (st *store) newEntry() *entry {
	if st == nil {
		return &entry{}
	}
	return &st.entries.take(1)[0]
}

func (st *store) newMapped(n int) []mapped {
	if st == nil {
		return make([]mapped, n)
	}
	return st.mapped.take(n)
}

func (st *store) newPlaced() *placed {
	if st == nil {
		return &placed{}
	}
	return &st.placed.take(1)[0]
}

func (st *store) newCharted(n int) []state.Record {
	if st == nil {
		return make([]state.Record, n)
	}
	return st.charted.take(n)
}
