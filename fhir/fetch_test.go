// SPDX-License-Identifier: Apache-2.0

package fhir

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// page2 is a prefetched page whose next link is to.
func page2(to string) json.RawMessage {
	return json.RawMessage(`{"resourceType":"Bundle","link":[{"relation":"next","url":"` + to + `"}],"entry":[{"resource":` + observation("8867-4", valueIn("88", "/min")) + `}]}`)
}

func TestOnlyLinksWithinTheRegisteredServerAreFollowed(t *testing.T) {
	stranger := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("a stranger was asked: %s", r.URL) }))
	defer stranger.Close()
	d := newDesk(t, nil)
	host := strings.TrimPrefix(d.URL, "http://")
	_, port, _ := strings.Cut(host, ":")
	for _, tt := range []struct {
		name, link string
		followed   bool
	}{
		{"absolute", d.URL + "/fhir/Observation?page=2", true},
		{"to the base itself, as HAPI does", d.URL + "/fhir?_getpages=1", true},
		{"relative to the base", "Observation?page=2", true},
		{"a bare query", "?page=2", true},
		{"an absolute path", "/fhir/Observation?page=2", true},
		{"without a scheme", "//" + host + "/fhir/Observation?page=2", true},
		{"another host", stranger.URL + "/fhir/Observation?page=2", false},
		{"another host without a scheme", strings.TrimPrefix(stranger.URL, "http:") + "/fhir/Observation", false},
		{"another scheme", "https://" + host + "/fhir/Observation?page=2", false},
		{"another port", strings.Replace(d.URL, port, "1", 1) + "/fhir/Observation?page=2", false},
		{"with user and password", "http://u:p@" + host + "/fhir/Observation?page=2", false},
		{"the host as a user", "http://" + host + "@" + strings.TrimPrefix(stranger.URL, "http://") + "/fhir/Observation", false},
		{"climbing out", d.URL + "/fhir/../admin", false},
		{"climbing out and in again", d.URL + "/fhir/../fhir/Observation", false},
		{"climbing out, escaped", d.URL + "/fhir/%2e%2e/admin", false},
		{"climbing out, escaped twice", d.URL + "/fhir/%252e%252e/admin", false},
		{"climbing out with a backslash", d.URL + "/fhir/..\\\\admin", false},
		{"beside the base", d.URL + "/fhirother/Observation", false},
		{"outside by a relative path", "../admin", false},
		{"a file", "file:///etc/passwd", false},
		{"no URL", "::", false},
		{"a script", "javascript:alert(1)", false},
		{"with a line break", d.URL + "/fhir/Observation\\n?x=1", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := d.asked.Load()
			prefetch := full()
			prefetch[KeyConditions] = json.RawMessage(`{"resourceType":"Bundle","link":[{"relation":"next","url":"` + tt.link + `"}]}`)
			g, err := gather(t, GatherRequest{Prefetch: prefetch, From: d.server(t, nil), Access: Access{Token: "secret"}})
			p := part(t, g, KeyConditions)
			if err != nil || (d.asked.Load() > before) != tt.followed || tt.followed != (p.From == IsEmpty) || !tt.followed && p.From != IsPartial {
				t.Errorf("%+v, %v, asked %d times", p, err, d.asked.Load()-before)
			}
			if strings.Contains(p.Why, host) {
				t.Errorf("the manifest names an address: %s", p.Why)
			}
		})
	}
}

func TestPortsThatAreImpliedAreTheSameOrigin(t *testing.T) {
	s, err := NewServer(ServerOptions{Base: "https://ehr.example.org/fhir", HTTP: &http.Client{}})
	if err != nil {
		t.Fatal(err)
	}
	for link, ok := range map[string]bool{"https://ehr.example.org:443/fhir/Observation": true, "https://EHR.example.org/fhir/Observation": true,
		"https://ehr.example.org:8443/fhir/Observation": false, "http://ehr.example.org/fhir/Observation": false, "https://ehr.example.org./fhir/Observation": false} {
		u, err := s.locate(link, nil)
		if (err == nil) != ok || ok && u.Host != "ehr.example.org" {
			t.Errorf("%s: %v", link, err)
		}
	}
}

func TestAnswersThatAreNotWhatTheySay(t *testing.T) {
	bomb := func() []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		for range 8 {
			_, _ = z.Write(make([]byte, 1<<20))
		}
		_ = z.Close()
		return b.Bytes()
	}()
	send := func(kind, encoding string, body []byte) func(w http.ResponseWriter, r *http.Request, n int64) bool {
		return func(w http.ResponseWriter, _ *http.Request, _ int64) bool {
			w.Header().Set("Content-Type", kind)
			if encoding != "" {
				w.Header().Set("Content-Encoding", encoding)
			}
			_, _ = w.Write(body)
			return true
		}
	}
	empty := []byte(bundleOf())
	for _, tt := range []struct {
		name   string
		answer func(w http.ResponseWriter, r *http.Request, n int64) bool
		from   Provenance
		why    string
	}{
		{"FHIR JSON", send("application/fhir+json; fhirVersion=4.0; charset=UTF-8", "", empty), IsEmpty, ""},
		{"JSON of an older name", send("application/json+fhir", "", empty), IsEmpty, ""},
		{"a page of HTML with 200", send("text/html", "", []byte("<html>sign in</html>")), IsWrongType, "content type"},
		{"FHIR in XML", send("application/fhir+xml", "", []byte("<Bundle/>")), IsWrongType, "content type"},
		{"JSON that says it is HTML", send("text/html", "", empty), IsWrongType, "content type"},
		{"a content type that is none", send("a/b/c", "", empty), IsWrongType, "content type"},
		{"another charset", send("application/json; charset=utf-16", "", empty), IsWrongType, "UTF-8"},
		{"an encoding nobody asked for", send("application/json", "br", empty), IsWrongType, "encoding"},
		{"gzip twice", send("application/json", "gzip, gzip", empty), IsWrongType, "encoding"},
		{"a decompression bomb", send("application/json", "gzip", bomb), IsFailed, "larger"},
		{"gzip that is none", send("application/json", "gzip", empty), IsFailed, ""},
		{"more than a page may be", send("application/json", "", append(bytes.Repeat([]byte(" "), 1<<20), empty...)), IsFailed, "larger"},
		{"less than its length says", func(w http.ResponseWriter, _ *http.Request, _ int64) bool {
			w.Header().Set("Content-Length", "4000")
			_, _ = w.Write(empty)
			return true
		}, IsFailed, "broke off"},
		{"more than its length says", func(w http.ResponseWriter, _ *http.Request, _ int64) bool {
			c, rw, _ := w.(http.Hijacker).Hijack()
			fmt.Fprintf(rw, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\nContent-Type: application/json\r\n\r\n%s", empty)
			rw.Flush()
			c.Close()
			return true
		}, IsWrongType, "not JSON"},
		{"a drip that never ends", func(w http.ResponseWriter, r *http.Request, _ int64) bool {
			w.WriteHeader(200)
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte(" "))
				w.(http.Flusher).Flush()
				time.Sleep(time.Millisecond)
			}
			return true
		}, IsFailed, "in time"},
		{"a resource that is no Bundle", send("application/json", "", []byte(testPatient)), IsWrongType, "no Bundle"},
		{"a Bundle whose entries are none", send("application/json", "", []byte(`{"resourceType":"Bundle","entry":7}`)), IsWrongType, "cannot be read"},
		{"a remark beside nothing", send("application/json", "", bundleOf(outcomeOf("information"))), IsEmpty, ""},
		{"a failure beside nothing", send("application/json", "", bundleOf(outcomeOf("fatal"))), IsPartial, "failure"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, tt.answer)
			s := d.server(t, func(o *ServerOptions) {
				o.Retries = -1
				if strings.Contains(tt.name, "drip") {
					o.Timeout = 30 * time.Millisecond
				}
			})
			p, err := conditions(t, s, func(q *GatherRequest) { q.Limits.MaxBytes = 1 << 20 })
			if err != nil || p.From != tt.from || !strings.Contains(p.Why, tt.why) {
				t.Errorf("%+v, %v; want %s because of %q", p, err, tt.from, tt.why)
			}
		})
	}
}

func TestPagesThatRepeatAreLeft(t *testing.T) {
	d := newDesk(t, func(w http.ResponseWriter, r *http.Request, n int64) bool {
		fmt.Fprintf(w, `{"resourceType":"Bundle","link":[{"relation":"next","url":"http://%s/fhir/Condition?page=%d"}],"entry":[{"resource":{"resourceType":"Condition","id":"c","subject":{"reference":"Patient/p1"}}}]}`, r.Host, n)
		return true
	})
	p, err := conditions(t, d.server(t, nil), nil)
	if err != nil || p.From != IsPartial || p.Why != "the FHIR server's pages repeat" || d.asked.Load() != 2 {
		t.Errorf("%+v, %v, asked %d times", p, err, d.asked.Load())
	}
}

func TestAllKeysTogetherReadNoMoreThanTheirShare(t *testing.T) {
	d := newDesk(t, func(w http.ResponseWriter, _ *http.Request, _ int64) bool {
		fmt.Fprint(w, strings.Repeat(" ", 3000)+string(bundleOf()))
		return true
	})
	p := full()
	for _, k := range []string{KeyConditions, KeyProcedures, KeyOrders, KeyDirectives} {
		delete(p, k)
	}
	g, err := gather(t, GatherRequest{Prefetch: p, From: d.server(t, nil), Access: Access{Token: "secret"}, Limits: Limits{TotalBytes: 7000}})
	read := 0
	for _, k := range []string{KeyConditions, KeyProcedures, KeyOrders, KeyDirectives} {
		if part(t, g, k).From == IsEmpty {
			read++
		}
	}
	if err != nil || read > 2 {
		t.Errorf("%d keys of 3 kB each were read within 7 kB: %v", read, err)
	}
}

func TestLongSearchesGoByPostAndWhereThatIsRefusedInParts(t *testing.T) {
	for _, refuses := range []int{0, 404, 405, 415, 501} {
		var mu sync.Mutex
		codes := map[string]bool{}
		longest, posts := 0, 0
		d := newDesk(t, func(w http.ResponseWriter, r *http.Request, _ int64) bool {
			mu.Lock()
			defer mu.Unlock()
			longest = max(longest, len(r.URL.RequestURI()))
			if r.Method == http.MethodPost {
				posts++
				if refuses != 0 {
					w.WriteHeader(refuses)
					return true
				}
			}
			if err := r.ParseForm(); err != nil || r.Form.Get("patient") != "p1" {
				t.Errorf("%s: %v, %v", r.URL.Path, err, r.Form)
			}
			if r.Method == http.MethodPost && strings.Contains(r.URL.RawQuery, "p1") {
				t.Error("the patient is in the URL of a search by POST")
			}
			for c := range strings.SplitSeq(r.Form.Get("code"), ",") {
				codes[c] = true
			}
			return false
		})
		s := d.server(t, nil)
		for range 2 {
			g, err := gather(t, GatherRequest{Prefetch: lacking(KeyLabs), From: s, Access: Access{Token: "secret"}})
			if p := part(t, g, KeyLabs); err != nil || p.From != IsEmpty {
				t.Errorf("refused by %d: %+v, %v", refuses, p, err)
			}
		}
		want := testMapper(t).CodeMaps().asked().labs
		if got := slices.Sorted(func(yield func(string) bool) {
			for c := range codes {
				if !yield(c) {
					return
				}
			}
		}); !slices.Equal(got, want) {
			t.Errorf("refused by %d: asked for %d codes, want %d", refuses, len(got), len(want))
		}
		if longest > maxURL+len("/fhir/") {
			t.Errorf("a URL of %d characters", longest)
		}
		if refuses == 0 && posts != 2 || refuses != 0 && posts != 1 {
			t.Errorf("refused by %d: %d searches by POST", refuses, posts)
		}
	}
}

func TestWeAskForTheDaysThatMatter(t *testing.T) {
	var mu sync.Mutex
	asked := map[string][]url.Values{}
	d := newDesk(t, func(w http.ResponseWriter, r *http.Request, _ int64) bool {
		_ = r.ParseForm()
		mu.Lock()
		defer mu.Unlock()
		kind := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/fhir/"), "/_search")
		asked[kind] = append(asked[kind], r.Form)
		if kind == "Patient/p1" {
			fmt.Fprint(w, testPatient)
			return true
		}
		return false
	})
	if _, err := gather(t, GatherRequest{From: d.server(t, nil), Access: Access{Token: "secret"}}); err != nil && !errors.Is(err, ErrNoStay) {
		t.Fatal(err)
	}
	days := func(n int) string { return "ge" + testNow.AddDate(0, 0, -n).Truncate(time.Hour).Format(time.RFC3339) }
	for _, q := range asked["Observation"] {
		want := days(sparseDays)
		switch code := q.Get("code"); {
		case strings.Contains(code, "|8867-4,"):
			want = days(denseDays)
		case strings.Contains(code, "|29463-7"):
			want = "" // weights and heights
		}
		if q.Get("date") != want {
			t.Errorf("Observation since %s, want %s", q.Get("date"), want)
		}
	}
	if got := asked["MedicationAdministration"][0]; got.Get("effective-time") != days(sparseDays) || got.Get("_include") == "" {
		t.Errorf("administrations: %v", got)
	}
	for _, kind := range []string{"Encounter", "Condition", "Procedure", "ServiceRequest"} {
		for name := range asked[kind][0] {
			if strings.Contains(name, "date") || strings.Contains(name, "authored") {
				t.Errorf("%s is limited by %s", kind, name)
			}
		}
	}
	for kind, list := range asked {
		for _, q := range list {
			if kind != "Patient/p1" && q.Get("_count") != pageCount {
				t.Errorf("%s asks for pages of %q", kind, q.Get("_count"))
			}
			for name, values := range q {
				if len(values) != 1 {
					t.Errorf("%s repeats %s", kind, name)
				}
			}
		}
	}
}

func TestAPartialListOfAdministrationsMakesTheExposureUnknown(t *testing.T) {
	row := given(rx("7512"), rate("5", "ug/min"))
	page := json.RawMessage(`{"resourceType":"Bundle","link":[{"relation":"next","url":"https://x/next"}],"entry":[{"resource":` + row + `}]}`)
	prefetch := full()
	prefetch[KeyAdministrations] = page
	g, err := gather(t, GatherRequest{Prefetch: prefetch})
	if err != nil {
		t.Fatal(err)
	}
	unknown := map[string]bool{}
	for _, gap := range g.Chart.Gaps {
		unknown[gap.What] = true
	}
	if p := part(t, g, KeyAdministrations); p.From != IsPartial || !unknown["vasopressor"] || !unknown["fluid"] {
		t.Errorf("%+v, gaps %v", p, g.Chart.Gaps)
	}
	if len(g.Chart.Administrations) != 1 {
		t.Errorf("%d administrations of the page that came", len(g.Chart.Administrations))
	}
	prefetch[KeyVitals] = page2("https://x/next")
	if _, err := gather(t, GatherRequest{Prefetch: prefetch}); !errors.Is(err, ErrUnobtainable) {
		t.Errorf("a partial list of vital signs: %v", err)
	}
}

func TestThePrefetchedPageStandsWhenTheRestCannotBeHad(t *testing.T) {
	d := newDesk(t, func(w http.ResponseWriter, _ *http.Request, _ int64) bool { w.WriteHeader(403); return true })
	prefetch := full()
	row := given(rx("7512"), rate("5", "ug/min"))
	prefetch[KeyAdministrations] = json.RawMessage(`{"resourceType":"Bundle","link":[{"relation":"next","url":"` + d.URL + `/fhir/next"}],"entry":[{"resource":` + row + `}]}`)
	g, err := gather(t, GatherRequest{Prefetch: prefetch, From: d.server(t, nil), Access: Access{Token: "t"}})
	if p := part(t, g, KeyAdministrations); err != nil || p.From != IsPartial || p.Resources != 1 || !strings.Contains(p.Why, "403") {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestKeysThatNobodyDeclaredAreNamedAndNothingMore(t *testing.T) {
	prefetch := full()
	prefetch["-user"] = json.RawMessage(`{"resourceType":"Practitioner","id":"x"}`)
	prefetch[strings.Repeat("k", 500)] = json.RawMessage(testPatient)
	g, err := gather(t, GatherRequest{Prefetch: prefetch})
	if err != nil || len(g.Manifest.Undeclared) != 2 || g.Manifest.Undeclared[0] != "-user" || len(g.Manifest.Undeclared[1]) > 50 {
		t.Errorf("%v, %v", g.Manifest.Undeclared, err)
	}
	for i := range 100 {
		prefetch[fmt.Sprint("x", i)] = nil
	}
	if g, err = gather(t, GatherRequest{Prefetch: prefetch}); err != nil || len(g.Manifest.Undeclared) != maxUndeclared {
		t.Errorf("%v, %v", g.Manifest.Undeclared, err)
	}
}
