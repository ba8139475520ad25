// SPDX-License-Identifier: Apache-2.0

package main

// This file: the report of `cohort build`: what was understood, what was not
// and why. How it is printed is in cohort_print.go.

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// cohortReport is what `cohort build` prints: the sums, and the same by folder.
type cohortReport struct {
	cohortCounts
	Seconds float64         `json:"seconds"`
	Digest  string          `json:"digest"` // of the rows, whatever the file's layout
	Sources []*cohortSource `json:"sources"`
}

// cohortSource is the counts of one folder.
type cohortSource struct {
	Source string       `json:"source"`
	Faulty []faultyLine `json:"faulty_lines"` // the first fhir.MaxRejects
	cohortCounts
}

// faultyLine is a line that could be given to no patient, and was skipped. Its
// text is not said: it may be about anyone.
type faultyLine struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Reason string `json:"reason"`
}

// cohortCounts is what is counted of patients, stays and resources.
type cohortCounts struct {
	Patients int                   `json:"patients"`
	Stays    int                   `json:"stays"`
	Steps    int                   `json:"steps"`
	Bytes    int64                 `json:"bytes"` // after decompression
	Rejected int                   `json:"rejected"`
	Read     int                   `json:"read"`
	Used     int                   `json:"used"`
	Ignored  int                   `json:"ignored"`
	Reasons  map[string]int        `json:"reasons"`  // of ignored and rejected resources
	Coverage map[string]float64    `json:"coverage"` // fraction of steps in which a value was measured, whenever it became known
	Drugs    drugReport            `json:"drugs"`
	Lags     map[string]*lagReport `json:"lags"` // of observations, by class of lag

	measured [state.NumFeatures]int
}

// drugReport counts administrations of vasoactive drugs, fluids and blood.
type drugReport struct {
	Understood int                   `json:"understood"`
	Unknown    int                   `json:"unknown"`
	ByDrug     map[string]*drugCount `json:"by_drug"`
	ByUnit     []*unitCount          `json:"by_drug_and_unit"` // vasoactive drugs only
	Why        map[string]int        `json:"why_unknown"`

	byUnit map[drugUnit]*drugCount
}

// drugCount counts the rows whose dose is known and those whose is not.
type drugCount struct {
	Understood int            `json:"understood"`
	Unknown    int            `json:"unknown"`
	Why        map[string]int `json:"why_unknown,omitempty"`
}

// drugUnit is a drug with its unit as charted.
type drugUnit struct {
	Drug string `json:"drug"`
	Unit string `json:"unit"`
}

// unitCount is the rows of one drug in one unit.
type unitCount struct {
	drugUnit
	drugCount
}

// lagReport is the measured lag of one class: issued less effective, minutes.
type lagReport struct {
	Issued        int     `json:"issued"`     // say when they were issued
	NotIssued     int     `json:"not_issued"` // take the configured lag
	P50Min        float64 `json:"p50_min"`
	P90Min        float64 `json:"p90_min"`
	P99Min        float64 `json:"p99_min"`
	Negative      float64 `json:"negative"`       // share issued before their own time
	ConfiguredMin float64 `json:"configured_min"` // the longest that was applied

	minutes map[int]int // rounded up to whole ones
	early   int
}

func newCohortCounts() cohortCounts {
	return cohortCounts{Reasons: map[string]int{}, Coverage: map[string]float64{}, Lags: map[string]*lagReport{},
		Drugs: drugReport{ByDrug: map[string]*drugCount{}, Why: map[string]int{}, byUnit: map[drugUnit]*drugCount{}}}
}

// newCohortReport returns a report that has counted nothing.
func newCohortReport() *cohortReport { return &cohortReport{cohortCounts: newCohortCounts()} }

// source begins the counts of one folder.
func (r *cohortReport) source(name string, folder *fhir.Folder) {
	s := &cohortSource{Source: name, Faulty: []faultyLine{}, cohortCounts: newCohortCounts()}
	for _, x := range folder.Rejects {
		s.Faulty = append(s.Faulty, faultyLine{x.Origin.Key, x.Origin.Line, x.Reason})
	}
	r.Sources = append(r.Sources, s)
	for _, c := range []*cohortCounts{&r.cohortCounts, &s.cohortCounts} {
		c.Bytes += folder.Bytes
		c.count(folder.Read)
	}
}

// add counts one patient of the newest folder.
func (r *cohortReport) add(p patientRows) {
	r.cohortCounts.add(p)
	if n := len(r.Sources); n > 0 {
		r.Sources[n-1].add(p)
	}
}

// finish works out what can only be said of all.
func (r *cohortReport) finish() {
	r.cohortCounts.finish()
	for _, s := range r.Sources {
		s.finish()
	}
}

func (c *cohortCounts) count(t state.Tally) {
	c.Read += t.Read
	c.Used += t.Used
	c.Ignored += t.Ignored
	c.Rejected += t.Rejected
	for reason, n := range t.Reasons {
		c.Reasons[reason] += n
	}
}

func (c *cohortCounts) add(p patientRows) {
	c.Patients++
	c.Stays += p.stays
	c.Steps += len(p.rows)
	c.count(p.tally)
	for f, n := range p.seen {
		c.measured[f] += n
	}
	for i := range p.drugs {
		c.Drugs.add(&p.drugs[i])
	}
	for i := range p.delays {
		d := &p.delays[i]
		l := c.Lags[d.Class]
		if l == nil {
			l = &lagReport{minutes: map[int]int{}}
			c.Lags[d.Class] = l
		}
		l.add(d)
	}
}

func (c *cohortCounts) finish() {
	for i, f := range state.Catalogue() {
		c.Coverage[string(f.Name)] = 0
		if c.Steps > 0 {
			c.Coverage[string(f.Name)] = float64(c.measured[i]) / float64(c.Steps)
		}
	}
	for _, l := range c.Lags {
		l.finish()
	}
	c.Drugs.ByUnit = []*unitCount{}
	for unit, n := range c.Drugs.byUnit {
		c.Drugs.ByUnit = append(c.Drugs.ByUnit, &unitCount{unit, *n})
	}
	slices.SortFunc(c.Drugs.ByUnit, func(a, b *unitCount) int {
		return cmp.Or(cmp.Compare(a.Drug, b.Drug), cmp.Compare(a.Unit, b.Unit))
	})
}

// drugRow is what the report says of one administration that the timeline
// needs to understand.
type drugRow struct {
	drug, unit string // unit of the rate as charted
	vasoactive bool
	known      bool
	why        string
}

// drugRows lists the vasoactive drugs, fluids and blood of a chart.
func drugRows(c *state.Chart) []drugRow {
	var out []drugRow
	for i := range c.Administrations {
		a := &c.Administrations[i]
		row := drugRow{drug: string(a.Drug), known: a.RateKnown || a.MlKnown, why: a.Unknown}
		switch a.Class {
		case state.ClassVasopressor, state.ClassInotrope, state.ClassVasoactive, state.ClassUnidentified:
			// The volume of the bag does not tell the dose.
			row.vasoactive, row.known, row.unit = true, a.RateKnown, chartedUnit(&c.Records[a.Record])
		case state.ClassCrystalloid, state.ClassColloid, state.ClassBlood, state.ClassFreeWater, state.ClassCarrier:
		default:
			continue
		}
		out = append(out, row)
	}
	return out
}

// chartedUnit is the unit of a rate as received.
func chartedUnit(r *state.Record) string {
	unit := func(q *state.Quantity) string { return cmp.Or(q.Code, q.Unit, "no unit") }
	switch {
	case r.Rate == nil && r.Dose != nil:
		return "no rate; dose in " + unit(r.Dose)
	case r.Rate == nil:
		return "no rate"
	case r.RatePer != nil:
		return unit(r.Rate) + " per " + unit(r.RatePer)
	case r.Strength != nil:
		return unit(r.Rate) + ", bag content known"
	}
	return unit(r.Rate)
}

func (d *drugReport) add(row *drugRow) {
	counts := []*drugCount{entry(d.ByDrug, row.drug)}
	if row.vasoactive {
		counts = append(counts, entry(d.byUnit, drugUnit{row.drug, row.unit}))
	}
	if row.known {
		d.Understood++
	} else {
		d.Unknown++
		d.Why[row.why]++
	}
	for _, c := range counts {
		if row.known {
			c.Understood++
			continue
		}
		c.Unknown++
		if c.Why == nil {
			c.Why = map[string]int{}
		}
		c.Why[row.why]++
	}
}

// entry returns the count under key, made where there is none.
func entry[K comparable](m map[K]*drugCount, key K) *drugCount {
	if m[key] == nil {
		m[key] = &drugCount{}
	}
	return m[key]
}

// delaysOf measures the observations of a chart.
func delaysOf(mapper *fhir.Mapper, c *state.Chart) []fhir.Delay {
	out := make([]fhir.Delay, 0, len(c.Records))
	for i := range c.Records {
		if d, ok := mapper.DelayOf(&c.Records[i]); ok {
			out = append(out, d)
		}
	}
	return out
}

func (l *lagReport) add(d *fhir.Delay) {
	l.ConfiguredMin = max(l.ConfiguredMin, d.ConfiguredMin)
	if !d.Issued {
		l.NotIssued++
		return
	}
	l.Issued++
	l.minutes[int(math.Ceil(d.Minutes))]++
	if d.Minutes < 0 {
		l.early++
	}
}

func (l *lagReport) finish() {
	if l.Issued == 0 {
		return
	}
	l.Negative = float64(l.early) / float64(l.Issued)
	order := slices.Sorted(maps.Keys(l.minutes))
	at := func(share float64) float64 {
		need, seen := int(math.Ceil(share*float64(l.Issued))), 0
		for _, minutes := range order {
			if seen += l.minutes[minutes]; seen >= need {
				return float64(minutes)
			}
		}
		return 0
	}
	l.P50Min, l.P90Min, l.P99Min = at(0.5), at(0.9), at(0.99)
}
