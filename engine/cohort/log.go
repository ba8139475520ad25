// SPDX-License-Identifier: Apache-2.0

package cohort

// This file: Log, the rows that a long build has finished, on disk, so that a
// build that was killed need not make them again. It is a work file of one
// build, not a format to keep: the cohort file is. Rows go in and out one by
// one: a batch is never in memory as bytes.

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"slices"

	"github.com/klauspost/compress/s2"
	"github.com/parquet-go/parquet-go"
)

// Log appends batches of rows to a file. It is not safe for concurrent use.
type Log struct {
	f       *os.File
	end     int64
	batches []int64 // where they begin
	row     []byte
	packer  *s2.Writer
}

// logFrame: size and checksum of what follows.
const logFrame = 4 + 4

// logBlockBytes is how much of a batch is packed at a time.
const logBlockBytes = 256 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// OpenLog opens the log at path. What an earlier build of the same key left is
// kept as far as it is whole; of another key, nothing.
func OpenLog(path, key string) (*Log, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log of rows: %w", err)
	}
	l := &Log{f: f, packer: s2.NewWriter(nil, s2.WriterConcurrency(1), s2.WriterBlockSize(logBlockBytes))}
	if err := l.recover(key); err != nil {
		f.Close()
		return nil, fmt.Errorf("log of rows: %w", err)
	}
	return l, nil
}

// recover finds the batches that are whole and drops what follows.
func (l *Log) recover(key string) error {
	first, next, err := l.check(0)
	if err != nil || !first.holds(key) {
		if err := l.f.Truncate(0); err != nil {
			return err
		}
		l.end, l.batches = 0, nil
		next, err := l.append(0, func(w io.Writer) error { _, err := io.WriteString(w, key); return err })
		l.end = next
		return err
	}
	for l.end = next; ; l.end = next {
		if _, next, err = l.check(l.end); err != nil {
			break
		}
		l.batches = append(l.batches, l.end)
	}
	return l.f.Truncate(l.end)
}

// frame is what stands in the log between two heads.
type frame struct{ *io.SectionReader }

// holds says whether a frame is the given text.
func (p frame) holds(text string) bool {
	if p.Size() != int64(len(text)) {
		return false
	}
	got, err := io.ReadAll(io.NewSectionReader(p, 0, p.Size()))
	return err == nil && string(got) == text
}

// check finds the frame at a position and reads it through for its checksum;
// next is where the one after it begins.
func (l *Log) check(at int64) (p frame, next int64, err error) {
	var head [logFrame]byte
	if _, err := l.f.ReadAt(head[:], at); err != nil {
		return frame{}, 0, err
	}
	size := int64(binary.LittleEndian.Uint32(head[:]))
	if size == 0 {
		return frame{}, 0, io.ErrUnexpectedEOF // the head was not written any more
	}
	p = frame{io.NewSectionReader(l.f, at+logFrame, size)}
	sum := crc32.New(castagnoli)
	switch n, err := io.Copy(sum, p); {
	case err != nil:
		return frame{}, 0, err
	case n < size:
		return frame{}, 0, io.ErrUnexpectedEOF
	case sum.Sum32() != binary.LittleEndian.Uint32(head[4:]):
		return frame{}, 0, ErrCorrupt
	}
	_, err = p.Seek(0, io.SeekStart)
	return p, at + logFrame + size, err
}

// append writes a frame at a position, its head last: until then it is not
// there. It returns the end of the frame.
func (l *Log) append(at int64, write func(io.Writer) error) (end int64, err error) {
	out := &framed{w: io.NewOffsetWriter(l.f, at+logFrame), sum: crc32.New(castagnoli)}
	if err := write(out); err != nil {
		return at, err
	}
	if out.n > 1<<32-1 {
		return at, fmt.Errorf("a batch of %d bytes is too large", out.n)
	}
	var head [logFrame]byte
	binary.LittleEndian.PutUint32(head[:], uint32(out.n))
	binary.LittleEndian.PutUint32(head[4:], out.sum.Sum32())
	if _, err := l.f.WriteAt(head[:], at); err != nil {
		return at, err
	}
	return at + logFrame + out.n, nil
}

// framed counts and sums what is written.
type framed struct {
	w   io.Writer
	n   int64
	sum hash.Hash32
}

func (o *framed) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	o.sum.Write(p[:n])
	o.n += int64(n)
	return n, err
}

// Batches is how many batches the log holds.
func (l *Log) Batches() int { return len(l.batches) }

// Append adds rows and a note, which is kept as JSON.
func (l *Log) Append(rows []Row, note any) error {
	text, err := json.Marshal(note)
	if err != nil {
		return fmt.Errorf("log of rows: %w", err)
	}
	end, err := l.append(l.end, func(w io.Writer) error {
		l.packer.Reset(w)
		l.row = append(binary.AppendUvarint(l.row[:0], uint64(len(text))), text...)
		if _, err := l.packer.Write(l.row); err != nil {
			return err
		}
		buf := make(parquet.Row, len(columns))
		for i := range rows {
			encodeRow(buf, &rows[i])
			l.row = appendValues(l.row[:0], buf)
			if _, err := l.packer.Write(l.row); err != nil {
				return err
			}
		}
		return l.packer.Close()
	})
	if err != nil {
		return fmt.Errorf("log of rows (hint: is the disk full?): %w", err)
	}
	l.batches, l.end = append(l.batches, l.end), end
	return nil
}

// appendValues appends the values of a row, each with its length and one: zero
// is no value.
func appendValues(to []byte, row parquet.Row) []byte {
	for _, v := range row {
		switch kind := v.Kind(); {
		case v.IsNull():
			to = append(to, 0)
		case kind == parquet.ByteArray:
			to = binary.AppendUvarint(to, uint64(len(v.ByteArray()))+1)
			to = append(to, v.ByteArray()...)
		default:
			start := len(to)
			to = v.AppendBytes(append(to, 0))
			to[start] = byte(len(to) - start) // a number is short
		}
	}
	return to
}

// Batch reads batch number i again: its rows, and its note into note.
func (l *Log) Batch(i int, note any) ([]Row, error) {
	p, _, err := l.check(l.batches[i])
	if err != nil {
		return nil, fmt.Errorf("log of rows: %w", err)
	}
	rows, err := readBatch(bufio.NewReader(s2.NewReader(p)), note)
	if err != nil {
		return nil, fmt.Errorf("log of rows: %w: %w", ErrCorrupt, err)
	}
	return rows, nil
}

func readBatch(r *bufio.Reader, note any) ([]Row, error) {
	text, _, err := readSized(r, nil, 0)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, note); err != nil {
		return nil, err
	}
	var rows []Row
	values := make(parquet.Row, len(columns))
	room := make([][]byte, len(columns))
	for {
		if _, err := r.Peek(1); errors.Is(err, io.EOF) {
			return rows, nil
		}
		for i := range columns {
			value, there, err := readSized(r, room[i], 1)
			if err != nil {
				return nil, err
			}
			if !there {
				values[i] = parquet.NullValue().Level(0, 0, i)
				continue
			}
			room[i] = value
			values[i] = columns[i].node.Type().Kind().Value(value).Level(0, 0, i)
		}
		row, err := decodeRow(values) // copies
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
}

// readSized reads a length, of which less is taken off, and as many bytes into
// room; there is false when the length is short of that.
func readSized(r *bufio.Reader, room []byte, less uint64) (value []byte, there bool, err error) {
	size, err := binary.ReadUvarint(r)
	switch {
	case err != nil:
		return nil, false, err
	case size < less:
		return nil, false, nil
	case size-less > maxValue:
		return nil, false, fmt.Errorf("a value of %d bytes", size)
	}
	value = slices.Grow(room[:0], int(size-less))[:size-less]
	_, err = io.ReadFull(r, value)
	return value, true, err
}

// maxValue is the longest value or note that is read again, 1 GiB.
const maxValue = 1 << 30

// Close closes the file and leaves it where it is.
func (l *Log) Close() error { return l.f.Close() }
