// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: repeats. Hospitals send one result twice: the laboratory's row
// and its copy in the nurses' chart, which may be rounded. Counted twice it
// would weigh double in a mean and be added in a sum.

import (
	"math"
	"strconv"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// dropRepeats drops measurements that say the same of the same instant as
// another one. The one that says when it was issued stays, since the lag of the
// other is only assumed; of two alike, the one that could be known first, and
// then the one that is not rounded. Events come sorted by time.
func (a *assembly) dropRepeats() {
	for from := 0; from < len(a.events); {
		to := from + 1
		for to < len(a.events) && a.events[to].time().Equal(a.events[from].time()) {
			to++
		}
		dropWithin(a.events[from:to])
		from = to
	}
}

func dropWithin(events []*placed) {
	for i, e := range events {
		if e.measurement == nil {
			continue
		}
		for _, kept := range events[:i] {
			if kept.measurement == nil || kept.dropped || !repeats(kept, e) {
				continue
			}
			if knownBetter(e.measurement, kept.measurement) {
				kept.dropped = true
				continue
			}
			e.dropped = true
			break
		}
	}
}

// repeats says whether two measurements of one instant are one result.
func repeats(a, b *placed) bool {
	x, y := a.measurement, b.measurement
	if x.Concept != y.Concept || x.Method != y.Method || x.Comparator != y.Comparator || !x.End.Equal(y.End) {
		return false
	}
	if state.ReportRank(x.Status) != state.ReportRank(y.Status) {
		return false // a later report replaces the earlier one when it is known, not before
	}
	if summed(x.Concept) {
		// Two drains can give the same volume at the same time.
		return x.Value == y.Value && !codedApart(a.record.Codes, b.record.Codes)
	}
	return x.Value == y.Value || math.Abs(x.Value-y.Value) <= math.Max(halfStep(x), halfStep(y))*(1+1e-9)
}

// summed: the values of the concept are amounts that are added up.
func summed(c state.Concept) bool {
	f, ok := state.Lookup(c)
	return ok && f.Bin == state.BinSum || c == state.ConceptUrineIrrig || c == state.ConceptOtherOutput
}

// codedApart: one code system gives the two different codes.
func codedApart(a, b []state.Coding) bool {
	for _, x := range a {
		for _, y := range b {
			if x.System == y.System && x.Code != y.Code {
				return true
			}
		}
	}
	return false
}

// halfStep is half of the last decimal that was sent, in the canonical unit: a
// rounded copy is no further than that from the result. Zero where the text
// does not show its precision.
func halfStep(m *state.Measurement) float64 {
	text, _, _ := strings.Cut(strings.TrimLeft(m.Received, "<>=≤≥ "), " ")
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || v == 0 || strings.ContainsAny(text, "eE") {
		return 0
	}
	decimals := 0
	if dot := strings.IndexByte(text, '.'); dot >= 0 {
		decimals = len(text) - dot - 1
	}
	return 0.5 * math.Pow10(-decimals) * math.Abs(m.Value/v)
}

// knownBetter says whether m is the one of two repeats to keep.
func knownBetter(m, other *state.Measurement) bool {
	switch {
	case m.Lagged != other.Lagged:
		return !m.Lagged
	case !m.Available.Equal(other.Available):
		return m.Available.Before(other.Available)
	}
	return m.Value != other.Value && halfStep(m) < halfStep(other)
}
