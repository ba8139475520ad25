// SPDX-License-Identifier: Apache-2.0

package sandbox

// This file: the EHR's signing key, the tokens it signs for calls to the CDS
// service, and the opaque access tokens it hands out with a call.

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// tokenLife is how long a client token and an access token are good for.
const tokenLife = 4 * time.Minute

// keys holds the P-384 key of this run and the access tokens in use.
type keys struct {
	private *ecdsa.PrivateKey
	kid     string
	jwks    []byte

	mu     sync.Mutex // guards access
	access map[string]grant
}

// grant is what one access token opens.
type grant struct {
	patient string
	until   time.Time
}

func newKeys() (*keys, error) {
	private, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("sandbox key: %w", err)
	}
	point, err := private.PublicKey.Bytes() // 0x04, x, y
	if err != nil {
		return nil, fmt.Errorf("sandbox key: %w", err)
	}
	sum := sha256.Sum256(point)
	k := &keys{private: private, kid: hex.EncodeToString(sum[:8]), access: map[string]grant{}}
	b64 := base64.RawURLEncoding.EncodeToString
	size := (len(point) - 1) / 2
	k.jwks, err = json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "EC", "crv": "P-384", "use": "sig", "alg": "ES384", "kid": k.kid,
		"x": b64(point[1 : 1+size]), "y": b64(point[1+size:]),
	}}})
	if err != nil {
		return nil, fmt.Errorf("sandbox key set: %w", err)
	}
	return k, nil
}

// sign makes the client token for one call to the URL.
func (k *keys) sign(issuer, jku, audience string, now time.Time) (string, error) {
	return k.signed(jwt.MapClaims{
		"iss": issuer, "aud": audience, "iat": now.Unix(), "exp": now.Add(tokenLife).Unix(), "jti": uuid.NewString(),
	}, map[string]any{"jku": jku})
}

// identity makes the id token of a user for an app.
func (k *keys) identity(issuer, app, nonce, user string, now time.Time) (string, error) {
	return k.signed(jwt.MapClaims{
		"iss": issuer, "aud": app, "iat": now.Unix(), "exp": now.Add(tokenLife).Unix(), "nonce": nonce, "sub": user, "fhirUser": "Practitioner/" + user,
	}, nil)
}

func (k *keys) signed(claims jwt.MapClaims, header map[string]any) (string, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodES384, claims)
	t.Header["kid"] = k.kid
	maps.Copy(t.Header, header)
	signed, err := t.SignedString(k.private)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return signed, nil
}

// grantFor makes an access token for one patient.
func (k *keys) grantFor(patient string, now time.Time) string {
	token := rand.Text()
	k.mu.Lock()
	defer k.mu.Unlock()
	for t, g := range k.access {
		if now.After(g.until) {
			delete(k.access, t)
		}
	}
	k.access[token] = grant{patient, now.Add(tokenLife)}
	return token
}

// revoke ends an access token.
func (k *keys) revoke(token string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.access, token)
}

// opens gives the patient an access token is good for.
func (k *keys) opens(token string, now time.Time) (patient string, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	g, ok := k.access[token]
	if !ok || now.After(g.until) {
		return "", false
	}
	return g.patient, true
}
