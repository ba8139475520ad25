// SPDX-License-Identifier: Apache-2.0

package cohort

// This file: Log, the rows that a long build has finished, on disk, so that a
// build that was killed need not make them again. It is a work file of one
// build, not a format to keep: the cohort file is.

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/klauspost/compress/s2"
	"github.com/parquet-go/parquet-go"
)

// Log appends batches of rows to a file. It is not safe for concurrent use.
type Log struct {
	f       *os.File
	end     int64
	batches []int64 // where they begin
	raw     []byte
	packed  []byte
}

// logFrame: size and checksum of what follows.
const logFrame = 4 + 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// OpenLog opens the log at path. What an earlier build of the same key left is
// kept as far as it is whole; of another key, nothing.
func OpenLog(path, key string) (*Log, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log of rows: %w", err)
	}
	l := &Log{f: f}
	if err := l.recover(key); err != nil {
		f.Close()
		return nil, fmt.Errorf("log of rows: %w", err)
	}
	return l, nil
}

// recover finds the batches that are whole and drops what follows.
func (l *Log) recover(key string) error {
	first, next, err := l.frame(0)
	if err != nil || string(first) != key {
		if err := l.f.Truncate(0); err != nil {
			return err
		}
		l.end = 0
		if err := l.append([]byte(key)); err != nil {
			return err
		}
		l.batches = nil
		return nil
	}
	for l.end = next; ; l.end = next {
		if _, next, err = l.frame(l.end); err != nil {
			break
		}
		l.batches = append(l.batches, l.end)
	}
	return l.f.Truncate(l.end)
}

// frame reads the frame at a position; next is the one after it.
func (l *Log) frame(at int64) (payload []byte, next int64, err error) {
	var head [logFrame]byte
	if _, err := l.f.ReadAt(head[:], at); err != nil {
		return nil, 0, err
	}
	size := int64(binary.LittleEndian.Uint32(head[:]))
	info, err := l.f.Stat()
	if err != nil || at+logFrame+size > info.Size() {
		return nil, 0, errors.Join(err, io.ErrUnexpectedEOF)
	}
	payload = make([]byte, size)
	if _, err := l.f.ReadAt(payload, at+logFrame); err != nil {
		return nil, 0, err
	}
	if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
		return nil, 0, ErrCorrupt
	}
	return payload, at + logFrame + size, nil
}

func (l *Log) append(payload []byte) error {
	var head [logFrame]byte
	binary.LittleEndian.PutUint32(head[:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(head[4:], crc32.Checksum(payload, castagnoli))
	if _, err := l.f.WriteAt(head[:], l.end); err != nil {
		return err
	}
	if _, err := l.f.WriteAt(payload, l.end+logFrame); err != nil {
		return err
	}
	l.batches = append(l.batches, l.end)
	l.end += logFrame + int64(len(payload))
	return nil
}

// Batches is how many batches the log holds.
func (l *Log) Batches() int { return len(l.batches) }

// Append adds rows and a note, which is kept as JSON.
func (l *Log) Append(rows []Row, note any) error {
	text, err := json.Marshal(note)
	if err != nil {
		return fmt.Errorf("log of rows: %w", err)
	}
	l.raw = binary.AppendUvarint(l.raw[:0], uint64(len(text)))
	l.raw = append(l.raw, text...)
	buf := make(parquet.Row, len(columns))
	for i := range rows {
		encodeRow(buf, &rows[i])
		for _, v := range buf {
			// Only texts differ in length, but a length is cheap.
			switch kind := v.Kind(); {
			case v.IsNull():
				l.raw = append(l.raw, 0)
			case kind == parquet.ByteArray:
				l.raw = binary.AppendUvarint(l.raw, uint64(len(v.ByteArray()))+1)
				l.raw = append(l.raw, v.ByteArray()...)
			default:
				start := len(l.raw)
				l.raw = v.AppendBytes(append(l.raw, 0))
				l.raw[start] = byte(len(l.raw) - start) // a number is short
			}
		}
	}
	l.packed = s2.Encode(l.packed[:cap(l.packed)], l.raw)
	if err := l.append(l.packed); err != nil {
		return fmt.Errorf("log of rows (hint: is the disk full?): %w", err)
	}
	return nil
}

// Batch reads batch number i again: its rows, and its note into note.
func (l *Log) Batch(i int, note any) ([]Row, error) {
	packed, _, err := l.frame(l.batches[i])
	if err != nil {
		return nil, fmt.Errorf("log of rows: %w", err)
	}
	raw, err := s2.Decode(nil, packed)
	if err != nil {
		return nil, fmt.Errorf("log of rows: %w: %w", ErrCorrupt, err)
	}
	size, n := binary.Uvarint(raw)
	if n <= 0 || size > uint64(len(raw)-n) {
		return nil, fmt.Errorf("log of rows: %w", ErrCorrupt)
	}
	if err := json.Unmarshal(raw[n:n+int(size)], note); err != nil {
		return nil, fmt.Errorf("log of rows: %w: %w", ErrCorrupt, err)
	}
	var rows []Row
	buf := make(parquet.Row, len(columns))
	for raw = raw[n+int(size):]; len(raw) > 0; {
		for i := range columns {
			size, n := binary.Uvarint(raw)
			if n <= 0 || size > uint64(len(raw)-n)+1 {
				return nil, fmt.Errorf("log of rows: %w", ErrCorrupt)
			}
			if raw = raw[n:]; size == 0 {
				buf[i] = parquet.NullValue().Level(0, 0, i)
				continue
			}
			buf[i] = columns[i].node.Type().Kind().Value(raw[:size-1]).Level(0, 0, i)
			raw = raw[size-1:]
		}
		row, err := decodeRow(buf)
		if err != nil {
			return nil, fmt.Errorf("log of rows: %w: %w", ErrCorrupt, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// Close closes the file and leaves it where it is.
func (l *Log) Close() error { return l.f.Close() }
