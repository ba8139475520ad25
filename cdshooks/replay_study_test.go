// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: comparisons of recorded decisions with those of another model.

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
)

func TestAStudyCountsWhatAnotherModelWouldSay(t *testing.T) {
	c := open(t, nil)
	for s := range fixtures().patients {
		c.view(s, nil)
	}
	deps := c.replayDeps()
	deps.Decider, deps.Hashes = otherDecider(t, shifted{}, fixtures().pack)
	same, other := NewStudy(c.service.Hashes), NewStudy(deps.Hashes)
	for _, r := range c.records(KindDecision) {
		same.Add(c.replay(r, c.replayDeps()))
		other.Add(c.replay(r, deps))
	}
	n := len(fixtures().patients)
	if same.Replayed != n || same.Identical != n || len(same.Shifts) != 0 || len(same.Examples) != 0 {
		t.Errorf("the same model: %+v", same)
	}
	if other.Replayed != n || other.Identical == n || other.Identical+other.Alike+other.Changed+other.Unmade != n {
		t.Errorf("another model: %+v", other)
	}
	shifts := 0
	for _, x := range other.Shifts {
		if x.Was == x.Now || x.Count < 1 {
			t.Errorf("%+v is no change", x)
		}
		shifts += x.Count
	}
	fields := 0
	for _, count := range other.ByField {
		fields += count
	}
	if shifts != fields || len(other.Examples) != min(other.Changed, MaxExamples) {
		t.Errorf("%d shifts for %d changed fields, %d examples of %d", shifts, fields, len(other.Examples), other.Changed)
	}
	text, err := json.Marshal(other)
	if err != nil || strings.Contains(string(text), "Patient/") || strings.Contains(string(text), "Practitioner/") {
		t.Errorf("%v: a study names somebody: %s", err, text)
	}
}

func TestADecisionThatCannotBeMadeAgainIsUnmade(t *testing.T) {
	c := open(t, nil)
	c.view(physiology.SepticShock, nil)
	r := c.copied()
	r.Receipt.Records = nil
	s := NewStudy(c.service.Hashes)
	report := c.replay(r, c.replayDeps())
	s.Add(report)
	if report.OK || s.Identical != 0 || s.Replayed != 1 {
		t.Errorf("%+v %+v", report, s)
	}
	s.Add(ReplayReport{Decided: true, Was: &Said{}})
	s.Add(ReplayReport{Kind: KindRefusal, OK: true})
	if s.Unmade < 1 || s.Replayed != 2 {
		t.Errorf("%+v", s)
	}
}

func TestShiftsAreInOneOrderWhateverTheOrderOfDecisions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		statuses := []string{"suggest", "affirm", "abstain"}
		pairs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) [2]string {
			return [2]string{rapid.SampledFrom(statuses).Draw(t, "was"), rapid.SampledFrom(statuses).Draw(t, "now")}
		}), 0, 30).Draw(t, "decisions")
		of := func(pairs [][2]string) *Study {
			s := NewStudy(engine.Hashes{})
			for _, p := range pairs {
				s.Add(ReplayReport{Decided: true, Was: &Said{Status: p[0]}, Now: &Said{Status: p[1]}})
			}
			s.Sort()
			return s
		}
		a := of(pairs)
		slices.Reverse(pairs)
		b := of(pairs)
		if !slices.Equal(a.Shifts, b.Shifts) || a.Changed != b.Changed || a.Alike+a.Changed != len(pairs) {
			t.Fatalf("%+v\n%+v", a, b)
		}
	})
}

func TestNumbersWithinTheToleranceAreNearAndOthersDiffer(t *testing.T) {
	for _, c := range []struct {
		a, b      string
		tolerance float64
		near      int
		same      bool
	}{
		{`{"x":1.0000000001}`, `{"x":1}`, 1e-9, 1, true},
		{`{"x":1.0000000001}`, `{"x":1}`, 0, 0, false},
		{`{"x":1.00000001}`, `{"x":1}`, 1e-9, 0, false},
		{`{"x":[1e12,"a"]}`, `{"x":[1000000000001,"a"]}`, 1e-9, 1, true},
		{`{"x":1e-10}`, `{"x":0}`, 1e-9, 1, true},
		{`{"x":"1.0000000001"}`, `{"x":"1"}`, 1e-9, 0, false},
		{`{"x":1}`, `{"x":null}`, 1e-9, 0, false},
	} {
		r := ReplayReport{OK: true, tolerance: c.tolerance}
		if err := r.compare("p", json.RawMessage(c.a), json.RawMessage(c.b)); err != nil {
			t.Fatal(err)
		}
		if r.OK != c.same || r.Near != c.near || c.same != (len(r.Differences) == 0) {
			t.Errorf("%s and %s at %g: %+v", c.a, c.b, c.tolerance, r)
		}
	}
	if r := (ReplayReport{tolerance: 1e-9}); r.near(json.Number("NaN"), json.Number("1")) {
		t.Error("not a number is near")
	}
}
