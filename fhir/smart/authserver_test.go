// SPDX-License-Identifier: Apache-2.0

package smart

// This file: getting tokens from an OAuth 2 server that we did not write
// (.ci/authserver: npm oidc-provider), which verifies our assertions by the
// key set that we publish. .ci/run starts it.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

// authServer is the address of the server, or the test is skipped.
func authServer(t *testing.T) string {
	t.Helper()
	address := os.Getenv("SEPSISAGENT_AUTHSERVER")
	if address == "" {
		t.Skip("SEPSISAGENT_AUTHSERVER is not set: start .ci/authserver (node server.mjs) and set it to the address it prints")
	}
	return strings.TrimRight(address, "/")
}

// registered registers a client by RFC 7591 whose keys are those that ring
// publishes, and returns its configuration.
func registered(t *testing.T, ring *Ring, name string, more map[string]any) Config {
	t.Helper()
	server := authServer(t)
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(ring.PublicSet(time.Now()))
	}))
	t.Cleanup(keys.Close)
	need := []string{"Encounter", "MedicationAdministration", "Observation", "Patient"}
	want := []string{"Condition", "Medication"}
	metadata := map[string]any{"client_name": name, "jwks_uri": keys.URL, "scope": strings.Join(Scopes(append(want, need...), false), " ")}
	for k, v := range more {
		metadata[k] = v
	}
	body, err := json.Marshal(metadata)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post(server+"/reg", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var client struct {
		ID string `json:"client_id"`
	}
	if err := json.NewDecoder(res.Body).Decode(&client); err != nil || client.ID == "" {
		t.Fatalf("registration answers %d, %v", res.StatusCode, err)
	}
	return Config{Base: server + "/fhir", ClientID: client.ID, Need: need, Want: want, HTTP: &http.Client{}, Timeout: 10 * time.Second}
}

// opened makes a source and closes it after the test.
func opened(t *testing.T, cfg Config, ring *Ring) *Source {
	t.Helper()
	s, err := New(cfg, ring)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		cfg.HTTP.CloseIdleConnections()
		http.DefaultClient.CloseIdleConnections()
	})
	return s
}

// search asks the server's FHIR side and returns the status.
func search(t *testing.T, cfg Config, kind, token string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, cfg.Base+"/"+kind+"?patient=x", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := cfg.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

func TestAServerWeDidNotWriteGrantsBothAlgorithms(t *testing.T) {
	for _, alg := range []string{"ES384", "RS384"} {
		t.Run(alg, func(t *testing.T) {
			ring := ringOf(t, entry{alg: alg, status: StatusCurrent})
			cfg := registered(t, ring, "ehr", map[string]any{"token_endpoint_auth_signing_alg": alg})
			s := opened(t, cfg, ring)
			g, err := s.Grant(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if life := time.Until(g.Expires); life <= 4*time.Minute || life > 5*time.Minute {
				t.Errorf("the token lives %v, the server gives 300 s", life)
			}
			for _, kind := range append(cfg.Need, cfg.Want...) {
				if status := search(t, cfg, kind, g.Token); status != http.StatusOK {
					t.Errorf("%s answers %d", kind, status)
				}
			}
			if status := search(t, cfg, "Procedure", g.Token); status != http.StatusForbidden {
				t.Errorf("Procedure, which was not asked for, answers %d", status)
			}
			if status := search(t, cfg, "Patient", "x"+g.Token); status != http.StatusUnauthorized {
				t.Errorf("another token answers %d", status)
			}
			report, err := s.Check(t.Context())
			if err != nil || report.Algorithm != alg || !strings.Contains(report.Scope, "system/Observation.rs") {
				t.Errorf("report %v, %v", report, err)
			}
		})
	}
}

func TestAServerWeDidNotWriteGrantsTheOlderScopes(t *testing.T) {
	ring := ringOf(t, entry{alg: "ES384", status: StatusCurrent})
	cfg := registered(t, ring, "ehr", map[string]any{"scope": "system/Patient.read system/Observation.read"})
	cfg.Need, cfg.Want = []string{"Observation", "Patient"}, nil
	cfg.Scopes = Scopes(cfg.Need, true)
	g, err := opened(t, cfg, ring).Grant(t.Context())
	if err != nil || g.Scope != "system/Observation.read system/Patient.read" {
		t.Errorf("granted %q, %v", g.Scope, err)
	}
}

func TestAServerWeDidNotWriteRefuses(t *testing.T) {
	type set struct {
		cfg  *Config
		ring **Ring // the one that signs
	}
	tests := []struct {
		name   string
		client string
		change func(*testing.T, set)
		want   error
		code   string
	}{
		{"a client it does not know", "ehr", func(_ *testing.T, s set) { s.cfg.ClientID = "nobody" }, ErrRefused, "invalid_client"},
		{"another key under the id of ours", "ehr", func(t *testing.T, s set) {
			*s.ring = ringOf(t, entry{alg: "ES384", status: StatusCurrent, kid: (*s.ring).keys[0].ID})
		}, ErrRefused, "invalid_client"},
		{"a key that was never published", "ehr", func(t *testing.T, s set) {
			*s.ring = ringOf(t, entry{alg: "ES384", status: StatusCurrent})
		}, ErrRefused, "invalid_client"},
		{"an assertion that has expired", "ehr", func(_ *testing.T, s set) {
			s.cfg.Now = func() time.Time { return time.Now().Add(-time.Hour) }
		}, ErrRefused, "invalid_client"},
		{"an audience that is another server's", "ehr", func(t *testing.T, s set) {
			relay := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_ = r.ParseForm()
				res, err := http.PostForm(strings.TrimSuffix(s.cfg.Base, "/fhir")+"/token", r.PostForm)
				if err != nil {
					w.WriteHeader(http.StatusBadGateway)
					return
				}
				defer res.Body.Close()
				w.WriteHeader(res.StatusCode)
				_, _ = io.Copy(w, res.Body)
			}))
			t.Cleanup(relay.Close)
			s.cfg.TokenURL = relay.URL
		}, ErrRefused, "invalid_client"},
		{"a scope that is not ours", "ehr", func(_ *testing.T, s set) {
			s.cfg.Scopes = []string{"system/Procedure.rs"}
		}, ErrRefused, "invalid_scope"},
		{"in silence, by granting less than we need", "narrow", func(*testing.T, set) {}, ErrScope, ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			ring := ringOf(t, entry{alg: "ES384", status: StatusCurrent})
			cfg := registered(t, ring, tc.client, nil)
			tc.change(t, set{&cfg, &ring})
			_, err := opened(t, cfg, ring).Token(t.Context())
			if !errors.Is(err, tc.want) || !errors.Is(err, ErrNoAccess) {
				t.Fatalf("error %v, want %v", err, tc.want)
			}
			var refused *TokenError
			if tc.code != "" && (!errors.As(err, &refused) || refused.Code != tc.code) {
				t.Errorf("error %v, want code %s", err, tc.code)
			}
			if tc.want == ErrScope && !strings.Contains(err.Error(), "system/Observation.rs") {
				t.Errorf("error %q does not say which scope to grant", err)
			}
		})
	}
}

func TestAServerWeDidNotWriteTakesEachAssertionOnce(t *testing.T) {
	ring := ringOf(t, entry{alg: "ES384", status: StatusCurrent})
	cfg := registered(t, ring, "ehr", nil)
	cfg.Random = bytes.NewReader(bytes.Repeat([]byte{7}, 16*2)) // two times the same jti
	first, second := opened(t, cfg, ring), opened(t, cfg, ring)
	if _, err := first.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	var refused *TokenError
	if _, err := second.Token(t.Context()); !errors.As(err, &refused) || refused.Code != "invalid_client" {
		t.Errorf("error %v for a jti that was used before", err)
	}
}

func TestKeysRotateAtAServerWeDidNotWriteWithoutARestart(t *testing.T) {
	first, second := entry{alg: "ES384", status: StatusCurrent}, entry{alg: "ES384", status: StatusNext}
	first.text, second.text = newPEM(t, "ES384"), newPEM(t, "ES384")
	dir := t.TempDir()
	ring := ringIn(t, dir, first, second)
	cfg := registered(t, ring, "ehr", nil)
	before := keyThatSigned(t, cfg, ring)
	first.status, second.status = StatusOld, StatusCurrent
	writeRing(t, dir, first, second)
	if changed, err := ring.Reload(); err != nil || !changed {
		t.Fatalf("reload: %t, %v", changed, err)
	}
	// The server still holds the set it read before: it knows the new key
	// because that was published as the next one.
	if after := keyThatSigned(t, cfg, ring); after == before {
		t.Error("the old key still signs")
	}
	third := entry{alg: "ES384", status: StatusCurrent, text: newPEM(t, "ES384")}
	second.status = StatusOld
	writeRing(t, dir, second, third)
	if _, err := ring.Reload(); err != nil {
		t.Fatal(err)
	}
	var refused *TokenError
	if _, err := opened(t, cfg, ring).Token(t.Context()); !errors.As(err, &refused) || refused.Code != "invalid_client" {
		t.Errorf("a key that signs before it was published: %v", err)
	}
}

// keyThatSigned gets a token by a new source and returns the id of the key.
func keyThatSigned(t *testing.T, cfg Config, ring *Ring) string {
	t.Helper()
	r, err := opened(t, cfg, ring).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r.Key
}

func TestATokenThatWasRevokedIsReplacedOnce(t *testing.T) {
	ring := ringOf(t, entry{alg: "ES384", status: StatusCurrent})
	cfg := registered(t, ring, "ehr", nil)
	ahead := time.Duration(0)
	cfg.Now = func() time.Time { return time.Now().Add(ahead) }
	s := opened(t, cfg, ring)
	token, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	revoke(t, cfg, ring, token)
	if status := search(t, cfg, "Patient", token); status != http.StatusUnauthorized {
		t.Fatalf("a revoked token answers %d", status)
	}
	ahead = 2 * youngest
	fresh, err := s.Renew(t.Context(), token)
	if err != nil || fresh == token {
		t.Fatalf("renewed to the same token: %v", err)
	}
	if status := search(t, cfg, "Patient", fresh); status != http.StatusOK {
		t.Errorf("the new token answers %d", status)
	}
	if again, err := s.Renew(t.Context(), fresh); !errors.Is(err, ErrNoAccess) || again != "" {
		t.Errorf("a new token was replaced at once: %v", err)
	}
}

// revoke ends a token as its client, by RFC 7009.
func revoke(t *testing.T, cfg Config, ring *Ring, token string) {
	t.Helper()
	endpoint := strings.TrimSuffix(cfg.Base, "/fhir") + "/token/revocation"
	assertion, err := ring.keys[0].assertion(cfg.ClientID, endpoint, "", time.Now(), strings.NewReader(t.Name()+strings.Repeat("-", 16)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	form := url.Values{"token": {token}, "client_id": {cfg.ClientID}, "client_assertion_type": {assertionType}, "client_assertion": {assertion}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := cfg.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(res.Body)
		t.Fatalf("revocation answers %d %s", res.StatusCode, body)
	}
}
