// SPDX-License-Identifier: Apache-2.0

package export

// This file: reading JSON strictly, and the tools that a line declares.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// unique refuses repeated keys in any object, and anything after the value.
// Readers differ on which of two keys counts.
func unique(raw []byte) error {
	bad := fmt.Errorf("%w: not one JSON value", ErrLine)
	if !json.Valid(raw) {
		return bad
	}
	type level struct {
		keys map[string]bool // nil: a list
		name bool            // the next token is a key
	}
	var stack []level
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return bad
		}
		top := len(stack) - 1
		if key, ok := token.(string); ok && top >= 0 && stack[top].name {
			if stack[top].keys[key] {
				return fmt.Errorf("%w: a key is there twice", ErrLine)
			}
			stack[top].keys[key], stack[top].name = true, false
			continue
		}
		switch token {
		case json.Delim('{'):
			stack = append(stack, level{map[string]bool{}, true})
			continue
		case json.Delim('['):
			stack = append(stack, level{})
			continue
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:top]
		}
		if top = len(stack) - 1; top >= 0 {
			stack[top].name = stack[top].keys != nil
		}
	}
}

// nothing loads no schema from anywhere.
type nothing struct{}

func (nothing) Load(string) (any, error) { return nil, errors.New("schemas are not loaded") }

// compile compiles a schema that refers to nothing outside itself.
func compile(raw []byte) (*jsonschema.Schema, error) {
	const at = "schema:///line.json"
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("%w: a schema is not JSON", ErrLine)
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(nothing{})
	if err := compiler.AddResource(at, value); err != nil {
		return nil, fmt.Errorf("%w: a schema cannot be read", ErrLine)
	}
	s, err := compiler.Compile(at)
	if err != nil {
		return nil, fmt.Errorf("%w: a schema cannot be compiled", ErrLine)
	}
	return s, nil
}

// arguments checks the text of a call's arguments against the tool's schema.
func (c *Checker) arguments(text string, schema *jsonschema.Schema) error {
	if err := unique([]byte(text)); err != nil {
		return fmt.Errorf("arguments: %w", err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(text)))
	if _, ok := value.(map[string]any); err != nil || !ok {
		return fmt.Errorf("%w: arguments are no object", ErrLine)
	}
	if schema != nil && schema.Validate(value) != nil {
		return fmt.Errorf("%w: arguments are not what the tool's schema takes", ErrLine)
	}
	return nil
}

// parameters compiles a tool's schema, once. A tool may have none.
func (c *Checker) parameters(raw json.RawMessage) (*jsonschema.Schema, error) {
	if raw == nil {
		return nil, nil
	}
	if s, ok := c.declared[string(raw)]; ok {
		return s, nil
	}
	if _, err := read(raw, nil); err != nil {
		return nil, err
	}
	s, err := compile(raw)
	if err != nil {
		return nil, err
	}
	if len(c.declared) >= mostDeclared {
		clear(c.declared)
	}
	c.declared[string(raw)] = s
	return s, nil
}

// tools reads the declared tools by name; no tools are fine.
func (c *Checker) tools(raw json.RawMessage) (map[string]*jsonschema.Schema, error) {
	out := map[string]*jsonschema.Schema{}
	if raw == nil {
		return out, nil
	}
	all, err := list(raw)
	if err != nil {
		return nil, err
	}
	if len(all) > 128 {
		return nil, fmt.Errorf("%w: more than 128 tools", ErrLine)
	}
	for _, raw := range all {
		t, err := read(raw, []string{"type", "function"})
		if err != nil {
			return nil, err
		}
		f, err := read(t["function"], []string{"name", "description", "parameters", "strict"})
		if err != nil {
			return nil, err
		}
		name, _ := text(f["name"])
		kind, _ := text(t["type"])
		if _, twice := out[name]; kind != "function" || !functionName.MatchString(name) || twice {
			return nil, fmt.Errorf("%w: a tool is a function with a name of its own", ErrLine)
		}
		if out[name], err = c.parameters(f["parameters"]); err != nil {
			return nil, fmt.Errorf("parameters: %w", err)
		}
	}
	return out, nil
}

var functionName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

type object map[string]json.RawMessage

// read reads an object of no other keys than these, in this very spelling; nil
// lets any key pass.
func read(raw []byte, keys []string) (object, error) {
	var o object
	if err := json.Unmarshal(raw, &o); err != nil || o == nil {
		return nil, fmt.Errorf("%w: an object is missing", ErrLine)
	}
	for k := range o {
		if keys != nil && !slices.Contains(keys, k) {
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
