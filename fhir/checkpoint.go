// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: what a reader of a folder leaves behind so that the next one goes
// on after a kill: the spill, and beside it a small file that says up to where
// both the inputs and the spill are good.

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// checkpointBytes is how much is read between two checkpoints.
const checkpointBytes = 128 << 20

// spillFormat changes when the spill's layout or meaning does.
const spillFormat = "spill 2"

// progress is the content of the checkpoint file.
type progress struct {
	Key     string   // of inputs, code maps and build; another key, another spill
	At      position // in the inputs
	Whole   bool     // everything was read
	End     int64    // of the spill
	Bytes   int64
	Read    state.Tally
	Rejects []state.Reject
	Asked   []string
}

// key tells apart what must not be mixed.
func (r *folderReader) key() (string, error) {
	build := []string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		build = append(build, info.Main.Version)
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" || s.Key == "vcs.modified" {
				build = append(build, s.Value)
			}
		}
	}
	all, err := json.Marshal(struct {
		Format, CodeMaps string
		Build            []string
		Inputs           []input
	}{spillFormat, r.m.maps.Hash(), build, r.inputs})
	if err != nil {
		return "", fmt.Errorf("checkpoint: %w", err)
	}
	sum := sha256.Sum256(all)
	return hex.EncodeToString(sum[:]), nil
}

func (r *folderReader) path() string { return filepath.Join(r.options.Work, "read.json") }

// checkpoint writes everything that waits and notes how far it goes.
func (r *folderReader) checkpoint(whole bool) error {
	if err := r.f.spill.flush(); err != nil || r.options.Work == "" {
		return err
	}
	if err := r.f.spill.file.Sync(); err != nil {
		return fmt.Errorf("temporary file: %w", err)
	}
	raw, err := json.Marshal(progress{Key: r.f.Key, At: r.at, Whole: whole, End: r.f.spill.end, Bytes: r.f.Bytes,
		Read: r.f.Read, Rejects: r.f.Rejects, Asked: slices.Sorted(maps.Keys(r.f.asked))})
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	next := r.path() + ".next"
	if err := os.WriteFile(next, raw, 0o600); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if err := os.Rename(next, r.path()); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	r.saved = r.f.Bytes
	return nil
}

// resume takes up what an earlier reader left; whole says that it had read
// everything. A checkpoint of other inputs, code maps or another build counts
// for nothing, and the spill begins anew.
func (r *folderReader) resume() (whole bool, err error) {
	if r.options.Work == "" {
		return false, nil
	}
	if r.f.Key, err = r.key(); err != nil {
		return false, err
	}
	var p progress
	raw, err := os.ReadFile(r.path())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, r.f.spill.resume(0)
	case err != nil:
		return false, fmt.Errorf("checkpoint: %w", err)
	}
	if json.Unmarshal(raw, &p) != nil || p.Key != r.f.Key {
		return false, r.f.spill.resume(0)
	}
	if err := r.f.spill.resume(p.End); err != nil {
		return false, err
	}
	r.at, r.f.Bytes, r.saved, r.f.Read, r.f.Rejects = p.At, p.Bytes, p.Bytes, p.Read, p.Rejects
	for _, kind := range p.Asked {
		r.f.asked[kind] = true
	}
	for _, b := range r.f.spill.blocks {
		if b.Pile != sharedPile {
			continue
		}
		items, err := r.f.spill.read(b)
		if err != nil {
			return false, err
		}
		if err := items.each(r.lookAgain); err != nil {
			return false, err
		}
	}
	return p.Whole, nil
}

// lookAgain takes a shared resource from the spill; it was counted before.
func (r *folderReader) lookAgain(it item) error {
	if _, err := r.f.origin(&it); err != nil {
		return err
	}
	raw := []byte(it.text)
	h := inspect(raw, nil)
	d, err := r.m.decode(&h, raw)
	if err != nil {
		return errDamaged
	}
	r.f.shared.newest(newEntry(&h, d, raw, state.Origin{}))
	return nil
}
