// SPDX-License-Identifier: Apache-2.0

package state

// This file: Builder, a chart sorted once so that a timeline at any time is a
// matter of binary searches. Sorting here, and dropping exact repeats, is what
// makes the bytes of a Timeline independent of the order and repetition of
// events in the Chart.

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// instant is a time in microseconds. Event times are rounded up and decision
// times down, so that rounding can only hide an event, never reveal one.
type instant int64

const (
	hour   instant = 3600 * 1e6
	minute instant = 60 * 1e6
	never  instant = math.MaxInt64
)

func ceilInstant(t time.Time) instant {
	us := instant(t.UnixMicro())
	if t.Nanosecond()%1000 != 0 {
		us++
	}
	return us
}

func floorInstant(t time.Time) instant { return instant(t.UnixMicro()) }

func (i instant) time() time.Time { return time.UnixMicro(int64(i)).UTC() }

func (i instant) hours() float64   { return float64(i) / float64(hour) }
func (i instant) minutes() float64 { return float64(i) / float64(minute) }

func hoursOf(h float64) instant { return instant(math.Round(h * float64(hour))) }

// obs is one usable measurement.
type obs struct {
	at      instant // when it speaks for: End of its period, else Effective
	from    instant // start of its period, else at
	avail   instant // when it could be known, never before at
	until   instant // when a later report of the same result replaces it; never when none does
	value   float64
	method  string
	ref     int32 // index into Chart.Measurements; -1 for a derived one
	derived *Measurement
}

// row is one usable administration.
type row struct {
	a                          *Administration
	start, avail, end, endKnow instant // end never: open as charted; endKnow: when the end is known
	id                         string
}

// Builder builds timelines of one chart at any number of times. It keeps a
// reference to the chart, which must not change meanwhile, and is safe for
// concurrent use.
type Builder struct {
	c       *Chart
	cfg     Config
	series  map[Concept][]obs
	derived []obs // mean pressures computed where none was charted
	vaso    []row // vasopressor, inotrope, other vasoactive; infusions only
	fluid   []row // whatever has a volume that counts
	other   []row // antimicrobials
	gaps    map[string]string
}

// NewBuilder sorts the chart. The error wraps ErrConfig.
func NewBuilder(c *Chart, cfg Config) (*Builder, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	b := &Builder{c: c, cfg: cfg, series: map[Concept][]obs{}, gaps: map[string]string{}}
	for _, g := range c.Gaps {
		if old, ok := b.gaps[g.What]; !ok || g.Reason < old {
			b.gaps[g.What] = g.Reason
		}
	}
	b.indexMeasurements()
	b.indexAdministrations()
	b.deriveMAP()
	return b, nil
}

// Chart is the chart the builder was made from.
func (b *Builder) Chart() *Chart { return b.c }

// recordID names the resource an event came from, "" when the chart does not
// carry its record.
func (c *Chart) recordID(rec int) string {
	if rec < 0 || rec >= len(c.Records) {
		return ""
	}
	r := &c.Records[rec]
	if r.Part != "" {
		return r.Type + "/" + r.ID + "#" + r.Part
	}
	return r.Type + "/" + r.ID
}

// sortID tells events from different resources apart, also in charts that
// carry no records.
func (c *Chart) sortID(rec int) string {
	if id := c.recordID(rec); id != "" {
		return id
	}
	return "#" + strconv.Itoa(rec)
}

func (b *Builder) sortID(o *obs) string { return b.c.sortID(b.measured(o).Record) }

func (b *Builder) indexMeasurements() {
	lists := map[Concept]*[]obs{}
	for i := range b.c.Measurements {
		m := &b.c.Measurements[i]
		o, ok := observe(m)
		if !ok {
			continue
		}
		o.ref = int32(i)
		list := lists[m.Concept]
		if list == nil {
			list = new([]obs)
			lists[m.Concept] = list
		}
		*list = append(*list, o)
	}
	for concept, list := range lists {
		s := *list
		sums := concept == ConceptUrineIrrig || concept == ConceptOtherOutput || concept == catalogue[Urine].Name
		slices.SortFunc(s, func(x, y obs) int { return b.compareObs(&x, &y, sums) })
		if !sums {
			b.replace(s)
		}
		b.series[concept] = slices.CompactFunc(s, func(x, y obs) bool {
			same := x.at == y.at && x.from == y.from && x.until == y.until && x.value == y.value && x.method == y.method &&
				b.measured(&x).Comparator == b.measured(&y).Comparator
			// Two equal volumes from two resources are two volumes (two drains);
			// two equal readings are one reading, known when the first was.
			return same && (!sums || b.sortID(&x) == b.sortID(&y))
		})
	}
}

// observe checks one measurement; false when it can never be used: a concept
// we do not know, a value that is not finite or not plausible, no time.
func observe(m *Measurement) (obs, bool) {
	r, known := ranges[m.Concept]
	if !known || !within(m.Value, r.lo, r.hi) || m.Effective.IsZero() || m.Available.IsZero() {
		return obs{}, false
	}
	o := obs{from: ceilInstant(m.Effective), avail: ceilInstant(m.Available), until: never, value: m.Value, method: m.Method}
	o.at = o.from
	switch {
	case !m.End.IsZero():
		o.at = max(o.from, ceilInstant(m.End))
	case m.Method == MethodHourlyMedian:
		o.at = o.from + hour
	}
	// What summarises a period cannot be known before the period is over.
	o.avail = max(o.avail, o.at)
	if o.value == 0 {
		o.value = 0 // -0 and 0 must give the same bytes
	}
	return o, true
}

// measured returns the measurement behind o.
func (b *Builder) measured(o *obs) *Measurement {
	if o.derived != nil {
		return o.derived
	}
	return &b.c.Measurements[o.ref]
}

// compareObs is a total order on everything that can reach a Timeline, so that
// equal charts in another order give equal bytes. idFirst puts repeats of one
// resource side by side.
func (b *Builder) compareObs(x, y *obs, idFirst bool) int {
	if x.at != y.at {
		return cmp.Compare(x.at, y.at)
	}
	if x.from != y.from {
		return cmp.Compare(x.from, y.from)
	}
	if x.value != y.value {
		return cmp.Compare(x.value, y.value)
	}
	mx, my := b.measured(x), b.measured(y)
	if c := cmp.Or(strings.Compare(x.method, y.method), strings.Compare(mx.Comparator, my.Comparator)); c != 0 {
		return c
	}
	if idFirst {
		if c := strings.Compare(b.sortID(x), b.sortID(y)); c != 0 {
			return c
		}
	}
	if x.avail != y.avail {
		return cmp.Compare(x.avail, y.avail)
	}
	return cmp.Or(
		strings.Compare(b.sortID(x), b.sortID(y)),
		strings.Compare(mx.Received, my.Received),
		strings.Compare(mx.Conversion, my.Conversion),
	)
}

// upTo returns the series of a concept that happened by t, oldest first.
// Elements may still be unknown at t: callers skip those with avail > t.
func (b *Builder) upTo(c Concept, t instant) []obs {
	s := b.series[c]
	return s[:sort.Search(len(s), func(i int) bool { return s[i].at > t })]
}

// after returns the tail of s with at > t.
func after(s []obs, t instant) []obs {
	return s[sort.Search(len(s), func(i int) bool { return s[i].at > t }):]
}

// newest returns the latest element of s known at t, nil when there is none.
// Among several at one time it is the last in the total order.
func newest(s []obs, t instant) *obs {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i].known(t) {
			return &s[i]
		}
	}
	return nil
}

// deriveMAP lists (SBP + 2 DBP)/3 wherever both were charted at one instant by
// one method. Those with a charted mean pressure within an hour that is known
// no later are left out here; view.mean leaves out the others that a charted
// value known at T makes unnecessary.
func (b *Builder) deriveMAP() {
	sys, dia := b.series[catalogue[SysBP].Name], b.series[catalogue[DiaBP].Name]
	mean := b.series[catalogue[MeanBP].Name]
	j := 0
	for i := range sys {
		s := &sys[i]
		for j < len(dia) && dia[j].at < s.at {
			j++
		}
		for k := j; k < len(dia) && dia[k].at == s.at; k++ {
			d := &dia[k]
			if d.method != s.method || d.from != s.from || d.value > s.value {
				continue
			}
			avail := max(s.avail, d.avail)
			if !charted(mean, s.at, avail) {
				ms := b.measured(s)
				v := (s.value + 2*d.value) / 3
				b.derived = append(b.derived, obs{at: s.at, from: s.from, avail: avail, until: min(s.until, d.until), value: v,
					method: s.method, ref: -1, derived: &Measurement{
						Concept: catalogue[MeanBP].Name, Value: v, Effective: ms.Effective, End: ms.End,
						Method: s.method, Received: ms.Received + "; " + b.measured(d).Received,
						Conversion: derivedMAP, Record: ms.Record,
					}})
			}
		}
	}
	slices.SortFunc(b.derived, func(x, y obs) int { return b.compareObs(&x, &y, false) })
}

// charted says whether s has an element within an hour of at that is known at t.
func charted(s []obs, at, t instant) bool {
	for _, o := range after(s, at-hour-1) {
		if o.at > at+hour {
			return false
		}
		if o.known(t) {
			return true
		}
	}
	return false
}

// derivedMAP marks a mean pressure that was computed, not charted.
const derivedMAP = "(SBP + 2 DBP)/3"
