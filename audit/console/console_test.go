// SPDX-License-Identifier: Apache-2.0

package console

// This file: who sees what of the console, and that nothing is sent that is not on record.

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
)

func TestAStrangerSeesTheSignInPageAndNothingElse(t *testing.T) {
	h := newHouse(t)
	for _, token := range []string{"", "expired"} {
		get := h.as(token)
		for _, path := range []string{"/", "/?kind=refusal", "/records/call-0", "/records/none", "/records/call-0/proof", "/integrity", "/checkpoint", "/rates", "/export?format=csv", "/elsewhere"} {
			status, body := get("GET", path, nil)
			if status != http.StatusUnauthorized || !strings.Contains(body, "Sign in") || strings.Contains(body, "patient-") || strings.Contains(body, "call-") {
				t.Errorf("%q %s: %d\n%.200s", token, path, status, body)
			}
		}
	}
	if n := len(h.readings()); n != 0 {
		t.Errorf("%d readings by nobody", n)
	}
}

func TestEachRoleSeesWhatItMay(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct {
		role, path string
		status     int
	}{
		{"auditor", "/", 200}, {"auditor", "/records/call-0", 200}, {"auditor", "/integrity", 200}, {"auditor", "/rates", 200}, {"auditor", "/export?format=csv", 200},
		{"auditor", "/records/none", 404}, {"auditor", "/?patient=someone", 400}, {"auditor", "/?kind=refusal&nonsense=1", 400}, {"auditor", "/export?format=doc", 400},
		{"investigator", "/", 200}, {"investigator", "/?kind=refusal", 403}, {"investigator", "/records/call-0", 404}, {"investigator", "/records/none", 404},
		{"investigator", "/rates", 403}, {"investigator", "/integrity", 200}, {"investigator", "/export?format=csv", 403},
		{"operator", "/", 200}, {"operator", "/?kind=refusal", 403}, {"operator", "/records/call-0", 403}, {"operator", "/records/none", 403}, {"operator", "/rates?span=month", 200}, {"operator", "/checkpoint", 200},
		{"nobody", "/", 403}, {"nobody", "/integrity", 403}, {"nobody", "/rates", 403}, {"nobody", "/records/call-0", 403},
	} {
		// A session for each, since sign-in itself opens a page.
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Jar: jar}
		req, err := http.NewRequestWithContext(t.Context(), "GET", h.base+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+c.role)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != c.status {
			t.Errorf("%s %s: %d, want %d, %v", c.role, c.path, resp.StatusCode, c.status, err)
		}
		if c.status >= 400 && (strings.Contains(string(body), "patient-") || strings.Contains(string(body), "call-")) {
			t.Errorf("%s %s tells what it refuses: %.300s", c.role, c.path, body)
		}
		if csp := resp.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s: policy %q", c.role, c.path, csp)
		}
		client.CloseIdleConnections()
	}
	if h.gate.failed == 0 {
		t.Error("nothing was counted as failed")
	}
}

func TestAPatientIsLookedUpWithAReasonThatIsRecorded(t *testing.T) {
	h := newHouse(t)
	do := h.as("investigator")
	_, page := do("GET", "/", nil)
	form := url.Values{"form": {secret(page)}, "patient": {"patient-1"}}
	if status, _ := do("POST", "/search", form); status != http.StatusForbidden {
		t.Errorf("without a reason: %d", status)
	}
	form.Set("why", "short")
	if status, _ := do("POST", "/search", form); status != http.StatusForbidden {
		t.Errorf("with a reason that says nothing: %d", status)
	}
	form.Set("why", "Review of case 17")
	status, body := do("POST", "/search", form)
	if status != http.StatusOK || !strings.Contains(body, "call-1") || strings.Contains(body, "call-0") {
		t.Fatalf("with a reason: %d\n%s", status, body)
	}
	if status, _ := do("GET", "/records/call-1", nil); status != http.StatusOK {
		t.Errorf("the patient's record: %d", status)
	}
	if status, _ := do("GET", "/records/call-0", nil); status != http.StatusNotFound {
		t.Errorf("another patient's record: %d", status)
	}
	newest := h.readings()[1] // before the one that was refused
	if ix := newest.Index; ix.Patient != "patient-1" || ix.Refers != "call-1" || ix.User != "oidc/investigator" || len(ix.Reasons) != 1 {
		t.Errorf("recorded as %+v", ix)
	}
	stored, err := h.log.Get(t.Context(), newest.Index.ID)
	if err != nil || !strings.Contains(string(stored.Body), "Review of case 17") {
		t.Errorf("the reason is not recorded: %s, %v", stored.Body, err)
	}
	// Another session has no part in it.
	if status, _ := h.as("investigator")("GET", "/records/call-1", nil); status != http.StatusNotFound {
		t.Errorf("in another session: %d", status)
	}
}

func TestAFormOfAnotherSessionIsRefused(t *testing.T) {
	h := newHouse(t)
	_, page := h.as("investigator")("GET", "/", nil)
	do := h.as("investigator")
	form := url.Values{"form": {secret(page)}, "patient": {"patient-1"}, "why": {"Review of case 17"}}
	for _, path := range []string{"/search", "/records/call-1/reason", "/sign-out"} {
		if status, _ := do("POST", path, form); status != http.StatusForbidden {
			t.Errorf("%s with a foreign secret: %d", path, status)
		}
		if status, _ := do("POST", path, url.Values{}); status != http.StatusForbidden {
			t.Errorf("%s without one: %d", path, status)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", h.base+"/sign-in", strings.NewReader("token=auditor"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", "https://elsewhere.example")
	resp, err := h.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden || len(resp.Cookies()) != 0 {
		t.Errorf("signed in from another site: %d", resp.StatusCode)
	}
}

func TestNothingIsSentThatIsNotOnRecord(t *testing.T) {
	h := newHouse(t)
	do := h.as("auditor")
	before := len(h.readings())
	if status, _ := do("GET", "/records/call-0", nil); status != http.StatusOK || len(h.readings()) != before+1 {
		t.Errorf("%d, %d readings after %d", status, len(h.readings()), before)
	}
	h.failing = errors.New("disk full")
	for _, path := range []string{"/", "/records/call-0", "/records/call-0/proof", "/export?format=csv", "/integrity", "/rates"} {
		status, body := do("GET", path, nil)
		if status != http.StatusInternalServerError || strings.Contains(body, "patient-") || strings.Contains(body, "disk full") {
			t.Errorf("%s: %d %.200s", path, status, body)
		}
	}
}

func TestWhatARecordQuotesCannotRun(t *testing.T) {
	h := newHouse(t)
	do := h.as("auditor")
	for _, path := range []string{"/", "/records/call-0", "/records/call-3", "/?clinician=" + url.QueryEscape(`"><script>`)} {
		status, body := do("GET", path, nil)
		if status != http.StatusOK || strings.Contains(body, "<script") || strings.Contains(body, "<img") {
			t.Errorf("%s: %d, markup of a record in the page", path, status)
		}
	}
	for source, want := range map[string]string{
		"<script>x</script>":               "<!-- raw HTML omitted -->",
		"[go](javascript:alert(1))":        "<p>go</p>",
		"![see](https://elsewhere/x.png)":  "<p>see</p>",
		"<https://elsewhere.example>":      "<p>https://elsewhere.example</p>",
		"# Head\n\n[**bold**](https://x/)": "<h4>Head</h4>\n<p><strong>bold</strong></p>",
	} {
		if got := string(rendered(source)); !strings.Contains(got, want) || strings.Contains(got, "href") || strings.Contains(got, "<img") {
			t.Errorf("%q is rendered as %q, want %q", source, got, want)
		}
	}
}

func TestTheBadgeIsComputedFromWhatIsStored(t *testing.T) {
	h := newHouse(t)
	c := New(Deps{Log: h.log, Gate: h.gate, Appends: h})
	defer c.Close()
	stored, err := h.log.Get(t.Context(), "call-0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := h.log.ProveInclusion(t.Context(), stored.Leaf)
	if err != nil {
		t.Fatal(err)
	}
	if b := c.check(stored, p); !b.Proven {
		t.Errorf("a good record: %+v", b)
	}
	for name, spoil := range map[string]func(*audit.Record, *audit.Inclusion){
		"another body":  func(r *audit.Record, _ *audit.Inclusion) { r.Body = append([]byte{1}, r.Body...) },
		"another index": func(r *audit.Record, _ *audit.Inclusion) { r.Index.Patient = "other" },
		"another salt":  func(r *audit.Record, _ *audit.Inclusion) { r.Salt = []byte(strings.Repeat("x", 32)) },
		"another path":  func(_ *audit.Record, p *audit.Inclusion) { p.Path[0][0] ^= 1 },
		"another place": func(_ *audit.Record, p *audit.Inclusion) { p.Leaf++ },
		"an unsigned root": func(_ *audit.Record, p *audit.Inclusion) {
			p.Checkpoint = strings.Replace(p.Checkpoint, "4\n", "5\n", 1)
		},
		"no checkpoint at all": func(_ *audit.Record, p *audit.Inclusion) { p.Checkpoint = "" },
	} {
		r, q := stored, p
		q.Path = append(q.Path[:0:0], p.Path...)
		spoil(&r, &q)
		if b := c.check(r, q); b.Proven || !strings.HasPrefix(b.Words, "NOT PROVEN") {
			t.Errorf("%s: %+v", name, b)
		}
	}
}

func TestTheProofThatIsDownloadedHoldsElsewhere(t *testing.T) {
	h := newHouse(t)
	status, body := h.as("auditor")("GET", "/records/call-2/proof", nil)
	var p audit.Inclusion
	if err := json.Unmarshal([]byte(body), &p); status != http.StatusOK || err != nil {
		t.Fatalf("%d, %v", status, err)
	}
	v, err := audit.ParseVerifier(h.log.Verifier().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Check(v); err != nil || p.Leaf != 2 {
		t.Errorf("leaf %d: %v", p.Leaf, err)
	}
}

func TestPeriodsEndWithTheOneThatNowIsIn(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 10, 26, 14, 30, 0, 0, zone) // the day after the clocks went back
	for _, s := range spans {
		edges := edgesOf(now, s)
		if len(edges) != s.periods+1 {
			t.Errorf("%s: %d edges", s.Name, len(edges))
		}
		if last := edges[len(edges)-1]; !last.After(now) || edges[len(edges)-2].After(now) {
			t.Errorf("%s: now is not in the last period", s.Name)
		}
		for i := 1; i < len(edges); i++ {
			if !edges[i-1].Before(edges[i]) || s.each >= 24*time.Hour && edges[i].Hour() != 0 {
				t.Errorf("%s: edge %v after %v", s.Name, edges[i], edges[i-1])
			}
		}
	}
}
