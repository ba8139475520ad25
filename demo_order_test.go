// SPDX-License-Identifier: Apache-2.0

package main

// This file: the order check of the demonstration, end to end over real HTTP
// with the shipped weights: orders drafted for every patient, answered, recorded
// and made again from their receipts.

import (
	"net/http"
	"testing"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent/llm"
)

// With a language model configured, orders are judged all the same.
var _ engine.Assessor = (*llm.Agent)(nil)

func TestDemoChecksOrdersOfEveryPatient(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long; left out by -short")
	}
	d := startDemo(t)
	urgent := map[string]int{}
	for _, id := range d.ehr.PatientIDs() {
		for what, dose := range map[string]float64{"norepinephrine": 0.05, "starch": 500, "ringer": 6000} {
			r, err := d.ehr.Order(t.Context(), id, what, dose)
			if err != nil || r.Status != http.StatusOK {
				t.Fatalf("patient %s, %s: %v, status %d, %v", id, what, err, r.Status, r.Details)
			}
			for _, card := range r.Cards {
				urgent[what+" "+card.Indicator]++
			}
		}
	}
	if urgent["starch warning"] == 0 || urgent["ringer critical"] == 0 || urgent["norepinephrine critical"] > 0 {
		t.Errorf("cards: %v", urgent)
	}
	t.Log(urgent)
	rows, err := d.log.Query(t.Context(), audit.Filter{Kind: "decision"})
	if err != nil || len(rows) != 3*len(d.ehr.PatientIDs()) {
		t.Fatalf("%d decisions recorded, %v", len(rows), err)
	}
	d.wantReplay(t, rows)
}
