// SPDX-License-Identifier: Apache-2.0

package bulk_test

// This file: servers as they can be: slow, busy, broken, lying, and what is
// said about it.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/fhir/bulk"
)

// outcome is an OperationOutcome of one issue.
func outcome(code, text string) string {
	said, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":%q,"diagnostics":%s}]}`, code, said)
}

// answering answers a step, up to so many times, with a status and a body.
func answering(step string, times, status int, header http.Header, body string) option {
	var mu sync.Mutex
	return before(func(w http.ResponseWriter, _ *http.Request, at string) bool {
		mu.Lock()
		defer mu.Unlock()
		if at != step || times == 0 {
			return false
		}
		times--
		for k, v := range header {
			w.Header()[k] = v
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
		return true
	})
}

// rewriting passes what the server answers for some paths through change.
func rewriting(word string, times int, change func([]byte) []byte) option {
	return func(s *site) {
		inner := s.server.Config.Handler
		var mu sync.Mutex
		s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			hit := strings.Contains(r.URL.Path, word) && r.Method == http.MethodGet && times != 0
			if hit {
				times--
			}
			mu.Unlock()
			if !hit {
				inner.ServeHTTP(w, r)
				return
			}
			r.Header.Del("Accept-Encoding")
			rec := httptest.NewRecorder()
			inner.ServeHTTP(rec, r)
			w.WriteHeader(rec.Code)
			_, _ = w.Write(change(rec.Body.Bytes()))
		})
	}
}

func replace(old, new string) func([]byte) []byte {
	return func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(old), []byte(new)) }
}

const always = -1

func TestServersAsTheyCanBe(t *testing.T) {
	seconds := http.Header{"Retry-After": {"7"}}
	date := http.Header{"Retry-After": {time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}}
	tests := []struct {
		name  string
		fault option
		err   error // nil: the fetch succeeds all the same
		says  string
		pause time.Duration // one that must have been made
	}{
		{"an export that takes its time is waited for, as long as the server says", answering("status", 3, http.StatusAccepted, seconds, ""), nil, "", 7 * time.Second},
		{"a date to come back is understood, and no pause is too long", answering("status", 1, http.StatusAccepted, date, ""), nil, "", 10 * time.Minute},
		{"a pause of nothing is a second", answering("status", 1, http.StatusAccepted, http.Header{"Retry-After": {"0"}}, ""), nil, "", time.Second},
		{"a pause that is no number is none", answering("status", 3, http.StatusAccepted, http.Header{"Retry-After": {"NaN"}}, ""), nil, "", 4 * time.Second},
		{"a server that is asked too often is asked less often", answering("status", 20, http.StatusTooManyRequests, seconds, ""), nil, "", 7 * time.Second},
		{"a gateway that fails for a moment is asked again", answering("status", 3, http.StatusBadGateway, nil, "<html>"), nil, "", time.Second},
		{"an error that says it will pass is asked again", answering("status", 2, http.StatusInternalServerError, nil, outcome("transient", "busy")), nil, "", time.Second},
		{"an error that does not pass is said", answering("status", always, http.StatusInternalServerError, nil, outcome("transient", "still busy")), bulk.ErrUnreachable, "still busy", 0},
		{"a job that failed is not asked about again", answering("status", always, http.StatusInternalServerError, nil, outcome("processing", "out of\x1b[31m tablespace")), bulk.ErrFailed, "out of [31m tablespace", 0},
		{"an export that is gone is said", answering("status", always, http.StatusNotFound, nil, ""), bulk.ErrGone, "a new one is started", 0},
		{"a refusal to poll is said", answering("status", always, http.StatusForbidden, nil, ""), bulk.ErrDenied, "access token", 0},
		{"a redirect of the poll is not followed", answering("status", always, http.StatusFound, http.Header{"Location": {"/elsewhere"}}, ""), bulk.ErrRefused, "not followed", 0},
		{"a manifest that is a login page", answering("status", always, http.StatusOK, nil, "<html>"), bulk.ErrManifest, "login page", 0},
		{"a manifest without output", answering("status", always, http.StatusOK, nil, `{"transactionTime":"2026-01-01T00:00:00Z"}`), bulk.ErrManifest, "no output", 0},
		{"an error in place of the manifest", answering("status", always, http.StatusOK, nil, outcome("exception", "lost it")), bulk.ErrFailed, "lost it", 0},

		{"a busy server is asked to start again", answering("kick-off", 2, http.StatusTooManyRequests, seconds, ""), nil, "", 7 * time.Second},
		{"a server without export", answering("kick-off", always, http.StatusNotFound, nil, outcome("not-supported", "unknown operation")), bulk.ErrRefused, "unknown operation", 0},
		{"a server that dislikes a type", answering("kick-off", always, http.StatusBadRequest, nil, outcome("invalid", "no Medication here")), bulk.ErrRefused, "ask without it", 0},
		{"a server that wants a token", answering("kick-off", always, http.StatusUnauthorized, nil, ""), bulk.ErrDenied, "wants an access token", 0},
		{"a server that answers at once", answering("kick-off", always, http.StatusOK, nil, "{}"), bulk.ErrRefused, "instead of 202", 0},
		{"an acceptance without a place to ask", answering("kick-off", always, http.StatusAccepted, nil, ""), bulk.ErrFailed, "place to ask", 0},
		{"a place to ask that is no web address", answering("kick-off", always, http.StatusAccepted, http.Header{"Content-Location": {"ftp://x/y"}}, ""), bulk.ErrFailed, "place to ask", 0},
		{"a redirect of the kick-off is not followed", answering("kick-off", always, http.StatusMovedPermanently, http.Header{"Location": {"/elsewhere"}}, ""), bulk.ErrRefused, "final FHIR base", 0},

		{"a file that fails for a moment is fetched again", answering("file", 3, http.StatusServiceUnavailable, seconds, ""), nil, "", 7 * time.Second},
		{"a link that has expired is asked for anew", answering("file", 1, http.StatusNotFound, nil, ""), nil, "", 0},
		{"a signed link that has expired is asked for anew", answering("file", 1, http.StatusForbidden, nil, ""), nil, "", 0},
		{"a link that never works", answering("file", always, http.StatusNotFound, nil, outcome("not-found", "no file")), bulk.ErrContent, "no file", 0},
		{"a file that never comes", answering("file", always, http.StatusInternalServerError, nil, ""), bulk.ErrUnreachable, "what is here is kept", 0},

		{"a file that is a login page", rewriting("Observation.1", always, func([]byte) []byte { return []byte("<!DOCTYPE html>") }), bulk.ErrContent, "not NDJSON", 0},
		{"a file of another type", rewriting("Patient.1", always, replace(`"Patient"`, `"Person"`)), bulk.ErrContent, "no Patient", 0},
		{"a file cut in the middle of a line, once", rewriting("Observation.1", 1, func(b []byte) []byte { return b[:len(b)/2] }), nil, "", 0},
		{"a file cut in the middle of a line, always", rewriting("Observation.1", always, func(b []byte) []byte { return b[:len(b)/2] }), bulk.ErrContent, "middle of a line", 0},
		{"a file cut between lines, once", rewriting("Observation.1", 1, func(b []byte) []byte { return b[:bytes.LastIndexByte(b[:len(b)/2], '\n')+1] }), nil, "", 0},
		{"a file with fewer resources than promised", rewriting("Observation.1", always, func(b []byte) []byte { return b[:bytes.LastIndexByte(b[:len(b)/2], '\n')+1] }), bulk.ErrCount, "700 were promised", 0},
		{"a manifest with another count", rewriting("/export/", 1, replace(`"count":700`, `"count":701`)), bulk.ErrCount, "700 came, 701 were promised", 0},
		{"a file that is cut-short gzip", rewriting("Observation.1", always, func([]byte) []byte { return []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x00") }), bulk.ErrContent, "gzip", 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			s := newSite(t, tc.fault)
			cfg := s.config()
			_, err := bulk.Fetch(t.Context(), cfg)
			switch {
			case !errors.Is(err, tc.err):
				t.Fatalf("error %v, want %v", err, tc.err)
			case err == nil:
				whole(t, cfg.Out)
			case !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "/export/"):
				t.Errorf("error %q, want one that says %q and no link", err, tc.says)
			default:
				if _, again := bulk.Fetch(t.Context(), cfg); errors.Is(again, bulk.ErrOccupied) {
					t.Errorf("the folder cannot be used again: %v", again)
				}
			}
			for _, d := range s.pauses {
				if d == tc.pause {
					return
				}
			}
			if tc.pause != 0 {
				t.Errorf("pauses %v, none of %s", s.pauses, tc.pause)
			}
		})
	}
}

func TestACountThatIsWrongCanBeAcceptedAndIsReported(t *testing.T) {
	s := newSite(t, rewriting("/export/", 1, replace(`"count":6`, `"count":9`)))
	cfg := s.config()
	cfg.AnyCount = true
	local, err := bulk.Fetch(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	whole(t, cfg.Out)
	wrong := 0
	for _, f := range local.Files {
		if f.Promised != nil {
			wrong++
			if f.Type != "Patient" || *f.Promised != 9 || f.Resources != 6 {
				t.Errorf("%+v", f)
			}
		}
	}
	if wrong != 1 {
		t.Errorf("%d wrong counts", wrong)
	}
}

func TestWhatTheServerLeftOutAndDeletedIsKeptBesideTheExport(t *testing.T) {
	s := newSite(t, func(s *site) {
		inner := s.server.Config.Handler
		s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.HasSuffix(r.URL.Path, "/errors"):
				_, _ = io.WriteString(w, outcome("processing", "Patient 7 has no name")+"\n")
			case strings.HasSuffix(r.URL.Path, "/gone"):
				_, _ = io.WriteString(w, `{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"DELETE","url":"Patient/8"}}]}`+"\n")
			default:
				inner.ServeHTTP(w, r)
			}
		})
	}, rewriting("/export/", 1, func(b []byte) []byte {
		return replace(`"error":[]`, `"error":[{"type":"OperationOutcome","url":"/errors"}],"deleted":[{"type":"Bundle","url":"/gone"}],"colour":{"a":[1]}`)(b)
	}))
	cfg := s.config()
	local, err := bulk.Fetch(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	whole(t, cfg.Out)
	if len(local.Errors) != 1 || local.Errors[0].Name != "errors-0001.jsonl" || local.Errors[0].Resources != 1 || len(local.Deleted) != 1 || local.Deleted[0].Resources != 1 {
		t.Errorf("errors %+v, deleted %+v", local.Errors, local.Deleted)
	}
}

func TestAManifestOfSeveralPagesIsReadToItsEnd(t *testing.T) {
	s := newSite(t, func(s *site) {
		inner := s.server.Config.Handler
		pages := 0
		s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("page") == "2" {
				if pages++; pages == 1 {
					w.WriteHeader(http.StatusAccepted)
					return
				}
			}
			inner.ServeHTTP(w, r)
		})
	}, func(s *site) {
		inner := s.server.Config.Handler
		s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasPrefix(r.URL.Path, "/fhir/export/") || strings.HasSuffix(r.URL.Path, ".ndjson") {
				inner.ServeHTTP(w, r)
				return
			}
			rec := httptest.NewRecorder()
			inner.ServeHTTP(rec, r)
			body := rec.Body.String()
			if rec.Code != http.StatusOK {
				w.WriteHeader(rec.Code)
				return
			}
			half := strings.Index(body, `{"type":"Observation","url"`)
			medication := body[strings.Index(body, `{"type":"Medication"`):half]
			if r.URL.Query().Get("page") == "2" {
				body = strings.Replace(body, medication, "", 1)
			} else {
				body = fmt.Sprintf(`{"transactionTime":%s,"requiresAccessToken":false,"output":[%s],"link":[{"relation":"next","url":"?page=2"}]}`,
					body[strings.Index(body, `"transactionTime":`)+len(`"transactionTime":`):len(body)-1], strings.TrimSuffix(medication, ","))
			}
			w.WriteHeader(rec.Code)
			_, _ = io.WriteString(w, body)
		})
	})
	cfg := s.config()
	if _, err := bulk.Fetch(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	whole(t, cfg.Out)
}

func TestAConnectionThatBringsNothingIsGivenUp(t *testing.T) {
	released := make(chan struct{})
	var once sync.Once
	s := newSite(t, before(func(w http.ResponseWriter, r *http.Request, step string) bool {
		hang := false
		if step == "file" && strings.Contains(r.URL.Path, "Observation.2") {
			once.Do(func() { hang = true })
		}
		if hang {
			_, _ = io.WriteString(w, `{"resourceType"`) // the start of a line, and then nothing
			w.(http.Flusher).Flush()
			<-released
		}
		return hang
	}))
	t.Cleanup(func() { close(released) }) // before the server waits for its handlers
	cfg := s.config()
	cfg.Stall = time.Second // a busy machine must not look like a dead connection
	if _, err := bulk.Fetch(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	whole(t, cfg.Out)
}

func TestLinesThatAreNoResourcesAreCounted(t *testing.T) {
	s := newSite(t, rewriting("Patient.1", always, replace(`{"resourceType":"Patient","id":"p3"}`, `"resourceType":"Patient","id":"p3"}`)))
	cfg := s.config()
	local, err := bulk.Fetch(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	brokenLines := 0
	for _, f := range local.Files {
		brokenLines += f.Broken
	}
	if brokenLines != 1 || len(s.requests(http.MethodGet, "Patient.1")) != 2 {
		t.Errorf("%d broken lines after %d downloads", brokenLines, len(s.requests(http.MethodGet, "Patient.1")))
	}
}
