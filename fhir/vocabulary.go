// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: words, a small cache of texts that many resources share, so that
// reading the thousandth "mm[Hg]" neither allocates nor looks far.

import "hash/maphash"

// wordSlots is the size of the cache, a power of two.
const wordSlots = 1 << 11

// maxWord is the longest text kept, in bytes.
const maxWord = 200

// wordSeed is the seed of the hash; only the time a look-up takes depends on it.
var wordSeed = maphash.MakeSeed()

// words holds texts by a hash of their bytes; a newcomer takes the place of
// who was there.
type words [wordSlots]string

// keep returns the text of a string as received.
func (w *words) keep(token []byte) string {
	if len(token) == 0 {
		return ""
	}
	slot := &w[maphash.Bytes(wordSeed, token)&(wordSlots-1)]
	if *slot == string(token) {
		return *slot
	}
	text := cooked(token)
	if len(text) <= maxWord && text == string(token) { // a text that had to be cooked is not found by its bytes
		*slot = text
	}
	return text
}
