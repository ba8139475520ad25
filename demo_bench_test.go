// SPDX-License-Identifier: Apache-2.0

package main

// This file: how long the EHR of the demonstration waits for a card, over real
// HTTP, with the receipt durable before the answer.

import (
	"slices"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/fhir/sandbox"
)

// BenchmarkHook reports the percentiles that design.md 11 sets bars for.
func BenchmarkHook(b *testing.B) {
	waiting(b, func(d *demo, id string) (*sandbox.Result, error) { return d.ehr.Fire(b.Context(), id) })
}

// BenchmarkOrderSign does the same for the order check, which has the same bars.
func BenchmarkOrderSign(b *testing.B) {
	waiting(b, func(d *demo, id string) (*sandbox.Result, error) { return d.ehr.Order(b.Context(), id, "ringer", 1000) })
}

func waiting(b *testing.B, fire func(*demo, string) (*sandbox.Result, error)) {
	d := startDemo(b)
	ids := d.ehr.PatientIDs()
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		r, err := fire(d, ids[i%len(ids)])
		if err != nil || r.Status != 200 {
			b.Fatalf("status %d, %v", r.Status, err)
		}
		took = append(took, r.Elapsed)
	}
	slices.Sort(took)
	at := func(share float64) float64 {
		return float64(took[int(share*float64(len(took)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
}
