// SPDX-License-Identifier: Apache-2.0

package validation

// This file: the record as a file that may be replaced, or taken away, while the
// service runs.

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
)

// ErrConfig: the configuration of the validation is unusable.
var ErrConfig = errors.New("validation configuration")

// rereadEvery bounds how long a change is missed that leaves the file's size and
// time as they were.
const rereadEvery = 30 * time.Second

// Config names the record and who may sign it.
type Config struct {
	// File is the signed record that `sepsisagent model accept` writes. It is
	// looked for on every call, so that a new one acts at once, and one that is
	// removed ends suggest mode at once. Empty: there is no validation, and
	// suggest works as inform.
	File string `yaml:"file"`
	// Key is the public key that must have signed it, as `model accept
	// --new-key` prints it (name+hash+base64), or the name of a file that holds
	// it. Whoever holds its private half decides where doses are shown; keep
	// that half away from the service.
	Key string `yaml:"key"`
}

// File is a record on disk. It is safe for concurrent use.
type File struct {
	path     string
	verifier *audit.Verifier
	runs     Covers

	mu     sync.Mutex
	read   time.Time   // when it was last read, by the clock of the process
	info   fs.FileInfo // as it was then
	record *Record
	digest string
	fault  Standing // why record is nil
}

// NewFile makes the file of a configuration. runs is what the service decides
// with. Errors wrap ErrConfig; that there is no such file is none: it may come.
func NewFile(cfg Config, runs Covers) (*File, error) {
	switch {
	case cfg.File == "" || cfg.Key == "":
		return nil, fmt.Errorf("%w: file and key belong together (hint: `sepsisagent model accept --new-key` prints the public key)", ErrConfig)
	case strings.HasPrefix(strings.TrimSpace(cfg.Key), "PRIVATE+KEY+"):
		return nil, fmt.Errorf("%w: key is a private key (hint: the service needs the public one, and must not have the other)", ErrConfig)
	}
	text := cfg.Key
	if data, err := os.ReadFile(text); err == nil {
		text = string(data)
	}
	v, err := audit.ParseVerifier(text)
	if err != nil {
		return nil, fmt.Errorf("%w: key: %w (hint: name+hash+base64, or a file that holds it)", ErrConfig, err)
	}
	return &File{path: cfg.File, verifier: v, runs: runs}, nil
}

// Standing says how things stand at a time, wherever the record holds; At
// narrows it.
func (f *File) Standing(now time.Time) Standing {
	f.mu.Lock()
	f.refresh()
	record, digest, fault := f.record, f.digest, f.fault
	f.mu.Unlock()
	if record == nil {
		fault.Digest = digest
		return fault
	}
	s := record.standing(f.runs, now)
	s.Record, s.Digest = record, digest
	return s
}

// refresh reads the file again where it is another one. f.mu is held.
func (f *File) refresh() {
	info, err := os.Stat(f.path)
	if err != nil {
		f.info, f.record, f.digest = nil, nil, ""
		f.fault = refused(NotValidated, "there is no local validation record")
		if !errors.Is(err, fs.ErrNotExist) {
			f.fault = refused(Unreadable, "the local validation record cannot be looked for")
		}
		return
	}
	if f.info != nil && time.Since(f.read) < rereadEvery && os.SameFile(info, f.info) && info.Size() == f.info.Size() && info.ModTime().Equal(f.info.ModTime()) {
		return
	}
	f.read, f.info, f.record, f.digest = time.Now(), info, nil, ""
	data, err := readBounded(f.path, info)
	if err != nil {
		f.info = nil // try again at the next call
		f.fault = refused(Unreadable, "the local validation record cannot be read")
		return
	}
	sum := sha256.Sum256(data)
	f.digest = hex.EncodeToString(sum[:])
	if f.record, err = Open(data, f.verifier); err != nil {
		f.record, f.fault = nil, ofError(err)
	}
}

// readBounded reads at most one byte more than a record may have, and nothing
// that could make a reader wait.
func readBounded(path string, info fs.FileInfo) ([]byte, error) {
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: no regular file", ErrRecord)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, MaxBytes+1))
}
