// SPDX-License-Identifier: Apache-2.0

package cohort

// This file: the one split used everywhere. It depends on the patient alone,
// so that all stays of a patient are on one side, whatever the data set, its
// order or the seed.

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Split is the part of the data a patient belongs to.
type Split string

// The parts: 70 % to fit, 15 % to choose and calibrate, 15 % to report.
const (
	Train Split = "train"
	Val   Split = "val"
	Test  Split = "test"
)

// The salts are fixed for ever: another salt is another split, and a model's
// list of training patients would no longer be recognised.
const (
	splitSalt   = "sepsisagent split 1\x00"
	patientSalt = "sepsisagent patient 1\x00"
)

// Part returns the split of a patient by its id.
func Part(patientID string) Split {
	sum := sha256.Sum256([]byte(splitSalt + patientID))
	switch n := binary.BigEndian.Uint64(sum[:8]) % 100; {
	case n < 70:
		return Train
	case n < 85:
		return Val
	}
	return Test
}

// PatientHash is how a model names a patient it was trained on: 16 hex digits
// of a salted SHA-256. It recognises a patient whose id is at hand; it is not
// an anonymisation of ids that can be guessed.
func PatientHash(patientID string) string {
	sum := sha256.Sum256([]byte(patientSalt + patientID))
	return hex.EncodeToString(sum[:8])
}
