// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: launching the page of a card by an authorization server that we
// did not write (.ci/authserver: npm oidc-provider), with its sign-in, codes,
// PKCE and identities. .ci/run starts it.

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
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

// registerApp registers this service as a SMART app by RFC 7591.
func registerApp(t *testing.T, server string, metadata map[string]any) (id, secret string) {
	t.Helper()
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
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
		Error  string `json:"error_description"`
	}
	if err := json.NewDecoder(res.Body).Decode(&client); err != nil || client.ID == "" {
		t.Fatalf("registration answers %d %s, %v", res.StatusCode, client.Error, err)
	}
	return client.ID, client.Secret
}

func TestAServerWeDidNotWriteLaunchesThePage(t *testing.T) {
	for _, tc := range []struct{ name, auth, alg string }{
		{"a public app, RS256", "none", "RS256"}, {"a public app, ES384", "none", "ES384"}, {"a confidential app", "client_secret_basic", "ES384"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server := authServer(t)
			id, secret := registerApp(t, server, map[string]any{
				"client_name": "evidence", "redirect_uris": []string{"https://cds.example.org/launch/ehr/callback"}, "grant_types": []string{"authorization_code"},
				"response_types": []string{"code"}, "token_endpoint_auth_method": tc.auth, "id_token_signed_response_alg": tc.alg, "scope": "openid launch fhirUser",
			})
			file := ""
			if tc.auth != "none" {
				file = filepath.Join(t.TempDir(), "secret")
				if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c := open(t, func(_ *Deps, client *trust.Client) {
				client.FHIRServer, client.Network = server+"/fhir", trust.NetworkLoopback
				client.Launch = trust.Launch{ClientID: id, SecretFile: file}
			})
			card := c.view(physiology.SepticShock, func(body map[string]any) { body["fhirServer"] = server + "/fhir" }).cards()[0]
			ehr := signIn(t, c, server, map[string]any{"patient": fixtures().patients[physiology.SepticShock].id, "appContext": card.Links[0].AppContext})
			r, cookies := c.visit(ehr.back, ehr.cookie)
			if r.status != http.StatusSeeOther {
				t.Fatalf("status %d: %s, %s", r.status, r.body, last(c.records(KindRefusal)))
			}
			for _, k := range cookies {
				if !strings.Contains(k.Name, "session") {
					continue
				}
				page, _ := c.visit(r.header.Get("Location"), k)
				page.want("The chart as it was used")
			}
			if read := c.records(KindRead); len(read) != 1 || read[0].Request.User != "Practitioner/dr-7" {
				t.Errorf("read %+v", read)
			}
			// Its own rules: a code is good once, and for who holds its proof.
			if r, _ := c.visit(ehr.back, ehr.cookie); r.status != http.StatusForbidden || last(c.records(KindRefusal)) == "none at all" {
				t.Errorf("the same code again: status %d", r.status)
			}
			one := signIn(t, c, server, map[string]any{"patient": "x"})
			two := signIn(t, c, server, map[string]any{"patient": "x"})
			first, _ := url.Parse(one.back)
			second, _ := url.Parse(two.back)
			q := second.Query()
			q.Set("code", first.Query().Get("code"))
			refusedBefore := len(c.records(KindRefusal))
			if r, _ := c.visit(second.Path+"?"+q.Encode(), two.cookie); r.status != http.StatusForbidden {
				t.Errorf("the code of another launch: status %d", r.status)
			}
			if all := c.records(KindRefusal); len(all) != refusedBefore+1 || all[len(all)-1].Reason != "launch-code-refused" {
				t.Errorf("the code of another launch: %s", last(all))
			}
		})
	}
}

// signedIn is a browser that comes back from the server.
type signedIn struct {
	back   string // where it is sent, without the host
	cookie *http.Cookie
}

// signIn launches with a context and follows the server's own pages.
func signIn(t *testing.T, c *clinic, server string, context map[string]any) signedIn {
	t.Helper()
	// The identities are of now, and so must the clinic's clock be.
	c.wait(time.Since(c.clock()))
	handle, err := c.service.seal.Open(asText(context["appContext"]), clinicNow)
	if err == nil { // the card is from before
		if context["appContext"], err = c.service.seal.Handle(handle, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := json.Marshal(context)
	if err != nil {
		t.Fatal(err)
	}
	r, cookies := c.visit("/launch?" + url.Values{"iss": {server + "/fhir"}, "launch": {base64.RawURLEncoding.EncodeToString(raw)}}.Encode())
	if r.status != http.StatusFound || len(cookies) != 1 {
		t.Fatalf("status %d: %s", r.status, r.body)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	back := ""
	browser := &http.Client{Jar: jar, CheckRedirect: func(req *http.Request, _ []*http.Request) error {
		if req.URL.Host == "cds.example.org" {
			back = req.URL.RequestURI()
			return http.ErrUseLastResponse
		}
		return nil
	}}
	defer browser.CloseIdleConnections()
	res, err := browser.Get(r.header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if back == "" {
		t.Fatalf("the server answers %d at %s", res.StatusCode, res.Request.URL.Path)
	}
	return signedIn{back, cookies[0]}
}

func asText(v any) string { s, _ := v.(string); return s }
