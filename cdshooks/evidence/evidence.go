// SPDX-License-Identifier: Apache-2.0

// Package evidence makes the page that a card links to: the chart as it was
// used, the forecasts drawn as figures, the rules with their values, what was
// missing, and the receipt with its proof.
//
// It trusts the receipt it is given, whose bytes the audit log vouches for,
// and nothing else: every text is escaped, the page runs no script and loads
// nothing, and it names no patient, because the link that opens it may be
// seen by others.
package evidence

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/sepsisagent/sepsisagent/audit"
)

// ErrHandle: a handle is malformed, forged or expired. Answer 404 for all
// three alike.
var ErrHandle = errors.New("no such page")

// Prover proves that an entry is in the log.
type Prover interface {
	ProveInclusion(ctx context.Context, leaf int64) (audit.Inclusion, error)
}

// Seal makes and opens handles. A handle names one receipt until one time; it
// holds no patient data and cannot be guessed or altered without the key.
type Seal struct {
	key [32]byte
}

// NewSeal derives a seal from key material.
func NewSeal(key []byte) *Seal {
	return &Seal{key: sha256.Sum256(append([]byte("sepsisagent evidence handle\x00"), key...))}
}

const (
	handleBody = 16 + 4 // receipt UUID, expiry in Unix minutes
	handleMAC  = 16
)

// Handle makes the handle of a receipt. The id must be a UUID.
func (s *Seal) Handle(id string, expires time.Time) (string, error) {
	u, err := uuid.Parse(id)
	if err != nil {
		return "", ErrHandle
	}
	body := binary.BigEndian.AppendUint32(append([]byte{}, u[:]...), uint32(expires.Unix()/60))
	return base64.RawURLEncoding.EncodeToString(append(body, s.mac(body)...)), nil
}

// Open returns the receipt id of a handle that has not expired.
func (s *Seal) Open(handle string, now time.Time) (id string, err error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(handle)
	if err != nil || len(raw) != handleBody+handleMAC {
		return "", ErrHandle
	}
	body, mac := raw[:handleBody], raw[handleBody:]
	if !hmac.Equal(mac, s.mac(body)) {
		return "", ErrHandle
	}
	if now.Unix()/60 > int64(binary.BigEndian.Uint32(body[16:])) {
		return "", ErrHandle
	}
	return uuid.UUID(body[:16]).String(), nil
}

func (s *Seal) mac(body []byte) []byte {
	h := hmac.New(sha256.New, s.key[:])
	h.Write(body)
	return h.Sum(nil)[:handleMAC]
}
