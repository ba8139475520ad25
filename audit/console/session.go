// SPDX-License-Identifier: Apache-2.0

package console

// This file: who is signed in. A reader brings a bearer token with each call, or
// signs in with one and gets a cookie for as long as the token lives. The token
// stays here and is checked again on every call. A session also holds what must
// not be in an address: questions about a patient, and the reasons given for them.

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sepsisagent/sepsisagent/audit/access"
	"github.com/sepsisagent/sepsisagent/audit/query"
)

// Bounds of what is kept in memory.
const (
	maxSessions  = 1000             // of all readers
	maxOfReader  = 20               // of one
	maxQuestions = 100              // of one session
	idle         = 30 * time.Minute // after which a session ends
	grantLife    = time.Hour        // of a reason, from when it was given
)

// session is one browser of one reader.
type session struct {
	user  string // whose: access.Reader.User
	token string // bearer token; empty: each call brings one
	form  string // secret that every form of this session carries
	last  time.Time

	mu        sync.Mutex // guards what follows
	questions map[string]query.Query
	order     []string // handles of questions, oldest first
	grants    map[string]grant
}

// grant is a reason given for one patient.
type grant struct {
	reason string
	until  time.Time
}

// holds reports that a form is of this session.
func (s *session) holds(r *http.Request) bool {
	return subtle.ConstantTimeCompare([]byte(r.PostFormValue("form")), []byte(s.form)) == 1
}

// allow notes why a patient is looked up.
func (s *session) allow(patient, reason string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.grants) >= maxQuestions {
		clear(s.grants)
	}
	s.grants[patient] = grant{reason, now.Add(grantLife)}
}

// reason is why the reader looks up a patient; empty where none holds.
func (s *session) reason(patient string, now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.grants[patient]; patient != "" && now.Before(g.until) {
		return g.reason
	}
	return ""
}

// keep remembers a question under a handle that says nothing about it.
func (s *session) keep(q query.Query) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.order) >= maxQuestions {
		delete(s.questions, s.order[0])
		s.order = s.order[1:]
	}
	handle := rand.Text()
	s.questions[handle], s.order = q, append(s.order, handle)
	return handle
}

// question finds a question by its handle.
func (s *session) question(handle string) (query.Query, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, ok := s.questions[handle]
	return q, ok
}

// sessions are those of all readers.
type sessions struct {
	now func() time.Time
	mu  sync.Mutex // guards by and the last of each
	by  map[string]*session
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, by: map[string]*session{}}
}

// start makes a session and says by which secret it is found.
func (s *sessions) start(user, token string) (string, *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	of, all, oldest, oldestOf := 0, 0, "", ""
	for id, x := range s.by {
		if now.Sub(x.last) > idle {
			delete(s.by, id)
			continue
		}
		all++
		if oldest == "" || x.last.Before(s.by[oldest].last) {
			oldest = id
		}
		if x.user == user {
			of++
			if oldestOf == "" || x.last.Before(s.by[oldestOf].last) {
				oldestOf = id
			}
		}
	}
	switch {
	case of >= maxOfReader:
		delete(s.by, oldestOf)
	case all >= maxSessions:
		delete(s.by, oldest)
	}
	id := rand.Text() + rand.Text()
	x := &session{user: user, token: token, form: rand.Text(), last: now, questions: map[string]query.Query{}, grants: map[string]grant{}}
	s.by[id] = x
	return id, x
}

// find gives the session of a secret; nil where there is none.
func (s *sessions) find(id string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.by[id]
	if x == nil {
		return nil
	}
	now := s.now()
	if now.Sub(x.last) > idle {
		delete(s.by, id)
		return nil
	}
	x.last = now
	return x
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.by, id)
}

// secure reports that the service is reached over https.
func (c *Console) secure() bool { return strings.HasPrefix(c.Chart().PublicURL, "https://") }

// cookieName is that of the session's cookie. Over https its name binds it to
// this host.
func (c *Console) cookieName() string {
	if c.secure() {
		return "__Host-sepsisagent-audit"
	}
	return "sepsisagent-audit"
}

func (c *Console) setCookie(w http.ResponseWriter, value string) {
	cookie := &http.Cookie{Name: c.cookieName(), Value: value, Path: "/", HttpOnly: true, Secure: c.secure(), SameSite: http.SameSiteStrictMode}
	if value == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, cookie)
}

func (c *Console) cookie(r *http.Request) string {
	if k, err := r.Cookie(c.cookieName()); err == nil {
		return k.Value
	}
	return ""
}

// withToken is the request as if it had brought this token.
func withToken(r *http.Request, token string) *http.Request {
	clone := r.Clone(r.Context())
	clone.Header.Set("Authorization", "Bearer "+token)
	return clone
}

// reader finds who asks, and in which session. A token in the request counts
// before the one of a session.
func (c *Console) reader(w http.ResponseWriter, r *http.Request) (access.Reader, *session, error) {
	id := c.cookie(r)
	s := c.sessions.find(id)
	if r.Header.Get("Authorization") == "" {
		if s == nil || s.token == "" {
			return access.Reader{}, nil, access.ErrUnauthenticated
		}
		reader, err := c.Gate.Authenticate(withToken(r, s.token))
		if errors.Is(err, access.ErrUnauthenticated) {
			c.sessions.end(id)
		}
		return reader, s, err
	}
	reader, err := c.Gate.Authenticate(r)
	if err != nil {
		return access.Reader{}, nil, err
	}
	if s == nil || s.user != reader.User() {
		id, s = c.sessions.start(reader.User(), "")
		c.setCookie(w, id)
	}
	return reader, s, nil
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
	switch {
	case errors.Is(err, access.ErrUnauthenticated):
		c.signInPage(w, http.StatusUnauthorized, "This token does not open the log. It may be of another service, or no longer hold.")
		return
	case err != nil:
		c.refuse(w, nil, "POST /sign-in", err)
		return
	}
	c.sessions.end(c.cookie(r))
	id, _ := c.sessions.start(reader.User(), token)
	c.setCookie(w, id)
	c.send(w, http.StatusOK, answer{location: "/"})
}

// signInPage is all that a stranger sees.
func (c *Console) signInPage(w http.ResponseWriter, status int, problem string) {
	body, err := c.execute("signin.html", c.frame(nil, "Sign in", ""), map[string]any{"Problem": problem, "Demo": c.Demo != ""})
	if err != nil {
		http.Error(w, "sign in", status)
		return
	}
	c.send(w, status, answer{body: body})
}
