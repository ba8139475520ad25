// SPDX-License-Identifier: Apache-2.0

// Package audit is the tamper-evident log of everything this service answered:
// what an entry is, how it becomes a leaf of an RFC 6962 Merkle tree, how the
// tree's head is signed, how inclusion and consistency are proved, and what a
// verification reports. Stores live in subpackages named after their
// technology (audit/sqlite).
//
// It is a leaf package and knows nothing of medicine: it sees bytes and the
// fields by which they can be found.
//
// What it trusts: the signing key, and nothing else. Whoever holds only the
// database can change bytes, but not so that Verify with the public key stays
// silent; whoever also holds the key can rewrite history, but not so that an
// earlier checkpoint kept elsewhere still fits (see CheckConsistency).
package audit

import "errors"

// Errors of every store. Stores wrap them; test with errors.Is.
var (
	// ErrMissing: there is no log at the place named. A log is made on
	// purpose, by `sepsisagent audit init`, never by a server at start: an
	// empty log that quietly takes the place of a full one is how records
	// get lost.
	ErrMissing = errors.New("audit log missing (hint: run `sepsisagent audit init` once, or restore the backup)")
	// ErrExists: a log or key is already there; it is never overwritten.
	ErrExists = errors.New("audit log already exists (hint: choose another path; an existing log is never overwritten)")
	// ErrDuplicate: an entry with this id is already in the log. Nothing was
	// written. For feedback sent twice this is success.
	ErrDuplicate = errors.New("entry already in the log")
	// ErrNotFound: no entry with this id or leaf number.
	ErrNotFound = errors.New("no such entry")
	// ErrInvalid: the entry or filter breaks a rule of this package; the text
	// says which.
	ErrInvalid = errors.New("invalid")
	// ErrRolledBack: the log is shorter than, or differs from, a checkpoint
	// that was seen before. Do not serve on it: restore the newest backup and
	// find out what was lost.
	ErrRolledBack = errors.New("audit log is not a continuation of the checkpoint seen before (hint: a backup was restored or records were removed; see `sepsisagent audit verify`)")
	// ErrKey: the signing or verifying key is unreadable or is not the one
	// the log was made with.
	ErrKey = errors.New("audit key unusable")
	// ErrCheckpoint: a checkpoint is malformed or its signature does not hold.
	ErrCheckpoint = errors.New("audit checkpoint unusable")
	// ErrProof: an inclusion or consistency proof does not hold.
	ErrProof = errors.New("audit proof does not hold")
	// ErrErased: the entry was erased; its digests and the entry that records
	// the erasure are what is left. It comes with ErrNotFound.
	ErrErased = errors.New("entry was erased")
	// ErrSealed: the body is stored encrypted, with a key that is not here.
	ErrSealed = errors.New("entry's body is encrypted with a key that is not here (hint: audit.encryption_key_files)")
	// ErrWitness: a witness did not answer, or refused, or what it signed does
	// not hold.
	ErrWitness = errors.New("audit witness")
	// ErrClosed: the log was closed; the entry was not written.
	ErrClosed = errors.New("audit log closed")
)
