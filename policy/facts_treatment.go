// SPDX-License-Identifier: Apache-2.0

package policy

// This file: facts about what is given: vasopressors that run or may run, and
// the ledgers of fluid. What is not charted here is unknown, never nothing.

import (
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

var treatmentFacts = []fact{
	num("ne_now_ug_kg_min", "norepinephrine-equivalents running now, ug/kg/min", aboutChart, func(in *input) (float64, bool) {
		return in.tl.Present.NEUgKgMin, in.tl.Present.VasoKnown
	}),
	num("ne_mean_4h_ug_kg_min", "mean norepinephrine-equivalents over the last 4 h, ug/kg/min", aboutChart, func(in *input) (float64, bool) {
		g, ok := lastGiven(in.tl)
		return g.NEMeanUgKgMin, ok && g.VasoKnown
	}),
	num("ne_8h_ago_ug_kg_min", "norepinephrine-equivalents running 8 h ago in this stay, ug/kg/min", aboutChart, func(in *input) (float64, bool) {
		k := len(in.tl.Steps) - 3
		if k < 0 || !in.tl.Steps[k].InStay {
			return 0, false
		}
		return in.tl.Steps[k].Given.NEEndUgKgMin, in.tl.Steps[k].Given.VasoKnown
	}),
	num("norepinephrine_ug_kg_min", "norepinephrine's own running rate, ug/kg/min", aboutChart, func(in *input) (float64, bool) {
		v, _ := running(in.tl, state.DrugNorepinephrine)
		return v.RateUgKgMin, in.tl.Present.VasoKnown
	}),
	yes("vasopressor_running", "any vasopressor running now", aboutChart, func(in *input) (bool, bool) {
		return runningCount(in.tl) > 0, in.tl.Present.VasoKnown
	}),
	yes("vasopressor_charted", "a vasopressor is charted as running, whether or not its rate is known", aboutChart, func(in *input) (bool, bool) {
		return vasopressorCharted(in.tl), true
	}),
	yes("vasopressor_may_run", "a vasopressor is charted as running, or was and neither its rate of now nor its end is charted", aboutChart, func(in *input) (bool, bool) {
		return vasopressorCharted(in.tl) || vasopressorUndocumented(in.tl), true
	}),
	text("vasopressor_standing", "what the chart says of a vasopressor that may run: that it is charted as running, or that its rate of now is not charted", aboutChart, func(in *input) string {
		if vasopressorCharted(in.tl) || !vasopressorUndocumented(in.tl) {
			return "A vasopressor is charted as running"
		}
		return "A vasopressor may still run (its current rate is not charted, nor its end)"
	}),
	text("vasopressor_missing", "what the chart lacks where no vasopressor is charted as running: a running vasopressor, or the current rate of one whose last rate is too old", aboutChart, vasopressorMissing),
	{name: "pressure_lowering_drug", kind: word, about: aboutChart, doc: "a drug charted as running that lowers the pressure: a vasodilator or a beta-blocker; unknown where none is charted",
		read: func(in *input) (any, bool) { d := pressureLowering(in.tl); return d, d != "" }},
	text("treatment_charted", "what is charted against a low pressure: a vasopressor, or fluid alone", aboutChart, func(in *input) string {
		if vasopressorCharted(in.tl) {
			return "a vasopressor"
		}
		return "fluid, and no vasopressor,"
	}),
	yes("vasopressors_charted_here", "vasopressors are charted where the patient is; false: one that runs cannot be seen", aboutChart, func(in *input) (bool, bool) {
		return !slices.ContainsFunc(in.tl.Gaps, func(g state.Gap) bool { return g.What == state.GapVasopressor }), true
	}),
	yes("vasopressin_running", "vasopressin running now", aboutChart, func(in *input) (bool, bool) {
		_, ok := running(in.tl, state.DrugVasopressin)
		return ok, in.tl.Present.VasoKnown
	}),
	num("vasopressors_running", "how many vasopressors run now", aboutChart, func(in *input) (float64, bool) {
		return float64(runningCount(in.tl)), in.tl.Present.VasoKnown
	}),
	num("fluid_rate_ml_h", "mean of all charted fluid over the last step, real mL/h", aboutChart, func(in *input) (float64, bool) {
		g, ok := lastGiven(in.tl)
		return (g.BolusMl + g.MaintenanceMl + g.CarrierMl + g.BloodMl) / state.StepHours, ok && g.FluidKnown
	}),
	num("bolus_3h_ml", "boluses charted here in the last 3 h, real mL", aboutChart, func(in *input) (float64, bool) {
		return in.tl.Present.Fluids.Bolus3hMl, in.tl.Present.Fluids.Known
	}),
	num("bolus_24h_ml", "boluses charted here in the last 24 h, real mL", aboutChart, func(in *input) (float64, bool) {
		return in.tl.Present.Fluids.Bolus24hMl, in.tl.Present.Fluids.Known
	}),
	num("bolus_stay_ml", "boluses charted here in this stay, real mL", aboutChart, func(in *input) (float64, bool) {
		return in.tl.Present.Fluids.BolusStayMl, in.tl.Present.Fluids.Known
	}),
	num("balance_ml", "fluid balance of the stay, real mL", aboutChart, func(in *input) (float64, bool) {
		return in.tl.Present.Fluids.BalanceMl, in.tl.Present.Fluids.BalanceKnown
	}),
}

func lastGiven(tl *state.Timeline) (state.Exposure, bool) {
	if len(tl.Steps) == 0 {
		return state.Exposure{}, false
	}
	return tl.Steps[len(tl.Steps)-1].Given, true
}

func running(tl *state.Timeline, drug state.Drug) (state.Agent, bool) {
	for _, a := range tl.Present.Agents {
		if a.Drug == drug && a.State == state.AgentRunning {
			return a, true
		}
	}
	return state.Agent{}, false
}

func runningCount(tl *state.Timeline) int {
	n := 0
	for _, a := range tl.Present.Agents {
		if a.Class == state.ClassVasopressor && a.State == state.AgentRunning && (a.Rate > 0 || a.NEUgKgMin > 0) {
			n++
		}
	}
	return n
}

func vasopressorCharted(tl *state.Timeline) bool {
	for _, a := range tl.Present.Agents {
		if a.Class == state.ClassVasopressor && (a.State == state.AgentRunning && (a.Rate > 0 || a.NEUgKgMin > 0) || a.State == state.AgentUnknownRate) {
			return true
		}
	}
	return false
}

// vasodilators are the infused ones, as code maps spell them.
var vasodilators = map[state.Drug]bool{"nitroglycerin": true, "nitroprusside": true, "nicardipine": true, "clevidipine": true}

// pressureLowering is the first drug charted as running that lowers the
// pressure. Whoever is told of a low one has to know of it.
func pressureLowering(tl *state.Timeline) string {
	for _, a := range tl.Present.Agents {
		if (vasodilators[a.Drug] || betaBlockers[a.Drug]) && a.State != state.AgentStopped {
			return string(a.Drug)
		}
	}
	return ""
}

// vasopressorUndocumented reports a vasopressor whose last rate is too old to be
// of now and whose end is not charted.
func vasopressorUndocumented(tl *state.Timeline) bool {
	return slices.ContainsFunc(tl.Present.Agents, func(a state.Agent) bool {
		return a.Class == state.ClassVasopressor && a.State == state.AgentUndocumented
	})
}

// vasopressorMissing is what the chart lacks, in words that stay true of a pump
// that nobody has charted for hours: it may well run.
func vasopressorMissing(in *input) string {
	if vasopressorUndocumented(in.tl) {
		return "current vasopressor rate"
	}
	return "running vasopressor"
}
