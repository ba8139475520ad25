// SPDX-License-Identifier: Apache-2.0

package cohort

// This file: where the pages of a row group wait until it is full: on disk, so
// that large row groups, which readers like and which keep the file's
// metadata small, do not cost memory.

import (
	"fmt"
	"io"
	"os"
)

// pagesOnDisk gives buffers that are files in dir without a name, so that a
// killed process leaves none behind. It is a parquet.BufferPool.
type pagesOnDisk struct{ dir string }

func (p pagesOnDisk) GetBuffer() io.ReadWriteSeeker {
	f, err := os.CreateTemp(p.dir, ".sepsisagent-*.pages")
	if err != nil {
		return brokenPages{fmt.Errorf("pages of a row group: %w", err)}
	}
	// Where the system allows it the name goes at once.
	_ = os.Remove(f.Name())
	return f
}

func (pagesOnDisk) PutBuffer(b io.ReadWriteSeeker) {
	if f, ok := b.(*os.File); ok {
		_ = f.Close()
		_ = os.Remove(f.Name()) // where it was not allowed while the file was open
	}
}

// brokenPages reports why there is no buffer.
type brokenPages struct{ err error }

func (b brokenPages) Read([]byte) (int, error)       { return 0, b.err }
func (b brokenPages) Write([]byte) (int, error)      { return 0, b.err }
func (b brokenPages) Seek(int64, int) (int64, error) { return 0, b.err }
