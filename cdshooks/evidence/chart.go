// SPDX-License-Identifier: Apache-2.0

package evidence

// This file: the chart as it was used: newest values with their source, what
// runs, fluids in real mL, and the 4-hour steps that the model reads.

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// chartView is all that is shown of a timeline.
type chartView struct {
	Who      []fact
	Agents   []agentRow
	VasoWhy  string
	Fluids   []fact
	Sepsis   []fact
	Checks   []checkRow
	Absent   string // names of what was looked for and not found
	Groups   []readingGroup
	Steps    []stepRow
	StepMiss string // features that no step of the last 48 h has
}

type agentRow struct{ Drug, State, Rate, Charted, Received string }
type checkRow struct{ What, Result, Tone, Evidence string }
type readingGroup struct {
	Label string
	Rows  []readingRow
}
type readingRow struct{ Label, Value, Taken, Known, Method, Received, Source, Model string }

func chartOf(t times, in Input) *chartView {
	tl := in.Timeline
	if tl == nil {
		return nil
	}
	v := &chartView{Who: who(tl), Agents: agents(t, tl), Fluids: fluids(tl), Sepsis: sepsis(t, tl), Groups: readings(t, in), Steps: steps(t, tl)}
	if !tl.Present.VasoKnown {
		v.VasoWhy = cmp.Or(tl.Present.VasoWhy, "the chart does not say")
	}
	v.Checks, v.Absent = checks(t, tl)
	v.StepMiss = neverCharted(tl)
	return v
}

// who is what the model knows of the person: nothing that names anybody.
func who(tl *state.Timeline) []fact {
	age := "unknown"
	if tl.AgeKnown {
		age = number(tl.AgeYears, 0) + " years"
		if tl.AgeYears >= 90 {
			age = "90 years or over"
		}
	}
	out := []fact{{"Age", age}, {"Sex", cmp.Or(tl.Sex, "unknown")}, {"In the ICU", number(tl.HoursInICU, 0) + " h"}}
	if tl.Unit != "" {
		out = append(out, fact{"Unit", tl.Unit})
	}
	w := tl.Present.Weight
	switch {
	case w.Conflict != "":
		out = append(out, fact{"Weight", w.Conflict + "; no weight-based number is used"})
	case w.Known && w.BMI > 0:
		out = append(out, fact{"Weight", number(w.Kg, 1) + " kg (" + w.Source + "), BMI " + number(w.BMI, 0)})
	case w.Known:
		out = append(out, fact{"Weight", number(w.Kg, 1) + " kg (" + w.Source + ")"})
	default:
		out = append(out, fact{"Weight", "not known; no weight-based number is used"})
	}
	return out
}

func agents(t times, tl *state.Timeline) []agentRow {
	var out []agentRow
	for _, a := range tl.Present.Agents {
		r := agentRow{Drug: string(a.Drug), State: a.State, Rate: agentRate(a), Charted: t.stamp(a.ChartedAt), Received: a.Received}
		switch {
		case a.State == state.AgentUnknownRate:
			r.State, r.Rate = "running", "unknown: "+a.Why
		case a.State == state.AgentUndocumented:
			r.State, r.Rate = "not documented since", "unknown now; last "+r.Rate
		case a.State == state.AgentStopped && !a.EndedAt.IsZero():
			r.State += " at " + t.stamp(a.EndedAt)
		}
		out = append(out, r)
	}
	return out
}

// agentRate is the charted rate, with the weight-based one beside it when that
// was computed.
func agentRate(a state.Agent) string {
	if a.RateUnit == "" && a.RateUgKgMin == 0 {
		return ""
	}
	if a.RateUnit == state.UnitUgKgMin || a.RateUnit == "" {
		return rate(a.RateUgKgMin) + ugKgMin
	}
	s := rate(a.Rate) + " " + unitWords.Replace(a.RateUnit)
	if a.RateUgKgMin > 0 {
		s += " = " + rate(a.RateUgKgMin) + ugKgMin
		if a.RateUnit == state.UnitUgMin {
			s += " at " + number(a.Rate/a.RateUgKgMin, 1) + " kg"
		}
	}
	return s
}

// fluids are the ledgers of what is charted here, in real mL.
func fluids(tl *state.Timeline) []fact {
	f := tl.Present.Fluids
	var out []fact
	if !f.Known {
		out = append(out, fact{"Fluids", "unknown: " + cmp.Or(f.Why, "the chart does not say")})
	} else {
		out = append(out,
			fact{"Bolus", millilitres(f.Bolus3hMl) + " in 3 h, " + millilitres(f.Bolus24hMl) + " in 24 h, " + millilitres(f.BolusStayMl) + " since ICU admission"},
			fact{"All fluids", millilitres(f.In24hMl) + " in 24 h, " + millilitres(f.InStayMl) + " since ICU admission"},
			fact{"Blood products", millilitres(f.BloodIn3hMl) + " in 3 h, " + millilitres(f.BloodIn24hMl) + " in 24 h"})
	}
	if f.UrineKnown {
		out = append(out, fact{"Urine", millilitres(f.Urine6hMl) + " in 6 h, " + millilitres(f.Urine24hMl) + " in 24 h"})
	} else {
		out = append(out, fact{"Urine", "not charted"})
	}
	if f.BalanceKnown {
		out = append(out, fact{"Balance", millilitres(f.BalanceMl) + " since ICU admission, as charted here"})
	}
	return out
}

func sepsis(t times, tl *state.Timeline) []fact {
	s := tl.Present.Sepsis
	evidence := "none charted"
	if len(s.Evidence) > 0 {
		evidence = t.local(strings.Join(s.Evidence, "; "))
	}
	sofa := strconv.Itoa(s.SOFA) + ", baseline " + strconv.Itoa(s.BaselineSOFA)
	if !s.BaselineKnown {
		sofa += " assumed"
	}
	out := []fact{{"Evidence (not a diagnosis)", evidence}, {"SOFA, highest of 48 h", sofa}}
	if s.Shock && s.ShockWhy != "" {
		out = append(out, fact{"Septic shock by Sepsis-3", t.local(s.ShockWhy)})
	}
	return out
}

// checks are the questions asked of the chart: what is there and what could
// not be looked up one by one, what is absent by name.
func checks(t times, tl *state.Timeline) (rows []checkRow, absent string) {
	var not []string
	for _, result := range []string{state.CheckPresent, state.CheckNotChecked} {
		for _, c := range tl.Present.Checks {
			if c.Result != result {
				continue
			}
			row := checkRow{What: capital(spell(c.Key)), Result: c.Result, Evidence: t.local(c.Evidence)}
			if result == state.CheckNotChecked {
				row.Tone = "unknown"
			}
			if !c.Since.IsZero() {
				row.Evidence = strings.TrimPrefix(row.Evidence+", since "+t.stamp(c.Since), ", ")
			}
			rows = append(rows, row)
		}
	}
	for _, c := range tl.Present.Checks {
		if c.Result == state.CheckAbsent {
			not = append(not, spell(c.Key))
		}
	}
	return rows, strings.Join(not, ", ")
}

// groups sort the values as a bedside reads them.
var groups = []struct {
	label    string
	concepts []state.Concept
}{
	{"Circulation", []state.Concept{"meanbp", "sysbp", "diabp", "heart_rate", "lactate", state.ConceptCVP, state.ConceptCRT, state.ConceptMAPGoal}},
	{"Breathing and blood gas", []state.Concept{"resp_rate", "spo2", "fio2", state.ConceptO2Device, state.ConceptO2Flow, state.ConceptPEEP, "pao2", "paco2", state.ConceptPF, "ph", "base_excess", "bicarbonate", "total_co2"}},
	{"Kidney", []state.Concept{"creatinine", "bun", "output_4hourly", state.ConceptUrineIrrig, state.ConceptOtherOutput}},
	{"Consciousness and temperature", []state.Concept{"gcs_eye", "gcs_verbal", "gcs_motor", state.ConceptGCSTotal, state.ConceptRASS, "temp_c"}},
	{"Liver and clotting", []state.Concept{"bilirubin_total", "alt", "ast", "albumin", "platelet", "inr", "pt", "ptt"}},
	{"Blood count, salts, sugar", []state.Concept{"hemoglobin", "hematocrit", "wbc", "sodium", "potassium", "chloride", "calcium_free", "calcium_total", "magnesium", "glucose"}},
}

// readings lists the newest value of every concept, whatever its age, with
// what the model made of it.
func readings(t times, in Input) []readingGroup {
	came := origins(in)
	all := in.Timeline.Present.Readings
	seen := map[string]bool{}
	var out []readingGroup
	add := func(label string, keys []string) {
		g := readingGroup{Label: label}
		for _, k := range keys {
			if r, ok := all[k]; ok && !seen[k] {
				seen[k] = true
				g.Rows = append(g.Rows, readingRowOf(t, in.Timeline, r, came))
			}
		}
		if len(g.Rows) > 0 {
			out = append(out, g)
		}
	}
	for _, g := range groups {
		keys := make([]string, 0, len(g.concepts))
		for _, c := range g.concepts {
			keys = append(keys, string(c))
		}
		add(g.label, keys)
	}
	add("Other", sortedKeys(all))
	return out
}

// origins says by record how each resource came.
func origins(in Input) map[string]string {
	came := make(map[string]string, len(in.Receipt.Records))
	for i := range in.Receipt.Records {
		r := &in.Receipt.Records[i]
		came[r.Type+"/"+r.ID] = strings.TrimSpace(r.Type + ", " + r.Origin.Via + " " + r.Origin.Key)
	}
	return came
}

func readingRowOf(t times, tl *state.Timeline, r state.Reading, came map[string]string) readingRow {
	record, _, _ := strings.Cut(r.RecordID, "#") // a component came with its resource
	row := readingRow{Taken: t.stamp(r.At), Method: method(r), Received: r.Received, Source: came[record]}
	row.Label, row.Value = shown(r)
	if r.Conversion != "" {
		row.Received += " (" + r.Conversion + ")"
	}
	if late := r.Available.Sub(r.At); late >= time.Minute && !r.Available.IsZero() {
		row.Known = t.clock(r.Available)
	}
	if f, ok := state.Lookup(r.Concept); ok && len(tl.Steps) > 0 {
		row.Model = modelValue(f, tl.Steps[len(tl.Steps)-1])
	}
	return row
}

// modelValue says what the last 4-hour step has of a feature.
func modelValue(f state.Feature, s state.Step) string {
	v := number(s.Value[f.Index], f.Precision)
	switch s.Presence[f.Index] {
	case state.Measured:
		return v + " (4-h " + binWords[f.Bin] + ")"
	case state.Carried:
		return v + " (carried, " + number(s.AgeH[f.Index], 1) + " h old)"
	}
	return "missing: too old to carry"
}

var binWords = map[state.BinRule]string{state.BinMean: "mean", state.BinLast: "last", state.BinSum: "sum"}

// neverCharted names the features that no value was found for.
func neverCharted(tl *state.Timeline) string {
	var out []string
	for _, f := range state.Catalogue() {
		if _, ok := tl.Present.Readings[string(f.Name)]; !ok {
			out = append(out, f.Label)
		}
	}
	return strings.Join(out, ", ")
}

// stepRow is one 4-hour step as the model reads it.
type stepRow struct {
	When                                 string
	Values                               []stepValue
	NE, Bolus, Maintenance, Carrier      string
	Blood, ModelFluid, Vaso, Fluid, SOFA string
}

// stepValue is one feature in one step; Note says when it was not measured in
// the step.
type stepValue struct{ Value, Note string }

// steps are those of the stay, newest first.
func steps(t times, tl *state.Timeline) []stepRow {
	var out []stepRow
	for _, s := range slices.Backward(tl.Steps) {
		if !s.InStay {
			continue
		}
		row := stepRow{When: t.clock(s.End), SOFA: strconv.Itoa(s.SOFA.Total)}
		for _, concept := range drawn {
			f, _ := state.Lookup(concept)
			row.Values = append(row.Values, stepValueOf(f, s))
		}
		g := s.Given
		row.NE, row.Vaso = "unknown", "unknown"
		if g.VasoKnown {
			row.NE, row.Vaso = rate(g.NEMeanUgKgMin)+" / "+rate(g.NEMaxUgKgMin), strconv.Itoa(g.Levels.Vasopressor)
		}
		row.Bolus, row.Maintenance, row.Carrier, row.Blood, row.ModelFluid, row.Fluid = "unknown", "unknown", "unknown", "unknown", "unknown", "unknown"
		if g.FluidKnown {
			row.Bolus, row.Maintenance, row.Carrier, row.Blood = number(g.BolusMl, 0), number(g.MaintenanceMl, 0), number(g.CarrierMl, 0), number(g.BloodMl, 0)
			row.ModelFluid, row.Fluid = number(g.FluidModelMl, 0), strconv.Itoa(g.Levels.Fluid)
		}
		out = append(out, row)
	}
	return out
}

func stepValueOf(f state.Feature, s state.Step) stepValue {
	switch s.Presence[f.Index] {
	case state.Measured:
		return stepValue{Value: number(s.Value[f.Index], f.Precision)}
	case state.Carried:
		return stepValue{number(s.Value[f.Index], f.Precision), "carried"}
	}
	return stepValue{Note: "missing"}
}
