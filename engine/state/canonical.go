// SPDX-License-Identifier: Apache-2.0

package state

// This file: the canonical bytes of a timeline, which receipts name by digest
// and cohorts store.

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
)

// Canonical returns the timeline as JSON that is the same for equal timelines:
// fields in order of declaration, map keys sorted, numbers in shortest form,
// times in UTC. The error names a number that JSON cannot hold.
func (tl *Timeline) Canonical() ([]byte, error) {
	short := *tl
	short.Steps = nil
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(&short); err != nil {
		return nil, fmt.Errorf("canonical timeline: %w", err)
	}
	before, after, _ := bytes.Cut(bytes.TrimSuffix(buf.Bytes(), []byte("\n")), []byte(stepsMark))
	out := append(append(make([]byte, 0, 1<<15), before...), `,"steps":`...)
	out, err := appendSteps(out, tl.Steps)
	if err != nil {
		return nil, fmt.Errorf("canonical timeline: %w", err)
	}
	return append(append(out, `,"present":`...), after...), nil
}

// Digest returns the SHA-256 of Canonical in lower-case hex.
func (tl *Timeline) Digest() (string, error) {
	b, err := tl.Canonical()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// Last returns the last step, the one that ends at At.
func (tl *Timeline) Last() *Step { return &tl.Steps[len(tl.Steps)-1] }

func sortedGaps(gaps []Gap) []Gap {
	out := slices.Clone(gaps)
	slices.SortFunc(out, func(x, y Gap) int { return cmp.Or(cmp.Compare(x.What, y.What), cmp.Compare(x.Reason, y.Reason)) })
	return slices.Compact(out)
}
