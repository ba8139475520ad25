// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: the page of a card as an EHR launches it, and every way in which
// a launch is not in order.

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks/launch"
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
)

func TestTheEHRLaunchesThePageOfACardAndTheLogSaysWhoReadIt(t *testing.T) {
	l := openLaunched(t, nil)
	link := l.card.Links[0]
	if link.Type != "smart" || link.URL != "https://cds.example.org/launch" || link.AppContext == "" {
		t.Errorf("link %+v", link)
	}
	if strings.Contains(string(l.card.Extension[ReceiptExtension]), `"url"`) {
		t.Errorf("the receipt names an address that opens for nobody: %s", l.card.Extension[ReceiptExtension])
	}
	path, session := l.page()
	if path != "/evidence/"+link.AppContext {
		t.Errorf("sent to %q", path)
	}
	if f := l.ehr.form; f.Get("client_id") != appClient || f.Get("redirect_uri") != "https://cds.example.org/launch/ehr/callback" || len(f.Get("code_verifier")) < 43 {
		t.Errorf("exchanged %v", f)
	}
	for _, p := range []string{path, path + "/receipt"} {
		page, _ := l.visit(p, session)
		page.want("<h1")
		if csp := page.header.Get("Content-Security-Policy"); page.status != http.StatusOK || !strings.HasSuffix(csp, "frame-ancestors https://ehr.example.org") || strings.Contains(csp, "script-src") {
			t.Errorf("status %d, policy %s", page.status, csp)
		}
	}
	read := l.records(KindRead)
	if len(read) != 2 || read[0].Request.User != "Practitioner/dr-7" || read[0].Request.Client != "ehr" {
		t.Errorf("read %+v", read)
	}
	rows, err := l.log.Query(t.Context(), audit.Filter{Kind: KindRead})
	if err != nil || rows[0].Index.User != "Practitioner/dr-7" || rows[0].Index.Refers != l.id || rows[0].Index.Patient == "" {
		t.Errorf("rows %+v, %v", rows, err)
	}
	for _, where := range []string{path, session.Value, link.AppContext, string(l.card.Extension[ReceiptExtension])} {
		if strings.Contains(where, fixtures().patients[physiology.SepticShock].id) || strings.Contains(where, "dr-7") {
			t.Errorf("%s names somebody", where)
		}
	}
}

func TestALinkAloneOpensOnlyWhereTheRegistrationSaysSo(t *testing.T) {
	l := openLaunched(t, nil)
	page, _ := l.visit("/evidence/" + l.card.Links[0].AppContext)
	if page.status != http.StatusForbidden {
		t.Errorf("status %d", page.status)
	}
	page.wantNot(l.card.Summary)
	if r := l.records(KindRefusal); len(r) != 1 || r[0].Reason != reasonNoSession || len(l.records(KindRead)) != 0 {
		t.Errorf("%s", last(r))
	}
	both := openLaunched(t, func(c *trust.Client) { c.Launch.LinkAlone = true })
	if link := both.card.Links[0]; link.Type != "smart" {
		t.Errorf("link %+v", link)
	}
	if page, _ := both.visit("/evidence/" + both.card.Links[0].AppContext); page.status != http.StatusOK {
		t.Errorf("status %d", page.status)
	}
	if read := both.records(KindRead); len(read) != 1 || read[0].Request.User != "" {
		t.Errorf("read %+v", read)
	}
	neither := open(t, func(_ *Deps, client *trust.Client) { client.Launch = trust.Launch{} })
	if cards := neither.view(physiology.SepticShock, nil).cards(); len(cards) != 1 || len(cards[0].Links) != 0 {
		t.Errorf("cards %+v", cards)
	}
	if page := neither.pageOf(neither.records(KindDecision)[0].ID); page.status != http.StatusForbidden {
		t.Errorf("status %d", page.status)
	}
}

func TestALaunchThatIsNotInOrderOpensNothing(t *testing.T) {
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	claim := func(name string, value any) func(*launched) {
		return func(l *launched) { l.ehr.claims = func(c jwt.MapClaims) { c[name] = value } }
	}
	says := func(name string, value any) func(*launched) {
		return func(l *launched) { l.ehr.answer = func(m map[string]any) { m[name] = value } }
	}
	forge := func(f func(l *launched, c jwt.MapClaims) string) func(*launched) {
		return func(l *launched) { l.ehr.forge = func(c jwt.MapClaims) (string, bool) { return f(l, c), true } }
	}
	for _, tc := range []struct {
		name   string
		spoil  func(*launched)
		back   func(url.Values)
		reason string
	}{
		{name: "a state that is another's", back: func(v url.Values) { v.Set("state", strings.Repeat("A", 43)) }},
		{name: "no state", back: func(v url.Values) { v.Del("state") }},
		{name: "the state twice", back: func(v url.Values) { v.Add("state", v.Get("state")) }},
		{name: "no code", back: func(v url.Values) { v.Del("code") }, reason: "launch-code"},
		{name: "the code twice", back: func(v url.Values) { v.Add("code", "code-1") }, reason: "launch-code"},
		{name: "another code", back: func(v url.Values) { v.Set("code", "code-2") }, reason: "launch-code-refused"},
		{name: "a code that was asked for with another proof", spoil: func(l *launched) { l.ehr.proof = "x" }, reason: "launch-code-refused"},
		{name: "an EHR that says no", back: func(v url.Values) { v.Set("error", "access_denied") }, reason: "launch-denied"},
		{name: "an answer in the name of another server", back: func(v url.Values) { v.Set("iss", "https://evil.example") }, reason: "launch-other-issuer"},
		{name: "an identity of another launch", spoil: claim("nonce", "n"), reason: "launch-nonce"},
		{name: "an identity without a nonce", spoil: claim("nonce", nil), reason: "launch-nonce"},
		{name: "an identity for another app", spoil: claim("aud", "other"), reason: "launch-identity"},
		{name: "an identity for several apps and none in particular", spoil: claim("aud", []string{appClient, "other"}), reason: "launch-identity"},
		{name: "an identity that another app asked for", spoil: claim("azp", "other"), reason: "launch-identity"},
		{name: "an identity of another server", spoil: claim("iss", "https://evil.example"), reason: "launch-identity"},
		{name: "an identity that has ended", spoil: claim("exp", clinicNow.Add(-2*time.Minute).Unix()), reason: "launch-identity"},
		{name: "an identity without an end", spoil: claim("exp", nil), reason: "launch-identity"},
		{name: "an identity of the future", spoil: claim("iat", clinicNow.Add(time.Hour).Unix()), reason: "launch-identity"},
		{name: "an identity of nobody", spoil: claim("sub", ""), reason: "launch-identity"},
		{name: "an identity by another key", spoil: forge(func(_ *launched, c jwt.MapClaims) string { return signedWith(t, jwt.SigningMethodRS256, c, weak) }), reason: "launch-identity"},
		{name: "an identity by another kind of key", spoil: forge(func(_ *launched, c jwt.MapClaims) string { return signedWith(t, jwt.SigningMethodES256, c, other) }), reason: "launch-identity"},
		{name: "an identity that is not signed", spoil: forge(func(_ *launched, c jwt.MapClaims) string {
			return signedWith(t, jwt.SigningMethodNone, c, jwt.UnsafeAllowNoneSignatureType)
		}), reason: "launch-identity"},
		{name: "an identity with the public key as a shared secret", spoil: forge(func(l *launched, c jwt.MapClaims) string {
			return signedWith(t, jwt.SigningMethodHS256, c, l.ehr.key.N.Bytes())
		}), reason: "launch-identity"},
		{name: "no identity", spoil: says("id_token", ""), reason: "launch-no-identity"},
		{name: "another kind of token", spoil: says("token_type", "mac"), reason: "launch-token-type"},
		{name: "a patient who signed in", spoil: claim("fhirUser", "Patient/p"), reason: "launch-no-clinician"},
		{name: "a clinician of another server", spoil: claim("fhirUser", "https://evil.example/Practitioner/1"), reason: "launch-no-clinician"},
		{name: "a clinician with an address for an id", spoil: claim("fhirUser", "Practitioner/../../x"), reason: "launch-no-clinician"},
		{name: "no patient in context", spoil: says("patient", ""), reason: "launch-no-patient"},
		{name: "another patient in context", spoil: says("patient", "somebody-else"), reason: reasonOtherPatient},
		{name: "no card in context", spoil: says("appContext", ""), reason: reasonNoPage},
		{name: "a handle that nobody made", spoil: says("appContext", strings.Repeat("A", 48)), reason: reasonNoPage},
		{name: "a handle that has ended", spoil: func(l *launched) {
			handle, err := l.service.seal.Handle(l.id, clinicNow.Add(-2*time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			l.ehr.context["appContext"] = handle
		}, reason: reasonNoPage},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := openLaunched(t, nil)
			back, cookie := l.begin()
			if tc.spoil != nil {
				tc.spoil(l)
			}
			if tc.back != nil {
				tc.back(back)
			}
			r, cookies := l.finish(back, cookie)
			if r.status != http.StatusForbidden || !strings.Contains(string(r.body), "This page does not open") {
				t.Errorf("status %d: %s", r.status, r.body)
			}
			for _, c := range cookies {
				if strings.Contains(c.Name, "session") {
					t.Error("a session was given")
				}
			}
			refused := l.records(KindRefusal)
			switch {
			case tc.reason == "" && len(refused) != 0:
				t.Errorf("a stranger wrote into the log: %s", last(refused))
			case tc.reason != "" && (len(refused) != 1 || refused[0].Reason != tc.reason || refused[0].Request.Client != "ehr"):
				t.Errorf("%s, want %s", last(refused), tc.reason)
			}
			if len(l.records(KindRead)) != 0 {
				t.Error("a page was read")
			}
		})
	}
}

func TestOnlyARegisteredEHRBeginsALaunch(t *testing.T) {
	l := openLaunched(t, nil)
	iss := l.ehr.server.URL + "/fhir"
	for name, q := range map[string]url.Values{
		"another server": {"iss": {"https://evil.example/fhir"}, "launch": {"x"}}, "a slash more": {"iss": {iss + "/"}, "launch": {"x"}},
		"capital letters": {"iss": {strings.ToUpper(iss)}, "launch": {"x"}}, "no launch": {"iss": {iss}}, "nothing": {},
		"two servers": {"iss": {iss, "https://evil.example"}, "launch": {"x"}}, "two launches": {"iss": {iss}, "launch": {"x", "y"}},
		"a launch without end": {"iss": {iss}, "launch": {strings.Repeat("x", 5000)}},
	} {
		if r, cookies := l.visit("/launch?" + q.Encode()); r.status != http.StatusForbidden || len(cookies) != 0 || r.header.Get("Location") != "" {
			t.Errorf("%s: status %d, %v", name, r.status, cookies)
		}
	}
}

func TestALaunchIsFinishedOnceInTheBrowserThatBeganIt(t *testing.T) {
	l := openLaunched(t, nil)
	back, cookie := l.begin()
	if r, _ := l.finish(back); r.status != http.StatusForbidden {
		t.Errorf("another browser: status %d", r.status)
	}
	if r, _ := l.visit("/launch/other/callback?"+back.Encode(), cookie); r.status != http.StatusForbidden {
		t.Errorf("at another client's address: status %d", r.status)
	}
	if r, _ := l.finish(back, cookie); r.status != http.StatusSeeOther {
		t.Fatalf("status %d: %s", r.status, last(l.records(KindRefusal)))
	}
	if r, _ := l.finish(back, cookie); r.status != http.StatusForbidden {
		t.Errorf("the same code again: status %d", r.status)
	}
	l.ehr.code = "code-1" // an EHR that takes a code twice
	if r, _ := l.finish(back, cookie); r.status != http.StatusForbidden || last(l.records(KindRefusal)) != "refusal 403 launch-replay (sign-in refused: replay)" {
		t.Errorf("the same state again: status %d, %s", r.status, last(l.records(KindRefusal)))
	}
	back, cookie = l.begin()
	l.wait(launch.PendingLife + time.Second)
	if r, _ := l.finish(back, cookie); r.status != http.StatusForbidden {
		t.Errorf("too late: status %d", r.status)
	}
	back, cookie = l.begin()
	cookie.Value = cookie.Value[:len(cookie.Value)-2] + "AA"
	if r, _ := l.finish(back, cookie); r.status != http.StatusForbidden {
		t.Errorf("an altered cookie: status %d", r.status)
	}
}

func TestASessionIsForOnePageAndEnds(t *testing.T) {
	l := openLaunched(t, nil)
	path, session := l.page()
	l.view(physiology.EarlySepsis, func(body map[string]any) { body["fhirServer"] = l.ehr.server.URL + "/fhir" })
	all := l.records(KindDecision)
	handle, err := l.service.seal.Handle(all[len(all)-1].ID, l.clock().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if r, _ := l.visit("/evidence/"+handle, session); r.status != http.StatusForbidden {
		t.Errorf("another patient's page: status %d", r.status)
	}
	pending := &http.Cookie{Name: session.Name, Value: func() string { _, c := l.begin(); return c.Value }()}
	if r, _ := l.visit(path, pending); r.status != http.StatusForbidden {
		t.Errorf("a launch in place of a session: status %d", r.status)
	}
	if r, _ := l.visit(path, session); r.status != http.StatusOK {
		t.Errorf("status %d", r.status)
	}
	l.wait(launch.SessionLife)
	if r, _ := l.visit(path, session); r.status != http.StatusForbidden {
		t.Errorf("after its end: status %d", r.status)
	}
}

func TestCookiesAreForTheseAddressesAndNoScript(t *testing.T) {
	l := openLaunched(t, nil)
	_, pending := l.begin()
	path, session := l.page()
	for _, c := range []*http.Cookie{pending, session} {
		if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteNoneMode || !c.Partitioned || c.Domain != "" || c.MaxAge <= 0 || c.MaxAge > 900 {
			t.Errorf("%v", c)
		}
	}
	if session.Path != path || pending.Path != "/" || !strings.HasPrefix(pending.Name, "__Host-") {
		t.Errorf("paths %q and %q, name %q", session.Path, pending.Path, pending.Name)
	}
	whole := openLaunched(t, func(c *trust.Client) { c.Origins = nil })
	_, pending = whole.begin()
	path, session = whole.page()
	for _, c := range []*http.Cookie{pending, session} {
		if !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Partitioned {
			t.Errorf("not framed: %v", c)
		}
	}
	page, _ := whole.visit(path, session)
	if csp := page.header.Get("Content-Security-Policy"); !strings.HasSuffix(csp, "frame-ancestors 'none'") {
		t.Errorf("policy %s", csp)
	}
}

func TestAnEHRThatCannotBeAskedIsSaidSo(t *testing.T) {
	for name, spoil := range map[string]func(*authority){
		"down": func(a *authority) { a.down = true },
		"without PKCE": func(a *authority) {
			a.config = func(m map[string]any) { m["code_challenge_methods_supported"] = []string{"plain"} }
		},
		"a token endpoint elsewhere": func(a *authority) {
			a.config = func(m map[string]any) { m["token_endpoint"] = "https://evil.example/token" }
		},
		"keys elsewhere": func(a *authority) { a.config = func(m map[string]any) { m["jwks_uri"] = "https://evil.example/keys" } },
		"no identities":  func(a *authority) { a.config = func(m map[string]any) { delete(m, "issuer") } },
	} {
		t.Run(name, func(t *testing.T) {
			l := openLaunched(t, nil)
			spoil(l.ehr)
			to := "/launch?" + url.Values{"iss": {l.ehr.server.URL + "/fhir"}, "launch": {"x"}}.Encode()
			if r, _ := l.visit(to); r.status != http.StatusBadGateway || r.header.Get("Retry-After") == "" || strings.Contains(string(r.body), l.ehr.server.URL) {
				t.Errorf("status %d: %s", r.status, r.body)
			}
			l.ehr.down, l.ehr.config = false, nil
			l.wait(6 * time.Second)
			if r, _ := l.visit(to); r.status != http.StatusFound {
				t.Errorf("when it is back: status %d", r.status)
			}
		})
	}
}

func TestASmartLinkIsBareAndOnlyItHasAnAppContext(t *testing.T) {
	for _, tc := range []struct {
		link Link
		ok   bool
	}{
		{Link{Label: "l", URL: "https://cds.example.org/launch", Type: LinkSMART, AppContext: "h"}, true},
		{Link{Label: "l", URL: "https://cds.example.org/launch", Type: LinkSMART}, true},
		{Link{Label: "l", URL: "https://cds.example.org/evidence/h", Type: LinkAbsolute}, true},
		{Link{Label: "l", URL: "https://cds.example.org/evidence/h", Type: LinkAbsolute, AppContext: "h"}, false},
		{Link{Label: "l", URL: "https://cds.example.org/launch?iss=x", Type: LinkSMART}, false},
		{Link{Label: "l", URL: "https://cds.example.org/launch#x", Type: LinkSMART}, false},
		{Link{Label: "l", URL: "/launch", Type: LinkSMART}, false},
		{Link{Label: "l", URL: "https://cds.example.org/launch", Type: "SMART"}, false},
		{Link{URL: "https://cds.example.org/launch", Type: LinkSMART}, false},
	} {
		if err := tc.link.validate(); (err == nil) != tc.ok {
			t.Errorf("%+v: %v", tc.link, err)
		}
	}
}

func TestASessionOfOneReplicaHoldsOnAnotherWithTheSameKey(t *testing.T) {
	l := openLaunched(t, nil)
	path, session := l.page()
	again := l.service.Deps
	again.Predecessor = l.service
	next, err := New(again)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	w := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodGet, path, nil)
	req.AddCookie(session)
	next.Handler().ServeHTTP(w, req)
	if w.Code != http.StatusOK {
		t.Errorf("after a reload: status %d", w.Code)
	}
	again.Predecessor = nil // and so another key, because none is configured
	stranger, err := New(again)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	w = httptest.NewRecorder()
	stranger.Handler().ServeHTTP(w, req)
	if w.Code != http.StatusNotFound {
		t.Errorf("with another key: status %d", w.Code)
	}
}

func TestALaunchThatOneReplicaBeganEndsAtAnotherAndOnlyOnce(t *testing.T) {
	l := openLaunchedKey(t, "a key that all replicas have, of 32 bytes and more", nil)
	one := l.server
	other, err := New(l.service.Deps)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	server := httptest.NewServer(other.Handler())
	defer server.Close()
	back, cookie := l.begin()
	l.server = server
	r, cookies := l.finish(back, cookie)
	if r.status != http.StatusSeeOther || len(cookies) == 0 {
		t.Fatalf("at the other: status %d: %s", r.status, last(l.records(KindRefusal)))
	}
	l.server = one
	l.ehr.code = "code-1" // an EHR that takes a code twice
	if r, _ := l.finish(back, cookie); r.status != http.StatusForbidden || last(l.records(KindRefusal)) != "refusal 403 launch-replay (sign-in refused: replay)" {
		t.Errorf("and again where it began: status %d, %s", r.status, last(l.records(KindRefusal)))
	}
	if page, _ := l.visit(r.header.Get("Location"), cookies...); page.status != http.StatusOK {
		t.Errorf("the page, where it began: status %d", page.status)
	}
}
