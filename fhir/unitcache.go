// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: units that were read before. A chart has a few hundred thousand
// values in a few dozen units.

import (
	"maps"
	"strings"
	"sync/atomic"

	"github.com/sepsisagent/sepsisagent/fhir/ucum"
)

// maxUnits bounds what is remembered: spellings come from outside, and after
// this many the others are read each time.
const maxUnits = 512

// maxUnitText is the longest spelling remembered; no unit is longer.
const maxUnitText = 64

// unitKey is a spelling, of a dose or of any other quantity.
type unitKey struct {
	text string
	drug bool
}

// unitRead is what a spelling was read as.
type unitRead struct {
	unit ucum.Unit
	code string
	ok   bool
}

// unitCache is replaced as a whole and never changed, so that reading needs no
// lock.
type unitCache struct {
	read atomic.Pointer[map[unitKey]unitRead]
}

func newUnitCache() *unitCache {
	c := &unitCache{}
	c.read.Store(&map[unitKey]unitRead{})
	return c
}

// of returns what read makes of a spelling, which depends on the key alone.
func (c *unitCache) of(k unitKey, read func(unitKey) unitRead) unitRead {
	known := c.read.Load()
	if r, ok := (*known)[k]; ok {
		return r
	}
	r := read(k)
	if len(*known) >= maxUnits || len(k.text) > maxUnitText {
		return r
	}
	// The text may be a piece of a resource, which is not to be kept for it.
	k.text, r.code = strings.Clone(k.text), strings.Clone(r.code)
	more := maps.Clone(*known)
	more[k] = r
	c.read.CompareAndSwap(known, &more) // who loses reads it again another time
	return r
}
