// SPDX-License-Identifier: Apache-2.0

package engine_test

// This file: receipts keep what is needed, prove it, and tell no outcome.

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

func receipt(t testing.TB, c *state.Chart, cs engine.Case) engine.Receipt {
	t.Helper()
	d := decider(t, native(t))
	r, err := d.Receipt(cs, c, outcome(t, d, cs))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAReceiptHoldsWhatTheDecisionRestsOn(t *testing.T) {
	c, cs := chart(t, physiology.SepticShock), caseOf(t, physiology.SepticShock)
	r := receipt(t, c, cs)
	digest, err := cs.Timeline.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if r.Schema != engine.ReceiptSchema || r.ID != cs.ID || r.TimelineDigest != digest || !r.At.Equal(cs.Timeline.At) || r.Hashes != hashes || r.Model.Kind == "" {
		t.Errorf("receipt %+v", r)
	}
	if r.Case.Timeline != nil {
		t.Error("the timeline is stored although it is built again from the records")
	}
	if len(r.Records) == 0 || len(r.Records) > len(c.Records) {
		t.Errorf("%d records kept of %d", len(r.Records), len(c.Records))
	}
	if cs.Timeline == nil {
		t.Error("the caller's case was changed")
	}
}

func TestAReceiptTellsNoOutcome(t *testing.T) {
	c := *chart(t, physiology.SepticShock)
	c.Stay.DiedInHospital, c.Stay.OutcomeKnown, c.Stay.DiedWithin90d, c.Stay.Died90dKnown = true, true, true, true
	c.Stay.DeathTime, c.Stay.End = now.Add(30*time.Hour), now.Add(30*time.Hour)
	c.Records = append([]state.Record(nil), c.Records...)
	for i := range c.Records {
		c.Records[i].Deceased, c.Records[i].Disposition = "2026-03-02", "exp"
	}
	r := receipt(t, &c, caseOf(t, physiology.SepticShock))
	if r.Stay.DiedInHospital || r.Stay.OutcomeKnown || r.Stay.DiedWithin90d || r.Stay.Died90dKnown || !r.Stay.DeathTime.IsZero() || !r.Stay.End.IsZero() {
		t.Errorf("stay %+v", r.Stay)
	}
	for _, rec := range r.Records {
		if rec.Deceased != "" || rec.Disposition != "" {
			t.Fatalf("record %s/%s tells the outcome", rec.Type, rec.ID)
		}
	}
	if c.Records[0].Deceased == "" {
		t.Error("the caller's chart was changed")
	}
}

func TestAReceiptIsRefusedForAChartThatDoesNotBuildItsTimeline(t *testing.T) {
	d, cs := decider(t, native(t)), caseOf(t, physiology.SepticShock)
	o := outcome(t, d, cs)
	if _, err := d.Receipt(cs, chart(t, physiology.Improving), o); !errors.Is(err, engine.ErrReceipt) {
		t.Errorf("another patient's chart: error %v", err)
	}
	if _, err := d.Receipt(cs, nil, o); !errors.Is(err, engine.ErrReceipt) {
		t.Errorf("no chart: error %v", err)
	}
	altered := *chart(t, physiology.SepticShock)
	altered.Measurements = append([]state.Measurement(nil), altered.Measurements...)
	for i := range altered.Measurements {
		if m := &altered.Measurements[i]; m.Concept == "meanbp" {
			m.Value++
		}
	}
	if _, err := d.Receipt(cs, &altered, o); !errors.Is(err, engine.ErrReceipt) {
		t.Errorf("altered pressures: error %v", err)
	}
}

func TestReceiptBytesAreTheSameOnEveryRunAndSurviveJSON(t *testing.T) {
	var want string
	for range 3 {
		r := receipt(t, chart(t, physiology.EarlySepsis), caseOf(t, physiology.EarlySepsis))
		b, err := r.Canonical()
		if err != nil {
			t.Fatal(err)
		}
		if want != "" && string(b) != want {
			t.Fatal("two runs differ")
		}
		want = string(b)
	}
	var back engine.Receipt
	if err := json.Unmarshal([]byte(want), &back); err != nil {
		t.Fatal(err)
	}
	b, err := back.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != want {
		t.Error("a receipt that went through JSON has other bytes")
	}
	if strings.Contains(want, "\\u003c") {
		t.Error("canonical bytes escape HTML")
	}
}
