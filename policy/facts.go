// SPDX-License-Identifier: Apache-2.0

package policy

// This file: the facts a rule may read, by name, with unit. A fact is known or
// unknown; an unknown fact has no value at all, so that a rule can never read
// a missing number as zero.

import (
	"math"
	"slices"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// about says what must be given for a fact to be readable.
type about int

const (
	aboutChart about = iota
	aboutProposal
	aboutForecast
)

// kind is the type of a fact.
type kind int

const (
	number kind = iota // double
	flag               // bool
	word               // string
)

// input is what facts are read from.
type input struct {
	tl *state.Timeline
	p  *Proposal
	fc *world.Forecast
}

// fact is one entry of the catalogue. read reports false where the chart does
// not say.
type fact struct {
	name  string
	kind  kind
	about about
	doc   string
	read  func(in *input) (any, bool)
}

// Fact describes one fact for people who write rules.
type Fact struct {
	Name string `json:"name"`
	Type string `json:"type"` // "double", "bool" or "string"
	Of   string `json:"of"`   // "chart", "proposal" or "forecast"
	Doc  string `json:"doc"`
}

// Facts lists every fact a rule may read, in a fixed order.
func Facts() []Fact {
	out := make([]Fact, len(catalogue))
	for i, f := range catalogue {
		out[i] = Fact{
			Name: f.name, Doc: f.doc,
			Type: [...]string{number: "double", flag: "bool", word: "string"}[f.kind],
			Of:   [...]string{aboutChart: "chart", aboutProposal: "proposal", aboutForecast: "forecast"}[f.about],
		}
	}
	return out
}

var catalogue = concat(chartFacts, organFacts, treatmentFacts, checkFacts, proposalFacts, forecastFacts)

var factByName = func() map[string]*fact {
	m := make(map[string]*fact, len(catalogue))
	for i := range catalogue {
		m[catalogue[i].name] = &catalogue[i]
	}
	return m
}()

func concat(groups ...[]fact) []fact {
	var out []fact
	for _, g := range groups {
		out = append(out, g...)
	}
	return out
}

func num(name, doc string, a about, read func(in *input) (float64, bool)) fact {
	return fact{name: name, doc: doc, kind: number, about: a, read: func(in *input) (any, bool) {
		v, ok := read(in)
		return v, ok && !math.IsNaN(v) && !math.IsInf(v, 0)
	}}
}

func yes(name, doc string, a about, read func(in *input) (bool, bool)) fact {
	return fact{name: name, doc: doc, kind: flag, about: a, read: func(in *input) (any, bool) { return read(in) }}
}

func text(name, doc string, a about, read func(in *input) string) fact {
	return fact{name: name, doc: doc, kind: word, about: a, read: func(in *input) (any, bool) { return read(in), true }}
}

func reading(r *state.Reading) (float64, bool) {
	if r == nil {
		return 0, false
	}
	return r.Value, true
}

func newest(c state.Concept, maxAgeMin float64) func(in *input) (float64, bool) {
	return func(in *input) (float64, bool) {
		r, ok := in.tl.Present.Readings[string(c)]
		if !ok || r.AgeMin > maxAgeMin {
			return 0, false
		}
		return r.Value, true
	}
}

func age(r *state.Reading, perMin float64) (float64, bool) {
	if r == nil {
		return 0, false
	}
	return r.AgeMin * perMin, true
}

// lowestSource is the lowest MAP that any source shows now: where sources
// disagree, the danger is in the lower one.
func lowestSource(in *input) (float64, bool) {
	const togetherMin = 30
	m := in.tl.Present.MAP
	if m.Newest == nil {
		return 0, false
	}
	low := m.Newest.Value
	for _, r := range []*state.Reading{m.ArterialNow, m.CuffNow} {
		if r != nil && math.Abs(r.AgeMin-m.Newest.AgeMin) <= togetherMin {
			low = min(low, r.Value)
		}
	}
	if m.Other != nil {
		low = min(low, m.Other.Value)
	}
	return low, true
}

// belowGoal grades a distance to the goal. A danger is said at any; how loudly
// is for the reader to hear.
func belowGoal(in *input) string {
	const justMmHg, wellMmHg = 5, 10
	m := in.tl.Present.MAP
	if m.Newest == nil {
		return "not known against"
	}
	switch d := m.GoalMmHg - m.Newest.Value; {
	case d <= 0:
		return "at or above"
	case d <= justMmHg:
		return "just below"
	case d < wellMmHg:
		return "below"
	}
	return "well below"
}

// heldMin is how long a reading without an age fact of its own may be read by
// a rule, in minutes: the hold times of reference sepsisagent.md 5.2.
const (
	heldHaemodynamicMin = 2 * 60
	heldGasMin          = 24 * 60
)

// nearestFact is the fact whose name shares most pairs of letters with what
// was written, for hints.
func nearestFact(written string) string {
	pairs := func(s string) map[string]bool {
		out := map[string]bool{}
		for i := 0; i+2 <= len(s); i++ {
			out[s[i:i+2]] = true
		}
		return out
	}
	want := pairs(strings.ToLower(written))
	best, most := catalogue[0].name, -1.0
	for _, f := range catalogue {
		have, shared := pairs(f.name), 0
		for p := range want {
			if have[p] {
				shared++
			}
		}
		if score := float64(shared) / float64(1+len(have)+len(want)); score > most {
			best, most = f.name, score
		}
	}
	return best
}

// units are what the names of facts and thresholds end in, longest first where
// one ends in another.
var units = []struct{ suffix, unit string }{
	{"_ug_kg_min", "ug/kg/min"}, {"_l_min_m2", "L/min/m2"}, {"_ml_kg_h", "mL/kg/h"}, {"_ml_kg", "mL/kg"}, {"_mmol_l", "mmol/L"}, {"_ml_h", "mL/h"},
	{"_g_dl", "g/dL"}, {"_mg_dl", "mg/dL"}, {"_mmhg", "mmHg"}, {"_years", "years"}, {"_stage", "stage"}, {"_steps", "steps"}, {"_ratio", "ratio"},
	{"_share", "share"}, {"_pct", "%"}, {"_ph", "pH"}, {"_min", "min"}, {"_ml", "mL"}, {"_kg", "kg"}, {"_h", "h"}, {"_s", "s"},
}

// Unit is the unit that the name of a fact ends in, as people write it; "" for
// flags, words and pure numbers.
func Unit(name string) string {
	for _, u := range units {
		if strings.HasSuffix(name, u.suffix) {
			return u.unit
		}
	}
	return ""
}

// Plain names a fact for people: without underscores and unit.
func Plain(name string) string {
	for _, u := range units {
		if rest, ok := strings.CutSuffix(name, u.suffix); ok && !slices.Contains([]string{"stage", "ratio"}, u.unit) {
			name = rest
			break
		}
	}
	return strings.ReplaceAll(name, "_", " ")
}

var chartFacts = []fact{
	num("age_years", "age in years", aboutChart, func(in *input) (float64, bool) { return in.tl.AgeYears, in.tl.AgeKnown }),
	num("hours_in_icu", "hours since ICU admission", aboutChart, func(in *input) (float64, bool) { return in.tl.HoursInICU, true }),
	num("map_mmhg", "newest MAP of the preferred source", aboutChart, func(in *input) (float64, bool) { return reading(in.tl.Present.MAP.Newest) }),
	num("map_age_min", "age of the newest MAP, minutes", aboutChart, func(in *input) (float64, bool) { return age(in.tl.Present.MAP.Newest, 1) }),
	num("map_min_1h_mmhg", "lowest MAP of the preferred source in the last hour", aboutChart, func(in *input) (float64, bool) { return reading(in.tl.Present.MAP.LastHourMin) }),
	num("map_lowest_source_mmhg", "lowest of the newest readings of line, cuff and other source that are within 30 min of the newest MAP, or that it disagrees with", aboutChart, lowestSource),
	num("map_goal_mmhg", "ordered MAP goal, else the default", aboutChart, func(in *input) (float64, bool) { return in.tl.Present.MAP.GoalMmHg, in.tl.Present.MAP.GoalMmHg > 0 }),
	text("below_goal", "how far below goal the newest MAP is, in words: just below (up to 5 mmHg), below, well below (10 and more); at or above", aboutChart, belowGoal),
	yes("map_goal_ordered", "the goal was ordered", aboutChart, func(in *input) (bool, bool) { return in.tl.Present.MAP.GoalOrdered, true }),
	yes("map_conflict", "two sources disagree, or the newest MAP is a lone outlier", aboutChart, func(in *input) (bool, bool) {
		return in.tl.Present.MAP.Disagree || in.tl.Present.MAP.LoneOutlier, in.tl.Present.MAP.Newest != nil
	}),
	num("steps_at_goal", "consecutive latest 4-h steps with mean MAP at or above goal", aboutChart, func(in *input) (float64, bool) { return float64(in.tl.Present.StepsAtGoal), true }),
	num("lactate_mmol_l", "newest lactate", aboutChart, func(in *input) (float64, bool) { return reading(in.tl.Present.Lactate.Now) }),
	num("lactate_age_h", "age of the newest lactate, hours", aboutChart, func(in *input) (float64, bool) { return age(in.tl.Present.Lactate.Now, 1.0/60) }),
	yes("lactate_rising", "newest lactate above the one before", aboutChart, func(in *input) (bool, bool) {
		return in.tl.Present.Lactate.Rising, in.tl.Present.Lactate.Before != nil
	}),
	yes("lactate_falling", "newest lactate below the one before", aboutChart, func(in *input) (bool, bool) {
		return in.tl.Present.Lactate.Falling, in.tl.Present.Lactate.Before != nil
	}),
	num("crt_s", "capillary refill time, seconds, not older than 2 h", aboutChart, newest(state.ConceptCRT, heldHaemodynamicMin)),
	num("cvp_mmhg", "central venous pressure, not older than 2 h", aboutChart, newest(state.ConceptCVP, heldHaemodynamicMin)),
	num("pf_ratio", "newest arterial PaO2/FiO2, mmHg, not older than 24 h", aboutChart, func(in *input) (float64, bool) {
		v, ok := reading(in.tl.Present.PFRatio.Now)
		return v, ok && in.tl.Present.PFRatio.Now.AgeMin <= heldGasMin
	}),
	num("weight_kg", "weight without conflict", aboutChart, func(in *input) (float64, bool) {
		w := in.tl.Present.Weight
		return w.Kg, w.Known && w.Conflict == "" && w.Kg > 0
	}),
	num("hours_since_sepsis", "hours since the earliest evidence of sepsis", aboutChart, func(in *input) (float64, bool) {
		since := in.tl.Present.Sepsis.Since
		return in.tl.At.Sub(since).Hours(), !since.IsZero()
	}),
	num("urine_6h_ml", "urine charted in the last 6 h", aboutChart, func(in *input) (float64, bool) {
		return in.tl.Present.Fluids.Urine6hMl, in.tl.Present.Fluids.UrineKnown
	}),
}

// check is a fact that is a clinical check of the timeline: known only where
// the chart could be asked.
func check(name, key, doc string) fact {
	return yes(name, doc, aboutChart, func(in *input) (bool, bool) {
		r := in.tl.Check(key).Result
		return r == state.CheckPresent, r == state.CheckPresent || r == state.CheckAbsent
	})
}

var checkFacts = []fact{
	check("heart_failure", state.CheckHeartFailure, "heart failure"),
	check("esrd", state.CheckESRD, "end-stage renal disease"),
	check("dialysis", state.CheckDialysis, "dialysis or renal replacement"),
	check("cirrhosis", state.CheckCirrhosis, "cirrhosis"),
	check("worsening_pf", state.CheckWorseningPF, "P/F ratio fell by more than a fifth"),
	yes("fluid_caution", "any of heart failure, end-stage renal disease, dialysis, cirrhosis or worsening P/F is charted; what could not be checked does not count here and is disclosed", aboutChart,
		func(in *input) (bool, bool) { return FluidCaution(in.tl) != "", true }),
}

var proposalFacts = []fact{
	text("direction", "none, start, increase, decrease, stop or add", aboutProposal, func(in *input) string { return in.p.Direction }),
	text("drug", "the drug that is changed; empty when none", aboutProposal, func(in *input) string { return string(in.p.Drug) }),
	text("fluid_kind", "the bolus fluid; empty when none", aboutProposal, func(in *input) string { return in.p.FluidKind }),
	yes("changes_treatment", "changes a vasopressor or gives a bolus", aboutProposal, func(in *input) (bool, bool) {
		return in.p.changesVasopressor() || in.p.BolusMl != 0, true
	}),
	yes("raises_vasopressor", "starts, adds or increases a vasopressor", aboutProposal, func(in *input) (bool, bool) { return in.p.Raises(), true }),
	yes("lowers_vasopressor", "decreases or stops a vasopressor", aboutProposal, func(in *input) (bool, bool) { return in.p.Lowers(), true }),
	num("ne_next_ug_kg_min", "norepinephrine-equivalents after the first step, ug/kg/min", aboutProposal, func(in *input) (float64, bool) {
		return in.p.NENextUgKgMin, in.tl.Present.VasoKnown
	}),
	num("bolus_ml", "the proposed bolus, mL", aboutProposal, func(in *input) (float64, bool) { return in.p.BolusMl, true }),
	num("vasopressor_level_next", "vasopressor level of the plan's first step", aboutProposal, func(in *input) (float64, bool) { return float64(in.p.LevelsNext.Vasopressor), true }),
	num("fluid_level_next", "fluid level of the plan's first step", aboutProposal, func(in *input) (float64, bool) { return float64(in.p.LevelsNext.Fluid), true }),
}
