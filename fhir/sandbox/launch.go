// SPDX-License-Identifier: Apache-2.0

package sandbox

// This file: launching a SMART app from a card: the EHR's side of an EHR launch
// with PKCE and OpenID Connect. There is no login here: the user is who the
// chart was opened as.

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// appID is the CDS service's id here as a SMART app.
const appID = "sepsisagent-evidence"

// Lives of what a launch goes by, and how many may be under way.
const (
	launchLife  = 5 * time.Minute
	codeLife    = time.Minute
	maxLaunches = 1000
)

// launchOf is the context of one launch.
type launchOf struct {
	patient, user, appContext string
	until                     time.Time
}

// codeOf is what one authorization code stands for.
type codeOf struct {
	launchOf
	redirect, challenge, nonce string
}

// apps holds the launches under way.
type apps struct {
	mu       sync.Mutex // guards what follows
	launches map[string]launchOf
	codes    map[string]codeOf
}

func newApps() *apps { return &apps{launches: map[string]launchOf{}, codes: map[string]codeOf{}} }

// begin remembers a launch and gives its handle.
func (a *apps) begin(l launchOf, now time.Time) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, old := range a.launches {
		if now.After(old.until) || len(a.launches) >= maxLaunches {
			delete(a.launches, id)
		}
	}
	id := rand.Text()
	l.until = now.Add(launchLife)
	a.launches[id] = l
	return id
}

// code trades a launch for a code, once.
func (a *apps) code(launch string, c codeOf, now time.Time) (string, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l, ok := a.launches[launch]
	delete(a.launches, launch)
	if !ok || now.After(l.until) {
		return "", false
	}
	for id, old := range a.codes {
		if now.After(old.until) {
			delete(a.codes, id)
		}
	}
	code := rand.Text()
	c.launchOf = l
	c.until = now.Add(codeLife)
	a.codes[code] = c
	return code, true
}

// take gives what a code stands for, once.
func (a *apps) take(code string, now time.Time) (codeOf, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, ok := a.codes[code]
	delete(a.codes, code)
	return c, ok && !now.After(c.until)
}

// launchApp launches the app of a card's link for the user of the newest
// answer. Only the CDS service is registered as an app.
func (s *Sandbox) launchApp(w http.ResponseWriter, r *http.Request) {
	id, q := r.PathValue("id"), r.URL.Query()
	last := s.lastOf(id)
	n, err := strconv.Atoi(q.Get("link"))
	if last == nil || err != nil || n < 0 {
		http.Error(w, "no such link in the newest answer", http.StatusNotFound)
		return
	}
	for _, c := range last.Cards {
		if c.UUID != q.Get("card") || n >= len(c.Links) || c.Links[n].Type != "smart" {
			continue
		}
		link := c.Links[n]
		if link.URL != s.cfg.CDSBaseURL+"/launch" {
			http.Error(w, "no app is registered at this address", http.StatusForbidden)
			return
		}
		launch := s.apps.begin(launchOf{patient: id, user: last.User.ID, appContext: link.AppContext}, s.cfg.Now())
		http.Redirect(w, r, link.URL+"?"+url.Values{"iss": {s.fhirBase()}, "launch": {launch}}.Encode(), http.StatusSeeOther)
		return
	}
	http.Error(w, "no such link in the newest answer", http.StatusNotFound)
}

// authorize answers an authorization request of the app at once: who opened
// the chart is signed in.
func (s *Sandbox) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	redirect := s.cfg.CDSBaseURL + "/launch/" + s.Client().Name + "/callback"
	if q.Get("client_id") != appID || q.Get("redirect_uri") != redirect {
		http.Error(w, "no such app, or not its redirect address", http.StatusBadRequest)
		return
	}
	back := url.Values{"state": {q.Get("state")}, "iss": {s.base.String()}}
	scopes := strings.Fields(q.Get("scope"))
	granted := 0
	for _, scope := range scopes {
		if scope == "launch" || scope == "openid" || scope == "fhirUser" {
			granted++
		}
	}
	switch {
	case q.Get("response_type") != "code":
		back.Set("error", "unsupported_response_type")
	case len(q.Get("code_challenge")) != 43 || q.Get("code_challenge_method") != "S256" || q.Get("aud") != s.fhirBase() || q.Get("state") == "":
		back.Set("error", "invalid_request")
	case granted != 3 || len(scopes) != 3:
		back.Set("error", "invalid_scope")
	default:
		c := codeOf{redirect: redirect, challenge: q.Get("code_challenge"), nonce: q.Get("nonce")}
		code, ok := s.apps.code(q.Get("launch"), c, s.cfg.Now())
		if !ok {
			back.Set("error", "access_denied")
			break
		}
		back.Set("code", code)
	}
	http.Redirect(w, r, redirect+"?"+back.Encode(), http.StatusFound)
}

// exchange answers a code with who is signed in and what was launched.
func (s *Sandbox) exchange(w http.ResponseWriter, f url.Values) {
	now := s.cfg.Now()
	refuse := func(status int, word string) {
		writeJSON(w, status, "application/json", []byte(`{"error":"`+word+`"}`))
	}
	if f.Get("client_id") != appID {
		refuse(http.StatusUnauthorized, "invalid_client")
		return
	}
	c, ok := s.apps.take(f.Get("code"), now)
	proof := sha256.Sum256([]byte(f.Get("code_verifier")))
	proven := subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(proof[:])), []byte(c.challenge)) == 1
	if !ok || !proven || f.Get("redirect_uri") != c.redirect {
		refuse(http.StatusBadRequest, "invalid_grant")
		return
	}
	identity, err := s.keys.identity(s.base.String(), appID, c.nonce, c.user, now)
	if err != nil {
		refuse(http.StatusInternalServerError, "server_error")
		return
	}
	body, err := json.Marshal(map[string]any{
		"access_token": s.keys.grantFor(c.patient, now), "token_type": "Bearer", "expires_in": int(tokenLife.Seconds()),
		"scope": "launch openid fhirUser", "id_token": identity, "patient": c.patient, "appContext": c.appContext, "need_patient_banner": true,
	})
	if err != nil {
		refuse(http.StatusInternalServerError, "server_error")
		return
	}
	writeJSON(w, http.StatusOK, "application/json", body)
}
