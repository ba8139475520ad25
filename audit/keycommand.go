// SPDX-License-Identifier: Apache-2.0

package audit

// This file: keys for bodies that are wrapped by a key service. The file holds
// the key encrypted under a key that never leaves the service; a program of the
// site's asks the service to open it.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
	"unicode"
)

// KeyCommand is a program and its arguments that wraps and unwraps keys for
// bodies, run without a shell, with the environment of this process. It reads one
// JSON object from its standard input and answers one on its standard output:
//
//	{"version":1,"operation":"wrap","key_id":"6f1a…","data":"BASE64"}
//	{"data":"BASE64"}
//
// The operation is wrap or unwrap; key_id names the key for bodies, and is what
// a service that authenticates a context should be given. Any other exit status
// than 0 is a refusal.
type KeyCommand []string

// Bounds of one run.
const (
	keyCommandTimeout = 30 * time.Second
	maxKeyAnswer      = 64 << 10 // bytes
	maxKeyComplaint   = 200      // bytes of the standard error that are repeated
)

const (
	opWrap   = "wrap"
	opUnwrap = "unwrap"
)

type keyRequest struct {
	Version   int    `json:"version"`
	Operation string `json:"operation"`
	KeyID     string `json:"key_id"`
	Data      []byte `json:"data"`
}

// run asks for one operation. Errors wrap ErrKey and hold no key: of what the
// program says, its last line on the standard error.
func (c KeyCommand) run(ctx context.Context, operation, keyID string, data []byte) ([]byte, error) {
	if len(c) == 0 {
		return nil, fmt.Errorf("%w: key %s is wrapped (hint: audit.encryption_key_command)", ErrKey, keyID)
	}
	ask, err := json.Marshal(keyRequest{1, operation, keyID, data})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, keyCommandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, c[0], c[1:]...)
	cmd.Stdin = bytes.NewReader(ask)
	cmd.WaitDelay = time.Second // for a child of its that keeps the pipes
	out, complaint := &capped{most: maxKeyAnswer}, &capped{most: maxKeyAnswer}
	cmd.Stdout, cmd.Stderr = out, complaint
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w: %s did not %s key %s: %w", ErrKey, c[0], operation, keyID, ctx.Err())
	case out.over || complaint.over:
		return nil, fmt.Errorf("%w: %s writes more than %d bytes", ErrKey, c[0], maxKeyAnswer)
	case err != nil:
		return nil, fmt.Errorf("%w: %s did not %s key %s: %w%s", ErrKey, c[0], operation, keyID, err, complaint.last())
	}
	answer, err := parseKeyAnswer(out.text)
	if err != nil {
		return nil, fmt.Errorf("%w: %s, asked to %s key %s, answers %w", ErrKey, c[0], operation, keyID, err)
	}
	return answer, nil
}

// parseKeyAnswer reads an answer: one object, with data and nothing else.
func parseKeyAnswer(answer []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(answer))
	d.DisallowUnknownFields()
	var got struct {
		Data []byte `json:"data"`
	}
	// What the decoder complains of may be a key.
	if err := d.Decode(&got); err != nil {
		return nil, errors.New(`no object {"data":"BASE64"}`)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one object")
	}
	if len(got.Data) == 0 {
		return nil, errors.New("no data")
	}
	return got.Data, nil
}

// capped keeps the first bytes of what is written; more is an error, upon which
// the program's pipe is closed.
type capped struct {
	text []byte
	most int
	over bool
}

func (c *capped) Write(p []byte) (int, error) {
	keep := min(len(p), c.most-len(c.text))
	c.over = c.over || keep < len(p)
	c.text = append(c.text, p[:keep]...)
	if c.over {
		return keep, io.ErrShortWrite
	}
	return keep, nil
}

// last is the last line, printable and short, as a part of an error.
func (c *capped) last() string {
	text := strings.TrimSpace(string(c.text))
	text = text[strings.LastIndexByte(text, '\n')+1:]
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text[:min(len(text), maxKeyComplaint)])
	if text == "" {
		return ""
	}
	return ": " + text
}
