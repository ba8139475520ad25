// SPDX-License-Identifier: Apache-2.0

package physiology

// This file: what was given, as administration rows: infusions documented at
// every change and at least hourly, boluses, antimicrobials, diuretics.

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// pumpLine is one drug that runs at a rate.
type pumpLine struct {
	drug     state.Drug
	class    state.Class
	unit     string
	ledger   state.Ledger
	tonicity float64
	decimals int
	rate     func(Doses) float64
}

var pumpLines = []pumpLine{
	{"norepinephrine", state.ClassVasopressor, state.UnitUgKgMin, "", 0, 2, func(d Doses) float64 { return d.NEUgKgMin }},
	{"epinephrine", state.ClassVasopressor, state.UnitUgKgMin, "", 0, 2, func(d Doses) float64 { return d.EpinephrineUgKgMin }},
	{"phenylephrine", state.ClassVasopressor, state.UnitUgKgMin, "", 0, 1, func(d Doses) float64 { return d.PhenylephrineUgKgMin }},
	{"dopamine", state.ClassVasopressor, state.UnitUgKgMin, "", 0, 1, func(d Doses) float64 { return d.DopamineUgKgMin }},
	{"dobutamine", state.ClassInotrope, state.UnitUgKgMin, "", 0, 1, func(d Doses) float64 { return d.DobutamineUgKgMin }},
	{"vasopressin", state.ClassVasopressor, state.UnitUMin, "", 0, 2, func(d Doses) float64 { return d.VasopressinUMin }},
	{"lactated ringer", state.ClassCrystalloid, state.UnitMlH, state.LedgerMaintenance, 1, 0, func(d Doses) float64 { return d.MaintenanceMlH }},
	{"carrier solution", state.ClassCarrier, state.UnitMlH, state.LedgerCarrier, 1, 0, Doses.carrierMlH},
}

// pumps writes every administration.
func (ch *charter) pumps() {
	for _, l := range pumpLines {
		ch.line(l)
	}
	antibioticAt, weighed := time.Time{}, false
	for i := range ch.log {
		d, at := ch.log[i].Given, ch.log[i].At.Add(-stepMin*time.Minute)
		if !weighed && d.NEUgKgMin+d.EpinephrineUgKgMin+d.PhenylephrineUgKgMin+d.DopamineUgKgMin > 0 {
			weighed = true // the pump asks for it before it runs a weight-based rate
			ch.observe(at, 0, reading{state.ConceptWeight, ch.t.weightKg, 1, "kg", state.MethodPumpWeight})
		}
		if d.BolusMl > 0 {
			ch.bolus(at, d.BolusMl)
		}
		if d.Diuretic {
			ch.dose("furosemide", state.ClassOther, at, "40 mg")
		}
		if d.Antibiotic && antibioticAt.IsZero() {
			antibioticAt = at
			ch.order("piperacillin tazobactam", "4.5 g IV every 8 h", at.Add(-20*time.Minute))
		}
		if h := at.Sub(antibioticAt); !antibioticAt.IsZero() && h%(8*time.Hour) == 0 {
			ch.dose("piperacillin tazobactam", state.ClassAntimicrobial, at, "4.5 g")
		}
	}
}

// line writes the rows of one infusion. A row ends where the next one starts;
// the row that covers now stays open.
func (ch *charter) line(l pumpLine) {
	start, rate := 0, 0.0
	flush := func(end int, open bool) {
		if rate > 0 && end > start {
			ch.infusion(l, start, end, rate, open)
		}
		start = end
	}
	for i := range ch.log {
		now := l.rate(ch.log[i].Given)
		if now != rate || i-start >= stepsPerHour {
			flush(i, false)
			rate = now
		}
	}
	flush(len(ch.log), ch.c.patient.end == endOpen)
}

func (ch *charter) infusion(l pumpLine, startStep, endStep int, rate float64, open bool) {
	admit := ch.c.patient.admit
	start := admit.Add(time.Duration(startStep*stepMin) * time.Minute)
	end := admit.Add(time.Duration(endStep*stepMin) * time.Minute)
	a := state.Administration{
		Drug: l.drug, Class: l.class, Form: state.FormInfusion, Start: start, End: end,
		Available: start, EndAvail: end, RateKnown: true, Rate: rate, RateUnit: l.unit, Ledger: l.ledger, Tonicity: l.tonicity,
		Received: strconv.FormatFloat(rate, 'f', l.decimals, 64) + " " + l.unit, Record: ch.record("MedicationAdministration", "m"),
	}
	if l.unit == state.UnitUgKgMin {
		a.DosingKg = ch.t.weightKg
	}
	if l.unit == state.UnitMlH && !open {
		a.AmountMl, a.MlKnown = math.Round(rate*end.Sub(start).Hours()*10)/10, true
	}
	if open {
		a.End, a.EndAvail = time.Time{}, time.Time{}
	}
	ch.chart.Administrations = append(ch.chart.Administrations, a)
}

// bolus writes one fluid bolus, charted when it is started.
func (ch *charter) bolus(at time.Time, ml float64) {
	end := at.Add(time.Duration(ml/1000*60) * time.Minute)
	ch.chart.Administrations = append(ch.chart.Administrations, state.Administration{
		Drug: "lactated ringer", Class: state.ClassCrystalloid, Form: state.FormBolus, Start: at, End: end, Available: at, EndAvail: end,
		RateKnown: true, Rate: 1000, RateUnit: state.UnitMlH, AmountMl: ml, MlKnown: true, Tonicity: 1, Ledger: state.LedgerBolus,
		Received: fmt.Sprintf("%.0f mL over %.0f min", ml, end.Sub(at).Minutes()), Record: ch.record("MedicationAdministration", "m"),
	})
}

// dose writes one dose of a drug whose amount the timeline does not read.
func (ch *charter) dose(drug state.Drug, class state.Class, at time.Time, amount string) {
	ch.chart.Administrations = append(ch.chart.Administrations, state.Administration{
		Drug: drug, Class: class, Form: state.FormBolus, Start: at, End: at, Available: at, EndAvail: at,
		Received: amount, Record: ch.record("MedicationAdministration", "m"),
	})
}

// order writes the request for an antimicrobial; no chart starts before
// admission.
func (ch *charter) order(drug state.Drug, text string, at time.Time) {
	if at.Before(ch.c.patient.admit) {
		at = ch.c.patient.admit
	}
	ch.chart.Orders = append(ch.chart.Orders, state.Order{
		Class: state.ClassAntimicrobial, Drug: drug, Status: "active", Text: text, Start: at, Available: at,
		Record: ch.record("MedicationRequest", "r"),
	})
}
