// SPDX-License-Identifier: Apache-2.0

package smart

// This file: a token endpoint that we play ourselves, for the faults that a
// good server does not have: what it answers, when, and how often it is asked.

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// ehr plays discovery and token endpoint on loopback.
type ehr struct {
	*httptest.Server
	t         *testing.T
	discovery http.HandlerFunc // nil: a good document
	found     atomic.Int64     // times discovery was asked
	asked     atomic.Int64     // times the token endpoint was asked

	mu    sync.Mutex // guards what follows
	forms []map[string][]string
	token http.HandlerFunc // nil: a good token
}

// answer sets what the token endpoint answers from now on; nil: a good token.
func (e *ehr) answer(with http.HandlerFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.token = with
}

func newEHR(t *testing.T) *ehr {
	e := &ehr{t: t}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /fhir"+wellKnown, func(w http.ResponseWriter, r *http.Request) {
		e.found.Add(1)
		if e.discovery != nil {
			e.discovery(w, r)
			return
		}
		e.document(w, nil)
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		e.asked.Add(1)
		_ = r.ParseForm()
		e.mu.Lock()
		e.forms = append(e.forms, r.PostForm)
		token := e.token
		e.mu.Unlock()
		if token != nil {
			token(w, r)
			return
		}
		e.grant(w, nil)
	})
	e.Server = httptest.NewServer(mux)
	t.Cleanup(e.Close)
	return e
}

// document answers with a good discovery document, with changes.
func (e *ehr) document(w http.ResponseWriter, change map[string]any) {
	write(w, map[string]any{
		"token_endpoint":                                   e.URL + "/token",
		"token_endpoint_auth_methods_supported":            []string{"private_key_jwt"},
		"token_endpoint_auth_signing_alg_values_supported": []string{"RS384", "ES384"},
		"grant_types_supported":                            []string{"client_credentials"},
		"capabilities":                                     []string{"client-confidential-asymmetric", "permission-v2"},
	}, change)
}

// grant answers with a good token, with changes.
func (e *ehr) grant(w http.ResponseWriter, change map[string]any) {
	write(w, map[string]any{
		"access_token": fmt.Sprint("token-", e.asked.Load()), "token_type": "bearer", "expires_in": 300,
		"scope": "system/Observation.rs system/Patient.rs",
	}, change)
}

// write sends a JSON object with changes; nil takes a member away.
func write(w http.ResponseWriter, body, change map[string]any) {
	for k, v := range change {
		body[k] = v
		if v == nil {
			delete(body, k)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

// clock is a time that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (e *ehr) config(c *clock) Config {
	return Config{
		Base: e.URL + "/fhir", ClientID: "app-7", Need: []string{"Observation", "Patient"}, Want: []string{"Condition"},
		HTTP: &http.Client{}, Timeout: 20 * time.Second, Now: c.Now,
	}
}

func (e *ehr) source(c *clock, change func(*Config)) *Source {
	e.t.Helper()
	cfg := e.config(c)
	if change != nil {
		change(&cfg)
	}
	return opened(e.t, cfg, ringOf(e.t, entry{alg: "ES384", status: StatusCurrent, kid: "k1"}))
}

func wantToken(t *testing.T, s *Source, want string) {
	t.Helper()
	if got, err := s.Token(t.Context()); err != nil || got != want {
		t.Errorf("token %q, %v; want %q", got, err, want)
	}
}

func TestARequestHasWhatSMARTAsksForAndNothingElse(t *testing.T) {
	e, c := newEHR(t), newClock()
	s := e.source(c, func(cfg *Config) { cfg.JKU = "https://cds.example.org/.well-known/jwks.json" })
	wantToken(t, s, "token-1")
	form := e.forms[0]
	if len(form) != 4 || form["grant_type"][0] != "client_credentials" || form["client_assertion_type"][0] != assertionType ||
		form["scope"][0] != "system/Condition.rs system/Observation.rs system/Patient.rs" {
		t.Errorf("the form is %v", form)
	}
	key, err := s.ring.signer("", nil)
	if err != nil {
		t.Fatal(err)
	}
	claims := jwt.MapClaims{}
	parsed, err := jwt.NewParser(jwt.WithValidMethods([]string{"ES384"}), jwt.WithTimeFunc(c.Now), jwt.WithExpirationRequired()).
		ParseWithClaims(form["client_assertion"][0], claims, func(*jwt.Token) (any, error) { return key.private.(*ecdsa.PrivateKey).Public(), nil })
	if err != nil {
		t.Fatal(err)
	}
	if h := parsed.Header; len(h) != 4 || h["alg"] != "ES384" || h["typ"] != "JWT" || h["kid"] != "k1" || h["jku"] != s.cfg.JKU {
		t.Errorf("the header is %v", h)
	}
	exp, _ := claims.GetExpirationTime()
	if left := exp.Sub(c.Now()); len(claims) != 5 || claims["iss"] != "app-7" || claims["sub"] != "app-7" || claims["aud"] != e.URL+"/token" ||
		claims["jti"] == "" || left <= 0 || left > 5*time.Minute {
		t.Errorf("the claims are %v", claims)
	}
}

func TestATokenIsKeptAndRenewedBeforeItEnds(t *testing.T) {
	e, c := newEHR(t), newClock()
	s := e.source(c, nil)
	wantToken(t, s, "token-1")
	c.forward(269 * time.Second)
	wantToken(t, s, "token-1")
	if n := e.asked.Load(); n != 1 {
		t.Fatalf("asked %d times for one token", n)
	}
	c.forward(2 * time.Second) // 29 s before its end
	wantToken(t, s, "token-1") // and in the background
	s.fetch.Wait()
	wantToken(t, s, "token-2")
	if n := e.found.Load(); n != 1 {
		t.Errorf("discovery was read %d times", n)
	}
	c.forward(299 * time.Second) // too short before its end to be sent
	wantToken(t, s, "token-3")
}

func TestATokenThatCannotBeRenewedServesUntilItEnds(t *testing.T) {
	e, c := newEHR(t), newClock()
	s := e.source(c, nil)
	wantToken(t, s, "token-1")
	e.answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	for range 3 {
		c.forward(271 * time.Second / 3)
	}
	for range 5 {
		wantToken(t, s, "token-1")
		s.fetch.Wait()
	}
	if n := e.asked.Load(); n != 2 {
		t.Errorf("asked %d times in one outage", n)
	}
	c.forward(28 * time.Second)
	if _, err := s.Token(t.Context()); !errors.Is(err, ErrRefused) || !errors.Is(err, ErrNoAccess) {
		t.Errorf("a token that has ended: %v", err)
	}
}

func TestTheLifeThatTheEHRGivesIsKept(t *testing.T) {
	for name, tc := range map[string]struct {
		says any
		want time.Duration
	}{
		"a short one":           {10, 10 * time.Second},
		"as text":               {"120", 2 * time.Minute},
		"none":                  {nil, lifeUnsaid},
		"longer than we keep":   {86400, maxLife},
		"longer than time goes": {int64(1) << 62, maxLife},
	} {
		t.Run(name, func(t *testing.T) {
			e, c := newEHR(t), newClock()
			e.answer(func(w http.ResponseWriter, _ *http.Request) { e.grant(w, map[string]any{"expires_in": tc.says}) })
			g, err := e.source(c, nil).Grant(t.Context())
			if err != nil || g.Expires.Sub(c.Now()) != tc.want {
				t.Errorf("expires in %v, %v", g.Expires.Sub(c.Now()), err)
			}
		})
	}
}

func TestCallersShareOneRequestAndOneWhoGivesUpDoesNotEndIt(t *testing.T) {
	e, c := newEHR(t), newClock()
	asked, answer := make(chan struct{}), make(chan struct{})
	e.answer(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-answer
		e.grant(w, nil)
	})
	s := e.source(c, nil)
	gone, giveUp := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := s.Token(gone)
		first <- err
	}()
	<-asked
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { wantToken(t, s, "token-1") })
	}
	giveUp()
	if err := <-first; !errors.Is(err, context.Canceled) || !errors.Is(err, ErrNoAccess) {
		t.Errorf("who gave up got %v", err)
	}
	close(answer)
	wg.Wait()
	if n := e.asked.Load(); n != 1 {
		t.Errorf("51 callers made %d requests", n)
	}
}

func TestAFailureIsRememberedForAWhile(t *testing.T) {
	e, c := newEHR(t), newClock()
	e.answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	s := e.source(c, nil)
	fails := func(n int64) {
		t.Helper()
		for range 3 {
			if _, err := s.Token(t.Context()); !errors.Is(err, ErrRefused) {
				t.Errorf("error %v", err)
			}
		}
		if got := e.asked.Load(); got != n {
			t.Errorf("asked %d times, want %d", got, n)
		}
	}
	fails(1)
	c.forward(29 * time.Second)
	fails(1)
	c.forward(2 * time.Second)
	fails(2)
	e.answer(nil)
	c.forward(31 * time.Second)
	wantToken(t, s, "token-3")
}

func TestAnEHRThatRefusesAgainAndAgainIsAskedLessOften(t *testing.T) {
	e, c := newEHR(t), newClock()
	e.answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	s := e.source(c, nil)
	for range 600 { // ten minutes, a hook each second
		if _, err := s.Token(t.Context()); !errors.Is(err, ErrRefused) {
			t.Fatal(err)
		}
		c.forward(time.Second)
	}
	if n := e.asked.Load(); n < 10 || n > 20 {
		t.Errorf("asked %d times in ten minutes", n)
	}
	e.answer(nil)
	c.forward(failureLong)
	if _, err := s.Token(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNewKeysEndTheMemoryOfAFailure(t *testing.T) {
	e, c := newEHR(t), newClock()
	e.answer(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":"invalid_client"}`)
	})
	dir := t.TempDir()
	ring := ringIn(t, dir, entry{alg: "ES384", status: StatusCurrent})
	s := opened(t, e.config(c), ring)
	if _, err := s.Token(t.Context()); !errors.Is(err, ErrRefused) {
		t.Fatal(err)
	}
	e.answer(nil)
	writeRing(t, dir, entry{alg: "ES384", status: StatusCurrent})
	if _, err := ring.Reload(); err != nil {
		t.Fatal(err)
	}
	wantToken(t, s, "token-2")
}

func TestARefusedTokenIsReplacedUnlessItIsNew(t *testing.T) {
	e, c := newEHR(t), newClock()
	s := e.source(c, nil)
	wantToken(t, s, "token-1")
	if _, err := s.Renew(t.Context(), "token-1"); !errors.Is(err, ErrNoAccess) {
		t.Errorf("a token of this moment was replaced: %v", err)
	}
	c.forward(youngest)
	var wg sync.WaitGroup
	for range 9 { // the requests of one hook are refused together
		wg.Go(func() {
			if got, err := s.Renew(t.Context(), "token-1"); err != nil || got != "token-2" {
				t.Errorf("renewed to %q, %v", got, err)
			}
		})
	}
	wg.Wait()
	if n := e.asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	e, c := newEHR(t), newClock()
	asked := make(chan struct{})
	e.answer(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	})
	s := e.source(c, nil)
	result := make(chan error, 1)
	go func() {
		_, err := s.Token(t.Context())
		result <- err
	}()
	<-asked
	s.Close()
	if err := <-result; !errors.Is(err, ErrNoAccess) || errors.Is(err, errSlow) {
		t.Errorf("error %v", err)
	}
	if _, err := s.Token(t.Context()); !errors.Is(err, ErrNoAccess) {
		t.Errorf("after Close: %v", err)
	}
}

func TestAnEHRThatKnowsOldScopesOnlyIsAskedForThose(t *testing.T) {
	e, c := newEHR(t), newClock()
	e.discovery = func(w http.ResponseWriter, _ *http.Request) {
		e.document(w, map[string]any{"capabilities": []string{"client-confidential-asymmetric", "permission-v1"}})
	}
	e.answer(func(w http.ResponseWriter, r *http.Request) {
		e.grant(w, map[string]any{"scope": r.PostForm.Get("scope")})
	})
	g, err := e.source(c, nil).Grant(t.Context())
	if want := "system/Condition.read system/Observation.read system/Patient.read"; err != nil || g.Scope != want {
		t.Errorf("granted %q, %v", g.Scope, err)
	}
}
