// SPDX-License-Identifier: Apache-2.0

// Package export holds the line formats in which training data of the language
// model leave this program. It trusts no line: each is checked as bytes.
package export

// This file: the check of one line of OpenAI's fine-tuning format.

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"unicode/utf8"
)

// ErrLine says that a line is not of its format.
var ErrLine = errors.New("not a line of the format")

var functionName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

type object map[string]json.RawMessage

// CheckOpenAI checks one line, without its line end: UTF-8, one object, no
// unknown keys, each tool call declared and answered before the next turn, and
// a last message of the assistant that is trained on. It does not check
// arguments against the declared schema beyond being one object. Every error
// wraps ErrLine and quotes nothing of the line.
func CheckOpenAI(line []byte) error {
	if !utf8.Valid(line) {
		return fmt.Errorf("%w: not UTF-8", ErrLine)
	}
	top, err := read(line, "messages", "tools", "parallel_tool_calls")
	if err != nil {
		return err
	}
	if raw, ok := top["parallel_tool_calls"]; ok && string(raw) != "true" && string(raw) != "false" {
		return fmt.Errorf("%w: parallel_tool_calls is no boolean", ErrLine)
	}
	declared, err := tools(top["tools"])
	if err != nil {
		return fmt.Errorf("tools: %w", err)
	}
	messages, err := list(top["messages"])
	if err != nil {
		return fmt.Errorf("messages: %w", err)
	}
	c := conversation{declared: declared, open: map[string]bool{}, seen: map[string]bool{}}
	for i, raw := range messages {
		if err := c.message(raw); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
	}
	if c.last != "assistant" || !c.trained {
		return fmt.Errorf("%w: the last message must be the assistant's, and one of weight 1 is needed", ErrLine)
	}
	return nil
}

// conversation is what is known after the messages read so far.
type conversation struct {
	declared   []string
	open, seen map[string]bool // tool calls by id: unanswered, ever made
	last       string
	trained    bool
}

func (c *conversation) message(raw json.RawMessage) error {
	m, err := read(raw, "role", "content", "weight", "tool_calls", "tool_call_id")
	if err != nil {
		return err
	}
	role, _ := text(m["role"])
	_, written := text(m["content"])
	if role != "tool" && len(c.open) > 0 {
		return fmt.Errorf("%w: a tool call is not answered", ErrLine)
	}
	c.last = role
	switch role {
	case "system", "user":
		if len(m) != 2 || !written {
			return fmt.Errorf("%w: a system or user message is a role and a text", ErrLine)
		}
		return nil
	case "tool":
		id, ok := text(m["tool_call_id"])
		if len(m) != 3 || !written || !ok || !c.open[id] {
			return fmt.Errorf("%w: a tool message answers an open call with a text", ErrLine)
		}
		delete(c.open, id)
		return nil
	case "assistant":
		return c.assistant(m, written)
	}
	return fmt.Errorf("%w: unknown role", ErrLine)
}

func (c *conversation) assistant(m object, written bool) error {
	weight := string(m["weight"])
	if !slices.Contains([]string{"", "0", "1"}, weight) || m["tool_call_id"] != nil {
		return fmt.Errorf("%w: weight must be 0 or 1, and no call is answered by the assistant", ErrLine)
	}
	c.trained = c.trained || weight != "0"
	calls, called := m["tool_calls"]
	content, has := m["content"]
	if !written && (!called || has && string(content) != "null") {
		return fmt.Errorf("%w: content is missing", ErrLine)
	}
	if !called {
		return nil
	}
	all, err := list(calls)
	if err != nil {
		return err
	}
	for _, raw := range all {
		if err := c.call(raw); err != nil {
			return err
		}
	}
	return nil
}

func (c *conversation) call(raw json.RawMessage) error {
	call, err := read(raw, "id", "type", "function")
	if err != nil {
		return err
	}
	id, ok := text(call["id"])
	if kind, _ := text(call["type"]); kind != "function" || !ok || id == "" || c.seen[id] {
		return fmt.Errorf("%w: a call is a function's and has an id of its own", ErrLine)
	}
	f, err := read(call["function"], "name", "arguments")
	if err != nil {
		return err
	}
	name, _ := text(f["name"])
	arguments, ok := text(f["arguments"])
	if !ok || !slices.Contains(c.declared, name) {
		return fmt.Errorf("%w: a call names a declared tool and its arguments are a string", ErrLine)
	}
	var o object
	if err := json.Unmarshal([]byte(arguments), &o); err != nil || o == nil {
		return fmt.Errorf("%w: arguments are no object", ErrLine)
	}
	c.open[id], c.seen[id] = true, true
	return nil
}

// tools reads the declared names; no tools are fine.
func tools(raw json.RawMessage) (names []string, err error) {
	if raw == nil {
		return nil, nil
	}
	all, err := list(raw)
	if err != nil {
		return nil, err
	}
	for _, raw := range all {
		t, err := read(raw, "type", "function")
		if err != nil {
			return nil, err
		}
		f, err := read(t["function"], "name", "description", "parameters", "strict")
		if err != nil {
			return nil, err
		}
		name, _ := text(f["name"])
		if kind, _ := text(t["type"]); kind != "function" || !functionName.MatchString(name) || slices.Contains(names, name) {
			return nil, fmt.Errorf("%w: a tool is a function with a name of its own", ErrLine)
		}
		names = append(names, name)
	}
	return names, nil
}

// read reads an object of no other keys than these, in this very spelling.
func read(raw []byte, keys ...string) (object, error) {
	var o object
	if err := json.Unmarshal(raw, &o); err != nil || o == nil {
		return nil, fmt.Errorf("%w: an object is missing", ErrLine)
	}
	for k := range o {
		if !slices.Contains(keys, k) {
			return nil, fmt.Errorf("%w: unknown key", ErrLine)
		}
	}
	return o, nil
}

func list(raw []byte) ([]json.RawMessage, error) {
	var l []json.RawMessage
	if err := json.Unmarshal(raw, &l); err != nil || len(l) == 0 {
		return nil, fmt.Errorf("%w: a list is missing or empty", ErrLine)
	}
	return l, nil
}

func text(raw []byte) (string, bool) {
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil || s == nil {
		return "", false
	}
	return *s, true
}
