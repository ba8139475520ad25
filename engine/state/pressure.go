// SPDX-License-Identifier: Apache-2.0

package state

// This file: mean arterial pressure as the rules read it (design 5.4). One
// source is chosen and shown; the arterial line and the cuff are never
// averaged, and where two sources contradict each other or one value stands
// alone the pressure has to be confirmed before any dose.

import (
	"math"
)

const (
	lineFresh       = 1 * hour    // a line reading this new makes the line the preferred source
	sourcesTogether = 30 * minute // how close two sources must be in time to be compared
	outlierBack     = 3 * hour    // how far back neighbours of the newest value may lie
	outlierSpread   = 15          // mmHg; neighbours further apart than this prove nothing
	aloneBack       = 1 * hour    // a reading nothing bears out in this time before it stands alone
)

func (v *view) pressure() Pressure {
	p := Pressure{GoalMmHg: v.b.cfg.MAPGoalMmHg}
	p.GoalMmHg, p.GoalOrdered = v.goal()
	line := v.newestBy(func(m string) bool { return m == MethodArterial })
	cuff := v.newestBy(func(m string) bool { return m == MethodCuff })
	any := v.newestBy(func(string) bool { return true })
	if any == nil {
		return p
	}
	chosen := any
	if line != nil && line.at > v.t-lineFresh {
		chosen = line
	} else if line != nil && line.measured() == any.measured() {
		chosen = line
	} else if cuff != nil && cuff.measured() == any.measured() {
		chosen = cuff
	}
	p.Newest = v.reading(chosen)
	p.Derived = chosen.derived != nil
	if line != nil {
		p.ArterialNow = v.reading(line)
	}
	if cuff != nil {
		p.CuffNow = v.reading(cuff)
	}
	var lowest *obs
	same := after(v.means, v.t-hour)
	for i := range same {
		o := &same[i]
		if o.known(v.t) && o.method == chosen.method && (lowest == nil || o.value < lowest.value) {
			lowest = o
		}
	}
	if lowest != nil {
		p.LastHourMin = v.reading(lowest)
	}
	other := v.otherSource(chosen)
	p.Disagree = other != nil && math.Abs(other.value-chosen.value) > v.b.cfg.DisagreeMmHg
	if p.Disagree {
		p.Other = v.reading(other)
	}
	p.LoneOutlier = v.loneOutlier(chosen) && (other == nil || p.Disagree)
	p.Alone = v.alone(chosen)
	return p
}

// measured is when a pressure was measured. What sums up a period speaks for its
// middle: the median of an hour is no newer than a cuff reading late in it.
func (o *obs) measured() instant { return o.from + (o.at-o.from)/2 }

// together reports whether what two readings speak for lies within
// sourcesTogether of each other.
func together(a, b *obs) bool {
	return a.from <= b.at+sourcesTogether && b.from <= a.at+sourcesTogether
}

// otherSource returns the newest reading of any other source that is close
// enough in time to be compared with o, nil when there is none.
func (v *view) otherSource(o *obs) *obs {
	var newest *obs
	for i := len(v.means) - 1; i >= 0 && v.means[i].at >= o.from-sourcesTogether; i-- {
		x := &v.means[i]
		if x.known(v.t) && x.method != o.method && together(x, o) && (newest == nil || x.measured() > newest.measured()) {
			newest = x
		}
	}
	return newest
}

// alone reports a reading of something that measures now and then, as a cuff
// does, which no other reading of the hour before it bears out. A line measures
// all the time, and a median sums up many values.
func (v *view) alone(o *obs) bool {
	if o.method == MethodArterial || o.at > o.from {
		return false
	}
	for i := len(v.means) - 1; i >= 0 && v.means[i].at >= o.at-aloneBack; i-- {
		x := &v.means[i]
		if x.known(v.t) && (x.at != o.at || x.method != o.method) && math.Abs(x.value-o.value) <= v.b.cfg.DisagreeMmHg {
			return false
		}
	}
	return true
}

// newestBy returns the known mean pressure of a method that was measured last. A
// charted value goes before a computed one of the same time.
func (v *view) newestBy(want func(method string) bool) *obs {
	var newest *obs
	for i := len(v.means) - 1; i >= 0; i-- {
		o := &v.means[i]
		if newest != nil && o.at < newest.measured() {
			break // what ended before was measured before
		}
		if o.known(v.t) && want(o.method) && (newest == nil || o.measured() > newest.measured()) {
			newest = o
		}
	}
	return newest
}

// loneOutlier says whether o stands far off at least two steady neighbours of
// its own source. It has to be far off each of them: the last of a trend is far
// off the first only.
func (v *view) loneOutlier(o *obs) bool {
	lowest, highest, n := math.Inf(1), math.Inf(-1), 0
	for i := len(v.means) - 1; i >= 0 && n < 3; i-- {
		x := &v.means[i]
		if x.at <= o.at-outlierBack {
			break
		}
		if x.known(v.t) && x.at < o.at && x.method == o.method {
			lowest, highest = min(lowest, x.value), max(highest, x.value)
			n++
		}
	}
	far := v.b.cfg.OutlierMmHg
	return n >= 2 && highest-lowest <= outlierSpread && (o.value < lowest-far || o.value > highest+far)
}

// goal is the newest ordered MAP goal that can be believed, else the default.
func (v *view) goal() (mmHg float64, ordered bool) {
	cfg := &v.b.cfg
	var best instant
	mmHg = cfg.MAPGoalMmHg
	take := func(value float64, at instant) {
		if !within(value, cfg.MAPGoalMinMmHg, cfg.MAPGoalMaxMmHg) {
			return
		}
		// Of two goals ordered at one time the higher one stands.
		if !ordered || at > best || at == best && value > mmHg {
			mmHg, best, ordered = value, at, true
		}
	}
	for i := range v.b.c.Orders {
		o := &v.b.c.Orders[i]
		if at, ok := v.orderAt(o); ok && o.Concept == ConceptMAPGoal {
			take(o.Value, at)
		}
	}
	for _, o := range v.b.upTo(ConceptMAPGoal, v.t) {
		if o.known(v.t) {
			take(o.value, o.at)
		}
	}
	return mmHg, ordered
}

// orderAt returns when an order started, false when it was not known at T or
// is no longer, or never was, in force.
func (v *view) orderAt(o *Order) (instant, bool) {
	switch o.Status {
	case "cancelled", "entered-in-error", "revoked", "draft":
		return 0, false
	}
	return v.orderKnown(o)
}

// orderKnown is orderAt whatever became of the order.
func (v *view) orderKnown(o *Order) (instant, bool) {
	if o.Start.IsZero() || o.Available.IsZero() {
		return 0, false
	}
	at := ceilInstant(o.Start)
	return at, max(at, ceilInstant(o.Available)) <= v.t
}
