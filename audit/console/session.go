// SPDX-License-Identifier: Apache-2.0

package console

// This file: who is signed in. A reader brings a bearer token with each call, signs
// in with one, or is signed in by the identity provider. All that a session is lies
// sealed in the browser, so that every replica knows it; that a session was ended is
// in the shared memory of used tokens. What must not be in an address is sealed too:
// questions about a patient, and the reasons given for them.

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/audit/access"
	"github.com/sepsisagent/sepsisagent/audit/query"
)

const (
	idle      = 30 * time.Minute // after which a session of a token ends
	reseal    = time.Minute      // after which its end is put off
	maxAge    = 12 * time.Hour   // of a session, however often the provider is asked
	grantLife = time.Hour        // of a reason, from when it was given
	// endedSessions names them in the memory of used tokens.
	endedSessions = "audit console"
	// cookieBytes is how much a browser takes in one cookie, less its name, and
	// maxCookies how many a session may take: a token has up to 8 kB.
	cookieBytes = 3800
	maxCookies  = 4
)

// session is one browser of one reader.
type session struct {
	ID     string         `json:"i"`
	Form   string         `json:"f"`           // secret that every form of this session carries
	User   string         `json:"w"`           // whose: access.Reader.User
	Token  string         `json:"t,omitempty"` // bearer token that the reader signed in with
	Reader *access.Reader `json:"r,omitempty"` // whom the identity provider signed in
	Since  int64          `json:"s"`           // Unix seconds
	Until  int64          `json:"u"`

	grants  []grant // oldest first; in a cookie of their own
	granted bool    // one is new
	ended   bool    // by this call
}

// grant is a reason given for one patient.
type grant struct {
	Patient string `json:"p"`
	Reason  string `json:"r"`
	Until   int64  `json:"u"`
}

func newSession(user string, now time.Time) *session {
	return &session{ID: rand.Text(), Form: rand.Text(), User: user, Since: now.Unix(), Until: now.Add(idle).Unix()}
}

// holds reports that a form is of this session.
func (s *session) holds(r *http.Request) bool {
	return subtle.ConstantTimeCompare([]byte(r.PostFormValue("form")), []byte(s.Form)) == 1
}

// allow notes why a patient is looked up.
func (s *session) allow(patient, reason string, now time.Time) {
	var kept []grant
	for _, g := range s.grants {
		if g.Patient != patient && now.Unix() < g.Until {
			kept = append(kept, g)
		}
	}
	s.grants, s.granted = append(kept, grant{patient, reason, now.Add(grantLife).Unix()}), true
}

// reason is why the reader looks up a patient; empty where none holds.
func (s *session) reason(patient string, now time.Time) string {
	for _, g := range s.grants {
		if g.Patient == patient && patient != "" && now.Unix() < g.Until {
			return g.Reason
		}
	}
	return ""
}

// keep gives a handle for a question, which says nothing about it and opens in this
// session alone.
func (c *Console) keep(s *session, q query.Query) (string, error) {
	return c.box.Seal("question "+s.ID, q.URL().Encode())
}

// question opens a handle.
func (c *Console) question(s *session, handle string) (q query.Query, ok bool) {
	var text string
	if c.box.Open("question "+s.ID, handle, &text) != nil {
		return q, false
	}
	values, err := url.ParseQuery(text)
	if err != nil {
		return q, false
	}
	q, err = query.Parse(values)
	return q, err == nil
}

// secure reports that the service is reached over https.
func (c *Console) secure() bool { return strings.HasPrefix(c.Chart().PublicURL, "https://") }

// cookieName is that of a cookie. Over https it is bound to this host.
func (c *Console) cookieName(what string) string {
	if c.secure() {
		return "__Host-sepsisagent-audit" + what
	}
	return "sepsisagent-audit" + what
}

// partName is what is added to the name of the nth cookie of a session.
func partName(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint("-", n)
}

func (c *Console) setCookie(w http.ResponseWriter, what, value string) {
	cookie := &http.Cookie{Name: c.cookieName(what), Value: value, Path: "/", HttpOnly: true, Secure: c.secure(), SameSite: http.SameSiteStrictMode}
	if value == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, cookie)
}

// save seals a session into the browser.
func (c *Console) save(w http.ResponseWriter, r *http.Request, s *session) error {
	value, err := c.box.Seal("session", s)
	if err != nil {
		return err
	}
	if len(value) > maxCookies*cookieBytes {
		return fmt.Errorf("%w: the token is too long for a browser (hint: send it with each call)", access.ErrUnauthenticated)
	}
	for n := range maxCookies {
		part := value[:min(len(value), cookieBytes)]
		value = value[len(part):]
		if _, err := r.Cookie(c.cookieName(partName(n))); part != "" || err == nil {
			c.setCookie(w, partName(n), part)
		}
	}
	return nil
}

// saveReasons seals the reasons, the newest that a browser takes: who looks up more
// patients than that gives the first reason again.
func (c *Console) saveReasons(w http.ResponseWriter, s *session) error {
	for {
		value, err := c.box.Seal("reasons "+s.ID, s.grants)
		if err != nil {
			return err
		}
		if len(value) <= cookieBytes || len(s.grants) <= 1 {
			c.setCookie(w, "-reasons", value)
			return nil
		}
		s.grants = s.grants[1:]
	}
}

// forget takes everything of a session from the browser.
func (c *Console) forget(w http.ResponseWriter, r *http.Request) {
	for n := range maxCookies {
		if _, err := r.Cookie(c.cookieName(partName(n))); err == nil || n == 0 {
			c.setCookie(w, partName(n), "")
		}
	}
	c.setCookie(w, "-reasons", "")
}

// found opens the session of a request, which may be over; nil where there is none.
func (c *Console) found(r *http.Request) *session {
	value := ""
	for n := range maxCookies {
		k, err := r.Cookie(c.cookieName(partName(n)))
		if err != nil {
			break
		}
		value += k.Value
	}
	s := &session{}
	if value == "" || c.box.Open("session", value, s) != nil {
		return nil
	}
	if k, err := r.Cookie(c.cookieName("-reasons")); err == nil {
		if c.box.Open("reasons "+s.ID, k.Value, &s.grants) != nil {
			s.grants = nil
		}
	}
	return s
}

// withToken is the request as if it had brought this token.
func withToken(r *http.Request, token string) *http.Request {
	clone := r.Clone(r.Context())
	clone.Header.Set("Authorization", "Bearer "+token)
	return clone
}

// errAgain: the sign-in is over, and the identity provider may know the reader yet.
var errAgain = fmt.Errorf("%w: ask the provider again", access.ErrUnauthenticated)

// reader finds who asks, and in which session. A token in the request counts
// before the one of a session. Errors: those of Gate, errAgain with the session.
func (c *Console) reader(w http.ResponseWriter, r *http.Request) (access.Reader, *session, error) {
	now, s := c.Now(), c.found(r)
	if s != nil {
		if over, err := c.Log.Used(r.Context(), endedSessions, s.ID); err != nil {
			return access.Reader{}, nil, err
		} else if over || now.Unix() >= s.Since+int64(maxAge.Seconds()) {
			s = nil
		}
	}
	if r.Header.Get("Authorization") != "" {
		reader, err := c.Gate.Authenticate(r)
		if err == nil && (s == nil || s.User != reader.User() || now.Unix() >= s.Until) {
			s = newSession(reader.User(), now)
			return reader, s, c.save(w, r, s)
		}
		if err == nil {
			err = c.putOff(w, r, s, now)
		}
		return reader, s, err
	}
	switch {
	case s == nil || s.Token == "" && s.Reader == nil:
		return access.Reader{}, nil, access.ErrUnauthenticated
	case now.Unix() >= s.Until && s.Reader != nil && c.SignIn != nil && r.Method == http.MethodGet:
		return access.Reader{}, s, errAgain
	case now.Unix() >= s.Until:
		return access.Reader{}, nil, access.ErrUnauthenticated
	case s.Reader != nil:
		return *s.Reader, s, c.Gate.Admit(*s.Reader)
	}
	reader, err := c.Gate.Authenticate(withToken(r, s.Token))
	if err == nil {
		err = c.putOff(w, r, s, now)
	}
	return reader, s, err
}

// putOff gives a session its whole time again, where it is one of a token.
func (c *Console) putOff(w http.ResponseWriter, r *http.Request, s *session, now time.Time) error {
	end := now.Add(idle).Unix()
	if s.Reader != nil || end-s.Until <= int64(reseal.Seconds()) {
		return nil
	}
	s.Until = end
	return c.save(w, r, s)
}

// signIn takes a token from a form and gives a cookie for it.
func (c *Console) signIn(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimSpace(r.PostFormValue("token"))
	if r.PostFormValue("demo") != "" {
		token = c.Demo
	}
	if token == "" {
		c.signInPage(w, http.StatusUnauthorized, "No token was given.")
		return
	}
	reader, err := c.Gate.Authenticate(withToken(r, token))
	if err == nil {
		s := newSession(reader.User(), c.Now())
		s.Token = token
		err = c.save(w, r, s)
	}
	switch {
	case errors.Is(err, access.ErrUnauthenticated):
		c.signInPage(w, http.StatusUnauthorized, "This token does not open the log. It may be of another service, no longer hold, or be too long for a browser.")
	case err != nil:
		c.refuse(w, nil, "POST /sign-in", err)
	default:
		c.send(w, http.StatusOK, answer{location: "/"})
	}
}

// signInPage is all that a stranger sees.
func (c *Console) signInPage(w http.ResponseWriter, status int, problem string) {
	body, err := c.execute("signin.html", c.frame(nil, "Sign in", ""), map[string]any{"Problem": problem, "Demo": c.Demo != "", "Redirect": c.SignIn != nil})
	if err != nil {
		http.Error(w, "sign in", status)
		return
	}
	c.send(w, status, answer{body: body})
}
