// SPDX-License-Identifier: Apache-2.0

// Package scale measures what questions cost on a log of a given size, each asked
// many times with other values: the middle and the slowest twentieth of what was
// waited. It is a package of its own because it asks as those do who import much:
// rates, searches of AuditEvents.
//
// It trusts the store that it is given to be one that passes the suite.
package scale

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/access"
	"github.com/sepsisagent/sepsisagent/audit/audittest"
	"github.com/sepsisagent/sepsisagent/audit/console"
	"github.com/sepsisagent/sepsisagent/audit/export"
	"github.com/sepsisagent/sepsisagent/audit/query"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
	"github.com/sepsisagent/sepsisagent/cdshooks"
)

// body is a body, of 2 KiB. A packed receipt of a whole chart is ten times as
// large; of the questions, only a search for AuditEvents reads bodies.
var body = []byte(`"` + strings.Repeat("0", 2<<10-2) + `"`)

// asks is how often each question is asked.
const asks = 60

// Questions fills a log with as many entries of a made-up hospital as
// SEPSISAGENT_SCALE says, and asks. It prints a row of a table for each question.
// settled, if any, is what the database does by itself some time after such a fill.
func Questions(b *testing.B, place func(testing.TB) audittest.Place, settled string) {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("SEPSISAGENT_SCALE"), "10000"))
	if err != nil || n < 100 {
		b.Fatalf("SEPSISAGENT_SCALE: want a number of entries, at least 100: %v", err)
	}
	p := place(b)
	h := open(b, p, n)
	if err := settle(p, settled); err != nil {
		b.Fatal(err)
	}
	debug.FreeOSMemory()
	for _, s := range questions(n) {
		if !strings.Contains(s.name, os.Getenv("SEPSISAGENT_SCALE_ASK")) {
			continue
		}
		waited := make([]time.Duration, asks)
		found := 0
		for i := range waited {
			rng := rand.New(rand.NewPCG(uint64(i), 7))
			began := time.Now()
			k, err := s.ask(b, h, rng)
			waited[i] = time.Since(began)
			if err != nil {
				b.Fatalf("%s: %v", s.name, err)
			}
			found += k
		}
		slices.Sort(waited)
		ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
		fmt.Printf("| %d | %s | %.1f | %.1f | %.1f | %.0f |\n", n, s.name, ms(waited[asks/2]), ms(waited[asks*95/100]), ms(waited[asks-1]), float64(found)/asks)
	}
	b.ReportMetric(0, "ns/op")
}

func settle(p audittest.Place, stmt string) error {
	if stmt == "" {
		return nil
	}
	db, err := p.DB()
	if err != nil {
		return err
	}
	_, err = db.Exec(stmt)
	return errors.Join(err, db.Close())
}

// house is the log.
type house struct{ *sqllog.Log }

// open gives the log, filled. One that was kept from an earlier run is used again
// if it has the size: its key is not kept, questions need none.
func open(b *testing.B, p audittest.Place, n int) house {
	opened := func(opts sqllog.Options) (house, error) {
		l, err := p.Open(b.Context(), opts)
		if err == nil {
			b.Cleanup(func() { _ = l.Close() }) // nothing is written any more
		}
		return house{l}, err
	}
	if h, err := opened(sqllog.Options{}); err == nil {
		if size, err := h.Size(b.Context()); err != nil || size != int64(n) {
			b.Fatalf("a log of %d entries was kept, not of %d: %v", size, n, err)
		}
		return h
	}
	key, _, err := audit.NewKey(nil, "hospital.example/sepsis")
	if err != nil {
		b.Fatal(err)
	}
	if err := p.Create(b.Context(), sqllog.Options{Key: key}); err != nil {
		b.Fatal(err)
	}
	h, err := opened(sqllog.Options{Key: key, Batch: 512})
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	fill(b, h, n)
	b.Logf("%d entries in %v, %.0f/s", n, time.Since(began).Round(time.Second), float64(n)/time.Since(began).Seconds())
	return h
}

// reader is an auditor, and the gate that lets him in.
type reader struct{}

func (reader) Authenticate(*http.Request) (access.Reader, error) {
	return access.Reader{Subject: "scale", Roles: []access.Role{access.Auditor}}, nil
}

func (reader) Admit(access.Reader) error { return nil }

func (reader) Failed(access.Reader) {}

func (reader) RefusedSignIn(*http.Request) error { return nil }

func (reader) Append(context.Context, audit.Entry) (audit.Appended, error) {
	return audit.Appended{}, nil
}

// start is when the hospital begins; an entry comes every three seconds.
var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func timeOf(i int) time.Time { return start.Add(time.Duration(i) * 3 * time.Second) }

func modelOf(k int) string {
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "model %d", k)))
}

func cardOf(i int) string { return fmt.Sprintf("01920000-0000-7000-9000-%012d", i) }

// entry is the i-th of n entries: 50 of a patient, four in five decisions,
// three models one after the other.
func entry(i, n int) audit.Entry {
	rng := rand.New(rand.NewPCG(uint64(i), 1))
	salt := sha256.Sum256(fmt.Appendf(nil, "salt %d", i))
	ix := audit.Index{
		ID: fmt.Sprintf("01920000-0000-7000-8000-%012d", i), Time: timeOf(i).Add(time.Duration(rng.IntN(8000)-4000) * time.Millisecond),
		Kind: "decision", Client: []string{"ehr-a", "ehr-b"}[rng.IntN(2)], Service: "sepsis-treatment", User: fmt.Sprintf("Practitioner/%d", rng.IntN(400)),
		// Patients come and go: those of one time are near each other.
		Patient: fmt.Sprintf("Patient/%07d", max(0, i/50+rng.IntN(200)-100)), HTTP: 200, Display: "suggest",
	}
	switch p := rng.Float64(); {
	case p < 0.05:
		ix.Kind = "read"
		return audit.Entry{Index: ix, Salt: salt[:], Body: body}
	case p < 0.17:
		about := max(0, i-rng.IntN(100))
		ix.Kind, ix.Outcome, ix.Refers = "feedback", "accepted", fmt.Sprintf("01920000-0000-7000-8000-%012d", about)
		ix.Cards = []string{cardOf(about)}
		if rng.IntN(3) == 0 {
			ix.Outcome, ix.Reasons = "overridden", []string{fmt.Sprintf("reason-%d", rng.IntN(8))}
		}
		return audit.Entry{Index: ix, Salt: salt[:], Body: body}
	case p < 0.19:
		ix.Kind, ix.HTTP, ix.Reasons = "refusal", 401, []string{"signature"}
		return audit.Entry{Index: ix, Salt: salt[:], Body: body}
	case p < 0.2:
		ix.Kind, ix.HTTP, ix.Reasons = "failure", 412, []string{"unobtainable"}
		return audit.Entry{Index: ix, Salt: salt[:], Body: body}
	}
	ix.Unit = fmt.Sprintf("Unit %d", rng.IntN(6))
	ix.Model, ix.RulesHash, ix.CodeMaps = modelOf(i*3/n), "rules-1", "maps-1"
	ix.Status = []string{"suggest", "affirm", "abstain", "abstain", "not-applicable"}[rng.IntN(5)]
	ix.Topic = "treatment"
	for r := range 20 {
		if rng.IntN(20) <= r/4 {
			ix.Rules = append(ix.Rules, fmt.Sprintf("V%d", r))
		}
	}
	if ix.Status == "suggest" {
		ix.Drugs = []string{[]string{"norepinephrine", "norepinephrine", "balanced crystalloid", "vasopressin"}[rng.IntN(4)]}
		ix.Shown, ix.Cards = true, []string{cardOf(i)}
	}
	if rng.IntN(4) == 0 {
		ix.Reasons = append(ix.Reasons, query.Blocked)
	}
	if rng.IntN(30) == 0 {
		ix.Reasons = append(ix.Reasons, query.Suppressed)
	}
	return audit.Entry{Index: ix, Salt: salt[:], Body: body}
}

func fill(b *testing.B, h house, n int) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 512 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if _, err := h.Append(b.Context(), entry(i, n)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// scaled is one question, with values drawn by rng; it says how much was found.
type scaled struct {
	name string
	ask  func(b *testing.B, h house, rng *rand.Rand) (int, error)
}

func questions(n int) []scaled {
	run := func(name string, of func(rng *rand.Rand) query.Query) scaled {
		return scaled{name, func(b *testing.B, h house, rng *rand.Rand) (int, error) {
			p, err := query.Run(b.Context(), h.Log, of(rng))
			return len(p.Entries), err
		}}
	}
	patient := func(rng *rand.Rand) string { return fmt.Sprintf("Patient/%07d", rng.IntN(max(1, n/50))) }
	day := func(rng *rand.Rand) (time.Time, time.Time) {
		at := timeOf(rng.IntN(n))
		return at, at.Add(24 * time.Hour)
	}
	rule := func(rng *rand.Rand) string { return fmt.Sprintf("V%d", rng.IntN(20)) }
	unit := func(rng *rand.Rand) string { return fmt.Sprintf("Unit %d", rng.IntN(6)) }
	out := []scaled{
		run("a patient", func(r *rand.Rand) query.Query { return query.Query{Patient: patient(r)} }),
		run("a clinician", func(r *rand.Rand) query.Query {
			return query.Query{Clinician: fmt.Sprintf("Practitioner/%d", r.IntN(400))}
		}),
		run("a unit", func(r *rand.Rand) query.Query { return query.Query{Unit: unit(r)} }),
		run("a drug", func(r *rand.Rand) query.Query {
			return query.Query{Drug: []string{"norepinephrine", "vasopressin"}[r.IntN(2)]}
		}),
		run("a rule", func(r *rand.Rand) query.Query { return query.Query{Rule: rule(r)} }),
		run("a model, by the beginning of its hash", func(r *rand.Rand) query.Query { return query.Query{Model: modelOf(r.IntN(3))[:12]} }),
		run("a day", func(r *rand.Rand) query.Query { s, u := day(r); return query.Query{Since: s, Until: u} }),
		run("an outcome", func(r *rand.Rand) query.Query {
			return query.Query{Outcome: query.Outcomes()[r.IntN(len(query.Outcomes()))]}
		}),
		run("overrides with a reason", func(r *rand.Rand) query.Query {
			return query.Query{Outcome: query.Override, Reason: fmt.Sprintf("reason-%d", r.IntN(8))}
		}),
		run("who read about a patient", func(r *rand.Rand) query.Query { return query.Query{Kind: "read", Patient: patient(r)} }),
		run("a patient, a drug, since a day", func(r *rand.Rand) query.Query {
			s, _ := day(r)
			return query.Query{Patient: patient(r), Drug: "norepinephrine", Since: s}
		}),
		run("a unit, abstentions of a day", func(r *rand.Rand) query.Query {
			s, u := day(r)
			return query.Query{Unit: unit(r), Outcome: query.Abstain, Since: s, Until: u}
		}),
		run("a rule and a clinician, blocked", func(r *rand.Rand) query.Query {
			return query.Query{Rule: rule(r), Clinician: fmt.Sprintf("Practitioner/%d", r.IntN(400)), Outcome: query.Blocked}
		}),
		run("the first model and the last day", func(r *rand.Rand) query.Query {
			return query.Query{Model: modelOf(0), Since: timeOf(n - 28_800)}
		}),
		run("what never was: affirmed with vasopressin", func(*rand.Rand) query.Query {
			return query.Query{Outcome: query.Affirm, Drug: "vasopressin"}
		}),
		run("a card", func(r *rand.Rand) query.Query { return query.Query{Card: cardOf(r.IntN(n))} }),
	}
	// How cards were received, from a day on to the end of the log, as feedback
	// comes when it will.
	rates := func(name string, days int) scaled {
		return scaled{name, func(b *testing.B, h house, _ *rand.Rand) (int, error) {
			groups, err := cdshooks.Rates(b.Context(), h.Log, audit.Filter{Since: timeOf(n).AddDate(0, 0, -days)})
			return len(groups), err
		}}
	}
	trend := func(name string, periods int, each time.Duration) scaled {
		return scaled{name, func(b *testing.B, h house, _ *rand.Rand) (int, error) {
			var edges []time.Time
			for i := range periods + 1 {
				edges = append(edges, timeOf(n).Add(time.Duration(i-periods)*each))
			}
			list, _, err := cdshooks.Trend(b.Context(), h.Log, audit.Filter{}, edges)
			return len(list), err
		}}
	}
	search := func(name string, of func(r *rand.Rand, day string) string) scaled {
		return scaled{name, func(b *testing.B, h house, r *rand.Rand) (int, error) {
			found := 0
			handler := export.Handler{Site: export.Site{Log: h.Verifier().Name()}, Log: h.Log, Failed: func(err error) { b.Error(err) },
				Admit: func(http.ResponseWriter, *http.Request, *export.Search) func(context.Context, int) error {
					return func(_ context.Context, n int) error { found = n; return nil }
				}}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/fhir/AuditEvent?"+of(r, timeOf(r.IntN(n)).Format(time.DateOnly)), nil))
			if w.Code != http.StatusOK {
				return 0, fmt.Errorf("%d %s", w.Code, w.Body)
			}
			return found, nil
		}}
	}
	// A page of the console, without the entry that says who read it.
	page := func(name string, path func(r *rand.Rand) string) scaled {
		return scaled{name, func(b *testing.B, h house, r *rand.Rand) (int, error) {
			c := console.New(console.Deps{
				Log: h.Log, Gate: reader{}, Appends: reader{}, Now: func() time.Time { return timeOf(n) },
				Chart: func() console.Chart { return console.Chart{Zone: time.UTC} }, Failed: func(_ string, err error) { b.Error(err) },
			})
			defer c.Close()
			req := httptest.NewRequest(http.MethodGet, console.Path+path(r), nil)
			req.Header.Set("Authorization", "Bearer x")
			w := httptest.NewRecorder()
			c.ServeHTTP(w, req)
			if w.Code != http.StatusOK {
				return 0, fmt.Errorf("%d %s", w.Code, w.Body)
			}
			return strings.Count(w.Body.String(), "<tr"), nil
		}}
	}
	out = append(out,
		page("console: search of a unit", func(r *rand.Rand) string { return "/?unit=" + url.QueryEscape(unit(r)) }),
		page("console: overrides of a day", func(r *rand.Rand) string {
			return "/?outcome=override&since=" + timeOf(r.IntN(n)).Format(time.DateOnly)
		}),
		page("console: burden of a week", func(*rand.Rand) string { return "/rates?span=week" }),
		page("console: burden of 12 weeks", func(*rand.Rand) string { return "/rates?span=quarter" }),
		rates("rates of the last day", 1), rates("rates of the last week", 7), rates("rates of all", 36_500),
		trend("burden of the last day, by hour", 24, time.Hour), trend("burden of the last week, by day", 7, 24*time.Hour), trend("burden of 28 days, by day", 28, 24*time.Hour),
		search("AuditEvents of a day", func(_ *rand.Rand, day string) string { return "date=" + day }),
		search("AuditEvents of a patient", func(r *rand.Rand, _ string) string { return "date=ge2026&patient=" + patient(r) }),
		search("AuditEvents of a clinician, since a day, not answered", func(r *rand.Rand, day string) string {
			return fmt.Sprintf("date=ge%s&agent=Practitioner/%d&outcome=8", day, r.IntN(400))
		}),
		search("AuditEvents of readings, before a day", func(_ *rand.Rand, day string) string { return "date=lt" + day + "&type=110101" }),
	)
	return append(out,
		scaled{"a page of a recall by model", func(b *testing.B, h house, r *rand.Rand) (int, error) {
			p, err := query.Recall(b.Context(), h.Log, query.Query{Model: modelOf(r.IntN(3))})
			return len(p.Patients), err
		}},
		scaled{"the twentieth page of a unit", func(b *testing.B, h house, r *rand.Rand) (int, error) {
			leaf := int64(max(1, n-20*100*7))
			rows, _, err := h.Page(b.Context(), audit.Filter{Unit: unit(r), After: &leaf}, query.Budget)
			return len(rows), err
		}},
		scaled{"a receipt with its proof", func(b *testing.B, h house, r *rand.Rand) (int, error) {
			record, err := h.Get(b.Context(), fmt.Sprintf("01920000-0000-7000-8000-%012d", r.IntN(n)))
			if err != nil {
				return 0, err
			}
			_, err = h.ProveInclusion(b.Context(), record.Leaf)
			return 1, err
		}})
}
