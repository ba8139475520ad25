// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: WriteFolder, charts as a bulk export: one NDJSON.gz file per
// resource type. The same charts and styles give the same bytes.

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"os"
	"path/filepath"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// WriteFolder writes every chart into dir, which is made when it is missing.
// Files of an earlier export in it are replaced. It returns how many resources
// of each type were written.
func WriteFolder(dir string, charts iter.Seq[*state.Chart], style func(*state.Chart) Style) (map[string]int, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("write folder: %w", err)
	}
	f := &folderWriter{dir: dir, files: map[string]*typeFile{}, seen: map[string]bool{}}
	for chart := range charts {
		if err := f.add(chart, style(chart)); err != nil {
			return nil, errors.Join(fmt.Errorf("write folder: %w", err), f.close())
		}
	}
	return f.count(), f.close()
}

type folderWriter struct {
	dir   string
	files map[string]*typeFile
	seen  map[string]bool // shared resources (Organization) already written
	line  []byte          // buffer of one resource
}

type typeFile struct {
	file *os.File
	gz   *gzip.Writer
	buf  *bufio.Writer
	rows int
}

func (f *folderWriter) add(chart *state.Chart, style Style) error {
	resources, err := nodesOf(chart, style)
	if err != nil {
		return err
	}
	for _, n := range resources {
		kind, id := n.text("resourceType"), n.text("id")
		if kind == "Organization" {
			if f.seen[id] {
				continue
			}
			f.seen[id] = true
		}
		t, err := f.file(kind)
		if err != nil {
			return err
		}
		if f.line, err = appendJSON(f.line[:0], n); err != nil {
			return err
		}
		t.rows++
		if _, err := t.buf.Write(append(f.line, '\n')); err != nil {
			return err
		}
	}
	return nil
}

func (f *folderWriter) file(kind string) (*typeFile, error) {
	if t := f.files[kind]; t != nil {
		return t, nil
	}
	file, err := os.Create(filepath.Join(f.dir, kind+".ndjson.gz"))
	if err != nil {
		return nil, err
	}
	gz := gzip.NewWriter(file) // its header carries no time, so that bytes repeat
	t := &typeFile{file: file, gz: gz, buf: bufio.NewWriterSize(gz, 1<<16)}
	f.files[kind] = t
	return t, nil
}

func (f *folderWriter) count() map[string]int {
	rows := map[string]int{}
	for kind, t := range f.files {
		rows[kind] = t.rows
	}
	return rows
}

func (f *folderWriter) close() error {
	var errs []error
	for _, t := range f.files {
		errs = append(errs, t.buf.Flush(), t.gz.Close(), t.file.Close())
	}
	return errors.Join(errs...)
}

// HospitalStyle is a style that all patients of one synthetic hospital share.
func HospitalStyle(chart *state.Chart) Style {
	h := fnv.New64a()
	h.Write([]byte(chart.Stay.Hospital)) // never fails
	return StyleOf(h.Sum64() >> 13)
}
