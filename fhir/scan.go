// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: scan, one pass over the bytes of a resource that checks that they
// are JSON and takes from them what is needed. Nothing is copied until a value
// is known to be wanted. What encoding/json forgives is refused: a member name
// in another case, a number in quotes, a member given twice.

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"strings"
	"unicode/utf8"
)

// maxDepth is where encoding/json gives up; deeper bytes are broken JSON.
const maxDepth = 10000

// scan walks one resource. Its methods are called with at on the first byte of
// what they read and leave it on the first byte after. Broken JSON sets broken
// and moves at to the end, which ends every loop.
type scan struct {
	raw    []byte
	at     int
	depth  int
	broken bool
	// wrong is the first member whose value has not the type of FHIR, as a
	// reason; it rejects a resource that is wanted and says nothing of another.
	wrong error
	head  head
	want  func(system, code []byte) bool
	sheet sheet
	words words
	store *store // of what decoding makes; nil: the heap
}

// begin prepares s for other bytes and keeps its buffers.
func (s *scan) begin(raw []byte) { s.raw, s.at, s.depth, s.broken = raw, 0, 0, false }

func (s *scan) breakOff() { s.broken, s.at = true, len(s.raw) }

func (s *scan) space() {
	for s.at < len(s.raw) && s.raw[s.at] <= ' ' {
		switch s.raw[s.at] {
		case ' ', '\n', '\r', '\t':
			s.at++
		default:
			return
		}
	}
}

// next is the byte at the start of the next token, 0 at the end.
func (s *scan) peek() byte {
	s.space()
	if s.at < len(s.raw) {
		return s.raw[s.at]
	}
	s.breakOff()
	return 0
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// str reads a string and returns what is between the quotes, as received.
func (s *scan) str() []byte {
	s.at++
	start := s.at
	for {
		for s.at+8 <= len(s.raw) {
			x := binary.LittleEndian.Uint64(s.raw[s.at:])
			quote, slash := x^'"'*ones, x^'\\'*ones
			// The lowest marked byte is a quote, a backslash or a control
			// character; bytes above it may be marked by the borrow.
			hit := ((quote - ones) &^ quote) | ((slash - ones) &^ slash) | ((x - ' '*ones) &^ x)
			if hit &= highs; hit != 0 {
				s.at += bits.TrailingZeros64(hit) / 8
				break
			}
			s.at += 8
		}
		for s.at < len(s.raw) && s.raw[s.at] != '"' && s.raw[s.at] != '\\' && s.raw[s.at] >= ' ' {
			s.at++
		}
		if s.at >= len(s.raw) || s.raw[s.at] < ' ' {
			s.breakOff()
			return nil
		}
		if s.raw[s.at] == '"' {
			s.at++
			return s.raw[start : s.at-1 : s.at-1]
		}
		if !s.escape() {
			s.breakOff()
			return nil
		}
	}
}

// escape passes over a backslash and what belongs to it.
func (s *scan) escape() bool {
	if s.at+1 >= len(s.raw) {
		return false
	}
	s.at += 2
	switch s.raw[s.at-1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		for range 4 {
			if s.at >= len(s.raw) || !isHex(s.raw[s.at]) {
				return false
			}
			s.at++
		}
		return true
	}
	return false
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// cooked is the text of a string as received: with its escapes read, and with
// what is no UTF-8 replaced, as encoding/json does.
func cooked(token []byte) string {
	if bytes.IndexByte(token, '\\') < 0 && utf8.Valid(token) {
		return string(token)
	}
	quoted := make([]byte, 0, len(token)+2)
	quoted = append(append(append(quoted, '"'), token...), '"')
	var out string
	if json.Unmarshal(quoted, &out) != nil {
		return string(token)
	}
	return out
}

// number reads a number and returns its text.
func (s *scan) number() []byte {
	start := s.at
	if s.is('-') {
		s.at++
	}
	switch {
	case s.is('0'):
		s.at++
	case !s.digits():
		s.breakOff()
		return nil
	}
	if s.is('.') {
		if s.at++; !s.digits() {
			s.breakOff()
			return nil
		}
	}
	if s.is('e') || s.is('E') {
		if s.at++; s.is('+') || s.is('-') {
			s.at++
		}
		if !s.digits() {
			s.breakOff()
			return nil
		}
	}
	return s.raw[start:s.at:s.at]
}

func (s *scan) is(c byte) bool { return s.at < len(s.raw) && s.raw[s.at] == c }

func (s *scan) digits() bool {
	start := s.at
	for s.at < len(s.raw) && s.raw[s.at] >= '0' && s.raw[s.at] <= '9' {
		s.at++
	}
	return s.at > start
}

// literal passes over true, false or null.
func (s *scan) literal(word string) {
	if len(s.raw)-s.at < len(word) || string(s.raw[s.at:s.at+len(word)]) != word {
		s.breakOff()
		return
	}
	s.at += len(word)
}

// open enters an object, whose { is at s.at, and returns its first member's
// name with s.at on the value; nil when it has none.
func (s *scan) open() []byte {
	s.at++
	if s.depth++; s.depth > maxNesting {
		s.head.fault = faultDeep
		if s.depth > maxDepth {
			s.breakOff()
			return nil
		}
	}
	switch s.peek() {
	case '}':
		s.at++
		s.depth--
		return nil
	case '"':
		return s.name()
	}
	s.breakOff()
	return nil
}

// next goes on to the next member; nil at the end of the object.
func (s *scan) next() []byte {
	switch s.peek() {
	case '}':
		s.at++
		s.depth--
		return nil
	case ',':
		s.at++
		if s.peek() == '"' {
			return s.name()
		}
	}
	s.breakOff()
	return nil
}

// name reads a member's name and the colon. A name is never nil.
func (s *scan) name() []byte {
	name := s.str()
	if s.peek() != ':' {
		s.breakOff()
		return nil
	}
	s.at++
	if s.peek() == 0 {
		return nil
	}
	if bytes.IndexByte(name, '\\') >= 0 {
		name = []byte(cooked(name))
	}
	if name == nil {
		name = []byte{}
	}
	return name
}

// list enters an array, whose [ is at s.at; more goes on. Both leave s.at on
// an element and are false at the end.
func (s *scan) list() bool {
	s.at++
	if s.depth++; s.depth > maxNesting {
		s.head.fault = faultDeep
		if s.depth > maxDepth {
			s.breakOff()
			return false
		}
	}
	if s.peek() == ']' {
		s.at++
		s.depth--
		return false
	}
	return !s.broken
}

func (s *scan) more() bool {
	switch s.peek() {
	case ']':
		s.at++
		s.depth--
		return false
	case ',':
		s.at++
		return s.peek() != 0
	}
	s.breakOff()
	return false
}

// skip passes over a value of any type.
func (s *scan) skip() { s.walk(elsewhere) }

// walk passes over a value and takes what the head of a resource is made of.
func (s *scan) walk(p place) {
	switch c := s.raw[s.at]; c {
	case '{':
		s.walkObject(p)
	case '[':
		for ok := s.list(); ok; ok = s.more() {
			s.walk(p)
		}
	case '"':
		s.str()
	case 't':
		s.literal("true")
	case 'f':
		s.literal("false")
	case 'n':
		s.literal("null")
	default:
		s.number()
	}
}

func (s *scan) walkObject(p place) {
	var system, code []byte
	var seen uint32 // of topMembers
	for name := s.open(); name != nil; name = s.next() {
		s.checkName(name)
		if p == top {
			s.once(&seen, name)
		}
		if s.raw[s.at] != '"' {
			s.walk(s.enter(p, name))
			continue
		}
		switch value := s.str(); {
		case p == inQuantity && string(name) == "value":
			s.head.fault = faultQuoted
		case p == inCoding && string(name) == "system":
			system = value
		case p == inCoding && string(name) == "code":
			code = value
		default:
			s.text(p, name, value)
		}
	}
	if p == inCoding && code != nil {
		s.coded(system, code)
	}
}

// coded notes whether a code is wanted.
func (s *scan) coded(system, code []byte) {
	if s.want == nil || s.head.wanted {
		return
	}
	if bytes.IndexByte(system, '\\') >= 0 {
		system = []byte(cooked(system))
	}
	if bytes.IndexByte(code, '\\') >= 0 {
		code = []byte(cooked(code))
	}
	s.head.wanted = s.want(system, code)
}

// checkName notes a member name that FHIR has in another case.
func (s *scan) checkName(name []byte) {
	if !members[string(name)] {
		s.checkCase(name)
	}
}

func (s *scan) checkCase(name []byte) {
	if exact, ok := folded[fold(name)]; ok && exact != string(name) {
		s.head.fault = faultCase
	}
}

// fold brings a name to the form in which encoding/json compares names: also
// the long s and the Kelvin sign are letters of other cases.
func fold(name []byte) string { return strings.ToLower(strings.ToUpper(string(name))) }

func (s *scan) once(seen *uint32, name []byte) {
	i, ok := topMembers[string(name)]
	if !ok {
		return
	}
	if *seen&(1<<i) != 0 {
		s.head.fault = faultTwice
	}
	*seen |= 1 << i
}
