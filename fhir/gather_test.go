// SPDX-License-Identifier: Apache-2.0

package fhir

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func bundleOf(resources ...string) json.RawMessage {
	var entries []string
	for _, r := range resources {
		entries = append(entries, `{"resource":`+r+`}`)
	}
	return json.RawMessage(`{"resourceType":"Bundle","type":"searchset","entry":[` + strings.Join(entries, ",") + `]}`)
}

// full is a complete prefetch of p1.
func full() map[string]json.RawMessage {
	return map[string]json.RawMessage{
		KeyPatient:         json.RawMessage(testPatient),
		KeyEncounters:      bundleOf(testEncounter),
		KeyVitals:          bundleOf(observation("8867-4", valueIn("88", "/min"))),
		KeyLabs:            bundleOf(),
		KeyAdministrations: json.RawMessage(`null`),
		KeyOrders:          json.RawMessage(`{"resourceType":"Bundle","type":"searchset"}`),
		KeyDirectives:      bundleOf(),
		KeyConditions:      bundleOf(),
		KeyProcedures:      bundleOf(),
	}
}

func gather(t *testing.T, q GatherRequest) (*Gathered, error) {
	t.Helper()
	q.PatientID, q.Now = "p1", testNow
	return testMapper(t).Gather(context.Background(), q)
}

// part finds the manifest line of a key.
func part(t *testing.T, g *Gathered, key string) Part {
	t.Helper()
	for _, p := range g.Manifest.Parts {
		if p.Key == key {
			return p
		}
	}
	t.Fatalf("no manifest line for %s", key)
	return Part{}
}

// Each case names its line of the table in reference cdshooks.md B.3, or its
// rule.
func TestWireStatesOfPrefetch(t *testing.T) {
	hr := observation("8867-4", valueIn("88", "/min"))
	tests := []struct {
		name, key, value string // value "" drops the key
		from             Provenance
		err              error
	}{
		{"complete", KeyVitals, string(bundleOf(hr)), FromPrefetch, nil},
		{"key absent: necessary, and nothing may be fetched", KeyVitals, "", IsAbsent, ErrUnobtainable},
		{"key absent: not necessary", KeyProcedures, "", IsAbsent, nil},
		{"null: the client has no data", KeyAdministrations, `null`, IsNull, nil},
		{"null with white space", KeyLabs, " null\n", IsNull, nil},
		{"null: a necessary single read", KeyPatient, `null`, IsNull, ErrUnobtainable},
		{"Bundle, entry empty", KeyLabs, string(bundleOf()), IsEmpty, nil},
		{"Bundle, entry absent", KeyLabs, `{"resourceType":"Bundle","type":"searchset","total":0}`, IsEmpty, nil},
		{"Bundle, entry null", KeyLabs, `{"resourceType":"Bundle","type":"searchset","entry":null}`, IsEmpty, nil},
		{"Bundle with OperationOutcome entry: Epic's remark on zero results", KeyLabs, `{"resourceType":"Bundle","type":"searchset","total":0,"entry":[{"search":{"mode":"outcome"},"resource":` + outcomeOf("warning") + `}]}`, IsEmpty, nil},
		{"Bundle with OperationOutcome entry: a remark beside data is no data", KeyVitals, string(bundleOf(hr, outcomeOf("information"))), FromPrefetch, nil},
		{"Bundle with OperationOutcome entry: error severity, nothing else", KeyLabs, string(bundleOf(outcomeOf("error"))), IsFailed, ErrUnobtainable},
		{"Bundle with OperationOutcome entry: fatal severity beside data", KeyVitals, string(bundleOf(hr, outcomeOf("fatal"))), IsPartial, ErrUnobtainable},
		{"OperationOutcome as value", KeyVitals, outcomeOf("error"), IsFailed, ErrUnobtainable},
		{"OperationOutcome as value, for what is not necessary", KeyConditions, outcomeOf("error"), IsFailed, nil},
		{"Bundle with a next link: no server to go on at", KeyVitals, string(page2("https://x/next")), IsPartial, ErrUnobtainable},
		{"Bundle with a next link: of administrations, decided with a gap", KeyAdministrations, `{"resourceType":"Bundle","link":[{"relation":"next","url":"https://x/next"}]}`, IsPartial, nil},
		{"Bundle whose links were dropped: its total tells", KeyVitals, `{"resourceType":"Bundle","total":2,"entry":[{"resource":` + hr + `}]}`, IsPartial, ErrUnobtainable},
		{"Bundle with as many as its total says", KeyVitals, `{"resourceType":"Bundle","total":1,"entry":[{"resource":` + hr + `}]}`, FromPrefetch, nil},
		{"Bundle of type collection", KeyVitals, `{"resourceType":"Bundle","type":"collection","entry":[{"resource":` + hr + `}]}`, FromPrefetch, nil},
		{"Bundle of type collection for a single read", KeyPatient, `{"resourceType":"Bundle","type":"collection","entry":[{"resource":` + testPatient + `}]}`, FromPrefetch, nil},
		{"wrong resourceType: a single resource", KeyVitals, testPatient, IsWrongType, ErrUnobtainable},
		{"wrong resourceType: in a Bundle", KeyLabs, string(bundleOf(given(rx("7512"), rate("1", "mcg/min")))), IsWrongType, ErrUnobtainable},
		{"wrong resourceType: a Bundle of nothing that is a resource", KeyLabs, `{"resourceType":"Bundle","entry":[5,null,{"resource":[]}]}`, IsWrongType, ErrUnobtainable},
		{"wrong resourceType: a string", KeyLabs, `"x"`, IsWrongType, ErrUnobtainable},
		{"wrong resourceType: a list", KeyLabs, `[` + hr + `]`, IsWrongType, ErrUnobtainable},
		{"broken JSON", KeyLabs, `{"resourceType":`, IsWrongType, ErrUnobtainable},
		{"B31: another patient's observation", KeyVitals, string(bundleOf(strings.Replace(hr, "Patient/p1", "Patient/p2", 1))), "", ErrWrongPatient},
		{"B31: another patient", KeyPatient, strings.Replace(testPatient, "p1", "p2", 1), FromPrefetch, ErrWrongPatient},
		{"B34: the patient by an absolute reference", KeyVitals, string(bundleOf(strings.Replace(hr, "Patient/p1", "https://ehr.example.org/fhir/Patient/p1", 1))), FromPrefetch, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			prefetch := full()
			delete(prefetch, tt.key)
			if tt.value != "" {
				prefetch[tt.key] = json.RawMessage(tt.value)
			}
			g, err := gather(t, GatherRequest{Prefetch: prefetch})
			if !errors.Is(err, tt.err) || tt.err == nil && err != nil {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if got := part(t, g, tt.key).From; got != tt.from {
				t.Errorf("provenance %q, want %q", got, tt.from)
			}
			if tt.err == nil && g.Chart == nil {
				t.Error("no chart")
			}
		})
	}
}

func TestKnownEmptyIsNoGapAndMissingIs(t *testing.T) {
	prefetch := full()
	g, err := gather(t, GatherRequest{Prefetch: prefetch})
	if err != nil || len(g.Chart.Gaps) != 0 {
		t.Fatalf("complete prefetch: %v, gaps %v", err, g.Chart.Gaps)
	}
	delete(prefetch, KeyConditions)
	if g, err = gather(t, GatherRequest{Prefetch: prefetch}); err != nil || len(g.Chart.Gaps) != 1 || g.Chart.Gaps[0].What != "conditions" {
		t.Fatalf("without conditions: %v, gaps %v", err, g.Chart.Gaps)
	}
}

// at is the registered FHIR server of a test, which fails fast and retries
// without waiting.
func at(t testing.TB, base string, client *http.Client) *Server {
	t.Helper()
	s, err := NewServer(ServerOptions{Base: base, HTTP: client, Backoff: time.Microsecond})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ehr is a FHIR server with two pages of vitals.
func ehr(t *testing.T, answer func(w http.ResponseWriter, r *http.Request) bool) *httptest.Server {
	var s *httptest.Server
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("no token on %s", r.URL.Path)
		}
		if answer != nil && answer(w, r) {
			return
		}
		page2 := r.URL.Query().Get("page") == "2"
		switch {
		case r.URL.Path == "/fhir/Patient/p1":
			fmt.Fprint(w, testPatient)
		case r.URL.Path == "/fhir/Encounter":
			fmt.Fprint(w, string(bundleOf(testEncounter)))
		case page2:
			fmt.Fprint(w, string(bundleOf(strings.Replace(observation("8867-4", valueIn("90", "/min")), `"o1"`, `"o2"`, 1))))
		case r.URL.Path == "/fhir/Observation" && strings.Contains(r.URL.Query().Get("code"), "8867-4"):
			fmt.Fprintf(w, `{"resourceType":"Bundle","link":[{"relation":"next","url":"%s/fhir/Observation?page=2"}],"entry":[{"resource":%s}]}`, s.URL, observation("8867-4", valueIn("88", "/min")))
		default:
			fmt.Fprint(w, string(bundleOf()))
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestMissingKeysAreFetchedPageByPage(t *testing.T) {
	s := ehr(t, nil)
	g, err := gather(t, GatherRequest{From: at(t, s.URL+"/fhir", s.Client()), Access: Access{Token: "secret"}})
	if err != nil {
		t.Fatal(err)
	}
	if p := part(t, g, KeyVitals); p.From != FromFetch || p.Pages != 4 || p.Resources != 2 || len(g.Chart.Measurements) != 2 {
		t.Errorf("got %+v, %d measurements", p, len(g.Chart.Measurements))
	}
	for _, r := range g.Chart.Records {
		if r.Origin.Via != "fetch" || strings.Contains(r.Origin.Key, "/") {
			t.Errorf("origin %+v", r.Origin)
		}
	}
}

func TestThePrefetchedPageIsContinued(t *testing.T) {
	s := ehr(t, nil)
	prefetch := full()
	prefetch[KeyVitals] = json.RawMessage(fmt.Sprintf(`{"resourceType":"Bundle","link":[{"relation":"next","url":"%s/fhir/Observation?page=2"}],"entry":[{"resource":%s}]}`, s.URL, observation("8867-4", valueIn("88", "/min"))))
	g, err := gather(t, GatherRequest{Prefetch: prefetch, From: at(t, s.URL+"/fhir", s.Client()), Access: Access{Token: "secret"}})
	if err != nil || len(g.Chart.Measurements) != 2 {
		t.Fatalf("%v, %+v", err, g.Manifest)
	}
}

func TestAServerThatDoesNotAnswerAsItShould(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the token went to another server: %s", r.URL)
	}))
	defer elsewhere.Close()
	tests := []struct {
		name   string
		answer func(w http.ResponseWriter, r *http.Request) bool
		from   Provenance
		err    error
	}{
		{"refuses", func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusForbidden); return true }, IsDenied, ErrDenied},
		{"fails", func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusBadGateway); return true }, IsFailed, ErrUnobtainable},
		{"redirects elsewhere", func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
			return true
		}, IsFailed, ErrUnobtainable},
		{"links elsewhere", func(w http.ResponseWriter, _ *http.Request) bool {
			fmt.Fprintf(w, `{"resourceType":"Bundle","link":[{"relation":"next","url":"%s/fhir/Observation"}]}`, elsewhere.URL)
			return true
		}, IsPartial, ErrUnobtainable},
		{"links to itself", func(w http.ResponseWriter, r *http.Request) bool {
			fmt.Fprintf(w, `{"resourceType":"Bundle","link":[{"relation":"next","url":"http://%s%s"}]}`, r.Host, r.URL.RequestURI())
			return true
		}, IsPartial, ErrUnobtainable},
		{"links out of its base", func(w http.ResponseWriter, r *http.Request) bool {
			fmt.Fprintf(w, `{"resourceType":"Bundle","link":[{"relation":"next","url":"http://%s/fhir/../admin"}]}`, r.Host)
			return true
		}, IsPartial, ErrUnobtainable},
		{"sends something else", func(w http.ResponseWriter, _ *http.Request) bool {
			fmt.Fprint(w, `{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Basic","id":"b"}}]}`)
			return true
		}, IsWrongType, ErrUnobtainable},
		{"sends no JSON", func(w http.ResponseWriter, _ *http.Request) bool { fmt.Fprint(w, "<html>"); return true }, IsWrongType, ErrUnobtainable},
		{"sends too much", func(w http.ResponseWriter, _ *http.Request) bool {
			fmt.Fprint(w, strings.Repeat(" ", 5000)+"{}")
			return true
		}, IsFailed, ErrUnobtainable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := ehr(t, tt.answer)
			prefetch := full()
			delete(prefetch, KeyVitals)
			g, err := gather(t, GatherRequest{Prefetch: prefetch, From: at(t, s.URL+"/fhir", s.Client()), Access: Access{Token: "secret"}, Limits: Limits{MaxBytes: 4096}})
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if strings.Contains(err.Error(), "p1") {
				t.Errorf("the error names the patient: %v", err)
			}
			if got := part(t, g, KeyVitals).From; got != tt.from {
				t.Errorf("provenance %q, want %q", got, tt.from)
			}
		})
	}
}

func TestAServerThatNeverEndsIsLeft(t *testing.T) {
	var page atomic.Int64
	s := ehr(t, func(w http.ResponseWriter, r *http.Request) bool {
		o := strings.Replace(observation("8867-4", valueIn("88", "/min")), `"o1"`, fmt.Sprintf(`"o%d"`, page.Add(1)), 1)
		fmt.Fprintf(w, `{"resourceType":"Bundle","link":[{"relation":"next","url":"http://%s%s&n=1"}],"entry":[{"resource":%s}]}`, r.Host, r.URL.RequestURI(), o)
		return true
	})
	prefetch := full()
	delete(prefetch, KeyVitals)
	g, err := gather(t, GatherRequest{Prefetch: prefetch, From: at(t, s.URL+"/fhir", s.Client()), Access: Access{Token: "secret"}, Limits: Limits{Pages: 3}})
	if !errors.Is(err, ErrUnobtainable) || part(t, g, KeyVitals).Pages != 9 {
		t.Errorf("%v, %+v", err, part(t, g, KeyVitals))
	}
}

func TestReadBundle(t *testing.T) {
	m := testMapper(t)
	whole := `{"resourceType":"Bundle","type":"collection","entry":[
		{"fullUrl":"urn:uuid:a","resource":` + strings.Replace(testPatient, `"id":"p1",`, `"id":"p1",`, 1) + `},
		{"resource":` + testEncounter + `},
		{"resource":` + strings.Replace(observation("8867-4", valueIn("88", "/min")), "Patient/p1", "urn:uuid:a", 1) + `}]}`
	b, err := m.ReadBundle(strings.NewReader(whole), "")
	if err != nil {
		t.Fatal(err)
	}
	c, err := m.Chart(b, "", time.Time{})
	if err != nil || len(c.Measurements) != 1 || len(c.Gaps) != 0 {
		t.Fatalf("%v, %+v", err, c)
	}
	for _, bad := range []string{`{`, `[]`, `{"resourceType":"Patient"}`, `{"resourceType":"Bundle","entry":7}`, `{"resourceType":"Bundle"}`} {
		if _, err := m.ReadBundle(strings.NewReader(bad), ""); err == nil {
			t.Errorf("accepted %s", bad)
		}
	}
}

func FuzzReadBundle(f *testing.F) {
	f.Add(`{"resourceType":"Bundle","entry":[{"resource":` + testPatient + `},null,7,{"resource":null}],"link":[{"relation":"next"}]}`)
	f.Add(string(bundleOf(testPatient, testEncounter)))
	m := testMapper(f)
	f.Fuzz(func(t *testing.T, text string) {
		b, err := m.ReadBundle(strings.NewReader(text), "")
		if err != nil {
			return
		}
		if c, err := m.Chart(b, "", time.Time{}); err == nil && c.Tally.Read != c.Tally.Used+c.Tally.Ignored+c.Tally.Rejected {
			t.Fatalf("%+v", c.Tally)
		}
	})
}
