// SPDX-License-Identifier: Apache-2.0

package bulk_test

// This file: what a stopped fetch has got is kept: broken connections, a
// process that is killed without warning, files that change in between.

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/fhir/bulk"
)

const childEnv = "SEPSISAGENT_BULK_CHILD"

// childMain is the child of the kill test: one fetch.
func childMain() bool {
	spec := os.Getenv(childEnv)
	if spec == "" {
		return false
	}
	server, out, _ := strings.Cut(spec, "|")
	_, err := bulk.Fetch(context.Background(), bulk.Config{Server: server, Out: out, Types: []string{"Patient", "Observation", "Medication"}, Parallel: 2})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	return true
}

// drip writes only so many bytes of an answer and then hangs until it is let
// go.
type drip struct {
	http.ResponseWriter
	left int
	held chan struct{}
	full func()
}

func (d *drip) Write(b []byte) (int, error) {
	n := min(len(b), d.left)
	d.left -= n
	if _, err := d.ResponseWriter.Write(b[:n]); err != nil {
		return 0, err
	}
	if n < len(b) {
		d.ResponseWriter.(http.Flusher).Flush()
		d.full()
		<-d.held
		return n, io.ErrClosedPipe
	}
	return n, nil
}

func TestKillNineLosesNothingThatWasDownloaded(t *testing.T) {
	s := newSite(t)
	held := make(chan struct{})
	hanging := make(chan struct{})
	var once sync.Once
	var slow atomic.Bool
	slow.Store(true)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.note("server", r)
		if slow.Load() && strings.HasSuffix(r.URL.Path, "Observation.3.ndjson") {
			r.Header.Del("Accept-Encoding") // plain, so that the length is known and bytes reach the disk
			w = &drip{ResponseWriter: w, left: 20_000, held: held, full: func() { once.Do(func() { close(hanging) }) }}
		}
		s.serve(w, r)
	}))
	defer proxy.Close()
	s.options.BaseURL = proxy.URL + "/fhir"
	s.remake()
	out := filepath.Join(t.TempDir(), "out")
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+proxy.URL+"/fhir|"+out)
	child.Stderr = os.Stderr
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	<-hanging
	// Killed once the child has something of the file that hangs and has
	// noted another as done.
	for part := filepath.Join(out, "Observation-0003.part"); ; time.Sleep(10 * time.Millisecond) {
		if info, err := os.Stat(part); err == nil && info.Size() > 0 && len(finished(out)) > 0 {
			break
		}
		if t.Context().Err() != nil {
			t.Fatal("the child never got that far")
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // killed, as meant
	slow.Store(false)
	close(held)
	if _, err := os.Stat(filepath.Join(out, bulk.LocalManifest)); err == nil {
		t.Fatal("a killed fetch left the manifest of a complete one")
	}
	cfg := s.config()
	cfg.Server, cfg.Out = proxy.URL+"/fhir", out
	if _, err := bulk.Fetch(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	whole(t, out)
	if n := len(s.requests(http.MethodGet, "$export")); n != 1 {
		t.Errorf("%d exports were started", n)
	}
	if !strings.Contains(s.said(), "going on") {
		t.Errorf("said %q", s.said())
	}
}

// finished lists the files of a folder that are whole.
func finished(dir string) []string {
	found, _ := filepath.Glob(filepath.Join(dir, "*.ndjson*")) // the pattern is good
	return found
}

// cutter breaks the first answer to each file off after some bytes.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(b []byte) (int, error) {
	if len(b) > c.left {
		_, _ = c.ResponseWriter.Write(b[:c.left]) // broken off in any case
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= len(b)
	return c.ResponseWriter.Write(b)
}

func TestABrokenDownloadGoesOnWhereItStopped(t *testing.T) {
	tests := []struct {
		name    string
		change  func(r *http.Request, w http.ResponseWriter, attempt int) // what the server does beside breaking off
		resumes bool                                                      // with a range that the server honours
	}{
		{"with a range, compressed", func(*http.Request, http.ResponseWriter, int) {}, true},
		{"with a range, plain", func(r *http.Request, _ http.ResponseWriter, _ int) { r.Header.Del("Accept-Encoding") }, true},
		{"from the start where the server knows no ranges", func(r *http.Request, _ http.ResponseWriter, _ int) {
			r.Header.Del("Range")
			r.Header.Del("If-Range")
		}, false},
		{"from the start where the file has changed", func(r *http.Request, _ http.ResponseWriter, attempt int) {
			if attempt > 1 && r.Header.Get("If-Range") != "" {
				r.Header.Set("If-Range", `"another"`)
			}
		}, false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var mu sync.Mutex
			attempts := map[string]int{}
			s := newSite(t, func(s *site) { s.options.FileLines = 100_000 })
			honoured := 0
			flaky := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				s.note("server", r)
				if strings.HasSuffix(r.URL.Path, "Observation.1.ndjson") {
					mu.Lock()
					attempts[r.URL.Path]++
					n := attempts[r.URL.Path]
					if tc.change(r, w, n); r.Header.Get("Range") != "" && r.Header.Get("If-Range") != `"another"` {
						honoured++
					}
					mu.Unlock()
					if n <= 2 {
						w = &cutter{w, 2_000 * n}
					}
				}
				s.serve(w, r)
			}))
			defer flaky.Close()
			s.options.BaseURL = flaky.URL + "/fhir"
			s.remake()
			cfg := s.config()
			cfg.Server = flaky.URL + "/fhir"
			if _, err := bulk.Fetch(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			whole(t, cfg.Out)
			if (honoured > 0) != tc.resumes {
				t.Errorf("%d ranges were honoured", honoured)
			}
			if len(s.requests(http.MethodGet, "Observation.1.ndjson")) < 3 {
				t.Error("the connection was never broken: the test shows nothing")
			}
		})
	}
}

func TestAFetchOfSomethingElseDoesNotTakeUpAnOldOne(t *testing.T) {
	s := newSite(t, before(func(w http.ResponseWriter, _ *http.Request, step string) bool {
		if step == "file" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		return step == "file"
	}))
	cfg := s.config()
	if _, err := bulk.Fetch(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "what is here is kept") {
		t.Fatalf("error %v", err)
	}
	cfg.Types = []string{"Patient"}
	if _, err := bulk.Fetch(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "something else") {
		t.Errorf("error %v", err)
	}
}

func TestAnExportThatIsGoneIsStartedAnewAndNeverMixed(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	s := newSite(t, before(func(w http.ResponseWriter, r *http.Request, step string) bool {
		if step == "file" && broken.Load() && strings.Contains(r.URL.Path, "Patient") {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}
		return false
	}))
	cfg := s.config()
	cfg.Parallel = 1
	if _, err := bulk.Fetch(t.Context(), cfg); err == nil {
		t.Fatal("no error")
	}
	if len(finished(cfg.Out)) == 0 {
		t.Fatal("nothing was kept: the test shows nothing")
	}
	broken.Store(false)
	s.remake() // which knows nothing of the old export
	if _, err := bulk.Fetch(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	whole(t, cfg.Out)
	if !strings.Contains(s.said(), "starting a new one") || len(s.requests(http.MethodGet, "$export")) != 2 {
		t.Errorf("said %q", s.said())
	}
}

func TestADiskThatIsFullIsNamed(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full on this system")
	}
	s := newSite(t)
	cfg := s.config()
	if err := os.MkdirAll(cfg.Out, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/full", filepath.Join(cfg.Out, "Observation-0002.part")); err != nil {
		t.Fatal(err)
	}
	_, err := bulk.Fetch(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "disk is full (hint: make room") {
		t.Fatalf("error %v", err)
	}
	if err := os.Remove(filepath.Join(cfg.Out, "Observation-0002.part")); err != nil {
		t.Fatal(err)
	}
	if _, err := bulk.Fetch(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	whole(t, cfg.Out)
	if len(s.requests(http.MethodGet, "$export")) != 1 {
		t.Error("the second call did not go on with the first one's export")
	}
}
