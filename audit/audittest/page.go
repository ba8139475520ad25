// SPDX-License-Identifier: Apache-2.0

package audittest

// This file: finding entries. Whatever is asked, in whichever order and however it
// is paged, the answer is the one that going through every entry would give.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
)

// manyEntries fills two blocks of leaves, with clocks that are wrong
// now and then.
const manyEntries = 2300

// crowd makes the i-th entry of a larger hospital, in which times are not in the
// order of leaves.
func crowd(i int) audit.Entry {
	e := Entry(i)
	at := i
	switch {
	case i%400 == 0:
		at += 700 // a clock that is ahead
	case i%250 == 0:
		at -= 900 // a call that took long, or a clock that is behind
	}
	e.Index.Time = time.Date(2026, 11, 22, 8, 0, at, 0, time.UTC)
	e.Index.Patient = fmt.Sprintf("Patient/%d", i%97)
	e.Index.Unit = []string{"MICU", "SICU", ""}[i%3]
	e.Index.Kind = []string{"decision", "decision", "feedback", "read"}[i%4]
	if i%5 == 0 {
		e.Index.Reasons = []string{"blocked", fmt.Sprintf("why-%d", i%3)}
	}
	if i > 1800 {
		e.Index.Drugs = append(e.Index.Drugs, "vasopressin")
	}
	return e
}

// matches says by going through the fields what a filter means.
func matches(f audit.Filter, x audit.Index) bool {
	for _, eq := range [][2]string{{f.Kind, x.Kind}, {f.Patient, x.Patient}, {f.User, x.User}, {f.Unit, x.Unit}, {f.Status, x.Status}, {f.Model, x.Model}} {
		if eq[0] != "" && eq[0] != eq[1] {
			return false
		}
	}
	for _, in := range []struct {
		want string
		of   []string
	}{{f.Drug, x.Drugs}, {f.Rule, x.Rules}, {f.Reason, x.Reasons}} {
		if in.want != "" && !slices.Contains(in.of, in.want) {
			return false
		}
	}
	for _, r := range f.Reasons {
		if !slices.Contains(x.Reasons, r) {
			return false
		}
	}
	return (f.Shown == nil || *f.Shown == x.Shown) && (f.Since.IsZero() || !x.Time.Before(f.Since)) && (f.Until.IsZero() || x.Time.Before(f.Until))
}

// crowded is a log of manyEntries.
func crowded(t *testing.T, place func(testing.TB) Place) (*house, []audit.Entry) {
	h := newHouse(t, place)
	all := make([]audit.Entry, manyEntries) // by leaf
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 32 { // callers, so that batches form
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < manyEntries; i = int(next.Add(1)) - 1 {
				e := crowd(i)
				got, err := h.Append(t.Context(), e)
				if err != nil {
					t.Error(err)
					return
				}
				all[got.Leaf] = e
			}
		})
	}
	wg.Wait()
	return h, all
}

func finding(t *testing.T, place func(testing.TB) Place) {
	h, all := crowded(t, place)
	h.wantOK(manyEntries)
	rapid.Check(t, func(rt *rapid.T) {
		f := drawFilter(rt)
		var want []int64
		for i, e := range all {
			if matches(f, e.Index) {
				want = append(want, int64(i))
			}
		}
		if !f.OldestFirst {
			slices.Reverse(want)
		}
		budget := rapid.SampledFrom([]int{0, 1, 300, 100_000}).Draw(rt, "budget")
		if got := walkPages(rt, t.Context(), h.Log, f, budget); !slices.Equal(got, want) {
			rt.Fatalf("%+v: %d found, want %d: %v, want %v", f, len(got), len(want), got[:min(9, len(got))], want[:min(9, len(want))])
		}
	})
	t.Run("values are listed once, in order, from a place on", func(t *testing.T) {
		for _, tc := range []struct {
			field, prefix, after string
			limit                int
			want                 []string
		}{
			{"unit", "", "", 9, []string{"MICU", "SICU"}},
			{"unit", "S", "", 9, []string{"SICU"}},
			{"unit", "", "MICU", 9, []string{"SICU"}},
			{"drug", "", "", 9, []string{"norepinephrine", "vasopressin"}},
			{"reason", "why-", "", 2, []string{"why-0", "why-1"}},
			{"patient", "Patient/9", "Patient/93", 2, []string{"Patient/94", "Patient/95"}},
			{"model", "z", "", 9, nil},
		} {
			got, err := h.Values(t.Context(), tc.field, tc.prefix, tc.after, tc.limit)
			if err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("%s %q after %q: %v, %v; want %v", tc.field, tc.prefix, tc.after, got, err, tc.want)
			}
		}
		if _, err := h.Values(t.Context(), "body", "", "", 9); err == nil {
			t.Error("values of what is not searchable are listed")
		}
	})
	t.Run("what is counted is what was appended, from packed blocks and from rows", func(t *testing.T) {
		rapid.Check(t, func(rt *rapid.T) {
			f := drawFilter(rt)
			f.Patient, f.User, f.Drug, f.Rule, f.Reason, f.Reasons = "", "", "", "", "", nil
			h.wantCounted(rt, f, all)
		})
		if err := h.EachCounted(t.Context(), audit.Filter{Patient: "Patient/2"}, nil, nil); !errors.Is(err, audit.ErrInvalid) {
			t.Errorf("by patient: %v", err)
		}
	})
	// A block whose times were changed is found. No time of it is left inside: which
	// leaf is its earliest depends on who of the callers came first.
	h.tamper(do(`UPDATE block_time SET min_ns = max_ns + 1, max_ns = max_ns + 1 WHERE block = 1`))
	h.wantBad(1024)
}

// wantCounted wants each entry that matches once, as its index says, in order; and
// then of these those that are wanted besides.
func (h *house) wantCounted(t rapid.TB, f audit.Filter, all []audit.Entry) {
	t.Helper()
	text := func(c audit.Counted) string {
		return fmt.Sprintf("%+v %d %t %v %v %v", *c.Shape, c.TimeNs, c.Shown, c.ID, c.Refers, c.Card)
	}
	for name, wants := range map[string]func(*audit.Shape, bool) bool{
		"all": nil, "some": func(s *audit.Shape, shown bool) bool { return shown || s.Unit == "SICU" },
	} {
		var got, want []string
		for _, e := range all {
			if e.Index.ID == "" || !matches(f, e.Index) {
				continue
			}
			if c := audit.CountedOf(e.Index); wants == nil || wants(c.Shape, c.Shown) {
				want = append(want, text(c))
			}
		}
		err := h.EachCounted(context.Background(), f, wants, func(c *audit.Counted) { got = append(got, text(*c)) })
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%+v, %s: %d counted, want %d, %v", f, name, len(got), len(want), err)
		}
	}
}

// packing: what is packed is checked, goes with what is erased and comes again.
func packing(t *testing.T, place func(testing.TB) Place) {
	h, all := crowded(t, place)
	packed := func(want int64) {
		t.Helper()
		var n int64
		if err := h.db().QueryRow(`SELECT COUNT(*) FROM block_brief`).Scan(&n); err != nil || n != want {
			t.Fatalf("%d blocks are packed, want %d, %v", n, want, err)
		}
	}
	full := int64(manyEntries / 1024)
	packed(full)
	h.wantCounted(t, audit.Filter{}, all)
	for _, leaf := range []int64{7, 9, 1024} {
		h.erase(audit.Selection{ID: all[leaf].Index.ID})
		all[leaf] = audit.Entry{}
	}
	packed(full - 2)
	erasures := func() {
		t.Helper()
		rows, err := h.Query(t.Context(), audit.Filter{Kind: audit.KindErasure, OldestFirst: true})
		if err != nil || len(rows) != 3 {
			t.Fatalf("%d erasures, %v", len(rows), err)
		}
		for _, r := range rows {
			all = append(all, audit.Entry{Index: r.Index})
		}
	}
	erasures()
	h.wantCounted(t, audit.Filter{}, all)
	h.wantOK(manyEntries + 3)
	// The next block that is full brings one of these back.
	for len(all) < int(full+1)*1024 {
		e := crowd(len(all))
		if _, err := h.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	packed(full)
	h.wantCounted(t, audit.Filter{}, all)
	h.wantOK(int64(len(all)))
	db := h.tamper(do(`UPDATE block_brief SET brief = (SELECT brief FROM block_brief WHERE block = 0) WHERE block = 2`))
	h.wantBad(2 * 1024)
	if _, err := db.Exec(`DELETE FROM block_brief WHERE block = 2`); err != nil {
		t.Fatal(err)
	}
	h.wantOK(int64(len(all)))
	if _, err := db.Exec(h.Bind(`INSERT INTO block_brief (block, brief) SELECT 9999, brief FROM block_brief WHERE block = 0`)); err != nil {
		t.Fatal(err)
	}
	h.wantBad(-1)
}

func drawFilter(rt *rapid.T) audit.Filter {
	maybe := func(name string, values ...string) string {
		return rapid.SampledFrom(append([]string{"", "", ""}, values...)).Draw(rt, name)
	}
	instant := func(name string) time.Time {
		if rapid.Bool().Draw(rt, "no "+name) {
			return time.Time{}
		}
		return time.Date(2026, 11, 22, 8, 0, rapid.IntRange(-1000, manyEntries+1000).Draw(rt, name), 0, time.UTC)
	}
	f := audit.Filter{
		Kind: maybe("kind", "decision", "feedback", "none"), Patient: maybe("patient", "Patient/2", "Patient/96"), User: maybe("user", "Practitioner/1"),
		Unit: maybe("unit", "MICU", "SICU"), Status: maybe("status", "abstain"), Model: maybe("model", "m1", "m2"),
		Drug: maybe("drug", "vasopressin", "norepinephrine"), Rule: maybe("rule", "V1", "V3"), Reason: maybe("reason", "why-1"),
		Since: instant("since"), Until: instant("until"), OldestFirst: rapid.Bool().Draw(rt, "oldest first"),
		Limit: rapid.SampledFrom([]int{1000, 100, 7}).Draw(rt, "limit"),
	}
	if rapid.Bool().Draw(rt, "reasons") {
		f.Reasons = []string{"blocked"}
	}
	if rapid.Bool().Draw(rt, "shown is asked") {
		yes := rapid.Bool().Draw(rt, "shown")
		f.Shown = &yes
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && f.Since.Compare(f.Until) >= 0 {
		f.Since = time.Time{}
	}
	// Going through thousands of entries by sevens costs time and shows no more.
	if f.Limit == 7 && cmp.Or(f.Patient, f.Reason) == "" {
		f.Limit = 100
	}
	return f
}

// walkPages reads every page.
func walkPages(rt *rapid.T, ctx context.Context, l *sqllog.Log, f audit.Filter, budget int) []int64 {
	var got []int64
	for range 10 * manyEntries {
		rows, more, err := l.Page(ctx, f, budget)
		if err != nil {
			rt.Fatal(err)
		}
		if len(rows) > f.Limit || more != nil && len(rows) == 0 && budget == 0 {
			rt.Fatalf("a page of %d, more %v", len(rows), more)
		}
		for _, r := range rows {
			got = append(got, r.Leaf)
		}
		if more == nil {
			return got
		}
		f.After = more
	}
	rt.Fatal("the pages do not end")
	return nil
}
