// SPDX-License-Identifier: Apache-2.0

package export

// This file: NDJSON, one record a line with everything that was hashed, so that
// each line can be checked against the tree without the database.

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
)

// Schema names the form of a line of NDJSON.
const Schema = "sepsisagent.audit-export/1"

// maxLine bounds a line that is read back.
const maxLine = 4 * audit.MaxBodyBytes

// entry is a line. Stored are the bytes that were hashed, Body the same to be
// read; both and the salt are absent where they were erased or left out.
type entry struct {
	Schema   string           `json:"schema"`
	Leaf     int64            `json:"leaf"`
	LeafHash string           `json:"leafHash"`
	Index    audit.Index      `json:"index"`
	Salt     []byte           `json:"salt,omitempty"`
	Stored   []byte           `json:"stored,omitempty"`
	Body     json.RawMessage  `json:"body,omitempty"`
	Proof    *audit.Inclusion `json:"proof,omitempty"`

	erased []ErasedRecord // that the record says were erased; set when it was checked
}

func writeNDJSON(w io.Writer, events iter.Seq2[Event, error]) (int, error) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	n := 0
	for e, err := range events {
		if err != nil {
			return n, err
		}
		body, err := e.readable()
		if err != nil {
			return n, err
		}
		if err := enc.Encode(entry{Schema: Schema, Leaf: e.Leaf, LeafHash: e.LeafHash, Index: e.Index, Salt: e.Salt, Stored: e.Record.Body, Body: body, Proof: e.Proof}); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// Checked says what Verify found. A selection cannot show that nothing was left
// out of it; Whole says that no record before its last is missing, but for those
// whose erasure a line of the file records.
type Checked struct {
	OK       bool   `json:"ok"`
	Records  int    `json:"records"`  // lines that are in the signed tree
	Contents int    `json:"contents"` // of these with index and body as they were hashed; of the rest, erased or left out, nothing vouches for the index
	Whole    bool   `json:"whole"`
	Size     int64  `json:"size"`               // records in the newest tree that a line is proved by; the export itself is recorded in it
	BadLine  int    `json:"bad_line,omitempty"` // the first, from 1
	BadID    string `json:"bad_id,omitempty"`   // as the line says
	Problem  string `json:"problem,omitempty"`
	// Erased are the records that were erased from the log, as far as lines of the
	// file record it, in order of leaves.
	Erased []ErasedRecord `json:"erased,omitempty"`
}

// ErasedRecord is a record that was erased from the log.
type ErasedRecord struct {
	audit.ErasureRecord
	Receipt string    `json:"receipt"` // id of the record of the erasure
	Time    time.Time `json:"time"`    // of the erasure
	Here    bool      `json:"here"`    // the file holds it still: it was written before
}

// Verify checks an NDJSON export that was written with proofs: that each line's
// index, salt and body are what its leaf commits to, and that the leaf is in the
// tree that the log's key signed. Lines must rise by leaf, so that none is there
// twice. An error means that the file could not be read.
func Verify(r io.Reader, v *audit.Verifier) (Checked, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	c := Checked{OK: true}
	last := int64(-1)
	var leaves []int64 // of the lines, rising
	for lines.Scan() {
		var l entry
		head, err := l.read(lines.Bytes(), v, last)
		if err != nil {
			c.OK, c.BadLine, c.BadID, c.Problem = false, c.Records+1, l.Index.ID, err.Error()
			return c, nil
		}
		c.Records++
		if len(l.Salt) > 0 {
			c.Contents++
		}
		c.Erased = append(c.Erased, l.erased...)
		leaves = append(leaves, l.Leaf)
		last, c.Size = l.Leaf, max(c.Size, head.Size)
	}
	if err := lines.Err(); err != nil {
		return c, fmt.Errorf("read export: %w", err)
	}
	accounted := int64(c.Records)
	slices.SortFunc(c.Erased, func(a, b ErasedRecord) int {
		return cmp.Or(cmp.Compare(a.Leaf, b.Leaf), a.Time.Compare(b.Time))
	})
	c.Erased = slices.CompactFunc(c.Erased, func(a, b ErasedRecord) bool { return a.Leaf == b.Leaf })
	for i := range c.Erased { // each is before its erasure, and so before the last line
		if _, c.Erased[i].Here = slices.BinarySearch(leaves, c.Erased[i].Leaf); !c.Erased[i].Here {
			accounted++
		}
	}
	c.Whole = c.Records > 0 && accounted == last+1
	return c, nil
}

var errLine = errors.New("the line does not hold")

// read reads one line and checks it.
func (l *entry) read(text []byte, v *audit.Verifier, last int64) (audit.Checkpoint, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(l); err != nil {
		return audit.Checkpoint{}, fmt.Errorf("%w: %w", errLine, err)
	}
	if dec.InputOffset() != int64(len(text)) {
		return audit.Checkpoint{}, fmt.Errorf("%w: something follows the record", errLine)
	}
	return l.check(v, last)
}

func (l *entry) check(v *audit.Verifier, last int64) (audit.Checkpoint, error) {
	fail := func(why string) (audit.Checkpoint, error) {
		return audit.Checkpoint{}, fmt.Errorf("%w: %s", errLine, why)
	}
	switch {
	case l.Schema != Schema:
		return fail("it is not of schema " + Schema)
	case l.Leaf <= last:
		return fail("its record does not come after the one before it")
	case l.Proof == nil:
		return fail("it has no proof (hint: export with --proofs)")
	case l.Proof.Leaf != l.Leaf || l.Proof.LeafHash.String() != l.LeafHash:
		return fail("its proof is of another record")
	}
	head, err := l.Proof.Check(v)
	if err != nil {
		return head, err
	}
	if len(l.Salt) == 0 {
		if len(l.Stored) > 0 || len(l.Body) > 0 {
			return fail("it has a body that nothing vouches for")
		}
		return head, nil
	}
	leaf, err := audit.LeafOf(audit.Entry{Index: l.Index, Salt: l.Salt, Body: l.Stored})
	if err != nil {
		return head, err
	}
	if leaf.Hash().String() != l.LeafHash {
		return fail("index, salt or stored body are not what was hashed")
	}
	e, err := Read(audit.Record{Row: audit.Row{Leaf: l.Leaf, Index: l.Index}, Salt: l.Salt, Body: l.Stored})
	if err != nil {
		return head, err
	}
	body, err := e.readable()
	if err != nil {
		return head, err
	}
	if !sameJSON(body, l.Body) {
		return fail("the readable body is not the stored one")
	}
	return head, l.readErasure()
}

// readErasure notes what the record says was erased, if it is of an erasure.
func (l *entry) readErasure() error {
	if l.Index.Kind != audit.KindErasure {
		return nil
	}
	x, err := audit.DecodeErasure(l.Stored)
	if err != nil {
		return fmt.Errorf("%w: %w", errLine, err)
	}
	for _, one := range x.Records {
		if one.Leaf < 0 || one.Leaf >= l.Leaf {
			return fmt.Errorf("%w: it records the erasure of leaf %d, which is not before it", errLine, one.Leaf)
		}
		l.erased = append(l.erased, ErasedRecord{ErasureRecord: one, Receipt: l.Index.ID, Time: l.Index.Time})
	}
	return nil
}

// sameJSON compares without regard to white space.
func sameJSON(a, b json.RawMessage) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}
