// SPDX-License-Identifier: Apache-2.0

package console

// This file: a house to test in: a log with records of two patients, its gate and its
// console.

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/access"
	"github.com/sepsisagent/sepsisagent/audit/sqlite"
	"github.com/sepsisagent/sepsisagent/audit/sqlite/sqlitetest"
	"github.com/sepsisagent/sepsisagent/cdshooks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gate takes role names as tokens, and whatever follows a # is ballast.
type gate struct{ failed int }

func (g *gate) Authenticate(r *http.Request) (access.Reader, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "expired" {
		return access.Reader{}, access.ErrUnauthenticated
	}
	token, _, _ = strings.Cut(token, "#")
	var roles []access.Role
	for _, name := range strings.Split(token, "+") {
		roles = append(roles, access.Role(name))
	}
	return access.Reader{Subject: token, Roles: roles, Expires: time.Now().Add(time.Hour)}, nil
}

func (g *gate) Failed(access.Reader) { g.failed++ }

func (g *gate) Admit(access.Reader) error { return nil }

func (g *gate) RefusedSignIn(*http.Request) error { g.failed++; return nil }

// house is a log with records of two patients and its console.
type house struct {
	t       *testing.T
	log     *sqlite.Log
	gate    *gate
	base    string
	failing error // of appending readings
	http    *http.Client
}

func (h *house) Append(ctx context.Context, e audit.Entry) (audit.Appended, error) {
	if h.failing != nil {
		return audit.Appended{}, h.failing
	}
	return h.log.Append(ctx, e)
}

const hostile = `<script>alert("x")</script>"><img src=x onerror=alert(1)>`

func newHouse(t *testing.T) *house {
	t.Helper()
	log := sqlitetest.New(t, sqlite.Options{})
	at := time.Now().UTC().Add(-time.Hour)
	for i := range 4 {
		r := &cdshooks.Record{
			Schema: cdshooks.RecordSchema, ID: fmt.Sprintf("call-%d", i), Kind: cdshooks.KindRefusal, Status: 401, Reason: "token",
			Request: cdshooks.RequestMeta{Service: cdshooks.ServiceID, Client: "ehr", User: "Practitioner/" + hostile, Patient: fmt.Sprintf("patient-%d", i%2)},
		}
		if i == 3 {
			r.Kind, r.Status, r.Reason = cdshooks.KindFeedback, 200, ""
			r.Feedback = &cdshooks.Feedback{Card: "c", Outcome: cdshooks.OutcomeOverridden, Comment: hostile, At: at}
		}
		body, err := cdshooks.EncodeRecord(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := log.Append(t.Context(), audit.Entry{Index: r.Index(at), Salt: make([]byte, 32), Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	h := &house{t: t, log: log, gate: &gate{}}
	c := New(Deps{Log: log, Gate: h.gate, Appends: h, Chart: func() Chart { return Chart{Zone: time.UTC} }})
	t.Cleanup(c.Close)
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	h.base, h.http = server.URL+Path, server.Client()
	return h
}

// as gives a client with a session of its own.
func (h *house) as(token string) func(method, path string, form url.Values) (int, string) {
	h.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	client := *h.http
	client.Jar = jar
	do := func(method, path string, form url.Values) (int, string) {
		h.t.Helper()
		req, err := http.NewRequestWithContext(h.t.Context(), method, h.base+path, strings.NewReader(form.Encode()))
		if err != nil {
			h.t.Fatal(err)
		}
		if form != nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		resp, err := client.Do(req)
		if err != nil {
			h.t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			h.t.Fatal(err)
		}
		if got := resp.Request.URL.String(); strings.Contains(got, "patient-") {
			h.t.Errorf("an address names a patient: %s", got)
		}
		return resp.StatusCode, string(body)
	}
	if token != "" {
		if status, body := do("POST", "/sign-in", url.Values{"token": {token}}); token != "expired" && status != http.StatusOK {
			h.t.Fatalf("sign in as %s: %d %s", token, status, body)
		}
	}
	return do
}

var formSecret = regexp.MustCompile(`name="form" value="([^"]+)"`)

// secret finds what the session's forms carry.
func secret(body string) string {
	m := formSecret.FindStringSubmatch(body)
	if m == nil {
		return ""
	}
	return m[1]
}

// readings counts what the log says was read.
func (h *house) readings() []audit.Row {
	h.t.Helper()
	rows, err := h.log.Query(h.t.Context(), audit.Filter{Kind: access.KindRead})
	if err != nil {
		h.t.Fatal(err)
	}
	return rows
}
