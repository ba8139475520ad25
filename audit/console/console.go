// SPDX-License-Identifier: Apache-2.0

// Package console is the audit log in a browser: search, one receipt as a story,
// the integrity of the log, how many cards were shown and what became of them, and
// exports. Pages are made on the server and run no script.
//
// It trusts the gate to say who a reader is and what they may see, and the log for
// what was recorded; a proof is checked here, on every page, before it is called
// one. It trusts nothing in a request, and nothing that a record quotes: every text
// is escaped. Nothing is sent before the reading of it is in the log.
package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/access"
	"github.com/sepsisagent/sepsisagent/audit/query"
	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/cdshooks/evidence"
	"github.com/sepsisagent/sepsisagent/cdshooks/launch/oidc"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Path is where the console is mounted.
const Path = "/audit/ui"

// Log is what is read. sqllog.Log is one.
type Log interface {
	query.Log
	cdshooks.Log
	cdshooks.Counts
	evidence.Prover
	Head(ctx context.Context) (audit.Checkpoint, []byte, error)
	Verify(ctx context.Context) (audit.Report, error)
	Verifier() *audit.Verifier
	// FirstUse and Used are a memory that replicas share, of sessions that were
	// ended.
	FirstUse(ctx context.Context, issuer, id string, until time.Time) (bool, error)
	Used(ctx context.Context, issuer, id string) (bool, error)
}

// Gate says who a request is from. access.Gate is one.
type Gate interface {
	// Authenticate reads the bearer token of a request. Errors:
	// access.ErrUnauthenticated, access.ErrTooMany.
	Authenticate(r *http.Request) (access.Reader, error)
	// Failed counts a request of a reader that was refused.
	Failed(access.Reader)
	// Admit says whether a reader who signed in may go on asking. Errors:
	// access.ErrTooMany.
	Admit(access.Reader) error
	// RefusedSignIn counts a sign-in that did not hold. Errors: access.ErrTooMany.
	RefusedSignIn(r *http.Request) error
}

// Chart is how stored records become a chart again, and where the service is
// reached: as it runs at the time of the call.
type Chart struct {
	Remapper cdshooks.Remapper
	State    state.Config
	Zone     *time.Location
	// PublicURL of the service. Where it is https, cookies are sent over nothing
	// else.
	PublicURL string
}

// Deps are what a console is made of.
type Deps struct {
	Log     Log
	Gate    Gate
	Appends access.Appender // where readings are recorded
	Chart   func() Chart
	// SignIn signs readers in by redirect; nil: they bring tokens.
	SignIn SignIn
	// Key gives what seals what browsers keep, and is shared by replicas; sessions
	// end when it changes. Nil, or shorter than 32 bytes: one is drawn, and sessions
	// end with this process.
	Key func() []byte
	// Demo, when not empty, is a token that the gate takes: the sign-in page has a
	// button that enters with it. For synthetic patients on loopback only.
	Demo string
	Now  func() time.Time // nil: time.Now
	// Failed is told of errors inside us; nil: nobody is.
	Failed func(page string, err error)
}

// Console serves the pages. It is safe for concurrent use.
type Console struct {
	Deps
	box      *oidc.Box
	verified *verified
	routes   http.Handler
}

// New makes a console.
func New(d Deps) *Console {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Failed == nil {
		d.Failed = func(string, error) {}
	}
	c := &Console{Deps: d, box: oidc.NewBox("sepsisagent audit console", d.Key, nil), verified: newVerified(d.Log, d.Now)}
	mux := http.NewServeMux()
	for pattern, p := range map[string]page{
		"GET /{$}":                  c.search,
		"POST /search":              c.ask,
		"GET /records/{id}":         c.record,
		"GET /records/{id}/proof":   c.proof,
		"POST /records/{id}/reason": c.breakGlass,
		"GET /export":               c.export,
		"GET /integrity":            c.integrity,
		"GET /checkpoint":           c.checkpoint,
		"GET /rates":                c.rates,
		"POST /sign-out":            c.signOut,
		"/":                         func(context.Context, *visit) (answer, error) { return answer{}, errNotThere },
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { c.serve(w, r, pattern, p) })
	}
	mux.HandleFunc("POST /sign-in", c.signIn)
	mux.HandleFunc("GET /sign-in", c.away)
	mux.HandleFunc("GET "+strings.TrimPrefix(CallbackPath, Path), c.back)
	c.routes = http.StripPrefix(Path, http.NewCrossOriginProtection().Handler(mux))
	return c
}

// Close ends a verification under way.
func (c *Console) Close() { c.verified.close() }

// ServeHTTP answers below Path.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if c.secure() {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	c.routes.ServeHTTP(w, r)
}

// maxForm is the longest body of a form, in bytes; a token is the longest part.
const maxForm = 64 << 10

// errNotThere is of an entry that is not there and of one that is not for this
// reader. Nobody is told which.
var errNotThere = fmt.Errorf("%w, or not for this reader", audit.ErrNotFound)

// errForm: a form is not one of ours, or of another session.
var errForm = fmt.Errorf("%w: form of another session", access.ErrForbidden)

// visit is one call of somebody whose token holds.
type visit struct {
	r       *http.Request
	reader  access.Reader
	session *session
	reading access.Reading // what will be recorded; serve fills in Reader, Via, Command and Status
}

// answer is what is sent.
type answer struct {
	body     []byte
	kind     string // content type; empty: a page
	file     string // name to save it under; empty: it is shown
	location string // where to go instead, below Path
}

// page makes the answer to one call.
type page func(ctx context.Context, v *visit) (answer, error)

// serve answers one call: who asks, may they, what is the answer, is the reading
// on record, and only then is it sent.
func (c *Console) serve(w http.ResponseWriter, r *http.Request, pattern string, p page) {
	v := &visit{r: r}
	var err error
	if v.reader, v.session, err = c.reader(w, r); errors.Is(err, errAgain) {
		c.begin(w, r, v.session, r.URL.RequestURI())
		return
	} else if err != nil {
		c.refuse(w, nil, pattern, err)
		return
	}
	var a answer
	if r.Method != http.MethodGet && r.Method != http.MethodHead && !v.session.holds(r) {
		err = errForm
	} else {
		a, err = p(r.Context(), v)
	}
	status := access.StatusOf(err)
	if status < http.StatusInternalServerError {
		v.reading.Reader, v.reading.Via, v.reading.Command, v.reading.Status = v.reader, "console", pattern, status
		if recorded := access.Record(r.Context(), c.Appends, v.reading); recorded != nil {
			err = recorded
		}
	}
	if status == http.StatusForbidden || status == http.StatusNotFound {
		c.Gate.Failed(v.reader)
	}
	if err == nil && v.session.granted {
		err = c.saveReasons(w, v.session)
	}
	if err != nil {
		c.refuse(w, v, pattern, err)
		return
	}
	if v.session.ended {
		c.forget(w, r)
	}
	c.send(w, http.StatusOK, a)
}

// refuse answers an error with a page that says no more than it must.
func (c *Console) refuse(w http.ResponseWriter, v *visit, pattern string, err error) {
	status := access.StatusOf(err)
	switch {
	case status >= http.StatusInternalServerError:
		c.Failed(pattern, err)
	case status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="audit"`)
		c.signInPage(w, status, "")
		return
	case status == http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "60")
	}
	n := refusals[status]
	switch {
	case errors.Is(err, access.ErrReason):
		n = notice{"A reason is needed", "Say in 10 to 500 characters why you look up this patient. It is recorded. Go back and try again."}
	case errors.Is(err, errForm):
		n = notice{"The form is out of date", "It is of an earlier session, or cookies are switched off. Go back, open the page again, and try again."}
	case status == http.StatusBadRequest:
		n = notice{"This cannot be asked", err.Error()}
	}
	body, failed := c.execute("notice.html", c.frame(v, n.Title, ""), n)
	if failed != nil {
		http.Error(w, n.Title, status)
		return
	}
	c.send(w, status, answer{body: body})
}

// notice is a page that only says something.
type notice struct{ Title, Text string }

var refusals = map[int]notice{
	http.StatusForbidden:           {"Not for you", "Your roles do not give this right. This was recorded."},
	http.StatusNotFound:            {"Not found", "There is no such record, it was erased, or it is not one that you may open. This was recorded."},
	http.StatusConflict:            {"The record is encrypted", "Its body is encrypted with a key that this service does not have."},
	http.StatusTooManyRequests:     {"Too many failures", "Wait a minute, and try again."},
	http.StatusInternalServerError: {"The page cannot be shown", "Nothing is sent that is not on record. Tell whoever runs this service."},
}

func (c *Console) send(w http.ResponseWriter, status int, a answer) {
	h := w.Header()
	if a.location != "" {
		h.Set("Location", Path+a.location)
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	if a.kind != "" {
		h.Set("Content-Type", a.kind)
	}
	if a.file != "" {
		h.Set("Content-Disposition", `attachment; filename="`+a.file+`"`)
	}
	w.WriteHeader(status)
	if _, err := w.Write(a.body); err != nil {
		c.Failed("send", err)
	}
}
