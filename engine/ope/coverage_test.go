// SPDX-License-Identifier: Apache-2.0

package ope_test

// This file: how often intervals hold the exact value on ICU-Sepsis, by kind.
// It takes minutes: go test ./engine/ope -run Coverage -logs 200 -v

import (
	"flag"
	"math/rand/v2"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/ope"
)

var (
	coverageLogs = flag.Int("logs", 0, "logs of 1,000 episodes to measure the coverage of intervals on; 0: none")
	coverageFrom = flag.Uint64("from", 0, "first seed of those logs")
)

func TestCoverageOfIntervals(t *testing.T) {
	if *coverageLogs == 0 {
		t.Skip("takes minutes (hint: -logs 200)")
	}
	m := readICUSepsis(t)
	target := m.improved(t, 0.85)
	value := m.value(target)
	methods := []ope.Method{ope.WIS, ope.WPDIS, ope.DR, ope.WDR, ope.DM}
	kinds := []ope.Kind{ope.Percentile, ope.BCa, ope.Studentised, ope.Envelope}
	const n = 1000
	type key struct {
		method ope.Method
		kind   ope.Kind
	}
	held, below, width, off := map[key]int{}, map[key]int{}, map[key]float64{}, map[key]float64{}
	for seed := *coverageFrom; seed < *coverageFrom+uint64(*coverageLogs); seed++ {
		log := m.valued(t, rand.New(rand.NewPCG(seed, 7)), target, n, seed)
		for _, kind := range kinds {
			for _, r := range evaluate(t, log, ope.Options{}, ope.Bootstrap{Resamples: 400, Seed: seed, Kind: kind}, methods...) {
				at := key{r.Method, kind}
				if r.Holds(value) {
					held[at]++
				}
				if r.High < value {
					below[at]++
				}
				width[at] += (r.High - r.Low) / float64(*coverageLogs)
				off[at] += (r.Value - value) / float64(*coverageLogs)
			}
		}
	}
	for _, method := range methods {
		for _, kind := range kinds {
			at := key{method, kind}
			t.Logf("%-5s %-11s held the exact value in %d of %d logs, lay below it in %d; mean width %.4f, mean error %+.4f", method, kind, held[at], *coverageLogs, below[at], width[at], off[at])
			if kind == ope.Envelope && method != ope.DM && *coverageLogs >= 50 && float64(held[at]) < 0.8*float64(*coverageLogs) {
				t.Errorf("%s: the %s interval holds the exact value too seldom", method, kind)
			}
		}
	}
}
