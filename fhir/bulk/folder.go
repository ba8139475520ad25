// SPDX-License-Identifier: Apache-2.0

package bulk

// This file: the folder that is written. While a fetch is under way a state
// file says what is here and where the rest is; it holds links, which may be
// secrets, so it is for the owner only and goes away at the end. What stays is
// a manifest without addresses of files.

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sepsisagent/sepsisagent/fhir/claim"
)

// Files in the folder that are no NDJSON.
const (
	// LocalManifest says what the folder holds. A folder without it is not
	// complete.
	LocalManifest = "manifest.json"

	stateFile  = ".bulk-fetch.json"
	partSuffix = ".part"
)

// Request is what was asked for.
type Request struct {
	Server      string   `json:"server"` // FHIR base, without anything secret
	Level       Level    `json:"level"`
	Group       string   `json:"group,omitempty"`
	Types       []string `json:"types"`
	TypeFilters []string `json:"type_filters,omitempty"`
	Since       string   `json:"since,omitempty"`
}

// Local is the manifest of a complete folder.
type Local struct {
	Request
	// TransactionTime is as of when the data are, by the server's clock.
	TransactionTime time.Time `json:"transaction_time"`
	Fetched         time.Time `json:"fetched"`
	Files           []File    `json:"files"`
	// Deleted are lists of resources deleted since Request.Since, which are not
	// applied to anything.
	Deleted []File `json:"deleted,omitempty"`
	// Errors are OperationOutcomes of the server about what it left out.
	Errors []File `json:"errors,omitempty"`
	// Absent are types that were asked for and of which nothing came.
	Absent []string `json:"absent,omitempty"`
	// Refused are the optional types that the server would not export.
	Refused []string `json:"refused,omitempty"`
}

// File is one file of a complete folder.
type File struct {
	Name      string `json:"file"`
	Type      string `json:"type,omitempty"`
	Resources int    `json:"resources"`
	Bytes     int64  `json:"bytes"` // as stored
	SHA256    string `json:"sha256"`
	// Promised is the number of resources by the server, where it said one that
	// differs from Resources.
	Promised *int `json:"promised,omitempty"`
	// Broken is the number of lines that do not look like a resource.
	Broken int `json:"broken,omitempty"`
}

// list says what a file of the export is for.
type list string

const (
	output  list = "output"
	deleted list = "deleted"
	faults  list = "errors"
)

// piece is one file of the export on its way.
type piece struct {
	Key  string `json:"key"` // what stays the same of its address
	URL  string `json:"url"`
	List list   `json:"list"`
	Stem string `json:"stem"` // its name here, without ending
	Type string `json:"type,omitempty"`
	// Count is the promised number of resources, or noCount.
	Count int `json:"count"`
	// Validator is the entity tag or date under which the part was begun, so
	// that the rest is asked for only while the server has the same bytes.
	Validator string `json:"validator,omitempty"`
	Done      *File  `json:"done,omitempty"`
}

// state is what a stopped fetch is taken up from.
type state struct {
	Request    Request    `json:"request"`
	Started    time.Time  `json:"started"`
	Status     string     `json:"status,omitempty"`  // where to ask for the export
	Refused    []string   `json:"refused,omitempty"` // types it was started without
	At         *time.Time `json:"transaction_time,omitempty"`
	NeedsToken bool       `json:"needs_token"`
	Pieces     []*piece   `json:"pieces,omitempty"`
}

// folder is Config.Out. Its methods may be called concurrently once planned.
type folder struct {
	dir     string
	release func()      // lets go of the claim
	mu      *sync.Mutex // guards what follows, and the state file
	state   state
	stored  time.Time // when the state file was last written
}

// openFolder claims the folder, which is made for its owner only, and takes up
// what a stopped fetch left in it.
func openFolder(dir string, r Request) (folder, error) {
	f := folder{dir: dir, mu: &sync.Mutex{}, state: state{Request: r}}
	release, err := claim.Folder(dir)
	switch {
	case errors.Is(err, claim.ErrTaken):
		return f, fmt.Errorf("%w: %w", ErrOccupied, err)
	case err != nil:
		return f, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	f.release = release
	if err := f.takeUp(r); err != nil {
		release()
		return f, err
	}
	return f, nil
}

// takeUp reads what a stopped fetch of the same left in the folder.
func (f *folder) takeUp(r Request) error {
	if left, err := filepath.Glob(f.path(stateFile + ".*.tmp")); err == nil {
		for _, path := range left { // of a process that was killed while it wrote
			_ = os.Remove(path)
		}
	}
	data, err := os.ReadFile(f.path(stateFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f.empty()
	case err != nil:
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	var old state
	if err := json.Unmarshal(data, &old); err != nil {
		return fmt.Errorf("%w: %s cannot be read (hint: choose an empty folder)", ErrOccupied, f.path(stateFile))
	}
	if !old.Request.equal(r) {
		return fmt.Errorf("%w: %s holds a fetch of something else that was stopped (hint: run that command again to finish it, or choose an empty folder)", ErrOccupied, f.dir)
	}
	for _, p := range old.Pieces {
		if p == nil || !stemShape.MatchString(p.Stem) || p.Done != nil && !slices.Contains(p.names(), p.Done.Name) {
			return fmt.Errorf("%w: %s names files that no fetch makes (hint: choose an empty folder)", ErrOccupied, f.path(stateFile))
		}
	}
	f.state = old
	return nil
}

// stemShape is what freeStem makes. A state file that somebody changed must
// not name files elsewhere.
var stemShape = regexp.MustCompile(`^[A-Za-z]{1,64}-[0-9]{4,9}$`)

func (r Request) equal(o Request) bool {
	return r.Server == o.Server && r.Level == o.Level && r.Group == o.Group && r.Since == o.Since &&
		slices.Equal(r.Types, o.Types) && slices.Equal(r.TypeFilters, o.TypeFilters)
}

// empty refuses a folder in which something lies that `cohort build` would
// read together with the export.
func (f *folder) empty() error {
	if _, err := os.Lstat(f.path(LocalManifest)); err == nil {
		return fmt.Errorf("%w: %s holds a complete export already (hint: choose an empty folder)", ErrOccupied, f.dir)
	}
	return filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (strings.HasSuffix(path, ".ndjson") || strings.HasSuffix(path, ".ndjson.gz")) {
			return fmt.Errorf("%w: %s is there already (hint: choose an empty folder)", ErrOccupied, path)
		}
		return err
	})
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

// started remembers where to ask for the export.
func (f *folder) started(status string, refused []string) error {
	f.state.Status, f.state.Refused, f.state.Started = status, refused, time.Now().UTC().Truncate(time.Second)
	return f.save()
}

// same says whether the manifest is of the export whose files are here.
func (f *folder) same(m *manifest) bool { return f.state.At == nil || f.state.At.Equal(m.at) }

// begun remembers under which validator a part is written: at once where
// losing the part would cost much.
func (f *folder) begun(p *piece, validator string, much bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.Validator == validator {
		return nil
	}
	p.Validator = validator
	return f.soon(much)
}

// done remembers that a file is here.
func (f *folder) done(p *piece, file File) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p.Done = &file
	return f.soon(false)
}

// soon stores the state now, or with the next change a second later: with
// thousands of files it must not be written for each. What is lost with it is
// downloaded again. The caller holds mu.
func (f *folder) soon(now bool) error {
	if !now && time.Since(f.stored) < time.Second {
		return nil
	}
	return f.write()
}

// have says whether the file is here, as whole as when it was done.
func (f *folder) have(p *piece) bool {
	if p.Done == nil {
		return false
	}
	info, err := os.Lstat(f.path(p.Done.Name))
	return err == nil && info.Mode().IsRegular() && info.Size() == p.Done.Bytes
}

// drop removes what is here of a piece.
func (f *folder) drop(p *piece) error {
	for _, n := range append(p.names(), p.Stem+partSuffix) {
		if err := os.Remove(f.path(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return disk(err)
		}
	}
	return nil
}

// forget gives up on an export: its files go, so that they are never mixed
// with those of another.
func (f *folder) forget() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.state.Pieces {
		if err := f.drop(p); err != nil {
			return err
		}
	}
	f.state = state{Request: f.state.Request}
	if err := os.Remove(f.path(stateFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return disk(err)
	}
	return nil
}

// finish writes the manifest of the complete folder.
func (f *folder) finish() (*Local, error) {
	l := &Local{Request: f.state.Request, TransactionTime: *f.state.At, Fetched: time.Now().UTC().Truncate(time.Second), Files: []File{}, Refused: f.state.Refused}
	came := map[string]int{}
	for _, p := range f.state.Pieces {
		into := map[list]*[]File{output: &l.Files, deleted: &l.Deleted, faults: &l.Errors}[p.List]
		*into = append(*into, *p.Done)
		if p.List == output {
			came[p.Type] += p.Done.Resources
		}
	}
	for _, t := range l.Types {
		if came[t] == 0 && came[""] == 0 {
			l.Absent = append(l.Absent, t)
		}
	}
	return l, f.put(LocalManifest, l)
}

// clear removes the state file, the last thing that a fetch does.
func (f *folder) clear() error {
	if err := os.Remove(f.path(stateFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return disk(err)
	}
	return syncDir(f.dir)
}

func (f *folder) save() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.write()
}

// write stores the state; the caller holds mu.
func (f *folder) write() error {
	f.stored = time.Now()
	return f.put(stateFile, f.state)
}

// put replaces a file so that after a crash it is the old one or the new one.
func (f *folder) put(name string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	tmp, err := os.CreateTemp(f.dir, name+".*.tmp") // made for the owner only
	if err != nil {
		return disk(err)
	}
	defer os.Remove(tmp.Name()) // nothing there once renamed
	_, err = tmp.Write(append(data, '\n'))
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return disk(err)
	}
	if err := os.Rename(tmp.Name(), f.path(name)); err != nil {
		return disk(err)
	}
	return syncDir(f.dir)
}

// syncDir makes renames last through a power failure.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return disk(err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// disk words an error of the file system.
func disk(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrDisk, err)
	}
	return fmt.Errorf("write export: %w", err)
}
