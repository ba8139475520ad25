// SPDX-License-Identifier: Apache-2.0

package agent

// This file: the native agent's scale for a treatment that is not its own, so
// that what others are shown or trained on is weighed the same way.

import (
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

// Worth is the risk-adjusted value of a simulated proposal, higher is better,
// at most 0. It is on the scale of Option.Value. current says that the proposal
// leaves treatment as it is, which is never held to be rare.
func (n *Native) Worth(tl *state.Timeline, p policy.Proposal, fc *world.Forecast, verdicts []policy.Verdict, current bool) float64 {
	o := &option{candidate: candidate{plan: fc.Plan, rank: rankBolus}}
	if current {
		o.rank = rankHold
	}
	o.Proposal, o.Forecast, o.Verdicts = p, *fc, verdicts
	value, _ := n.value(tl, o)
	return value
}

// LevelsNow labels current treatment: the vasopressors that run at T, and the
// fluid that would go on without a bolus.
func LevelsNow(cfg state.Config, tl *state.Timeline) state.Levels {
	return cfg.LevelsOf(tl.Present.NEUgKgMin, MaintenanceModelMl(tl))
}

// MaintenanceModelMl is the fluid per step, tonicity-adjusted mL, that would go
// on without a bolus: that of the newest step without its boluses and blood; 0
// where it is not known.
func MaintenanceModelMl(tl *state.Timeline) float64 { return maintenanceModelMl(tl) }
