// SPDX-License-Identifier: Apache-2.0

package main

// This file: what `cohort build` keeps of finished patients, so that after a
// kill it neither maps them again nor counts them differently.

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// patientNote is patientRows without the rows, counted together.
type patientNote struct {
	Rows   int                    `json:"rows"`
	Stays  int                    `json:"stays"`
	Seen   [state.NumFeatures]int `json:"seen"`
	Tally  state.Tally            `json:"tally"`
	Drugs  []drugNote             `json:"drugs"`
	Delays []delayNote            `json:"delays"`
}

type drugNote struct {
	N          int
	Drug, Unit string
	Vasoactive bool
	Known      bool
	Why        string
}

type delayNote struct {
	N int
	fhir.Delay
}

// openLog opens the log of finished parts of a folder. It holds for one
// export, one build of this program and one configuration.
func (b *cohortBuilder) openLog(work string, folder *fhir.Folder, source string) (*cohort.Log, error) {
	all, err := json.Marshal(struct {
		Folder, Source string
		State          state.Config
	}{folder.Key, source, b.cfg})
	if err != nil {
		return nil, fmt.Errorf("log of rows: %w", err)
	}
	sum := sha256.Sum256(all)
	return cohort.OpenLog(filepath.Join(work, "rows"), hex.EncodeToString(sum[:]))
}

// writeBatch logs the patients of one part.
func writeBatch(log *cohort.Log, patients []patientRows) error {
	notes := make([]patientNote, len(patients))
	total := 0
	for _, p := range patients {
		total += len(p.rows)
	}
	rows := make([]cohort.Row, 0, total)
	for i, p := range patients {
		n := &notes[i]
		n.Rows, n.Stays, n.Seen, n.Tally = len(p.rows), p.stays, p.seen, p.tally
		rows = append(rows, p.rows...)
		for d, count := range counted(p.drugs) {
			n.Drugs = append(n.Drugs, drugNote{N: count, Drug: d.drug, Unit: d.unit, Vasoactive: d.vasoactive, Known: d.known, Why: d.why})
		}
		for d, count := range counted(p.delays) {
			n.Delays = append(n.Delays, delayNote{count, d})
		}
	}
	return log.Append(rows, notes)
}

// counted counts equal things.
func counted[T comparable](list []T) map[T]int {
	out := map[T]int{}
	for _, v := range list {
		out[v]++
	}
	return out
}

// readBatch reads the patients of one finished part again.
func readBatch(log *cohort.Log, i int) ([]patientRows, error) {
	var notes []patientNote
	rows, err := log.Batch(i, &notes)
	if err != nil {
		return nil, err
	}
	out := make([]patientRows, len(notes))
	for i, n := range notes {
		if n.Rows > len(rows) {
			return nil, fmt.Errorf("log of rows: %w", cohort.ErrCorrupt)
		}
		p := &out[i]
		p.rows, rows = rows[:n.Rows], rows[n.Rows:]
		p.stays, p.seen, p.tally = n.Stays, n.Seen, n.Tally
		for _, d := range n.Drugs {
			for range d.N {
				p.drugs = append(p.drugs, drugRow{drug: d.Drug, unit: d.Unit, vasoactive: d.Vasoactive, known: d.Known, why: d.Why})
			}
		}
		for _, d := range n.Delays {
			for range d.N {
				p.delays = append(p.delays, d.Delay)
			}
		}
	}
	return out, nil
}
