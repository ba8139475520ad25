// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: treatment that was charted and could not be read: what is not
// known of it is unknown in the timeline, never zero.

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// unread is treatment that was charted and cannot be placed in time. While it
// may have run its exposure is unknown, not zero.
type unread struct {
	gap  state.Gap
	last time.Time // the last instant it may speak of; zero: any
}

// unplaced rejects a row of which drug and patient are clear and the time or
// the status is not. Where it may be a vasopressor or a fluid, the exposure is
// unknown from then on, unless all that its time can mean is long past.
func unplaced(d *drugSpec, r *state.Record, reason, got string) (event, outcome) {
	ev, out := reject(reason, got)
	u := &unread{gap: state.Gap{Reason: string(d.Drug) + ": " + reason}}
	switch d.Class {
	case state.ClassVasopressor, state.ClassUnidentified:
		u.gap.What = state.GapVasopressor
	case state.ClassCrystalloid, state.ClassColloid, state.ClassBlood:
		u.gap.What = state.GapFluid
	default:
		return ev, out
	}
	date, _, _ := strings.Cut(latest(r.Start, r.End), "T")
	if _, to, err := day(date); err == nil {
		u.last = to.Add(staleRow)
	}
	ev.unread = u
	return ev, out
}

// staleRow is how long after the day a row names it may still have run: a day
// without a word from it (as in engine/state), and a day for the zone.
const staleRow = 48 * time.Hour

// latest is the later of two FHIR dates or times as text.
func latest(a, b string) string {
	if len(b) >= 10 && b > a {
		return b
	}
	return a
}

// unreadGaps says which treatment was charted and could not be read: a row that
// has no place in time, or that broke before its drug was known.
func (m *Mapper) unreadGaps(b *Bag, stay state.Stay) []state.Gap {
	found := map[state.Gap]bool{}
	for _, e := range b.entries {
		if e.kind != "MedicationAdministration" {
			continue
		}
		for _, r := range m.mappedOf(b, e) {
			if u := r.event.unread; u != nil && (u.last.IsZero() || stay.Start.IsZero() || u.last.After(stay.Start)) {
				found[u.gap] = true
			}
		}
	}
	for i := range b.rejects {
		if r := &b.rejects[i]; r.Type == "MedicationAdministration" && r.Reason != reasonWrongPatient && r.Reason != reasonNoPatient {
			why := "a MedicationAdministration could not be read: " + r.Reason
			found[state.Gap{What: state.GapVasopressor, Reason: why}], found[state.Gap{What: state.GapFluid, Reason: why}] = true, true
		}
	}
	out := slices.Collect(maps.Keys(found))
	slices.SortFunc(out, func(x, y state.Gap) int { return cmp.Or(cmp.Compare(x.What, y.What), cmp.Compare(x.Reason, y.Reason)) })
	return out
}
