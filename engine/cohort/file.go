// SPDX-License-Identifier: Apache-2.0

package cohort

// This file: reading and writing cohort files, row by row, so that a cohort
// larger than memory can be built and read.

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"os"
	"path/filepath"

	"github.com/parquet-go/parquet-go"
)

const (
	formatKey   = "sepsisagent.format"
	formatValue = "cohort/1"
	digestKey   = "sepsisagent.digest"
	// The metadata of every row group stay in memory until the file ends, a
	// quarter of a megabyte each.
	rowsPerGroup = 16384
	rowsAtOnce   = 32
)

// Info says what a cohort file holds.
type Info struct {
	Rows   int
	Digest string // see Digest
}

// Write writes rows to a new file at path, replacing one that is there only
// when all of it has been written. Rows must come stay by stay, steps in
// order. It returns what was written; the first error of rows ends it.
func Write(path string, rows iter.Seq2[Row, error]) (info Info, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return Info{}, fmt.Errorf("write cohort: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	info, err = encode(f, rows, parquet.ColumnPageBuffers(pagesOnDisk{filepath.Dir(path)}))
	if err != nil {
		return Info{}, fmt.Errorf("write cohort %s: %w", filepath.Base(path), err)
	}
	if err = f.Sync(); err != nil {
		return Info{}, fmt.Errorf("write cohort: %w", err)
	}
	if err = f.Close(); err != nil {
		return Info{}, fmt.Errorf("write cohort: %w", err)
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return Info{}, fmt.Errorf("write cohort: %w", err)
	}
	return info, nil
}

// Encode writes rows as a Parquet file to w. A row group waits in memory.
func Encode(w io.Writer, rows iter.Seq2[Row, error]) (Info, error) { return encode(w, rows) }

func encode(w io.Writer, rows iter.Seq2[Row, error], more ...parquet.WriterOption) (Info, error) {
	// The writer keeps the bounds of every page until the end; those of timelines
	// are whole timelines, and of no use.
	options := []parquet.WriterOption{schema, parquet.MaxRowsPerRowGroup(rowsPerGroup), parquet.SkipPageBounds("timeline"),
		parquet.CreatedBy("sepsisagent", "cohort", "1"), parquet.KeyValueMetadata(formatKey, formatValue)}
	pw := parquet.NewGenericWriter[any](w, append(options, more...)...)
	var info Info
	sum := newDigest()
	// Rows go to the writer several at a time, which it is quicker at.
	room := make([]parquet.Row, rowsAtOnce)
	for i := range room {
		room[i] = make(parquet.Row, len(columns))
	}
	waiting := room[:0]
	for row, err := range rows {
		if err != nil {
			return Info{}, err
		}
		if row.Step < 1 || len(row.Canonical) == 0 {
			return Info{}, fmt.Errorf("row of stay %s has no step or timeline", row.Stay)
		}
		waiting = room[:len(waiting)+1]
		buf := waiting[len(waiting)-1]
		encodeRow(buf, &row)
		sum.add(buf)
		info.Rows++
		if len(waiting) == rowsAtOnce {
			if _, err := pw.WriteRows(waiting); err != nil {
				return Info{}, err
			}
			waiting = room[:0]
		}
	}
	if _, err := pw.WriteRows(waiting); err != nil {
		return Info{}, err
	}
	info.Digest = sum.hex()
	pw.SetKeyValueMetadata(digestKey, info.Digest)
	if err := pw.Close(); err != nil {
		return Info{}, err
	}
	return info, nil
}

func encodeRow(buf parquet.Row, row *Row) {
	for i := range columns {
		v := columns[i].put(row)
		def := 0
		if nullable[i] && !v.IsNull() {
			def = 1
		}
		buf[i] = v.Level(0, def, i)
	}
}

func decodeRow(values parquet.Row) (Row, error) {
	var row Row
	if len(values) != len(columns) {
		return row, fmt.Errorf("%d values in a row of %d columns", len(values), len(columns))
	}
	for i := range columns {
		v := values[i]
		if v.Column() != i || v.IsNull() && !columns[i].node.Optional() {
			return row, fmt.Errorf("column %s has no value", columns[i].name)
		}
		if err := columns[i].get(&row, v); err != nil {
			return row, fmt.Errorf("column %s: %w", columns[i].name, err)
		}
	}
	return row, nil
}

// Read yields the rows of a cohort file in order, holding only a few at a
// time. The last thing it yields may be an error: it wraps ErrCorrupt when the
// file is damaged, also when only its digest shows it after the last row, so a
// caller must not use the rows before the iteration has ended without error.
func Read(path string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(Row{}, fmt.Errorf("read cohort: %w", err))
			return
		}
		defer f.Close()
		st, err := f.Stat()
		if err != nil {
			yield(Row{}, fmt.Errorf("read cohort: %w", err))
			return
		}
		stopped := false
		err = decode(f, st.Size(), func(r Row) bool {
			stopped = !yield(r, nil)
			return !stopped
		})
		if err != nil && !stopped {
			yield(Row{}, fmt.Errorf("read cohort %s: %w", filepath.Base(path), err))
		}
	}
}

// ReadAll reads a whole file into memory.
func ReadAll(path string) ([]Row, error) {
	var rows []Row
	for row, err := range Read(path) {
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// Stat returns the number of rows and the digest that a file declares, without
// reading its rows.
func Stat(path string) (Info, error) {
	f, err := os.Open(path)
	if err != nil {
		return Info{}, fmt.Errorf("read cohort: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return Info{}, fmt.Errorf("read cohort: %w", err)
	}
	var info Info
	err = guard(func() error {
		pf, err := open(f, st.Size())
		if err != nil {
			return err
		}
		info.Rows = int(pf.NumRows())
		info.Digest, _ = pf.Lookup(digestKey)
		return nil
	})
	if err != nil {
		return Info{}, fmt.Errorf("read cohort %s: %w", filepath.Base(path), err)
	}
	return info, nil
}

// guard turns a panic of the Parquet reader on hostile bytes into ErrCorrupt.
func guard(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrCorrupt, p)
		}
	}()
	return do()
}

func open(r io.ReaderAt, size int64) (*parquet.File, error) {
	pf, err := parquet.OpenFile(r, size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if v, ok := pf.Lookup(formatKey); !ok || v != formatValue {
		return nil, fmt.Errorf("%w: not a %s file", ErrCorrupt, formatValue)
	}
	leaves := pf.Schema().Columns()
	for i, c := range columns {
		if i >= len(leaves) || len(leaves[i]) != 1 || leaves[i][0] != c.name {
			return nil, fmt.Errorf("%w: column %s is missing or out of place", ErrCorrupt, c.name)
		}
		leaf, _ := pf.Schema().Lookup(c.name)
		if leaf.Node.Type().Kind() != c.node.Type().Kind() || leaf.Node.Optional() != c.node.Optional() || leaf.Node.Repeated() {
			return nil, fmt.Errorf("%w: column %s has another type", ErrCorrupt, c.name)
		}
	}
	if len(leaves) != len(columns) {
		return nil, fmt.Errorf("%w: %d columns, want %d", ErrCorrupt, len(leaves), len(columns))
	}
	return pf, nil
}

func decode(r io.ReaderAt, size int64, yield func(Row) bool) error {
	var callerPanic any
	err := guard(func() error {
		pf, err := open(r, size)
		if err != nil {
			return err
		}
		sum := newDigest()
		buf := make([]parquet.Row, 16)
		n := int64(0)
		for _, group := range pf.RowGroups() {
			rows := group.Rows()
			for {
				k, err := rows.ReadRows(buf)
				for _, values := range buf[:k] {
					row, bad := decodeRow(values)
					if bad != nil {
						rows.Close()
						return fmt.Errorf("%w: row %d: %w", ErrCorrupt, n+1, bad)
					}
					sum.add(values)
					n++
					more := false
					func() {
						defer func() { callerPanic = recover() }()
						more = yield(row)
					}()
					if callerPanic != nil || !more {
						rows.Close()
						return errStop
					}
				}
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					rows.Close()
					return fmt.Errorf("%w: row %d: %w", ErrCorrupt, n+1, err)
				}
				if k == 0 {
					rows.Close()
					return fmt.Errorf("%w: row %d cannot be read", ErrCorrupt, n+1)
				}
			}
			if err := rows.Close(); err != nil {
				return fmt.Errorf("%w: %w", ErrCorrupt, err)
			}
		}
		if want, ok := pf.Lookup(digestKey); !ok || want != sum.hex() || n != pf.NumRows() {
			return fmt.Errorf("%w: content does not match its digest", ErrCorrupt)
		}
		return nil
	})
	if callerPanic != nil {
		panic(callerPanic)
	}
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

// errStop ends decode when the caller has seen enough.
var errStop = errors.New("stop")

// Digest returns the SHA-256 over the content of rows in order, in lower-case
// hex: the same for one cohort however a file lays it out in row groups, pages
// or compression.
func Digest(rows iter.Seq2[Row, error]) (string, error) {
	sum := newDigest()
	buf := make(parquet.Row, len(columns))
	for row, err := range rows {
		if err != nil {
			return "", err
		}
		encodeRow(buf, &row)
		sum.add(buf)
	}
	return sum.hex(), nil
}

// digest hashes rows column by column, each value with its length.
type digest struct {
	h   hash.Hash
	buf []byte
}

func newDigest() *digest { return &digest{h: sha256.New()} }

func (d *digest) add(row parquet.Row) {
	d.buf = d.buf[:0]
	for _, v := range row {
		start := len(d.buf)
		if d.buf = append(d.buf, 0, 0, 0, 0); v.IsNull() {
			d.buf = append(d.buf, 0)
		} else {
			d.buf = v.AppendBytes(append(d.buf, 1))
		}
		binary.LittleEndian.PutUint32(d.buf[start:], uint32(len(d.buf)-start-4))
	}
	d.h.Write(d.buf)
}

func (d *digest) hex() string { return hex.EncodeToString(d.h.Sum(nil)) }
