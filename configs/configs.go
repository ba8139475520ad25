// SPDX-License-Identifier: Apache-2.0

// Package configs carries the default files inside the binary (configuration,
// code maps, rule packs, prompts, model weights and card) and the one way YAML
// is read anywhere in this product: Decode.
//
// It is a leaf and trusts nothing. What is embedded was reviewed with the
// source; what a site supplies goes through the same Decode, which refuses an
// unknown key, a second document, a duplicate key and a file over MaxBytes,
// and names the line. A misspelt safety limit must never be read as "absent".
package configs

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// FS holds the embedded files: config.yaml, codes/*.yaml, rules/*.yaml,
// prompts/*.tmpl and model/*. Paths are relative to this folder and use forward
// slashes.
//
//go:embed codes rules model prompts config.yaml
var FS embed.FS

// MaxBytes is the largest YAML file that Decode reads, 8 MiB. The largest
// embedded one is a code map of some hundred kilobytes.
const MaxBytes = 8 << 20

// Errors of Decode. All carry the line where YAML gave one.
var (
	// ErrUnknownKey: the file has a key that nothing reads. Mend the spelling
	// or remove it; the product never ignores a key.
	ErrUnknownKey = errors.New("unknown key")
	// ErrSyntax: the file is not YAML, or a value has the wrong type.
	ErrSyntax = errors.New("not valid YAML for this file")
	// ErrTooLarge: the file is over MaxBytes.
	ErrTooLarge = errors.New("file too large")
	// ErrDocuments: the file holds more than one YAML document.
	ErrDocuments = errors.New("more than one YAML document")
)

// unknownField is how the YAML library words an unknown key; the Go type it
// names means nothing to the person who wrote the file.
var unknownField = regexp.MustCompile(`line (\d+): field (\S+) not found in type \S+`)

// Decode reads one YAML document strictly into a pointer to a struct. Fields
// that the document does not mention keep the value they had, so defaults are
// set by filling the struct first. An empty document changes nothing.
func Decode(data []byte, into any) error {
	if len(data) > MaxBytes {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(data), MaxBytes)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	switch err := dec.Decode(into); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return explain(err)
	}
	var rest yaml.Node
	switch err := dec.Decode(&rest); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return explain(err)
	}
	return fmt.Errorf("%w: the second begins at line %d", ErrDocuments, rest.Line)
}

// explain sorts a YAML error into ErrUnknownKey or ErrSyntax and words it for
// the person who wrote the file.
func explain(err error) error {
	var te *yaml.TypeError
	if !errors.As(err, &te) {
		return fmt.Errorf("%w: %s", ErrSyntax, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	var unknown, other []string
	for _, line := range te.Errors {
		if m := unknownField.FindStringSubmatch(line); m != nil {
			unknown = append(unknown, fmt.Sprintf("line %s: %q", m[1], m[2]))
			continue
		}
		other = append(other, line)
	}
	if len(other) > 0 {
		return fmt.Errorf("%w: %s", ErrSyntax, strings.Join(append(other, unknown...), "; "))
	}
	return fmt.Errorf("%w: %s", ErrUnknownKey, strings.Join(unknown, "; "))
}
