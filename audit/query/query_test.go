// SPDX-License-Identifier: Apache-2.0

package query_test

// This file: reading questions, naming hashes, cursors and recalls, on a real log.

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/query"
	"github.com/sepsisagent/sepsisagent/audit/sqlite"
	"github.com/sepsisagent/sepsisagent/audit/sqlite/sqlitetest"
)

func hash(of string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(of))) }

// log has thirty decisions of six patients at two clients with two models, and
// what else a log has.
func log(t testing.TB) *sqlite.Log {
	t.Helper()
	l := sqlitetest.New(t, sqlite.Options{})
	start, err := json.Marshal(map[string]any{"schema": "sepsisagent.start/1", "model": map[string]string{"version": "1.2.3"}})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	add := func(ix audit.Index, body []byte) {
		n++
		ix.ID, ix.Time = fmt.Sprintf("id-%03d", n), time.Date(2026, 11, 22, 8, n, 0, 0, time.UTC)
		if _, err := l.Append(context.Background(), audit.Entry{Index: ix, Salt: make([]byte, 32), Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	add(audit.Index{Kind: "config", Model: hash("a"), RulesHash: hash("r")}, start)
	for i := range 30 {
		ix := audit.Index{
			Kind: "decision", Client: []string{"east", "west"}[i%2], Patient: fmt.Sprintf("p%d", i%6/2*2), User: "Practitioner/1", Unit: "MICU",
			Status: []string{"suggest", "affirm", "abstain"}[i%3], Model: hash([]string{"a", "b"}[i/20]), RulesHash: hash("r"), Shown: i%3 == 0,
		}
		if i%10 == 0 {
			ix.Reasons = []string{"blocked", "suppressed"}
		}
		add(ix, []byte("{}"))
	}
	add(audit.Index{Kind: "feedback", Patient: "p0", Outcome: "overridden", Reasons: []string{"too-late"}, Refers: "id-002"}, []byte("{}"))
	add(audit.Index{Kind: "feedback", Patient: "p0", Outcome: "accepted", Refers: "id-002"}, []byte("{}"))
	add(audit.Index{Kind: "refusal", HTTP: 401, Reasons: []string{"signature"}}, []byte("{}"))
	add(audit.Index{Kind: "failure", HTTP: 412, Reasons: []string{"unobtainable"}}, []byte("{}"))
	return l
}

func TestAQuestionFindsWhatItAsksFor(t *testing.T) {
	l := log(t)
	for _, tc := range []struct {
		name string
		q    query.Query
		want int
	}{
		{"everything", query.Query{}, 35},
		{"a patient", query.Query{Patient: "p0"}, 12},
		{"a clinician", query.Query{Clinician: "Practitioner/1"}, 30},
		{"suggestions", query.Query{Outcome: query.Suggest}, 10},
		{"abstentions of one client", query.Query{Outcome: query.Abstain, Client: "east"}, 5},
		{"blocked", query.Query{Outcome: query.Blocked}, 3},
		{"blocked, with another reason", query.Query{Outcome: query.Blocked, Reason: "suppressed"}, 3},
		{"suppressed", query.Query{Outcome: query.Suppressed}, 3},
		{"refused", query.Query{Outcome: query.Refused}, 1},
		{"failed", query.Query{Outcome: query.Failed}, 1},
		{"accepted", query.Query{Outcome: query.Accepted}, 1},
		{"overrides with a reason", query.Query{Outcome: query.Override, Reason: "too-late"}, 1},
		{"overrides with a reason nobody gave", query.Query{Outcome: query.Override, Reason: "other"}, 0},
		{"a model by its hash", query.Query{Model: hash("b")}, 10},
		{"a model by the beginning of its hash", query.Query{Model: hash("b")[:8]}, 10},
		{"a model by its version", query.Query{Model: "1.2.3"}, 21},
		{"a version there never was", query.Query{Model: "9.9.9"}, 0},
		{"rules by the beginning of their hash", query.Query{Rules: hash("r")[:12], Kind: "decision"}, 30},
		{"code maps there never were", query.Query{CodeMaps: "0123456789"}, 0},
		{"a span of time", query.Query{Since: time.Date(2026, 11, 22, 8, 5, 0, 0, time.UTC), Until: time.Date(2026, 11, 22, 8, 10, 0, 0, time.UTC)}, 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := query.Run(t.Context(), l, tc.q)
			if err != nil || len(p.Entries) != tc.want || p.Next != "" {
				t.Errorf("%d found, next %q, %v; want %d", len(p.Entries), p.Next, err, tc.want)
			}
		})
	}
}

func TestAFilterOfWhatTheLogDoesNotKnowIsAnErrorAndNotAnEmptyAnswer(t *testing.T) {
	l := log(t)
	f, err := query.Query{Patient: "p0", Outcome: query.Override, Model: hash("a")[:10]}.Filter(t.Context(), l)
	if err != nil || f.Patient != "p0" || f.Outcome != "overridden" || f.Kind != "feedback" || f.Model != hash("a") {
		t.Errorf("%+v, %v", f, err)
	}
	if f, err := (query.Query{Rules: hash("none")[:10]}).Filter(t.Context(), l); !errors.Is(err, query.ErrQuestion) {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestPagesHoldEveryEntryOnceInEitherOrder(t *testing.T) {
	l := log(t)
	for _, oldest := range []bool{false, true} {
		q := query.Query{Kind: "decision", Limit: 7, OldestFirst: oldest}
		var leaves []int64
		for {
			p, err := query.Run(t.Context(), l, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range p.Entries {
				leaves = append(leaves, r.Leaf)
			}
			if p.Next == "" {
				break
			}
			q.Cursor = p.Next
		}
		if !oldest {
			slices.Reverse(leaves)
		}
		if len(leaves) != 30 || !slices.IsSorted(leaves) {
			t.Errorf("oldest first %v: %v", oldest, leaves)
		}
	}
}

func TestACursorBelongsToItsQuestion(t *testing.T) {
	l := log(t)
	p, err := query.Run(t.Context(), l, query.Query{Kind: "decision", Limit: 5})
	if err != nil || p.Next == "" {
		t.Fatal(p, err)
	}
	for name, q := range map[string]query.Query{
		"another question": {Kind: "feedback", Cursor: p.Next},
		"another order":    {Kind: "decision", OldestFirst: true, Cursor: p.Next},
		"not base64":       {Kind: "decision", Cursor: "!"},
		"cut":              {Kind: "decision", Cursor: p.Next[:9]},
		"of a recall":      {Kind: "decision", Cursor: "Ag" + p.Next[2:]},
	} {
		if _, err := query.Run(t.Context(), l, q); !errors.Is(err, query.ErrCursor) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestARecallListsEveryPatientOnceAtEachClient(t *testing.T) {
	l := log(t)
	var all []query.Affected
	q := query.Query{Model: hash("a"), Kind: "decision", Limit: 2}
	for {
		p, err := query.Recall(t.Context(), l, q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p.Patients...)
		if p.Next == "" {
			break
		}
		q.Cursor = p.Next
	}
	total := 0
	var names []string
	for _, a := range all {
		total += a.Entries
		names = append(names, a.Patient+" "+a.Client)
		if a.First.After(a.Last) || a.Shown > a.Entries {
			t.Errorf("%+v", a)
		}
	}
	if want := []string{"p0 east", "p0 west", "p2 east", "p2 west", "p4 east", "p4 west"}; !slices.Equal(names, want) || total != 20 {
		t.Errorf("%v with %d entries", names, total)
	}
	if p, err := query.Recall(t.Context(), l, query.Query{Model: hash("b"), Patient: "p4"}); err != nil || len(p.Patients) != 2 || p.Next != "" {
		t.Errorf("one patient: %+v, %v", p, err)
	}
}

func TestParametersAreReadStrictlyAndWrittenBack(t *testing.T) {
	v, err := url.ParseQuery("patient=p1&outcome=override&reason=x&since=2026-11-22&until=2026-11-23T01:02:03Z&limit=5&order=oldest&shown=true&model=abcdef0123")
	if err != nil {
		t.Fatal(err)
	}
	q, err := query.Parse(v)
	if err != nil {
		t.Fatal(err)
	}
	again, err := query.Parse(q.URL())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(q, again); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{
		"patients=p1", "patient=a&patient=b", "since=yesterday", "limit=many", "limit=-1", "limit=100000", "order=up", "shown=perhaps",
		"outcome=fine", "outcome=suggest&kind=feedback", "since=2026-11-23&until=2026-11-22", "patient=" + strings.Repeat("a", 5000),
	} {
		v, err := url.ParseQuery(bad)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := query.Parse(v); !errors.Is(err, query.ErrQuestion) || !errors.Is(err, audit.ErrInvalid) {
			t.Errorf("%.40s: %v", bad, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"patient=p1&since=2026-11-22", "cursor=AQ", "order=oldest&shown=false&limit=1000", "a=%00&b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := url.ParseQuery(s)
		if err != nil {
			return
		}
		q, err := query.Parse(v)
		if err != nil {
			return
		}
		again, err := query.Parse(q.URL())
		if err != nil || !cmp.Equal(q, again) {
			t.Fatalf("%+v came back as %+v, %v", q, again, err)
		}
	})
}
