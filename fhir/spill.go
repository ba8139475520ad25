// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: spill, the temporary file that sorts what a folder holds by
// patient. Patients are spread over partitions by a hash of their id. What is
// read waits in one pile per partition; a full pile is appended to the file as
// a block that can be read by itself. So memory is bounded by the piles while
// reading and by one part of a partition while mapping, whatever the size of
// the folder and the order of its lines.

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

const (
	partitionBits = 7
	partitions    = 1 << partitionBits
	// sharedPile holds what belongs to no patient and is referred to by all.
	sharedPile = partitions
	// pileBytes is how much waits in a pile before it is written.
	pileBytes = 96 << 10
	// partBytes is how much of a partition is mapped at a time; a larger
	// partition is read in several parts.
	partBytes = 8 << 20
)

// tag says what an item of a block is.
type tag byte

const (
	tagRaw       tag = iota // a line as received
	tagEntry                // a decoded Observation or MedicationAdministration
	tagPassed               // how many Observations were of no interest
	tagEncounter            // an encounter with its hospital and the one it is part of
	tagCharted              // what is charted at an encounter
)

// place of a block in the file, without its header.
type block struct {
	At   int64
	Size int
	Pile int
}

// blockHeader: pile, size, checksum.
const blockHeader = 2 + 4 + 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// patientHash orders and spreads patients. It is part of what a cohort file's
// order means and never changes.
func patientHash(id string) uint64 {
	var room [96]byte
	sum := sha256.Sum256(append(append(room[:0], "sepsisagent partition 1\x00"...), id...))
	return binary.BigEndian.Uint64(sum[:8])
}

// comparePatients is the order in which patients are handed out.
func comparePatients(a, b string) int {
	return cmp.Or(cmp.Compare(patientHash(a), patientHash(b)), cmp.Compare(a, b))
}

// spill is written by one goroutine; after flush, reading is safe for many.
type spill struct {
	file   *os.File
	piles  [partitions + 1]pile
	end    int64
	blocks []block
	once   sync.Once
	last   struct { // written to
		patient string
		pile    int
	}
}

// pile is what waits for one partition.
type pile struct {
	words   dictionary
	items   []byte
	body    []byte // of the item being written
	passed  map[string]int
	charted map[[2]string]Charting // by patient and encounter
}

// openSpill opens the spill of a work folder, or one without a name for "".
func openSpill(work string) (*spill, error) {
	var f *os.File
	var err error
	if work == "" {
		f, err = os.CreateTemp("", "sepsisagent-*.spill")
	} else {
		f, err = os.OpenFile(filepath.Join(work, "spill"), os.O_RDWR|os.O_CREATE, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("temporary file (hint: set TMPDIR to a disk with room): %w", err)
	}
	if work == "" {
		// Where the system allows it the name goes at once, so that a killed
		// process leaves no patient data behind.
		_ = os.Remove(f.Name())
	}
	s := &spill{file: f}
	for i := range s.piles {
		p := &s.piles[i]
		p.words.reset()
		p.passed, p.charted = map[string]int{}, map[[2]string]Charting{}
	}
	return s, nil
}

func (s *spill) pile(patient string) (*pile, int) {
	switch {
	case patient == "":
		return &s.piles[sharedPile], sharedPile
	case s.last.patient != patient: // as a rule the lines of one patient come together
		s.last.patient, s.last.pile = patient, int(patientHash(patient)>>(64-partitionBits))
	}
	return &s.piles[s.last.pile], s.last.pile
}

// item ends an item whose body was written to p.body.
func (p *pile) item(patient string, t tag) {
	p.items = p.words.word(p.items, patient)
	p.items = append(p.items, byte(t))
	p.items = binary.AppendUvarint(p.items, uint64(len(p.body)))
	p.items = append(p.items, p.body...)
}

// raw keeps a line as received.
func (s *spill) raw(patient string, file, line int, raw []byte) error {
	p, n := s.pile(patient)
	p.body = binary.AppendUvarint(p.body[:0], uint64(file))
	p.body = binary.AppendUvarint(p.body, uint64(line))
	p.body = append(p.body, raw...)
	p.item(patient, tagRaw)
	return s.full(p, n)
}

// entry keeps a decoded resource.
func (s *spill) entry(patient string, file int, e *entry) error {
	p, n := s.pile(patient)
	p.body = binary.AppendUvarint(p.body[:0], uint64(file))
	p.body = binary.AppendUvarint(p.body, uint64(e.origin.Line))
	p.body = p.words.appendEntry(p.body, e)
	p.item(patient, tagEntry)
	return s.full(p, n)
}

// pass counts an Observation of no interest.
func (s *spill) pass(patient string) {
	p, _ := s.pile(patient)
	p.passed[patient]++
}

// encounter keeps where a patient was.
func (s *spill) encounter(patient, id, hospital, parent string) {
	p, _ := s.pile(patient)
	p.body = p.words.word(p.body[:0], id)
	p.body = p.words.word(p.body, hospital)
	p.body = p.words.word(p.body, parent)
	p.item(patient, tagEncounter)
}

// chart adds to what is charted at an encounter.
func (s *spill) chart(patient, encounter string, c Charting) {
	p, _ := s.pile(patient)
	sum := p.charted[[2]string{patient, encounter}]
	sum.Infusions += c.Infusions
	sum.Fluids += c.Fluids
	p.charted[[2]string{patient, encounter}] = sum
}

func (s *spill) full(p *pile, n int) error {
	if len(p.items) < pileBytes {
		return nil
	}
	return s.write(p, n)
}

// write appends a pile to the file as one block.
func (s *spill) write(p *pile, n int) error {
	for _, patient := range slices.Sorted(maps.Keys(p.passed)) {
		p.body = binary.AppendUvarint(p.body[:0], uint64(p.passed[patient]))
		p.item(patient, tagPassed)
	}
	keys := slices.SortedFunc(maps.Keys(p.charted), func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	for _, k := range keys {
		p.body = p.words.word(p.body[:0], k[1])
		p.body = binary.AppendUvarint(p.body, uint64(p.charted[k].Infusions))
		p.body = binary.AppendUvarint(p.body, uint64(p.charted[k].Fluids))
		p.item(k[0], tagCharted)
	}
	if len(p.items) == 0 {
		return nil
	}
	payload := make([]byte, blockHeader, blockHeader+len(p.words.bytes)+len(p.items)+binary.MaxVarintLen64)
	payload = binary.AppendUvarint(payload, uint64(len(p.words.bytes)))
	payload = append(append(payload, p.words.bytes...), p.items...)
	body := payload[blockHeader:]
	binary.LittleEndian.PutUint16(payload, uint16(n))
	binary.LittleEndian.PutUint32(payload[2:], uint32(len(body)))
	binary.LittleEndian.PutUint32(payload[6:], crc32.Checksum(body, castagnoli))
	if _, err := s.file.WriteAt(payload, s.end); err != nil {
		return fmt.Errorf("temporary file (hint: set TMPDIR to a disk with room): %w", err)
	}
	s.blocks = append(s.blocks, block{At: s.end, Size: len(body), Pile: n})
	s.end += int64(len(payload))
	p.words.reset()
	p.items = p.items[:0]
	clear(p.passed)
	clear(p.charted)
	return nil
}

// flush writes everything that waits.
func (s *spill) flush() error {
	for n := range s.piles {
		if err := s.write(&s.piles[n], n); err != nil {
			return err
		}
	}
	return nil
}

// resume takes up a spill of which end bytes are good.
func (s *spill) resume(end int64) error {
	if err := s.file.Truncate(end); err != nil {
		return fmt.Errorf("temporary file: %w", err)
	}
	var header [blockHeader]byte
	for s.end = 0; s.end < end; {
		if _, err := s.file.ReadAt(header[:], s.end); err != nil {
			return fmt.Errorf("%w: %w", errDamaged, err)
		}
		b := block{At: s.end, Size: int(binary.LittleEndian.Uint32(header[2:])), Pile: int(binary.LittleEndian.Uint16(header[:]))}
		if s.end += int64(blockHeader + b.Size); s.end > end || b.Pile > sharedPile {
			return errDamaged
		}
		s.blocks = append(s.blocks, b)
	}
	return nil
}

// blockBuffers hold blocks between the file and the string that is kept.
var blockBuffers = sync.Pool{New: func() any { return new([]byte) }}

// read returns the content of a block.
func (s *spill) read(b block) (*spillReader, error) {
	room := blockBuffers.Get().(*[]byte)
	defer blockBuffers.Put(room)
	*room = slices.Grow((*room)[:0], blockHeader+b.Size)
	buf := (*room)[:blockHeader+b.Size]
	if _, err := s.file.ReadAt(buf, b.At); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("temporary file: %w", err)
	}
	body := buf[blockHeader:]
	if binary.LittleEndian.Uint32(buf[6:]) != crc32.Checksum(body, castagnoli) {
		return nil, errDamaged
	}
	r := &spillReader{text: string(body)}
	r.dictionary(r.uvarint())
	if r.bad {
		return nil, errDamaged
	}
	return r, nil
}

// item is one item of a block, to be read with the block's words.
type item struct {
	patient string
	tag     tag
	spillReader
}

// each calls use for the items of a block.
func (r *spillReader) each(use func(item) error) error {
	for len(r.text) > 0 {
		it := item{patient: r.word()}
		if t := r.take(1); t != "" {
			it.tag = tag(t[0])
		}
		it.text, it.words = r.inline(), r.words
		if r.bad {
			return errDamaged
		}
		if err := use(it); err != nil {
			return err
		}
	}
	return nil
}

func (s *spill) close() error {
	var err error
	s.once.Do(func() { err = s.file.Close() })
	return err
}
