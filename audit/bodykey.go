// SPDX-License-Identifier: Apache-2.0

package audit

// This file: bodies stored encrypted. What the tree commits to is the body as it
// was given; only what lies on the disk is encrypted (AES-256-GCM), so that
// proofs do not depend on a key, and a key can be changed.

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// What begins a file with a key for bodies: the key in base64, or its id and the
// key as a KeyCommand wrapped it.
const (
	bodyKeyHeader    = "sepsisagent-body-key/1 "
	wrappedKeyHeader = "sepsisagent-wrapped-body-key/1 "
)

// bodyKeyBytes is the length of an AES-256 key.
const bodyKeyBytes = 32

// BodyKeys encrypt and open bodies. The first key encrypts; all open. Nonces are
// random, 96 bits: one key is good for 2^32 bodies, more than a log holds.
type BodyKeys struct {
	first string
	boxes map[string]cipher.AEAD
}

// NewBodyKeys takes keys of 32 bytes each, the one that encrypts first.
func NewBodyKeys(keys ...[]byte) (*BodyKeys, error) {
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: no key for bodies", ErrKey)
	}
	k := &BodyKeys{boxes: map[string]cipher.AEAD{}}
	for i, key := range keys {
		if len(key) != bodyKeyBytes {
			return nil, fmt.Errorf("%w: a key for bodies has %d bytes", ErrKey, bodyKeyBytes)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrKey, err)
		}
		box, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrKey, err)
		}
		id := bodyKeyID(key)
		if i == 0 {
			k.first = id
		}
		k.boxes[id] = box
	}
	return k, nil
}

// bodyKeyID names a key without telling it.
func bodyKeyID(key []byte) string {
	sum := sha256.Sum256(append([]byte("sepsisagent body key\x00"), key...))
	return hex.EncodeToString(sum[:8])
}

// Current is the id of the key that encrypts.
func (k *BodyKeys) Current() string { return k.first }

// Has says whether a body under this key can be opened.
func (k *BodyKeys) Has(keyID string) bool {
	if k == nil {
		return false
	}
	_, ok := k.boxes[keyID]
	return ok
}

// String hides the keys when they are printed.
func (k *BodyKeys) String() string { return "<audit body keys, current " + k.first + ">" }

// Seal encrypts the body of an entry under the current key. The box opens for
// this entry alone: its id and the digest in its leaf are authenticated too.
func (k *BodyKeys) Seal(id string, digest [sha256.Size]byte, body []byte) (keyID string, box []byte) {
	return k.first, k.boxes[k.first].Seal(nil, nil, body, sealedFor(k.first, id, digest))
}

// Open decrypts a body. Errors: ErrSealed where the key is not here, ErrProof
// where the box was changed or is another entry's.
func (k *BodyKeys) Open(keyID, id string, digest [sha256.Size]byte, box []byte) ([]byte, error) {
	if !k.Has(keyID) {
		return nil, fmt.Errorf("%w: key %s", ErrSealed, keyID)
	}
	body, err := k.boxes[keyID].Open(nil, nil, box, sealedFor(keyID, id, digest))
	if err != nil {
		return nil, fmt.Errorf("%w: the encrypted body of %s was changed", ErrProof, id)
	}
	return body, nil
}

func sealedFor(keyID, id string, digest [sha256.Size]byte) []byte {
	return append([]byte("sepsisagent-body/1\x00"+keyID+"\x00"+id+"\x00"), digest[:]...)
}

// CreateBodyKeyFile makes a key for bodies and writes it to path with mode 0600.
// A file that is there is never overwritten (ErrExists). Without the key, what was
// encrypted with it cannot be read again: back it up, elsewhere than the log.
// With a command the file holds the key wrapped, and it is made sure that the
// command opens it again.
func CreateBodyKeyFile(ctx context.Context, path string, command KeyCommand) (id string, err error) {
	key := make([]byte, bodyKeyBytes)
	if _, err := rand.Read(key); err != nil {
		return "", err
	}
	return bodyKeyID(key), writeBodyKeyFile(ctx, path, key, command)
}

// RewrapBodyKeyFile writes the key of one file into a new one: wrapped by the
// command as it wraps now, or plain where there is none but the old file is plain.
func RewrapBodyKeyFile(ctx context.Context, from, to string, command KeyCommand) (id string, err error) {
	key, err := readBodyKeyFile(ctx, from, command)
	if err != nil {
		return "", err
	}
	return bodyKeyID(key), writeBodyKeyFile(ctx, to, key, command)
}

func writeBodyKeyFile(ctx context.Context, path string, key []byte, command KeyCommand) error {
	text := bodyKeyHeader + base64.StdEncoding.EncodeToString(key)
	if len(command) > 0 {
		id := bodyKeyID(key)
		box, err := command.run(ctx, opWrap, id, key)
		if err != nil {
			return err
		}
		if bytes.Contains(box, key) {
			return fmt.Errorf("%w: %s does not encrypt the key", ErrKey, command[0])
		}
		if _, err := unwrap(ctx, id, box, command); err != nil {
			return err
		}
		text = wrappedKeyHeader + id + " " + base64.StdEncoding.EncodeToString(box)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("key file %s: %w", path, ErrExists)
	}
	if err != nil {
		return fmt.Errorf("create key for bodies: %w", err)
	}
	_, err = f.WriteString(text + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write key for bodies: %w", err)
	}
	return nil
}

// ReadBodyKeyFiles reads keys for bodies, the one that encrypts first. Files that
// others may read are refused, as for the signing key. Those that are wrapped are
// opened by the command. The error holds no key.
func ReadBodyKeyFiles(ctx context.Context, paths []string, command KeyCommand) (*BodyKeys, error) {
	var keys [][]byte
	for _, path := range paths {
		key, err := readBodyKeyFile(ctx, path, command)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return NewBodyKeys(keys...)
}

func readBodyKeyFile(ctx context.Context, path string, command KeyCommand) ([]byte, error) {
	data, err := readSecretFile(path)
	if err != nil {
		return nil, err
	}
	text := strings.TrimSpace(string(data))
	if box, ok := strings.CutPrefix(text, wrappedKeyHeader); ok {
		id, box, _ := strings.Cut(box, " ")
		if wrapped, err := base64.StdEncoding.DecodeString(box); err == nil && id != "" && box != "" {
			key, err := unwrap(ctx, id, wrapped, command)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			return key, nil
		}
	} else if plain, ok := strings.CutPrefix(text, bodyKeyHeader); ok {
		if key, err := base64.StdEncoding.DecodeString(plain); err == nil && len(key) == bodyKeyBytes {
			return key, nil
		}
	}
	return nil, fmt.Errorf("%w: %s is no key for bodies (hint: `sepsisagent audit encryption-key` makes one)", ErrKey, path)
}

// unwrap opens a wrapped key, and makes sure that it is the one it says.
func unwrap(ctx context.Context, id string, box []byte, command KeyCommand) ([]byte, error) {
	key, err := command.run(ctx, opUnwrap, id, box)
	if err != nil {
		return nil, err
	}
	if len(key) != bodyKeyBytes || bodyKeyID(key) != id {
		return nil, fmt.Errorf("%w: what %s gives is not key %s", ErrKey, command[0], id)
	}
	return key, nil
}
