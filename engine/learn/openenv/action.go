// SPDX-License-Identifier: Apache-2.0

package openenv

// This file: actions as they come over the wire. The schema asks for one field,
// message, so that parsers which put a model's text into the only required
// field work unchanged. A call may also be given outright, by tool and
// arguments, in the form of OpenEnv's tool actions, or as the bare object that a
// parser has already taken out of a model's text.

import (
	"encoding/json"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/learn/environment"
)

// Forms of an action, by the field that tells them.
var (
	fieldsOfMessage = []string{"message", "tool", "arguments", "metadata"}
	fieldsOfCall    = []string{"name", "tool", "arguments", "metadata"} // name or tool
	fieldsOfTool    = []string{"type", "tool_name", "arguments", "metadata"}
	fieldsOfLook    = []string{"actions", "metadata"}
	fieldsOfGive    = []string{"vasopressor", "iv_fluid", "metadata"}
)

// parsed is an action, or the wish to see the tools.
type parsed struct {
	environment.Action
	list bool // list_tools
	tool bool // call_tool: answered as a tool's result
}

// parseAction reads an action. The error is *invalid: its shape is none of
// ours. What it says is the environment's matter.
func parseAction(data map[string]json.RawMessage) (parsed, error) {
	has := func(key string) bool { _, ok := data[key]; return ok }
	switch {
	case has("message"):
		return parseMessage(data)
	case has("type"):
		return parseTool(data)
	case has("name") || has("tool"):
		if err := only(data, fieldsOfCall); err != nil {
			return parsed{}, err
		}
	case has("actions"):
		if err := only(data, fieldsOfLook); err != nil {
			return parsed{}, err
		}
	case has("vasopressor") || has("iv_fluid"):
		if err := only(data, fieldsOfGive); err != nil {
			return parsed{}, err
		}
	default:
		if err := only(data, fieldsOfMessage); err != nil {
			return parsed{}, err
		}
		return parsed{}, &invalid{[]issue{missing("message")}}
	}
	// What a model wrote as a bare object is read as such text is.
	bare := map[string]json.RawMessage{}
	for key, value := range data {
		if key != "metadata" {
			bare[key] = value
		}
	}
	text, err := json.Marshal(bare)
	if err != nil {
		return parsed{}, &malformed{err}
	}
	return parsed{Action: environment.Action{Message: string(text)}}, nil
}

// only refuses fields that the form of an action does not have, and metadata
// that is no object.
func only(data map[string]json.RawMessage, fields []string) error {
	var issues []issue
	for _, key := range sortedKeys(data) {
		switch {
		case !slices.Contains(fields, key):
			issues = append(issues, extra(data[key], bounded(key)))
		case key == "metadata":
			if _, err := object(data[key]); err != nil {
				issues = append(issues, wrong("dict_type", "Input should be a valid dictionary", data[key], key))
			}
		}
	}
	if len(issues) > 0 {
		return &invalid{issues}
	}
	return nil
}

// parseMessage reads {"message": ..., "tool": ..., "arguments": {...}}.
func parseMessage(data map[string]json.RawMessage) (p parsed, err error) {
	if err := only(data, fieldsOfMessage); err != nil {
		return parsed{}, err
	}
	var issues []issue
	text := func(key string, to *string, null bool) {
		raw, ok := data[key]
		if !ok || null && string(raw) == "null" {
			return
		}
		if raw[0] != '"' || json.Unmarshal(raw, to) != nil {
			issues = append(issues, wrong("string_type", "Input should be a valid string", raw, key))
		}
	}
	text("message", &p.Message, false)
	text("tool", &p.Tool, true)
	if raw, ok := data["arguments"]; ok && string(raw) != "null" {
		if _, err := object(raw); err != nil {
			issues = append(issues, wrong("dict_type", "Input should be a valid dictionary", raw, "arguments"))
		}
		p.Arguments = string(raw)
	}
	if len(issues) > 0 {
		return parsed{}, &invalid{issues}
	}
	return p, nil
}

// parseTool reads OpenEnv's {"type": "list_tools"} and {"type": "call_tool",
// "tool_name": ..., "arguments": {...}}.
func parseTool(data map[string]json.RawMessage) (p parsed, err error) {
	if err := only(data, fieldsOfTool); err != nil {
		return parsed{}, err
	}
	var kind string
	if json.Unmarshal(data["type"], &kind) != nil || kind != "list_tools" && kind != "call_tool" {
		return parsed{}, &invalid{[]issue{wrong("literal_error", "Input should be 'call_tool' or 'list_tools'", data["type"], "type")}}
	}
	if kind == "list_tools" {
		return parsed{list: true}, nil
	}
	raw, ok := data["tool_name"]
	switch {
	case !ok:
		return parsed{}, &invalid{[]issue{missing("tool_name")}}
	case raw[0] != '"' || json.Unmarshal(raw, &p.Tool) != nil || p.Tool == "":
		return parsed{}, &invalid{[]issue{wrong("string_type", "Input should be a valid string", raw, "tool_name")}}
	}
	if raw, ok := data["arguments"]; ok {
		if _, err := object(raw); err != nil {
			return parsed{}, &invalid{[]issue{wrong("dict_type", "Input should be a valid dictionary", raw, "arguments")}}
		}
		p.Arguments = string(raw)
	}
	p.tool = true
	return p, nil
}
