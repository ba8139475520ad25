// SPDX-License-Identifier: Apache-2.0

package policy

// This file: facts about the simulated future of a proposal. A step that was
// not simulated, or a quantity that was never measured in this patient, is
// unknown: what the model assumes is no fact.

import (
	"fmt"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

var forecastFacts = concat([]fact{
	num("support", "chance that clinicians give the first step's levels in such a state", aboutForecast, func(in *input) (float64, bool) { return in.fc.Support, true }),
	num("ood", "distance percentile of the state against training data, 0 to 1", aboutForecast, func(in *input) (float64, bool) { return in.fc.OOD, true }),
	num("similar", "training steps among the nearest that had the first step's levels", aboutForecast, func(in *input) (float64, bool) { return float64(in.fc.Similar), true }),
	num("disagreement_mmhg", "ensemble standard deviation of the first step's MAP", aboutForecast, func(in *input) (float64, bool) { return in.fc.Disagreement, true }),
	num("forecast_map_4h_low80_mmhg", "lower end of the 80 % interval of the first step's MAP", aboutForecast, func(in *input) (float64, bool) {
		if len(in.fc.Steps) == 0 {
			return 0, false
		}
		return in.fc.Steps[0].Band[state.MeanBP].Lo80, true
	}),
	num("p_map_at_goal_4h", "chance that the first step's mean MAP is at goal", aboutForecast, func(in *input) (float64, bool) {
		if len(in.fc.Steps) == 0 {
			return 0, false
		}
		return in.fc.Steps[0].PMAPAtGoal, true
	}),
	yes("forecast_reaches_goal", "the median forecast MAP reaches the goal in some simulated step", aboutForecast, func(in *input) (bool, bool) {
		_, ok := firstAtGoalH(in)
		return ok, len(in.fc.Steps) > 0
	}),
	num("forecast_first_at_goal_h", "hours to the end of the first simulated step whose median MAP is at goal; unknown where none is", aboutForecast, firstAtGoalH),
},
	atSteps("forecast_map_%dh_mmhg", "median forecast MAP", state.MeanBP),
	atSteps("forecast_lactate_%dh_mmol_l", "median forecast lactate", state.Lactate),
	atSteps("forecast_creatinine_%dh_mg_dl", "median forecast creatinine", state.Creatinine),
	atSteps("forecast_urine_%dh_ml", "median forecast urine of the 4 hours", state.Urine),
	forecastPF(),
)

// stepEndsH are the ends of the simulated steps that have facts, in hours.
var stepEndsH = []int{4, 8, 12}

// atSteps makes the facts of one quantity at the ends of the first steps.
func atSteps(pattern, doc string, feature int) []fact {
	var out []fact
	for k, h := range stepEndsH {
		out = append(out, num(fmt.Sprintf(pattern, h), fmt.Sprintf("%s of the step that ends in %d h", doc, h), aboutForecast, func(in *input) (float64, bool) {
			return band(in, k, feature)
		}))
	}
	return out
}

// forecastPF is P/F from the medians of both, only where both were measured.
func forecastPF() []fact {
	var out []fact
	for k, h := range stepEndsH {
		out = append(out, num(fmt.Sprintf("forecast_pf_%dh_ratio", h), fmt.Sprintf("PaO2/FiO2 from the median forecasts of the step that ends in %d h", h), aboutForecast, func(in *input) (float64, bool) {
			pao2, ok := band(in, k, state.PaO2)
			fio2, okToo := band(in, k, state.FiO2)
			return pao2 / fio2 * 100, ok && okToo && fio2 > 0
		}))
	}
	return out
}

func firstAtGoalH(in *input) (float64, bool) {
	for k := range in.fc.Steps {
		if in.fc.Steps[k].Band[state.MeanBP].Median >= in.tl.Present.MAP.GoalMmHg {
			return in.fc.Steps[k].EndH, true
		}
	}
	return 0, false
}

// band is the median of a feature at a step that was simulated, where the
// patient's own value was measured or is carried.
func band(in *input, step, feature int) (float64, bool) {
	if step >= len(in.fc.Steps) || !observed(in.tl, feature) {
		return 0, false
	}
	return in.fc.Steps[step].Band[feature].Median, true
}

func observed(tl *state.Timeline, feature int) bool {
	if feature == state.MeanBP && tl.Present.MAP.Newest != nil {
		return true
	}
	return len(tl.Steps) > 0 && tl.Steps[len(tl.Steps)-1].Presence[feature] != state.Missing
}
