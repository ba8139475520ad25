// SPDX-License-Identifier: Apache-2.0

package oidc

// This file: boxes for what the browser keeps. They are sealed, so that no replica
// has to remember what is in them and nobody can read or change it.

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxBox bounds what is opened, in bytes of its text.
const maxBox = 16 << 10

// minSecret is how long a secret must be, in bytes.
const minSecret = 32

// Box seals with AES-256-GCM. What is sealed for one purpose opens for no other.
type Box struct {
	use    string
	secret func() []byte
	drawn  []byte
	random io.Reader
}

// NewBox derives a key for a use from a secret that others may derive theirs from.
// The secret is asked for each time: what was sealed with one that is no longer the
// secret does not open. Where there is none of at least 32 bytes, or secret is nil,
// it is one that was drawn for this box. random is crypto/rand where it is nil.
func NewBox(use string, secret func() []byte, random io.Reader) *Box {
	if random == nil {
		random = rand.Reader
	}
	return &Box{use, secret, []byte(rand.Text() + rand.Text()), random}
}

func (b *Box) aead() cipher.AEAD {
	secret := b.drawn
	if b.secret != nil {
		if given := b.secret(); len(given) >= minSecret {
			secret = given
		}
	}
	sum := sha256.Sum256(append([]byte(b.use+"\x00"), secret...))
	block, err := aes.NewCipher(sum[:])
	if err == nil {
		var aead cipher.AEAD
		if aead, err = cipher.NewGCM(block); err == nil {
			return aead
		}
	}
	panic(err) // a digest is always a key
}

// Seal gives a text of letters that a cookie or an address may hold.
func (b *Box) Seal(purpose string, v any) (string, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	aead := b.aead()
	nonce := make([]byte, aead.NonceSize())
	if _, err := io.ReadFull(b.random, nonce); err != nil {
		return "", fmt.Errorf("seal: no randomness: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(aead.Seal(nonce, nonce, plain, []byte(purpose))), nil
}

// Open reads what Seal gave for the same purpose.
func (b *Box) Open(purpose, text string, into any) error {
	if len(text) > maxBox {
		return errors.New("it is too long to be one of ours")
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	aead := b.aead()
	if n := aead.NonceSize(); err == nil && len(raw) > n {
		plain, err := aead.Open(nil, raw[:n], raw[n:], []byte(purpose))
		if err == nil {
			return json.Unmarshal(plain, into)
		}
	}
	return errors.New("it does not open")
}
