// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"errors"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// The official CDS Hooks sandbox names its key set in every token, also when it runs
// on a laptop beside a FHIR server on loopback.
func TestATokenThatNamesAKeySetIsCheckedWithTheRegisteredOneAndNothingIsFetched(t *testing.T) {
	const named = "https://sandbox.example.org/.well-known/jwks.json"
	d := newDesk(t, func(c *Client) { c.JWKSFor, c.Network = []string{named}, NetworkLoopback })
	with := func(jku string) string {
		return d.es384(func(h map[string]any, _ jwt.MapClaims) { h["jku"] = jku })
	}
	if _, err := d.verify(with(named)); err != nil {
		t.Errorf("a token that names the key set: %v", err)
	}
	if _, err := d.verify(d.es384(nil)); err != nil {
		t.Errorf("a token that names none: %v", err)
	}
	for _, other := range []string{named + "/", named + "?x=1", "HTTPS://sandbox.example.org/.well-known/jwks.json"} {
		d.refused(with(other), "jku")
	}
	d.refused(d.es384(func(h map[string]any, _ jwt.MapClaims) { h["jku"], h["kid"] = named, "other" }), "key")
}

func TestAKeySetThatAnswersForAnAddressMustBeThere(t *testing.T) {
	for name, change := range map[string]func(*Client){
		"no key set":            func(c *Client) { c.JWKS, c.JWKSURL = "", "https://ehr.example.org/jwks" },
		"fetched as well":       func(c *Client) { c.JKUs = c.JWKSFor },
		"an address of nothing": func(c *Client) { c.JWKSFor = []string{""} },
	} {
		c := Client{Name: "ehr", Issuer: issuer, JWKS: keySet(ecJWK("ec", ecKey, "P-384")), JWKSFor: []string{"https://ehr.example.org/other"}}
		change(&c)
		if _, err := New([]Client{c}, Options{}); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: got %v, want a refusal of the registration", name, err)
		}
	}
}
