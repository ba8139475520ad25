// SPDX-License-Identifier: Apache-2.0

package state

// This file: administrations as they stood at T: which ends were known, which
// rows follow each other, which overlap, and the time after the last
// documentation in which a running rate is no longer believed.

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// vasoactive says whether a class may change the pressure. What nobody can
// identify may.
func vasoactive(c Class) bool {
	return c == ClassVasopressor || c == ClassInotrope || c == ClassVasoactive || c == ClassUnidentified
}

// maybeVasopressor is the classes whose unknown rate makes vasopressor
// exposure unknown.
func maybeVasopressor(c Class) bool { return c == ClassVasopressor || c == ClassUnidentified }

// countsVolume says whether a row belongs in the fluid book.
func countsVolume(a *Administration) bool {
	switch a.Class {
	case ClassCrystalloid, ClassColloid, ClassBlood, ClassCarrier, ClassFreeWater:
		return true
	case ClassUnidentified:
		return a.Ledger != ""
	}
	return a.Ledger != "" && (a.MlKnown || a.MlPerH > 0 || a.RateUnit == UnitMlH)
}

func (b *Builder) indexAdministrations() {
	for i := range b.c.Administrations {
		a := &b.c.Administrations[i]
		if a.Start.IsZero() || a.Available.IsZero() {
			continue
		}
		r := row{a: a, start: ceilInstant(a.Start), end: never, endKnow: never, id: b.c.sortID(a.Record)}
		r.avail = max(r.start, ceilInstant(a.Available))
		if !a.End.IsZero() {
			r.end = max(r.start, ceilInstant(a.End))
			r.endKnow = r.end
			if !a.EndAvail.IsZero() {
				r.endKnow = max(r.end, ceilInstant(a.EndAvail))
			}
		}
		switch {
		case vasoactive(a.Class):
			if a.Form == FormInfusion {
				b.vaso = append(b.vaso, r)
			}
			if countsVolume(a) {
				b.fluid = append(b.fluid, r)
			}
		case a.Class == ClassAntimicrobial:
			b.other = append(b.other, r)
			if countsVolume(a) {
				b.fluid = append(b.fluid, r)
			}
		case countsVolume(a):
			b.fluid = append(b.fluid, r)
		}
	}
	for _, rows := range [][]row{b.vaso, b.fluid, b.other} {
		slices.SortFunc(rows, func(x, y row) int { return cmp.Compare(x.start, y.start) })
	}
}

// compareRuns orders rows that start together by all that was known of them at
// T and by nothing that was not.
func compareRuns(x, y *run) int {
	if c := compareDose(x, y); c != 0 {
		return c
	}
	return cmp.Or(
		cmp.Compare(x.avail, y.avail),
		strings.Compare(x.id, y.id),
		strings.Compare(x.a.Received, y.a.Received),
		strings.Compare(x.a.Unknown, y.a.Unknown),
		cmp.Compare(x.a.Tonicity, y.a.Tonicity),
		strings.Compare(string(x.a.Ledger), string(y.a.Ledger)),
		cmp.Compare(x.a.DosingKg, y.a.DosingKg),
	)
}

// compareDose is 0 for two rows that say the same about what was given.
func compareDose(x, y *run) int {
	return cmp.Or(
		cmp.Compare(x.start, y.start),
		strings.Compare(string(x.a.Class), string(y.a.Class)),
		strings.Compare(string(x.a.Drug), string(y.a.Drug)),
		strings.Compare(string(x.a.Form), string(y.a.Form)),
		compareBool(x.a.RateKnown, y.a.RateKnown),
		cmp.Compare(x.a.Rate, y.a.Rate),
		strings.Compare(x.a.RateUnit, y.a.RateUnit),
		cmp.Compare(x.a.MlPerH, y.a.MlPerH),
		compareBool(x.open, y.open),
		cmp.Compare(x.to, y.to),
		cmp.Compare(x.a.DocumentedEveryMin, y.a.DocumentedEveryMin),
		compareBool(x.mlKnown(), y.mlKnown()),
		cmp.Compare(x.totalMl(), y.totalMl()),
	)
}

// settle sorts rows that start together and drops exact repeats. Two equal
// blood units from two resources are two units; anything else charted twice
// word for word is one administration that reached us by two ways.
func settle(runs []run) []run {
	slices.SortFunc(runs, func(x, y run) int { return compareRuns(&x, &y) })
	return slices.CompactFunc(runs, func(x, y run) bool {
		return compareDose(&x, &y) == 0 && (x.a.Class != ClassBlood || x.id == y.id)
	})
}

func compareBool(x, y bool) int {
	switch {
	case x == y:
		return 0
	case y:
		return -1
	}
	return 1
}

// silent is how long a row without an end may go undocumented before it is no
// longer counted among what may be running. Sources that chart instants and
// never an end would otherwise leave every drug running for ever.
const silent = 24 * hour

// run is a row as it stood at T.
type run struct {
	*row
	to    instant // end as known at T; T for a row that is still open
	open  bool    // still running at T
	ended bool    // the charted end was known at T
	// lapsed: never ended in the chart, but silent for so long that it is taken
	// as over at `to`; what it gave after its documentation ran out is unknown.
	lapsed bool
	unsure bool    // one of two that may be the same infusion (see dropCopies)
	doc    instant // last documentation at or before T
}

// runsAt gives the rows known at t in order of start. An open row ends where a
// later row of its drug starts: the rate was changed. A source that confirms
// running rates also ends them itself, so its open rows run beside later ones
// (two lines). Of two vasoactive rows that overlap for no longer than overlap,
// with the later one outlasting the earlier, the earlier ends where the later
// starts: one rate change, charted with its edges crossed.
func runsAt(rows []row, t, overlap instant) []run {
	out := make([]run, 0, len(rows))
	for i := range rows {
		r := &rows[i]
		if r.start > t {
			break
		}
		if r.avail > t {
			continue
		}
		x := run{row: r, to: r.end, ended: r.end <= t && r.endKnow <= t, doc: r.start}
		x.open = !x.ended
		if x.open {
			x.to = t
			if every := instant(math.Round(r.a.DocumentedEveryMin * float64(minute))); every > 0 {
				x.doc = r.start + (t-r.start)/every*every
			}
			if x.doc+silent < t && r.a.Form == FormInfusion {
				x.open, x.lapsed, x.to = false, true, x.doc+silent
			}
		}
		out = append(out, x)
	}
	out = dropCopies(settle(out))
	uncross(out, overlap)
	next := map[Drug]instant{} // start of the next later row of the drug
	for i := len(out) - 1; i >= 0; {
		// Rows that start together do not supersede each other: two lines.
		j := i
		for j >= 0 && out[j].start == out[i].start {
			if n, ok := next[out[j].a.Drug]; ok && (out[j].open || out[j].lapsed && n < out[j].to) && out[j].a.Form == FormInfusion && out[j].a.DocumentedEveryMin <= 0 {
				out[j].open, out[j].lapsed, out[j].to, out[j].doc = false, false, n, n
			}
			j--
		}
		for k := j + 1; k <= i; k++ {
			if out[k].a.Form == FormInfusion {
				next[out[k].a.Drug] = out[k].start
			}
		}
		i = j
	}
	return out
}

// dropCopies drops rows of a vasoactive that start with another one of the same
// drug at the same rate: the pump's record and the nurse's of one infusion. Of
// the 4,761 vasopressor rows of the two open data sets no two start together,
// so lines that do are taken for copies. The longer one stays. Two that start
// together in different units may be one infusion or two lines; their rates
// count as unknown, since the sum could be twice what runs.
func dropCopies(runs []run) []run {
	together := func(x, y *run) bool {
		return x.start == y.start && x.a.Drug == y.a.Drug && vasoactive(x.a.Class) && x.a.Form == FormInfusion && y.a.Form == FormInfusion &&
			x.a.RateKnown && y.a.RateKnown
	}
	out := runs[:0]
	for i := range runs {
		x, kept := runs[i], true
		for k := len(out) - 1; k >= 0 && out[k].start == x.start && kept; k-- {
			switch y := &out[k]; {
			case !together(y, &x):
			case x.a.RateUnit != y.a.RateUnit:
				y.unsure, x.unsure = true, true
			case math.Abs(x.a.Rate-y.a.Rate) <= 1e-6*x.a.Rate:
				kept = false
				x.unsure = x.unsure || y.unsure
				if x.to > y.to {
					*y = x
				}
			}
		}
		if kept {
			out = append(out, x)
		}
	}
	return out
}

// doubted takes the rate from runs that may be one infusion charted twice. The
// rows themselves belong to the chart and stay as they are.
func doubted(runs []run) []run {
	for i := range runs {
		if runs[i].unsure {
			r, a := *runs[i].row, *runs[i].a
			a.RateKnown, a.Unknown = false, "charted twice in different units"
			r.a, runs[i].row = &a, &r
		}
	}
	return runs
}

// uncross ends rows where a later row of their drug took over (see runsAt).
// Rows come in order of start; what is compared was all known at T.
func uncross(runs []run, overlap instant) {
	for i := range runs {
		x := &runs[i]
		if !vasoactive(x.a.Class) || x.a.Form != FormInfusion {
			continue
		}
		for k := i + 1; k < len(runs) && runs[k].start < x.to; k++ {
			y := &runs[k]
			if y.a.Drug == x.a.Drug && y.a.Form == FormInfusion && y.start > x.start && y.to >= x.to && x.to-y.start <= overlap {
				x.to, x.open, x.lapsed = y.start, false, false
				x.doc = min(x.doc, x.to)
				break
			}
		}
	}
}

// mlPerH returns the volume rate of a row, false when none is charted.
func mlPerH(a *Administration) (float64, bool) {
	switch {
	case a.RateKnown && a.RateUnit == UnitMlH && within(a.Rate, 0, 20000):
		return a.Rate, true
	case within(a.MlPerH, 1e-9, 20000):
		return a.MlPerH, true
	}
	return 0, false
}

// cutsAmount says that the charted total of an open row is not known yet: for
// an infusion it speaks of the time after T, while a bolus is hung whole.
func cutsAmount(a *Administration) bool { return a.Form == FormInfusion }

func (x *run) mlKnown() bool {
	return x.a.MlKnown && within(x.a.AmountMl, 0, 50000) && (x.ended || !cutsAmount(x.a))
}

// totalMl is the charted total as far as it was known at T, else 0.
func (x *run) totalMl() float64 {
	if !x.mlKnown() {
		return 0
	}
	return x.a.AmountMl
}

// ml returns the volume that a run gave in (from, to], false when unknown.
// A charted total is spread evenly from start to end; one without a length, or
// a bolus whose end is not known, counts whole at its start.
func (x *run) ml(from, to instant) (float64, bool) {
	rate, rated := mlPerH(x.a)
	part := max(0, min(to, x.to)-max(from, x.start))
	switch {
	case x.mlKnown() && x.ended && x.end > x.start:
		return x.a.AmountMl * float64(part) / float64(x.end-x.start), true
	case x.mlKnown() && !(x.open && rated):
		if x.start > from && x.start <= to {
			return x.a.AmountMl, true
		}
		return 0, true
	case rated && x.mlKnown():
		// An open bolus with a rate cannot give more than was hung.
		before := rate * max(0, min(from, x.to)-x.start).hours()
		return max(0, min(rate*part.hours(), x.a.AmountMl-before)), true
	case rated:
		return rate * part.hours(), true
	}
	return 0, false
}
