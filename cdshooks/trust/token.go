// SPDX-License-Identifier: Apache-2.0

package trust

// This file: verifying one token, in the order of reference cdshooks.md E.2:
// form, header, issuer, algorithm, jku, key, signature, audience, times,
// subject, and last of all the replay check, so that a forged token can never
// use up a genuine jti.

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Bounds of a token. Real ones are about 1 kB.
const (
	maxTokenBytes = 8 << 10
	maxClaimBytes = 512
)

// algorithms are the only two that any client may use; each fixes the kind of
// key it needs, so that no key can be used with another algorithm.
var algorithms = map[string]keyKind{"ES384": kindP384, "RS384": kindRSA}

// tokenHeader is what is read of a JOSE header. jwk, x5u and x5c are not.
type tokenHeader struct {
	alg, kid, typ, jku string
}

// Verify authenticates a call by its Authorization header. endpoint is the
// public URL of the endpoint called; further ones that also name it (the
// service URL, for feedback) may follow. Every error is a *Refusal.
func (r *Registry) Verify(ctx context.Context, header http.Header, endpoints ...string) (*Caller, error) {
	raw, err := bearer(header)
	if err != nil {
		return nil, &Refusal{Reason: "no-token", Err: err}
	}
	h, claims, err := r.peek(raw)
	if err != nil {
		return nil, &Refusal{Reason: "malformed", Err: err}
	}
	issuer, _ := claims["iss"].(string)
	c := r.clients[issuer]
	if c == nil {
		return nil, &Refusal{Reason: "unknown-issuer"}
	}
	refuse := func(reason string, err error) (*Caller, error) {
		return nil, &Refusal{Reason: reason, Issuer: issuer, Err: err}
	}
	if !slices.Contains(c.Algorithms, h.alg) {
		return refuse("algorithm", nil)
	}
	source, err := r.source(c, h.jku)
	if err != nil {
		return refuse("jku", err)
	}
	key, err := source.find(ctx, h.kid, algorithms[h.alg])
	if err != nil {
		return refuse("key", err)
	}
	if err := r.checkSigned(raw, h.alg, key, c, endpoints); err != nil {
		return refuse(reasonOf(err), err)
	}
	caller, err := r.checkClaims(c, claims)
	if err != nil {
		return refuse("claims", err)
	}
	first, err := r.firstUse(ctx, issuer, caller.JTI, caller.Expires.Add(r.leeway))
	if err != nil {
		return refuse("replay-unchecked", err)
	}
	if !first {
		return refuse("replay", nil)
	}
	return caller, nil
}

// firstUse asks Seen, for no longer than it may take.
func (r *Registry) firstUse(ctx context.Context, issuer, jti string, until time.Time) (bool, error) {
	if r.within > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.within)
		defer cancel()
	}
	return r.seen.FirstUse(ctx, issuer, jti, until)
}

// bearer takes the token out of exactly one Authorization header.
func bearer(header http.Header) (string, error) {
	values := header.Values("Authorization")
	if len(values) != 1 {
		return "", fmt.Errorf("%d authorization headers", len(values))
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	token = strings.TrimSpace(token)
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > maxTokenBytes {
		return "", errors.New("not one bearer token of sane length")
	}
	return token, nil
}

// peek reads header and claims before the signature is known to hold. Nothing
// it returns is believed until it is.
func (r *Registry) peek(raw string) (tokenHeader, map[string]any, error) {
	var h tokenHeader
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return h, nil, errors.New("not three parts")
	}
	header, err := strictObject(parts[0])
	if err != nil {
		return h, nil, fmt.Errorf("header: %w", err)
	}
	if _, ok := header["crit"]; ok {
		return h, nil, errors.New("crit names extensions that are not understood")
	}
	if _, ok := header["b64"]; ok {
		return h, nil, errors.New("b64 is not understood")
	}
	for name, target := range map[string]*string{"alg": &h.alg, "kid": &h.kid, "typ": &h.typ, "jku": &h.jku} {
		v, ok := header[name]
		if !ok {
			continue
		}
		s, isText := v.(string)
		if !isText || len(s) > 4*maxClaimBytes {
			return h, nil, fmt.Errorf("header: %s is not a short string", name)
		}
		*target = s
	}
	switch {
	case h.kid == "":
		return h, nil, errors.New("no kid")
	case !strings.EqualFold(h.typ, "JWT"):
		return h, nil, errors.New("typ is not JWT")
	}
	if _, ok := algorithms[h.alg]; !ok {
		return h, nil, errors.New("alg is not ES384 or RS384")
	}
	claims, err := strictObject(parts[1])
	if err != nil {
		return h, nil, fmt.Errorf("claims: %w", err)
	}
	return h, claims, nil
}

// strictObject decodes one base64url part as a JSON object. A member named
// twice is refused: two readers would believe two different tokens.
func strictObject(part string) (map[string]any, error) {
	data, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, errors.New("not base64url")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	out := map[string]any{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, errors.New("not JSON")
		}
		name, ok := t.(string)
		if _, twice := out[name]; !ok || twice {
			return nil, errors.New("a member is named twice")
		}
		var v any
		if err := dec.Decode(&v); err != nil {
			return nil, errors.New("not JSON")
		}
		out[name] = v
	}
	if _, err := dec.Token(); err != nil {
		return nil, errors.New("not JSON")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	return out, nil
}

// source picks the key set of a token: the registered one, or the one at a jku
// that is registered for this very client.
func (r *Registry) source(c *Client, jku string) (*keySource, error) {
	address := jku
	switch {
	case jku == "" && c.JWKS == "":
		address = c.JWKSURL
	case slices.Contains(c.JWKSFor, jku):
		address = ""
	}
	if s := r.keys[c.Issuer+" "+address]; s != nil {
		return s, nil
	}
	if jku == "" {
		return nil, errors.New("no key set is registered for tokens without jku")
	}
	return nil, errors.New("jku is not registered for this client")
}

// checkSigned verifies signature, issuer, audience and times.
func (r *Registry) checkSigned(raw, alg string, key any, c *Client, endpoints []string) error {
	audiences := append(slices.Clone(endpoints), c.Audiences...)
	_, err := jwt.NewParser(
		jwt.WithValidMethods([]string{alg}),
		jwt.WithIssuer(c.Issuer),
		jwt.WithAudience(audiences...),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(r.leeway),
		jwt.WithTimeFunc(r.now),
		jwt.WithStrictDecoding(),
	).Parse(raw, func(*jwt.Token) (any, error) { return key, nil })
	return err
}

// reasonOf turns a verification error into a stable word.
func reasonOf(err error) string {
	for _, e := range []struct {
		is   error
		word string
	}{
		{jwt.ErrTokenSignatureInvalid, "signature"}, {jwt.ErrTokenUnverifiable, "signature"},
		{jwt.ErrTokenInvalidAudience, "audience"}, {jwt.ErrTokenExpired, "expired"},
		{jwt.ErrTokenNotValidYet, "not-yet-valid"}, {jwt.ErrTokenUsedBeforeIssued, "issued-in-future"},
		{jwt.ErrTokenRequiredClaimMissing, "claims"}, {jwt.ErrTokenInvalidIssuer, "issuer"},
	} {
		if errors.Is(err, e.is) {
			return e.word
		}
	}
	return "malformed"
}

// checkClaims checks what the JWT library does not: that iat is there, the
// token's life is bounded, jti is there, and sub and tenant are registered.
func (r *Registry) checkClaims(c *Client, claims map[string]any) (*Caller, error) {
	m := jwt.MapClaims(claims)
	issued, err := m.GetIssuedAt()
	if err != nil || issued == nil {
		return nil, errors.New("iat is missing")
	}
	expires, err := m.GetExpirationTime()
	if err != nil || expires == nil {
		return nil, errors.New("exp is missing")
	}
	if life := expires.Sub(issued.Time); life <= 0 || life > c.MaxTokenLife {
		return nil, fmt.Errorf("it lives %v, at most %v", life, c.MaxTokenLife)
	}
	if expires.After(r.now().Add(c.MaxTokenLife + r.leeway)) {
		return nil, errors.New("exp is too far ahead")
	}
	caller := &Caller{Client: c, Issued: issued.Time, Expires: expires.Time}
	for name, target := range map[string]*string{"jti": &caller.JTI, "sub": &caller.Subject, "tenant": &caller.Tenant} {
		v, ok := claims[name]
		if !ok {
			continue
		}
		s, isText := v.(string)
		if !isText || len(s) > maxClaimBytes {
			return nil, fmt.Errorf("%s is not a short string", name)
		}
		*target = s
	}
	switch {
	case caller.JTI == "":
		return nil, errors.New("jti is missing")
	case c.Subject != "" && caller.Subject != c.Subject:
		return nil, errors.New("sub is not the registered one")
	case len(c.Tenants) > 0 && !slices.Contains(c.Tenants, caller.Tenant):
		return nil, errors.New("tenant is not registered")
	}
	return caller, nil
}

// keyTimeout bounds one read of a key set.
const keyTimeout = 3 * time.Second
