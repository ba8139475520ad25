// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: taking apart JSON that checkJSON has accepted, member by member
// and by exact name, and finding the empty values that may not be sent.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// object is a decoded JSON object: its members by exact name, each still raw.
type object map[string]json.RawMessage

// members splits a JSON object that checkJSON has accepted. The values share
// memory with raw.
func members(raw []byte) (object, error) {
	s := scanner{data: raw}
	s.space()
	if s.peek() != '{' {
		return nil, fmt.Errorf("%w: an object was expected", ErrBadRequest)
	}
	out := object{}
	s.at++
	s.space()
	if s.peek() == '}' {
		return out, nil
	}
	for {
		name, err := s.str()
		if err != nil {
			return nil, err
		}
		key := string(name)
		s.space()
		if s.peek() != ':' {
			return nil, s.fault("a member has no value")
		}
		s.at++
		s.space()
		from := s.at
		if err := s.value(1); err != nil {
			return nil, err
		}
		out[key] = raw[from:s.at:s.at]
		s.space()
		if s.peek() != ',' {
			return out, nil
		}
		s.at++
		s.space()
	}
}

// elements splits a JSON array that checkJSON has accepted.
func elements(raw []byte) ([]json.RawMessage, error) {
	s := scanner{data: raw}
	s.space()
	if s.peek() != '[' {
		return nil, fmt.Errorf("%w: an array was expected", ErrBadRequest)
	}
	s.at++
	s.space()
	var out []json.RawMessage
	if s.peek() == ']' {
		return out, nil
	}
	for {
		from := s.at
		if err := s.value(1); err != nil {
			return nil, err
		}
		out = append(out, raw[from:s.at:s.at])
		s.space()
		if s.peek() != ',' {
			return out, nil
		}
		s.at++
		s.space()
	}
}

// has reports a member that is there and is not null: CDS Hooks forbids null,
// empty strings, arrays and objects, and outside prefetch a null means absent.
func (o object) has(name string) bool {
	raw, ok := o[name]
	return ok && !bytes.Equal(raw, []byte("null"))
}

// text returns the string member called name; absent and null give "".
func (o object) text(name string) (string, error) {
	if !o.has(name) {
		return "", nil
	}
	var s string
	if o[name][0] != '"' {
		return "", fmt.Errorf("%w: %s is not a string", ErrBadRequest, name)
	}
	if err := json.Unmarshal(o[name], &s); err != nil {
		return "", fmt.Errorf("%w: %s is not a string", ErrBadRequest, name)
	}
	return s, nil
}

// texts fills each target with the string member of its name.
func (o object) texts(targets map[string]*string) error {
	for _, name := range sortedKeys(targets) {
		s, err := o.text(name)
		if err != nil {
			return err
		}
		*targets[name] = s
	}
	return nil
}

// child returns the object member called name; absent and null give nil.
func (o object) child(name string) (object, error) {
	if !o.has(name) {
		return nil, nil
	}
	m, err := members(o[name])
	if err != nil {
		return nil, notAnObject(name)
	}
	return m, nil
}

func notAnObject(name string) error {
	return fmt.Errorf("%w: %s is not an object", ErrBadRequest, name)
}

// list returns the array member called name; absent and null give nil.
func (o object) list(name string) ([]json.RawMessage, error) {
	if !o.has(name) {
		return nil, nil
	}
	l, err := elements(o[name])
	if err != nil {
		return nil, fmt.Errorf("%w: %s is not an array", ErrBadRequest, name)
	}
	return l, nil
}

// blank reports the forbidden empty values of CDS Hooks anywhere in a value
// that is about to be sent, except under a member whose name is in keep.
func blank(path string, v any, keep map[string]bool) error {
	switch v := v.(type) {
	case nil:
		return fmt.Errorf("%s is null", path)
	case string:
		if strings.TrimSpace(v) == "" {
			return fmt.Errorf("%s is an empty string", path)
		}
	case []any:
		if len(v) == 0 && !keep[path] {
			return fmt.Errorf("%s is an empty array", path)
		}
		for i, e := range v {
			if err := blank(fmt.Sprintf("%s[%d]", path, i), e, keep); err != nil {
				return err
			}
		}
	case map[string]any:
		if len(v) == 0 {
			return fmt.Errorf("%s is an empty object", path)
		}
		for _, k := range sortedKeys(v) {
			if err := blank(strings.TrimPrefix(path+"."+k, "."), v[k], keep); err != nil {
				return err
			}
		}
	}
	return nil
}
