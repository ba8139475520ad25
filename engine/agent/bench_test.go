// SPDX-License-Identifier: Apache-2.0

package agent_test

// This file: how long a native decision takes with the shipped model, actor and
// rules, and where the time goes:
//
//	GOMAXPROCS=1 go test -run xxx -bench Decision ./engine/agent
//
// The bar is a median of 10 ms on one core, without audit (issue 5).

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// BenchmarkDecision decides for the demonstration's patient in shock, from the
// chart as it is, from one as our prefetch selects it from a long real stay (some
// 4,000 events), and from one of 25,000 events, as many as the largest real
// charts hold without a filter. Building the timeline is counted.
func BenchmarkDecision(b *testing.B) {
	charts, err := demo()
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		chart *state.Chart
	}{{"demonstration", charts[physiology.SepticShock]}, {"4000-events", largeChart(b, 4000)}, {"25000-events", largeChart(b, 25_000)}} {
		b.Run(c.name, func(b *testing.B) { benchmarkDecision(b, c.chart) })
	}
}

func benchmarkDecision(b *testing.B, chart *state.Chart) {
	n := shippedAgent(b)
	var took []time.Duration
	sums := map[string]time.Duration{}
	for b.Loop() {
		var spans agent.Spans
		ctx, began := agent.WithSpans(context.Background(), &spans), time.Now()
		tl, err := state.Build(chart, now, state.DefaultConfig())
		if err != nil {
			b.Fatal(err)
		}
		spans.Add("timeline", began)
		if d, err := n.Decide(ctx, tl, 0); err != nil || d.Status != agent.Suggest {
			b.Fatal(d.Status, err)
		}
		took = append(took, time.Since(began))
		for _, s := range spans.All() {
			sums[s.Name] += s.Took
		}
	}
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(ms(took[len(took)/2]), "p50-ms")
	b.ReportMetric(ms(took[len(took)*99/100]), "p99-ms")
	b.ReportMetric(float64(len(chart.Measurements)+len(chart.Administrations)), "events")
	for name, sum := range sums {
		b.ReportMetric(ms(sum/time.Duration(len(took))), name+"-ms")
	}
}

// largeChart is a demonstration patient's chart in which every measurement of the
// days before the last is there many times, seconds apart.
func largeChart(b *testing.B, events int) *state.Chart {
	b.Helper()
	charts, err := demo()
	if err != nil {
		b.Fatal(err)
	}
	c := *charts[physiology.SepticShock]
	whole := c.Measurements
	c.Measurements = slices.Clone(whole)
	for k := 1; len(c.Measurements) < events; k++ {
		for _, m := range whole {
			if now.Sub(m.Effective) > 2*time.Hour {
				m.Effective = m.Effective.Add(-time.Duration(k) * time.Second)
				c.Measurements = append(c.Measurements, m)
			}
		}
	}
	slices.SortStableFunc(c.Measurements, func(x, y state.Measurement) int { return x.Effective.Compare(y.Effective) })
	return &c
}
