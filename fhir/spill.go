// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: spill, the temporary file that sorts the lines of a folder by
// patient. Lines wait in memory up to a limit and are then written as blocks;
// an index says which blocks belong to whom.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
)

// spillBytes is how much waits in memory before blocks are written.
const spillBytes = 64 << 20

// block is a run of lines of one patient in the file.
type block struct{ at, size int64 }

// spill is written by one goroutine; after flush, read is safe for many.
type spill struct {
	file    *os.File
	names   []string // of the source files, by number
	waiting map[string][]byte
	held    int
	end     int64
	index   map[string][]block
	// skipped counts lines of no interest, which are counted but not kept.
	skipped map[string]int
	once    sync.Once
}

func newSpill() (*spill, error) {
	f, err := os.CreateTemp("", "sepsisagent-*.spill")
	if err != nil {
		return nil, fmt.Errorf("temporary file (hint: set TMPDIR to a disk with room): %w", err)
	}
	// Where the system allows it the name goes at once, so that a killed
	// process leaves no patient data behind.
	_ = os.Remove(f.Name())
	return &spill{file: f, waiting: map[string][]byte{}, index: map[string][]block{}, skipped: map[string]int{}}, nil
}

// add keeps one line. With skip only the count is kept.
func (s *spill) add(patient string, file, line int, raw []byte, skip bool) error {
	if skip {
		s.skipped[patient]++
		if _, ok := s.index[patient]; !ok {
			s.index[patient] = nil
		}
		return nil
	}
	buf := s.waiting[patient]
	buf = binary.AppendUvarint(buf, uint64(file))
	buf = binary.AppendUvarint(buf, uint64(line))
	buf = binary.AppendUvarint(buf, uint64(len(raw)))
	buf = append(buf, raw...)
	s.waiting[patient] = buf
	if s.held += len(raw); s.held > spillBytes {
		return s.flush()
	}
	return nil
}

// flush writes everything that waits.
func (s *spill) flush() error {
	for patient, buf := range s.waiting {
		if len(buf) == 0 {
			continue
		}
		if _, err := s.file.WriteAt(buf, s.end); err != nil {
			return fmt.Errorf("temporary file (hint: set TMPDIR to a disk with room): %w", err)
		}
		s.index[patient] = append(s.index[patient], block{s.end, int64(len(buf))})
		s.end += int64(len(buf))
	}
	s.waiting, s.held = map[string][]byte{}, 0
	return nil
}

// read calls use for every line of one patient, in the order of the files.
func (s *spill) read(patient string, use func(file, line int, raw []byte) error) error {
	for _, b := range slices.Clone(s.index[patient]) {
		buf := make([]byte, b.size)
		if _, err := s.file.ReadAt(buf, b.at); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("temporary file: %w", err)
		}
		for len(buf) > 0 {
			var part [3]uint64
			for i := range part {
				v, n := binary.Uvarint(buf)
				if n <= 0 {
					return errors.New("temporary file is damaged")
				}
				part[i], buf = v, buf[n:]
			}
			if uint64(len(buf)) < part[2] {
				return errors.New("temporary file is damaged")
			}
			if err := use(int(part[0]), int(part[1]), buf[:part[2]:part[2]]); err != nil {
				return err
			}
			buf = buf[part[2]:]
		}
	}
	return nil
}

func (s *spill) close() error {
	var err error
	s.once.Do(func() {
		err = s.file.Close()
		_ = os.Remove(s.file.Name()) // already gone where the system allows it
	})
	return err
}
