// SPDX-License-Identifier: Apache-2.0

package export

// This file: the check of a line of OpenAI's fine-tuning format. Every call is
// answered before the next turn; the last may stay open.

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// openAI checks what the JSON Schema of the format cannot say.
func (c *Checker) openAI(line []byte) error {
	top, err := read(line, []string{"messages", "tools", "parallel_tool_calls"})
	if err != nil {
		return err
	}
	declared, err := c.tools(top["tools"])
	if err != nil {
		return fmt.Errorf("tools: %w", err)
	}
	messages, err := list(top["messages"])
	if err != nil {
		return fmt.Errorf("messages: %w", err)
	}
	v := conversation{check: c, declared: declared, open: map[string]bool{}, seen: map[string]bool{}}
	for i, raw := range messages {
		if err := v.message(raw); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
	}
	if v.last != "assistant" || !v.trained {
		return fmt.Errorf("%w: the last message must be the assistant's, and one of weight 1 is needed", ErrLine)
	}
	return nil
}

// conversation is what is known after the messages read so far.
type conversation struct {
	check      *Checker
	declared   map[string]*jsonschema.Schema
	open, seen map[string]bool // tool calls by id: unanswered, ever made
	last       string
	trained    bool
}

func (c *conversation) message(raw json.RawMessage) error {
	m, err := read(raw, []string{"role", "content", "weight", "tool_calls", "tool_call_id"})
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
	call, err := read(raw, []string{"id", "type", "function"})
	if err != nil {
		return err
	}
	id, ok := text(call["id"])
	if kind, _ := text(call["type"]); kind != "function" || !ok || id == "" || c.seen[id] {
		return fmt.Errorf("%w: a call is a function's and has an id of its own", ErrLine)
	}
	f, err := read(call["function"], []string{"name", "arguments"})
	if err != nil {
		return err
	}
	name, _ := text(f["name"])
	arguments, ok := text(f["arguments"])
	schema, known := c.declared[name]
	if !ok || !known {
		return fmt.Errorf("%w: a call names a declared tool and its arguments are a string", ErrLine)
	}
	if err := c.check.arguments(arguments, schema); err != nil {
		return err
	}
	c.open[id], c.seen[id] = true, true
	return nil
}
