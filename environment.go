// SPDX-License-Identifier: Apache-2.0

package main

// This file: environment overrides. SEPSISAGENT_HTTP__ADDR=0.0.0.0:80 sets
// http.addr: the prefix, then the keys in upper case, joined by two
// underscores. Names without two underscores are not overrides.

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sepsisagent/sepsisagent/configs"
)

const envPrefix = "SEPSISAGENT_"

// override applies every override in environ ("NAME=value") to the pointer
// into. A name that fits no key is an error: a misspelt override must not be
// read as none.
func override(into any, environ []string) error {
	for _, kv := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(kv, "=")
		rest, ok := strings.CutPrefix(name, envPrefix)
		if !ok || !strings.Contains(rest, "__") {
			continue
		}
		keys, err := keyPath(reflect.TypeOf(into).Elem(), strings.Split(rest, "__"))
		if err != nil {
			return fmt.Errorf("environment variable %s: %w", name, err)
		}
		if err := set(into, keys, value); err != nil {
			return fmt.Errorf("environment variable %s: %w", name, err)
		}
	}
	return nil
}

// keyPath finds the YAML keys that the parts of a name stand for.
func keyPath(typ reflect.Type, parts []string) ([]string, error) {
	if len(parts) == 0 {
		return nil, nil
	}
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct {
		return nil, fmt.Errorf("%w: nothing below it can be set this way (hint: use the configuration file)", configs.ErrUnknownKey)
	}
	for i := range typ.NumField() {
		f := typ.Field(i)
		key, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if strings.Contains(opts, "inline") {
			if keys, err := keyPath(f.Type, parts); err == nil {
				return keys, nil
			}
			continue
		}
		if key == "" || key == "-" || !strings.EqualFold(key, parts[0]) {
			continue
		}
		below, err := keyPath(f.Type, parts[1:])
		return append([]string{key}, below...), err
	}
	return nil, fmt.Errorf("%w: %q", configs.ErrUnknownKey, strings.ToLower(parts[0]))
}

// set decodes one value under its keys, as the configuration file would.
func set(into any, keys []string, value string) error {
	leaf := &yaml.Node{Kind: yaml.ScalarNode, Value: value}
	if strings.HasPrefix(value, "[") || strings.HasPrefix(value, "{") {
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(value), &doc); err != nil {
			return fmt.Errorf("%w: %w", configs.ErrSyntax, err)
		}
		leaf = doc.Content[0]
	}
	node := leaf
	for _, k := range slices.Backward(keys) {
		node = &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Value: k}, node}}
	}
	data, err := yaml.Marshal(node)
	if err != nil {
		return fmt.Errorf("%w: %w", configs.ErrSyntax, err)
	}
	return configs.Decode(data, into)
}
