// SPDX-License-Identifier: Apache-2.0

package audit

// This file: how an entry becomes a leaf of the tree. A leaf holds salted
// digests only, so the tree can be shown to anybody, and it stays verifiable
// when a record's content and salt are erased one day.

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	// MinSaltBytes is the least entropy an entry may be salted with. Patient
	// and user ids are guessable; an unsalted digest of them is no secret.
	MinSaltBytes = 16
	// MaxBodyBytes is the largest body of one entry, 64 MiB.
	MaxBodyBytes = 64 << 20
	// MaxIDBytes is the longest id of an entry.
	MaxIDBytes = 128
	// leafHeader is the first line of every leaf and names its version.
	leafHeader = "sepsisagent-leaf/1"
)

// Leaf is what the tree commits to for one entry. Each digest is
// HMAC-SHA-256 keyed with the entry's salt; SaltCommitment is the SHA-256 of
// the salt, so that a wrong salt is told apart from a wrong body.
type Leaf struct {
	ID             string
	IndexDigest    [sha256.Size]byte
	BodyDigest     [sha256.Size]byte
	SaltCommitment [sha256.Size]byte
}

// EncodeIndex gives the bytes of an index as they are stored and hashed: JSON
// with fields in the order of the struct, empty ones left out, time in UTC.
func EncodeIndex(ix Index) ([]byte, error) {
	ix.Time = ix.Time.UTC().Round(0)
	data, err := json.Marshal(ix)
	if err != nil {
		return nil, fmt.Errorf("%w index of entry: %v", ErrInvalid, err)
	}
	return data, nil
}

// DecodeIndex reads what EncodeIndex wrote. A key that this build does not
// know is an error: a record must not be shown with a part left out.
func DecodeIndex(data []byte) (Index, error) {
	var ix Index
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&ix); err != nil {
		return Index{}, fmt.Errorf("%w index bytes: %v", ErrInvalid, err)
	}
	return ix, nil
}

// Validate says whether an entry may be appended. Errors wrap ErrInvalid.
func (e Entry) Validate() error {
	id := e.Index.ID
	switch {
	case id == "":
		return fmt.Errorf("%w entry: no id", ErrInvalid)
	case len(id) > MaxIDBytes:
		return fmt.Errorf("%w entry: id of %d bytes, at most %d", ErrInvalid, len(id), MaxIDBytes)
	case strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fmt.Errorf("%w entry: id must be printable ASCII without spaces", ErrInvalid)
	case e.Index.Kind == "":
		return fmt.Errorf("%w entry: no kind", ErrInvalid)
	case e.Index.Time.IsZero():
		return fmt.Errorf("%w entry: no time", ErrInvalid)
	case e.Index.Time.Year() < 2000 || e.Index.Time.Year() > 2200:
		return fmt.Errorf("%w entry: time outside the years 2000 to 2200", ErrInvalid)
	case len(e.Salt) < MinSaltBytes:
		return fmt.Errorf("%w entry: salt of %d bytes, at least %d", ErrInvalid, len(e.Salt), MinSaltBytes)
	case len(e.Body) > MaxBodyBytes:
		return fmt.Errorf("%w entry: body of %d bytes, at most %d", ErrInvalid, len(e.Body), MaxBodyBytes)
	}
	return nil
}

// MakeLeaf computes the leaf of an entry whose index has already been encoded.
func MakeLeaf(id string, index, salt, body []byte) Leaf {
	return Leaf{
		ID:             id,
		IndexDigest:    digest(salt, "index", index),
		BodyDigest:     digest(salt, "body", body),
		SaltCommitment: sha256.Sum256(append([]byte("salt\x00"), salt...)),
	}
}

// digest keeps index and body apart by a label, so that bytes of the one can
// never be passed off as the other.
func digest(salt []byte, label string, data []byte) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, salt)
	mac.Write([]byte(label))
	mac.Write([]byte{0})
	mac.Write(data)
	mac.Sum(sum[:0])
	return sum
}

// Bytes is the canonical encoding of the leaf: five lines of ASCII.
func (l Leaf) Bytes() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n%s\n", leafHeader, l.ID)
	for _, d := range [][sha256.Size]byte{l.IndexDigest, l.BodyDigest, l.SaltCommitment} {
		b.WriteString(base64.StdEncoding.EncodeToString(d[:]))
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// ParseLeaf reads what Bytes wrote, byte for byte. Errors wrap ErrInvalid.
func ParseLeaf(data []byte) (Leaf, error) {
	lines := strings.Split(string(data), "\n")
	if len(lines) != 6 || lines[0] != leafHeader {
		return Leaf{}, fmt.Errorf("%w leaf: not five lines of %s", ErrInvalid, leafHeader)
	}
	l := Leaf{ID: lines[1]}
	for i, d := range []*[sha256.Size]byte{&l.IndexDigest, &l.BodyDigest, &l.SaltCommitment} {
		raw, err := base64.StdEncoding.DecodeString(lines[2+i])
		if err != nil || len(raw) != sha256.Size {
			return Leaf{}, fmt.Errorf("%w leaf: line %d is no digest", ErrInvalid, 3+i)
		}
		*d = [sha256.Size]byte(raw)
	}
	if !bytes.Equal(l.Bytes(), data) { // base64 has several spellings of one digest
		return Leaf{}, fmt.Errorf("%w leaf: not as it is written", ErrInvalid)
	}
	return l, nil
}

// Hash is the RFC 6962 leaf hash: SHA-256(0x00 || Bytes).
func (l Leaf) Hash() tlog.Hash { return tlog.RecordHash(l.Bytes()) }

// LeafOf computes the leaf of an entry.
func LeafOf(e Entry) (Leaf, error) {
	index, err := EncodeIndex(e.Index)
	if err != nil {
		return Leaf{}, err
	}
	return MakeLeaf(e.Index.ID, index, e.Salt, e.Body), nil
}

// Row is the searchable side of a stored entry with its place in the tree.
type Row struct {
	Leaf     int64  `json:"leaf"`
	LeafHash string `json:"leafHash"` // base64
	Index    Index  `json:"index"`
}

// Record is a whole stored entry.
type Record struct {
	Row
	Salt []byte `json:"salt"`
	Body []byte `json:"body"`
}

// Entry gives back what was appended.
func (r Record) Entry() Entry { return Entry{Index: r.Index, Salt: r.Salt, Body: r.Body} }
