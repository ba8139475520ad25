// SPDX-License-Identifier: Apache-2.0

package state

// This file: a chart cut down to what was known at a time (Known), and further
// to what can influence the timeline at that time (Trim).

import (
	"slices"
	"time"
)

// Known returns what of c could be known at the time at: a new chart that
// shares no slice with c. Ends that were not known are removed and the
// infusions left open, with the totals that speak of the time after; outcomes
// and discharge are removed. Records of events that are left out are left out.
func (c *Chart) Known(at time.Time) *Chart {
	return c.filter(floorInstant(at), keepAll{})
}

// keep decides which of the events known at T stay. Indices are into the
// slices of the original chart.
type keep interface {
	measurement(i int) bool
	administration(i int) bool
}

type keepAll struct{}

func (keepAll) measurement(int) bool    { return true }
func (keepAll) administration(int) bool { return true }

func (c *Chart) filter(t instant, k keep) *Chart {
	out := &Chart{Person: c.Person, Stay: c.Stay, Gaps: slices.Clone(c.Gaps), Rejects: slices.Clone(c.Rejects), Tally: c.Tally}
	s := &out.Stay
	if s.End.IsZero() || ceilInstant(s.End) > t {
		s.End = time.Time{}
	}
	s.DiedInHospital, s.OutcomeKnown, s.DeathTime, s.DiedWithin90d, s.Died90dKnown = false, false, time.Time{}, false, false
	late := func(x time.Time) bool { return !x.IsZero() && ceilInstant(x) > t }
	for i := range c.Measurements {
		m := c.Measurements[i]
		if late(m.Effective) || late(m.End) || late(m.Available) || !k.measurement(i) {
			continue
		}
		if out.Measurements == nil {
			out.Measurements = make([]Measurement, 0, len(c.Measurements)-i)
		}
		out.Measurements = append(out.Measurements, m)
	}
	for i := range c.Administrations {
		a := c.Administrations[i]
		if late(a.Start) || late(a.Available) || !k.administration(i) {
			continue
		}
		if late(a.End) || late(a.EndAvail) {
			a.End, a.EndAvail = time.Time{}, time.Time{}
			if cutsAmount(&a) {
				a.AmountMl, a.MlKnown = 0, false
			}
		}
		out.Administrations = append(out.Administrations, a)
	}
	for _, x := range c.Conditions {
		if !x.Dated || late(x.Onset) || late(x.Available) {
			continue
		}
		if late(x.Abated) {
			x.Abated = time.Time{}
		}
		out.Conditions = append(out.Conditions, x)
	}
	for _, p := range c.Procedures {
		if late(p.Start) || late(p.Available) {
			continue
		}
		if late(p.End) || late(p.EndAvail) {
			p.End, p.EndAvail = time.Time{}, time.Time{}
		}
		out.Procedures = append(out.Procedures, p)
	}
	for _, o := range c.Orders {
		if late(o.Start) || late(o.Available) {
			continue
		}
		out.Orders = append(out.Orders, o)
	}
	out.KeepRecords(c.Records)
	return out
}

// EachRecord visits the record index of every event of the chart, in the order
// of the fields. visit may change it.
func (c *Chart) EachRecord(visit func(record *int)) {
	for i := range c.Measurements {
		visit(&c.Measurements[i].Record)
	}
	for i := range c.Administrations {
		visit(&c.Administrations[i].Record)
	}
	for i := range c.Conditions {
		visit(&c.Conditions[i].Record)
	}
	for i := range c.Procedures {
		visit(&c.Procedures[i].Record)
	}
	for i := range c.Orders {
		visit(&c.Orders[i].Record)
	}
}

// KeepRecords makes c.Records those of the given records that an event of c
// names, in their order, and points the events at them.
func (c *Chart) KeepRecords(records []Record) {
	at := make([]int, len(records))
	named := func(i int) bool { return i >= 0 && i < len(records) }
	c.EachRecord(func(i *int) {
		if named(*i) {
			at[*i] = 1
		}
	})
	// Records are large, so that room is made for them once.
	n := 0
	for _, is := range at {
		n += is
	}
	c.Records = slices.Grow([]Record(nil), n)
	for i := range records {
		if at[i] == 1 {
			c.Records = append(c.Records, records[i])
			at[i] = len(c.Records)
		}
	}
	c.EachRecord(func(i *int) {
		if named(*i) {
			*i = at[*i] - 1
		}
	})
}

// Trim returns a chart that has, of what was known at the time at, only what
// can influence Build at that time: Build(c.Trim(at, cfg), at, cfg) gives the
// bytes of Build(c, at, cfg). It is what a receipt stores.
func (c *Chart) Trim(at time.Time, cfg Config) *Chart {
	t := floorInstant(at)
	return c.filter(t, newTrimmer(c, t, cfg))
}

// trimmer keeps the window that steps, scores and trends look back on; of
// older measurements the newest per concept and what trends compare it with;
// volumes of the whole stay; and weights and goals as long as they are read.
type trimmer struct {
	c       *Chart
	t       instant
	from    instant             // start of the window
	since   map[Concept]instant // older measurements kept from here on
	stay    instant             // start of what the fluid book adds up
	suspect instant             // start of what may be evidence for sepsis
	ends    map[int]instant     // end, as read at T, of rows that may reach back
}

func newTrimmer(c *Chart, t instant, cfg Config) *trimmer {
	k := &trimmer{c: c, t: t, from: t - lookBack - 2*hour, since: map[Concept]instant{}, ends: map[int]instant{}}
	v := view{b: &Builder{c: c, cfg: cfg}, t: t}
	k.stay, k.suspect = k.from, v.suspicionFrom()
	if start, ok := v.stayStart(); ok {
		// A volume charted for a period may have begun before admission.
		k.stay = min(k.from, start-maxCollection)
	}
	for i := range c.Measurements {
		m := &c.Measurements[i]
		if o, ok := observe(m); ok && o.at <= t && o.avail <= t {
			if old, seen := k.since[m.Concept]; !seen || o.at > old {
				k.since[m.Concept] = o.at
			}
		}
	}
	for concept, newest := range k.since {
		k.since[concept] = min(k.from, newest-trendBack-2*hour)
	}
	k.keepPressures()
	for _, sum := range []Concept{catalogue[Urine].Name, ConceptUrineIrrig, ConceptOtherOutput} {
		if old, ok := k.since[sum]; ok {
			k.since[sum] = min(old, k.stay)
		}
	}
	if _, ok := k.since[ConceptWeight]; ok {
		k.since[ConceptWeight] = min(k.since[ConceptWeight], t-hoursOf(cfg.WeightHoldH)-hour)
	}
	if _, ok := k.since[ConceptMAPGoal]; ok {
		k.since[ConceptMAPGoal] = -never // an implausible newer goal leaves the older one standing
	}
	k.settleRows(cfg.overlap())
	return k
}

// keepPressures keeps the parts of the newest computed mean pressure and the
// newest line and cuff readings, however old: Pressure shows each of them.
func (k *trimmer) keepPressures() {
	oldest := never
	byMethod := map[Concept]map[string]instant{}
	for i := range k.c.Measurements {
		m := &k.c.Measurements[i]
		if m.Concept != catalogue[MeanBP].Name && m.Concept != catalogue[SysBP].Name && m.Concept != catalogue[DiaBP].Name {
			continue
		}
		o, ok := observe(m)
		if !ok || o.at > k.t || o.avail > k.t {
			continue
		}
		by := byMethod[m.Concept]
		if by == nil {
			by = map[string]instant{}
			byMethod[m.Concept] = by
		}
		if old, seen := by[o.method]; !seen || o.at > old {
			by[o.method] = o.at
		}
	}
	for _, by := range byMethod {
		for _, at := range by {
			oldest = min(oldest, at)
		}
	}
	if oldest == never {
		return
	}
	for _, f := range []int{SysBP, DiaBP, MeanBP} {
		if old, ok := k.since[catalogue[f].Name]; ok {
			k.since[catalogue[f].Name] = min(old, oldest-outlierBack-2*hour)
		}
	}
}

func (k *trimmer) measurement(i int) bool {
	m := &k.c.Measurements[i]
	o, ok := observe(m)
	if !ok {
		return false
	}
	since, seen := k.since[m.Concept]
	return seen && o.at >= since
}

// settleRows finds when each row ends as read at T, so that rows which were
// over before the window can go without changing what follows them.
func (k *trimmer) settleRows(overlap instant) {
	b := &Builder{c: k.c, series: map[Concept][]obs{}}
	b.indexAdministrations()
	for _, rows := range [][]row{b.vaso, b.fluid} {
		index := map[*Administration]instant{}
		for _, x := range runsAt(rows, k.t, overlap) {
			index[x.a] = max(index[x.a], x.to)
		}
		for i := range k.c.Administrations {
			if to, ok := index[&k.c.Administrations[i]]; ok {
				k.ends[i] = max(k.ends[i], to)
			}
		}
	}
}

func (k *trimmer) administration(i int) bool {
	a := &k.c.Administrations[i]
	if a.Class == ClassAntimicrobial && !a.Start.IsZero() && ceilInstant(a.Start) >= k.suspect {
		return true
	}
	to, ok := k.ends[i]
	switch {
	case !ok:
		return false
	case vasoactive(a.Class) && a.Form == FormInfusion && to >= k.from:
		return true
	case countsVolume(a):
		return to >= k.stay
	}
	return false
}
