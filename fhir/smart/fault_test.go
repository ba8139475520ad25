// SPDX-License-Identifier: Apache-2.0

package smart

// This file: what a discovery document, a token answer and a registration may
// get wrong, each refused with a sentence that says so and shows no secret.

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

const secretToken = "very-secret-token"

func TestFaultsOfTheTokenEndpoint(t *testing.T) {
	body := func(status int, kind, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			fmt.Fprint(w, text)
		}
	}
	good := map[string]any{"access_token": secretToken, "token_type": "Bearer", "expires_in": 300, "scope": "system/*.rs"}
	but := func(member string, value any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			out := map[string]any{}
			for k, v := range good {
				out[k] = v
			}
			write(w, out, map[string]any{member: value})
		}
	}
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		want   error
		says   string
	}{
		"an HTML page":  {body(200, "text/html; charset=utf-8", "<html>"+secretToken), ErrAnswer, "HTML"},
		"a huge answer": {body(200, "application/json", `{"access_token":"`+strings.Repeat("a", maxDocument)), ErrAnswer, "64 KiB"},
		"no JSON":       {body(200, "application/json", "ok "+secretToken), ErrAnswer, "JSON object"},
		"a JSON null":   {body(200, "application/json", "null"), ErrAnswer, "JSON object"},
		"nothing":       {body(200, "application/json", ""), ErrAnswer, "JSON object"},
		"half an answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "500")
			fmt.Fprint(w, "{")
		}, ErrAnswer, "broke off"},
		"no access token":                   {but("access_token", nil), ErrAnswer, "access_token"},
		"an access token that is a number":  {but("access_token", 7), ErrAnswer, "access_token"},
		"an access token with a line break": {but("access_token", secretToken+"\r\nX-Evil: 1"), ErrAnswer, "access_token"},
		"an access token of 17 kB":          {but("access_token", strings.Repeat("a", 17<<10)), ErrAnswer, "access_token"},
		"the member in capitals":            {body(200, "application/json", `{"ACCESS_TOKEN":"`+secretToken+`","token_type":"Bearer","expires_in":300}`), ErrAnswer, "access_token"},
		"a MAC token":                       {but("token_type", "mac"), ErrAnswer, "token_type"},
		"no token type":                     {but("token_type", nil), ErrAnswer, "token_type"},
		"a life of nothing":                 {but("expires_in", 0), ErrAnswer, "expires_in"},
		"a negative life":                   {but("expires_in", -300), ErrAnswer, "expires_in"},
		"a life in words":                   {but("expires_in", "soon"), ErrAnswer, "expires_in"},
		"a fraction of a life":              {but("expires_in", 0.5), ErrAnswer, "expires_in"},
		"a scope that is a list":            {but("scope", []string{"system/*.rs"}), ErrAnswer, "scope"},
		"a scope that is too small":         {but("scope", "system/Patient.rs"), ErrScope, "system/Observation.rs"},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, ErrAnswer, "redirects"},
		"no content":                     {body(204, "application/json", ""), ErrRefused, "204"},
		"invalid_client":                 {body(401, "application/json", `{"error":"invalid_client","error_description":"`+secretToken+`"}`), ErrRefused, "published"},
		"an error in HTML":               {body(500, "text/html", "<h1>"+secretToken), ErrRefused, "500"},
		"an error that is no error code": {body(400, "application/json", `{"error":"see `+secretToken+`"}`), ErrRefused, "unknown error"},
	} {
		t.Run(name, func(t *testing.T) {
			e, c := newEHR(t), newClock()
			e.answer(tc.answer)
			elsewhere := 0
			e.Config.Handler.(*http.ServeMux).HandleFunc("/elsewhere", func(http.ResponseWriter, *http.Request) { elsewhere++ })
			s := e.source(c, nil)
			g, err := s.Grant(t.Context())
			if !errors.Is(err, tc.want) || !errors.Is(err, ErrNoAccess) || g.Token != "" {
				t.Fatalf("error %v, want %v", err, tc.want)
			}
			if !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %q does not say %q", err, tc.says)
			}
			for _, secret := range []string{secretToken, e.URL, e.forms[0]["client_assertion"][0]} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("error %q shows %q", err, secret)
				}
			}
			if elsewhere != 0 {
				t.Error("an assertion was sent where a redirect pointed")
			}
		})
	}
}

func TestAnEndpointThatIsSlowOrDown(t *testing.T) {
	e, c := newEHR(t), newClock()
	e.answer(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s := e.source(c, func(cfg *Config) { cfg.Timeout = 30 * time.Millisecond })
	if _, err := s.Token(t.Context()); !errors.Is(err, ErrNoAccess) || !errors.Is(err, errSlow) {
		t.Errorf("slow: %v", err)
	}
	e.answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, "{")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	c.forward(time.Minute)
	if _, err := s.Token(t.Context()); !errors.Is(err, ErrNoAccess) || !errors.Is(err, errSlow) {
		t.Errorf("slow in the middle: %v", err)
	}
	down := newEHR(t)
	s = down.source(c, nil)
	down.Close()
	_, err := s.Token(t.Context())
	if !errors.Is(err, ErrNoAccess) || !errors.Is(err, errNet) || strings.Contains(err.Error(), down.URL) {
		t.Errorf("down: %v", err)
	}
}

func TestDiscoveryDocuments(t *testing.T) {
	base, err := url.Parse("https://ehr.example.org/fhir/r4")
	if err != nil {
		t.Fatal(err)
	}
	endpoint := `"token_endpoint":"https://ehr.example.org/oauth2/token"`
	for name, tc := range map[string]struct{ doc, says string }{
		"the least there is":           {"{" + endpoint + "}", ""},
		"the default port written out": {`{"token_endpoint":"https://EHR.example.org:443/token"}`, ""},
		"empty lists":                  {"{" + endpoint + `,"capabilities":[],"grant_types_supported":[]}`, ""},
		"private_key_jwt, and a list of capabilities that leaves it out": {"{" + endpoint + `,"token_endpoint_auth_methods_supported":["private_key_jwt"],"capabilities":["launch-ehr"]}`, ""},
		"no token endpoint":           {`{"authorization_endpoint":"https://ehr.example.org/a"}`, "names no token_endpoint"},
		"the member in capitals":      {`{"TOKEN_ENDPOINT":"https://ehr.example.org/t"}`, "names no token_endpoint"},
		"not JSON":                    {`<html>`, "JSON object"},
		"a list":                      {`[]`, "JSON object"},
		"null":                        {`null`, "JSON object"},
		"an endpoint without TLS":     {`{"token_endpoint":"http://ehr.example.org/token"}`, "https"},
		"an endpoint on loopback":     {`{"token_endpoint":"http://127.0.0.1/token"}`, "https"},
		"a relative endpoint":         {`{"token_endpoint":"/oauth2/token"}`, "https"},
		"an endpoint with a password": {`{"token_endpoint":"https://a:b@ehr.example.org/token"}`, "https"},
		"an endpoint elsewhere":       {`{"token_endpoint":"https://evil.example.org/token"}`, "another origin"},
		"an endpoint on another port": {`{"token_endpoint":"https://ehr.example.org:8443/token"}`, "another origin"},
		"a name that begins alike":    {`{"token_endpoint":"https://ehr.example.org.evil.org/token"}`, "another origin"},
		"no private_key_jwt":          {"{" + endpoint + `,"token_endpoint_auth_methods_supported":["client_secret_basic"]}`, "private_key_jwt"},
		"no client_credentials":       {"{" + endpoint + `,"grant_types_supported":["authorization_code"]}`, "client_credentials"},
		"no Backend Services":         {"{" + endpoint + `,"capabilities":["launch-ehr"]}`, "client-confidential-asymmetric"},
		"a list that is none":         {"{" + endpoint + `,"capabilities":"all"}`, "list of words"},
	} {
		_, err := ParseDiscovery([]byte(tc.doc), base)
		if tc.says == "" && err != nil || tc.says != "" && (!errors.Is(err, ErrDiscovery) || !strings.Contains(err.Error(), tc.says)) {
			t.Errorf("%s: error %v, want %q", name, err, tc.says)
		}
	}
}

func TestFaultsOfDiscoveryItself(t *testing.T) {
	stranger := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stranger++ }))
	defer other.Close()
	for name, tc := range map[string]struct {
		answer func(*ehr) http.HandlerFunc
		says   string
	}{
		"none": {func(*ehr) http.HandlerFunc { return http.NotFound }, "token_url"},
		"a redirect to a stranger": {func(*ehr) http.HandlerFunc {
			return http.RedirectHandler(other.URL, http.StatusFound).ServeHTTP
		}, "302"},
		"an endpoint at a stranger": {func(e *ehr) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				e.document(w, map[string]any{"token_endpoint": other.URL + "/token"})
			}
		}, "another origin"},
		"algorithms that no key of ours has": {func(e *ehr) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				e.document(w, map[string]any{"token_endpoint_auth_signing_alg_values_supported": []string{"RS384"}})
			}
		}, "RS384"},
	} {
		e, c := newEHR(t), newClock()
		e.discovery = tc.answer(e)
		if _, err := e.source(c, nil).Token(t.Context()); !errors.Is(err, ErrNoAccess) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: error %v does not say %q", name, err, tc.says)
		}
		if e.asked.Load() != 0 || stranger != 0 {
			t.Errorf("%s: an assertion was sent", name)
		}
	}
}

func TestARegisteredTokenURLIsUsedWithoutDiscovery(t *testing.T) {
	e, c := newEHR(t), newClock()
	other := newEHR(t)
	s := e.source(c, func(cfg *Config) { cfg.TokenURL = other.URL + "/token" })
	wantToken(t, s, "token-1")
	if e.found.Load() != 0 || e.asked.Load() != 0 || other.asked.Load() != 1 {
		t.Error("the registered address was not the one that was asked")
	}
}

func TestRegistrationsWithMistakesAreRefused(t *testing.T) {
	ring := ringOf(t, entry{alg: "ES384", status: StatusCurrent, kid: "k1"}, entry{alg: "RS384", status: StatusNext, kid: "k2"})
	good := Config{Base: "https://ehr.example.org/fhir/", ClientID: "app-7", HTTP: &http.Client{}}
	if s, err := New(good, ring); err != nil {
		t.Fatal(err)
	} else {
		s.Close()
	}
	for name, tc := range map[string]struct {
		change func(*Config)
		says   string
	}{
		"plain http":              {func(c *Config) { c.Base = "http://ehr.example.org/fhir" }, "https"},
		"no host":                 {func(c *Config) { c.Base = "https:///fhir" }, "https"},
		"no client id":            {func(c *Config) { c.ClientID = "" }, "client id"},
		"no HTTP client":          {func(c *Config) { c.HTTP = nil }, "HTTP client"},
		"a plain token URL":       {func(c *Config) { c.TokenURL = "http://ehr.example.org/token" }, "token URL"},
		"a token URL on loopback": {func(c *Config) { c.TokenURL = "http://localhost/token" }, "token URL"},
		"two scopes in one":       {func(c *Config) { c.Scopes = []string{"system/Patient.rs system/Observation.rs"} }, "one scope each"},
		"a base with a query":     {func(c *Config) { c.Base += "?x=1" }, "without query"},
		"a key that is for later": {func(c *Config) { c.Algorithm = "RS384" }, "RS384"},
	} {
		cfg := good
		tc.change(&cfg)
		if _, err := New(cfg, ring); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: error %v does not say %q", name, err, tc.says)
		}
	}
	if _, err := New(good, nil); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "keys_file") {
		t.Errorf("no keys: %v", err)
	}
}

func TestAGrantIsNeverPrinted(t *testing.T) {
	g := Grant{Token: secretToken, Scope: "system/Patient.rs"}
	encoded, err := json.Marshal(map[string]any{"grant": g})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(g), fmt.Sprintf("%+v", g), fmt.Sprintf("%#v", g), fmt.Sprintf("%v", &g), string(encoded)} {
		if strings.Contains(text, secretToken) {
			t.Errorf("%q shows the token", text)
		}
	}
}

func FuzzDiscovery(f *testing.F) {
	base, err := url.Parse("https://ehr.example.org/fhir")
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"token_endpoint":"https://ehr.example.org/token","capabilities":["client-confidential-asymmetric"]}`))
	f.Add([]byte(`{"token_endpoint":"https://ehr.example.org@evil.org/token"}`))
	f.Add([]byte(`{"token_endpoint":"https://ehr.example.org/token","grant_types_supported":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := ParseDiscovery(data, base)
		if err != nil {
			if !errors.Is(err, ErrDiscovery) {
				t.Fatal(err)
			}
			return
		}
		u, err := url.Parse(d.TokenURL)
		if err != nil || u.Scheme != "https" || !strings.EqualFold(u.Hostname(), "ehr.example.org") || u.Port() != "" && u.Port() != "443" {
			t.Fatalf("a token endpoint elsewhere was taken: %q", d.TokenURL)
		}
	})
}

func FuzzToken(f *testing.F) {
	f.Add([]byte(`{"access_token":"t","token_type":"bearer","expires_in":300,"scope":"system/*.rs"}`))
	f.Add([]byte(`{"access_token":"t","token_type":"bearer","expires_in":"300"}`))
	f.Add([]byte(`{"access_token":"t\n","token_type":"bearer","expires_in":1e3}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := ParseToken(data)
		if err != nil {
			if !errors.Is(err, ErrAnswer) || a != (Answer{}) {
				t.Fatal(err)
			}
			return
		}
		if a.Life <= 0 || a.Life > maxLife || strings.ContainsAny(a.Value, " \r\n\x00") {
			t.Fatalf("taken: %q for %v", a.Value, a.Life)
		}
	})
}

func FuzzKey(f *testing.F) {
	f.Add(newPEM(f, "ES384"))
	f.Add([]byte(`{"kty":"EC","crv":"P-384","d":"AAAA","x":"AA","y":"AA"}`))
	f.Add([]byte(`{"kty":"RSA","n":"AAAA","e":"AQAB","d":"AA","p":"Aw","q":"Aw"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := ParseKey(data)
		if err != nil {
			if !errors.Is(err, ErrKeys) || k != nil {
				t.Fatal(err)
			}
			return
		}
		if k.ID == "" || k.Algorithm != "ES384" && k.Algorithm != "RS384" {
			t.Fatalf("taken: %q for %s", k.ID, k.Algorithm)
		}
		set := OneKey(k).PublicSet(time.Now())
		if !json.Valid(set) || strings.Contains(string(set), `"d":`) {
			t.Fatalf("published: %s", set)
		}
	})
}
