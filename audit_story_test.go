// SPDX-License-Identifier: Apache-2.0

package main

// This file: stories of the demonstration's calls, and what was given afterwards.

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/story"
)

func TestAStoryTellsWhatWasKnownWeighedReturnedAndDone(t *testing.T) {
	d := startDemo(t)
	for range 2 {
		for _, id := range d.ehr.PatientIDs() {
			if _, err := d.ehr.Fire(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
	}
	key := strings.TrimSuffix(d.log.Name(), "audit.db") + demoKey
	var found struct{ Entries []audit.Row }
	sepsisagent(t, "audit", "query", "--db", d.log.Name(), "--key", key, "--outcome", "suggest", "--oldest-first", "--json").want(exitOK).object(&found)
	if len(found.Entries) == 0 {
		t.Fatal("no suggestions")
	}
	first := found.Entries[0].Index
	var s story.Story
	sepsisagent(t, "audit", "story", first.ID, "--db", d.log.Name(), "--key", key, "--json").want(exitOK).object(&s)
	if s.Status != "suggest" || s.Patient != first.Patient || len(s.Known) < 5 || len(s.Options) < 2 || len(s.Cards) == 0 || s.Hashes == nil || s.Advice == nil {
		data, _ := json.Marshal(s)
		t.Fatalf("%.2000s", data)
	}
	for _, v := range s.Known {
		if v.Available.After(s.At) {
			t.Errorf("%s was available at %v, after the decision at %v", v.What, v.Available, s.At)
		}
	}
	chosen, unsaid := 0, 0
	for _, o := range s.Options {
		if o.Role == "suggested" {
			chosen++
		} else if o.Why == "" && !o.Blocked && o.Role != "current" {
			unsaid++
		}
	}
	if chosen != 1 || unsaid > 0 {
		t.Errorf("%d options chosen, %d not chosen without why", chosen, unsaid)
	}
	a := s.Afterwards
	if a.Receipts == 0 || len(a.Points) != a.Receipts || a.Points[0].MAPMmHg == nil {
		t.Errorf("afterwards %+v", a)
	}
	if a.Vasopressor == nil && a.Fluid == nil {
		t.Error("what was suggested is not set beside what was given")
	}
	if len(s.ReadBy) == 0 {
		t.Error("nobody read it, although this was a reading")
	}
	sepsisagent(t, "audit", "story", first.ID, "--db", d.log.Name(), "--key", key).want(exitOK).prints("KNOWN", "ARRIVED LATER", "OPTION", "RETURNED", "AFTERWARDS", "READ BY")
	sepsisagent(t, "audit", "story", "--db", d.log.Name(), "--key", key).want(exitMisuse).says("record id")
	sepsisagent(t, "audit", "story", "nobody", "--db", d.log.Name(), "--key", key).want(exitFailed).says("no such entry")
	var after struct {
		Suggestions []afterwardsRow
		Vasopressor map[string]int
	}
	sepsisagent(t, "audit", "afterwards", "--db", d.log.Name(), "--key", key, "--json").want(exitOK).object(&after)
	if len(after.Suggestions) != len(found.Entries) {
		t.Errorf("%d suggestions of %d", len(after.Suggestions), len(found.Entries))
	}
	sepsisagent(t, "audit", "afterwards", "--db", d.log.Name(), "--key", key).want(exitOK).prints("vasopressor suggestions:")
	var recalled struct {
		Patients []struct{ Patient string }
	}
	sepsisagent(t, "audit", "query", "--patients", "--model", first.Model[:10], "--db", d.log.Name(), "--key", key, "--kind", "decision", "--json").want(exitOK).object(&recalled)
	if len(recalled.Patients) != len(d.ehr.PatientIDs()) {
		t.Errorf("%d patients recalled, %d were advised", len(recalled.Patients), len(d.ehr.PatientIDs()))
	}
	if r, err := d.log.Verify(t.Context()); err != nil || !r.OK {
		t.Errorf("%+v, %v", r, err)
	}
}
