// SPDX-License-Identifier: Apache-2.0

package main

// This file: signing in to the audit console by redirect in a real browser, at a
// server that we did not write (.ci/authserver), which is another site there: the
// console is on localhost, the server on 127.0.0.1.

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"go.uber.org/zap"

	"github.com/sepsisagent/sepsisagent/audit/access"
	"github.com/sepsisagent/sepsisagent/audit/console"
	"github.com/sepsisagent/sepsisagent/audit/sqlite"
	"github.com/sepsisagent/sepsisagent/audit/sqlite/sqlitetest"
	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/fhir"
	"github.com/sepsisagent/sepsisagent/fhir/sandbox/browsertest"
)

// startConsole serves a console whose readers sign in at a provider.
func startConsole(t *testing.T, provider string) string {
	t.Helper()
	l := sqlitetest.New(t, sqlite.Options{})
	cfg, err := loadConfig("", nil)
	if err != nil {
		t.Fatal(err)
	}
	maps, err := fhir.LoadCodeMaps(configs.FS)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	base := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	cfg.CDSHooks.PublicURL, cfg.CDSHooks.EvidenceKey = base, cdshooks.Secret(strings.Repeat("k", 32))

	data, err := json.Marshal(map[string]any{
		"redirect_uris": []string{base + console.CallbackPath}, "grant_types": []string{"authorization_code"},
		"response_types": []string{"code"}, "token_endpoint_auth_method": "none",
	})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(provider+"/reg", "application/json", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var client struct {
		ID string `json:"client_id"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&client); err != nil || client.ID == "" {
		t.Fatalf("registration answers %d, %v", resp.StatusCode, err)
	}
	gate, err := access.New(access.Config{
		Issuer: provider, Audience: "audit", JWKSURL: provider + "/jwks", Network: "loopback", Auditors: []string{"sepsis-auditor"},
		Login: access.LoginConfig{ClientID: client.ID, Scopes: []string{"roles"}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &rooms{cfg: cfg, mapper: fhir.NewMapper(maps)}
	s := auditSurface{log: l, appends: l, rooms: func() *rooms { return r }, logger: zap.NewNop()}
	login, err := gate.NewLogin(base+console.CallbackPath, s.key, l.FirstUse)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { login.Close(); http.DefaultClient.CloseIdleConnections() })
	t.Cleanup(s.mountConsole(mux, gate, login, "").Close)
	return base
}

func TestSigningInToTheAuditConsoleInABrowser(t *testing.T) {
	ctx := browsertest.Open(t)
	provider := strings.TrimRight(os.Getenv("SEPSISAGENT_AUTHSERVER"), "/")
	if provider == "" {
		t.Skip("SEPSISAGENT_AUTHSERVER is not set: start .ci/authserver (node server.mjs) and set it to the address it prints")
	}
	base := startConsole(t, provider)
	if err := chromedp.Do(ctx, chromedp.Navigate(base+console.Path+"/")); err != nil {
		t.Fatal(err)
	}
	wantConsolePage(t, ctx, "redirect")
	if err := chromedp.Do(ctx, chromedp.Click(`a[href="/audit/ui/sign-in"]`), chromedp.WaitVisible(`form.who`)); err != nil {
		t.Fatal(err)
	}
	if who, at := browsertest.Ask[string](t, ctx, `document.querySelector("form.who").textContent`), browsertest.Ask[string](t, ctx, `location.href`); !strings.Contains(who, "oidc/dr-7") || at != base+console.Path+"/" {
		t.Errorf("%q at %s", who, at)
	}
	wantConsolePage(t, ctx, "signed-in")
	if kept := browsertest.Ask[string](t, ctx, `document.cookie`); kept != "" {
		t.Errorf("a script could read %s", kept)
	}
	press(t, ctx, `form.who button`)
	wantAccessible(t, ctx, "signed-out")
	browsertest.Shot(t, ctx, "console-signed-out")
	if out := browsertest.Ask[string](t, ctx, `document.querySelector("main a").href`); !strings.HasPrefix(out, provider+"/session/end?client_id=") {
		t.Errorf("the way out of the provider is %s", out)
	}
	if err := chromedp.Do(ctx, chromedp.Navigate(base+console.Path+"/")); err != nil {
		t.Fatal(err)
	}
	if u, err := url.Parse(browsertest.Ask[string](t, ctx, `location.href`)); err != nil || u.Path != console.Path+"/" || !browsertest.Ask[bool](t, ctx, `document.querySelector("form.who") === null`) {
		t.Errorf("after signing out: %v, %v", u, err)
	}
}
