// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: an EHR that launches the page of a card, with a place to spoil
// each of its answers, and a browser that goes between it and the service.

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
)

const appClient = "sepsis-evidence"

// authority is an authorization server as it should be, with a place to spoil
// each of its answers.
type authority struct {
	t       *testing.T
	server  *httptest.Server
	key     *rsa.PrivateKey
	forge   func(jwt.MapClaims) (string, bool) // an id token instead of its own
	claims  func(jwt.MapClaims)
	answer  func(map[string]any)
	config  func(map[string]any)
	down    bool
	code    string // good for one exchange
	nonce   string
	proof   string // the challenge that the code was asked for with
	context map[string]any
	form    url.Values // of the newest exchange
}

// authorityKey is one for all tests: making one takes time.
var authorityKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key := authorityKey()
	a := &authority{t: t, key: key, context: map[string]any{}}
	mux := http.NewServeMux()
	reply := func(w http.ResponseWriter, status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /fhir/.well-known/smart-configuration", func(w http.ResponseWriter, _ *http.Request) {
		doc := map[string]any{
			"issuer": a.server.URL, "authorization_endpoint": a.server.URL + "/authorize", "token_endpoint": a.server.URL + "/token",
			"jwks_uri": a.server.URL + "/keys", "code_challenge_methods_supported": []string{"S256"},
		}
		if a.config != nil {
			a.config(doc)
		}
		if a.down {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		reply(w, http.StatusOK, doc)
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		b64 := base64.RawURLEncoding.EncodeToString
		reply(w, http.StatusOK, map[string]any{"keys": []any{map[string]string{
			"kty": "RSA", "kid": "a", "use": "sig", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes()),
		}}})
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		a.form = r.PostForm
		sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		good := a.code != "" && r.PostForm.Get("code") == a.code && base64.RawURLEncoding.EncodeToString(sum[:]) == a.proof
		a.code = ""
		if !good {
			reply(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
			return
		}
		out := map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": a.identity()}
		for k, v := range a.context {
			out[k] = v
		}
		if a.answer != nil {
			a.answer(out)
		}
		reply(w, http.StatusOK, out)
	})
	a.server = httptest.NewServer(mux)
	t.Cleanup(a.server.Close)
	return a
}

func (a *authority) identity() string {
	claims := jwt.MapClaims{
		"iss": a.server.URL, "aud": appClient, "sub": "u", "nonce": a.nonce, "iat": clinicNow.Unix(), "exp": clinicNow.Add(time.Hour).Unix(),
		"fhirUser": a.server.URL + "/fhir/Practitioner/dr-7",
	}
	if a.claims != nil {
		a.claims(claims)
	}
	if a.forge != nil {
		if s, ok := a.forge(claims); ok {
			return s
		}
	}
	return signedWith(a.t, jwt.SigningMethodRS256, claims, a.key)
}

func signedWith(t *testing.T, method jwt.SigningMethod, claims jwt.MapClaims, key any) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	token.Header["kid"] = "a"
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// launched is a clinic whose EHR launches the page, with one card shown.
type launched struct {
	*clinic
	ehr  *authority
	card Card
	id   string // of the card's receipt
}

func openLaunched(t *testing.T, change func(*trust.Client)) *launched {
	t.Helper()
	return openLaunchedKey(t, "", change)
}

// openLaunchedKey is openLaunched with a configured key, as replicas have.
func openLaunchedKey(t *testing.T, key Secret, change func(*trust.Client)) *launched {
	t.Helper()
	ehr := newAuthority(t)
	c := open(t, func(d *Deps, client *trust.Client) {
		d.Config.EvidenceKey = key
		client.FHIRServer, client.Network = ehr.server.URL+"/fhir", trust.NetworkLoopback
		client.Launch = trust.Launch{ClientID: appClient}
		client.Origins = []string{"https://ehr.example.org"}
		if change != nil {
			change(client)
		}
	})
	cards := c.view(physiology.SepticShock, func(body map[string]any) { body["fhirServer"] = ehr.server.URL + "/fhir" }).cards()
	if len(cards) != 1 || len(cards[0].Links) != 1 {
		t.Fatalf("no card with one link: %+v", cards)
	}
	l := &launched{c, ehr, cards[0], c.records(KindDecision)[0].ID}
	ehr.context["patient"], ehr.context["appContext"] = fixtures().patients[physiology.SepticShock].id, cards[0].Links[0].AppContext
	return l
}

// visit opens an address without following where it leads.
func (c *clinic) visit(path string, cookies ...*http.Cookie) (reply, []*http.Cookie) {
	c.t.Helper()
	req, err := http.NewRequest(http.MethodGet, c.server.URL+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, k := range cookies {
		req.AddCookie(k)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	var body strings.Builder
	if _, err := io.Copy(&body, res.Body); err != nil {
		c.t.Fatal(err)
	}
	return reply{c.t, res.StatusCode, res.Header, []byte(body.String())}, res.Cookies()
}

// begin launches, signs in, and gives what the browser brings back.
func (l *launched) begin() (back url.Values, cookie *http.Cookie) {
	l.t.Helper()
	r, cookies := l.visit("/launch?" + url.Values{"iss": {l.ehr.server.URL + "/fhir"}, "launch": {"xyz"}}.Encode())
	to, err := url.Parse(r.header.Get("Location"))
	if r.status != http.StatusFound || err != nil || len(cookies) != 1 {
		l.t.Fatalf("status %d, cookies %v, %v: %s", r.status, cookies, err, r.body)
	}
	q := to.Query()
	for name, want := range map[string]string{
		"response_type": "code", "client_id": appClient, "redirect_uri": "https://cds.example.org/launch/ehr/callback", "launch": "xyz",
		"aud": l.ehr.server.URL + "/fhir", "code_challenge_method": "S256", "scope": "launch openid fhirUser",
	} {
		if q.Get(name) != want {
			l.t.Errorf("%s is %q, want %q", name, q.Get(name), want)
		}
	}
	if !strings.HasPrefix(to.String(), l.ehr.server.URL+"/authorize?") || len(q.Get("state")) < 43 || len(q.Get("nonce")) < 43 || q.Get("state") == q.Get("nonce") {
		l.t.Errorf("sent to %s", to)
	}
	l.ehr.code, l.ehr.nonce, l.ehr.proof = "code-1", q.Get("nonce"), q.Get("code_challenge")
	return url.Values{"code": {"code-1"}, "state": {q.Get("state")}}, cookies[0]
}

func (l *launched) finish(back url.Values, cookies ...*http.Cookie) (reply, []*http.Cookie) {
	l.t.Helper()
	return l.visit("/launch/ehr/callback?"+back.Encode(), cookies...)
}

// page launches to the end and gives the page's path and session.
func (l *launched) page() (path string, session *http.Cookie) {
	l.t.Helper()
	back, cookie := l.begin()
	r, cookies := l.finish(back, cookie)
	if r.status != http.StatusSeeOther {
		l.t.Fatalf("status %d: %s, %s", r.status, r.body, last(l.records(KindRefusal)))
	}
	for _, c := range cookies {
		if c.Name == "__Secure-sepsisagent-session" {
			session = c
		} else if c.MaxAge != -1 {
			l.t.Errorf("the cookie of the launch lives on: %v", c)
		}
	}
	if session == nil {
		l.t.Fatalf("no session: %v", cookies)
	}
	return r.header.Get("Location"), session
}
