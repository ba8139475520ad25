// SPDX-License-Identifier: Apache-2.0

package smart

// This file: the ring of our keys, as a YAML file names them, each with its
// part in a rotation; and the public set that EHRs read.

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sepsisagent/sepsisagent/configs"
)

// Status is the part of a key in a rotation.
type Status string

// The statuses, in the order of a key's life.
const (
	StatusNext    Status = "next"    // published, so that EHRs know it before it signs
	StatusCurrent Status = "current" // published, and signs
	StatusOld     Status = "old"     // published until it is retired; signs nothing
)

// ringFile is the file that names the keys.
type ringFile struct {
	// Keys in any order. Each algorithm has at most one current key.
	Keys []struct {
		// File holds the private key; a relative path is beside the ring file.
		File string `yaml:"file"`
		// Status: next, current or old.
		Status Status `yaml:"status"`
		// KID replaces the id of the key. Default: the thumbprint of RFC 7638.
		KID string `yaml:"kid"`
		// Until ends the publication of an old key. Default: until removed.
		Until time.Time `yaml:"until"`
	} `yaml:"keys"`
}

// ringKey is a key of the ring.
type ringKey struct {
	*Key
	status Status
	until  time.Time
}

// Ring holds our keys. It is safe for concurrent use.
type Ring struct {
	path string

	mu    sync.RWMutex // guards what follows
	keys  []ringKey
	print [sha256.Size]byte // of the bytes the keys were read from
	turn  uint64            // counts the changes
}

// OpenRing reads a ring file and the keys it names. Keys that others may read
// are refused (configs.ReadSecret). Errors wrap ErrKeys.
func OpenRing(path string) (*Ring, error) {
	r := &Ring{path: path}
	_, err := r.Reload()
	return r, err
}

// OneKey is a ring of a single current key, for a command that is run once.
func OneKey(k *Key) *Ring { return &Ring{keys: []ringKey{{Key: k, status: StatusCurrent}}} }

// Reload reads the files again and reports whether anything changed. On an
// error the ring stays as it was: a half-written file must not take the keys
// away. Errors wrap ErrKeys.
func (r *Ring) Reload() (changed bool, err error) {
	if r.path == "" {
		return false, nil
	}
	keys, print, err := readRing(r.path)
	if err != nil {
		return false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if print == r.print {
		return false, nil
	}
	r.keys, r.print = keys, print
	r.turn++
	return true, nil
}

// readRing reads everything; print covers every byte that was read.
func readRing(path string) (keys []ringKey, print [sha256.Size]byte, err error) {
	fail := func(err error) ([]ringKey, [sha256.Size]byte, error) {
		return nil, print, fmt.Errorf("%w: %s: %w", ErrKeys, path, err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fail(err)
	}
	var file ringFile
	if err := configs.Decode(data, &file); err != nil {
		return fail(err)
	}
	hash := sha256.New()
	hash.Write(data)
	for i, entry := range file.Keys {
		name := entry.File
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(path), name)
		}
		secret, err := configs.ReadSecret(name)
		if err != nil {
			return fail(fmt.Errorf("key %d: %w", i+1, err))
		}
		k, err := ParseKey(secret)
		if err != nil {
			return fail(fmt.Errorf("key %d, %s: %w", i+1, entry.File, err))
		}
		if entry.KID != "" {
			k.named(entry.KID)
		}
		if !entry.Until.IsZero() && entry.Status != StatusOld {
			return fail(fmt.Errorf("key %d: until is for old keys only", i+1))
		}
		keys = append(keys, ringKey{k, entry.Status, entry.Until})
		sum := sha256.Sum256(secret)
		hash.Write(sum[:])
	}
	if err := checkRing(keys); err != nil {
		return fail(err)
	}
	hash.Sum(print[:0])
	return keys, print, nil
}

// checkRing demands one current key at least, at most one for each algorithm,
// and no id twice: an EHR must never have to choose.
func checkRing(keys []ringKey) error {
	current, ids := map[string]bool{}, map[string]bool{}
	for i, k := range keys {
		switch {
		case k.status != StatusNext && k.status != StatusCurrent && k.status != StatusOld:
			return fmt.Errorf("key %d: status %q is not next, current or old", i+1, k.status)
		case ids[k.ID]:
			return fmt.Errorf("key %d: another key has its id", i+1)
		case k.status == StatusCurrent && current[k.Algorithm]:
			return fmt.Errorf("key %d: a second current key for %s (hint: make one of them next or old)", i+1, k.Algorithm)
		}
		ids[k.ID] = true
		if k.status == StatusCurrent {
			current[k.Algorithm] = true
		}
	}
	if len(current) == 0 {
		return errors.New("no key is current (hint: status: current)")
	}
	return nil
}

// generation counts the changes of the ring.
func (r *Ring) generation() uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.turn
}

// signer is the current key for an algorithm: the one that is registered, or,
// where that is empty, the first of those that the EHR takes, ES384 before
// RS384. No list: the EHR does not say.
func (r *Ring) signer(registered string, taken []string) (*Key, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var best *Key
	for _, k := range r.keys {
		if k.status == StatusCurrent && (registered == "" || k.Algorithm == registered) &&
			(len(taken) == 0 || slices.Contains(taken, k.Algorithm)) && (best == nil || k.Algorithm < best.Algorithm) {
			best = k.Key
		}
	}
	switch {
	case best != nil:
		return best, nil
	case len(taken) == 0:
		return nil, fmt.Errorf("%w: no current key signs %s", ErrKeys, registered)
	case registered != "":
		return nil, fmt.Errorf("%w: no current key signs %s, or the EHR takes only %s", ErrKeys, registered, words(taken))
	}
	return nil, fmt.Errorf("%w: the EHR takes only %s, which no current key signs", ErrKeys, words(taken))
}

// words are algorithm names of an EHR, bounded for an error text.
func words(list []string) string { return fmt.Sprintf("%.100q", strings.Join(list, " ")) }

// PublicSet is our public key set (RFC 7517) at a moment: every key but those
// whose publication has ended. The bytes depend on the keys alone and not on
// their order in the file. A nil ring gives the empty set.
func (r *Ring) PublicSet(now time.Time) []byte {
	public := []publicKey{}
	if r != nil {
		r.mu.RLock()
		for _, k := range r.keys {
			if k.until.IsZero() || now.Before(k.until) {
				public = append(public, k.public)
			}
		}
		r.mu.RUnlock()
	}
	slices.SortFunc(public, func(a, b publicKey) int { return bytes.Compare([]byte(a.Kid), []byte(b.Kid)) })
	set, err := json.Marshal(map[string]any{"keys": public})
	if err != nil {
		return []byte(`{"keys":[]}`) // cannot be: the members are strings
	}
	return set
}

// Keys lists the keys as `id (algorithm, status)`, for a report.
func (r *Ring) Keys() []string {
	if r == nil {
		return nil
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []string
	for _, k := range r.keys {
		out = append(out, fmt.Sprintf("%s (%s, %s)", k.ID, k.Algorithm, k.status))
	}
	return out
}
