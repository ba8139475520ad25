// SPDX-License-Identifier: Apache-2.0

package sqllog

// This file: the form of a brief. All numbers are varints:
//
//	1 (the form)
//	strings: how many, and each with its length before it
//	shapes: how many, and of each the numbers of its eight strings, how many
//	        reasons, and the numbers of those
//	entries: how many, and of each 4·shape + 2·(it refers) + shown, the time after
//	        that of the entry before it in ns, and the references it has
//
// A reference is 1 and the 16 bytes of a UUID, or 0 and a string. The same entries
// give the same bytes.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/sepsisagent/sepsisagent/audit"
)

const briefForm = 1

var errBrief = errors.New("what is counted cannot be read")

// packer makes a brief.
type packer struct {
	texts  []byte
	text   map[string]uint64
	shapes []byte
	shape  map[string]uint64 // by its bytes
	rows   []byte
	n      uint64
	timeNs int64
}

func (p *packer) add(c audit.Counted) {
	if p.text == nil {
		p.text, p.shape = map[string]uint64{}, map[string]uint64{}
	}
	var shape []byte
	for _, s := range c.Texts() {
		shape = binary.AppendUvarint(shape, p.number(*s))
	}
	shape = binary.AppendUvarint(shape, uint64(len(c.Reasons)))
	for _, s := range c.Reasons {
		shape = binary.AppendUvarint(shape, p.number(s))
	}
	k, ok := p.shape[string(shape)]
	if !ok {
		k = uint64(len(p.shape))
		p.shape[string(shape)] = k
		p.shapes = append(p.shapes, shape...)
	}
	k <<= 2
	refers := c.Refers != audit.Ref{}
	if refers {
		k |= 2
	}
	if c.Shown {
		k |= 1
	}
	p.rows = binary.AppendUvarint(p.rows, k)
	p.rows = binary.AppendVarint(p.rows, c.TimeNs-p.timeNs)
	p.timeNs = c.TimeNs
	if c.Shown || refers {
		p.rows = appendRef(p.rows, c.ID)
	}
	if refers {
		p.rows = appendRef(appendRef(p.rows, c.Refers), c.Card)
	}
	p.n++
}

// number is the number of a string, which is added if it is new.
func (p *packer) number(s string) uint64 {
	n, ok := p.text[s]
	if !ok {
		n = uint64(len(p.text))
		p.text[strings.Clone(s)] = n
		p.texts = append(binary.AppendUvarint(p.texts, uint64(len(s))), s...)
	}
	return n
}

func appendRef(b []byte, r audit.Ref) []byte {
	if r.UUID != uuid.Nil {
		return append(append(b, 1), r.UUID[:]...)
	}
	return append(binary.AppendUvarint(append(b, 0), uint64(len(r.Text))), r.Text...)
}

// bytes is the brief.
func (p *packer) bytes() []byte {
	out := binary.AppendUvarint([]byte{briefForm}, uint64(len(p.text)))
	out = append(out, p.texts...)
	out = append(binary.AppendUvarint(out, uint64(len(p.shape))), p.shapes...)
	return append(binary.AppendUvarint(out, p.n), p.rows...)
}

// want is what is to be read of a brief.
type want struct {
	test         func(s *audit.Shape, shown bool) bool
	since, until int64 // ns, both in it
	each         func(*audit.Counted)
}

// unpack calls want.each with the entries of a brief that it wants. A brief comes
// from a database that may have been changed: it is read with nothing believed.
func unpack(brief []byte, w want) error {
	if len(brief) == 0 || brief[0] != briefForm {
		return fmt.Errorf("%w: another form", errBrief)
	}
	r := reader{bytes: brief, at: 1}
	texts := r.texts()
	shapes := make([]audit.Shape, r.length(9))
	var reasons []string                   // of all shapes
	wanted := make([][2]bool, len(shapes)) // without a card, with one
	for i := range shapes {
		s := &shapes[i]
		for _, into := range s.Texts() {
			*into = r.text(texts)
		}
		if n := r.length(1); n > 0 {
			from := len(reasons)
			for range n {
				reasons = append(reasons, r.text(texts))
			}
			s.Reasons = reasons[from:len(reasons):len(reasons)]
		}
		wanted[i] = [2]bool{w.test(s, false), w.test(s, true)}
	}
	var c audit.Counted
	named := false // the entry before this has an id
	for range r.length(2) {
		k := r.uvarint()
		c.TimeNs += r.varint()
		shape, shown, refers := k>>2, k&1, k&2 != 0
		if shape >= uint64(len(shapes)) || r.failed {
			r.fail()
			break
		}
		c.Shape, c.Shown = &shapes[shape], shown == 1
		if c.Shown || refers || named {
			c.ID, c.Refers, c.Card = audit.Ref{}, audit.Ref{}, audit.Ref{}
		}
		if named = c.Shown || refers; named {
			r.ref(&c.ID)
		}
		if refers {
			r.ref(&c.Refers)
			r.ref(&c.Card)
		}
		if wanted[shape][shown] && c.TimeNs >= w.since && c.TimeNs <= w.until && !r.failed {
			w.each(&c)
		}
	}
	if r.failed || r.left() > 0 {
		return fmt.Errorf("%w: it ends too early, too late or is not one", errBrief)
	}
	return nil
}

// reader reads what may be anything; once it failed it gives zeros.
type reader struct {
	bytes  []byte
	at     int // of bytes, what is read next
	failed bool
}

func (r *reader) left() int { return len(r.bytes) - r.at }

func (r *reader) fail() {
	r.failed, r.at = true, len(r.bytes)
}

func (r *reader) uvarint() uint64 {
	if r.at < len(r.bytes) && r.bytes[r.at] < 0x80 { // most
		r.at++
		return uint64(r.bytes[r.at-1])
	}
	return r.long()
}

// long reads a number of several bytes.
func (r *reader) long() uint64 {
	v, n := binary.Uvarint(r.bytes[r.at:])
	if n <= 0 {
		r.fail()
		return 0
	}
	r.at += n
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.bytes[r.at:])
	if n <= 0 {
		r.fail()
		return 0
	}
	r.at += n
	return v
}

// length reads how many there are of what takes at least each bytes.
func (r *reader) length(each int) int {
	n := r.uvarint()
	if n > uint64(r.left()/each) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(r.left()) {
		r.fail()
		return nil
	}
	r.at += int(n)
	return r.bytes[r.at-int(n) : r.at]
}

// texts reads the strings of a brief into one piece of memory.
func (r *reader) texts() []string {
	out := make([]string, r.length(1))
	ends, all := make([]int, len(out)), []byte(nil)
	for i := range out {
		all = append(all, r.take(r.uvarint())...)
		ends[i] = len(all)
	}
	whole, from := string(all), 0
	for i, to := range ends {
		out[i], from = whole[from:to], to
	}
	return out
}

func (r *reader) text(texts []string) string {
	k := r.uvarint()
	if k >= uint64(len(texts)) {
		r.fail()
		return ""
	}
	return texts[k]
}

func (r *reader) ref(into *audit.Ref) {
	if r.left() > len(into.UUID) && r.bytes[r.at] == 1 {
		into.UUID = uuid.UUID(r.bytes[r.at+1:])
		r.at += 1 + len(into.UUID)
		return
	}
	if r.uvarint() != 0 {
		r.fail()
	}
	into.Text = string(r.take(r.uvarint()))
}
