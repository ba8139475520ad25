// SPDX-License-Identifier: Apache-2.0

package audit

// This file: replacing the key of a log. The old key and the new both sign one
// statement: up to this size the one signed checkpoints, from then on the other
// does. Who trusts either key can follow the statements to all others; a key that
// was taken from the log signs nothing more in it that anybody believes.

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// rotationHeader begins the statement, so that it is no checkpoint.
const rotationHeader = "sepsisagent audit key rotation/1"

// Rotation says that a log's key was replaced.
type Rotation struct {
	Origin   string
	Size     int64  // entries whose checkpoints the old key signed
	Old, New string // public keys in note form
}

func (r Rotation) text() string {
	return fmt.Sprintf("%s\n%s\n%d\n%s\n%s\n", rotationHeader, r.Origin, r.Size, r.Old, r.New)
}

// SignRotation has both keys sign that the one replaces the other from a size on.
// Errors wrap ErrKey.
func SignRotation(old, fresh *Key, size int64) ([]byte, error) {
	if old.Name() != fresh.Name() || old.Verifier().String() == fresh.Verifier().String() {
		return nil, fmt.Errorf("%w: the new key must be another, of the same name (%s)", ErrKey, old.Name())
	}
	r := Rotation{old.Name(), size, old.Verifier().String(), fresh.Verifier().String()}
	signed, err := note.Sign(&note.Note{Text: r.text()}, old.signer, fresh.signer)
	if err != nil {
		return nil, fmt.Errorf("%w: sign: %v", ErrKey, err)
	}
	return signed, nil
}

// OpenRotation reads a statement and checks that both keys it names signed it.
// Errors wrap ErrKey.
func OpenRotation(signed []byte) (Rotation, error) {
	text, _, _ := strings.Cut(string(signed), "\n\n")
	lines := strings.Split(text, "\n")
	if len(lines) != 5 || lines[0] != rotationHeader {
		return Rotation{}, fmt.Errorf("%w: not a statement that a key was replaced", ErrKey)
	}
	size, err := strconv.ParseInt(lines[2], 10, 64)
	r := Rotation{Origin: lines[1], Size: size, Old: lines[3], New: lines[4]}
	if err != nil || size < 0 {
		return Rotation{}, fmt.Errorf("%w: a key replaced at no size", ErrKey)
	}
	for _, vkey := range []string{r.Old, r.New} {
		v, err := ParseVerifier(vkey)
		if err != nil {
			return Rotation{}, err
		}
		signedText, err := v.OpenNote(signed)
		if err != nil || signedText != r.text() || v.Name() != r.Origin {
			return Rotation{}, fmt.Errorf("%w: a statement that a key was replaced is not signed by both keys", errors.Join(ErrKey, err))
		}
	}
	return r, nil
}

// ringKey is a key of a log with the sizes whose checkpoints it signs.
type ringKey struct {
	note.Verifier
	over, upTo int64 // signs sizes in (over, upTo]
}

// Follow gives the verifier of a log whose key was replaced: it takes the
// checkpoints of each key at the sizes that were that key's. first is the key that
// the log was made with. The verifier followed from must be one of the keys: what
// it did not lead to is not believed. Errors wrap ErrKey.
func (v *Verifier) Follow(first string, rotations [][]byte) (*Verifier, error) {
	now, err := ParseVerifier(first)
	if err != nil {
		return nil, err
	}
	known := v.vkey == now.vkey
	ring := []ringKey{{now.verifier, -1, math.MaxInt64}}
	for _, signed := range rotations {
		r, err := OpenRotation(signed)
		if err != nil {
			return nil, err
		}
		last := &ring[len(ring)-1]
		if r.Old != now.vkey || r.Size <= last.over || r.Origin != now.Name() {
			return nil, fmt.Errorf("%w: a key was replaced that was not the log's", ErrKey)
		}
		if now, err = ParseVerifier(r.New); err != nil {
			return nil, err
		}
		last.upTo = r.Size
		ring = append(ring, ringKey{now.verifier, r.Size, math.MaxInt64})
		known = known || v.vkey == now.vkey
	}
	if !known {
		return nil, fmt.Errorf("%w: the log was made with another key", ErrKey)
	}
	return &Verifier{verifier: now.verifier, vkey: now.vkey, ring: ring}, nil
}

// verifiers are all keys that a checkpoint can be signed by.
func (v *Verifier) verifiers() note.Verifiers {
	if len(v.ring) == 0 {
		return note.VerifierList(v.verifier)
	}
	list := make([]note.Verifier, len(v.ring))
	for i, k := range v.ring {
		list[i] = k
	}
	return note.VerifierList(list...)
}

// signs says whether one of the signatures is of the key that signs this size.
func (v *Verifier) signs(size int64, sigs []note.Signature) bool {
	if len(v.ring) == 0 {
		return true // there is but one key, and it was checked
	}
	for _, sig := range sigs {
		for _, k := range v.ring {
			if sig.Hash == k.KeyHash() && size > k.over && size <= k.upTo {
				return true
			}
		}
	}
	return false
}
