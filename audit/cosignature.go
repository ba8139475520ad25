// SPDX-License-Identifier: Apache-2.0

package audit

// This file: cosignatures of witnesses (C2SP tlog-cosignature, Ed25519): a third
// party's statement that, at a time, the tree of a checkpoint was the largest it
// had seen of this log, and continued all it had seen before. Whoever holds our
// database and our key cannot make one.

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// cosignatureKind is the signature type of Ed25519 cosignatures in keys.
const cosignatureKind = 0x04

// WitnessKey checks the cosignatures of one witness. It is public.
type WitnessKey struct {
	name string
	hash uint32
	key  ed25519.PublicKey
	text string
}

var _ note.Verifier = (*WitnessKey)(nil)

// ParseWitnessKey reads a witness's public key in note form: name, eight hex
// digits and base64 of the type 4 and the Ed25519 key, joined by plus signs.
func ParseWitnessKey(vkey string) (*WitnessKey, error) {
	vkey = strings.TrimSpace(vkey)
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, fmt.Errorf("%w: a witness's key is name+hash+base64", ErrKey)
	}
	raw, err := base64.StdEncoding.DecodeString(parts[2])
	switch {
	case err != nil || len(raw) == 0:
		return nil, fmt.Errorf("%w: a witness's key ends in base64", ErrKey)
	case raw[0] != cosignatureKind || len(raw) != 1+ed25519.PublicKeySize:
		return nil, fmt.Errorf("%w: the key of witness %q is not one for Ed25519 cosignatures (type 4)", ErrKey, parts[0])
	case !validName(parts[0]):
		return nil, fmt.Errorf("%w: name of a witness", ErrKey)
	}
	sum := sha256.Sum256(append([]byte(parts[0]+"\n"), raw...))
	w := &WitnessKey{name: parts[0], hash: binary.BigEndian.Uint32(sum[:4]), key: raw[1:], text: vkey}
	if given, err := strconv.ParseUint(parts[1], 16, 32); err != nil || len(parts[1]) != 8 || uint32(given) != w.hash {
		return nil, fmt.Errorf("%w: the key of witness %q does not fit its hash", ErrKey, parts[0])
	}
	return w, nil
}

func validName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '+' })
}

// Name is the witness's name.
func (w *WitnessKey) Name() string { return w.name }

// KeyHash is the number by which signature lines name the key.
func (w *WitnessKey) KeyHash() uint32 { return w.hash }

// String is the public key in note form.
func (w *WitnessKey) String() string { return w.text }

// Verify checks a timestamped signature of the text of a checkpoint.
func (w *WitnessKey) Verify(text, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	at := binary.BigEndian.Uint64(sig)
	if at > math.MaxInt64 {
		return false
	}
	return ed25519.Verify(w.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, text), sig[8:])
}

// Cosignature is one line that a witness added to a checkpoint.
type Cosignature struct {
	Witness *WitnessKey
	Line    string // with its newline
}

// Check verifies the line for a signed checkpoint and says when it was made, by
// the witness's clock. Errors wrap ErrWitness.
func (c Cosignature) Check(checkpoint []byte) (time.Time, error) {
	got, err := c.Witness.Find(checkpoint, []byte(c.Line))
	if err != nil {
		return time.Time{}, err
	}
	return got.time()
}

// Find gives the witness's signature among the lines that were said to belong to a
// signed checkpoint. Lines of other keys are passed over. Errors wrap ErrWitness.
func (w *WitnessKey) Find(checkpoint, lines []byte) (Cosignature, error) {
	n, err := note.Open(append(append([]byte{}, checkpoint...), lines...), note.VerifierList(w))
	var unsigned *note.UnverifiedNoteError
	switch {
	case errors.As(err, &unsigned):
		return Cosignature{}, fmt.Errorf("%w %s: it signed nothing", ErrWitness, w.name)
	case err != nil:
		return Cosignature{}, fmt.Errorf("%w %s: %v", ErrWitness, w.name, err)
	}
	return Cosignature{Witness: w, Line: "\u2014 " + n.Sigs[0].Name + " " + n.Sigs[0].Base64 + "\n"}, nil
}

// time reads the time out of a line that was verified.
func (c Cosignature) time() (time.Time, error) {
	fields := strings.Fields(c.Line)
	raw, err := base64.StdEncoding.DecodeString(fields[len(fields)-1])
	if err != nil || len(raw) < 12 {
		return time.Time{}, fmt.Errorf("%w %s: no time in what it signed", ErrWitness, c.Witness.name)
	}
	return time.Unix(int64(binary.BigEndian.Uint64(raw[4:12])), 0).UTC(), nil
}
