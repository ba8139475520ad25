// SPDX-License-Identifier: Apache-2.0

package main

// This file: `clock: data` (design.md 6.8): for charts of the past, the newest
// charted event of the ICU stay is "now".

import (
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// newestEvent is the time at which the newest measurement or administration
// of the stay was known. Zero when nothing was charted during the stay.
func newestEvent(chart *state.Chart) time.Time {
	var newest time.Time
	consider := func(t time.Time) {
		if t.After(newest) && !t.Before(chart.Stay.Start) && (chart.Stay.End.IsZero() || !t.After(chart.Stay.End)) {
			newest = t
		}
	}
	for i := range chart.Measurements {
		consider(chart.Measurements[i].Available)
	}
	for i := range chart.Administrations {
		consider(chart.Administrations[i].Available)
	}
	return newest
}
