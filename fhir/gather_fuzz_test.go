// SPDX-License-Identifier: Apache-2.0

package fhir

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// soundManifest checks what holds of every gather, whatever came in.
func soundManifest(t *testing.T, g *Gathered, err error) {
	t.Helper()
	if (err == nil) != (g.Chart != nil) {
		t.Fatalf("a chart beside an error, or neither: %v", err)
	}
	if err != nil && !errors.Is(err, ErrUnobtainable) && !errors.Is(err, ErrWrongPatient) && !errors.Is(err, ErrNoPatient) && !errors.Is(err, ErrNoStay) {
		t.Fatalf("an error that nobody knows: %v", err)
	}
	if err != nil && errors.Is(err, ErrWrongPatient) {
		return
	}
	for _, p := range g.Manifest.Parts {
		if p.From == "" || p.Prefetch == "" || p.Resources < 0 {
			t.Fatalf("%+v", p)
		}
		if p.From != FromPrefetch && p.From != FromFetch && p.From != IsEmpty && p.From != IsNull && err == nil {
			for _, w := range wishes {
				if w.key == p.Key && w.necessary && (!w.enough || p.From != IsPartial) {
					t.Fatalf("decided without %+v", p)
				}
			}
		}
	}
	if g.Chart != nil && g.Chart.Tally.Read != g.Chart.Tally.Used+g.Chart.Tally.Ignored+g.Chart.Tally.Rejected {
		t.Fatalf("%+v", g.Chart.Tally)
	}
}

// FuzzPrefetchValue puts any bytes where a prefetch value belongs.
func FuzzPrefetchValue(f *testing.F) {
	for _, v := range []string{`null`, ` null `, `"x"`, `{}`, `[]`, outcomeOf("error"), string(bundleOf()), testPatient, testEncounter,
		string(bundleOf(observation("8867-4", valueIn("88", "/min")))), string(page2("https://x/next")), `{"resourceType":"Bundle","total":9}`,
		`{"resourceType":"Bundle","entry":[null,{"resource":null},{"resource":5,"search":{"mode":"outcome"}}],"link":[{"relation":"next"}]}`,
		string(bundleOf(given(rx("7512"), rate("5", "ug/min"))))} {
		for i := range wishes {
			if len(v)%len(wishes) == i || len(v) < 20 {
				f.Add(uint8(i), v)
			}
		}
	}
	m := testMapper(f)
	f.Fuzz(func(t *testing.T, which uint8, value string) {
		prefetch := full()
		prefetch[wishes[int(which)%len(wishes)].key] = json.RawMessage(value)
		g, err := m.Gather(context.Background(), GatherRequest{PatientID: "p1", Now: testNow, Prefetch: prefetch})
		soundManifest(t, g, err)
	})
}

// fixedAnswer answers every request with one page, and sees that nobody but
// the registered server is asked.
type fixedAnswer struct {
	t      *testing.T
	status int
	header http.Header
	body   string
	asked  int
}

func (a *fixedAnswer) RoundTrip(r *http.Request) (*http.Response, error) {
	a.asked++
	if r.URL.Scheme != "https" || r.URL.Host != "ehr.example.org" || !strings.HasPrefix(r.URL.Path+"/", "/fhir/") || strings.Contains(r.URL.Path, "..") || r.URL.User != nil {
		a.t.Fatalf("asked %s", r.URL)
	}
	w := httptest.NewRecorder()
	for k, v := range a.header {
		w.Header()[k] = v
	}
	w.WriteHeader(a.status)
	_, _ = w.WriteString(a.body)
	return w.Result(), nil
}

// FuzzSearchPage lets a FHIR server answer a search with anything.
func FuzzSearchPage(f *testing.F) {
	f.Add(uint16(200), "application/fhir+json", string(bundleOf()))
	f.Add(uint16(200), "text/html", "<html>")
	f.Add(uint16(503), "application/json", outcomeOf("error"))
	for _, link := range []string{"https://ehr.example.org/fhir?_getpages=1", "https://ehr.example.org/fhir/../x", "//evil/fhir/", "https://ehr.example.org@evil/fhir/", "?a", "Condition?x=1", "%2e%2e/x", "\\\\evil"} {
		f.Add(uint16(200), "", `{"resourceType":"Bundle","link":[{"relation":"next","url":"`+link+`"}],"entry":[{"resource":{"resourceType":"Condition","id":"c","subject":{"reference":"Patient/p1"}}}]}`)
	}
	m := testMapper(f)
	f.Fuzz(func(t *testing.T, status uint16, kind, body string) {
		if strings.ContainsAny(kind, "\r\n\x00") {
			return
		}
		a := &fixedAnswer{t: t, status: 200 + int(status)%400, header: http.Header{}, body: body}
		if kind != "" {
			a.header.Set("Content-Type", kind)
		}
		s, err := NewServer(ServerOptions{Base: "https://ehr.example.org/fhir", HTTP: &http.Client{Transport: a}, Backoff: time.Nanosecond})
		if err != nil {
			t.Fatal(err)
		}
		g, err := m.Gather(context.Background(), GatherRequest{PatientID: "p1", Now: testNow, Prefetch: lacking(KeyConditions), From: s,
			Access: Access{Token: "t"}, Limits: Limits{Pages: 5, MaxBytes: 1 << 20}})
		soundManifest(t, g, err)
		if a.asked > 5*(1+DefaultRetries) {
			t.Fatalf("asked %d times", a.asked)
		}
	})
}
