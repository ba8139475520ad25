// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: the files of a folder, decompressed and cut at line ends into
// chunks.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
)

const (
	// maxLine is the longest line read, 32 MiB; a longer one is no resource.
	maxLine = 32 << 20
	// chunkBytes is how much is decoded at a time.
	chunkBytes = 1 << 20
)

const faultTooLong = "line too long"

// cut sends the lines of all files from at on, in order, until ctx ends.
func (r *folderReader) cut(ctx context.Context, todo, order chan<- *chunk, at position) {
	send := func(c *chunk) bool {
		c.read = make(chan struct{})
		select {
		case order <- c:
		case <-ctx.Done():
			return false
		}
		select {
		case todo <- c:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for ; at.File < len(r.inputs); at = (position{File: at.File + 1, Line: 1}) {
		in := r.inputs[at.File]
		err := cutFile(in, at, send)
		if errors.Is(err, errStopped) {
			return
		}
		if err != nil {
			send(&chunk{file: at.File, err: err})
			return
		}
	}
}

// chunkBuffers are the buffers of chunks that were filed.
var chunkBuffers sync.Pool

// chunkBuffer returns a buffer that begins with a copy of rest and has room.
func chunkBuffer(rest []byte) []byte {
	if b, ok := chunkBuffers.Get().(*[]byte); ok {
		return append((*b)[:0], rest...)
	}
	return append(make([]byte, 0, len(rest)+chunkBytes), rest...)
}

// errStopped ends the cutting when nobody wants more.
var errStopped = errors.New("stopped")

// cutFile sends the lines of one file from at on.
func cutFile(in input, at position, send func(*chunk) bool) error {
	f, err := os.Open(in.Path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFolder, err)
	}
	defer f.Close()
	line, end := at.Line, at.Offset
	failed := func(err error) error {
		return fmt.Errorf("%w: %s after line %d: %w", ErrFolder, in.Name, line-1, gzipError(err))
	}
	var from io.Reader = f
	if strings.HasSuffix(in.Path, ".gz") {
		z, err := gzip.NewReader(f)
		if err != nil {
			return failed(err)
		}
		from = z
	}
	if from == io.Reader(f) {
		_, err = f.Seek(at.Offset, io.SeekStart)
	} else {
		_, err = io.CopyN(io.Discard, from, at.Offset)
	}
	if err != nil {
		return failed(err)
	}
	buf := chunkBuffer(nil)
	begun := 0 // so much of buf is known to hold no line's end
	for {
		if cap(buf)-len(buf) < chunkBytes/2 {
			buf = slices.Grow(buf, chunkBytes) // a line longer than a chunk
		}
		var n int
		full := min(cap(buf), len(buf)+chunkBytes)
		for err = nil; err == nil && len(buf) < full; buf = buf[:len(buf)+n] {
			n, err = from.Read(buf[len(buf):full])
		}
		whole := len(buf)
		if err != io.EOF {
			if whole = bytes.LastIndexByte(buf[begun:], '\n') + 1; whole > 0 {
				whole += begun
			}
		}
		rest := buf[whole:] // the beginning of a line
		if whole > 0 {
			rest = chunkBuffer(rest)
			c := &chunk{file: at.File, line: line, data: buf[:whole]}
			c.lines = bytes.Count(c.data, []byte{'\n'})
			if err == io.EOF && c.data[whole-1] != '\n' {
				c.lines++
			}
			end += int64(whole)
			line += c.lines
			c.end = end
			if !send(c) {
				return errStopped
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return failed(err)
		}
		if buf = rest; len(buf) <= maxLine {
			begun = len(buf)
			continue
		}
		n64, err := skipLine(from, &buf)
		begun = 0
		end += int64(n64)
		if !send(&chunk{file: at.File, line: line, tooLong: true, lines: 1, end: end}) {
			return errStopped
		}
		line++
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return failed(err)
		}
	}
}

// skipLine reads to the end of the line that begins with rest, leaves in rest
// what was read of the next one and returns the length of the line.
func skipLine(from io.Reader, rest *[]byte) (int, error) {
	n := len(*rest)
	buf := make([]byte, chunkBytes)
	for {
		k, err := from.Read(buf)
		if i := bytes.IndexByte(buf[:k], '\n'); i >= 0 {
			*rest = buf[i+1 : k]
			if err == io.EOF {
				err = nil // the next read says so again
			}
			return n + i + 1, err
		}
		if n += k; err != nil {
			*rest = nil
			return n, err
		}
	}
}

// gzipError makes a cut-short file recognisable.
func gzipError(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return ErrTruncated
	}
	return err
}
