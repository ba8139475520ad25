// SPDX-License-Identifier: Apache-2.0

package environment

// This file: charting four simulated hours, so that the next state is built by
// package state like any other. Each event says that it was simulated, in what
// was received and in the record it points to.

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// Simulated is Origin.Via, and the beginning of what was received, of every
// event that an episode adds to a chart.
const Simulated = "simulated"

const stepLen = state.StepHours * time.Hour

// charted is when the hourly values of a step stand, before its end: the last
// one is as old as a reading is when somebody looks at it.
var charted = [state.StepHours]time.Duration{
	3*time.Hour + 5*time.Minute, 2*time.Hour + 5*time.Minute, time.Hour + 5*time.Minute, 5 * time.Minute,
}

// hourly are charted every hour whatever was charted before.
var hourly = []int{state.HeartRate, state.SysBP, state.DiaBP, state.MeanBP, state.RespRate, state.SpO2}

// scribe charts one step.
type scribe struct {
	chart  *state.Chart
	before *state.Timeline // at its start
	from   time.Time
	record int
}

// chartStep adds to the chart what is given from tl.At on and what is measured
// in those four hours. The chart must be the caller's own.
func chartStep(chart *state.Chart, tl *state.Timeline, step int, dose world.Dose, maintenanceMl float64, next *drawn, vent bool) {
	s := &scribe{chart: chart, before: tl, from: tl.At, record: len(chart.Records)}
	chart.Records = append(chart.Records, state.Record{
		Type: "Simulation", ID: "step-" + strconv.Itoa(step), Status: Simulated, Origin: state.Origin{Via: Simulated},
	})
	s.stop()
	s.give(dose, maintenanceMl)
	s.ventilate(vent)
	s.measure(next, vent)
}

// received is what was received of every simulated event.
func received(f float64, decimals int, unit string) string {
	return fmt.Sprintf("%s: %s %s", Simulated, strconv.FormatFloat(f, 'f', decimals, 64), unit)
}

// stop ends the vasopressors and the fluids that run: what the agent prescribes
// is all that is given from here on.
func (s *scribe) stop() {
	for i := range s.chart.Administrations {
		a := &s.chart.Administrations[i]
		if !a.End.IsZero() && !a.End.After(s.from) {
			continue
		}
		switch a.Class {
		case state.ClassVasopressor, state.ClassCrystalloid, state.ClassColloid, state.ClassBlood, state.ClassCarrier, state.ClassFreeWater:
			a.End, a.EndAvail = s.from, s.from
		}
	}
}

// give starts what the dose stands for: norepinephrine, maintenance fluid, and
// the rest of the volume as a bolus of half an hour.
func (s *scribe) give(dose world.Dose, maintenanceMl float64) {
	infusion := state.Administration{
		Form: state.FormInfusion, Start: s.from, Available: s.from, DocumentedEveryMin: 60, RateKnown: true, Record: s.record,
	}
	if dose.NEUgKgMin > 0 {
		a := infusion
		a.Drug, a.Class, a.Rate, a.RateUnit = state.DrugNorepinephrine, state.ClassVasopressor, dose.NEUgKgMin, state.UnitUgKgMin
		a.Received = received(a.Rate, 3, a.RateUnit)
		s.chart.Administrations = append(s.chart.Administrations, a)
	}
	if maintenance := min(maintenanceMl, dose.FluidMl); maintenance > 0 {
		a := infusion
		a.Drug, a.Class, a.Rate, a.RateUnit = fluid, state.ClassCrystalloid, maintenance/state.StepHours, state.UnitMlH
		a.Tonicity, a.Ledger, a.Received = 1, state.LedgerMaintenance, received(a.Rate, 1, a.RateUnit)
		s.chart.Administrations = append(s.chart.Administrations, a)
	}
	if bolus := dose.FluidMl - maintenanceMl; bolus > 0 {
		s.chart.Administrations = append(s.chart.Administrations, state.Administration{
			Drug: fluid, Class: state.ClassCrystalloid, Form: state.FormBolus, Start: s.from, End: s.from.Add(30 * time.Minute), Available: s.from,
			AmountMl: bolus, MlKnown: true, Tonicity: 1, Ledger: state.LedgerBolus, Received: received(bolus, 0, "mL"), Record: s.record,
		})
	}
}

// fluid is what volume is given as; it counts mL for mL as 0.9 % saline.
const fluid state.Drug = "lactated ringer"

// ventilate opens or closes invasive ventilation.
func (s *scribe) ventilate(vent bool) {
	open := false
	for i := range s.chart.Procedures {
		p := &s.chart.Procedures[i]
		if !slices.Contains(p.Tags, state.TagVentInvasive) || !p.End.IsZero() && !p.End.After(s.from) {
			continue
		}
		if open = true; !vent {
			p.End, p.EndAvail = s.from, s.from
		}
	}
	if vent && !open {
		s.chart.Procedures = append(s.chart.Procedures, state.Procedure{
			Tags: []state.Tag{state.TagVentInvasive}, Text: Simulated + " invasive ventilation", Start: s.from.Add(time.Minute), Available: s.from.Add(time.Minute), Record: s.record,
		})
	}
}

// measure charts the drawn state: pressures, pulse, breathing and saturation
// hourly; what else this patient has been examined for, when it is due again.
func (s *scribe) measure(next *drawn, vent bool) {
	end := s.from.Add(stepLen)
	for f, v := range next {
		switch {
		case f == state.Urine:
			for _, ago := range charted {
				s.put(f, v/state.StepHours, end.Add(-ago), "")
			}
		case slices.Contains(hourly, f):
			for _, ago := range charted {
				s.put(f, v, end.Add(-ago), s.method(f, vent))
			}
		case s.due(f):
			s.put(f, v, end.Add(-charted[len(charted)-1]), s.method(f, vent))
		}
	}
}

// due says that a quantity which this patient has been examined for will be
// half as old as it may be carried, or older, when the step ends.
func (s *scribe) due(f int) bool {
	feature := state.FeatureAt(f)
	r, ok := s.before.Present.Readings[string(feature.Name)]
	return ok && r.AgeMin/60+state.StepHours >= feature.HoldHours/2
}

// method is how the quantity is measured: pressures as the last one was, gases
// from the artery.
func (s *scribe) method(f int, vent bool) string {
	switch f {
	case state.SysBP, state.DiaBP, state.MeanBP:
		if m := s.before.Present.MAP.Newest; m != nil {
			return m.Method
		}
	case state.PH, state.PaO2, state.PaCO2, state.BaseExcess, state.TotalCO2:
		return state.MethodArterial
	case state.GCSVerbal:
		if vent {
			return state.MethodIntubated
		}
	case state.Hemoglobin:
		return s.before.Present.Readings[string(state.FeatureAt(f).Name)].Method
	}
	return ""
}

func (s *scribe) put(f int, v float64, at time.Time, method string) {
	feature := state.FeatureAt(f)
	s.chart.Measurements = append(s.chart.Measurements, state.Measurement{
		Concept: feature.Name, Value: v, Effective: at, Available: at, Status: Simulated, Method: method,
		Received: received(v, feature.Precision, feature.Unit), Record: s.record,
	})
}

// ownChart is a copy whose events may be changed and added to.
func ownChart(c *state.Chart) *state.Chart {
	own := *c
	own.Measurements = slices.Clip(c.Measurements)
	own.Administrations = slices.Clone(c.Administrations)
	own.Procedures = slices.Clone(c.Procedures)
	own.Records = slices.Clip(c.Records)
	return &own
}
