// SPDX-License-Identifier: Apache-2.0

package launch

// This file: what a launch is made of, piece by piece. Whole launches are
// tested where the service is, in cdshooks.

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/cdshooks/launch/oidc"
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const base = "https://ehr.example.org/fhir"

func app(t testing.TB, publicURL string, clients ...*trust.Client) *App {
	t.Helper()
	once := func(context.Context, string, string, time.Time) (bool, error) { return true, nil }
	a, err := New(Config{Clients: clients, PublicURL: publicURL, Key: bytes.Repeat([]byte{1}, 32), Once: once})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

func client(name string) *trust.Client {
	return &trust.Client{Name: name, FHIRServer: "https://" + name + ".example.org/fhir", Network: trust.NetworkPublic, Launch: trust.Launch{
		ClientID: "app", Issuer: "https://" + name, AuthorizeURL: "https://" + name + "/a?tenant=1", TokenURL: "https://" + name + "/t", JWKSURL: "https://" + name + "/k",
	}}
}

func TestALaunchOfOneEHRIsNotFinishedAtAnother(t *testing.T) {
	a := app(t, "https://cds.example.org/base", client("north"), client("south"))
	begun, err := a.Begin(t.Context(), url.Values{"iss": {"https://north.example.org/fhir"}, "launch": {"x"}})
	if err != nil {
		t.Fatal(err)
	}
	cookie := begun.Cookie
	sent, err := url.Parse(begun.Location)
	if err != nil || sent.Host != "north" || sent.Query().Get("tenant") != "1" || sent.Query().Get("redirect_uri") != "https://cds.example.org/base/launch/north/callback" {
		t.Fatalf("%s, %v", begun.Location, err)
	}
	var refused *Refusal
	back := url.Values{"state": {sent.Query().Get("state")}, "code": {"c"}}
	if _, _, err := a.Finish(t.Context(), "south", back, []*http.Cookie{cookie}); !errors.As(err, &refused) || refused.Reason != "other-client" {
		t.Errorf("error %v", err)
	}
	if _, spent, _ := a.Finish(t.Context(), "south", back, []*http.Cookie{cookie}); spent == nil || spent.MaxAge != -1 || spent.Name != cookie.Name {
		t.Errorf("the cookie lives on: %v", spent)
	}
	gone := app(t, "https://cds.example.org/base", client("south"))
	if _, _, err := gone.Finish(t.Context(), "north", back, []*http.Cookie{cookie}); !errors.As(err, &refused) || refused.Reason != "other-client" {
		t.Errorf("a client that is registered no more: %v", err)
	}
}

func TestSeveralTabsLaunchAtOnce(t *testing.T) {
	a := app(t, "https://cds.example.org", client("north"))
	names := map[string]bool{}
	for range 3 {
		begun, err := a.Begin(t.Context(), url.Values{"iss": {"https://north.example.org/fhir"}, "launch": {"x"}})
		if err != nil {
			t.Fatal(err)
		}
		names[begun.Cookie.Name] = true
	}
	if len(names) != 3 {
		t.Errorf("cookies %v", names)
	}
}

func TestWhatIsSealedForOnePurposeOpensForNoOther(t *testing.T) {
	a := app(t, "https://cds.example.org")
	sealed, err := a.box.Seal("pending", pending{Secrets: oidc.Secrets{State: "s"}})
	if err != nil {
		t.Fatal(err)
	}
	var p pending
	if err := a.box.Open("pending", sealed, &p); err != nil || p.State != "s" {
		t.Errorf("%+v, %v", p, err)
	}
	if err := a.box.Open("session", sealed, &p); err == nil {
		t.Error("it opens for another purpose")
	}
	if strings.Contains(sealed, "s\"") {
		t.Error("it can be read")
	}
	rapid.Check(t, func(t *rapid.T) {
		i := rapid.IntRange(0, len(sealed)-1).Draw(t, "at")
		b := []byte(sealed)
		b[i] = rapid.SampledFrom([]byte("ABCxyz0189-_=. ")).Draw(t, "byte")
		if string(b) != sealed && a.box.Open("pending", string(b), &p) == nil {
			t.Fatalf("an altered cookie opens: %s", b)
		}
	})
}

func TestOverPlainHTTPOnLoopbackCookiesHaveNoPrefix(t *testing.T) {
	a := app(t, "http://127.0.0.1:8080")
	c, err := a.SessionCookie(Session{Entry: "e"}, "/evidence/h", true)
	if err != nil || c.Secure || c.Partitioned || c.SameSite != http.SameSiteLaxMode || strings.HasPrefix(c.Name, "__") || !c.HttpOnly {
		t.Errorf("%v, %v", c, err)
	}
	if s, ok := a.Session([]*http.Cookie{{Name: "other", Value: "x"}, c}); !ok || s.Entry != "e" {
		t.Errorf("%+v", s)
	}
}

func TestWhoIsAClinicianOfThisEHR(t *testing.T) {
	for said, want := range map[string]string{
		"Practitioner/1": "Practitioner/1", base + "/Practitioner/1": "Practitioner/1", "PractitionerRole/a.b-2": "PractitionerRole/a.b-2",
		"": "", "Practitioner": "", "Practitioner/": "", "Practitioner/1/_history/2": "", "Patient/1": "", "RelatedPerson/1": "",
		"https://evil.example/Practitioner/1": "", base + ".evil/Practitioner/1": "", "practitioner/1": "", "Practitioner/1?x": "",
	} {
		if got := clinician(said, base); got != want {
			t.Errorf("%q is %q, want %q", said, got, want)
		}
		if got := clinician(said, base+"/"); got != want {
			t.Errorf("%q of a base with a slash is %q, want %q", said, got, want)
		}
	}
}

func TestARegistrationThatCannotBeUsedIsRefused(t *testing.T) {
	c := client("north")
	c.Launch.SecretFile = "/nonexistent/secret"
	once := func(context.Context, string, string, time.Time) (bool, error) { return true, nil }
	if _, err := New(Config{Clients: []*trust.Client{c}, Key: make([]byte, 32), Once: once}); !errors.Is(err, ErrConfig) {
		t.Errorf("a secret that is not there: %v", err)
	}
	if _, err := New(Config{Key: []byte("short"), Once: once}); !errors.Is(err, ErrConfig) {
		t.Errorf("a short key: %v", err)
	}
	if _, err := New(Config{Key: make([]byte, 32)}); !errors.Is(err, ErrConfig) {
		t.Errorf("no memory: %v", err)
	}
}

// FuzzCookie: no cookie that was not made here opens, and none panics.
func FuzzCookie(f *testing.F) {
	a := app(f, "https://cds.example.org")
	f.Add("", "state")
	f.Add(strings.Repeat("A", 100), "state")
	f.Add("=", "%00")
	f.Fuzz(func(t *testing.T, value, state string) {
		cookies := []*http.Cookie{{Name: a.pendingOf(state), Value: value}, {Name: "__Secure-" + sessionName, Value: value}}
		if _, _, err := a.openPending(state, cookies); !errors.Is(err, ErrRefused) {
			t.Fatalf("opened: %v", err)
		}
		if s, ok := a.Session(cookies); ok {
			t.Fatalf("opened: %+v", s)
		}
	})
}
