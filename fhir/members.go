// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: walking the members of JSON objects and arrays without decoding
// them, on bytes already known to be valid. Names are read case-sensitively.

import "bytes"

// scanner walks bytes already known to be valid JSON.
type scanner struct {
	raw []byte
	at  int
}

func (s *scanner) space() {
	for s.at < len(s.raw) {
		switch s.raw[s.at] {
		case ' ', '\n', '\r', '\t':
			s.at++
		default:
			return
		}
	}
}

// str reads a string token and returns what is between the quotes, raw.
func (s *scanner) str() []byte {
	s.at++
	start := s.at
	for {
		i := bytes.IndexByte(s.raw[s.at:], '"')
		s.at += i
		slashes := 0
		for k := s.at - 1; k >= start && s.raw[k] == '\\'; k-- {
			slashes++
		}
		s.at++
		if slashes%2 == 0 {
			return s.raw[start : s.at-1]
		}
	}
}

// unquoted is the text of a raw string token.
func unquoted(token []byte) string { return cooked(token) }

// skip passes over one value and returns its bytes.
func (s *scanner) skip() []byte {
	start := s.at
	depth := 0
	for s.at < len(s.raw) {
		switch s.raw[s.at] {
		case '"':
			s.str()
		case '{', '[':
			depth++
			s.at++
		case '}', ']':
			if depth == 0 {
				return bytes.TrimRight(s.raw[start:s.at], " \n\r\t")
			}
			depth--
			s.at++
		case ',':
			if depth == 0 {
				return bytes.TrimRight(s.raw[start:s.at], " \n\r\t")
			}
			s.at++
		default:
			s.at++
		}
	}
	return bytes.TrimSpace(s.raw[start:s.at])
}

// eachMember calls use for the members of a JSON object; raw must be valid
// JSON. Anything else than an object has none.
func eachMember(raw []byte, use func(name string, value []byte)) {
	s := scanner{raw: raw}
	s.space()
	if s.at >= len(raw) || raw[s.at] != '{' {
		return
	}
	for s.at++; ; {
		s.space()
		switch s.raw[s.at] {
		case '}':
			return
		case ',':
			s.at++
			continue
		}
		name := unquoted(s.str())
		s.space()
		s.at++ // :
		s.space()
		use(name, s.skip())
	}
}

// eachElement calls use for the elements of a JSON array; false when raw,
// which must be valid JSON, is neither an array nor null nor absent.
func eachElement(raw []byte, use func(value []byte)) bool {
	s := scanner{raw: raw}
	s.space()
	if s.at >= len(raw) || string(bytes.TrimSpace(raw)) == "null" {
		return true
	}
	if raw[s.at] != '[' {
		return false
	}
	for s.at++; ; {
		s.space()
		switch s.raw[s.at] {
		case ']':
			return true
		case ',':
			s.at++
			continue
		}
		use(s.skip())
	}
}
