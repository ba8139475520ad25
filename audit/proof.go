// SPDX-License-Identifier: Apache-2.0

package audit

// This file: inclusion and consistency proofs (RFC 6962) in a form that can be
// sent as JSON and checked by anybody who holds the public key.

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// Inclusion proves that a leaf is in the tree a checkpoint speaks of.
type Inclusion struct {
	Leaf       int64       `json:"leaf"`
	LeafHash   tlog.Hash   `json:"leafHash"`
	Path       []tlog.Hash `json:"path"`
	Checkpoint string      `json:"checkpoint"` // signed note of the tree's size and root
}

// Check verifies the checkpoint's signature and the proof against it.
// Errors wrap ErrCheckpoint or ErrProof.
func (p Inclusion) Check(v *Verifier) (Checkpoint, error) {
	c, err := OpenCheckpoint([]byte(p.Checkpoint), v)
	if err != nil {
		return Checkpoint{}, err
	}
	if err := tlog.CheckRecord(tlog.RecordProof(p.Path), c.Size, c.Root, p.Leaf, p.LeafHash); err != nil {
		return Checkpoint{}, fmt.Errorf("%w: leaf %d in tree of %d", ErrProof, p.Leaf, c.Size)
	}
	return c, nil
}

// Consistency proves that the tree of the newer checkpoint begins with the
// tree of the older: nothing was removed, changed or put in between.
type Consistency struct {
	Older string      `json:"older"` // signed note
	Newer string      `json:"newer"` // signed note
	Path  []tlog.Hash `json:"path"`
}

// Check verifies both signatures and the proof.
// Errors wrap ErrCheckpoint or ErrProof.
func (p Consistency) Check(v *Verifier) error {
	older, err := OpenCheckpoint([]byte(p.Older), v)
	if err != nil {
		return fmt.Errorf("older: %w", err)
	}
	newer, err := OpenCheckpoint([]byte(p.Newer), v)
	if err != nil {
		return fmt.Errorf("newer: %w", err)
	}
	return CheckConsistency(older, newer, p.Path)
}

// CheckConsistency verifies a consistency path between two heads. An empty
// older tree is consistent with everything.
func CheckConsistency(older, newer Checkpoint, path []tlog.Hash) error {
	switch {
	case older.Size > newer.Size:
		return fmt.Errorf("%w: %d entries now, %d before", ErrProof, newer.Size, older.Size)
	case older.Size == 0:
		return nil
	}
	err := tlog.CheckTree(tlog.TreeProof(path), newer.Size, newer.Root, older.Size, older.Root)
	if err != nil {
		return fmt.Errorf("%w: the tree of %d entries is not the beginning of the tree of %d", ErrProof, older.Size, newer.Size)
	}
	return nil
}
