// SPDX-License-Identifier: Apache-2.0

package policy

// This file: facts about organs, monitoring and the illness that the guideline
// rules beyond pressure and volume read. Many of them are charted in few
// patients: then they are unknown, and the rule is not assessed.

import (
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// How long these values may be read by a rule that speaks of the present, in
// minutes: a dynamic measure, glucose and gases change faster than a daily
// sample.
const (
	heldDynamicMin = 60
	heldGlucoseMin = 4 * 60
	heldAcidMin    = 8 * 60
	heldDayMin     = 24 * 60
)

var organFacts = []fact{
	num("scvo2_pct", "central or mixed venous oxygen saturation, %, not older than 2 h", aboutChart, newest(state.ConceptScvO2, heldHaemodynamicMin)),
	num("cardiac_index_l_min_m2", "cardiac index, L/min/m2, not older than 2 h", aboutChart, newest(state.ConceptCardiacIndex, heldHaemodynamicMin)),
	num("svv_pct", "stroke volume or pulse pressure variation, %, not older than 1 h", aboutChart, newest(state.ConceptSVV, heldDynamicMin)),
	num("ph", "newest arterial or venous pH, not older than 8 h", aboutChart, newest("ph", heldAcidMin)),
	num("bicarbonate_mmol_l", "newest bicarbonate, not older than 8 h", aboutChart, newest("bicarbonate", heldAcidMin)),
	num("akin_stage", "acute kidney injury by AKIN, 0 to 3, at least: from creatinine of the last 48 h, urine per kg, and dialysis", aboutChart, akinStage),
	num("hemoglobin_g_dl", "newest hemoglobin, not older than 24 h", aboutChart, newest("hemoglobin", heldDayMin)),
	num("glucose_mg_dl", "newest glucose, not older than 4 h", aboutChart, newest("glucose", heldGlucoseMin)),
	num("sodium_mmol_l", "newest sodium, not older than 24 h", aboutChart, newest("sodium", heldDayMin)),
	num("urine_ml_kg_h", "urine charted in the last 6 h per kg and hour", aboutChart, urinePerKg),
	yes("septic_shock", "septic shock by Sepsis-3: a vasopressor runs and lactate is above 2", aboutChart, septicShock),
	yes("arterial_line", "an arterial-line pressure is charted in the last 2 h; false where every pressure of that time is named as another's", aboutChart, arterialLine),
	yes("beta_blocker_running", "a beta-blocker infusion is charted as running; never false, because the shipped code maps do not read every beta-blocker", aboutChart, betaBlocker),
	check("bleeding", state.CheckBleeding, "active bleeding"),
}

// akinStage is a lower bound: the criteria that the chart can answer. A rise is
// from the lowest creatinine of the timeline's 48 h to the newest.
func akinStage(in *input) (float64, bool) {
	stage, known := creatinineStage(in.tl)
	if in.tl.Check(state.CheckDialysis).Result == state.CheckPresent && in.tl.Check(state.CheckESRD).Result != state.CheckPresent {
		return 3, true
	}
	if perKgH, ok := urinePerKg(in); ok && in.tl.HoursInICU >= 6 && perKgH < 0.5 {
		stage, known = max(stage, 1), true
		day := in.tl.Present.Fluids.Urine24hMl / 24 / in.tl.Present.Weight.Kg
		switch {
		case in.tl.HoursInICU >= 24 && day < 0.3:
			stage = 3
		case in.tl.HoursInICU >= 24 && day < 0.5:
			stage = max(stage, 2)
		}
	}
	return float64(stage), known
}

func creatinineStage(tl *state.Timeline) (stage int, known bool) {
	now, ok := tl.Present.Readings[string(state.FeatureAt(state.Creatinine).Name)]
	if !ok || now.AgeMin > heldDayMin {
		return 0, false
	}
	lowest, n := now.Value, 0
	for k := range tl.Steps {
		if s := &tl.Steps[k]; s.Presence[state.Creatinine] == state.Measured {
			lowest, n = min(lowest, s.Value[state.Creatinine]), n+1
		}
	}
	if n < 2 || lowest <= 0 {
		return 0, false
	}
	rise, ratio := now.Value-lowest, now.Value/lowest
	switch {
	case ratio > 3 || now.Value >= 4 && rise >= 0.5:
		return 3, true
	case ratio > 2:
		return 2, true
	case ratio >= 1.5 || rise >= 0.3-rounding:
		return 1, true
	}
	return 0, true
}

func urinePerKg(in *input) (float64, bool) {
	w, f := in.tl.Present.Weight, in.tl.Present.Fluids
	if !f.UrineKnown || !w.Known || w.Conflict != "" || !(w.Kg > 0) {
		return 0, false
	}
	return f.Urine6hMl / 6 / w.Kg, true
}

// septicShock is known where both halves are: lactate and vasopressors.
func septicShock(in *input) (bool, bool) {
	p := &in.tl.Present
	return p.Sepsis.Shock, p.Sepsis.Shock || p.VasoKnown && p.Lactate.Now != nil && p.Lactate.Now.AgeMin <= heldAcidMin
}

func arterialLine(in *input) (bool, bool) {
	m := &in.tl.Present.MAP
	if r := m.ArterialNow; r != nil && r.AgeMin <= heldHaemodynamicMin {
		return true, true
	}
	return false, m.Newest != nil && m.Newest.AgeMin <= heldHaemodynamicMin && m.Newest.Method == state.MethodCuff
}

// betaBlockers are the intravenous ones, as code maps spell them.
var betaBlockers = map[state.Drug]bool{"esmolol": true, "landiolol": true, "metoprolol": true, "propranolol": true, "labetalol": true}

func betaBlocker(in *input) (bool, bool) {
	for _, a := range in.tl.Present.Agents {
		if betaBlockers[a.Drug] && a.State != state.AgentStopped {
			return true, true
		}
	}
	return false, false
}
