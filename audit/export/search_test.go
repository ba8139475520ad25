// SPDX-License-Identifier: Apache-2.0

package export

// This file: searches for AuditEvents on a real log, and what is no search.

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqlite/sqlitetest"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
)

// newLog is a log with the entries of a day, in their order.
func newLog(t testing.TB) (*sqllog.Log, *audit.Key) {
	t.Helper()
	dir := t.TempDir()
	key, err := audit.CreateKeyFile(filepath.Join(dir, "key"), site.Log)
	if err != nil {
		t.Fatal(err)
	}
	log := sqlitetest.New(t, sqllog.Options{Key: key})
	list := entries(t)
	list[len(list)-1].Body = nil
	for _, e := range list {
		if _, err := log.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	return log, key
}

type searchset struct {
	ResourceType, Type string
	Link               []struct{ Relation, URL string }
	Entry              []struct {
		FullURL  string
		Resource struct{ ID, Recorded string }
		Search   struct{ Mode string }
	}
	Issue []struct{ Severity, Diagnostics string }
}

func (s searchset) ids() (out []string) {
	for _, e := range s.Entry {
		out = append(out, e.Resource.ID[strings.LastIndex(e.Resource.ID, "-")+1:])
	}
	return out
}

func (s searchset) next() string {
	for _, l := range s.Link {
		if l.Relation == "next" {
			return l.URL
		}
	}
	return ""
}

// searched asks the handler and gives the answer, and how many records were
// recorded as handed out; -1: none was.
func searched(t testing.TB, log Log, target string) (status int, s searchset, recorded int) {
	t.Helper()
	recorded = -1
	h := &Handler{Site: site, Log: log, Failed: func(err error) { t.Error(err) }, Admit: func(http.ResponseWriter, *http.Request, *Search) func(context.Context, int) error {
		return func(_ context.Context, n int) error { recorded = n; return nil }
	}}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
	if got := w.Header().Get("Content-Type"); got != "application/fhir+json; charset=utf-8" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", w.Header())
	}
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	return w.Code, s, recorded
}

const day = "date=ge2026-11-22&date=lt2026-11-23&"

func TestASearchFindsWhatITI81AsksFor(t *testing.T) {
	log, _ := newLog(t)
	display := resourceID("display_7")
	display = display[strings.LastIndex(display, "-")+1:]
	all := []string{"000000000008", display, "000000000006", "000000000005", "000000000004", "000000000003", "000000000002", "000000000001", "000000000000"}
	tests := []struct {
		name, query string
		want        []string
	}{
		{"everything of a day, newest first", day, all},
		{"nothing of another day", "date=2026-11-21", nil},
		{"a minute", "date=2026-11-22T09:13Z", []string{"000000000003"}},
		{"a minute in another zone", "date=" + url.QueryEscape("2026-11-22T10:13+01:00"), []string{"000000000003"}},
		{"no time that two dates share", "date=ge2026-11-22&date=lt2026-11-22", nil},
		{"a patient by resource", day + "patient=Patient/p1", []string{"000000000005", "000000000003", "000000000002", "000000000001"}},
		{"a patient by id", day + "patient=p2", []string{"000000000008"}},
		{"a patient by address", day + "patient=https://ehr.example/fhir/Patient/p2", []string{"000000000008"}},
		{"two patients", day + "patient=p1,p2", []string{"000000000008", "000000000005", "000000000003", "000000000002", "000000000001"}},
		{"a clinician", day + "agent=Practitioner/anna&patient=p1", []string{"000000000003", "000000000002", "000000000001"}},
		{"an EHR, by its name", day + "agent.identifier=ehr&type=110107&_count=3", []string{"000000000008", "000000000005", "000000000003"}},
		{"somebody at a terminal", day + "agent.identifier=os/officer", []string{"000000000006"}},
		{"an encounter", day + "entity=Encounter/e1&outcome=0", []string{"000000000003", "000000000002", "000000000001"}},
		{"two parameters that name two patients", day + "entity=Patient/p1&patient=p2", nil},
		{"two parameters that name one patient", day + "entity=Patient/p2&patient=p2", []string{"000000000008"}},
		{"what is about a decision", day + "entity=urn:uuid:" + decisionID, []string{"000000000006", "000000000003", "000000000002"}},
		{"a request by its id", day + "entity.identifier=req-3", []string{"000000000005"}},
		{"readings of the log", day + "type=" + url.QueryEscape(dcm+"|110101"), []string{"000000000006"}},
		{"callers that were not let in", day + "type=110114&outcome=4", []string{"000000000004"}},
		{"changes of the display", day + "subtype=110131", []string{display}},
		{"failures", day + "outcome=8", []string{"000000000005"}},
		{"oldest first", day + "_sort=date&_count=2", []string{"000000000000", "000000000001"}},
		{"a code of another system", day + "type=" + url.QueryEscape("http://example.org|110107"), nil},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			status, got, recorded := searched(t, log, "/fhir/AuditEvent?"+tc.query)
			if status != http.StatusOK || got.Type != "searchset" || recorded != len(tc.want) {
				t.Fatalf("%d %+v, %d recorded", status, got, recorded)
			}
			if !slices.Equal(got.ids(), tc.want) {
				t.Errorf("found %v, want %v", got.ids(), tc.want)
			}
		})
	}
}

func TestPagesGiveEveryRecordOnce(t *testing.T) {
	log, _ := newLog(t)
	for _, query := range []string{day, day + "_sort=date&", day + "agent.identifier=ehr,os/officer&", day + "outcome=0&", day + "patient=p1,p2&"} {
		_, whole, _ := searched(t, log, "/fhir/AuditEvent?"+query)
		var got []string
		next, pages := "/fhir/AuditEvent?"+query+"_count=2", 0
		for ; next != ""; pages++ {
			status, page, _ := searched(t, log, next)
			if status != http.StatusOK || len(page.Entry) > 2 || pages > 9 {
				t.Fatalf("page %d: %d with %d", pages, status, len(page.Entry))
			}
			got = append(got, page.ids()...)
			next = strings.TrimPrefix(page.next(), site.URL)
		}
		if !slices.Equal(got, whole.ids()) || len(got) < 3 {
			t.Errorf("%s: pages gave %v, one page %v", query, got, whole.ids())
		}
	}
}

// slowLog looks at one record for each page, as a log does where few match.
type slowLog struct{ *sqllog.Log }

func (l slowLog) Page(ctx context.Context, f audit.Filter, _ int) ([]audit.Row, *int64, error) {
	f.Limit = 1
	all := f
	all.Patient, all.User, all.Client = "", "", ""
	rows, more, err := l.Log.Page(ctx, all, 0)
	if err != nil || len(rows) == 0 {
		return nil, nil, err
	}
	x := rows[0].Index
	if f.Patient != "" && x.Patient != f.Patient || f.User != "" && x.User != f.User || f.Client != "" && x.Client != f.Client {
		rows = nil
	}
	return rows, more, nil
}

func TestALogThatAnswersALittleAtATimeGivesTheSame(t *testing.T) {
	log, _ := newLog(t)
	for _, query := range []string{day, day + "_sort=date&", day + "agent.identifier=ehr,os/officer&", day + "patient=p1,p2&"} {
		_, whole, _ := searched(t, log, "/fhir/AuditEvent?"+query)
		var slow []string
		for next, pages := "/fhir/AuditEvent?"+query, 0; next != ""; pages++ {
			_, page, _ := searched(t, slowLog{log}, next)
			slow = append(slow, page.ids()...)
			if next = strings.TrimPrefix(page.next(), site.URL); pages > 20 {
				t.Fatalf("%s: no end", query)
			}
		}
		if !slices.Equal(whole.ids(), slow) {
			t.Errorf("%s: %v, a little at a time %v", query, whole.ids(), slow)
		}
	}
}

func TestASearchThatCannotBeAnsweredIsRefused(t *testing.T) {
	log, _ := newLog(t)
	for name, query := range map[string]string{
		"no date":                       "patient=p1",
		"a word for a date":             "date=yesterday",
		"a prefix that there is not":    "date=ap2026-11-22",
		"a parameter that is not known": day + "altid=x",
		"a modifier":                    day + "patient:missing=true",
		"a patient's identifier":        day + "patient.identifier=urn:oid:1.2|7",
		"nobody":                        day + "patient=",
		"nobody after a comma":          day + "patient=p1,",
		"two patients at once":          day + "patient=p1&patient=p2",
		"another form":                  day + "_format=xml",
		"another order":                 day + "_sort=patient",
		"no records":                    day + "_count=0",
		"a page of our making":          day + "_page=first",
		"an entity of another kind":     day + "entity=List/1",
		"far too many":                  day + "patient=" + strings.Repeat("p,", 70) + "p",
	} {
		t.Run(name, func(t *testing.T) {
			status, got, recorded := searched(t, log, "/fhir/AuditEvent?"+query)
			if status != http.StatusBadRequest || got.ResourceType != "OperationOutcome" || len(got.Issue) != 1 || recorded != -1 {
				t.Errorf("%d %+v, %d recorded", status, got, recorded)
			}
		})
	}
}

func TestNothingIsAnsweredThatIsNotAdmittedAndRecorded(t *testing.T) {
	log, _ := newLog(t)
	failed := 0
	for name, h := range map[string]*Handler{
		"not admitted": {Admit: func(w http.ResponseWriter, _ *http.Request, _ *Search) func(context.Context, int) error {
			w.WriteHeader(http.StatusUnauthorized)
			return nil
		}},
		"not recorded": {Admit: func(http.ResponseWriter, *http.Request, *Search) func(context.Context, int) error {
			return func(context.Context, int) error { return errors.New("disk full") }
		}},
	} {
		h.Site, h.Log, h.Failed = site, log, func(error) { failed++ }
		for _, query := range []string{day, "nonsense=1"} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/fhir/AuditEvent?"+query, nil))
			if w.Code == http.StatusOK || strings.Contains(w.Body.String(), "AuditEvent") || strings.Contains(w.Body.String(), "disk") {
				t.Errorf("%s: %d %s", name, w.Code, w.Body)
			}
		}
	}
	if failed != 1 {
		t.Errorf("%d failures were told", failed)
	}
}

func FuzzParseSearch(f *testing.F) {
	for _, s := range []string{day + "patient=p1", "date=eq2026", "date=ge2026-11-22T10:00:00.5Z&agent=a,b&type=x|y", "date=2026&entity=Patient/1,urn:uuid:2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		s, err := ParseSearch(values)
		if err != nil {
			if !errors.Is(err, ErrSearch) {
				t.Fatalf("%v", err)
			}
			return
		}
		if s.Since.IsZero() && s.Until.IsZero() || s.count > MaxCount || len(s.filters) > maxFilters {
			t.Fatalf("%q is unbounded: %+v", query, s)
		}
		for _, filter := range s.filters {
			if err := filter.Validate(); err != nil {
				t.Fatal(err)
			}
			if s.OfPatient() != (filter.Patient != "" || filter.Encounter != "") && len(s.filters) == 1 {
				t.Fatalf("%q: of a patient %v, %+v", query, s.OfPatient(), filter)
			}
		}
	})
}

func TestAnExportedLineIsProvedAndAChangedOneFound(t *testing.T) {
	log, key := newLog(t)
	var lines []string
	for i := range int64(9) {
		rows, _, err := log.Page(t.Context(), audit.Filter{OldestFirst: true, Limit: 9}, 0)
		if err != nil {
			t.Fatal(err)
		}
		record, err := log.Get(t.Context(), rows[i].Index.ID)
		if err != nil {
			t.Fatal(err)
		}
		e, err := Read(record)
		if err != nil {
			t.Fatal(err)
		}
		proof, err := log.ProveInclusion(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		e.Proof = &proof
		var b strings.Builder
		if _, err := Write(&b, NDJSON, site, func(yield func(Event, error) bool) { yield(e, nil) }); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, strings.TrimSuffix(b.String(), "\n"))
	}
	check := func(lines ...string) Checked {
		t.Helper()
		c, err := Verify(strings.NewReader(strings.Join(lines, "\n")+"\n"), key.Verifier())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := check(lines...); !c.OK || c.Records != 9 || c.Contents != 9 || !c.Whole {
		t.Errorf("as written: %+v", c)
	}
	if c := check(lines[1], lines[4]); !c.OK || c.Whole {
		t.Errorf("a selection: %+v", c)
	}
	if c := check(lines[:4]...); !c.OK || !c.Whole || c.Size != 9 {
		t.Errorf("the beginning: %+v", c)
	}
	for name, change := range map[string]func([]string) []string{
		"a patient in the index": func(l []string) []string {
			l[1] = strings.Replace(l[1], `"patient":"p1"`, `"patient":"p9"`, 1)
			return l
		},
		"a patient in what is read": func(l []string) []string {
			i := strings.LastIndex(l[1], `"patient":"p1"`)
			l[1] = l[1][:i] + `"patient":"p9"` + l[1][i+14:]
			return l
		},
		"a line twice":        func(l []string) []string { return append(l[:2], l[1:]...) },
		"two lines exchanged": func(l []string) []string { l[1], l[2] = l[2], l[1]; return l },
		"the proof of another": func(l []string) []string {
			i, j := strings.Index(l[1], `"proof"`), strings.Index(l[2], `"proof"`)
			l[1] = l[1][:i] + l[2][j:]
			return l
		},
		"a salt without its body": func(l []string) []string {
			i, j := strings.Index(l[1], `"stored"`), strings.Index(l[1], `"proof"`)
			l[1] = l[1][:i] + l[1][j:]
			return l
		},
		"no proof":                    func(l []string) []string { i := strings.Index(l[1], `,"proof"`); l[1] = l[1][:i] + "}"; return l },
		"half a line":                 func(l []string) []string { l[1] = l[1][:len(l[1])/2]; return l },
		"two records in a line":       func(l []string) []string { l[1] += l[2]; return l },
		"a field that we do not have": func(l []string) []string { l[1] = `{"approved":true,` + l[1][1:]; return l },
	} {
		if c := check(change(slices.Clone(lines))...); c.OK || c.BadLine < 2 || c.BadLine > 3 {
			t.Errorf("%s was not found: %+v", name, c)
		}
	}
	other, err := audit.CreateKeyFile(filepath.Join(t.TempDir(), "other"), site.Log)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := Verify(strings.NewReader(lines[0]+"\n"), other.Verifier()); err != nil || c.OK {
		t.Errorf("another key: %+v, %v", c, err)
	}
}

func TestDatesCoverWhatTheyName(t *testing.T) {
	s := &Search{}
	for _, d := range []string{"ge2026", "le2026-11", "gt2026-11-21"} {
		if err := s.date(d); err != nil {
			t.Fatal(err)
		}
	}
	if want := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC); !s.Since.Equal(want) || !s.Until.Equal(want.AddDate(0, 0, 9)) {
		t.Errorf("%v to %v", s.Since, s.Until)
	}
}
