// SPDX-License-Identifier: Apache-2.0

package smart

// This file: one private key: reading it from PEM or JWK, its public half, and
// the assertions it signs.

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// Bounds of a key.
const (
	maxKeyBytes        = 32 << 10
	minRSABits         = 2048
	maxRSABits         = 4096
	assertionLife      = 4 * time.Minute // SMART allows 5; the rest is for clocks that differ
	assertionType      = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	coordinateSizeP384 = 48
)

// Key is a private key with its id. Its algorithm follows from its kind: ES384
// for a P-384 key, RS384 for an RSA key of 2048 to 4096 bits.
type Key struct {
	ID        string // kid: of the JWK or, else, the RFC 7638 thumbprint
	Algorithm string
	private   any // *ecdsa.PrivateKey or *rsa.PrivateKey
	public    publicKey
}

// publicKey is the public half as a JWK: bare key values, no certificate.
type publicKey struct {
	Kty string `json:"kty"`
	Kid string `json:"kid"`
	Use string `json:"use"`
	Alg string `json:"alg"`
	Crv string `json:"crv,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
	N   string `json:"n,omitempty"`
	E   string `json:"e,omitempty"`
}

// ParseKey reads a private key: PEM in PKCS #8, SEC 1 or PKCS #1, or a JWK.
// Errors wrap ErrKeys and hold nothing of the key.
func ParseKey(data []byte) (*Key, error) {
	if len(data) > maxKeyBytes {
		return nil, fmt.Errorf("%w: over %d bytes", ErrKeys, maxKeyBytes)
	}
	if data = bytes.TrimSpace(data); bytes.HasPrefix(data, []byte("{")) {
		return parseJWK(data)
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		var private any
		var err error
		switch {
		case block.Type == "EC PARAMETERS": // openssl ecparam writes it before the key
			continue
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return nil, fmt.Errorf("%w: the key is encrypted (hint: openssl pkey -in KEY -out PLAIN, and protect the file)", ErrKeys)
		case block.Type == "PRIVATE KEY":
			private, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case block.Type == "EC PRIVATE KEY":
			private, err = x509.ParseECPrivateKey(block.Bytes)
		case block.Type == "RSA PRIVATE KEY":
			private, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		default:
			return nil, fmt.Errorf("%w: a PEM block of type %.40q is no private key", ErrKeys, block.Type)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: the PEM block is damaged", ErrKeys)
		}
		return newKey(private)
	}
	return nil, fmt.Errorf("%w: neither PEM nor JWK (hint: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384)", ErrKeys)
}

// newKey takes a private key of a kind that SMART names.
func newKey(private any) (*Key, error) {
	b64 := base64.RawURLEncoding.EncodeToString
	k := &Key{private: private}
	switch p := private.(type) {
	case *ecdsa.PrivateKey:
		if p.Curve != elliptic.P384() {
			return nil, fmt.Errorf("%w: the curve is %s, ES384 needs P-384", ErrKeys, p.Curve.Params().Name)
		}
		point, err := p.PublicKey.Bytes() // 0x04, x, y
		if err != nil {
			return nil, fmt.Errorf("%w: the point is not on P-384", ErrKeys)
		}
		k.Algorithm = "ES384"
		k.public = publicKey{Kty: "EC", Crv: "P-384", X: b64(point[1 : 1+coordinateSizeP384]), Y: b64(point[1+coordinateSizeP384:])}
		k.ID = thumbprint(`{"crv":"P-384","kty":"EC","x":"` + k.public.X + `","y":"` + k.public.Y + `"}`)
	case *rsa.PrivateKey:
		if bits := p.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return nil, fmt.Errorf("%w: an RSA key of %d bits, needed are %d to %d", ErrKeys, bits, minRSABits, maxRSABits)
		}
		k.Algorithm = "RS384"
		k.public = publicKey{Kty: "RSA", N: b64(p.N.Bytes()), E: b64(big.NewInt(int64(p.E)).Bytes())}
		k.ID = thumbprint(`{"e":"` + k.public.E + `","kty":"RSA","n":"` + k.public.N + `"}`)
	default:
		return nil, fmt.Errorf("%w: neither a P-384 nor an RSA key", ErrKeys)
	}
	k.public.Use, k.public.Alg = "sig", k.Algorithm
	return k.named(k.ID), nil
}

// named gives the key another id.
func (k *Key) named(kid string) *Key {
	k.ID, k.public.Kid = kid, kid
	return k
}

// thumbprint is RFC 7638 over the canonical members.
func thumbprint(canonical string) string {
	sum := sha256.Sum256([]byte(canonical))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// privateJWK are the members of a JWK that are read.
type privateJWK struct {
	Kty, Kid, Use, Alg, Crv string
	D, X, Y, N, E, P, Q     string
}

func parseJWK(data []byte) (*Key, error) {
	var j privateJWK
	if err := json.Unmarshal(data, &j); err != nil {
		return nil, fmt.Errorf("%w: the JWK is not JSON", ErrKeys)
	}
	var private any
	var err error
	switch {
	case j.Use != "" && j.Use != "sig":
		return nil, fmt.Errorf("%w: the JWK is for use %.20q, not for signing", ErrKeys, j.Use)
	case j.D == "":
		return nil, fmt.Errorf("%w: the JWK is not a private key", ErrKeys)
	case j.Kty == "EC" && j.Crv == "P-384":
		private, err = j.ec()
	case j.Kty == "RSA":
		private, err = j.rsa()
	default:
		return nil, fmt.Errorf("%w: a JWK of kty %.20q and crv %.20q; needed is EC with P-384, or RSA", ErrKeys, j.Kty, j.Crv)
	}
	if err != nil {
		return nil, err
	}
	k, err := newKey(private)
	if err != nil {
		return nil, err
	}
	if j.Alg != "" && j.Alg != k.Algorithm {
		return nil, fmt.Errorf("%w: the JWK is for %.20q, its kind of key signs %s", ErrKeys, j.Alg, k.Algorithm)
	}
	if j.Kty == "EC" && (j.X != k.public.X || j.Y != k.public.Y) {
		return nil, fmt.Errorf("%w: the public half of the JWK is of another key", ErrKeys)
	}
	if j.Kid != "" {
		k.named(j.Kid)
	}
	return k, nil
}

func (j privateJWK) ec() (*ecdsa.PrivateKey, error) {
	d, err := base64.RawURLEncoding.DecodeString(j.D)
	if err != nil {
		return nil, fmt.Errorf("%w: d of the JWK is not base64url", ErrKeys)
	}
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P384(), d)
	if err != nil {
		return nil, fmt.Errorf("%w: d of the JWK is not a P-384 key of 48 bytes", ErrKeys)
	}
	return private, nil
}

func (j privateJWK) rsa() (*rsa.PrivateKey, error) {
	var v [5]*big.Int // n, e, d, p, q
	for i, text := range []string{j.N, j.E, j.D, j.P, j.Q} {
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || len(raw) == 0 || len(raw) > maxRSABits/8 {
			return nil, fmt.Errorf("%w: n, e, d, p and q of an RSA JWK must be base64url numbers of at most %d bits", ErrKeys, maxRSABits)
		}
		v[i] = new(big.Int).SetBytes(raw)
	}
	if v[0].BitLen() < minRSABits || v[1].BitLen() > 31 {
		return nil, fmt.Errorf("%w: the RSA JWK has under %d bits or too large an exponent", ErrKeys, minRSABits)
	}
	private := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: v[0], E: int(v[1].Int64())}, D: v[2], Primes: []*big.Int{v[3], v[4]}}
	if err := private.Validate(); err != nil {
		return nil, fmt.Errorf("%w: the numbers of the RSA JWK do not belong together", ErrKeys)
	}
	private.Precompute()
	return private, nil
}

// assertion signs who we are, for one request to one token endpoint. It has
// the claims that SMART requires and no others: an iat or nbf that the EHR's
// clock has not reached yet is a known cause of refusals.
func (k *Key) assertion(clientID, audience, jku string, now time.Time, random io.Reader) (string, error) {
	jti, err := uuid.NewRandomFromReader(random)
	if err != nil {
		return "", fmt.Errorf("%w: no randomness for jti: %w", ErrKeys, err)
	}
	t := jwt.NewWithClaims(jwt.GetSigningMethod(k.Algorithm), jwt.MapClaims{
		"iss": clientID, "sub": clientID, "aud": audience, "exp": now.Add(assertionLife).Unix(), "jti": jti.String(),
	})
	t.Header["kid"] = k.ID
	if jku != "" {
		t.Header["jku"] = jku
	}
	signed, err := t.SignedString(k.private)
	if err != nil {
		return "", fmt.Errorf("%w: sign: %w", ErrKeys, err)
	}
	return signed, nil
}
