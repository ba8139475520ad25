// SPDX-License-Identifier: Apache-2.0

package sandbox

// This file: ward, the harness of the tests: a sandbox with a CDS service that
// answers what a test says.

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sepsisagent/sepsisagent/engine/physiology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// demo finds the demonstration patients once for all tests.
var demo = sync.OnceValues(func() ([]physiology.DemoPatient, error) { return physiology.Demo(time.Now()) })

// ward is a sandbox with a CDS service that answers what a test says.
type ward struct {
	t    *testing.T
	ehr  *Sandbox
	site *httptest.Server
	cds  *httptest.Server
	http *http.Client

	mu       sync.Mutex
	answer   string
	status   int
	prefetch map[string]string
	calls    []call
	during   func(request map[string]any)
}

// call is one request the CDS service got.
type call struct {
	path, token string
	body        map[string]any
}

func newWard(t *testing.T) *ward {
	t.Helper()
	w := &ward{t: t, status: http.StatusOK, answer: `{"cards":[]}`, prefetch: map[string]string{
		"patient": "Patient/{{context.patientId}}", "vitals": "Observation?patient={{context.patientId}}&category=vital-signs",
		"odd": "Observation?patient={{context.unknownField}}", "none": "Immunization?patient={{context.patientId}}",
	}}
	w.cds = httptest.NewServer(http.HandlerFunc(w.serve))
	w.site = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.ehr.Handler().ServeHTTP(rw, r) }))
	w.http = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	patients, err := demo()
	if err != nil {
		t.Fatal(err)
	}
	ehr, err := New(Config{Patients: patients, BaseURL: w.site.URL + "/ehr", CDSBaseURL: w.cds.URL, HTTP: w.http})
	if err != nil {
		t.Fatal(err)
	}
	w.ehr = ehr
	t.Cleanup(func() { w.cds.Close(); w.site.Close() })
	return w
}

func (w *ward) serve(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := call{path: r.URL.Path, token: strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")}
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(r.Body).Decode(&c.body); err != nil {
			w.t.Error(err)
		}
	}
	w.calls = append(w.calls, c)
	switch {
	case r.URL.Path == "/cds-services":
		body, err := json.Marshal(map[string]any{"services": []any{
			map[string]any{"hook": "patient-view", "id": "sepsis-treatment", "description": "d", "prefetch": w.prefetch},
			map[string]any{"hook": "order-sign", "id": "sepsis-order-sign", "description": "d", "prefetch": w.prefetch},
		}})
		if err != nil {
			w.t.Error(err)
		}
		_, _ = rw.Write(body)
	case strings.HasSuffix(r.URL.Path, "/feedback"):
	default:
		if w.during != nil {
			w.during(c.body)
		}
		rw.WriteHeader(w.status)
		_, _ = io.WriteString(rw, w.answer)
	}
}

func (w *ward) fire(n int) *Result {
	w.t.Helper()
	r, err := w.ehr.Fire(w.t.Context(), w.ehr.PatientIDs()[n])
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// hook is the newest hook request.
func (w *ward) hook() call {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := len(w.calls) - 1; i >= 0; i-- {
		if w.calls[i].body["hook"] != nil {
			return w.calls[i]
		}
	}
	w.t.Fatal("no hook was fired")
	return call{}
}

// get reads a page or resource.
func (w *ward) get(path, token string) (int, string) {
	return w.do(http.MethodGet, path, token, nil)
}

func (w *ward) do(method, path, token string, form url.Values) (int, string) {
	req, err := http.NewRequest(method, w.site.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Error(err)
		return 0, ""
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := w.http.Do(req)
	if err != nil {
		w.t.Error(err)
		return 0, ""
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Error(err)
	}
	return res.StatusCode, string(body)
}
