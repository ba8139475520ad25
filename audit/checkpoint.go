// SPDX-License-Identifier: Apache-2.0

package audit

// This file: the signed head of the tree, as a C2SP tlog-checkpoint
// (origin, size and root in a signed note), and the Ed25519 note keys.

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint is the head of the tree at one size.
type Checkpoint struct {
	Origin string    // name of the log; equals the key's name
	Size   int64     // number of leaves
	Root   tlog.Hash // RFC 6962 tree head
}

// Text is the unsigned checkpoint: origin, size and root, a line each.
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, c.Root)
}

// Sign signs the checkpoint as a note. The key's name must be the origin.
func (c Checkpoint) Sign(key *Key) ([]byte, error) {
	if c.Origin != key.Name() {
		return nil, fmt.Errorf("%w: it is named %q, the log %q", ErrKey, key.Name(), c.Origin)
	}
	signed, err := note.Sign(&note.Note{Text: c.Text()}, key.signer)
	if err != nil {
		return nil, fmt.Errorf("%w: sign checkpoint: %v", ErrKey, err)
	}
	return signed, nil
}

// OpenCheckpoint checks the signature of a signed checkpoint and reads it.
// Errors wrap ErrCheckpoint.
func OpenCheckpoint(signed []byte, v *Verifier) (Checkpoint, error) {
	n, err := note.Open(signed, v.verifiers())
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %v", ErrCheckpoint, err)
	}
	c, err := parseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	if !v.signs(c.Size, n.Sigs) {
		return Checkpoint{}, fmt.Errorf("%w: signed by a key that was not the log's at size %d", ErrCheckpoint, c.Size)
	}
	if c.Origin != v.Name() {
		return Checkpoint{}, fmt.Errorf("%w: origin %q, key of %q", ErrCheckpoint, c.Origin, v.Name())
	}
	return c, nil
}

// parseCheckpoint reads the text of a checkpoint. Extension lines, which the
// format allows, are refused: this log never writes them.
func parseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return Checkpoint{}, fmt.Errorf("%w: not three lines", ErrCheckpoint)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || lines[1] != strconv.FormatInt(size, 10) {
		return Checkpoint{}, fmt.Errorf("%w: bad size", ErrCheckpoint)
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil || root.String() != lines[2] { // base64 has several spellings of one hash
		return Checkpoint{}, fmt.Errorf("%w: bad root", ErrCheckpoint)
	}
	return Checkpoint{Origin: lines[0], Size: size, Root: root}, nil
}

// Key signs checkpoints. Whoever has it can write a history that verifies:
// keep it off the disk the log is on where you can, mode 0600, never in the
// configuration file itself.
type Key struct {
	signer   note.Signer
	verifier *Verifier
}

// Verifier checks checkpoints. It is public.
type Verifier struct {
	verifier note.Verifier
	vkey     string
	ring     []ringKey // of a log whose key was replaced; see Follow
}

// Name is the origin the key signs for.
func (k *Key) Name() string { return k.signer.Name() }

// Verifier gives the public half.
func (k *Key) Verifier() *Verifier { return k.verifier }

// String hides the key when it is printed.
func (k *Key) String() string { return "<audit key " + k.Name() + ">" }

// Name is the origin the key verifies for.
func (v *Verifier) Name() string { return v.verifier.Name() }

// String is the public key in note form: name+hash+base64.
func (v *Verifier) String() string { return v.vkey }

// NewKey makes a key for a log called origin (no spaces, no plus sign).
// random nil means the system's source.
func NewKey(random io.Reader, origin string) (*Key, string, error) {
	if random == nil {
		random = rand.Reader
	}
	if origin == "" || strings.ContainsFunc(origin, func(r rune) bool { return r <= ' ' || r > '~' || r == '+' }) {
		return nil, "", fmt.Errorf("%w: origin %q must be printable ASCII without spaces or +", ErrKey, origin)
	}
	skey, _, err := note.GenerateKey(random, origin)
	if err != nil {
		return nil, "", fmt.Errorf("%w: generate: %v", ErrKey, err)
	}
	key, err := ParseKey(skey)
	return key, skey, err
}

// ParseKey reads a private key in note form. The error never holds key bytes.
func ParseKey(skey string) (*Key, error) {
	skey = strings.TrimSpace(skey)
	signer, err := note.NewSigner(skey)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrKey, err)
	}
	// PRIVATE+KEY+name+hash+base64, and base64 may itself hold plus signs.
	parts := strings.SplitN(skey, "+", 5)
	raw, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(raw) != 1+ed25519.SeedSize {
		return nil, fmt.Errorf("%w: not an Ed25519 note key", ErrKey)
	}
	public := ed25519.NewKeyFromSeed(raw[1:]).Public().(ed25519.PublicKey)
	vkey, err := note.NewEd25519VerifierKey(signer.Name(), public)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrKey, err)
	}
	verifier, err := ParseVerifier(vkey)
	if err != nil {
		return nil, err
	}
	return &Key{signer: signer, verifier: verifier}, nil
}

// ParseVerifier reads a public key in note form.
func ParseVerifier(vkey string) (*Verifier, error) {
	vkey = strings.TrimSpace(vkey)
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("%w: public key: %v", ErrKey, err)
	}
	return &Verifier{verifier: v, vkey: vkey}, nil
}

// CreateKeyFile makes a key and writes it to path with mode 0600. A file that
// is already there is never overwritten (ErrExists).
func CreateKeyFile(path, origin string) (*Key, error) {
	key, skey, err := NewKey(nil, origin)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("key file %s: %w", path, ErrExists)
	}
	if err != nil {
		return nil, fmt.Errorf("create audit key: %w", err)
	}
	_, err = f.WriteString(skey + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("write audit key: %w", err)
	}
	return key, nil
}

// ReadKeyFile reads a private key. A file that anybody but its owner and a
// group (a secret that Kubernetes mounts, mode 0440) may read, or anybody but
// its owner may write, is refused.
func ReadKeyFile(path string) (*Key, error) {
	data, err := readSecretFile(path)
	if err != nil {
		return nil, err
	}
	return ParseKey(string(data))
}

// readSecretFile reads a file that nobody else may read.
func readSecretFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	if info.Mode().Perm()&0o037 != 0 {
		return nil, fmt.Errorf("%w: %s is open to others (hint: chmod 600, or 440 for a group of the service's own)", ErrKey, path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return data, nil
}
