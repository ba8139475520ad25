// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	endpoint = "https://cds.example.org/cds-services/sepsis-treatment"
	issuer   = "https://ehr.example.org"
)

var (
	ecKey, _    = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	otherKey, _ = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p256Key, _  = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rsaKey, _   = rsa.GenerateKey(rand.Reader, 2048)
	weakKey     = &rsa.PublicKey{N: rsaKey.N, E: 2}
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func ecJWK(kid string, k *ecdsa.PrivateKey, crv string) map[string]string {
	raw, _ := k.PublicKey.Bytes()
	half := (len(raw) - 1) / 2
	return map[string]string{"kty": "EC", "crv": crv, "kid": kid, "use": "sig", "x": b64(raw[1 : 1+half]), "y": b64(raw[1+half:])}
}

func rsaJWK(kid string, k *rsa.PublicKey) map[string]string {
	return map[string]string{"kty": "RSA", "kid": kid, "n": b64(k.N.Bytes()), "e": b64([]byte{byte(k.E >> 16), byte(k.E >> 8), byte(k.E)})}
}

func keySet(keys ...map[string]string) string {
	b, _ := json.Marshal(map[string]any{"keys": keys})
	return string(b)
}

// desk is a registry with one client, a fixed clock and tokens to try on it.
type desk struct {
	t   *testing.T
	reg *Registry
	now time.Time
}

func newDesk(t *testing.T, change func(*Client)) *desk {
	t.Helper()
	d := &desk{t: t, now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)}
	c := Client{Name: "ehr", Issuer: issuer, JWKS: keySet(ecJWK("ec", ecKey, "P-384"), rsaJWK("rsa", &rsaKey.PublicKey))}
	if change != nil {
		change(&c)
	}
	reg, err := New([]Client{c}, Options{Now: func() time.Time { return d.now }})
	if err != nil {
		t.Fatal(err)
	}
	d.reg = reg
	return d
}

var serial atomic.Int64

func (d *desk) claims() jwt.MapClaims {
	return jwt.MapClaims{
		"iss": issuer, "aud": endpoint, "iat": d.now.Unix(), "exp": d.now.Add(5 * time.Minute).Unix(),
		"jti": fmt.Sprint("j", serial.Add(1)),
	}
}

func sign(t *testing.T, method jwt.SigningMethod, key any, header map[string]any, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	for k, v := range header {
		if v == nil {
			delete(token.Header, k)
			continue
		}
		token.Header[k] = v
	}
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (d *desk) verify(token string) (*Caller, error) {
	return d.reg.Verify(context.Background(), http.Header{"Authorization": {"Bearer " + token}}, endpoint)
}

func (d *desk) refused(token, reason string) {
	d.t.Helper()
	_, err := d.verify(token)
	var r *Refusal
	if !errors.Is(err, ErrUnauthorized) || !errors.As(err, &r) || r.Reason != reason {
		d.t.Errorf("got %v, want a refusal for %q", err, reason)
	}
}

func (d *desk) es384(change func(header map[string]any, claims jwt.MapClaims)) string {
	h, c := map[string]any{"kid": "ec"}, d.claims()
	if change != nil {
		change(h, c)
	}
	return sign(d.t, jwt.SigningMethodES384, ecKey, h, c)
}

func TestGenuineTokensOfBothAlgorithmsAreAccepted(t *testing.T) {
	d := newDesk(t, nil)
	for name, token := range map[string]string{
		"ES384": d.es384(nil),
		"RS384": sign(t, jwt.SigningMethodRS384, rsaKey, map[string]any{"kid": "rsa"}, d.claims()),
		"Epic: sub, nbf five minutes back, fifteen minutes of life": d.es384(func(_ map[string]any, c jwt.MapClaims) {
			c["sub"], c["nbf"], c["exp"] = "client-7", d.now.Add(-5*time.Minute).Unix(), d.now.Add(15*time.Minute).Unix()
		}),
		"aud is an array":                       d.es384(func(_ map[string]any, c jwt.MapClaims) { c["aud"] = []string{"https://else.example.org", endpoint} }),
		"the clock of the client is 30 s ahead": d.es384(func(_ map[string]any, c jwt.MapClaims) { c["iat"] = d.now.Add(30 * time.Second).Unix() }),
		"an embedded jwk is ignored":            d.es384(func(h map[string]any, _ jwt.MapClaims) { h["jwk"] = ecJWK("ec", otherKey, "P-384") }),
	} {
		if c, err := d.verify(token); err != nil || c.Client.Name != "ehr" || c.JTI == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	header := http.Header{"Authorization": {"bearer " + d.es384(nil)}}
	if _, err := d.reg.Verify(context.Background(), header, endpoint); err != nil {
		t.Errorf("the scheme is case-insensitive: %v", err)
	}
}

func TestForgedTokensAreRefused(t *testing.T) {
	d := newDesk(t, nil)
	der, _ := x509.MarshalPKIXPublicKey(&rsaKey.PublicKey)
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	genuine := strings.Split(d.es384(nil), ".")
	cases := []struct{ name, token, reason string }{
		{"alg none", sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, map[string]any{"kid": "ec"}, d.claims()), "malformed"},
		{"HS256 with the public key as secret", sign(t, jwt.SigningMethodHS256, publicPEM, map[string]any{"kid": "rsa"}, d.claims()), "malformed"},
		{"ES256 on the wrong curve", sign(t, jwt.SigningMethodES256, p256Key, map[string]any{"kid": "ec"}, d.claims()), "malformed"},
		{"RS384 with the kid of the EC key", sign(t, jwt.SigningMethodRS384, rsaKey, map[string]any{"kid": "ec"}, d.claims()), "key"},
		{"ES384 with the kid of the RSA key", d.es384(func(h map[string]any, _ jwt.MapClaims) { h["kid"] = "rsa" }), "key"},
		{"another key under a known kid", sign(t, jwt.SigningMethodES384, otherKey, map[string]any{"kid": "ec"}, d.claims()), "signature"},
		{"no kid", d.es384(func(h map[string]any, _ jwt.MapClaims) { h["kid"] = nil }), "malformed"},
		{"kid is a number", d.es384(func(h map[string]any, _ jwt.MapClaims) { h["kid"] = 7 }), "malformed"},
		{"unknown kid", d.es384(func(h map[string]any, _ jwt.MapClaims) { h["kid"] = "ghost" }), "key"},
		{"no typ", d.es384(func(h map[string]any, _ jwt.MapClaims) { h["typ"] = nil }), "malformed"},
		{"unknown crit", d.es384(func(h map[string]any, _ jwt.MapClaims) { h["crit"] = []string{"exp"} }), "malformed"},
		{"jku that is not registered", d.es384(func(h map[string]any, _ jwt.MapClaims) { h["jku"] = "https://evil.example.org/jwks" }), "jku"},
		{"claims swapped under the signature", genuine[0] + "." + b64([]byte(`{"iss":"`+issuer+`"}`)) + "." + genuine[2], "signature"},
		{"signature cut off", genuine[0] + "." + genuine[1] + ".", "signature"},
		{"two parts", genuine[0] + "." + genuine[1], "malformed"},
		{"an issuer named twice", genuine[0] + "." + b64([]byte(`{"iss":"x","iss":"`+issuer+`"}`)) + "." + genuine[2], "malformed"},
		{"unknown issuer", d.es384(func(_ map[string]any, c jwt.MapClaims) { c["iss"] = "https://sandbox.cds-hooks.org" }), "unknown-issuer"},
		{"expired", d.es384(func(_ map[string]any, c jwt.MapClaims) {
			c["iat"], c["exp"] = d.now.Add(-10*time.Minute).Unix(), d.now.Add(-5*time.Minute).Unix()
		}), "expired"},
		{"not yet valid", d.es384(func(_ map[string]any, c jwt.MapClaims) { c["nbf"] = d.now.Add(5 * time.Minute).Unix() }), "not-yet-valid"},
		{"issued in the future", d.es384(func(_ map[string]any, c jwt.MapClaims) { c["iat"] = d.now.Add(3 * time.Minute).Unix() }), "issued-in-future"},
		{"no exp", d.es384(func(_ map[string]any, c jwt.MapClaims) { delete(c, "exp") }), "claims"},
		{"no iat", d.es384(func(_ map[string]any, c jwt.MapClaims) { delete(c, "iat") }), "claims"},
		{"no jti", d.es384(func(_ map[string]any, c jwt.MapClaims) { delete(c, "jti") }), "claims"},
		{"jti is a number", d.es384(func(_ map[string]any, c jwt.MapClaims) { c["jti"] = 5 }), "claims"},
		{"lives a day", d.es384(func(_ map[string]any, c jwt.MapClaims) { c["exp"] = d.now.Add(24 * time.Hour).Unix() }), "claims"},
		{"exp before iat", d.es384(func(_ map[string]any, c jwt.MapClaims) { c["exp"] = d.now.Add(-time.Second).Unix() }), "claims"},
		{"no aud", d.es384(func(_ map[string]any, c jwt.MapClaims) { delete(c, "aud") }), "claims"},
		{"aud of another endpoint", d.es384(func(_ map[string]any, c jwt.MapClaims) { c["aud"] = endpoint + "/feedback" }), "audience"},
		{"aud that only begins alike", d.es384(func(_ map[string]any, c jwt.MapClaims) { c["aud"] = endpoint + ".evil.example" }), "audience"},
		{"oversized", strings.Repeat("a", maxTokenBytes+1), "no-token"},
		{"empty", "", "no-token"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d.t = t
			d.refused(c.token, c.reason)
		})
	}
	for name, header := range map[string]http.Header{
		"no header":   {},
		"two headers": {"Authorization": {"Bearer " + d.es384(nil), "Bearer " + d.es384(nil)}},
		"basic":       {"Authorization": {"Basic dTpw"}},
	} {
		if _, err := d.reg.Verify(context.Background(), header, endpoint); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestATokenIsUsedOnceAndAForgedOneUsesNothingUp(t *testing.T) {
	d := newDesk(t, nil)
	c := d.claims()
	d.refused(sign(t, jwt.SigningMethodES384, otherKey, map[string]any{"kid": "ec"}, c), "signature")
	token := sign(t, jwt.SigningMethodES384, ecKey, map[string]any{"kid": "ec"}, c)
	var accepted atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if _, err := d.verify(token); err == nil {
				accepted.Add(1)
			}
		})
	}
	wg.Wait()
	if accepted.Load() != 1 {
		t.Errorf("one token was accepted %d times", accepted.Load())
	}
	d.refused(token, "replay")
	d.now = d.now.Add(2 * time.Hour)
	d.refused(token, "expired")
	if first, _ := d.reg.seen.FirstUse(context.Background(), issuer, c["jti"].(string), d.now); !first {
		t.Error("an expired entry is never forgotten")
	}
}

func TestRegisteredSubjectTenantAlgorithmAndAudience(t *testing.T) {
	d := newDesk(t, func(c *Client) {
		c.Subject, c.Tenants, c.Algorithms, c.Audiences = "app-1", []string{"north"}, []string{"ES384"}, []string{"sand_man"}
	})
	good := func(_ map[string]any, c jwt.MapClaims) {
		c["sub"], c["tenant"], c["aud"] = "app-1", "north", "sand_man"
	}
	if c, err := d.verify(d.es384(good)); err != nil || c.Tenant != "north" {
		t.Error(err)
	}
	d.refused(d.es384(func(h map[string]any, c jwt.MapClaims) { good(h, c); c["sub"] = "app-2" }), "claims")
	d.refused(d.es384(func(h map[string]any, c jwt.MapClaims) { good(h, c); c["tenant"] = "south" }), "claims")
	d.refused(sign(t, jwt.SigningMethodRS384, rsaKey, map[string]any{"kid": "rsa"}, d.claims()), "algorithm")
}

func TestKeySetsAreCheckedWhenRead(t *testing.T) {
	private := ecJWK("p", ecKey, "P-384")
	private["d"] = "AAAA"
	off := ecJWK("o", ecKey, "P-384")
	off["y"] = off["x"]
	for name, set := range map[string]string{
		"not JSON":             `{"keys":`,
		"a private key":        keySet(private),
		"a point off curve":    keySet(off),
		"an RSA exponent of 2": keySet(rsaJWK("r", weakKey)),
		"more than 100 keys":   keySet(make([]map[string]string, 101)...),
	} {
		if _, err := parseKeySet([]byte(set)); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	enc := ecJWK("e", ecKey, "P-384")
	enc["use"] = "enc"
	set, err := parseKeySet([]byte(keySet(enc, ecJWK("x", p256Key, "P-256"), ecJWK("ok", ecKey, "P-384"))))
	if err != nil || len(set) != 1 || set[0].kid != "ok" {
		t.Errorf("%v, %v: keys for other uses are left out", set, err)
	}
	twins, _ := parseKeySet([]byte(keySet(ecJWK("k", ecKey, "P-384"), rsaJWK("k", &rsaKey.PublicKey))))
	if _, err := pick(twins, "k", kindP384); !errors.Is(err, errTwoKeys) {
		t.Errorf("two keys under one kid: %v", err)
	}
}

// keyServer is a JWKS address that counts how often it is read.
type keyServer struct {
	*httptest.Server
	reads atomic.Int64
	set   atomic.Value
	down  atomic.Bool
}

func newKeyServer(t *testing.T) *keyServer {
	s := &keyServer{}
	s.set.Store(keySet(ecJWK("ec", ecKey, "P-384")))
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.reads.Add(1)
		switch {
		case s.down.Load():
			w.WriteHeader(http.StatusBadGateway)
		case r.URL.Path == "/moved":
			http.Redirect(w, r, "/jwks", http.StatusFound)
		default:
			w.Header().Set("Cache-Control", "public, max-age=60")
			fmt.Fprint(w, s.set.Load())
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestAFloodOfForgedKeyIdsCostsOneRead(t *testing.T) {
	s := newKeyServer(t)
	d := newDesk(t, func(c *Client) { c.JWKS, c.JWKSURL, c.Network = "", s.URL+"/jwks", NetworkLoopback })
	defer d.close()
	var wg sync.WaitGroup
	for range 50 {
		token := d.es384(func(h map[string]any, _ jwt.MapClaims) { h["kid"] = "ghost" })
		wg.Go(func() { d.refused(token, "key") })
	}
	wg.Wait()
	if _, err := d.verify(d.es384(nil)); err != nil {
		t.Fatal(err)
	}
	if n := s.reads.Load(); n != 1 {
		t.Errorf("the key set was read %d times", n)
	}
}

func TestKeysRotateAndTheLastGoodSetServesWhileTheAddressIsDown(t *testing.T) {
	s := newKeyServer(t)
	d := newDesk(t, func(c *Client) { c.JWKS, c.JWKSURL, c.Network = "", s.URL+"/jwks", NetworkLoopback })
	defer d.close()
	if _, err := d.verify(d.es384(nil)); err != nil {
		t.Fatal(err)
	}
	s.set.Store(keySet(ecJWK("new", otherKey, "P-384")))
	d.now = d.now.Add(refetchEvery + time.Second)
	fresh := sign(t, jwt.SigningMethodES384, otherKey, map[string]any{"kid": "new"}, d.claims())
	if _, err := d.verify(fresh); err != nil {
		t.Errorf("a new kid is read at once: %v", err)
	}
	d.refused(d.es384(nil), "key") // the old key is gone with the old set
	s.down.Store(true)
	d.now = d.now.Add(30 * time.Minute)
	still := sign(t, jwt.SigningMethodES384, otherKey, map[string]any{"kid": "new"}, d.claims())
	if _, err := d.verify(still); err != nil {
		t.Errorf("the last good set serves while the address is down: %v", err)
	}
	d.now = d.now.Add(2 * time.Hour)
	late := sign(t, jwt.SigningMethodES384, otherKey, map[string]any{"kid": "new"}, d.claims())
	d.refused(late, "key")
}

func TestOnlyRegisteredAddressesAreEverRead(t *testing.T) {
	s := newKeyServer(t)
	d := newDesk(t, func(c *Client) {
		c.JWKS, c.JWKSURL, c.JKUs, c.Network = "", s.URL+"/jwks", []string{s.URL + "/moved"}, NetworkLoopback
	})
	defer d.close()
	d.refused(d.es384(func(h map[string]any, _ jwt.MapClaims) { h["jku"] = s.URL + "/jwks?x=1" }), "jku")
	d.refused(d.es384(func(h map[string]any, _ jwt.MapClaims) { h["jku"] = s.URL + "/other" }), "jku")
	if n := s.reads.Load(); n != 0 {
		t.Errorf("an unregistered address was read %d times", n)
	}
	d.refused(d.es384(func(h map[string]any, _ jwt.MapClaims) { h["jku"] = s.URL + "/moved" }), "key") // a redirect is not followed
	if n := s.reads.Load(); n != 1 {
		t.Errorf("%d reads, want 1", n)
	}
}

// close drops the idle connections of the desk's key sources.
func (d *desk) close() {
	for _, k := range d.reg.keys {
		if k.client != nil {
			k.client.CloseIdleConnections()
		}
	}
}

func FuzzVerify(f *testing.F) {
	d := &desk{now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)}
	d.reg, _ = New([]Client{{Name: "ehr", Issuer: issuer, JWKS: keySet(ecJWK("ec", ecKey, "P-384"))}}, Options{Now: func() time.Time { return d.now }})
	f.Add("a.b.c")
	f.Add(b64([]byte(`{"alg":"none","kid":"ec","typ":"JWT"}`)) + "." + b64([]byte(`{"iss":"`+issuer+`"}`)) + ".")
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := d.verify(token); !errors.Is(err, ErrUnauthorized) {
			t.Fatalf("accepted %q: %v", token, err)
		}
	})
}
