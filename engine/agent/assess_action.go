// SPDX-License-Identifier: Apache-2.0

package agent

// This file: a drafted order as an action: which change of which drug it stands
// for beside what runs now. An order for a running drug takes the place of its
// rate; one whose titration range holds the running rate changes nothing.

import (
	"fmt"
	"math"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

// action is what a draft stands for.
type action struct {
	draft        *state.Draft
	why          string           // why it stands for no action, or not for a whole one
	proposal     *policy.Proposal // nil: no action
	plan         *world.Plan      // nil: it cannot be simulated
	neUgKgMin    float64          // norepinephrine-equivalent of the drafted rate; 0 unknown
	neTopUgKgMin float64          // of the top of its range
	bolusMl      float64          // real mL of a bolus; for a fast rate without an amount, what it gives in one step
	byRate       bool             // bolusMl follows from a rate alone
	noWeight     bool             // the rate is per minute, and no weight is sound
}

func (a *action) raises() bool { return a.proposal != nil && a.proposal.Raises() }

// sameRate is the relative difference up to which two rates are the same order.
const sameRate = 0.005

func (s *session) act(d *state.Draft) action {
	a := action{draft: d}
	switch {
	case d.Skip != "":
		a.why = d.Skip
	case d.Class == state.ClassVasopressor:
		s.pressor(&a)
	default:
		s.volume(&a)
	}
	return a
}

// pressor fills the action of a vasopressor order.
func (s *session) pressor(a *action) {
	d, p := a.draft, &s.tl.Present
	kg := d.DosingKg
	if kg == 0 && p.Weight.Known && p.Weight.Conflict == "" {
		kg = p.Weight.Kg
	}
	ends := d.Does != state.DraftGives || d.RateKnown && d.Rate == 0 && d.RateHigh == 0
	unknown := d.Unknown
	if d.RateKnown && !ends {
		if a.neUgKgMin, unknown = s.agent.cfg.State.NEOf(d.Drug, d.Rate, d.RateUnit, kg); unknown != "" {
			a.neUgKgMin = 0
		}
	}
	a.noWeight = d.RateKnown && !ends && d.RateUnit == state.UnitUgMin && kg == 0
	if d.RateHigh > 0 {
		if top, why := s.agent.cfg.State.NEOf(d.Drug, d.RateHigh, d.RateUnit, kg); why == "" {
			a.neTopUgKgMin = top
		}
	}
	now, runs := runningAgent(s.tl, d.Drug)
	switch {
	case !p.VasoKnown:
		a.why = because("what runs now is not known", p.VasoWhy)
	case ends && !runs:
		a.why = "it does not run"
	case ends && s.replaced(d):
		a.why = "another order of this session takes its place"
	case ends:
		s.propose(a, policy.DirectionStop, now, 0, 0)
	case unknown != "" && (runs || a.neTopUgKgMin > 0):
		a.why = unknown
	case unknown != "":
		a.why = unknown
		s.propose(a, s.startOrAdd(), now, 0, 0)
		a.plan = nil // a start, but nobody knows at which rate
	case runs && (math.Abs(a.neUgKgMin-now.NEUgKgMin) <= sameRate*now.NEUgKgMin || d.RateHigh > 0 && a.neUgKgMin <= now.NEUgKgMin && now.NEUgKgMin <= a.neTopUgKgMin):
		s.propose(a, policy.DirectionNone, now, a.neUgKgMin, kg)
	case runs && a.neUgKgMin > now.NEUgKgMin:
		s.propose(a, policy.DirectionIncrease, now, a.neUgKgMin, kg)
	case runs:
		s.propose(a, policy.DirectionDecrease, now, a.neUgKgMin, kg)
	default:
		s.propose(a, s.startOrAdd(), now, a.neUgKgMin, kg)
	}
}

func (s *session) startOrAdd() string {
	if len(vasopressors(s.tl)) > 0 {
		return policy.DirectionAdd
	}
	return policy.DirectionStart
}

// replaced reports that another draft gives the drug that d ends.
func (s *session) replaced(d *state.Draft) bool {
	for i := range s.drafts {
		if o := &s.drafts[i]; o != d && o.Skip == "" && o.Drug == d.Drug && o.Does == state.DraftGives {
			return true
		}
	}
	return false
}

// propose makes the proposal and the plan of a vasopressor order whose own rate
// is ne of norepinephrine-equivalents.
func (s *session) propose(a *action, direction string, now state.Agent, ne, kg float64) {
	d, neNow := a.draft, s.tl.Present.NEUgKgMin
	p := s.agent.holdProposal(s.tl)
	p.Name, p.Direction = orderName(d, direction), direction
	if direction != policy.DirectionNone {
		p.Drug, p.NENextUgKgMin = d.Drug, math.Max(0, neNow-now.NEUgKgMin+ne)
		switch {
		case d.Drug == state.DrugVasopressin:
			p.VasopressinUMin = d.Rate
		default:
			p.DrugNowUgKgMin = now.RateUgKgMin
			p.DrugNextUgKgMin = ownRate(d, kg)
		}
		if direction == policy.DirectionStop {
			p.VasopressinUMin, p.DrugNextUgKgMin = 0, 0
		}
	}
	p.LevelsNext = s.agent.cfg.State.LevelsOf(p.NENextUgKgMin, maintenanceModelMl(s.tl))
	a.proposal = &p
	s.planned(a, 0, 0)
}

// ownRate is the drafted rate in ug/kg/min; 0 where there is none.
func ownRate(d *state.Draft, kg float64) float64 {
	switch {
	case !d.RateKnown:
	case d.RateUnit == state.UnitUgKgMin:
		return d.Rate
	case d.RateUnit == state.UnitUgMin && kg > 0:
		return d.Rate / kg
	}
	return 0
}

// volume fills the action of a fluid order.
func (s *session) volume(a *action) {
	d := a.draft
	if d.Does != state.DraftGives {
		a.why = "ending a fluid is not judged"
		return
	}
	perStep := 0.0 // maintenance it adds, real mL per step
	switch fast := d.Ledger == state.LedgerBolus || d.Class == state.ClassColloid; {
	case fast && d.MlKnown:
		a.bolusMl = d.AmountMl
	case fast && d.RateKnown:
		a.bolusMl, a.byRate = d.Rate*state.StepHours, true
	case fast:
		a.why = because("its amount is not known", d.Unknown)
	case d.RateKnown:
		perStep = d.Rate * state.StepHours
	case d.MlKnown && d.OverMin > 0:
		perStep = d.AmountMl * math.Min(1, state.StepHours*60/d.OverMin)
	case d.MlKnown:
		perStep = d.AmountMl // small, at once
	default:
		a.why = because("its amount is not known", d.Unknown)
	}
	p := s.agent.holdProposal(s.tl)
	p.Name, p.FluidKind, p.BolusMl = orderName(d, ""), string(d.Drug), a.bolusMl
	p.LevelsNext = s.agent.cfg.State.LevelsOf(p.NENextUgKgMin, maintenanceModelMl(s.tl)+(perStep+a.bolusMl)*d.Tonicity)
	a.proposal = &p
	if a.why == "" {
		s.planned(a, perStep*d.Tonicity, a.bolusMl*d.Tonicity)
	}
}

// planned makes the plan that is simulated: the changed vasopressor and added
// maintenance throughout, the bolus in the first step.
func (s *session) planned(a *action, maintenanceMl, bolusMl float64) {
	plan := world.Plan{Name: a.proposal.Name, Doses: make([]world.Dose, s.agent.cfg.HorizonSteps)}
	for k := range plan.Doses {
		plan.Doses[k] = world.Dose{NEUgKgMin: a.proposal.NENextUgKgMin, FluidMl: maintenanceModelMl(s.tl) + maintenanceMl}
	}
	plan.Doses[0].FluidMl += bolusMl
	a.plan = &plan
}

// orderName names an order by its drug and what it does. Its dose, as written,
// is in the draft.
func orderName(d *state.Draft, direction string) string {
	if direction == policy.DirectionNone || direction == "" {
		return fmt.Sprintf("order of %s", d.Drug)
	}
	return fmt.Sprintf("order to %s %s", direction, d.Drug)
}
