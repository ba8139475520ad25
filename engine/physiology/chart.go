// SPDX-License-Identifier: Apache-2.0

package physiology

// This file: the chart a hospital would keep of a course.

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Origin of every synthetic record.
const viaSynthetic = "synthetic"

// PersonID is the patient's id: the seed in hexadecimal.
func (c Course) PersonID() string { return fmt.Sprintf("syn-%012x", c.patient.seed) }

// StayID is the id of the ICU stay.
func (c Course) StayID() string { return c.PersonID() + "-icu" }

// charter writes one chart.
type charter struct {
	c     *Course
	t     *traits
	log   []Moment
	chart *state.Chart
	kinds map[string]int // how many records of each kind so far, for ids
}

// Chart is what has been charted of the course up to Until. Measurements are
// noisy and rounded, some rounds are missing, laboratory results come late,
// running infusions are open. The same course always gives the same chart.
func (c Course) Chart() *state.Chart {
	ch := &charter{c: &c, t: c.patient.traits, log: c.patient.log, kinds: map[string]int{}, chart: &state.Chart{}}
	ch.person()
	ch.vitals()
	ch.laboratory()
	ch.pumps()
	ch.history()
	if c.holes {
		ch.punch()
	}
	ch.finish()
	return ch.chart
}

// person writes who and where. Outcomes are known only of ended stays.
func (ch *charter) person() {
	p := &ch.c.patient
	sex := "male"
	if ch.t.female {
		sex = "female"
	}
	age := time.Duration(ch.t.ageYears * 365.25 * 24 * float64(time.Hour))
	ch.chart.Person = state.Person{ID: ch.c.PersonID(), Sex: sex, BirthDate: p.admit.Add(-age).Truncate(24 * time.Hour), Synthetic: true}
	unit := []string{"Medical ICU", "Surgical ICU", "Mixed ICU"}[p.seed%3]
	ch.chart.Stay = state.Stay{
		ID: ch.c.StayID(), Hospital: fmt.Sprintf("synthetic-%d", p.seed%12), Unit: unit, ICU: true, ICUKnown: true, Start: p.admit,
	}
	if p.end == endOpen {
		return
	}
	s := &ch.chart.Stay
	s.End, s.OutcomeKnown, s.Died90dKnown = p.Now(), true, p.end == endDied
	if p.end == endDied {
		s.DiedInHospital, s.DiedWithin90d, s.DeathTime = true, true, p.Now()
	}
}

// record opens a new as-received record and returns its index.
func (ch *charter) record(kind, letter string) int {
	n := ch.kinds[letter]
	ch.kinds[letter]++
	id := ch.c.PersonID() + "-" + letter + strconv.Itoa(n)
	ch.chart.Records = append(ch.chart.Records, state.Record{
		Type: kind, ID: id, Patient: "Patient/" + ch.c.PersonID(), Encounter: "Encounter/" + ch.c.StayID(),
		Origin: state.Origin{Via: viaSynthetic},
	})
	return len(ch.chart.Records) - 1
}

// reading is one value to be charted.
type reading struct {
	concept  state.Concept
	value    float64
	decimals int
	unit     string
	method   string
}

// observe charts readings of one moment as one record (a panel when several).
func (ch *charter) observe(at time.Time, late time.Duration, rs ...reading) {
	if at.After(ch.c.Until()) {
		return
	}
	rec := ch.record("Observation", "o")
	for _, r := range rs {
		v := round(r.value, r.decimals)
		ch.chart.Measurements = append(ch.chart.Measurements, state.Measurement{
			Concept: r.concept, Value: v, Effective: at, Available: at.Add(late), Status: "final", Method: r.method,
			Received: strconv.FormatFloat(v, 'f', r.decimals, 64) + " " + r.unit, Record: rec,
		})
	}
}

// history writes conditions, cultures and ventilation.
func (ch *charter) history() {
	admit, r := ch.c.patient.admit, dice(ch.c.patient.seed, "history", 0)
	condition := func(text string, at time.Time, onset time.Time, tags ...state.Tag) {
		if at.After(ch.c.Until()) {
			return
		}
		ch.chart.Conditions = append(ch.chart.Conditions, state.Condition{
			Tags: tags, Text: text, Onset: onset, Available: at, Dated: true, Record: ch.record("Condition", "c"),
		})
	}
	seen := admit.Add(time.Duration(10+r.IntN(120)) * time.Minute)
	charted := r.Float64() < 0.85 || ch.c.patient.scenario != Mix // stories are charted
	switch {
	case ch.t.septic && charted:
		condition("Sepsis, unspecified organism", seen, seen, state.TagSepsis)
		if ch.t.lungSource {
			condition("Pneumonia, unspecified organism", seen, seen, state.TagInfection)
		}
	case !ch.t.septic:
		condition("Encounter for surgical aftercare", admit, admit)
	}
	years := admit.AddDate(-3, 0, 0)
	if ch.t.heartFailure {
		condition("Heart failure, unspecified", admit, years, state.TagHeartFailure)
	}
	if ch.t.esrd {
		condition("End stage renal disease", admit, years, state.TagESRD)
	}
	for i, m := range ch.log {
		if m.Given.Culture {
			at := m.At.Add(-stepMin * time.Minute)
			ch.procedure("Blood culture", at, at, at.Add(10*time.Minute), state.TagCulture)
		}
		if m.body.vent && (i == 0 || !ch.log[i-1].body.vent) {
			ch.ventilation(i)
		}
	}
}

// ventilation writes the invasive ventilation that starts at step i.
func (ch *charter) ventilation(i int) {
	start, end := ch.log[i].At, time.Time{}
	for _, m := range ch.log[i:] {
		if !m.body.vent {
			end = m.At
			break
		}
	}
	if end.IsZero() && ch.c.patient.end != endOpen {
		end = ch.c.Until()
	}
	ch.procedure("Invasive mechanical ventilation", start, end, start.Add(5*time.Minute), state.TagVentInvasive)
}

func (ch *charter) procedure(text string, start, end, avail time.Time, tags ...state.Tag) {
	p := state.Procedure{Tags: tags, Text: text, Start: start, End: end, Available: avail, Record: ch.record("Procedure", "p")}
	if !end.IsZero() {
		p.EndAvail = end.Add(5 * time.Minute)
		if p.EndAvail.Before(avail) {
			p.EndAvail = avail
		}
	}
	ch.chart.Procedures = append(ch.chart.Procedures, p)
}

// punch makes the holes of a chart that lacks essentials: no weight, no
// lactate, and no blood pressure in the last three hours.
func (ch *charter) punch() {
	since := ch.c.Until().Add(-3 * time.Hour)
	ch.chart.Measurements = slices.DeleteFunc(ch.chart.Measurements, func(m state.Measurement) bool {
		switch m.Concept {
		case state.ConceptWeight, "lactate":
			return true
		case "meanbp", "sysbp", "diabp":
			return m.Effective.After(since)
		}
		return false
	})
	for i := range ch.chart.Administrations {
		ch.chart.Administrations[i].DosingKg = 0
	}
}

// finish drops records that no event points at, sorts, and counts.
func (ch *charter) finish() {
	c := ch.chart
	c.KeepRecords(c.Records)
	slices.SortStableFunc(c.Measurements, func(a, b state.Measurement) int {
		return cmp.Or(a.Effective.Compare(b.Effective), cmp.Compare(a.Record, b.Record))
	})
	slices.SortStableFunc(c.Administrations, func(a, b state.Administration) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Record, b.Record))
	})
	c.Tally = state.Tally{Read: len(c.Records), Used: len(c.Records)}
}

func round(x float64, decimals int) float64 {
	p := math.Pow(10, float64(decimals))
	return math.Round(x*p) / p
}
