// SPDX-License-Identifier: Apache-2.0

package main

// This file: the console over HTTP: of the demonstration, where its auditor reads
// a decision's story, and behind an identity provider's tokens.

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/console"
)

func TestTheDemoAuditorReadsTheStoryOfADecision(t *testing.T) {
	d := startDemo(t)
	if _, err := d.ehr.Fire(t.Context(), d.ehr.PatientIDs()[0]); err != nil {
		t.Fatal(err)
	}
	rows, err := d.log.Query(t.Context(), audit.Filter{Kind: "decision"})
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d decisions, %v", len(rows), err)
	}
	id, patient := rows[0].Index.ID, rows[0].Index.Patient
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	read := func(resp *http.Response, err error) (int, string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	at := d.base + console.Path
	if status, body := read(client.Get(at + "/records/" + id)); status != http.StatusUnauthorized || strings.Contains(body, patient) {
		t.Errorf("a stranger: %d", status)
	}
	if status, body := read(client.PostForm(at+"/sign-in", url.Values{"demo": {"yes"}})); status != http.StatusOK || !strings.Contains(body, "You are the demo auditor") {
		t.Fatalf("the demo auditor: %d", status)
	}
	status, body := read(client.Get(at + "/records/" + id))
	if status != http.StatusOK {
		t.Fatalf("the story: %d", status)
	}
	for _, want := range []string{"Proven: record", patient, `id="card"`, `id="done"`, `id="afterwards"`, `id="chart"`, `id="proof"`, "Why you look this patient up"} {
		if !strings.Contains(body, want) {
			t.Errorf("the story lacks %q", want)
		}
	}
	if strings.Contains(body, "<script") {
		t.Error("the story runs a script")
	}
	for _, format := range []string{"csv", "ndjson", "parquet", "fhir", "hti1"} {
		if status, file := read(client.Get(at + "/export?kind=decision&format=" + format)); status != http.StatusOK || len(file) == 0 {
			t.Errorf("export as %s: %d, %d bytes", format, status, len(file))
		}
	}
}

func TestTheConsoleTakesTheTokensOfTheAPI(t *testing.T) {
	h, broken := newAPIHouse(t)
	for _, c := range []struct {
		role, path string
		status     int
		says       string
	}{
		{"auditor", "/?kind=decision", http.StatusOK, "id-5"}, {"auditor", "/records/none", http.StatusNotFound, "Not found"},
		{"operator", "/integrity", http.StatusOK, "Verified:"}, {"operator", "/?kind=decision", http.StatusForbidden, "Not for you"},
	} {
		if status, body := h.call("GET", console.Path+c.path, h.token("reader", c.role)); status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s %s: %d without %q", c.role, c.path, status, c.says)
		}
	}
	if status, body := h.call("GET", console.Path+"/?kind=decision", ""); status != http.StatusUnauthorized || strings.Contains(body, "id-5") {
		t.Errorf("without a token: %d", status)
	}
	broken.err = audit.ErrClosed
	if status, body := h.call("GET", console.Path+"/?kind=decision", h.token("reader", "auditor")); status != http.StatusInternalServerError || strings.Contains(body, "id-5") {
		t.Errorf("where the reading cannot be recorded: %d", status)
	}
}
