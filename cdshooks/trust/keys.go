// SPDX-License-Identifier: Apache-2.0

package trust

// This file: the public keys of a client: parsing a JWK set, and reading one
// from its registered address with a cache that a flood of forged key ids
// cannot turn into a flood of requests.

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// Bounds of a key set and of its cache.
const (
	maxKeySetBytes = 256 << 10
	maxKeys        = 100
	keyLifeDefault = 5 * time.Minute
	keyLifeMax     = time.Hour
	// refetchEvery is the least time between two reads of one address,
	// whatever tokens ask for: an unknown kid is answered from memory until
	// then.
	refetchEvery = 10 * time.Second
	// keepStale is how long the last good set serves while its address is down.
	keepStale = time.Hour
)

// keyKind says by which algorithms a key may verify. A key that names its
// algorithm, and every EC key, fits exactly one; an RSA key that names none fits
// both of RSA's, of which each reader of tokens takes one.
type keyKind int

const (
	kindP384 keyKind = 1 << iota
	kindRSA          // RS384
	kindP256
	kindRSA256 // RS256

	kindNone keyKind = 0
	// clientKinds are those that CDS clients may sign with.
	clientKinds = kindP384 | kindRSA
)

type key struct {
	kid    string
	kind   keyKind // of the kinds asked for, those it fits
	public any     // *ecdsa.PublicKey or *rsa.PublicKey
}

// parseKeySet reads the JWK set of a CDS client.
func parseKeySet(data []byte) ([]key, error) { return parseKeys(data, clientKinds) }

// rsaKinds are the kinds that an RSA key fits by its alg.
var rsaKinds = map[string]keyKind{"": kindRSA | kindRSA256, "RS384": kindRSA, "RS256": kindRSA256}

// parseKeys reads a JWK set of which the given kinds are used. Keys for encryption, and other kinds,
// are left out; a signing key that is broken or too weak makes
// the whole set unusable, so that a mistake is seen and not worked around.
func parseKeys(data []byte, kinds keyKind) ([]key, error) {
	if len(data) > maxKeySetBytes {
		return nil, errors.New("key set: too large")
	}
	var set struct {
		Keys []struct {
			Kty string `json:"kty"`
			Kid string `json:"kid"`
			Use string `json:"use"`
			Alg string `json:"alg"`
			Crv string `json:"crv"`
			X   string `json:"x"`
			Y   string `json:"y"`
			N   string `json:"n"`
			E   string `json:"e"`
			D   string `json:"d"`
			K   string `json:"k"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, errors.New("key set: not a JSON object with keys")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("key set: %d keys, at most %d", len(set.Keys), maxKeys)
	}
	var out []key
	for i, k := range set.Keys {
		if k.D != "" || k.K != "" {
			return nil, fmt.Errorf("key set: key %d is private or symmetric; publish public keys only", i)
		}
		if k.Use != "" && k.Use != "sig" || k.Kid == "" {
			continue
		}
		var err error
		pub := key{kid: k.Kid}
		switch {
		case k.Kty == "EC" && k.Crv == "P-384" && (k.Alg == "" || k.Alg == "ES384"):
			pub.kind = kindP384 & kinds
		case k.Kty == "EC" && k.Crv == "P-256" && (k.Alg == "" || k.Alg == "ES256"):
			pub.kind = kindP256 & kinds
		case k.Kty == "RSA":
			pub.kind = rsaKinds[k.Alg] & kinds
		}
		switch {
		case pub.kind == kindNone:
			continue
		case k.Kty == "RSA":
			pub.public, err = parseRSA(k.N, k.E)
		case k.Crv == "P-256":
			pub.public, err = parseEC(elliptic.P256(), k.X, k.Y)
		default:
			pub.public, err = parseEC(elliptic.P384(), k.X, k.Y)
		}
		if err != nil {
			return nil, fmt.Errorf("key set: key %d: %w", i, err)
		}
		out = append(out, pub)
	}
	return out, nil
}

func parseEC(curve elliptic.Curve, x, y string) (*ecdsa.PublicKey, error) {
	size := curve.Params().BitSize / 8
	xb, err := base64.RawURLEncoding.DecodeString(x)
	if err != nil || len(xb) != size {
		return nil, fmt.Errorf("x is not %d bytes", size)
	}
	yb, err := base64.RawURLEncoding.DecodeString(y)
	if err != nil || len(yb) != size {
		return nil, fmt.Errorf("y is not %d bytes", size)
	}
	// ParseUncompressedPublicKey checks that the point lies on the curve.
	pub, err := ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, xb...), yb...))
	if err != nil {
		return nil, fmt.Errorf("the point is not on %s", curve.Params().Name)
	}
	return pub, nil
}

func parseRSA(n, e string) (*rsa.PublicKey, error) {
	nb, err := base64.RawURLEncoding.DecodeString(n)
	if err != nil {
		return nil, errors.New("n is not base64url")
	}
	eb, err := base64.RawURLEncoding.DecodeString(e)
	if err != nil || len(eb) == 0 || len(eb) > 4 {
		return nil, errors.New("e is not a small number")
	}
	pub := &rsa.PublicKey{N: new(big.Int).SetBytes(nb), E: int(new(big.Int).SetBytes(eb).Int64())}
	if bits := pub.N.BitLen(); bits < 2048 || bits > 8192 || pub.E < 3 || pub.E%2 == 0 {
		return nil, errors.New("not an RSA key of 2048 to 8192 bits with an odd exponent")
	}
	return pub, nil
}

// pick finds the one key of this id and kind. None, or more than one, is an
// error: which of two keys signed must never be a matter of trying.
func pick(set []key, kid string, kind keyKind) (any, error) {
	var found any
	count := 0
	for _, k := range set {
		if k.kid == kid {
			count++
			if k.kind&kind != 0 {
				found = k.public
			}
		}
	}
	switch {
	case count > 1:
		return nil, errTwoKeys
	case count == 0:
		return nil, errNoKey
	case found == nil:
		return nil, errors.New("the key is of another kind than the algorithm needs")
	}
	return found, nil
}

var (
	errNoKey   = errors.New("no key has this kid")
	errTwoKeys = errors.New("several keys have this kid")
)

// keySource is one key set: on file, or read from an address and cached.
type keySource struct {
	address string
	client  *http.Client
	now     func() time.Time
	kinds   keyKind // that are used of the set
	fixed   bool
	flight  singleflight.Group

	mu      sync.Mutex // guards what follows
	set     []key
	fresh   time.Time // until when set may be used without asking again
	usable  time.Time // until when set may be used while the address is down
	nextTry time.Time // no read of the address before this
	reading bool      // a read is under way
}

func newKeySource(address string, client *http.Client, now func() time.Time) *keySource {
	return &keySource{address: address, client: client, now: now, kinds: clientKinds}
}

// find returns the key, reading the address when the cache cannot answer and
// the address has not been asked too recently. Concurrent calls share one read.
func (s *keySource) find(ctx context.Context, kid string, kind keyKind) (any, error) {
	if s.fixed {
		return pick(s.set, kid, kind)
	}
	k, err, ask := s.cached(kid, kind)
	if !ask {
		return k, err
	}
	done := s.flight.DoChan("", func() (any, error) {
		// The read outlives the call that began it: others wait for it too.
		return nil, s.read(context.WithoutCancel(ctx))
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-done:
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.now().After(s.usable) {
			return nil, fmt.Errorf("the key set cannot be read: %w", errors.Join(r.Err, errNoKey))
		}
		return pick(s.set, kid, kind)
	}
}

// cached answers from memory; ask says that the address should be read first. A
// key that is not there is waited for while a read is under way: after a start
// and after a change of keys, calls come faster than a key set.
func (s *keySource) cached(kid string, kind keyKind) (k any, err error, ask bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	mayAsk := !now.Before(s.nextTry)
	mayWait := mayAsk || s.reading
	if s.usable.IsZero() || now.After(s.usable) {
		return nil, errors.New("the key set cannot be read"), mayWait
	}
	k, err = pick(s.set, kid, kind)
	switch {
	case errors.Is(err, errNoKey):
		return nil, err, mayWait
	case now.After(s.fresh):
		return k, err, mayAsk
	}
	return k, err, false
}

// read fetches the set once.
func (s *keySource) read(ctx context.Context) error {
	s.mu.Lock()
	if s.now().Before(s.nextTry) {
		s.mu.Unlock()
		return nil // another call has just read it
	}
	s.nextTry, s.reading = s.now().Add(refetchEvery), true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.reading = false
		s.mu.Unlock()
	}()

	ctx, cancel := context.WithTimeout(ctx, keyTimeout)
	defer cancel()
	set, life, err := s.fetch(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.set, s.fresh, s.usable = set, now.Add(life), now.Add(life+keepStale)
	return nil
}

func (s *keySource) fetch(ctx context.Context) ([]key, time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.address, nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	res, err := s.client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("key set: status %d", res.StatusCode)
	}
	if kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err == nil && kind == "text/html" {
		return nil, 0, errors.New("key set: an HTML page came instead")
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxKeySetBytes+1))
	if err != nil {
		return nil, 0, err
	}
	set, err := parseKeys(data, s.kinds)
	if err != nil {
		return nil, 0, err
	}
	return set, keyLife(res.Header.Get("Cache-Control")), nil
}

// keyLife is how long a set may be kept: as Cache-Control says, never longer
// than keyLifeMax.
func keyLife(cacheControl string) time.Duration {
	life := keyLifeDefault
	for _, d := range strings.Split(cacheControl, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(strings.ToLower(d)), "=")
		switch name {
		case "no-store", "no-cache":
			return 0
		case "max-age":
			if s, err := strconv.Atoi(strings.Trim(value, `"`)); err == nil && s >= 0 {
				life = time.Duration(min(s, 86400)) * time.Second
			}
		}
	}
	return min(life, keyLifeMax)
}
