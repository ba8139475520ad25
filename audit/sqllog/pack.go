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
	r := reader{rest: brief[1:]}
	texts := make([]string, r.length(1))
	for i := range texts {
		texts[i] = string(r.take(r.uvarint()))
	}
	shapes := make([]audit.Shape, r.length(9))
	wanted := make([][2]bool, len(shapes)) // without a card, with one
	for i := range shapes {
		s := &shapes[i]
		for _, into := range s.Texts() {
			*into = r.text(texts)
		}
		if n := r.length(1); n > 0 {
			s.Reasons = make([]string, n)
			for k := range s.Reasons {
				s.Reasons[k] = r.text(texts)
			}
		}
		wanted[i] = [2]bool{w.test(s, false), w.test(s, true)}
	}
	var c audit.Counted
	named := false // the entry before this has an id
	for range r.length(2) {
		k := r.uvarint()
		c.TimeNs += r.varint()
		shape, shown, refers := k>>2, k&1, k&2 != 0
		if shape >= uint64(len(shapes)) {
			r.failed = true
		}
		if r.failed {
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
	if r.failed || len(r.rest) > 0 {
		return fmt.Errorf("%w: it ends too early, too late or is not one", errBrief)
	}
	return nil
}

// reader reads what may be anything; once it failed it gives zeros.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) uvarint() uint64 {
	if len(r.rest) > 0 && r.rest[0] < 0x80 { // most
		v := r.rest[0]
		r.rest = r.rest[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.failed, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.failed, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// length reads how many there are of what takes at least each bytes.
func (r *reader) length(each int) int {
	n := r.uvarint()
	if n > uint64(len(r.rest)/each) {
		r.failed, r.rest = true, nil
		return 0
	}
	return int(n)
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.failed, r.rest = true, nil
		return nil
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

func (r *reader) text(texts []string) string {
	k := r.uvarint()
	if k >= uint64(len(texts)) {
		r.failed = true
		return ""
	}
	return texts[k]
}

func (r *reader) ref(into *audit.Ref) {
	if tag := r.take(1); len(tag) == 1 && tag[0] == 1 {
		copy(into.UUID[:], r.take(uint64(len(into.UUID))))
		return
	}
	into.Text = string(r.take(r.uvarint()))
}
