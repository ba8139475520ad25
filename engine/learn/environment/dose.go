// SPDX-License-Identifier: Apache-2.0

package environment

// This file: what a pair of levels stands for when it is given to a simulated
// patient. At a bedside a level is never turned back into a dose (design.md 4);
// here something has to run.

import (
	"fmt"
	"math"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

// Pairs is the number of pairs of levels; pair p is vasopressor p/5, fluid p%5.
const Pairs = 25

// LevelsOf is the pair of that number.
func LevelsOf(pair int) state.Levels { return state.Levels{Vasopressor: pair / 5, Fluid: pair % 5} }

// beyond the last cut-point a level stands for a third more than it.
const beyond = 4. / 3

// DoseOf is what levels stand for in a state: the level that runs leaves the
// pump alone, any other is the middle of its range.
func DoseOf(cfg state.Config, tl *state.Timeline, l state.Levels) world.Dose {
	now := agent.LevelsNow(cfg, tl)
	d := world.Dose{NEUgKgMin: middle(cfg.DoseRange(true, l.Vasopressor)), FluidMl: middle(cfg.DoseRange(false, l.Fluid))}
	if l.Vasopressor == now.Vasopressor {
		d.NEUgKgMin = tl.Present.NEUgKgMin
	}
	if l.Fluid == now.Fluid {
		d.FluidMl = agent.MaintenanceModelMl(tl)
	}
	return d
}

func middle(lo, hi float64) float64 {
	if math.IsInf(hi, 1) {
		return lo * beyond
	}
	return (lo + hi) / 2
}

// leastChangeUgKgMin is how far norepinephrine must move to count as changed;
// less is a pump's rounding.
const leastChangeUgKgMin = 0.005

// ProposalOf is the pair as rules read a proposal. Volume over what runs anyway
// is a bolus.
func ProposalOf(cfg state.Config, tl *state.Timeline, l state.Levels) policy.Proposal {
	dose, maintenance := DoseOf(cfg, tl, l), agent.MaintenanceModelMl(tl)
	p := policy.Proposal{
		Direction: policy.DirectionNone, NENowUgKgMin: tl.Present.NEUgKgMin, NENextUgKgMin: dose.NEUgKgMin,
		BolusMl: max(0, dose.FluidMl-maintenance), LevelsNow: agent.LevelsNow(cfg, tl), LevelsNext: l,
	}
	switch d := p.NENextUgKgMin - p.NENowUgKgMin; {
	case d > leastChangeUgKgMin && p.NENowUgKgMin == 0:
		p.Direction = policy.DirectionStart
	case d > leastChangeUgKgMin:
		p.Direction = policy.DirectionIncrease
	case d < -leastChangeUgKgMin && p.NENextUgKgMin == 0:
		p.Direction = policy.DirectionStop
	case d < -leastChangeUgKgMin:
		p.Direction = policy.DirectionDecrease
	}
	if p.Direction != policy.DirectionNone {
		p.Drug, p.DrugNowUgKgMin, p.DrugNextUgKgMin = state.DrugNorepinephrine, p.NENowUgKgMin, p.NENextUgKgMin
	}
	if p.BolusMl > 0 {
		p.FluidKind = "balanced crystalloid"
	}
	p.Name = nameOf(&p, dose)
	return p
}

func nameOf(p *policy.Proposal, dose world.Dose) string {
	if p.LevelsNow == p.LevelsNext {
		return "current treatment"
	}
	return fmt.Sprintf("norepinephrine equivalent %.2f ug/kg/min, %.0f mL in 4 h", dose.NEUgKgMin, dose.FluidMl)
}

// planOf keeps the vasopressor over the steps; volume over what runs anyway is
// given in the first.
func planOf(tl *state.Timeline, p *policy.Proposal, dose world.Dose, steps int) world.Plan {
	plan := world.Plan{Name: p.Name, Doses: make([]world.Dose, steps)}
	for k := range plan.Doses {
		plan.Doses[k] = world.Dose{NEUgKgMin: dose.NEUgKgMin, FluidMl: min(dose.FluidMl, agent.MaintenanceModelMl(tl))}
	}
	plan.Doses[0].FluidMl = dose.FluidMl
	return plan
}
