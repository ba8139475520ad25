// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: design.md 5.11 end to end: what is shown with and without a local
// validation, a kill switch and drift, and the receipt of every change.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/cdshooks/validation"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// site is a clinic whose display is governed as at a hospital.
type site struct {
	*clinic
	deps   Deps
	record string // file of the validation record
	kill   string // file of the kill switch
	key    *audit.Key
}

// siteHashes are what a site's decisions are made with.
func siteHashes() engine.Hashes {
	hash := func(digit string) string { return strings.Repeat(digit, 64) }
	return engine.Hashes{Build: "test", Model: hash("1"), Rules: hash("2"), CodeMaps: hash("3"), Config: hash("4")}
}

// openSite starts a site in mode suggest, without a validation record.
func openSite(t *testing.T, change func(*Deps, *trust.Client)) *site {
	t.Helper()
	key, _, err := audit.NewKey(nil, "site.example/validation")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := &site{record: filepath.Join(dir, "validation.note"), kill: filepath.Join(dir, "stop"), key: key}
	s.clinic = open(t, func(d *Deps, client *trust.Client) {
		native, err := agent.New(world.Persistence{}, fixtures().pack, agent.DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		d.Hashes, d.Validated = siteHashes(), nil
		if d.Decider, err = engine.New(native, d.Hashes, engine.DefaultConfig()); err != nil {
			t.Fatal(err)
		}
		d.Config.KillSwitchFile = s.kill
		d.Config.Validation = validation.Config{File: s.record, Key: key.Verifier().String()}
		d.Config.Drift.FalseAlarm = 100
		if change != nil {
			change(d, client)
		}
		s.deps = *d
	})
	s.deps.Trust = s.service.Trust
	return s
}

// accept writes a validation record, accepted now.
func (s *site) accept(change func(*validation.Record)) {
	s.t.Helper()
	h, now := siteHashes(), s.clock().UTC().Truncate(time.Second)
	r := &validation.Record{
		Site: "site", Operator: "Dr Example", Accepted: now, Until: now.Add(24 * time.Hour), Software: "test",
		Covers: validation.Covers{Model: h.Model, Rules: h.Rules, CodeMaps: h.CodeMaps, Config: h.Config},
		Cohort: h.Model, Patients: 100, Stays: 100, Decisions: 1000, Measures: []validation.Measure{{Name: "interval80_coverage", Value: 0.8}},
	}
	if change != nil {
		change(r)
	}
	data, err := r.Sign(s.key)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(s.record+".new", data, 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(s.record+".new", s.record); err != nil {
		s.t.Fatal(err)
	}
}

// shows fires a hook of a user who has seen nothing yet and checks mode and code.
func (s *site) shows(mode, code string) {
	s.t.Helper()
	s.wait(time.Second)
	cards := s.view(physiology.SepticShock, func(b map[string]any) {
		b["context"].(map[string]any)["userId"] = fmt.Sprintf("Practitioner/dr-%d", s.clock().Unix())
	}).cards()
	d := s.lastDecision().Display
	if d.Mode != mode || d.Code != code {
		s.t.Fatalf("display %+v, want %s (%q)", d, mode, code)
	}
	if (len(cards) == 0) != (mode == trust.DisplaySilent) {
		s.t.Fatalf("%d cards in mode %s", len(cards), mode)
	}
	for _, card := range cards {
		if dose := strings.Contains(card.Summary, "ug/kg/min"); dose != (mode == trust.DisplaySuggest) {
			s.t.Fatalf("mode %s shows %q", mode, card.Summary)
		}
	}
}

// changes are the recorded changes, oldest first.
func (s *site) changes() (out []DisplayChange) {
	s.t.Helper()
	rows, err := s.log.Query(context.Background(), audit.Filter{Kind: KindDisplay, OldestFirst: true})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, row := range rows {
		stored, err := s.log.Get(context.Background(), row.Index.ID)
		if err != nil {
			s.t.Fatal(err)
		}
		var c DisplayChange
		if err := json.Unmarshal(stored.Body, &c); err != nil {
			s.t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

// wantChanges checks what, state and operator of every recorded change.
func (s *site) wantChanges(want ...string) {
	s.t.Helper()
	var got []string
	for _, c := range s.changes() {
		got = append(got, strings.TrimSpace(c.What+" "+c.State+" "+c.Operator))
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("receipts of changes\n%q, want\n%q", got, want)
	}
}

func TestSuggestNeedsAValidationInForce(t *testing.T) {
	for _, c := range []struct {
		name   string
		record func(*validation.Record) // nil with none: there is no record
		none   bool
		mode   string
		code   validation.Code
	}{
		{"5.11 with a valid record suggest suggests", nil, false, trust.DisplaySuggest, ""},
		{"5.11 without a record suggest works as inform", nil, true, trust.DisplayInform, validation.NotValidated},
		{"5.11 with a record of another model suggest works as inform", func(r *validation.Record) { r.Covers.Model = strings.Repeat("a", 64) }, false, trust.DisplayInform, validation.WrongModel},
		{"5.11 with a record of other rules suggest works as inform", func(r *validation.Record) { r.Covers.Rules = strings.Repeat("a", 64) }, false, trust.DisplayInform, validation.WrongRules},
		{"5.11 with a record of another unit suggest works as inform", func(r *validation.Record) { r.Units = []string{"Elsewhere"} }, false, trust.DisplayInform, validation.WrongUnit},
		{"5.11 with a record of another client suggest works as inform", func(r *validation.Record) { r.Clients = []string{"other"} }, false, trust.DisplayInform, validation.WrongClient},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openSite(t, nil)
			if !c.none {
				s.accept(c.record)
			}
			s.shows(c.mode, string(c.code))
		})
	}
}

func TestAValidationComesAndEndsWithoutARestart(t *testing.T) {
	s := openSite(t, nil)
	s.shows(trust.DisplayInform, string(validation.NotValidated))
	s.wantChanges()
	s.accept(nil)
	s.shows(trust.DisplaySuggest, "")
	s.shows(trust.DisplaySuggest, "")
	s.wantChanges("validation in-force Dr Example")
	s.wait(25 * time.Hour)
	s.service.look(context.Background()) // the worker's tick: nobody calls
	s.wantChanges("validation in-force Dr Example", "validation expired Dr Example")
	if r := s.get("/readyz"); r.status != 200 || !strings.Contains(string(r.body), "display suggest works as inform: the local validation expired") {
		t.Errorf("/readyz says %s", r.body)
	}
}

func TestTheKillSwitchActsWithinOneCallAndLeavesReceipts(t *testing.T) {
	s := openSite(t, nil)
	s.accept(nil)
	s.shows(trust.DisplaySuggest, "")
	if err := os.WriteFile(s.kill, []byte("operator: Nurse Lead\nwhy: wrong weights on ward 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.shows(trust.DisplaySilent, LoweredKilled)
	s.shows(trust.DisplaySilent, LoweredKilled)
	if r := s.get("/readyz"); r.status != 200 || !strings.Contains(string(r.body), "kill switch") {
		t.Errorf("/readyz says %s", r.body)
	}
	if err := os.Remove(s.kill); err != nil {
		t.Fatal(err)
	}
	s.shows(trust.DisplaySuggest, "")
	s.wantChanges("validation in-force Dr Example", "kill-switch on Nurse Lead", "kill-switch off")
	if note := s.changes()[1].Note; note != "wrong weights on ward 3" {
		t.Errorf("the receipt says why: %q", note)
	}
}

// miss adds comparisons whose pressure lay outside the interval.
func (s *site) miss(n int) {
	s.t.Helper()
	client := s.service.Trust.Clients()[0]
	for range n {
		one := seen{at: s.clock(), place: placeOf(client, "MICU"), unit: "MICU", patient: "Patient/x"}
		c := Comparison{Schema: ComparisonSchema, Decision: "d", At: s.clock(), GoalMmHg: 65, Chance: 0.9, Lo80MmHg: 60, Hi80MmHg: 70, MAPMmHg: 50}
		if err := s.service.noteComparison(context.Background(), one, &c); err != nil {
			s.t.Fatal(err)
		}
	}
}

// restart makes the service again on the same log.
func (s *site) restart(change func(*Deps)) *Service {
	s.t.Helper()
	d := s.deps
	if change != nil {
		change(&d)
	}
	again, err := New(d)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := again.Start(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(again.Close)
	return again
}

func TestDriftFallsBackToSilentUntilAnOperatorActs(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*site) []string // gives the last receipt, with the operator
	}{
		{"5.11 drift is silent until a newer validation", func(s *site) []string {
			s.wait(time.Minute)
			s.accept(nil)
			s.shows(trust.DisplaySuggest, "")
			return []string{"validation in-force Dr Example", "drift off Dr Example"}
		}},
		{"5.11 drift survives a restart and ends by a reset of the configuration", func(s *site) []string {
			client := s.service.Trust.Clients()[0]
			again := s.restart(nil)
			if d := again.display(context.Background(), client, "MICU", "Practitioner"); d.Mode != trust.DisplaySilent || d.Code != LoweredDrift {
				s.t.Errorf("after a restart it shows %+v", d)
			}
			reset := s.restart(func(d *Deps) {
				d.Config.Drift.Resets = []DriftReset{{Client: client.Name, Before: s.clock().Add(time.Hour), Operator: "Dr Head", Why: "the new monitors are calibrated"}}
			})
			if d := reset.display(context.Background(), client, "MICU", "Practitioner"); d.Mode != trust.DisplaySuggest {
				s.t.Errorf("after the reset it shows %+v", d)
			}
			if sum := reset.drifts()[0].Summary; sum.Outcomes != 0 {
				s.t.Errorf("a reset begins anew: %+v", sum)
			}
			return []string{"drift off Dr Head"}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openSite(t, nil)
			s.accept(nil)
			s.shows(trust.DisplaySuggest, "")
			s.miss(5)
			s.shows(trust.DisplaySuggest, "")
			s.miss(40)
			s.shows(trust.DisplaySilent, LoweredDrift)
			s.shows(trust.DisplaySilent, LoweredDrift)
			if r := s.get("/readyz"); !strings.Contains(string(r.body), "forecasts no longer hold") {
				t.Errorf("/readyz says %s", r.body)
			}
			s.wantMetrics(`sepsisagent_display_silenced{client="ehr",unit=""} 1`, `sepsisagent_forecasts_compared_total{client="ehr",result="outside"} 45`)
			want := []string{"validation in-force Dr Example", "drift on"}
			s.wantChanges(want...)
			if e := s.changes()[1].Evidence; e == nil || e.Evidence < 100 || e.Inside != 0 {
				t.Errorf("the receipt's evidence: %+v", e)
			}
			s.wantChanges(append(want, c.end(s)...)...)
		})
	}
}

func TestEvidenceOfDriftSurvivesARestart(t *testing.T) {
	s := openSite(t, nil)
	s.miss(7)
	before := s.service.drifts()[0].Summary
	if after := s.restart(nil).drifts()[0].Summary; before.Outcomes != 7 || after != before {
		t.Errorf("%+v, after a restart %+v", before, after)
	}
}

func TestAnOldValidationDoesNotEndADrift(t *testing.T) {
	s := openSite(t, nil)
	s.accept(nil)
	s.wait(time.Minute)
	s.miss(45)
	s.shows(trust.DisplaySilent, LoweredDrift)
	s.accept(func(r *validation.Record) {
		r.Accepted, r.Units = r.Accepted.Add(-30*time.Second), nil // signed anew, but before the drift was found
	})
	s.shows(trust.DisplaySilent, LoweredDrift)
	s.wait(time.Minute)
	s.accept(func(r *validation.Record) { r.Units = []string{"Elsewhere"} })
	s.shows(trust.DisplaySilent, LoweredDrift)
	if lines := s.service.Lowered(); len(lines) != 2 || !strings.Contains(lines[1], "outside the units that the local validation covers: Elsewhere") {
		t.Errorf("%q", lines)
	}
}

// A raise of the display that cannot be recorded does not happen; a lowering
// does.
func TestWhatCannotBeRecordedIsNotShown(t *testing.T) {
	var broken *failingLog
	s := openSite(t, func(d *Deps, _ *trust.Client) {
		broken = &failingLog{Log: d.Log}
		d.Log = broken
	})
	client, ctx := s.service.Trust.Clients()[0], context.Background()
	shows := func(mode, code string) {
		t.Helper()
		if d := s.service.display(ctx, client, "MICU", "Practitioner"); d.Mode != mode || d.Code != code {
			t.Fatalf("%+v, want %s (%q)", d, mode, code)
		}
	}
	broken.fails.Store(true)
	s.accept(nil)
	shows(trust.DisplayInform, string(validation.NotRecorded))
	broken.fails.Store(false)
	shows(trust.DisplaySuggest, "")
	broken.fails.Store(true)
	if err := os.WriteFile(s.kill, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	shows(trust.DisplaySilent, LoweredKilled)
	broken.fails.Store(false)
	shows(trust.DisplaySilent, LoweredKilled)
	broken.fails.Store(true)
	if err := os.Remove(s.kill); err != nil {
		t.Fatal(err)
	}
	shows(trust.DisplaySilent, LoweredKilled)
	broken.fails.Store(false)
	shows(trust.DisplaySuggest, "")
	s.wantChanges("validation in-force Dr Example", "kill-switch on", "kill-switch off")
}

// failingLog refuses to append while it fails.
type failingLog struct {
	Log
	fails atomic.Bool
}

func (l *failingLog) Append(ctx context.Context, e audit.Entry) (audit.Appended, error) {
	if l.fails.Load() {
		return audit.Appended{}, errors.New("disk full")
	}
	return l.Log.Append(ctx, e)
}
