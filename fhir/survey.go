// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: the survey of a folder that was read: how many patients it has, in
// how many parts they have to be mapped, and what each hospital charts.

import "strings"

// survey reads through the spill once: what is charted where, and in how many
// parts it has to be mapped.
func (f *Folder) survey() error {
	f.spill.piles = [partitions + 1]pile{} // nothing waits any more: their room goes
	byPile := map[int][]block{}
	for _, b := range f.spill.blocks {
		byPile[b.Pile] = append(byPile[b.Pile], b)
	}
	for n := range partitions {
		var places facility
		size := 0
		patients := map[string]bool{}
		for _, b := range byPile[n] {
			size += b.Size
			r, err := f.spill.read(b)
			if err != nil {
				return err
			}
			err = r.each(func(it item) error {
				patients[it.patient] = true
				return places.take(it)
			})
			if err != nil {
				return err
			}
		}
		places.sum(f)
		f.patients += len(patients)
		of := (size + partBytes - 1) / partBytes
		for i := range of {
			f.parts = append(f.parts, partOf{pile: n, part: i, of: of})
		}
	}
	return nil
}

// facility is where the patients of a partition were and what was charted.
type facility struct {
	hospitals, parents map[string]string // by Encounter id
	charted            map[string]Charting
}

func (p *facility) take(it item) error {
	if p.charted == nil {
		*p = facility{map[string]string{}, map[string]string{}, map[string]Charting{}}
	}
	switch it.tag {
	case tagEncounter:
		id := it.word()
		// An encounter may come in two versions: neither order may matter.
		p.hospitals[id] = max(p.hospitals[id], it.word())
		p.parents[id] = max(p.parents[id], it.word())
	case tagCharted:
		id := it.word()
		c := p.charted[id]
		c.Infusions += int(it.uvarint())
		c.Fluids += int(it.uvarint())
		p.charted[id] = c
	}
	if it.bad {
		return errDamaged
	}
	return nil
}

// sum adds what is charted to the hospitals of the folder.
func (p *facility) sum(f *Folder) {
	for encounter, c := range p.charted {
		hospital := ""
		for id, n := encounter, 0; n < 4 && id != "" && hospital == ""; id, n = p.parents[id], n+1 {
			hospital = p.hospitals[id]
		}
		f.total.Infusions += c.Infusions
		f.total.Fluids += c.Fluids
		at, known := f.charting[hospital]
		at.Infusions += c.Infusions
		at.Fluids += c.Fluids
		if !known {
			hospital = strings.Clone(hospital) // else it holds the block that it was read from
		}
		f.charting[hospital] = at
	}
}

// chartingAt says what a hospital charts; for an unknown one, what the whole
// folder does.
func (f *Folder) chartingAt(hospital string) (Charting, bool) {
	if hospital == "" {
		return f.total, true
	}
	return f.charting[hospital], true
}
