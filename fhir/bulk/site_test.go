// SPDX-License-Identifier: Apache-2.0

package bulk_test

// This file: site, the harness of the tests: a Bulk Data server and a file
// store of another origin, both real HTTP servers, with what they were asked.

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sepsisagent/sepsisagent/fhir/bulk"
	"github.com/sepsisagent/sepsisagent/fhir/sandbox"
)

func TestMain(m *testing.M) {
	if childMain() {
		return
	}
	goleak.VerifyTestMain(m)
}

// Resources of the site.
const (
	patients     = 6
	observations = 500 // of each patient
)

const secret = "the-access-token"

// site is a hospital with an export.
type site struct {
	t       testing.TB
	export  atomic.Pointer[sandbox.Export]
	server  *httptest.Server
	store   *httptest.Server // files of another origin, when used
	options sandbox.ExportConfig

	mu     sync.Mutex // guards what follows
	asked  []asked
	pauses []time.Duration
	events []bulk.Event
}

// asked is one request that a server got.
type asked struct {
	step, method, path, query, auth, ranged string
	header                                  http.Header
}

// resources are those of the site: small, synthetic, in a fixed order.
func resources() []json.RawMessage {
	var out []json.RawMessage
	for p := range patients {
		out = append(out, json.RawMessage(fmt.Sprintf(`{"resourceType":"Patient","id":"p%d"}`, p)))
		for o := range observations {
			out = append(out, json.RawMessage(fmt.Sprintf(`{"resourceType":"Observation","id":"o%d-%d","status":"final","subject":{"reference":"Patient/p%d"},"valueQuantity":{"value":%d}}`, p, o, p, o*7919%1000)))
		}
	}
	return append(out, json.RawMessage(`{"resourceType":"Medication","id":"m1"}`))
}

// option changes the server before it is made.
type option func(*site)

func withToken(s *site) { s.options.Token = secret }

// withStore puts the files on another origin.
func withStore(s *site) {
	s.store = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.note("store", r)
		s.export.Load().Files().ServeHTTP(w, r)
	}))
	s.t.Cleanup(s.store.Close)
	s.options.FilesURL = s.store.URL + "/bucket"
}

// before puts a fault before every step.
func before(h func(w http.ResponseWriter, r *http.Request, step string) bool) option {
	return func(s *site) { s.options.Before = h }
}

func newSite(t testing.TB, options ...option) *site {
	t.Helper()
	s := &site{t: t}
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.note("server", r)
		s.serve(w, r)
	}))
	t.Cleanup(s.server.Close)
	s.options = sandbox.ExportConfig{BaseURL: s.server.URL + "/fhir", Resources: resources(), Groups: map[string][]string{"icu": {"p1", "p2"}}, FileLines: 700}
	for _, o := range options {
		o(s)
	}
	s.remake()
	return s
}

// remake makes the export anew, by options that may have changed; what was
// exported before is gone.
func (s *site) remake() {
	e, err := sandbox.NewExport(s.options)
	if err != nil {
		s.t.Fatal(err)
	}
	s.export.Store(e)
}

// serve answers as the FHIR server.
func (s *site) serve(w http.ResponseWriter, r *http.Request) {
	s.export.Load().Handler().ServeHTTP(w, r)
}

// jobs is how many exports the server holds.
func (s *site) jobs() int { return s.export.Load().Jobs() }

func (s *site) note(where string, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, asked{where, r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Get("Authorization"), r.Header.Get("Range"), r.Header.Clone()})
}

// requests gives those whose method and path hold the words.
func (s *site) requests(method, word string) []asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []asked
	for _, a := range s.asked {
		if a.method == method && strings.Contains(a.path, word) {
			out = append(out, a)
		}
	}
	return out
}

// config fetches all types of the site into a fresh folder, without waiting.
func (s *site) config() bulk.Config {
	cfg := bulk.Config{
		Server: s.server.URL + "/fhir", Types: []string{"Patient", "Observation", "Medication"}, Out: filepath.Join(s.t.TempDir(), "out"),
		Pause: func(ctx context.Context, d time.Duration) error {
			s.mu.Lock()
			s.pauses = append(s.pauses, d)
			s.mu.Unlock()
			return ctx.Err()
		},
		Progress: func(e bulk.Event) {
			s.mu.Lock()
			s.events = append(s.events, e)
			s.mu.Unlock()
		},
	}
	if s.options.Token != "" {
		cfg.Tokens = token(s.options.Token)
	}
	return cfg
}

// said joins what a person was told.
func (s *site) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, e := range s.events {
		all = append(all, e.Note, e.Waiting)
	}
	return strings.Join(all, "\n")
}

// token is a fixed token.
type token string

func (t token) Token(context.Context) (string, error) { return string(t), nil }

// lines reads every line of the export in a folder, as a set.
func lines(t testing.TB, dir string) map[string]int {
	t.Helper()
	all := map[string]int{}
	for _, pattern := range []string{"*.ndjson", "*.ndjson.gz"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			var from io.Reader = f
			if strings.HasSuffix(path, ".gz") {
				if from, err = gzip.NewReader(f); err != nil {
					t.Fatal(err)
				}
			}
			for in := bufio.NewScanner(from); in.Scan(); {
				all[in.Text()]++
			}
			f.Close()
		}
	}
	return all
}

// whole demands that the folder holds the whole export once, and nothing that
// is not finished.
func whole(t testing.TB, dir string) {
	t.Helper()
	got := lines(t, dir)
	for _, r := range resources() {
		if got[string(r)] != 1 {
			t.Fatalf("%s is there %d times", r, got[string(r)])
		}
	}
	if len(got) != len(resources()) {
		t.Errorf("%d different lines, want %d", len(got), len(resources()))
	}
	for _, name := range names(t, dir) {
		if strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".part") || strings.HasSuffix(name, ".tmp") {
			t.Errorf("%s is left over", name)
		}
	}
}

func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}
