// SPDX-License-Identifier: Apache-2.0

package environment

// This file: finding the calls in what an agent says: named outright, in the
// Hermes form <tool_call>{...}</tool_call> that chat templates of the Qwen family
// write, or as bare JSON. What the arguments mean is read by package llm.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sepsisagent/sepsisagent/engine/agent/llm"
)

// Action is what an agent says. Where Tool is set it is the call; else calls
// are looked for in Message.
type Action struct {
	Message   string
	Tool      string // llm.ToolSimulation or llm.ToolPrescription
	Arguments string // JSON object
}

// Call is one call of a tool, unread.
type Call struct {
	Name      string
	Arguments string // JSON
}

// Bounds of a message.
const (
	maxMessage = 256 << 10 // bytes; a thinking model's longest turn is a tenth of it
	maxCalls   = 8
)

// Codes of faults of a message, beside those of package llm.
const (
	faultNoCall    = "no-call"
	codeTooLong    = "message-too-long"
	codeManyCalls  = "too-many-calls"
	codeNotACall   = "not-a-call"
	openCall       = "<tool_call>"
	closeCall      = "</tool_call>"
	endOfThoughts  = "</think>"
	fence          = "```"
	keyName        = "name"
	keyArguments   = "arguments"
	keyTool        = "tool"
	keyActions     = "actions"
	keyVasopressor = "vasopressor"
	keyIVFluid     = "iv_fluid"
)

// calls gives the calls of an action; none and no fault where it holds none.
func (a Action) calls() ([]Call, *llm.CallError) {
	if len(a.Message)+len(a.Arguments) > maxMessage || !utf8.ValidString(a.Message) {
		return nil, &llm.CallError{Code: codeTooLong, Message: fmt.Sprintf("a message is at most %d bytes of UTF-8", maxMessage)}
	}
	if a.Tool != "" {
		arguments := a.Arguments
		if arguments == "" {
			arguments = "{}"
		}
		return []Call{{a.Tool, arguments}}, nil
	}
	text := a.Message
	if i := strings.LastIndex(text, endOfThoughts); i >= 0 {
		text = text[i+len(endOfThoughts):]
	}
	if strings.Contains(text, openCall) {
		return tagged(text)
	}
	bare := strings.TrimSpace(text)
	if body, fenced := strings.CutPrefix(bare, fence); fenced {
		body = strings.TrimPrefix(body, "json")
		bare = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(body), fence))
	}
	if !strings.HasPrefix(bare, "{") {
		return nil, nil
	}
	c, cerr := callOf(bare)
	if cerr != nil {
		return nil, cerr
	}
	return []Call{c}, nil
}

// tagged reads every <tool_call> of a message.
func tagged(text string) ([]Call, *llm.CallError) {
	var out []Call
	for {
		_, rest, found := strings.Cut(text, openCall)
		if !found {
			return out, nil
		}
		body, after, closed := strings.Cut(rest, closeCall)
		if !closed {
			return nil, &llm.CallError{Code: codeNotACall, Message: "a " + openCall + " is not closed"}
		}
		if len(out) == maxCalls {
			return nil, &llm.CallError{Code: codeManyCalls, Message: fmt.Sprintf("more than %d calls in one message", maxCalls)}
		}
		c, cerr := callOf(strings.TrimSpace(body))
		if cerr != nil {
			return nil, cerr
		}
		out, text = append(out, c), after
	}
}

// callOf reads {"name":…,"arguments":{…}}, with "tool" for "name" and the
// arguments as a text allowed, or bare arguments, which tell the tool by
// themselves.
func callOf(text string) (Call, *llm.CallError) {
	var fields map[string]json.RawMessage
	dec := json.NewDecoder(strings.NewReader(text))
	if err := dec.Decode(&fields); err != nil || fields == nil || dec.More() {
		return Call{}, &llm.CallError{Code: llm.CodeInvalidJSON, Message: `a call is one JSON object {"name": ..., "arguments": {...}}`}
	}
	has := func(key string) bool { _, ok := fields[key]; return ok }
	switch {
	case !has(keyName) && !has(keyTool) && has(keyActions):
		return Call{llm.ToolSimulation, text}, nil
	case !has(keyName) && !has(keyTool) && (has(keyVasopressor) || has(keyIVFluid)):
		return Call{llm.ToolPrescription, text}, nil
	}
	name := fields[keyName]
	if !has(keyName) {
		name = fields[keyTool]
	}
	var c Call
	if len(name) == 0 || name[0] != '"' || json.Unmarshal(name, &c.Name) != nil {
		return Call{}, &llm.CallError{Code: codeNotACall, Message: "a call names its tool as a text"}
	}
	for key := range fields {
		if !slices.Contains([]string{keyName, keyTool, keyArguments}, key) {
			return Call{}, &llm.CallError{Code: codeNotACall, Message: `a call has only "name" and "arguments"`}
		}
	}
	arguments := bytes.TrimSpace(fields[keyArguments])
	if len(arguments) == 0 {
		arguments = []byte("{}")
	}
	c.Arguments = string(arguments)
	if arguments[0] == '"' { // as some templates write them
		if json.Unmarshal(arguments, &c.Arguments) != nil {
			return Call{}, &llm.CallError{Code: llm.CodeInvalidJSON, Message: "arguments must be a JSON object"}
		}
	}
	return c, nil
}
