// SPDX-License-Identifier: Apache-2.0

package agent

// This file: that a plan is called by the rate it stands for.

import (
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/policy"
)

func TestAPlanIsCalledByItsRateToTheThirdDecimal(t *testing.T) {
	for want, mv := range map[string]move{
		"increase norepinephrine to 0.135 ug/kg/min": {direction: policy.DirectionIncrease, drug: state.DrugNorepinephrine, toUgKgMin: 0.135},
		"increase norepinephrine to 0.20 ug/kg/min":  {direction: policy.DirectionIncrease, drug: state.DrugNorepinephrine, toUgKgMin: 0.2},
		"decrease norepinephrine to 0.005 ug/kg/min": {direction: policy.DirectionDecrease, drug: state.DrugNorepinephrine, toUgKgMin: 0.005},
		"decrease vasopressin 0.025 U/min":           {direction: policy.DirectionDecrease, drug: state.DrugVasopressin, uMin: 0.025},
		"stop norepinephrine":                        {direction: policy.DirectionStop, drug: state.DrugNorepinephrine},
	} {
		if got := moveName(mv, 0); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
