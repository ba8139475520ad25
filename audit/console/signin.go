// SPDX-License-Identifier: Apache-2.0

package console

// This file: signing in by redirect at the identity provider, and out again.

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/audit/access"
	"github.com/sepsisagent/sepsisagent/cdshooks/launch/oidc"
)

// CallbackPath is where the identity provider sends readers back to.
const CallbackPath = Path + "/signed-in"

// SignIn signs readers in by redirect. access.Login is one.
type SignIn interface {
	Begin(ctx context.Context, back access.Back) (location string, cookie *http.Cookie, err error)
	Finish(ctx context.Context, query url.Values, cookies []*http.Cookie) (access.Reader, access.Back, *http.Cookie, error)
	LogoutURL(ctx context.Context) string
	Life() time.Duration
}

// maxReturn bounds the address of a page to come back to.
const maxReturn = 1500

// begin sends the browser to the identity provider. s is a session that is over,
// to be gone on with if the same reader comes back; it may be nil.
func (c *Console) begin(w http.ResponseWriter, r *http.Request, s *session, to string) {
	if len(to) > maxReturn || !strings.HasPrefix(to, "/") {
		to = "/"
	}
	back := access.Back{To: to}
	if s != nil {
		kept := *s
		kept.Reader, kept.Token = nil, ""
		data, err := json.Marshal(kept)
		if err != nil {
			c.refuse(w, nil, "GET /sign-in", err)
			return
		}
		back.Kept = string(data)
	}
	location, cookie, err := c.SignIn.Begin(r.Context(), back)
	if err != nil {
		c.Failed("GET /sign-in", err)
		c.signInPage(w, http.StatusServiceUnavailable, "The identity provider cannot be asked. Try again.")
		return
	}
	http.SetCookie(w, cookie)
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusSeeOther)
}

// away begins a sign-in.
func (c *Console) away(w http.ResponseWriter, r *http.Request) {
	if c.SignIn == nil {
		c.signInPage(w, http.StatusNotFound, "")
		return
	}
	c.begin(w, r, nil, "/")
}

// back takes what the identity provider sent. Nobody is in before that is on record.
func (c *Console) back(w http.ResponseWriter, r *http.Request) {
	const pattern = "GET /signed-in"
	if c.SignIn == nil {
		c.signInPage(w, http.StatusNotFound, "")
		return
	}
	reader, back, spent, err := c.SignIn.Finish(r.Context(), r.URL.Query(), r.Cookies())
	if spent != nil {
		http.SetCookie(w, spent)
	}
	switch {
	case errors.Is(err, oidc.ErrRefused):
		if many := c.Gate.RefusedSignIn(r); many != nil {
			c.refuse(w, nil, pattern, many)
			return
		}
		c.signInPage(w, http.StatusUnauthorized, "You were not signed in. It may have taken too long, or been refused by the identity provider. Try again.")
		return
	case err != nil:
		c.Failed(pattern, err)
		c.signInPage(w, http.StatusServiceUnavailable, "The identity provider cannot be asked. Try again.")
		return
	}
	now := c.Now()
	s := newSession(reader.User(), now)
	var kept session
	if back.Kept != "" && json.Unmarshal([]byte(back.Kept), &kept) == nil && kept.User == reader.User() {
		s = &kept
	}
	s.Reader, s.Until = &reader, now.Add(c.SignIn.Life()).Unix()
	err = access.Record(r.Context(), c.Appends, access.Reading{Reader: reader, Via: "console", Command: pattern, What: "signed in"})
	if err == nil {
		err = c.save(w, r, s)
	}
	// The browser keeps our cookies from a page that another site sent it to: it
	// goes on from here by itself.
	var body []byte
	if err == nil {
		body, err = c.execute("signedin.html", c.frame(nil, "Signed in", ""), Path+back.To)
	}
	if err != nil {
		c.refuse(w, nil, pattern, err)
		return
	}
	c.send(w, http.StatusOK, answer{body: body})
}

// signOut ends the session, on every replica.
func (c *Console) signOut(ctx context.Context, v *visit) (answer, error) {
	v.reading.What = "signed out"
	if _, err := c.Log.FirstUse(ctx, endedSessions, v.session.ID, c.Now().Add(maxAge+time.Hour)); err != nil {
		return answer{}, err
	}
	v.session.ended = true
	if v.session.Reader == nil || c.SignIn == nil {
		return answer{location: "/"}, nil
	}
	body, err := c.execute("signedout.html", c.frame(nil, "Signed out", ""), c.SignIn.LogoutURL(ctx))
	return answer{body: body}, err
}
