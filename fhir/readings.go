// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: texts that were read before. A chart has a few hundred thousand
// values in a few dozen units, and as many doses of a few dozen drugs.

import (
	"maps"
	"strings"
	"sync/atomic"

	"github.com/sepsisagent/sepsisagent/fhir/ucum"
)

// maxReadings bounds what is remembered: spellings come from outside, and after
// this many the others are read each time.
const maxReadings = 512

// maxReadText is the longest spelling remembered; no unit is longer.
const maxReadText = 64

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

// own is the key and the reading without a hold on the resource that they are a
// piece of.
func (k unitKey) own(r unitRead) (unitKey, unitRead) {
	k.text, r.code = strings.Clone(k.text), strings.Clone(r.code)
	return k, r
}

func (k unitKey) size() int { return len(k.text) }

// nameKey is the name of a medication.
type nameKey string

func (k nameKey) own(d *drugSpec) (nameKey, *drugSpec) { return nameKey(strings.Clone(string(k))), d }

func (k nameKey) size() int { return len(k) }

// spelling is a text that is read as an R, which depends on nothing else.
type spelling[K, R any] interface {
	comparable
	own(R) (K, R)
	size() int
}

// readings is replaced as a whole and never changed, so that reading needs no
// lock.
type readings[K spelling[K, R], R any] struct {
	known atomic.Pointer[map[K]R]
}

func newReadings[K spelling[K, R], R any]() *readings[K, R] {
	c := &readings[K, R]{}
	c.known.Store(&map[K]R{})
	return c
}

// of returns what read makes of a spelling, which depends on the key alone.
func (c *readings[K, R]) of(k K, read func(K) R) R {
	known := c.known.Load()
	if r, ok := (*known)[k]; ok {
		return r
	}
	r := read(k)
	if len(*known) >= maxReadings || k.size() > maxReadText {
		return r
	}
	more := maps.Clone(*known)
	own, kept := k.own(r)
	more[own] = kept
	c.known.CompareAndSwap(known, &more) // who loses reads it again another time
	return r
}
