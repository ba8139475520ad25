// SPDX-License-Identifier: Apache-2.0

// Package export makes the training data of the language model, for engines
// that are not ours: questions about recorded patients (stage 1) and traces of
// our planner with its simulations (stage 2), one JSON object per line.
//
// What is written is what is served: the chart, the tools and the answers to
// calls are those of packages llm and environment. Answers to questions are
// measured or charted facts of the record, never imputed. A line names nobody:
// it holds no identifier and no date.
//
// The package trusts the cohort, the model and the rules. It trusts no line: each
// is checked as bytes before it is written, and a file that comes from elsewhere
// is checked the same way.
package export

// This file: what a file of lines must be, and the checks that both formats
// share.

import (
	"bufio"
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// ErrLine says that a line is not of its format.
var ErrLine = errors.New("not a line of the format")

// ErrFile says that a file of lines cannot be trained on as a whole.
var ErrFile = errors.New("not a file of training lines")

// Format names a line format.
type Format string

// The formats.
const (
	OpenAI  Format = "openai"   // OpenAI's chat fine-tuning, also read by TRL
	MSSwift Format = "ms-swift" // ms-swift's standard messages
)

// Formats lists them.
var Formats = []Format{OpenAI, MSSwift}

// Bounds of a file, as OpenAI's upload has them. Tokens are guessed.
const (
	LeastLines    = 10
	MostBytes     = 512 << 20
	MostTokens    = 65536 // per line
	bytesPerToken = 4     // of English text and JSON, about
	mostLineBytes = 4 << 20
)

//go:embed schema/openai.json schema/ms-swift.json
var schemas embed.FS

// Schema is the JSON Schema (2020-12) of a line. The error wraps ErrLine.
func Schema(f Format) ([]byte, error) {
	data, err := schemas.ReadFile("schema/" + string(f) + ".json")
	if err != nil {
		return nil, fmt.Errorf("%w: there is no format %.40q", ErrLine, f)
	}
	return data, nil
}

// mostDeclared bounds how many compiled schemas of tools a Checker keeps.
const mostDeclared = 64

// Checker checks lines of one format. It serves one goroutine at a time.
type Checker struct {
	format   Format
	line     *jsonschema.Schema
	declared map[string]*jsonschema.Schema // of tools' arguments, by their bytes
}

// NewChecker returns one. The error wraps ErrLine where there is no such format.
func NewChecker(f Format) (*Checker, error) {
	data, err := Schema(f)
	if err != nil {
		return nil, err
	}
	line, err := compile(data)
	if err != nil {
		return nil, err
	}
	return &Checker{f, line, map[string]*jsonschema.Schema{}}, nil
}

// Check checks one line, without its line end: UTF-8, one object, no unknown and
// no repeated keys anywhere, each tool call declared, of arguments that its
// declared schema takes, and answered before the next turn, and something at the
// end that is trained on. Every error wraps ErrLine and quotes nothing of the
// line.
func (c *Checker) Check(line []byte) error {
	switch {
	case len(line) > mostLineBytes:
		return fmt.Errorf("%w: longer than %d bytes", ErrLine, mostLineBytes)
	case !utf8.Valid(line):
		return fmt.Errorf("%w: not UTF-8", ErrLine)
	}
	if err := unique(line); err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
	if err != nil {
		return fmt.Errorf("%w: not JSON", ErrLine)
	}
	if c.format == MSSwift {
		err = c.msSwift(line)
	} else {
		err = c.openAI(line)
	}
	if err != nil {
		return err
	}
	if c.line.Validate(value) != nil { // its error quotes the line
		return fmt.Errorf("%w: the JSON Schema of the format does not take it", ErrLine)
	}
	return nil
}

// Count is what a file holds.
type Count struct {
	Lines      int   `json:"lines"`
	Bytes      int64 `json:"bytes"`
	Tokens     int64 `json:"tokens_about"`      // a quarter of the bytes
	MostTokens int   `json:"most_tokens_about"` // of one line
}

func (n *Count) add(line []byte) {
	tokens := (len(line) + bytesPerToken - 1) / bytesPerToken
	n.Lines, n.Bytes, n.Tokens = n.Lines+1, n.Bytes+int64(len(line))+1, n.Tokens+int64(tokens)
	n.MostTokens = max(n.MostTokens, tokens)
}

// Err says why the file as a whole cannot be trained on: it wraps ErrFile.
func (n Count) Err() error {
	switch {
	case n.Lines < LeastLines:
		return fmt.Errorf("%w: %d lines, at least %d are needed", ErrFile, n.Lines, LeastLines)
	case n.Bytes > MostBytes:
		return fmt.Errorf("%w: %d bytes, at most %d are taken", ErrFile, n.Bytes, MostBytes)
	case n.MostTokens > MostTokens:
		return fmt.Errorf("%w: a line of about %d tokens, at most %d are taken", ErrFile, n.MostTokens, MostTokens)
	}
	return nil
}

// CheckFile checks every line and the file as a whole. Errors wrap ErrLine, with
// the number of the line, or ErrFile, or are the reader's.
func CheckFile(f Format, r io.Reader) (n Count, err error) {
	c, err := NewChecker(f)
	if err != nil {
		return n, err
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), mostLineBytes+2)
	lines.Split(wholeLines)
	for lines.Scan() {
		line := lines.Bytes()
		if err := c.Check(line); err != nil {
			return n, fmt.Errorf("line %d: %w", n.Lines+1, err)
		}
		if n.add(line); n.Bytes > MostBytes {
			return n, n.Err()
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return n, fmt.Errorf("line %d: %w: longer than %d bytes", n.Lines+1, ErrLine, mostLineBytes)
	}
	if err := lines.Err(); err != nil {
		return n, err
	}
	return n, n.Err()
}

// wholeLines splits at \n alone; bytes after the last one are a line too.
func wholeLines(data []byte, end bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if end && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}
