// SPDX-License-Identifier: Apache-2.0

package llm

// This file: the two tools and their arguments, read strictly. Nothing is
// coerced or clamped: a level is a JSON integer from 0 to 4 or an error that
// the model is told. (The published runtime reads what it does not understand
// as "no treatment".)

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/sashabaranov/go-openai"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// The tools.
const (
	toolSimulation   = "simulation"
	toolPrescription = "prescription"
)

// Bounds of a message.
const (
	maxActions = 3 // of one simulation call, as published
	maxCalls   = 8
	maxLevel   = 4
	// maxArgument bounds the arguments of one call; three actions fit into a
	// hundredth of it.
	maxArgument = 4 << 10
)

// Codes of a CallError.
const (
	CodeUnknownTool       = "unknown-tool"
	CodeInvalidJSON       = "invalid-json"
	CodeMissingArgument   = "missing-argument"
	CodeUnknownArgument   = "unknown-argument"
	CodeDuplicateArgument = "duplicate-argument"
	CodeWrongType         = "wrong-type"
	CodeOutOfRange        = "out-of-range"
	CodeTooManyActions    = "too-many-actions"
	CodeNoActions         = "no-actions"
	CodeNotAvailable      = "level-not-available"
	CodeNotAlone          = "prescription-not-alone"
)

// CallError is what a model is told about a call that cannot be done.
type CallError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	// Available are the pairs of levels that may be chosen, where that was the
	// trouble.
	Available []string `json:"available,omitempty"`
}

func (e *CallError) Error() string { return e.Code + ": " + e.Message }

func callError(code, format string, args ...any) *CallError {
	return &CallError{Code: code, Message: fmt.Sprintf(format, args...)}
}

// tools are offered with every request.
var tools = []openai.Tool{
	{Type: openai.ToolTypeFunction, Function: &openai.FunctionDefinition{
		Name:        toolSimulation,
		Description: "Simulate up to three treatments on the patient and read what is forecast for each. Nothing is given.",
		Parameters: json.RawMessage(`{"type":"object","properties":{"actions":{"type":"array","minItems":1,"maxItems":3,` +
			`"items":{"type":"string","pattern":"^\\[[0-4],[0-4]\\]$"},"description":"Each item is \"[vasopressor,iv_fluid]\", two levels from 0 to 4."}},` +
			`"required":["actions"],"additionalProperties":false}`),
	}},
	{Type: openai.ToolTypeFunction, Function: &openai.FunctionDefinition{
		Name:        toolPrescription,
		Description: "Choose one treatment by its levels. This ends the consultation.",
		Parameters: json.RawMessage(`{"type":"object","properties":{"vasopressor":{"type":"integer","minimum":0,"maximum":4},` +
			`"iv_fluid":{"type":"integer","minimum":0,"maximum":4}},"required":["vasopressor","iv_fluid"],"additionalProperties":false}`),
	}},
}

// parseSimulation reads the arguments of a simulation call.
func parseSimulation(arguments string) ([]state.Levels, *CallError) {
	fields, cerr := object(arguments, "actions")
	if cerr != nil {
		return nil, cerr
	}
	var items []json.RawMessage
	if raw := bytes.TrimSpace(fields["actions"]); len(raw) == 0 || raw[0] != '[' || json.Unmarshal(raw, &items) != nil {
		return nil, callError(CodeWrongType, "actions must be an array")
	}
	switch {
	case len(items) == 0:
		return nil, callError(CodeNoActions, "actions is empty: name one to %d", maxActions)
	case len(items) > maxActions:
		return nil, callError(CodeTooManyActions, "%d actions in one call: name one to %d", len(items), maxActions)
	}
	out := make([]state.Levels, 0, len(items))
	for i, item := range items {
		levels, cerr := parseAction(item)
		if cerr != nil {
			cerr.Message = fmt.Sprintf("actions[%d]: %s", i, cerr.Message)
			return nil, cerr
		}
		out = append(out, levels)
	}
	return out, nil
}

// pair is an action as published, with the spaces that models put in.
var pair = regexp.MustCompile(`^\[ ?(-?[0-9]{1,6}) ?, ?(-?[0-9]{1,6}) ?\]$`)

// parseAction reads "[vasopressor,iv_fluid]" or an object with these keys.
func parseAction(raw json.RawMessage) (state.Levels, *CallError) {
	if len(raw) > 0 && raw[0] == '{' {
		return parsePrescription(string(raw))
	}
	var text string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &text) != nil {
		return state.Levels{}, callError(CodeWrongType, `an action is a string "[vasopressor,iv_fluid]"`)
	}
	m := pair.FindStringSubmatch(text)
	if m == nil {
		return state.Levels{}, callError(CodeWrongType, `an action is a string "[vasopressor,iv_fluid]" of two whole numbers`)
	}
	return levelsOf(m[1], m[2])
}

// parsePrescription reads the arguments of a prescription call.
func parsePrescription(arguments string) (state.Levels, *CallError) {
	fields, cerr := object(arguments, "vasopressor", "iv_fluid")
	if cerr != nil {
		return state.Levels{}, cerr
	}
	return levelsOf(string(fields["vasopressor"]), string(fields["iv_fluid"]))
}

// integer is a JSON integer as a person would write it.
var integer = regexp.MustCompile(`^(0|-?[1-9][0-9]{0,5})$`)

func levelsOf(vasopressor, fluid string) (state.Levels, *CallError) {
	var out [2]int
	for i, arg := range []struct{ name, text string }{{"vasopressor", vasopressor}, {"iv_fluid", fluid}} {
		if !integer.MatchString(arg.text) {
			return state.Levels{}, callError(CodeWrongType, "%s must be a whole number", arg.name)
		}
		n, err := strconv.Atoi(arg.text)
		if err != nil || n < 0 || n > maxLevel {
			return state.Levels{}, callError(CodeOutOfRange, "%s must be from 0 to %d", arg.name, maxLevel)
		}
		out[i] = n
	}
	return state.Levels{Vasopressor: out[0], Fluid: out[1]}, nil
}

// object reads a JSON object with exactly these keys, each once, spelt exactly
// so. Values are as they stand.
func object(text string, keys ...string) (map[string]json.RawMessage, *CallError) {
	if len(text) > maxArgument || !utf8.ValidString(text) {
		return nil, callError(CodeInvalidJSON, "arguments must be a JSON object of at most %d bytes", maxArgument)
	}
	invalid := callError(CodeInvalidJSON, "arguments must be one JSON object")
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, invalid
	}
	fields := map[string]json.RawMessage{}
	for dec.More() {
		token, err := dec.Token()
		key, ok := token.(string)
		if err != nil || !ok {
			return nil, invalid
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, invalid
		}
		if _, twice := fields[key]; twice {
			return nil, callError(CodeDuplicateArgument, "%s is given twice", argument(key))
		}
		if !slices.Contains(keys, key) {
			return nil, callError(CodeUnknownArgument, "%s is no argument: want %q", argument(key), keys)
		}
		fields[key] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, invalid
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, invalid
	}
	for _, key := range keys {
		if _, ok := fields[key]; !ok {
			return nil, callError(CodeMissingArgument, "%s is missing", key)
		}
	}
	return fields, nil
}

// argument quotes a name that the model made up.
func argument(name string) string { return quoted(name, 40) }

// pairOf writes levels as the tools take them.
func pairOf(l state.Levels) string { return fmt.Sprintf("[%d,%d]", l.Vasopressor, l.Fluid) }
