// SPDX-License-Identifier: Apache-2.0

// Package oidc is what two sign-ins by redirect have in common, that of the
// evidence page at an EHR and that of the audit console at an identity provider:
// where the provider is, the exchange of a code (PKCE), the checks of an id token,
// and boxes for what a browser keeps meanwhile.
//
// It trusts the registered addresses, and a metadata document no further than its
// own origin. It trusts nothing that a browser brings.
package oidc

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// ErrRefused: somebody was not let in. Errors that a caller may cause are *Refusal
// and wrap it.
var ErrRefused = errors.New("sign-in refused")

// ErrUnavailable: the provider could not be asked, or its answer is unusable.
var ErrUnavailable = errors.New("the identity provider cannot be asked")

// Refusal is why somebody was not let in, in a stable word for receipts.
type Refusal struct {
	Reason string
	Err    error // detail for a test or an operator; never sent
}

// Error says the reason.
func (r *Refusal) Error() string {
	if r.Err != nil {
		return "sign-in refused: " + r.Reason + ": " + r.Err.Error()
	}
	return "sign-in refused: " + r.Reason
}

// Unwrap makes every Refusal an ErrRefused.
func (r *Refusal) Unwrap() error { return ErrRefused }

// Refuse makes a Refusal.
func Refuse(reason string, err error) error { return &Refusal{Reason: reason, Err: err} }

// timeout bounds each request to a provider.
const timeout = 5 * time.Second

// Config is one registration of ours at a provider.
type Config struct {
	ClientID string
	Secret   string // of a confidential client; empty: a public one
	// Document is the address of the provider's metadata. What Known names is not
	// taken from there; the rest must lie on the origin of Base.
	Document, Base string
	Known          Endpoints
	// SameIssuer refuses a document of another issuer than Known.Issuer (OpenID
	// Connect Discovery 4.3).
	SameIssuer bool
	HTTP       *http.Client
}

// Endpoints is what is used of a provider's metadata.
type Endpoints struct {
	Issuer, Authorize, Token, JWKS string
	Logout                         string // RP-initiated logout; empty where there is none
}

// Provider is a registration with what was found out about it. It is safe for
// concurrent use.
type Provider struct {
	cfg   Config
	found endpointsCache
	keys  keyCache
}

// New asks the provider for nothing.
func New(cfg Config) *Provider { return &Provider{cfg: cfg} }

// Close ends idle connections.
func (p *Provider) Close() { p.cfg.HTTP.CloseIdleConnections() }

// Secrets are of one sign-in, 256 bits each.
type Secrets struct {
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"`
}

// NewSecrets draws them; random is crypto/rand where it is nil.
func NewSecrets(random io.Reader) (s Secrets, err error) {
	if random == nil {
		random = rand.Reader
	}
	for _, into := range []*string{&s.State, &s.Nonce, &s.Verifier} {
		var b [32]byte
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return s, fmt.Errorf("no randomness: %w", err)
		}
		*into = base64.RawURLEncoding.EncodeToString(b[:])
	}
	return s, nil
}

// Address is where the browser goes to sign in: the authorization endpoint with
// state, nonce, PKCE (S256) and more.
func (p *Provider) Address(at Endpoints, s Secrets, redirect string, more map[string]string) (string, error) {
	u, err := url.Parse(at.Authorize)
	if err != nil {
		return "", fmt.Errorf("%w: authorization_endpoint", ErrUnavailable)
	}
	challenge := sha256.Sum256([]byte(s.Verifier))
	q := u.Query()
	for name, value := range more {
		q.Set(name, value)
	}
	for name, value := range map[string]string{
		"response_type": "code", "client_id": p.cfg.ClientID, "redirect_uri": redirect, "state": s.State, "nonce": s.Nonce,
		"code_challenge": base64.RawURLEncoding.EncodeToString(challenge[:]), "code_challenge_method": "S256",
	} {
		q.Set(name, value)
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// Bounds of what comes in an address. Codes of real servers reach 2 kB.
const (
	MaxParameter = 2048
	MaxCode      = 4096
)

// One is a parameter that is there exactly once and is not empty.
func One(q url.Values, name string, most int) (string, error) {
	if v := q[name]; len(v) == 1 && v[0] != "" && len(v[0]) <= most {
		return v[0], nil
	}
	return "", fmt.Errorf("%s is not there exactly once, or is too long", name)
}
