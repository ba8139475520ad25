// SPDX-License-Identifier: Apache-2.0

package export

// This file: the check of a line of ms-swift's messages. Tools are a text that
// holds a list, a call is a message whose text holds its name and arguments, and
// calls that follow each other are made at once. Its reader drops bad rows
// without a word, so they are refused here.

import (
	"encoding/json"
	"fmt"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// msSwift checks what the JSON Schema of the format cannot say.
func (c *Checker) msSwift(line []byte) error {
	top, err := read(line, []string{"messages", "tools"})
	if err != nil {
		return err
	}
	declared, err := c.quotedTools(top["tools"])
	if err != nil {
		return fmt.Errorf("tools: %w", err)
	}
	messages, err := list(top["messages"])
	if err != nil {
		return fmt.Errorf("messages: %w", err)
	}
	v := swiftTurns{check: c, declared: declared}
	for i, raw := range messages {
		if err := v.message(raw); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
	}
	if !v.model || !v.trained {
		return fmt.Errorf("%w: the last message must be the model's, and one must be trained on", ErrLine)
	}
	return nil
}

// quotedTools reads tools that are a text.
func (c *Checker) quotedTools(raw json.RawMessage) (map[string]*jsonschema.Schema, error) {
	if raw == nil {
		return nil, nil
	}
	list, ok := text(raw)
	if !ok {
		return nil, fmt.Errorf("%w: tools are a text that holds a list", ErrLine)
	}
	if err := unique([]byte(list)); err != nil {
		return nil, err
	}
	return c.tools([]byte(list))
}

// swiftTurns is what is known after the messages read so far.
type swiftTurns struct {
	check    *Checker
	declared map[string]*jsonschema.Schema
	last     string
	open     int  // calls without an answer
	model    bool // the last message is the model's
	trained  bool
}

func (v *swiftTurns) message(raw json.RawMessage) error {
	m, err := read(raw, []string{"role", "content", "loss"})
	if err != nil {
		return err
	}
	role, _ := text(m["role"])
	content, written := text(m["content"])
	if !written {
		return fmt.Errorf("%w: content is no text", ErrLine)
	}
	loss, weighed := string(m["loss"]), m["loss"] != nil
	v.model = role == "assistant" || role == "tool_call"
	if weighed && (!v.model || loss != "true" && loss != "false") {
		return fmt.Errorf("%w: loss is a boolean of a message of the model", ErrLine)
	}
	v.trained = v.trained || v.model && loss != "false"
	before := v.last
	v.last = role
	switch role {
	case "system", "user", "assistant":
		if v.open > 0 || role == "system" && before != "" {
			return fmt.Errorf("%w: a call is not answered, or a system message is not the first", ErrLine)
		}
		return nil
	case "tool_call":
		if v.open > 0 && before != "tool_call" {
			return fmt.Errorf("%w: a call is not answered", ErrLine)
		}
		v.open++
		return v.call(content)
	case "tool_response":
		if v.open == 0 {
			return fmt.Errorf("%w: an answer to no call", ErrLine)
		}
		v.open--
		return nil
	}
	return fmt.Errorf("%w: unknown role", ErrLine)
}

// call reads the text of a call.
func (v *swiftTurns) call(content string) error {
	if err := unique([]byte(content)); err != nil {
		return fmt.Errorf("call: %w", err)
	}
	f, err := read([]byte(content), []string{"name", "arguments"})
	if err != nil {
		return err
	}
	name, _ := text(f["name"])
	schema, known := v.declared[name]
	if !known {
		return fmt.Errorf("%w: a call names a declared tool", ErrLine)
	}
	return v.check.arguments(string(f["arguments"]), schema)
}
