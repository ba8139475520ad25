// SPDX-License-Identifier: Apache-2.0

package icusepsis

// This file: what the tables show of how they were made. No log tells it. It is
// told to a planner to see what not knowing it costs.

import (
	"math"
	"slices"
)

// mostStays is more than how often any state was seen in the stays that the
// tables were counted from.
const mostStays = 20_000

// Admissible says which actions have transitions of their own in each state. All
// others have the state's average, so the row that stands most often is that of
// none. Where all rows are one, all are admissible. (The published environment
// tells the same in its info.)
func (t *Tables) Admissible() [][]bool {
	out := make([][]bool, States)
	for s := range out {
		rows := t.next[s*Actions : (s+1)*Actions]
		common, most := 0, 0
		for a := range rows {
			n := 0
			for _, other := range rows {
				if slices.Equal(rows[a], other) {
					n++
				}
			}
			if n > most {
				common, most = a, n
			}
		}
		out[s] = make([]bool, Actions)
		for a := range rows {
			out[s][a] = most == Actions || !slices.Equal(rows[a], rows[common])
		}
	}
	return out
}

// Stays is how many of the stays behind the tables took each action in each
// state: the clinicians' chances in the smallest whole numbers.
func (t *Tables) Stays() [][]float64 {
	out := make([][]float64, States)
	for s, row := range t.expert {
		out[s] = make([]float64, Actions)
		n := whole(row)
		for a, p := range row {
			out[s][a] = math.Round(p * n)
		}
	}
	return out
}

// whole is the smallest number whose products with all chances are whole.
func whole(row []float64) float64 {
	for n := 1.0; n < mostStays; n++ {
		if !slices.ContainsFunc(row, func(p float64) bool { return math.Abs(p*n-math.Round(p*n)) > rounding*n }) {
			return n
		}
	}
	return mostStays
}

// Average is what follows each state over its admissible actions as often as
// each was taken: chances of the states, then of death and survival.
func (t *Tables) Average() [][]float64 {
	admissible, stays := t.Admissible(), t.Stays()
	out := make([][]float64, States)
	for s := range out {
		out[s] = make([]float64, States+2)
		total := 0.0
		for a, n := range stays[s] {
			if !admissible[s][a] {
				continue
			}
			total += n
			for _, to := range t.next[s*Actions+a] {
				at := int(to.to)
				switch at {
				case Died:
					at = States
				case Survived:
					at = States + 1
				}
				out[s][at] += n * to.p
			}
		}
		for to := range out[s] {
			out[s][to] /= max(total, 1)
		}
	}
	return out
}
