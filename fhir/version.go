// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: the versions of a resource, and which one of them counts.

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"

	"github.com/cespare/xxhash/v2"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// entry is the version of one resource that counts.
type entry struct {
	kind, id string
	origin   state.Origin
	decoded  *decoded
	stamp    string   // meta.lastUpdated, else issued
	digest   digest   // of the bytes, for the last tie
	mapped   []mapped // set by mappedOf
	mappedAt int      // Bag.lookups at that time
}

// digest tells versions of one resource apart. It is no proof of anything: who
// can make two versions with the same one can also leave one of them out.
type digest [8]byte

func digestOf(raw []byte) (d digest) {
	binary.BigEndian.PutUint64(d[:], xxhash.Sum64(raw))
	return d
}

// statusRank orders versions of one resource that carry no time: a retraction
// over a correction over a first result.
var statusRank = map[string]int{"entered-in-error": 9, "cancelled": 8, "corrected": 7, "amended": 6, "final": 5, "completed": 5, "stopped": 5, "preliminary": 4, "registered": 1}

func newEntry(h *head, d *decoded, raw []byte, origin state.Origin) *entry {
	e := &entry{}
	e.fill(h, d, raw, origin)
	return e
}

func (e *entry) fill(h *head, d *decoded, raw []byte, origin state.Origin) {
	*e = entry{kind: h.kind, id: h.id, origin: origin, decoded: d, stamp: h.updated, digest: digestOf(raw)}
	if len(d.records) > 0 && e.stamp == "" {
		e.stamp = d.records[0].Issued
	}
}

// rank orders versions of one resource by status.
func (e *entry) rank() int {
	if len(e.decoded.records) == 0 {
		return 0
	}
	return statusRank[e.decoded.records[0].Status]
}

// since is the time of a version, in microseconds. Without one it is older
// than any that has one, unless it takes back what was said.
func (e *entry) since() int64 {
	if t, err := instant(e.stamp); err == nil {
		return t.UnixMicro()
	}
	if e.rank() >= statusRank["cancelled"] {
		return math.MaxInt64
	}
	return math.MinInt64
}

// keep files an entry; of two versions of a resource the newer one counts, and
// the same one whichever came first.
func (b *Bag) keep(e *entry) {
	is := resourceName{e.kind, e.id}
	old, ok := b.entries[is]
	if !ok {
		b.entries[is] = e
		b.names = append(b.names, is)
		return
	}
	if old.digest == e.digest {
		if originLess(e.origin, old.origin) {
			old.origin, old.mapped = e.origin, nil
		}
		b.ignore(reasonDuplicate)
		return
	}
	if e.newer(old) {
		b.entries[is] = e
	}
	b.ignore(reasonSuperseded)
}

func (e *entry) newer(old *entry) bool {
	return cmp.Or(cmp.Compare(e.since(), old.since()), cmp.Compare(e.rank(), old.rank()), bytes.Compare(e.digest[:], old.digest[:])) > 0
}

func originLess(a, b state.Origin) bool {
	return cmp.Or(cmp.Compare(a.Via, b.Via), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Line, b.Line)) < 0
}
