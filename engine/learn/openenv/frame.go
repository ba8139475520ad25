// SPDX-License-Identifier: Apache-2.0

package openenv

// This file: what goes over the wire: frames of clients, read strictly, and our
// answers. Errors of shape are listed as pydantic lists them, because that is
// what clients of the reference server read.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/sepsisagent/sepsisagent/engine/learn/environment"
)

// Codes of error frames.
const (
	codeInvalidJSON = "INVALID_JSON"
	codeUnknownType = "UNKNOWN_TYPE"
	codeValidation  = "VALIDATION_ERROR"
	codeExecution   = "EXECUTION_ERROR"
	codeCapacity    = "CAPACITY_REACHED"
	codeSession     = "SESSION_ERROR"
)

// Types of frames.
const (
	typeReset       = "reset"
	typeStep        = "step"
	typeState       = "state"
	typeMCP         = "mcp"
	typeClose       = "close"
	typeObservation = "observation"
	typeError       = "error"
)

// frame is one message of a client, checked for its shape.
type frame struct {
	Type string
	Data map[string]json.RawMessage // of reset and step
	RPC  json.RawMessage            // of mcp
}

// answer is one message of ours.
type answer struct {
	Type string `json:"type"`
	Data any    `json:"data"`
}

// envelope is the answer to reset and step.
type envelope struct {
	Observation any      `json:"observation"` // environment.Observation, or that of a tool
	Reward      *float64 `json:"reward"`      // null after a reset
	Done        bool     `json:"done"`
	Metadata    metadata `json:"metadata"`
}

// metadata is for whoever trains, not for the agent. The total of a reward is not
// in it: it is beside it.
type metadata struct {
	Seed  uint64              `json:"seed"`
	Task  string              `json:"task"`
	Parts *environment.Reward `json:"reward_parts,omitempty"`
	End   environment.End     `json:"end,omitempty"`
	Fault string              `json:"fault,omitempty"` // what was wrong with the message
}

// stateData is the answer to state.
type stateData struct {
	EpisodeID     *string         `json:"episode_id"`
	StepCount     int             `json:"step_count"` // messages since reset
	Seed          *uint64         `json:"seed"`
	Task          string          `json:"task"`
	Prescriptions int             `json:"prescriptions"` // four-hour steps simulated
	Done          bool            `json:"done"`
	End           environment.End `json:"end"`
}

// issue is one error of shape.
type issue struct {
	Type  string          `json:"type"`
	Loc   []any           `json:"loc"`
	Msg   string          `json:"msg"`
	Input json.RawMessage `json:"input"`
}

// maxEcho bounds how much of a wrong value is sent back.
const maxEcho = 256

// The kinds of issue that occur.
func missing(loc ...any) issue {
	return issue{"missing", loc, "Field required", json.RawMessage("null")}
}

func extra(input json.RawMessage, loc ...any) issue {
	return issue{"extra_forbidden", loc, "Extra inputs are not permitted", echo(input)}
}

func wrong(kind, msg string, input json.RawMessage, loc ...any) issue {
	return issue{kind, loc, msg, echo(input)}
}

func echo(input json.RawMessage) json.RawMessage {
	if len(input) > maxEcho || len(input) == 0 {
		return json.RawMessage(`"..."`)
	}
	return input
}

// invalid is an error of shape: what the client can mend.
type invalid struct{ issues []issue }

func (e *invalid) Error() string { return "invalid message: " + e.issues[0].Msg }

// fatal ends the session: what came is no message at all.
type fatal struct{ what string }

func (e *fatal) Error() string { return e.what }

// malformed is a frame that is no JSON.
type malformed struct{ err error }

func (e *malformed) Error() string { return "Invalid JSON: " + e.err.Error() }

// unknownType is a frame of a type that there is none of.
type unknownType struct{ name string }

func (e *unknownType) Error() string { return "Unknown message type: " + e.name }

// object reads exactly one JSON object, each key once.
func object(data []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	var whole json.RawMessage
	if err := dec.Decode(&whole); err != nil {
		return nil, &malformed{err}
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, &malformed{fmt.Errorf("something follows the value")}
	}
	if whole[0] != '{' {
		return nil, &fatal{"a message must be a JSON object"}
	}
	fields := map[string]json.RawMessage{}
	dec = json.NewDecoder(bytes.NewReader(whole))
	if _, err := dec.Token(); err != nil {
		return nil, &malformed{err}
	}
	for dec.More() {
		token, err := dec.Token()
		key, ok := token.(string)
		if err != nil || !ok {
			return nil, &malformed{fmt.Errorf("a key is no text")}
		}
		if _, twice := fields[key]; twice {
			return nil, &malformed{fmt.Errorf("a key is given twice")}
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, &malformed{err}
		}
		fields[key] = value
	}
	return fields, nil
}

// parseFrame reads one frame. Errors are *malformed, *fatal, *unknownType or
// *invalid.
func parseFrame(data []byte) (frame, error) {
	fields, err := object(data)
	if err != nil {
		return frame{}, err
	}
	var f frame
	if raw, ok := fields["type"]; ok && json.Unmarshal(raw, &f.Type) != nil {
		return frame{}, &unknownType{string(echo(raw))}
	}
	allowed, required := []string{"type", "data"}, true
	switch f.Type {
	case typeReset:
		required = false
	case typeState, typeClose:
		allowed, required = allowed[:1], false
	case typeStep, typeMCP:
	default:
		return frame{}, &unknownType{quote(f.Type)}
	}
	var issues []issue
	for _, key := range sortedKeys(fields) {
		if !slices.Contains(allowed, key) {
			issues = append(issues, extra(fields[key], bounded(key)))
		}
	}
	raw, given := fields["data"]
	switch {
	case !given && required:
		issues = append(issues, missing("data"))
	case given && len(allowed) == 2:
		if f.Data, err = object(raw); err != nil {
			issues = append(issues, wrong("dict_type", "Input should be a valid dictionary", raw, "data"))
		}
		f.RPC = raw
	}
	if len(issues) > 0 {
		return frame{}, &invalid{issues}
	}
	return f, nil
}

func sortedKeys(m map[string]json.RawMessage) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// bounded cuts a key that a client made up.
func bounded(key string) string {
	if len(key) > 64 {
		return key[:64] + "..."
	}
	return key
}

func quote(s string) string { return strconv.QuoteToASCII(bounded(s)) }

// resetParams are what we read of a reset. Other keys are an environment's that
// is not ours, and are passed over.
type resetParams struct {
	Seed      uint64
	seeded    bool
	EpisodeID string
	Task      string
}

// maxID bounds an episode id.
const maxID = 255

// parseReset reads the data of a reset. The error is *invalid.
func parseReset(data map[string]json.RawMessage, at ...any) (p resetParams, err error) {
	var issues []issue
	given := func(key string) (json.RawMessage, bool) {
		raw, ok := data[key]
		return raw, ok && string(raw) != "null"
	}
	loc := func(key string) []any { return append(slices.Clone(at), key) }
	if raw, ok := given("seed"); ok {
		if p.Seed, err = seedOf(string(raw)); err != nil {
			issues = append(issues, wrong("int_type", "Input should be a valid integer, 0 or more", raw, loc("seed")...))
		}
		p.seeded = true
	}
	for _, text := range []struct {
		key string
		to  *string
	}{{"episode_id", &p.EpisodeID}, {"task", &p.Task}} {
		raw, ok := given(text.key)
		switch {
		case !ok:
		case json.Unmarshal(raw, text.to) != nil:
			issues = append(issues, wrong("string_type", "Input should be a valid string", raw, loc(text.key)...))
		case len(*text.to) > maxID:
			issues = append(issues, wrong("string_too_long", "String should have at most 255 characters", nil, loc(text.key)...))
		}
	}
	if len(issues) > 0 {
		return resetParams{}, &invalid{issues}
	}
	return p, nil
}

// seedOf reads a whole number; 7.0 is one, as JSON has no other.
func seedOf(text string) (uint64, error) {
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return n, nil
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || v < 0 || v >= 1<<53 || v != math.Trunc(v) {
		return 0, fmt.Errorf("seed %q", text)
	}
	return uint64(v), nil
}
