// SPDX-License-Identifier: Apache-2.0

package bulk_test

// This file: who gets the access token, and who must not.

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/sepsisagent/sepsisagent/fhir/bulk"
)

// auths gives the Authorization headers by which a server was asked.
func (s *site) auths(server string) map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int{}
	for _, a := range s.asked {
		if a.step == server {
			out[a.auth]++
		}
	}
	return out
}

func TestTheTokenGoesToTheRegisteredOriginOnly(t *testing.T) {
	s := newSite(t, withToken, withStore)
	cfg := s.config()
	if _, err := bulk.Fetch(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	whole(t, cfg.Out)
	if got := s.auths("server"); got["Bearer "+secret] != 2 || len(got) != 1 {
		t.Errorf("the FHIR server was asked with %v", got)
	}
	if got := s.auths("store"); got[""] == 0 || len(got) != 1 {
		t.Errorf("the file store was asked with %v", got)
	}
}

// needing makes the manifest say that files need the token, wherever they lie.
var needing = rewriting("/export/", always, func(b []byte) []byte {
	return replace(`"requiresAccessToken":false`, `"requiresAccessToken":true`)(b)
})

func TestAnotherOriginGetsTheTokenOnlyWhereItIsAllowed(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		t.Run(fmt.Sprintf("allowed %t", allowed), func(t *testing.T) {
			s := newSite(t, withToken, needing, func(s *site) {
				s.store = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					s.note("store", r)
					if r.Header.Get("Authorization") == "" {
						w.WriteHeader(http.StatusUnauthorized)
						return
					}
					r.Header.Del("Authorization") // which the store behind it refuses
					s.export.Load().Files().ServeHTTP(w, r)
				}))
				s.t.Cleanup(s.store.Close)
				s.options.FilesURL = s.store.URL
			})
			cfg := s.config()
			if allowed {
				cfg.TokenOrigins = []string{s.store.URL}
			}
			_, err := bulk.Fetch(t.Context(), cfg)
			if allowed {
				if err != nil || s.auths("store")["Bearer "+secret] == 0 {
					t.Errorf("%v, asked with %v", err, s.auths("store"))
				}
				return
			}
			if !errors.Is(err, bulk.ErrDenied) || !strings.Contains(err.Error(), "allow that origin") || s.auths("store")["Bearer "+secret] != 0 {
				t.Errorf("error %v, asked with %v", err, s.auths("store"))
			}
		})
	}
}

func TestARedirectIsFollowedWithoutTheToken(t *testing.T) {
	var store *httptest.Server
	s := newSite(t, withToken)
	store = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.note("store", r)
		if r.Header.Get("Authorization") != "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.URL.Path = "/fhir" + r.URL.Path
		r.Header.Set("Authorization", "Bearer "+secret) // inside, the store asks the EHR
		s.serve(w, r)
	}))
	defer store.Close()
	s.options.Before = func(w http.ResponseWriter, r *http.Request, step string) bool {
		if step != "file" || strings.HasPrefix(r.Host, strings.TrimPrefix(store.URL, "http://")) {
			return false
		}
		http.Redirect(w, r, store.URL+strings.TrimPrefix(r.URL.Path, "/fhir"), http.StatusTemporaryRedirect)
		return true
	}
	s.remake()
	cfg := s.config()
	if _, err := bulk.Fetch(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	whole(t, cfg.Out)
	if got := s.auths("store"); got[""] == 0 || len(got) != 1 {
		t.Errorf("the place redirected to was asked with %v", got)
	}
}

func TestRedirectsEnd(t *testing.T) {
	s := newSite(t, before(func(w http.ResponseWriter, r *http.Request, step string) bool {
		if step == "file" {
			http.Redirect(w, r, "/fhir"+r.URL.Path, http.StatusFound)
		}
		return step == "file"
	}))
	if _, err := bulk.Fetch(t.Context(), s.config()); !errors.Is(err, bulk.ErrContent) || !strings.Contains(err.Error(), "302") {
		t.Errorf("error %v", err)
	}
}

func TestALinkWithoutTLSFromAServerWithTLSIsRefused(t *testing.T) {
	var s *site
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.note("server", r)
		s.serve(w, r)
	}))
	defer secure.Close()
	s = newSite(t, withToken)
	plain := s.options.BaseURL
	for _, tc := range []struct{ name, base string }{{"everything with TLS", secure.URL + "/fhir"}, {"links without TLS", plain}} {
		t.Run(tc.name, func(t *testing.T) {
			s.options.BaseURL = tc.base
			s.remake()
			cfg := s.config()
			cfg.Server, cfg.HTTP = secure.URL+"/fhir", secure.Client()
			_, err := bulk.Fetch(t.Context(), cfg)
			if tc.base != plain && err != nil || tc.base == plain && (err == nil || !strings.Contains(err.Error(), "without TLS")) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// rotating gives another token after each that was dropped.
type rotating struct {
	mu      sync.Mutex // guards what follows
	turn    int
	dropped []string
}

func (r *rotating) Token(context.Context) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprintf("token-%d", r.turn), nil
}

func (r *rotating) Drop(token string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if token == fmt.Sprintf("token-%d", r.turn) {
		r.turn++
	}
	r.dropped = append(r.dropped, token)
}

func TestATokenThatIsRefusedIsRenewedOnce(t *testing.T) {
	s := newSite(t, func(s *site) { s.options.Token = "token-1" })
	cfg := s.config()
	tokens := &rotating{}
	cfg.Tokens = tokens
	if _, err := bulk.Fetch(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if len(tokens.dropped) != 1 || tokens.dropped[0] != "token-0" {
		t.Errorf("dropped %v", tokens.dropped)
	}
	s = newSite(t, func(s *site) { s.options.Token = "another" })
	cfg = s.config()
	cfg.Tokens = &rotating{}
	if _, err := bulk.Fetch(t.Context(), cfg); !errors.Is(err, bulk.ErrDenied) || len(s.asked) != 2 {
		t.Errorf("%v after %d requests", err, len(s.asked))
	}
}

// broken gives no token.
type broken struct{}

func (broken) Token(context.Context) (string, error) { return "", errors.New("the vault is sealed") }

func TestNoRequestIsMadeWithoutTheTokenThatIsMeant(t *testing.T) {
	s := newSite(t)
	cfg := s.config()
	cfg.Tokens = broken{}
	if _, err := bulk.Fetch(t.Context(), cfg); !errors.Is(err, bulk.ErrDenied) || !strings.Contains(err.Error(), "sealed") || len(s.asked) != 0 {
		t.Errorf("%v after %d requests", err, len(s.asked))
	}
}

func TestErrorsHoldNoLink(t *testing.T) {
	s := newSite(t, withStore)
	cfg := s.config()
	cfg.Progress = func(e bulk.Event) {
		if e.Total > 0 {
			s.store.CloseClientConnections()
			s.store.Listener.Close()
		}
	}
	_, err := bulk.Fetch(t.Context(), cfg)
	if !errors.Is(err, bulk.ErrUnreachable) || strings.Contains(err.Error(), "sig") || strings.Contains(err.Error(), "/bucket") {
		t.Errorf("error %v", err)
	}
	var u *url.Error
	if errors.As(err, &u) {
		t.Error("the error holds the address")
	}
}
