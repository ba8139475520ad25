// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: how an entry is written to the spill and read again. What most
// records repeat is a word of the block's dictionary; what differs stands in
// place.

import (
	"encoding/binary"
	"errors"
	"math/bits"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

var errDamaged = errors.New("temporary file is damaged (hint: delete the work folder and start again)")

// recordTexts, recordAmounts and recordCodes list the members of a Record by
// type; a bit of a mask says which of them a record has. Type, ID and Origin
// are the entry's.
var (
	recordTexts = []func(*state.Record) *string{
		func(r *state.Record) *string { return &r.Status },
		func(r *state.Record) *string { return &r.Start },
		func(r *state.Record) *string { return &r.Encounter },
		func(r *state.Record) *string { return &r.Issued },
		func(r *state.Record) *string { return &r.MethodText },
		func(r *state.Record) *string { return &r.Text },
		func(r *state.Record) *string { return &r.End },
		func(r *state.Record) *string { return &r.Part },
		func(r *state.Record) *string { return &r.ValueText },
		func(r *state.Record) *string { return &r.Patient },
		func(r *state.Record) *string { return &r.ValueKind },
		func(r *state.Record) *string { return &r.Absent },
		func(r *state.Record) *string { return &r.Device },
	}
	recordAmounts = []func(*state.Record) **state.Quantity{
		func(r *state.Record) **state.Quantity { return &r.Value },
		func(r *state.Record) **state.Quantity { return &r.Dose },
		func(r *state.Record) **state.Quantity { return &r.Rate },
		func(r *state.Record) **state.Quantity { return &r.RatePer },
		func(r *state.Record) **state.Quantity { return &r.Volume },
		func(r *state.Record) **state.Quantity { return &r.Strength },
		func(r *state.Record) **state.Quantity { return &r.PumpRate },
		func(r *state.Record) **state.Quantity { return &r.DoseWeight },
	}
	recordCodes = []func(*state.Record) *[]state.Coding{
		func(r *state.Record) *[]state.Coding { return &r.Codes },
		func(r *state.Record) *[]state.Coding { return &r.Method },
		func(r *state.Record) *[]state.Coding { return &r.Site },
		func(r *state.Record) *[]state.Coding { return &r.Categories },
		func(r *state.Record) *[]state.Coding { return &r.ValueCodes },
		func(r *state.Record) *[]state.Coding { return &r.Tags },
	}
)

// inPlace are the recordTexts that seldom repeat.
const inPlace = 1<<1 | 1<<3 | 1<<6

const (
	amountBit = 16
	codesBit  = 32
	periodBit = 63
)

// dictionary numbers the words of one block.
type dictionary struct {
	numbers map[string]uint64
	bytes   []byte // each word with its length
}

// maxDictionaryWord keeps long texts out of the dictionary.
const maxDictionaryWord = 128

func (d *dictionary) reset() {
	if d.numbers == nil {
		d.numbers = map[string]uint64{}
	}
	clear(d.numbers)
	d.bytes = d.bytes[:0]
}

// word appends the number of a word: 0 for none, 1 for a text in place.
func (d *dictionary) word(buf []byte, s string) []byte {
	switch {
	case s == "":
		return append(buf, 0)
	case len(s) > maxDictionaryWord:
		return appendText(append(buf, 1), s)
	}
	n, ok := d.numbers[s]
	if !ok {
		n = uint64(len(d.numbers)) + 2
		d.numbers[s] = n
		d.bytes = appendText(d.bytes, s)
	}
	return binary.AppendUvarint(buf, n)
}

func appendText(buf []byte, s string) []byte {
	return append(binary.AppendUvarint(buf, uint64(len(s))), s...)
}

// appendEntry writes an entry of one of the two hot types.
func (d *dictionary) appendEntry(buf []byte, e *entry) []byte {
	buf = d.word(buf, e.kind)
	buf = appendText(buf, e.id)
	buf = appendText(buf, e.stamp)
	buf = append(buf, e.digest[:]...)
	buf = appendText(buf, e.decoded.specimen)
	buf = d.word(buf, e.decoded.drugRef)
	buf = d.word(buf, e.decoded.drugText)
	buf = binary.AppendUvarint(buf, uint64(len(e.decoded.records)))
	for i := range e.decoded.records {
		buf = d.appendRecord(buf, &e.decoded.records[i])
	}
	return buf
}

func (d *dictionary) appendRecord(buf []byte, r *state.Record) []byte {
	var mask uint64
	for i, at := range recordTexts {
		if *at(r) != "" {
			mask |= 1 << i
		}
	}
	for i, at := range recordAmounts {
		if *at(r) != nil {
			mask |= 1 << (amountBit + i)
		}
	}
	for i, at := range recordCodes {
		if len(*at(r)) > 0 {
			mask |= 1 << (codesBit + i)
		}
	}
	if r.IsPeriod {
		mask |= 1 << periodBit
	}
	buf = binary.AppendUvarint(buf, bits.RotateLeft64(mask, 1))
	for i, at := range recordTexts {
		switch {
		case mask&(1<<i) == 0:
		case inPlace&(1<<i) != 0:
			buf = appendText(buf, *at(r))
		default:
			buf = d.word(buf, *at(r))
		}
	}
	for i, at := range recordAmounts {
		if mask&(1<<(amountBit+i)) == 0 {
			continue
		}
		q := *at(r)
		buf = appendText(buf, q.Value)
		for _, s := range []string{q.Comparator, q.Unit, q.System, q.Code} {
			buf = d.word(buf, s)
		}
	}
	for i, at := range recordCodes {
		if mask&(1<<(codesBit+i)) == 0 {
			continue
		}
		list := *at(r)
		buf = binary.AppendUvarint(buf, uint64(len(list)))
		for _, c := range list {
			for _, s := range []string{c.System, c.Code, c.Display} {
				buf = d.word(buf, s)
			}
		}
	}
	return buf
}

// spillReader reads what a dictionary wrote. text is the bytes as one string,
// of which all texts read are parts.
type spillReader struct {
	text  string
	words []string
	bad   bool
}

func (r *spillReader) uvarint() uint64 {
	var v uint64
	for i := 0; i < len(r.text) && i < binary.MaxVarintLen64; i++ {
		c := r.text[i]
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			r.text = r.text[i+1:]
			return v
		}
	}
	r.fail()
	return 0
}

func (r *spillReader) fail() { r.bad, r.text = true, "" }

func (r *spillReader) take(n uint64) string {
	if n > uint64(len(r.text)) {
		r.fail()
		return ""
	}
	out := r.text[:n]
	r.text = r.text[n:]
	return out
}

func (r *spillReader) inline() string { return r.take(r.uvarint()) }

func (r *spillReader) word() string {
	switch n := r.uvarint(); {
	case n == 0:
		return ""
	case n == 1:
		return r.inline()
	case n-2 < uint64(len(r.words)):
		return r.words[n-2]
	}
	r.fail()
	return ""
}

// dictionary reads the words of a block.
func (r *spillReader) dictionary(n uint64) {
	list := spillReader{text: r.take(n)}
	for len(list.text) > 0 {
		r.words = append(r.words, list.inline())
	}
	r.bad = r.bad || list.bad
}

// entry reads an entry into the room of a store.
func (r *spillReader) entry(st *store) (*entry, error) {
	e := st.newEntry()
	e.decoded = st.newDecoded()
	e.kind, e.id, e.stamp = r.word(), r.inline(), r.inline()
	copy(e.digest[:], r.take(uint64(len(e.digest))))
	e.decoded.specimen, e.decoded.drugRef, e.decoded.drugText = r.inline(), r.word(), r.word()
	n := r.uvarint()
	if r.bad || n > uint64(len(r.text)) {
		return nil, errDamaged
	}
	e.decoded.records = st.newRecords(int(n))
	for i := range e.decoded.records {
		rec := &e.decoded.records[i]
		rec.Type, rec.ID = e.kind, e.id
		r.record(rec, st)
	}
	if r.bad {
		return nil, errDamaged
	}
	return e, nil
}

func (r *spillReader) record(rec *state.Record, st *store) {
	mask := bits.RotateLeft64(r.uvarint(), -1)
	rec.IsPeriod = mask&(1<<periodBit) != 0
	for i, at := range recordTexts {
		switch {
		case mask&(1<<i) == 0:
		case inPlace&(1<<i) != 0:
			*at(rec) = r.inline()
		default:
			*at(rec) = r.word()
		}
	}
	for rest := mask >> amountBit & (1<<len(recordAmounts) - 1); rest != 0; rest &= rest - 1 {
		q := st.newAmount()
		q.Value = r.inline()
		q.Comparator, q.Unit, q.System, q.Code = r.word(), r.word(), r.word(), r.word()
		*recordAmounts[bits.TrailingZeros64(rest)](rec) = q
	}
	for rest := mask >> codesBit & (1<<len(recordCodes) - 1); rest != 0; rest &= rest - 1 {
		n := r.uvarint()
		if n > uint64(len(r.text)) {
			r.fail()
			return
		}
		list := st.newCodings(int(n))
		for i := range list {
			list[i].System, list[i].Code, list[i].Display = r.word(), r.word(), r.word()
		}
		*recordCodes[bits.TrailingZeros64(rest)](rec) = list
	}
}
