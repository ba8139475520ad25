// SPDX-License-Identifier: Apache-2.0

package state

// This file: the canonical bytes of a timeline, which receipts name by digest
// and cohorts store.

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
)

// Canonical returns the timeline as JSON that is the same for equal timelines:
// fields in order of declaration, map keys sorted, numbers in shortest form,
// times in UTC. The error names a number that JSON cannot hold.
func (tl *Timeline) Canonical() ([]byte, error) {
	w := jsonText{buf: make([]byte, 0, 1<<15)}
	w.timeline(tl, w.step)
	if w.err != nil {
		return nil, fmt.Errorf("canonical timeline: %w", w.err)
	}
	return w.buf, nil
}

// timeline writes a timeline; step writes one of its steps to w.
func (w *jsonText) timeline(tl *Timeline, step func(*Step)) {
	w.time(`{"at":`, tl.At)
	w.text(`,"patient":`, tl.PatientID)
	w.text(`,"stay":`, tl.StayID)
	w.textIf(`,"unit":`, tl.Unit)
	w.number(`,"age":`, tl.AgeYears)
	w.flag(`,"ageknown":`, tl.AgeKnown)
	w.textIf(`,"sex":`, tl.Sex)
	w.flagIf(`,"synthetic":`, tl.Synthetic)
	w.number(`,"hours":`, tl.HoursInICU)
	w.raw(`,"steps":`)
	switch {
	case tl.Steps == nil:
		w.raw(`null`)
	case len(tl.Steps) == 0:
		w.raw(`[]`)
	default:
		for i := range tl.Steps {
			w.buf = append(w.buf, separator(i))
			step(&tl.Steps[i])
		}
		w.raw(`]`)
	}
	w.present(`,"present":`, &tl.Present)
	for i, g := range tl.Gaps {
		if i == 0 {
			w.raw(`,"gaps":`)
		}
		w.buf = append(w.buf, separator(i))
		w.text(`{"what":`, g.What)
		w.text(`,"reason":`, g.Reason)
		w.raw(`}`)
	}
	if len(tl.Gaps) > 0 {
		w.raw(`]`)
	}
	w.raw(`}`)
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
