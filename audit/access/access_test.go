// SPDX-License-Identifier: Apache-2.0

package access

// This file: tokens that hold and tokens that do not, roles, reasons, failures and
// the record of a reading.

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sepsisagent/sepsisagent/audit"
)

var (
	rsaKey, _   = rsa.GenerateKey(rand.Reader, 2048)
	otherKey, _ = rsa.GenerateKey(rand.Reader, 2048)
	ecKey, _    = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	now         = time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// provider serves a key set and counts who asked for it.
func provider(t *testing.T) (url string, asked *int) {
	t.Helper()
	point, err := ecKey.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(map[string]any{"keys": []map[string]string{
		{"kty": "RSA", "kid": "rsa", "use": "sig", "alg": "RS256", "n": b64(rsaKey.N.Bytes()), "e": "AQAB"},
		{"kty": "EC", "kid": "ec", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])},
		{"kty": "RSA", "kid": "enc", "use": "enc", "n": b64(otherKey.N.Bytes()), "e": "AQAB"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	asked = new(int)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		*asked++
		w.Header().Set("Content-Type", "application/json")
		w.Write(set)
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

func gate(t *testing.T) (*Gate, *int) {
	t.Helper()
	url, asked := provider(t)
	g, err := New(Config{
		Issuer: "https://id.example", Audience: "sepsis-audit", JWKSURL: url, Network: "loopback", RolesClaim: "realm_access.roles",
		Auditors: []string{"aud"}, Investigators: []string{"inv"}, Operators: []string{"ops"}, FailuresPerMinute: 3,
	}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	return g, asked
}

func claims(change func(jwt.MapClaims)) jwt.MapClaims {
	c := jwt.MapClaims{
		"iss": "https://id.example", "aud": "sepsis-audit", "sub": "anna", "jti": "t1", "iat": now.Add(-time.Minute).Unix(), "exp": now.Add(10 * time.Minute).Unix(),
		"realm_access": map[string]any{"roles": []string{"aud", "something-else"}},
	}
	if change != nil {
		change(c)
	}
	return c
}

func signed(t *testing.T, method jwt.SigningMethod, kid string, key any, c jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, c)
	if kid != "" {
		token.Header["kid"] = kid
	}
	out, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestATokenThatHoldsGivesItsRoles(t *testing.T) {
	g, _ := gate(t)
	for _, tc := range []struct {
		name  string
		token string
		want  []Role
	}{
		{"RS256", signed(t, jwt.SigningMethodRS256, "rsa", rsaKey, claims(nil)), []Role{Auditor}},
		{"ES256, audience in a list", signed(t, jwt.SigningMethodES256, "ec", ecKey, claims(func(c jwt.MapClaims) { c["aud"] = []string{"other", "sepsis-audit"} })), []Role{Auditor}},
		{"two roles in one text", signed(t, jwt.SigningMethodES256, "ec", ecKey, claims(func(c jwt.MapClaims) {
			c["realm_access"] = map[string]any{"roles": "ops inv"}
		})), []Role{Investigator, Operator}},
		{"no roles at all", signed(t, jwt.SigningMethodES256, "ec", ecKey, claims(func(c jwt.MapClaims) { delete(c, "realm_access") })), nil},
		{"roles that are no list", signed(t, jwt.SigningMethodES256, "ec", ecKey, claims(func(c jwt.MapClaims) { c["realm_access"] = "aud" })), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := g.Verify(t.Context(), tc.token)
			if err != nil || !slices.Equal(r.Roles, tc.want) || r.User() != "oidc/anna" {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

func TestATokenThatDoesNotHoldIsRefused(t *testing.T) {
	g, _ := gate(t)
	good := signed(t, jwt.SigningMethodRS256, "rsa", rsaKey, claims(nil))
	parts := strings.Split(good, ".")
	twice := b64([]byte(`{"alg":"RS256","kid":"rsa","alg":"none"}`))
	with := func(change func(jwt.MapClaims)) string {
		return signed(t, jwt.SigningMethodRS256, "rsa", rsaKey, claims(change))
	}
	for name, token := range map[string]string{
		"nothing":                          "",
		"a word":                           "token",
		"no signature":                     parts[0] + "." + parts[1] + ".",
		"alg none":                         signed(t, jwt.SigningMethodNone, "rsa", jwt.UnsafeAllowNoneSignatureType, claims(nil)),
		"the public key as an HMAC secret": signed(t, jwt.SigningMethodHS256, "rsa", rsaKey.N.Bytes(), claims(nil)),
		"signed with RS384":                signed(t, jwt.SigningMethodRS384, "rsa", rsaKey, claims(nil)),
		"signed with PS256":                signed(t, jwt.SigningMethodPS256, "rsa", rsaKey, claims(nil)),
		"another key under our kid":        signed(t, jwt.SigningMethodRS256, "rsa", otherKey, claims(nil)),
		"a key for encryption":             signed(t, jwt.SigningMethodRS256, "enc", otherKey, claims(nil)),
		"the kid of a key of another kind": signed(t, jwt.SigningMethodRS256, "ec", rsaKey, claims(nil)),
		"no kid":                           signed(t, jwt.SigningMethodRS256, "", rsaKey, claims(nil)),
		"a header that names alg twice":    twice + "." + parts[1] + "." + parts[2],
		"claims that were changed":         parts[0] + "." + b64([]byte(`{"iss":"https://id.example","sub":"eve"}`)) + "." + parts[2],
		"another issuer":                   with(func(c jwt.MapClaims) { c["iss"] = "https://id.example.evil" }),
		"an issuer that is a list":         with(func(c jwt.MapClaims) { c["iss"] = []string{"https://id.example"} }),
		"another audience":                 with(func(c jwt.MapClaims) { c["aud"] = "other" }),
		"no audience":                      with(func(c jwt.MapClaims) { delete(c, "aud") }),
		"expired":                          with(func(c jwt.MapClaims) { c["exp"] = now.Add(-2 * time.Minute).Unix() }),
		"no exp":                           with(func(c jwt.MapClaims) { delete(c, "exp") }),
		"no iat":                           with(func(c jwt.MapClaims) { delete(c, "iat") }),
		"issued in the future":             with(func(c jwt.MapClaims) { c["iat"] = now.Add(5 * time.Minute).Unix() }),
		"not valid yet":                    with(func(c jwt.MapClaims) { c["nbf"] = now.Add(5 * time.Minute).Unix() }),
		"it lives a day":                   with(func(c jwt.MapClaims) { c["exp"] = now.Add(24 * time.Hour).Unix() }),
		"no sub":                           with(func(c jwt.MapClaims) { delete(c, "sub") }),
		"a sub with a line break":          with(func(c jwt.MapClaims) { c["sub"] = "anna\nroot" }),
		"a sub that is a number":           with(func(c jwt.MapClaims) { c["sub"] = 7 }),
		"longer than any token":            good + strings.Repeat("A", 10<<10),
		"four parts":                       good + ".x",
	} {
		t.Run(name, func(t *testing.T) {
			if r, err := g.Verify(t.Context(), token); !errors.Is(err, ErrUnauthenticated) {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

func TestForgedKeyIdsDoNotBecomeRequestsToTheProvider(t *testing.T) {
	g, asked := gate(t)
	for i := range 50 {
		if _, err := g.Verify(t.Context(), signed(t, jwt.SigningMethodRS256, fmt.Sprint("kid", i), otherKey, claims(nil))); err == nil {
			t.Fatal("a forged token holds")
		}
	}
	if *asked > 1 {
		t.Errorf("the provider was asked %d times", *asked)
	}
}

func TestRightsAreNoMoreThanTheRole(t *testing.T) {
	want := map[Role][]Right{Auditor: {Integrity, Rates, Records}, Investigator: {Integrity, Patient}, Operator: {Integrity, Rates}}
	for _, role := range []Role{Auditor, Investigator, Operator} {
		for _, right := range []Right{Integrity, Rates, Records, Patient} {
			err := Reader{Roles: []Role{role}}.May(right, "a reason that says something")
			if may := slices.Contains(want[role], right); (err == nil) != may {
				t.Errorf("%s, %s: %v", role, right, err)
			}
		}
	}
	if err := (Reader{}).May(Integrity, "a reason that says something"); !errors.Is(err, ErrForbidden) {
		t.Errorf("no role: %v", err)
	}
	if err := (Reader{Roles: []Role{Investigator}}).May(Patient, ""); !errors.Is(err, ErrReason) {
		t.Errorf("without a reason: %v", err)
	}
}

func TestAReasonSaysSomething(t *testing.T) {
	for text, ok := range map[string]bool{
		"adverse event 2026-114, asked by the board": true, "short": false, "": false, "          ": false,
		"two\nlines of a reason": false, strings.Repeat("a", 501): false, "not text \xff\xfe\xff\xff\xff\xff": false, "Zwischenfall überprüft": true,
	} {
		got, err := Reason(http.Header{ReasonHeader: {text}})
		if (err == nil) != ok || ok && got != text {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	if got, err := Reason(http.Header{}); got != "" || err != nil {
		t.Errorf("none: %q, %v", got, err)
	}
}

func request(token, address string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/audit/records", nil)
	r.RemoteAddr = address
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

func TestFailuresAreLimitedAndDoNotLockOthersOut(t *testing.T) {
	g, _ := gate(t)
	good := signed(t, jwt.SigningMethodRS256, "rsa", rsaKey, claims(nil))
	for i := range 5 {
		_, err := g.Authenticate(request("wrong", "192.0.2.1:99"))
		if want := map[bool]error{true: ErrUnauthenticated, false: ErrTooMany}[i < 3]; !errors.Is(err, want) {
			t.Errorf("failure %d: %v", i, err)
		}
	}
	if _, err := g.Authenticate(request(good, "192.0.2.1:100")); err != nil {
		t.Errorf("a token that holds, behind the same address: %v", err)
	}
	if _, err := g.Authenticate(request("wrong", "192.0.2.2:1")); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("another address: %v", err)
	}
	anna, err := g.Verify(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		g.Failed(anna)
	}
	if _, err := g.Authenticate(request(good, "192.0.2.3:1")); !errors.Is(err, ErrTooMany) {
		t.Errorf("a reader who guessed: %v", err)
	}
	two := request(good, "192.0.2.4:1")
	two.Header.Add("Authorization", "Bearer "+good)
	if _, err := g.Authenticate(two); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("two authorization headers: %v", err)
	}
}

func TestVeryManyAddressesTakeNoMoreMemoryThanTheyMay(t *testing.T) {
	f := newFailures(3, func() time.Time { return now })
	for i := range maxFailing + 500 {
		f.add(fmt.Sprint(i))
	}
	if len(f.by) != maxFailing || !f.add("one more") {
		t.Errorf("%d are remembered", len(f.by))
	}
}

func TestAConfigurationThatCannotWorkIsRefused(t *testing.T) {
	good := Config{Issuer: "i", Audience: "a", JWKSURL: "https://id.example/jwks", Auditors: []string{"x"}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("nothing at all: %v", err)
	}
	for name, change := range map[string]func(*Config){
		"no issuer":                   func(c *Config) { c.Issuer = "" },
		"no audience":                 func(c *Config) { c.Audience = "" },
		"no keys":                     func(c *Config) { c.JWKSURL = "" },
		"keys over http":              func(c *Config) { c.JWKSURL = "http://id.example/jwks" },
		"keys on loopback":            func(c *Config) { c.JWKSURL = "https://127.0.0.1/jwks" },
		"nobody has a role":           func(c *Config) { c.Auditors = nil },
		"an empty value is a role":    func(c *Config) { c.Operators = []string{""} },
		"HS256":                       func(c *Config) { c.Algorithms = []string{"HS256"} },
		"none":                        func(c *Config) { c.Algorithms = []string{"none"} },
		"tokens that live a week":     func(c *Config) { c.MaxTokenLife = 7 * 24 * time.Hour },
		"a network that there is not": func(c *Config) { c.Network = "moon" },
	} {
		c := good
		change(&c)
		if err := c.Validate(); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type appender struct {
	entries []audit.Entry
	err     error
}

func (a *appender) Append(_ context.Context, e audit.Entry) (audit.Appended, error) {
	a.entries = append(a.entries, e)
	return audit.Appended{}, errors.Join(a.err, e.Validate())
}

func TestAReadingSaysWhoReadWhatAndWhy(t *testing.T) {
	a := &appender{}
	ctx, hangUp := context.WithCancel(t.Context())
	hangUp()
	r := Reading{Reader: Reader{Subject: "anna", Roles: []Role{Investigator}}, Via: "api", Command: "GET /audit/records", Found: 3, Patient: "p1", Reason: "adverse event 7"}
	if err := Record(ctx, a, r); err != nil {
		t.Fatal(err)
	}
	ix := a.entries[0].Index
	if ix.Kind != KindRead || ix.User != "oidc/anna" || ix.Patient != "p1" || ix.HTTP != 200 || !slices.Contains(ix.Reasons, "break-glass") {
		t.Errorf("%+v", ix)
	}
	if body := string(a.entries[0].Body); !strings.Contains(body, "adverse event 7") || !strings.Contains(body, `"found":3`) {
		t.Errorf("body %s", body)
	}
	a.err = errors.New("disk full")
	if err := Record(ctx, a, r); !errors.Is(err, a.err) {
		t.Errorf("error %v", err)
	}
}

// FuzzVerify: whatever comes as a token, nobody gets in without our provider's key.
func FuzzVerify(f *testing.F) {
	for _, s := range []string{"", "a.b.c", "eyJhbGciOiJub25lIiwia2lkIjoicnNhIn0.e30.", "eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUifQ.AA"} {
		f.Add(s)
	}
	g, err := New(Config{Issuer: "https://id.example", Audience: "a", JWKSURL: "https://127.0.0.1:1/keys", Network: "loopback", Auditors: []string{"a"}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if r, err := g.Verify(t.Context(), raw); !errors.Is(err, ErrUnauthenticated) || len(r.Roles) > 0 {
			t.Fatalf("%q: %+v, %v", raw, r, err)
		}
	})
}
