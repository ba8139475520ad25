// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: the calls that are counted, found by their ids when feedback on them
// comes. There may be a million, and one map of them all would cost more than the
// rest of a count: nearly every look into it misses the processor's cache. Ids
// begin with the time, and feedback comes soon after its call, so the calls are
// kept in chunks, each with a small table, and those of the id's time are asked. Ids
// in any other order are found too, only later.

import (
	"bytes"
	"hash/maphash"

	"github.com/google/uuid"

	"github.com/sepsisagent/sepsisagent/audit"
)

// shownCall is a call with a card: where it is counted, and what was said last.
type shownCall struct {
	id            uuid.UUID // of its decision
	group, period int32
	words         int32 // 1 + the number of the latest of its words; 0: nobody said anything
}

// shownCalls are in the order in which they came.
type shownCalls struct {
	chunks []*callChunk
	byText map[string]*shownCall // the few whose id is no UUID
	seed   maphash.Seed
}

const (
	chunkCalls = 1 << 10
	chunkSlots = 2 * chunkCalls // so that half of them at least are free
)

type callChunk struct {
	least uuid.UUID         // id of it
	most  uuid.UUID         // id of it and all chunks before
	calls []shownCall       // never more than chunkCalls: none moves
	slots [chunkSlots]int16 // open addressing: 1 + the place of a call; 0: free
}

func newShownCalls() *shownCalls {
	return &shownCalls{byText: map[string]*shownCall{}, seed: maphash.MakeSeed()}
}

// add takes one more call. An id is that of one entry of the log.
func (c *shownCalls) add(id audit.Ref, call shownCall) {
	if id.UUID == uuid.Nil {
		c.byText[id.Text] = &call
		return
	}
	k := c.last()
	if len(k.calls) == 0 || bytes.Compare(id.UUID[:], k.least[:]) < 0 {
		k.least = id.UUID
	}
	if bytes.Compare(id.UUID[:], k.most[:]) > 0 {
		k.most = id.UUID
	}
	call.id = id.UUID
	k.calls = append(k.calls, call)
	*k.slot(maphash.Bytes(c.seed, id.UUID[:]), id.UUID) = int16(len(k.calls))
}

// last is the chunk that has room.
func (c *shownCalls) last() *callChunk {
	var most uuid.UUID
	if n := len(c.chunks); n > 0 {
		if last := c.chunks[n-1]; len(last.calls) < chunkCalls {
			return last
		}
		most = c.chunks[n-1].most
	}
	k := &callChunk{most: most, calls: make([]shownCall, 0, chunkCalls)}
	c.chunks = append(c.chunks, k)
	return k
}

// find is the call of an id, and nil if there is none.
func (c *shownCalls) find(id audit.Ref) *shownCall {
	if id.UUID == uuid.Nil {
		return c.byText[id.Text]
	}
	hash := maphash.Bytes(c.seed, id.UUID[:])
	for i := len(c.chunks) - 1; i >= 0; i-- {
		k := c.chunks[i]
		if bytes.Compare(id.UUID[:], k.most[:]) > 0 {
			break
		}
		if bytes.Compare(id.UUID[:], k.least[:]) < 0 {
			continue
		}
		if at := *k.slot(hash, id.UUID); at > 0 {
			return &k.calls[at-1]
		}
	}
	return nil
}

// slot is where the call of an id is, or where it would be.
func (k *callChunk) slot(hash uint64, id uuid.UUID) *int16 {
	for at := hash; ; at++ {
		slot := &k.slots[at%chunkSlots]
		if *slot == 0 || k.calls[*slot-1].id == id {
			return slot
		}
	}
}

// each calls f with every call.
func (c *shownCalls) each(f func(*shownCall)) {
	for _, k := range c.chunks {
		for i := range k.calls {
			f(&k.calls[i])
		}
	}
	for _, call := range c.byText {
		f(call)
	}
}
