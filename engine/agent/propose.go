// SPDX-License-Identifier: Apache-2.0

package agent

// This file: the candidates. They stand around current treatment: leave it,
// one step of one vasopressor, one bolus, or both. Below goal the step is a
// function of the chart alone, the larger the lower MAP, and whether the
// vasopressor has to go up or volume comes first is too (raise.go). What is
// simulated decides about volume, about weaning, and whether to speak at all;
// so no forecast can make a higher MAP raise the suggested vasopressor.

import (
	"fmt"
	"math"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

// candidate is one treatment to be judged and simulated.
type candidate struct {
	proposal policy.Proposal
	advice   Advice
	plan     world.Plan
	rank     int // smaller is the smaller change; ties in value go to it
}

// Ranks of vasopressor moves: hold, the weans, then what raises. A bolus adds
// to the rank so that any wean counts as a smaller change than any bolus.
const (
	rankHold  = 0
	rankWean  = 1  // to 4
	rankBolus = 10 // plus the bolus index
	rankRaise = 20 // to 24
)

// move is one change of one vasopressor, or none.
type move struct {
	direction string
	drug      state.Drug
	from, to  float64 // the drug's own rate, ug/kg/min; 0 for vasopressin
	uMin      float64 // vasopressin after the change
	neDelta   float64 // change of norepinephrine-equivalents, ug/kg/min
	rank      int
}

// balanced is the fluid of every suggested bolus (design.md 5.3).
const balanced = "balanced crystalloid"

// propose returns the candidates, current treatment first.
func (n *Native) propose(tl *state.Timeline, behaviour [5][5]float64) []candidate {
	moves := []move{{direction: policy.DirectionNone, rank: rankHold}}
	m := tl.Present.MAP
	below := m.Newest.Value < m.GoalMmHg
	if below {
		moves = append(moves, n.raises(tl)...)
	} else if n.hypertensive(tl) || m.LastHourMin != nil && m.LastHourMin.Value >= m.GoalMmHg && n.perfused(tl) && n.mayWean(tl, behaviour) {
		moves = append(moves, n.weans(tl)...)
	}

	var out []candidate
	for _, mv := range moves {
		out = append(out, n.candidate(tl, mv, -1))
	}
	if n.mayBolus(tl, below) {
		for _, mv := range moves {
			if mv.rank >= rankWean && mv.rank < rankBolus {
				continue // never wean and give volume at once
			}
			for i := range n.cfg.BolusesMl {
				out = append(out, n.candidate(tl, mv, i))
			}
		}
	}
	return out
}

// hypertensiveMmHg is how far above goal a MAP on a vasopressor is too high
// whatever the lactate (rule V9, after Festor 2022 hazard B).
const hypertensiveMmHg = 30

// hypertensive reports a MAP held far above goal by a vasopressor. Lactate asks
// for flow, and constriction beyond need takes it away; so less is considered
// then even while lactate is raised.
func (n *Native) hypertensive(tl *state.Timeline) bool {
	m := tl.Present.MAP
	return tl.Present.NEUgKgMin > 0 && m.Newest.Value > m.GoalMmHg+hypertensiveMmHg &&
		m.LastHourMin != nil && m.LastHourMin.Value >= m.GoalMmHg+n.cfg.WeanMarginMmHg
}

// perfused reports whether lactate allows to think of less vasopressor: no
// current value speaks against it (rule V10). Without one, weaning is judged by
// MAP, and the card asks for a lactate.
func (n *Native) perfused(tl *state.Timeline) bool {
	l := &tl.Present.Lactate
	return !n.lactateCurrent(tl) || !l.Rising && (l.Now.Value <= raisedLactate || l.Falling)
}

// lactateCurrent reports whether the newest lactate is new enough to speak of now.
func (n *Native) lactateCurrent(tl *state.Timeline) bool {
	l := tl.Present.Lactate.Now
	return l != nil && l.AgeMin <= n.cfg.StaleLactateH*60
}

// mayWean reports whether a step down is to be considered: MAP has been at
// goal for long enough, or clinicians mostly give less in such states.
func (n *Native) mayWean(tl *state.Timeline, behaviour [5][5]float64) bool {
	if tl.Present.StepsAtGoal >= n.cfg.WeanSteps {
		return true
	}
	now := n.cfg.State.LevelsOf(tl.Present.NEUgKgMin, 0).Vasopressor
	less := 0.0
	for v := 0; v < now; v++ {
		for f := range behaviour[v] {
			less += behaviour[v][f]
		}
	}
	return less > 0.5
}

// weans are the moves offered at goal. The last agent goes first (rule V10):
// vasopressin before norepinephrine. While an agent runs whose steps are not
// in ug/kg/min of norepinephrine (phenylephrine, dopamine, angiotensin II),
// lowering is left to the bedside and no move is offered.
func (n *Native) weans(tl *state.Timeline) []move {
	m := tl.Present.MAP
	far := m.Newest.Value >= m.GoalMmHg+n.cfg.WeanMarginMmHg
	a, ok := lastAgent(tl)
	if !ok {
		return nil
	}
	if a.Drug == state.DrugVasopressin {
		return n.weanVasopressin(a)
	}
	if a.Drug != state.DrugNorepinephrine && a.Drug != state.DrugEpinephrine {
		return nil
	}
	var out []move
	rate := a.RateUgKgMin
	down := func(direction string, to float64, rank int) {
		out = append(out, move{direction, a.Drug, rate, to, 0, to - rate, rank})
	}
	if rate > n.cfg.SmallStepUgKgMin {
		down(policy.DirectionDecrease, ceil6(rate-n.cfg.SmallStepUgKgMin), rankWean)
	} else if rate > 0 {
		down(policy.DirectionStop, 0, rankWean+2)
	}
	if far && rate > n.cfg.FullStepUgKgMin {
		down(policy.DirectionDecrease, ceil6(rate-n.cfg.FullStepUgKgMin), rankWean+1)
	} else if far && rate > n.cfg.SmallStepUgKgMin {
		down(policy.DirectionStop, 0, rankWean+2)
	}
	return out
}

func (n *Native) weanVasopressin(a state.Agent) []move {
	u := vasopressinUMin(a)
	if !(u > 0) {
		return nil
	}
	if to := ceil6(u - n.cfg.VasopressinStepUMin); to > 0.001 {
		return []move{{policy.DirectionDecrease, a.Drug, 0, 0, to, -n.neOfVasopressin(u - to), rankWean}}
	}
	return []move{{policy.DirectionStop, a.Drug, 0, 0, 0, -n.neOfVasopressin(u), rankWean + 2}}
}

// mayBolus reports whether volume is to be considered at all: there must be a
// sign of hypoperfusion and nothing charted against it.
func (n *Native) mayBolus(tl *state.Timeline, below bool) bool {
	if policy.FluidCaution(tl) != "" {
		return false
	}
	return below || n.lactateCurrent(tl) && tl.Present.Lactate.Now.Value > raisedLactate
}

// candidate makes the candidate of a move with bolus number i, or none for -1.
func (n *Native) candidate(tl *state.Timeline, mv move, i int) candidate {
	neNow := tl.Present.NEUgKgMin
	neNext := math.Max(0, neNow+mv.neDelta)
	maintenance := maintenanceModelMl(tl)
	bolus := 0.0
	rank := mv.rank
	if i >= 0 {
		bolus = n.cfg.BolusesMl[i]
		rank += rankBolus + i
		if mv.rank >= rankRaise {
			rank = mv.rank + (i+1)*10
		}
	}
	c := candidate{
		rank: rank,
		proposal: policy.Proposal{
			Name: moveName(mv, bolus), NENowUgKgMin: neNow, NENextUgKgMin: neNext,
			Drug: mv.drug, Direction: mv.direction, DrugNowUgKgMin: mv.from, DrugNextUgKgMin: mv.to, VasopressinUMin: mv.uMin,
			BolusMl:    bolus,
			LevelsNow:  n.cfg.State.LevelsOf(neNow, maintenance),
			LevelsNext: n.cfg.State.LevelsOf(neNext, maintenance+bolus),
		},
	}
	if mv.direction != policy.DirectionNone {
		c.advice.Vasopressor = n.vasopressorAdvice(tl, mv)
	}
	if bolus > 0 {
		c.proposal.FluidKind = balanced
		c.advice.Fluid = n.fluidAdvice(tl, bolus)
	}
	c.plan = world.Plan{Name: c.proposal.Name, Doses: make([]world.Dose, n.cfg.HorizonSteps)}
	for k := range c.plan.Doses {
		c.plan.Doses[k] = world.Dose{NEUgKgMin: neNext, FluidMl: maintenance}
	}
	// A balanced crystalloid counts mL for mL as 0.9 % saline (reference 5.5).
	c.plan.Doses[0].FluidMl += bolus
	return c
}

func moveName(mv move, bolusMl float64) string {
	var name string
	switch {
	case mv.direction == policy.DirectionNone && bolusMl == 0:
		return "current treatment"
	case mv.direction == policy.DirectionNone:
		return fmt.Sprintf("%.0f mL bolus", bolusMl)
	case mv.drug == state.DrugVasopressin && mv.direction == policy.DirectionStop:
		name = "stop vasopressin"
	case mv.drug == state.DrugVasopressin:
		name = fmt.Sprintf("%s vasopressin %.2f U/min", mv.direction, mv.uMin)
	case mv.direction == policy.DirectionStop:
		name = fmt.Sprintf("stop %s", mv.drug)
	default:
		name = fmt.Sprintf("%s %s to %.2f ug/kg/min", mv.direction, mv.drug, mv.to)
	}
	if bolusMl > 0 {
		name += fmt.Sprintf(" and %.0f mL bolus", bolusMl)
	}
	return name
}

func (n *Native) neOfVasopressin(uMin float64) float64 {
	ne, why := n.cfg.State.NEOf(state.DrugVasopressin, uMin, state.UnitUMin, 0)
	if why != "" {
		return 0
	}
	return ne
}

// maintenanceModelMl is the tonicity-adjusted volume of one step if everything
// but boluses and blood goes on as in the last step.
func maintenanceModelMl(tl *state.Timeline) float64 {
	if len(tl.Steps) == 0 {
		return 0
	}
	g := tl.Steps[len(tl.Steps)-1].Given
	all := g.BolusMl + g.MaintenanceMl + g.CarrierMl + g.BloodMl
	if !g.FluidKnown || all <= 0 {
		return 0
	}
	return g.FluidModelMl * (g.MaintenanceMl + g.CarrierMl) / all
}

func runningAgent(tl *state.Timeline, drug state.Drug) (state.Agent, bool) {
	for _, a := range vasopressors(tl) {
		if a.Drug == drug {
			return a, true
		}
	}
	return state.Agent{}, false
}

// vasopressors are the vasopressors running at a rate above zero.
func vasopressors(tl *state.Timeline) []state.Agent {
	var out []state.Agent
	for _, a := range tl.Present.Agents {
		if a.Class == state.ClassVasopressor && a.State == state.AgentRunning && (a.Rate > 0 || a.NEUgKgMin > 0) {
			out = append(out, a)
		}
	}
	return out
}

// lastAgent is the agent to be weaned first. The chart does not say in which
// order agents were added; the usual order of escalation is read backwards.
func lastAgent(tl *state.Timeline) (state.Agent, bool) {
	running := vasopressors(tl)
	for _, a := range running {
		switch a.Drug {
		case state.DrugNorepinephrine, state.DrugVasopressin, state.DrugEpinephrine:
		default:
			return a, true
		}
	}
	for _, drug := range []state.Drug{state.DrugEpinephrine, state.DrugVasopressin, state.DrugNorepinephrine} {
		for _, a := range running {
			if a.Drug == drug {
				return a, true
			}
		}
	}
	return state.Agent{}, false
}

func vasopressinUMin(a state.Agent) float64 {
	if a.RateUnit == state.UnitUMin {
		return a.Rate
	}
	return 0
}

// floor6 and ceil6 drop the binary tail of a sum of charted decimals without
// ever making the step larger than it is.
func floor6(v float64) float64 { return math.Floor(v*1e6+1e-4) / 1e6 }
func ceil6(v float64) float64  { return math.Ceil(v*1e6-1e-4) / 1e6 }
