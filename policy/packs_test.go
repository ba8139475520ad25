// SPDX-License-Identifier: Apache-2.0

package policy

// This file: the shipped packs hold: they load, every case comes out, every
// rule has a firing and a silent case, and the words of design.md 5.10 that a
// card never says are not in them.

import (
	"os"
	"strings"
	"testing"
)

func shipped(t testing.TB) *Pack {
	t.Helper()
	p, err := Load(os.DirFS("../configs"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestShippedPacksHoldTheirOwnCases(t *testing.T) {
	rep, err := shipped(t).Test()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range rep.Failures {
		t.Errorf("rule %s, case %q: got %s, want %s", f.Rule, f.Case, f.Got, f.Want)
	}
	for _, b := range rep.Uncovered {
		t.Errorf("%s: rule %s: no case shows %q of its %s being %v", b.At, b.Rule, b.Expression, b.In, b.Never)
	}
	for _, f := range rep.Findings {
		t.Error(f)
	}
	if rep.Cases < 150 || rep.Percent() != 100 || !rep.OK() {
		t.Errorf("%d cases cover %.1f %% of %d branches", rep.Cases, rep.Percent(), rep.Branches)
	}
}

func TestShippedPacksHoldTheRulesTheIssueNames(t *testing.T) {
	have := map[string]Rule{}
	for _, r := range shipped(t).Rules() {
		have[r.ID] = r
	}
	for _, id := range strings.Fields("F1 F4 F11 V1 V3 V4 V8 V9 V10 V11 X1 X2") {
		if _, ok := have[id]; !ok {
			t.Errorf("rule %s is missing", id)
		}
	}
	for _, id := range []string{"G1", "G2"} {
		if _, ok := have[id]; ok {
			t.Errorf("%s is a metric, never a verdict (design.md 5.4)", id)
		}
	}
	if have["V9"].Effect != Warning {
		t.Errorf("V9 warns, never blocks (design.md 5.4); got %s", have["V9"].Effect)
	}
	if !have["V11"].Hazard {
		t.Error("V11 is shown even on abstention (design.md 5.7)")
	}
}

func TestShippedPacksNeverSayWhatACardMustNot(t *testing.T) {
	for _, r := range shipped(t).Rules() {
		for _, word := range []string{"optimal", "safe", "reduces death", "adequately resuscitated", "no sepsis", "mortality"} {
			if strings.Contains(strings.ToLower(r.Text+r.Title), word) {
				t.Errorf("rule %s says %q", r.ID, word)
			}
		}
	}
}
