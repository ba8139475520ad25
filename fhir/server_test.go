// SPDX-License-Identifier: Apache-2.0

package fhir

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// desk is a FHIR server that answers searches with empty Bundles until a test
// says otherwise, and counts.
type desk struct {
	*httptest.Server
	asked  atomic.Int64
	answer func(w http.ResponseWriter, r *http.Request, n int64) bool // nil or false: an empty Bundle
}

func newDesk(t testing.TB, answer func(w http.ResponseWriter, r *http.Request, n int64) bool) *desk {
	d := &desk{answer: answer}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := d.asked.Add(1)
		if d.answer != nil && d.answer(w, r, n) {
			return
		}
		w.Header().Set("Content-Type", "application/fhir+json")
		fmt.Fprint(w, string(bundleOf()))
	}))
	t.Cleanup(d.Close)
	return d
}

// server is the desk as a registered server. change may alter its options.
func (d *desk) server(t testing.TB, change func(*ServerOptions)) *Server {
	t.Helper()
	o := ServerOptions{Base: d.URL + "/fhir", HTTP: d.Client(), Backoff: time.Microsecond}
	if change != nil {
		change(&o)
	}
	s, err := NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// lacking is a complete prefetch without one key.
func lacking(key string) map[string]json.RawMessage {
	p := full()
	delete(p, key)
	return p
}

// conditions gathers with all but the conditions prefetched: one search.
func conditions(t *testing.T, s *Server, change func(*GatherRequest)) (Part, error) {
	t.Helper()
	q := GatherRequest{Prefetch: lacking(KeyConditions), From: s, Access: Access{Token: "secret"}}
	if change != nil {
		change(&q)
	}
	g, err := gather(t, q)
	return part(t, g, KeyConditions), err
}

func TestOnlyWhatASecondTryCanHelpIsAskedAgain(t *testing.T) {
	status := func(code int) func(http.ResponseWriter, *http.Request, int64) bool {
		return func(w http.ResponseWriter, _ *http.Request, _ int64) bool { w.WriteHeader(code); return true }
	}
	for _, tt := range []struct {
		name   string
		answer func(w http.ResponseWriter, r *http.Request, n int64) bool
		asked  int64
		from   Provenance
		why    string
	}{
		{"429 is", status(429), 3, IsFailed, "429"},
		{"502 is", status(502), 3, IsFailed, "502"},
		{"503 is", status(503), 3, IsFailed, "503"},
		{"504 is", status(504), 3, IsFailed, "504"},
		{"a connection that breaks is", func(w http.ResponseWriter, _ *http.Request, _ int64) bool {
			c, _, _ := w.(http.Hijacker).Hijack()
			c.Close()
			return true
		}, 3, IsFailed, "could not be reached"},
		{"half a body is", func(w http.ResponseWriter, _ *http.Request, _ int64) bool {
			w.Header().Set("Content-Length", "500")
			fmt.Fprint(w, `{"resourceType":"Bundle"`)
			return true
		}, 3, IsFailed, "broke off"},
		{"400 is not", status(400), 1, IsFailed, "400"},
		{"401 is not", status(401), 1, IsDenied, "401"},
		{"403 is not", status(403), 1, IsDenied, "403"},
		{"404 on a search is not", status(404), 1, IsFailed, "404"},
		{"410 is not", status(410), 1, IsFailed, "deleted"},
		{"500 is not", status(500), 1, IsFailed, "500"},
		{"501 is not", status(501), 1, IsFailed, "501"},
		{"304 is not", status(304), 1, IsFailed, "304"},
		{"204 is not", status(204), 1, IsWrongType, "204"},
		{"200 with an OperationOutcome is not", func(w http.ResponseWriter, _ *http.Request, _ int64) bool {
			fmt.Fprint(w, outcomeOf("error"))
			return true
		}, 1, IsFailed, "OperationOutcome"},
		{"a fault that passes is mended", func(w http.ResponseWriter, _ *http.Request, n int64) bool {
			if n < 3 {
				w.WriteHeader(503)
			}
			return n < 3
		}, 3, IsEmpty, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, tt.answer)
			p, err := conditions(t, d.server(t, nil), nil)
			if err != nil || p.From != tt.from || !strings.Contains(p.Why, tt.why) {
				t.Errorf("%+v, %v; want %s because of %q", p, err, tt.from, tt.why)
			}
			if n := d.asked.Load(); n != tt.asked {
				t.Errorf("asked %d times, want %d", n, tt.asked)
			}
		})
	}
}

func outcomeOf(severity string) string {
	return `{"resourceType":"OperationOutcome","issue":[{"severity":"` + severity + `","code":"informational"}]}`
}

func TestARefusalsCodeIsToldAndItsTextIsNot(t *testing.T) {
	d := newDesk(t, func(w http.ResponseWriter, _ *http.Request, _ int64) bool {
		w.WriteHeader(400)
		fmt.Fprint(w, `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported","diagnostics":"Patient/p1 Erika Mustermann"},{"severity":"error","code":"Patient/p1"}]}`)
		return true
	})
	p, err := conditions(t, d.server(t, nil), nil)
	if err != nil || p.Why != "the FHIR server answered 400 (not-supported)" {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestAServerThatAsksToWaitIsWaitedForOnlyWithinTheCall(t *testing.T) {
	for _, header := range []string{"3600", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)} {
		d := newDesk(t, func(w http.ResponseWriter, _ *http.Request, _ int64) bool {
			w.Header().Set("Retry-After", header)
			w.WriteHeader(503)
			return true
		})
		p, err := conditions(t, d.server(t, nil), nil)
		if err != nil || p.From != IsFailed || d.asked.Load() != 1 {
			t.Errorf("Retry-After %s: %+v, %v, asked %d times", header, p, err, d.asked.Load())
		}
	}
	d := newDesk(t, func(w http.ResponseWriter, _ *http.Request, n int64) bool {
		if n == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(429)
		}
		return n == 1
	})
	if p, err := conditions(t, d.server(t, nil), func(q *GatherRequest) { q.Limits.Budget = time.Minute }); err != nil || p.From != IsEmpty {
		t.Errorf("a wait of a second was not waited for: %+v, %v", p, err)
	}
}

func TestAServerThatKeepsFailingIsLeftAloneAndTriedAgain(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	d := newDesk(t, func(w http.ResponseWriter, r *http.Request, _ int64) bool {
		if down.Load() {
			w.WriteHeader(503)
			return true
		}
		if strings.HasSuffix(r.URL.Path, "/Patient/p1") {
			fmt.Fprint(w, testPatient)
			return true
		}
		return false
	})
	var told []string
	s := d.server(t, func(o *ServerOptions) {
		o.Retries, o.Failures, o.Rest = -1, 3, time.Hour
		o.Changed = func(breaker string) { told = append(told, breaker) }
	})
	for range 3 {
		if _, err := conditions(t, s, nil); err != nil {
			t.Fatal(err)
		}
	}
	if st := s.Status(); st.Breaker != BreakerOpen || st.Failures != 3 || st.Rest <= 0 {
		t.Fatalf("after three failures: %+v", st)
	}
	down.Store(false)
	_, err := gather(t, GatherRequest{Prefetch: lacking(KeyPatient), From: s, Access: Access{Token: "secret"}})
	var resting *RestingError
	if !errors.Is(err, ErrResting) || !errors.Is(err, ErrUnobtainable) || !errors.As(err, &resting) || resting.For <= 0 {
		t.Errorf("while it rests: %v", err)
	}
	if d.asked.Load() != 3 || s.Status().Refused != 1 {
		t.Errorf("asked %d times, %+v", d.asked.Load(), s.Status())
	}
	s.breaker.HalfOpen() // its rest is over
	if p, err := conditions(t, s, nil); err != nil || p.From != IsEmpty || s.Status().Breaker != BreakerClosed {
		t.Errorf("after its rest: %+v, %v, %+v", p, err, s.Status())
	}
	if !slices.Equal(told, []string{BreakerOpen, BreakerHalfOpen, BreakerClosed}) {
		t.Errorf("told of %v", told)
	}
}

func TestWhatMayBeAboutOnePatientNeverBreaksTheServerForOthers(t *testing.T) {
	for _, code := range []int{400, 401, 403, 404, 410, 429, 500} {
		d := newDesk(t, func(w http.ResponseWriter, _ *http.Request, _ int64) bool { w.WriteHeader(code); return true })
		s := d.server(t, func(o *ServerOptions) { o.Failures = 2 })
		for range 4 {
			if _, err := conditions(t, s, nil); err != nil {
				t.Fatal(err)
			}
		}
		if st := s.Status(); st.Breaker != BreakerClosed || st.Failures != 0 {
			t.Errorf("%d: %+v", code, st)
		}
	}
}

func TestACallThatIsCancelledSaysNothingAboutTheServer(t *testing.T) {
	came := make(chan struct{})
	d := newDesk(t, func(_ http.ResponseWriter, r *http.Request, _ int64) bool {
		came <- struct{}{}
		<-r.Context().Done()
		return true
	})
	s := d.server(t, func(o *ServerOptions) { o.Failures, o.Timeout = 1, time.Hour })
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-came; cancel() }()
	g, err := testMapper(t).Gather(ctx, GatherRequest{PatientID: "p1", Now: testNow, Prefetch: lacking(KeyConditions), From: s, Access: Access{Token: "secret"}})
	if p := part(t, g, KeyConditions); err != nil || p.From != IsFailed || s.Status().Breaker != BreakerClosed || s.Status().UnderWay != 0 {
		t.Errorf("%+v, %v, %+v", p, err, s.Status())
	}
}

func TestAServerThatHangsCountsAsFailing(t *testing.T) {
	d := newDesk(t, func(_ http.ResponseWriter, r *http.Request, _ int64) bool { <-r.Context().Done(); return true })
	s := d.server(t, func(o *ServerOptions) { o.Failures, o.Timeout, o.Retries = 1, 10*time.Millisecond, -1 })
	p, err := conditions(t, s, nil)
	if err != nil || p.Why != "the FHIR server did not answer in time" || s.Status().Breaker != BreakerOpen {
		t.Errorf("%+v, %v, %+v", p, err, s.Status())
	}
}

func TestMissingKeysAreSearchedAllAtOnce(t *testing.T) {
	// Every search must be under way before the first is answered: with one
	// after the other this never ends.
	const searches = 11 // nine keys, of which the vital signs are three searches
	var here sync.WaitGroup
	here.Add(searches)
	d := newDesk(t, func(w http.ResponseWriter, r *http.Request, _ int64) bool {
		here.Done()
		here.Wait()
		switch r.URL.Path {
		case "/fhir/Patient/p1":
			fmt.Fprint(w, testPatient)
		case "/fhir/Encounter":
			fmt.Fprint(w, string(bundleOf(testEncounter)))
		default:
			return false
		}
		return true
	})
	g, err := gather(t, GatherRequest{From: d.server(t, nil), Access: Access{Token: "secret"}, Limits: Limits{Budget: time.Minute}})
	if err != nil || d.asked.Load() != searches {
		t.Errorf("%v, %d searches, %+v", err, d.asked.Load(), g.Manifest)
	}
}

func TestAllCallsTogetherAskNoMoreAtOnceThanTheServerIsGiven(t *testing.T) {
	var now, most atomic.Int64
	d := newDesk(t, func(_ http.ResponseWriter, _ *http.Request, _ int64) bool {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(time.Millisecond)
		now.Add(-1)
		return false
	})
	s := d.server(t, func(o *ServerOptions) { o.Concurrent = 2 })
	var calls sync.WaitGroup
	for range 6 {
		calls.Go(func() {
			p := full()
			delete(p, KeyConditions)
			delete(p, KeyProcedures)
			_, err := testMapper(t).Gather(context.Background(), GatherRequest{PatientID: "p1", Now: testNow, Prefetch: p, From: s, Access: Access{Token: "secret"}, Limits: Limits{Budget: time.Minute}})
			if err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	if most.Load() > 2 || d.asked.Load() != 12 {
		t.Errorf("%d at once, %d in all", most.Load(), d.asked.Load())
	}
}

func TestACallWaitsForItsTurnNoLongerThanItsTime(t *testing.T) {
	hold, came := make(chan struct{}), make(chan struct{}, 1)
	d := newDesk(t, func(_ http.ResponseWriter, _ *http.Request, _ int64) bool { came <- struct{}{}; <-hold; return false })
	s := d.server(t, func(o *ServerOptions) { o.Concurrent, o.Timeout = 1, time.Hour })
	var first sync.WaitGroup
	first.Go(func() {
		_, _ = testMapper(t).Gather(context.Background(), GatherRequest{PatientID: "p1", Now: testNow, Prefetch: lacking(KeyConditions), From: s, Access: Access{Token: "secret"}, Limits: Limits{Budget: time.Minute}})
	})
	<-came
	p, err := conditions(t, s, func(q *GatherRequest) { q.Limits.Budget = 5 * time.Millisecond })
	if err != nil || p.From != IsFailed || d.asked.Load() != 1 {
		t.Errorf("%+v, %v, asked %d times", p, err, d.asked.Load())
	}
	close(hold)
	first.Wait()
}

func TestOptionsThatCannotBeRightAreRefused(t *testing.T) {
	ok := &http.Client{}
	for _, o := range []ServerOptions{{}, {Base: "https://x/fhir"}, {Base: "x/fhir", HTTP: ok}, {Base: "ftp://x/fhir", HTTP: ok},
		{Base: "https://u:p@x/fhir", HTTP: ok}, {Base: "https://x/fhir?a=b", HTTP: ok}, {Base: "http://", HTTP: ok}} {
		if _, err := NewServer(o); !errors.Is(err, ErrServer) {
			t.Errorf("%q: %v", o.Base, err)
		}
	}
	if s, err := NewServer(ServerOptions{Base: "https://x/fhir/", HTTP: ok}); err != nil || s.Base() != "https://x/fhir" {
		t.Errorf("%v", err)
	}
}

func BenchmarkGatherOverHTTP(b *testing.B) {
	var entries []string
	for i := range 500 {
		entries = append(entries, strings.Replace(observation("8867-4", valueIn("88", "/min")), `"o1"`, fmt.Sprintf(`"o%d"`, i), 1))
	}
	vitals := bundleOf(entries...)
	d := newDesk(b, func(w http.ResponseWriter, r *http.Request, _ int64) bool {
		switch r.URL.Path {
		case "/fhir/Patient/p1":
			fmt.Fprint(w, testPatient)
		case "/fhir/Encounter":
			fmt.Fprint(w, string(bundleOf(testEncounter)))
		case "/fhir/Observation", "/fhir/Observation/_search":
			w.Write(vitals)
		default:
			return false
		}
		return true
	})
	m, s := testMapper(b), d.server(b, nil)
	for b.Loop() {
		if _, err := m.Gather(context.Background(), GatherRequest{PatientID: "p1", Now: testNow, From: s, Access: Access{Token: "secret"}}); err != nil {
			b.Fatal(err)
		}
	}
	s.CloseIdleConnections()
}
