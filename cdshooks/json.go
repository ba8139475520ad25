// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: reading JSON as RFC 8259 means it. encoding/json matches member
// names without regard to case, lets a later duplicate win and repairs broken
// UTF-8; each of these lets two readers of one body see two different orders.
// Here a body is one value, in valid UTF-8, not nested deeper than MaxNesting,
// of no array or object without end, and no object names a member twice; names
// are matched exactly.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// MaxNesting is how deep objects and arrays of a request body may nest. FHIR
// resources stay below 20.
const MaxNesting = 128

// How many elements an array and how many members an object may have. A whole
// chart of 23 MB has some 30,000 resources in its longest list. What is decoded
// takes dozens of bytes for each element, however short its text: without these
// bounds a body of 32 MiB took a gigabyte.
const (
	maxElements = 250_000
	maxMembers  = 10_000
)

// checkJSON reports the first departure of data from one strict JSON value.
// The error names a byte offset and never quotes the body.
func checkJSON(data []byte) error { return (&scanner{data: data}).whole() }

// opened is a JSON object with the members of the objects right in it, by name.
type opened struct {
	object
	inner map[string]object
}

// child returns the object member called name; absent and null give nil.
func (o opened) child(name string) (object, error) {
	if !o.has(name) {
		return nil, nil
	}
	m, ok := o.inner[name]
	if !ok {
		return nil, notAnObject(name)
	}
	return m, nil
}

// openJSON is checkJSON for a body that must be an object, and opens it in the
// same pass, since it may be large. The values share memory with data.
func openJSON(data []byte) (opened, error) {
	s := scanner{data: data, open: &opened{inner: map[string]object{}}}
	if err := s.whole(); err != nil {
		return opened{}, err
	}
	if s.open.object == nil {
		return opened{}, fmt.Errorf("%w: an object was expected", ErrBadRequest)
	}
	return *s.open, nil
}

// scanner walks one JSON text once, without building anything.
type scanner struct {
	data []byte
	at   int
	keys [][]byte // names seen in the objects that are open, innermost last
	// Members are kept here when it is set: those of the outermost object, and of
	// the objects that are its members.
	open  *opened
	under string // the member of the outermost object that is being read
}

// whole passes over the one value that the text must be.
func (s *scanner) whole() error {
	if !utf8.Valid(s.data) {
		return fmt.Errorf("%w: the body is not valid UTF-8", ErrNotJSON)
	}
	s.space()
	if s.at == len(s.data) {
		return fmt.Errorf("%w: the body is empty", ErrNotJSON)
	}
	if err := s.value(0); err != nil {
		return err
	}
	s.space()
	if s.at != len(s.data) {
		return s.fault("more than one value")
	}
	return nil
}

// kept is where the members of an object at this depth go; nil: nowhere.
func (s *scanner) kept(depth int) object {
	if s.open == nil || depth > 1 {
		return nil
	}
	out := object{}
	if depth == 0 {
		s.open.object = out
	} else {
		s.open.inner[s.under] = out
	}
	return out
}

func (s *scanner) fault(what string) error {
	return fmt.Errorf("%w: %s at byte %d", ErrNotJSON, what, s.at)
}

func (s *scanner) space() {
	for s.at < len(s.data) {
		switch s.data[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// peek returns the next byte, or 0 at the end (0 is not valid outside strings).
func (s *scanner) peek() byte {
	if s.at < len(s.data) {
		return s.data[s.at]
	}
	return 0
}

func (s *scanner) value(depth int) error {
	if depth > MaxNesting {
		return s.fault("nested too deep")
	}
	switch c := s.peek(); {
	case c == '{':
		return s.object(depth)
	case c == '[':
		return s.array(depth)
	case c == '"':
		_, err := s.str()
		return err
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	}
	for _, word := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(s.data[s.at:], []byte(word)) {
			s.at += len(word)
			return nil
		}
	}
	if s.at == len(s.data) {
		return s.fault("the value ends too early")
	}
	return s.fault("unexpected character")
}

func (s *scanner) object(depth int) error {
	first := len(s.keys)
	defer func() { s.keys = s.keys[:first] }()
	var many map[string]bool // takes over when an object is large
	parts := s.kept(depth)
	s.at++
	s.space()
	if s.peek() == '}' {
		s.at++
		return nil
	}
	for n := 1; ; n++ {
		if n > maxMembers {
			return fmt.Errorf("%w: an object of more than %d members", ErrTooLarge, maxMembers)
		}
		start := s.at
		name, err := s.str()
		if err != nil {
			return err
		}
		if many == nil && len(s.keys)-first == 24 {
			many = make(map[string]bool, 64)
			for _, k := range s.keys[first:] {
				many[string(k)] = true
			}
		}
		seen := many[string(name)]
		if many == nil {
			for _, k := range s.keys[first:] {
				seen = seen || bytes.Equal(k, name)
			}
			s.keys = append(s.keys, name)
		} else {
			many[string(name)] = true
		}
		if seen {
			s.at = start
			return s.fault("a member is named twice in one object")
		}
		s.space()
		if s.peek() != ':' {
			return s.fault("a member has no value")
		}
		s.at++
		s.space()
		if parts != nil && depth == 0 {
			s.under = string(name)
		}
		from := s.at
		if err := s.value(depth + 1); err != nil {
			return err
		}
		if parts != nil {
			parts[string(name)] = s.data[from:s.at:s.at]
		}
		s.space()
		switch s.peek() {
		case ',':
			s.at++
			s.space()
		case '}':
			s.at++
			return nil
		default:
			return s.fault("an object is not closed")
		}
	}
}

func (s *scanner) array(depth int) error {
	s.at++
	s.space()
	if s.peek() == ']' {
		s.at++
		return nil
	}
	for n := 1; ; n++ {
		if n > maxElements {
			return fmt.Errorf("%w: an array of more than %d elements", ErrTooLarge, maxElements)
		}
		if err := s.value(depth + 1); err != nil {
			return err
		}
		s.space()
		switch s.peek() {
		case ',':
			s.at++
			s.space()
		case ']':
			s.at++
			return nil
		default:
			return s.fault("an array is not closed")
		}
	}
}

// str passes over a string and returns what it says, unescaped.
func (s *scanner) str() ([]byte, error) {
	if s.peek() != '"' {
		return nil, s.fault("a string was expected")
	}
	start, escaped := s.at, false
	for i := s.at + 1; i < len(s.data); i++ {
		switch c := s.data[i]; {
		case c == '"':
			s.at = i + 1
			if !escaped {
				return s.data[start+1 : i], nil
			}
			var text string
			if err := json.Unmarshal(s.data[start:i+1], &text); err != nil {
				s.at = start
				return nil, s.fault("a string has a bad escape")
			}
			return []byte(text), nil
		case c == '\\':
			escaped = true
			i++
		case c < 0x20:
			s.at = i
			return nil, s.fault("a control character in a string")
		}
	}
	s.at = len(s.data)
	return nil, s.fault("a string is not closed")
}

func (s *scanner) digits() bool {
	from := s.at
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.at++
	}
	return s.at > from
}

func (s *scanner) number() error {
	if s.peek() == '-' {
		s.at++
	}
	if s.peek() == '0' {
		s.at++
	} else if !s.digits() {
		return s.fault("a number has no digits")
	}
	if s.peek() == '.' {
		s.at++
		if !s.digits() {
			return s.fault("a number has no digits after its point")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.at++
		if c := s.peek(); c == '+' || c == '-' {
			s.at++
		}
		if !s.digits() {
			return s.fault("a number has no digits in its exponent")
		}
	}
	return nil
}
