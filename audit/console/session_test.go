// SPDX-License-Identifier: Apache-2.0

package console

// This file: sessions, which lie sealed in the browser: how they end, that replicas
// share them, and signing in at a server that we did not write (.ci/authserver: npm
// oidc-provider), which .ci/run starts.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/audit/access"
	"github.com/sepsisagent/sepsisagent/audit/query"
	"github.com/sepsisagent/sepsisagent/audit/sqlite"
)

// replicas are two consoles on one log behind an address that asks them in turn.
type replicas struct {
	t    *testing.T
	base string
	now  atomic.Int64 // what is added to the time of both, in seconds
	key  atomic.Int64 // the one that both have
	asks atomic.Int64
	deps Deps
	both [2]*Console
	http *http.Client
}

func newReplicas(t *testing.T) *replicas {
	t.Helper()
	h := newHouse(t)
	r := &replicas{t: t}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.both[r.asks.Add(1)%2].ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	r.base = server.URL
	r.deps = Deps{
		Log: h.log, Gate: h.gate, Appends: h, Key: func() []byte { return bytes.Repeat([]byte{byte(r.key.Load())}, 32) },
		Chart: func() Chart { return Chart{Zone: time.UTC, PublicURL: r.base} },
		Now:   func() time.Time { return time.Now().Add(time.Duration(r.now.Load()) * time.Second) },
	}
	r.open()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	r.http = &http.Client{Jar: jar}
	t.Cleanup(r.http.CloseIdleConnections)
	return r
}

func (r *replicas) open() {
	for i := range r.both {
		r.both[i] = New(r.deps)
		r.t.Cleanup(r.both[i].Close)
	}
}

func (r *replicas) do(method, address string, form url.Values) (int, string, *http.Response) {
	r.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = r.base + Path + address
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		r.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := r.http.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp
}

// want gets a page as often as there are replicas.
func (r *replicas) want(path string, status int, says string) string {
	r.t.Helper()
	page := ""
	for range r.both {
		got, body, _ := r.do("GET", path, nil)
		if got != status || !strings.Contains(body, says) {
			r.t.Fatalf("%s: %d, want %d with %q\n%.600s", path, got, status, says, body)
		}
		page = body
	}
	return page
}

// jar are the cookies that the browser would send.
func (r *replicas) jar() []*http.Cookie {
	u, err := url.Parse(r.base)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.http.Jar.Cookies(u)
}

func TestASessionEndsWithTheKeyThatItWasSealedWith(t *testing.T) {
	r := newReplicas(t)
	if status, _, _ := r.do("POST", "/sign-in", url.Values{"token": {"investigator"}}); status != http.StatusOK {
		t.Fatalf("sign in: %d", status)
	}
	r.want("/", 200, "oidc/investigator")
	r.key.Add(1) // a reload has brought another
	if status, body, _ := r.do("GET", "/", nil); strings.Contains(body, "oidc/investigator") {
		t.Errorf("%d: the session lives on", status)
	}
	if status, _, _ := r.do("POST", "/sign-in", url.Values{"token": {"investigator"}}); status != http.StatusOK {
		t.Fatalf("sign in again: %d", status)
	}
	r.want("/", 200, "oidc/investigator")
}

func TestASessionHoldsOnEveryReplicaAndEndsOnEvery(t *testing.T) {
	r := newReplicas(t)
	if status, _, _ := r.do("POST", "/sign-in", url.Values{"token": {"investigator"}}); status != http.StatusOK {
		t.Fatalf("sign in: %d", status)
	}
	form := url.Values{"form": {secret(r.want("/", 200, "oidc/investigator"))}, "patient": {"patient-1"}, "why": {"Review of case 17"}}
	status, body, resp := r.do("POST", "/search", form)
	if status != http.StatusOK || !strings.Contains(body, "call-1") {
		t.Fatalf("search: %d", status)
	}
	// The handle and the reason hold on the other replica as well.
	r.want("/?"+resp.Request.URL.RawQuery, 200, "call-1")
	r.want("/records/call-1", 200, "call-1")
	r.want("/records/call-0", 404, "Not found")
	for _, k := range r.jar() {
		if strings.Contains(k.Value, "patient") || strings.Contains(k.Value, "case") {
			t.Errorf("cookie %s can be read", k.Name)
		}
	}
	kept := r.jar()
	r.do("POST", "/sign-out", form)
	if left := r.jar(); len(left) != 0 {
		t.Errorf("%d cookies are left", len(left))
	}
	for _, c := range r.both { // somebody kept the cookies
		req := httptest.NewRequest("GET", Path+"/", nil)
		for _, k := range kept {
			req.AddCookie(k)
		}
		w := httptest.NewRecorder()
		c.ServeHTTP(w, req)
		if w.Code != http.StatusUnauthorized {
			t.Errorf("after signing out: %d", w.Code)
		}
	}
}

func TestAnIdleSessionEndsAndAUsedOneIsPutOff(t *testing.T) {
	r := newReplicas(t)
	r.do("POST", "/sign-in", url.Values{"token": {"auditor"}})
	for range 3 {
		r.now.Add(int64(idle.Seconds()) - 60)
		r.want("/", 200, "oidc/auditor")
	}
	r.now.Add(int64(idle.Seconds()) + 1)
	r.want("/", 401, "Sign in")
	r.do("POST", "/sign-in", url.Values{"token": {"auditor"}})
	for at := time.Duration(0); at < maxAge-idle; at += idle / 2 {
		r.now.Add(int64(idle.Seconds()) / 2)
		r.do("GET", "/checkpoint", nil)
	}
	r.now.Add(int64(idle.Seconds()))
	r.want("/", 401, "Sign in")
}

func TestALongTokenLiesInSeveralCookiesAndOneThatIsTooLongIsRefused(t *testing.T) {
	r := newReplicas(t)
	long := "auditor#" + strings.Repeat("x", 7000)
	if status, _, _ := r.do("POST", "/sign-in", url.Values{"token": {long}}); status != http.StatusOK || len(r.jar()) < 2 {
		t.Fatalf("%d, %d cookies", status, len(r.jar()))
	}
	r.want("/integrity", 200, "oidc/auditor")
	r.do("POST", "/sign-in", url.Values{"token": {"auditor"}})
	if n := len(r.jar()); n != 1 {
		t.Errorf("%d cookies after a short one", n)
	}
	r.want("/integrity", 200, "oidc/auditor")
	if status, _, _ := r.do("POST", "/sign-in", url.Values{"token": {long + long}}); status != http.StatusUnauthorized {
		t.Errorf("a token that no browser keeps: %d", status)
	}
}

func TestReasonsThatABrowserDoesNotTakeAreTheOldest(t *testing.T) {
	r := newReplicas(t)
	c, s, now := r.both[0], newSession("oidc/a", time.Now()), time.Now()
	for i := range 30 {
		s.allow(fmt.Sprint("p", i), strings.Repeat("ü", 400), now)
	}
	w := httptest.NewRecorder()
	if err := c.saveReasons(w, s); err != nil {
		t.Fatal(err)
	}
	if k := w.Result().Cookies()[0]; len(k.Value) > cookieBytes || s.reason("p29", now) == "" || s.reason("p0", now) != "" {
		t.Errorf("%d bytes, %d reasons", len(k.Value), len(s.grants))
	}
	if s.reason("p29", now.Add(grantLife)) != "" || s.reason("", now) != "" {
		t.Error("a reason holds for ever, or for nobody")
	}
}

func TestAHandleOpensInItsSessionAlone(t *testing.T) {
	r := newReplicas(t)
	c, a, b := r.both[0], newSession("oidc/a", time.Now()), newSession("oidc/b", time.Now())
	handle, err := c.keep(a, query.Query{Patient: "patient-1"})
	if err != nil || strings.Contains(handle, "patient") {
		t.Fatalf("%s, %v", handle, err)
	}
	if q, ok := r.both[1].question(a, handle); !ok || q.Patient != "patient-1" {
		t.Errorf("%+v on another replica", q)
	}
	if _, ok := c.question(b, handle); ok {
		t.Error("it opens in another session")
	}
}

// signsIn gives the consoles the sign-in of a provider; roles sets what it says.
func (r *replicas) signsIn() (roles func(...string)) {
	r.t.Helper()
	server := strings.TrimRight(os.Getenv("SEPSISAGENT_AUTHSERVER"), "/")
	if server == "" {
		r.t.Skip("SEPSISAGENT_AUTHSERVER is not set: start .ci/authserver (node server.mjs) and set it to the address it prints")
	}
	post := func(path string, body, into any) {
		r.t.Helper()
		data, err := json.Marshal(body)
		if err != nil {
			r.t.Fatal(err)
		}
		resp, err := r.http.Post(server+path, "application/json", bytes.NewReader(data))
		if err != nil {
			r.t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
			r.t.Fatalf("%s: %d, %v", path, resp.StatusCode, err)
		}
	}
	var client struct {
		ID string `json:"client_id"`
	}
	post("/reg", map[string]any{
		"client_name": "console", "redirect_uris": []string{r.base + CallbackPath}, "grant_types": []string{"authorization_code"},
		"response_types": []string{"code"}, "token_endpoint_auth_method": "none",
	}, &client)
	gate, err := access.New(access.Config{
		Issuer: server, Audience: "audit", JWKSURL: server + "/jwks", Network: "loopback", Auditors: []string{"sepsis-auditor"},
		Login: access.LoginConfig{ClientID: client.ID, Scopes: []string{"roles"}},
	}, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	login, err := gate.NewLogin(r.base+CallbackPath, r.deps.Key, r.deps.Log.FirstUse)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(login.Close)
	r.deps.Gate, r.deps.SignIn = gate, login
	r.open()
	return func(names ...string) {
		r.t.Helper()
		var out []string
		post("/roles", append([]string{}, names...), &out)
	}
}

var refresh = regexp.MustCompile(`content="0;url=([^"]+)"`)

// follow gets a page, and the page that it goes on to by itself.
func (r *replicas) follow(path string) (int, string) {
	r.t.Helper()
	status, body, _ := r.do("GET", path, nil)
	if m := refresh.FindStringSubmatch(body); m != nil {
		status, body, _ = r.do("GET", r.base+strings.ReplaceAll(m[1], "&amp;", "&"), nil)
	}
	return status, body
}

func TestAServerWeDidNotWriteSignsReadersIn(t *testing.T) {
	r := newReplicas(t)
	roles := r.signsIn()
	roles("sepsis-auditor", "of another service")
	t.Cleanup(func() { roles("sepsis-auditor") })
	r.want("/", 401, `href="/audit/ui/sign-in"`)

	callback := ""
	r.http.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if len(via) > 10 {
			return errors.New("the sign-in goes in circles")
		}
		if strings.HasSuffix(req.URL.Path, CallbackPath) {
			callback = req.URL.String()
		}
		return nil
	}
	status, body := r.follow("/sign-in")
	if status != http.StatusOK || !strings.Contains(body, "oidc/dr-7") || !strings.Contains(body, "(auditor)") {
		t.Fatalf("signed in: %d\n%.600s", status, body)
	}
	r.want("/records/call-0", 200, "call-0")
	if status, _, _ := r.do("GET", callback, nil); status != http.StatusUnauthorized {
		t.Errorf("the same code again: %d", status)
	}
	r.want("/records/call-0", 200, "call-0")

	// A sign-in that is over is asked for again, and the browser comes back to
	// the page it wanted; a role that was taken away is gone.
	r.now.Add(int64((16 * time.Minute).Seconds()))
	if status, body := r.follow("/records/call-2?x=%26"); status != http.StatusOK || !strings.Contains(body, "call-2") {
		t.Errorf("again: %d", status)
	}
	roles("of another service")
	r.want("/records/call-0", 200, "call-0") // for as long as the sign-in holds
	r.now.Add(int64((16 * time.Minute).Seconds()))
	if status, body := r.follow("/records/call-0"); status != http.StatusForbidden || strings.Contains(body, "call-0") {
		t.Errorf("without the role: %d", status)
	}

	roles("sepsis-auditor")
	r.now.Add(int64((16 * time.Minute).Seconds()))
	_, body = r.follow("/")
	kept := r.jar()
	status, body, _ = r.do("POST", "/sign-out", url.Values{"form": {secret(body)}})
	if status != http.StatusOK || !strings.Contains(body, "/session/end?client_id=") {
		t.Errorf("signed out: %d\n%.500s", status, body)
	}
	req := httptest.NewRequest("GET", Path+"/", nil)
	for _, k := range kept {
		req.AddCookie(k)
	}
	w := httptest.NewRecorder()
	if r.both[0].ServeHTTP(w, req); w.Code != http.StatusUnauthorized {
		t.Errorf("with the cookies of before: %d", w.Code)
	}
	if rows := (&house{t: t, log: r.deps.Log.(*sqlite.Log)}).readings(); len(rows) == 0 || rows[0].Index.User != "oidc/dr-7" {
		t.Errorf("recorded: %+v", rows)
	}
}

func TestASignInThatIsNotOursIsRefused(t *testing.T) {
	r := newReplicas(t)
	r.signsIn()
	r.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	_, _, resp := r.do("GET", "/sign-in", nil)
	sent, err := url.Parse(resp.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	q := sent.Query()
	if q.Get("code_challenge_method") != "S256" || q.Get("nonce") == "" || q.Get("scope") != "openid roles" || q.Get("state") == "" {
		t.Fatalf("sent to %s", sent)
	}
	for name, back := range map[string]string{
		"no state":            "code=c",
		"another state":       "code=c&state=x",
		"no code":             "state=" + q.Get("state"),
		"a code nobody gave":  "code=c&state=" + q.Get("state"),
		"another server":      "code=c&iss=https%3A%2F%2Fevil.example&state=" + q.Get("state"),
		"denied":              "error=access_denied&state=" + q.Get("state"),
		"two codes":           "code=a&code=b&state=" + q.Get("state"),
		"after all the above": "code=c&state=" + q.Get("state"),
	} {
		if status, body, _ := r.do("GET", "/signed-in?"+back, nil); status != http.StatusUnauthorized && status != http.StatusTooManyRequests || strings.Contains(body, "call-") {
			t.Errorf("%s: %d", name, status)
		}
	}
	r.want("/", 401, "Sign in")
}
