// SPDX-License-Identifier: Apache-2.0

package state

// This file: the present, unbinned: the newest reading of everything, trends,
// and each vasoactive drug as it stands at T.

import (
	"cmp"
	"math"
	"slices"
)

func (v *view) present(tl *Timeline) {
	p := &tl.Present
	p.Readings = map[string]Reading{}
	for concept, s := range v.b.series {
		s = v.b.upTo(concept, v.t)
		if concept == catalogue[MeanBP].Name {
			s = v.means
		}
		if o := newest(s, v.t); o != nil && v.recent(concept, o) && !v.over(o, v.t) {
			p.Readings[string(concept)] = *v.reading(o)
		}
	}
	if _, ok := p.Readings[string(catalogue[MeanBP].Name)]; !ok {
		if o := newest(v.means, v.t); o != nil && v.recent(catalogue[MeanBP].Name, o) {
			p.Readings[string(catalogue[MeanBP].Name)] = *v.reading(o)
		}
	}
	p.MAP = v.pressure()
	p.Lactate = v.trend(Lactate, 0.3, 0.1)
	if l := &p.Lactate; l.Before != nil && l.Now.Value < raisedLactate && l.Before.Value < raisedLactate {
		l.compare(0.5) // within the normal range a smaller difference is assay and tourniquet
	}
	p.Hb = v.trend(Hemoglobin, 0.5, 0)
	p.PFRatio = v.trendPF()
	p.Weight = v.weight
	v.agents(p)
	p.Fluids = v.fluids()
	p.StepsAtGoal = stepsAtGoal(tl.Steps, p.MAP.GoalMmHg)
	p.Sepsis = v.sepsis(tl)
	p.Checks = v.checks(tl)
}

// readingBack is how long a reading belongs to the present, however stale. What
// is older was measured in another illness and is not shown as the newest of
// this one: the open data have a "newest" lactate of a year ago.
const readingBack = 7 * 24 * hour

// recent says whether o belongs to the present. Heights, weights and ordered
// goals stand until they are replaced.
func (v *view) recent(c Concept, o *obs) bool {
	switch c {
	case ConceptHeight, ConceptWeight, ConceptMAPGoal:
		return true
	}
	return o.at >= v.t-readingBack
}

func (v *view) reading(o *obs) *Reading {
	m := v.b.measured(o)
	_, _, unit, _ := Range(m.Concept)
	return &Reading{Concept: m.Concept, Value: o.value, Comparator: m.Comparator, Unit: unit, At: o.at.time(),
		Available: o.avail.time(), AgeMin: (v.t - o.at).minutes(), Method: o.method, Received: m.Received,
		Conversion: m.Conversion, RecordID: v.b.c.recordID(m.Record)}
}

// raisedLactate is the upper end of the normal range, mmol/L.
const raisedLactate = 2

const (
	trendGap  = 1 * hour  // how much older Before is at least
	trendBack = 24 * hour // and at most
)

// trend compares the newest value with the latest one at least an hour older.
// A difference counts only when it exceeds both an absolute and a relative
// bound, so that rounding and assay noise are no trend.
func (v *view) trend(f int, absolute, relative float64) Trend {
	var t Trend
	s := v.feature(f)
	now := newest(s, v.t)
	if now == nil || !v.recent(catalogue[f].Name, now) {
		return t
	}
	t.Now = v.reading(now)
	before := newest(s[:len(s)-len(after(s, now.at-trendGap))], v.t)
	if before == nil || before.at < now.at-trendBack {
		return t
	}
	t.Before = v.reading(before)
	t.compare(math.Max(absolute, relative*before.value))
	return t
}

func (t *Trend) compare(least float64) {
	d := t.Now.Value - t.Before.Value
	t.Rising = d > 0 && d >= least-1e-9
	t.Falling = d < 0 && -d >= least-1e-9
}

// pfChange is the relative change of P/F that counts (design 5.3, rule F11).
const pfChange = 0.2

// lookBack is the longest time that binning, scores and trends reach back: the
// steps, a day of SOFA before the oldest, and the wait of a blood gas for its
// oxygen.
const lookBack = MaxSteps*stepLen + 24*hour + 6*hour

// trendPF pairs arterial gases of the last three days with their oxygen.
func (v *view) trendPF() Trend {
	var t Trend
	rs := v.ratios(v.t - lookBack + fio2ForPF)
	if len(rs) == 0 {
		return t
	}
	read := func(r ratio) *Reading {
		x := v.reading(r.gas)
		x.Concept, x.Value, x.Unit = ConceptPF, r.mmHg, "mm[Hg]"
		x.Comparator, x.Conversion = "", "PaO2 / FiO2"
		x.Received = cmp.Or(x.Received, "PaO2") + " / " + v.b.measured(r.oxygen).Received
		return x
	}
	now := rs[len(rs)-1]
	t.Now = read(now)
	for i := len(rs) - 2; i >= 0; i-- {
		if at := rs[i].gas.at; at <= now.gas.at-trendGap && at >= now.gas.at-trendBack {
			t.Before = read(rs[i])
			d := now.mmHg - rs[i].mmHg
			t.Rising, t.Falling = d > pfChange*rs[i].mmHg, -d > pfChange*rs[i].mmHg
			break
		}
	}
	return t
}

// ConceptPF names the ratio of arterial oxygen pressure to inspired fraction
// in Trend readings. It is computed, never charted.
const ConceptPF Concept = "pf_ratio"

// agentsBack is how long a stopped vasoactive is still listed.
const agentsBack = 24 * hour

// agents lists the vasoactive drugs charted in the last 24 h and adds up what
// runs. One vasopressor that is not known makes the sum unknown.
func (v *view) agents(p *Present) {
	byDrug := map[Drug][]*run{}
	for i := range v.vaso {
		x := &v.vaso[i]
		if x.open || !x.lapsed && x.to > v.t-agentsBack {
			byDrug[x.a.Drug] = append(byDrug[x.a.Drug], x)
		}
	}
	why, gap := v.gap(GapVasopressor)
	p.VasoKnown = !gap
	if gap {
		p.VasoWhy = cmp.Or(why, "vasopressors are not charted here")
	}
	for _, drug := range sortedDrugs(byDrug) {
		a := v.agent(byDrug[drug])
		p.Agents = append(p.Agents, a)
		if !maybeVasopressor(a.Class) || a.State == AgentStopped {
			continue
		}
		p.NEUgKgMin += a.NEUgKgMin
		if a.State != AgentRunning {
			p.VasoKnown = false
			p.VasoWhy = cmp.Or(p.VasoWhy, string(a.Drug)+": "+a.Why)
		}
	}
}

// agent sums up the rows of one drug.
func (v *view) agent(rows []*run) Agent {
	var lines []*run
	for _, x := range rows {
		if x.open {
			lines = append(lines, x)
		}
	}
	if len(lines) == 0 {
		return v.stopped(rows)
	}
	first := lines[0]
	a := Agent{Drug: first.a.Drug, Class: first.a.Class, State: AgentRunning, RateUnit: first.a.RateUnit,
		ChartedAt: first.doc.time(), Received: first.a.Received, RecordID: v.b.c.recordID(first.a.Record)}
	oldest := first.doc
	late := hoursOf(v.b.cfg.UndocumentedH)
	sameUnit, ugKnown, off := true, true, true
	worsen := func(state, why string) {
		if a.State == AgentRunning || state == AgentUnknownRate {
			a.State, a.Why = state, why
		}
	}
	for i, x := range lines {
		d := v.doseOf(x)
		sameUnit = sameUnit && x.a.RateUnit == a.RateUnit
		ugKnown = ugKnown && d.ugKnown
		off = off && x.a.RateKnown && x.a.Rate == 0
		a.Rate += x.a.Rate
		a.RateUgKgMin += d.ugKgMin
		a.NEUgKgMin += d.ne
		if x.doc < oldest {
			oldest = x.doc
		}
		if i > 0 {
			a.Received += "; " + x.a.Received
		}
		switch {
		case !d.known:
			worsen(AgentUnknownRate, d.why)
		case x.doc+late < v.t && x.a.Rate != 0:
			worsen(AgentUndocumented, whyUndocumented)
		}
	}
	a.ChartedAt, a.AgeMin = oldest.time(), (v.t - oldest).minutes()
	if off {
		a.State, a.EndedAt, a.Why = AgentStopped, lines[0].start.time(), ""
	}
	if !sameUnit {
		a.Rate, a.RateUnit = a.RateUgKgMin, UnitUgKgMin
	}
	if !ugKnown {
		a.RateUgKgMin = 0
	}
	switch a.State {
	case AgentUnknownRate:
		a.NEUgKgMin = 0
		if rateUnknown(lines) {
			a.Rate, a.RateUnit, a.RateUgKgMin = 0, "", 0
		}
	case AgentUndocumented:
		a.NEUgKgMin = 0
	}
	return a
}

func rateUnknown(lines []*run) bool {
	return slices.ContainsFunc(lines, func(x *run) bool { return !x.a.RateKnown })
}

// stopped describes a drug none of whose rows runs at T.
func (v *view) stopped(rows []*run) Agent {
	last := rows[0]
	for _, x := range rows {
		if x.to > last.to {
			last = x
		}
	}
	return Agent{Drug: last.a.Drug, Class: last.a.Class, State: AgentStopped, ChartedAt: last.to.time(),
		AgeMin: (v.t - last.to).minutes(), EndedAt: last.to.time(), Received: last.a.Received,
		RecordID: v.b.c.recordID(last.a.Record)}
}

// stepsAtGoal counts the latest steps in a row whose measured mean MAP reached
// the goal.
func stepsAtGoal(steps []Step, goalMmHg float64) int {
	n := 0
	for k := len(steps) - 1; k >= 0; k-- {
		s := &steps[k]
		if !s.InStay || s.Presence[MeanBP] != Measured || s.Value[MeanBP] < goalMmHg {
			break
		}
		n++
	}
	return n
}
