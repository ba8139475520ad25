// SPDX-License-Identifier: Apache-2.0

package state

// This file: rates that were kept up. SOFA scores a drug that has run for an
// hour, so a short peak counts as the rate around it.

import (
	"cmp"
	"math"
	"slices"
)

// plateau is a stretch in which the lines of one drug do not change.
type plateau struct {
	from, to instant
	ugKgMin  float64 // sum of the known rates
	unknown  bool    // a line runs whose rate per kg is not known
}

// plateausOf adds up the stretches of one drug. Where nothing runs there is no
// plateau. Every sum is made anew: a running one would keep the rounding of
// lines that ended.
func plateausOf(doses []dose, drug Drug) []plateau {
	var rows []*dose
	var cuts []instant
	for i := range doses {
		if d := &doses[i]; d.drug == drug && d.to > d.from {
			rows = append(rows, d)
			cuts = append(cuts, d.from, d.to)
		}
	}
	slices.SortFunc(rows, func(a, b *dose) int { return cmp.Compare(a.from, b.from) })
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	out := make([]plateau, 0, len(cuts))
	var running []*dose
	for i := 0; i+1 < len(cuts); i++ {
		l := plateau{from: cuts[i], to: cuts[i+1]}
		running = slices.DeleteFunc(running, func(d *dose) bool { return d.to <= l.from })
		for len(rows) > 0 && rows[0].from <= l.from {
			running, rows = append(running, rows[0]), rows[1:]
		}
		if len(running) == 0 {
			continue
		}
		for _, d := range running {
			l.ugKgMin += d.ugKgMin
			off := d.known && d.ne == 0 && d.class == ClassVasopressor
			l.unknown = l.unknown || !d.ugKnown && !off
		}
		out = append(out, l)
	}
	return out
}

// kept is what the plateaus up to the k-th kept up for hold before end, which
// lies in the k-th: the lowest known sum, and whether a line of unknown rate
// ran throughout.
func kept(plateaus []plateau, k int, end, hold instant) (ugKgMin float64, unknown bool) {
	ugKgMin, unknown = math.Inf(1), true
	for at := end; ; k-- {
		if k < 0 || plateaus[k].to < at {
			return 0, false // nothing ran for a while
		}
		ugKgMin = min(ugKgMin, plateaus[k].ugKgMin)
		unknown = unknown && plateaus[k].unknown
		if at = plateaus[k].from; at <= end-hold {
			return ugKgMin, unknown
		}
	}
}

// keptIn is the best of kept over all ends in (from, to]. Moving the end within
// a plateau only drops older, maybe lower ones, so the last instant of each plateau
// is the one to try.
func keptIn(plateaus []plateau, from, to, hold instant) (ugKgMin float64, unknown bool) {
	for k := range plateaus {
		if plateaus[k].from >= to || plateaus[k].to <= from {
			continue
		}
		rate, running := kept(plateaus, k, min(plateaus[k].to, to), hold)
		ugKgMin, unknown = max(ugKgMin, rate), unknown || running
	}
	return ugKgMin, unknown
}
