// SPDX-License-Identifier: Apache-2.0

package world

// This file: hospitals that a model is not to see in training, so that it can
// be judged on hospitals that are new to it. A hospital's fold depends on its
// id alone, as a patient's split depends on the patient's.

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
)

const hospitalFoldSalt = "sepsisagent hospital fold 1\x00"

// LeaveOut names the hospitals that training is not to see: fold Fold of Of.
// The zero value leaves nobody out.
type LeaveOut struct {
	Fold int `json:"fold"` // 1 to Of
	Of   int `json:"of"`
}

// ParseLeaveOut reads "K/N".
func ParseLeaveOut(text string) (l LeaveOut, err error) {
	if n, err := fmt.Sscanf(text, "%d/%d", &l.Fold, &l.Of); n != 2 || err != nil || text != l.String() {
		return LeaveOut{}, fmt.Errorf("hospitals to leave out: %q is not K/N, as in 1/5", text)
	}
	return l, l.check()
}

// String writes the fold as ParseLeaveOut reads it.
func (l LeaveOut) String() string { return fmt.Sprintf("%d/%d", l.Fold, l.Of) }

func (l LeaveOut) check() error {
	if l != (LeaveOut{}) && (l.Of < 2 || l.Of > 1000 || l.Fold < 1 || l.Fold > l.Of) {
		return errors.New("hospitals to leave out: want K/N with N from 2 to 1000 and K from 1 to N")
	}
	return nil
}

// out tells whether a row is of a hospital that is left out. Simulated
// patients belong to no hospital and stay.
func (l LeaveOut) out(row *cohort.Row) bool {
	if l.Of == 0 || row.Synthetic {
		return false
	}
	sum := sha256.Sum256([]byte(hospitalFoldSalt + row.Hospital))
	return int(binary.BigEndian.Uint64(sum[:8])%uint64(l.Of)) == l.Fold-1
}

// newHospital is the part of rows that are left out with their hospital.
const newHospital cohort.Split = "new hospital"

// part is the part of a row once hospitals are left out.
func (l LeaveOut) part(row *cohort.Row) cohort.Split {
	if l.out(row) {
		return newHospital
	}
	return row.Part
}
