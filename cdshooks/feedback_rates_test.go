// SPDX-License-Identifier: Apache-2.0

package cdshooks

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
)

func TestRatesCountTheLastWordAndNeverSilence(t *testing.T) {
	c := open(t, nil)
	by := func(user string) func(map[string]any) {
		return func(b map[string]any) { b["context"].(map[string]any)["userId"] = user }
	}
	first := c.view(physiology.SepticShock, by("Practitioner/a")).cards()[0]
	second := c.view(physiology.SepticShock, by("Practitioner/b")).cards()[0]
	c.view(physiology.SepticShock, by("Practitioner/c")).cards() // nobody says anything about it
	third := c.view(physiology.SepticShock, by("PractitionerRole/d")).cards()[0]
	reason := map[string]any{"overrideReason": map[string]any{"reason": map[string]string{"code": "patient-refuses", "system": "s"}}}
	late := overridden(second.UUID, reason)
	late["outcomeTimestamp"] = "2026-03-01T09:06:00Z"
	// The last word arrives first, an override is told twice, and one is of no card.
	for _, items := range [][]map[string]any{{late}, {late, accepted(second)}, {accepted(first)}, {accepted(third)}, {overridden("unknown", reason)}} {
		if r := c.feedback(items...); r.status != 200 {
			t.Fatalf("%d %s", r.status, r.body)
		}
	}
	half, one, none := 0.5, 1.0, 0.0
	rates, err := Rates(context.Background(), c.log, audit.Filter{})
	if err != nil || len(rates) != 2 {
		t.Fatalf("%+v %v", rates, err)
	}
	topic, unit, model := rates[0].Topic, rates[0].Unit, rates[0].Model
	if topic == "" || model == "" {
		t.Errorf("%+v", rates[0])
	}
	want := []Rate{
		{Topic: topic, Unit: unit, Model: model, Role: "Practitioner", Shown: 3, Accepted: 1, Overridden: 1, Unanswered: 1,
			AcceptedShare: &half, OverriddenShare: &half, OverrideReasons: map[string]int{"patient-refuses": 1}},
		{Topic: topic, Unit: unit, Model: model, Role: "PractitionerRole", Shown: 1, Accepted: 1, AcceptedShare: &one, OverriddenShare: &none},
	}
	if diff := cmp.Diff(want, rates); diff != "" {
		t.Error(diff)
	}
	if rates, err = Rates(context.Background(), c.log, audit.Filter{Unit: "elsewhere"}); err != nil || len(rates) != 0 {
		t.Errorf("%+v %v", rates, err)
	}
	// The same by period: the calls of a period, and what was said of them whenever.
	rows, err := c.log.Query(context.Background(), audit.Filter{Kind: KindDecision, OldestFirst: true})
	if err != nil || len(rows) != 4 {
		t.Fatalf("%d decisions, %v", len(rows), err)
	}
	begin := rows[0].Index.Time.Add(-time.Hour)
	trend, groups, err := Trend(context.Background(), c.log, audit.Filter{}, []time.Time{begin, rows[0].Index.Time, rows[3].Index.Time.Add(time.Second), begin.Add(48 * time.Hour)})
	if err != nil || len(trend) != 3 {
		t.Fatalf("%+v %v", trend, err)
	}
	if all, err := Rates(context.Background(), c.log, audit.Filter{}); err != nil || !cmp.Equal(groups, all) {
		t.Errorf("%v: %s", err, cmp.Diff(all, groups))
	}
	for i, calls := range []int{0, 4, 0} {
		p := trend[i]
		if p.Calls != calls || p.Shown != calls || p.Accepted != calls/2 || p.Overridden != calls/4 || p.Unanswered != calls/4 {
			t.Errorf("period %d: %+v", i, p)
		}
	}
}
