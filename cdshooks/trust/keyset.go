// SPDX-License-Identifier: Apache-2.0

package trust

// This file: what other readers of signed tokens need of this package: a key set
// with the same cache, network and bounds as a client's, and the strict reading of
// a token before its signature is known to hold.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// setKinds are the algorithms a KeySet may be asked for.
var setKinds = map[string]keyKind{"ES256": kindP256, "RS256": kindRSA256, "ES384": kindP384, "RS384": kindRSA}

// KeySet is a JWK set at an address, for tokens that are no CDS client's. It is
// safe for concurrent use; a flood of unknown key ids does not become a flood of
// requests.
type KeySet struct {
	source *keySource
	algs   []string
}

// NewKeySet reads nothing yet. network is one of the Network constants; algs are
// of ES256, RS256, ES384 and RS384; now may be nil.
func NewKeySet(address, network string, algs []string, now func() time.Time) (*KeySet, error) {
	if err := checkAddress(address, network); err != nil {
		return nil, err
	}
	if !slices.Contains([]string{NetworkPublic, NetworkPrivate, NetworkLoopback}, network) {
		return nil, fmt.Errorf("network %q is not one of public, private, loopback", network)
	}
	if now == nil {
		now = time.Now
	}
	registration := Client{Network: network}
	s := newKeySource(address, registration.HTTPClient(keyTimeout), now)
	s.kinds = kindNone
	for _, alg := range algs {
		if setKinds[alg] == kindNone {
			return nil, fmt.Errorf("algorithm %q is none that a key set is used for", alg)
		}
		s.kinds |= setKinds[alg]
	}
	return &KeySet{s, algs}, nil
}

// Key gives the one public key of this id for an algorithm.
func (s *KeySet) Key(ctx context.Context, kid, alg string) (any, error) {
	if !slices.Contains(s.algs, alg) {
		return nil, errors.New("the algorithm is not allowed")
	}
	return s.source.find(ctx, kid, setKinds[alg])
}

// CheckAddress accepts https addresses, and http ones on loopback only, where the
// network says so.
func CheckAddress(address, network string) error { return checkAddress(address, network) }

// Unverified reads header and claims of a compact JWS strictly: base64url without
// slack, JSON objects in which no member is named twice, no crit and no b64.
// Nothing it returns may be believed before the signature is known to hold.
func Unverified(raw string) (header, claims map[string]any, err error) {
	parts := strings.Split(raw, ".")
	if len(raw) > maxTokenBytes || len(parts) != 3 {
		return nil, nil, errors.New("not three parts of sane length")
	}
	if header, err = strictObject(parts[0]); err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	for _, name := range []string{"crit", "b64"} {
		if _, ok := header[name]; ok {
			return nil, nil, fmt.Errorf("%s is not understood", name)
		}
	}
	if claims, err = strictObject(parts[1]); err != nil {
		return nil, nil, fmt.Errorf("claims: %w", err)
	}
	return header, claims, nil
}
