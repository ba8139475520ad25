// SPDX-License-Identifier: Apache-2.0

package bulk

// This file: the check of a downloaded file. Its lines are not parsed, which is
// the business of package fhir; but a login page, half a file or a file of
// another type is found here, while it can still be fetched again.

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
)

// inspected is what a file was found to be.
type inspected struct {
	File
	gzipped bool
}

// kindOf finds the types a line names, its own among them.
var kindOf = regexp.MustCompile(`"resourceType"\s*:\s*"([A-Za-z]+)"`)

// maxFirst is how much of the first line is searched for its type.
const maxFirst = 1 << 20

// inspect reads the file once: digest of its bytes, number of resources.
// ErrContent means that it is not what was promised.
func inspect(path string, p *piece) (inspected, error) {
	in, err := os.Open(path)
	if err != nil {
		return inspected{}, disk(err)
	}
	defer in.Close()
	var found inspected
	sum := sha256.New()
	tee := &counted{r: io.TeeReader(in, sum), moved: func(n int) { found.Bytes += int64(n) }}
	raw := bufio.NewReaderSize(tee, 1<<18)
	var lines io.Reader = raw
	if magic, _ := raw.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(raw)
		if err != nil {
			return found, fmt.Errorf("%w: its gzip header is broken", ErrContent)
		}
		found.gzipped, lines = true, z
	}
	if err := found.lines(bufio.NewReaderSize(lines, 1<<18), p); err != nil {
		return found, err
	}
	if _, err := io.Copy(io.Discard, raw); err != nil { // what gzip left
		return found, disk(err)
	}
	found.Type, found.SHA256 = p.Type, hex.EncodeToString(sum.Sum(nil))
	return found, nil
}

// lines counts the resources. A line longer than the buffer is looked at by
// its two ends.
func (f *inspected) lines(r *bufio.Reader, p *piece) error {
	var first []byte // of the line, while it is the first one
	for n := 0; ; {
		var opening, closing byte
		size := 0
		var err error
		for more := true; more; {
			var chunk []byte
			chunk, err = r.ReadSlice('\n')
			more = errors.Is(err, bufio.ErrBufferFull)
			if n == 0 && len(first) < maxFirst {
				first = append(first, chunk...)
			}
			if text := bytes.TrimSpace(chunk); len(text) > 0 {
				if size == 0 {
					opening = text[0]
				}
				closing = text[len(text)-1]
				size += len(text)
			}
		}
		if err != nil && err != io.EOF {
			return fmt.Errorf("%w: its gzip stream is cut short or broken", ErrContent)
		}
		if size > 0 {
			whole := opening == '{' && closing == '}'
			switch {
			case n == 0 && opening != '{':
				return fmt.Errorf("%w: not NDJSON (hint: is a proxy or a login page in between?)", ErrContent)
			case n == 0 && whole && !names(first, p.Type):
				return fmt.Errorf("%w: its first line is no %s", ErrContent, p.Type)
			case !whole && err == io.EOF:
				return fmt.Errorf("%w: it ends in the middle of a line", ErrContent)
			case !whole:
				f.Broken++
			}
			f.Resources++
			n++
		}
		if err == io.EOF {
			return nil
		}
	}
}

// names says whether a line names the type anywhere.
func names(line []byte, kind string) bool {
	if kind == "" || len(line) >= maxFirst {
		return true
	}
	for _, m := range kindOf.FindAllSubmatch(line, -1) {
		if string(m[1]) == kind {
			return true
		}
	}
	return false
}
