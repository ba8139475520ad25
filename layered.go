// SPDX-License-Identifier: Apache-2.0

package main

// This file: the embedded files with a site's own files beside them, as one
// file system, so that rooms read both alike.

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// layered is base with some names that are files on disk.
type layered struct {
	base  fs.FS
	files map[string]string // name in this file system -> path on disk
}

var _ fs.FS = layered{}

// Open implements fs.FS.
func (l layered) Open(name string) (fs.File, error) {
	if disk, ok := l.files[name]; ok {
		return os.Open(disk)
	}
	return l.base.Open(name)
}

// beside gives base with the files at the disk paths under folder/site/, and
// their names there.
func beside(base fs.FS, folder string, paths []string) (layered, []string) {
	l := layered{base: base, files: map[string]string{}}
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = path.Join(folder, "site", fmt.Sprintf("%02d-%s", i+1, filepath.Base(p)))
		l.files[names[i]] = p
	}
	return l, names
}
