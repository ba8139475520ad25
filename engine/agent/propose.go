// SPDX-License-Identifier: Apache-2.0

package agent

// This file: the candidates. They stand around current treatment: leave it,
// one step of one vasopressor, one bolus, or both. They come from guidelines and,
// where there is an actor, from what it makes of the state (learned.go). Below goal the step is a
// function of the chart alone, the larger the lower MAP, and whether the
// vasopressor has to go up or volume comes first is too (raise.go). What is
// simulated decides about volume, about weaning, and whether to speak at all;
// so no forecast can make a higher MAP raise the suggested vasopressor.

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

// candidate is one treatment to be judged and simulated.
type candidate struct {
	proposal policy.Proposal
	advice   Advice
	plan     world.Plan
	rank     float64 // smaller is the smaller change; ties in value go to it
	source   string
	move     move
}

// Sources of an option: who proposed it.
const (
	SourceCurrent   = "current"         // the treatment that runs
	SourceGuideline = "guideline"       // a move that guidelines know
	SourceActor     = "actor"           // the learned policy alone
	SourceBoth      = "guideline+actor" // both
	SourceRefined   = "refined"         // put between two others after their simulation
)

// Ranks of vasopressor moves: hold, the weans, then what raises. A bolus adds
// to the rank so that any wean counts as a smaller change than any bolus. Within
// one kind of change the rank rises with the dose.
const (
	rankHold  = 0.
	rankWean  = 1.  // to 3
	rankBolus = 10. // to 12
	rankRaise = 20. // to 24, to 46 with a bolus
)

// move is one change of one vasopressor, or none.
type move struct {
	direction              string
	drug                   state.Drug
	fromUgKgMin, toUgKgMin float64 // the drug's own rate; 0 for vasopressin
	uMin                   float64 // vasopressin after the change
	neDeltaUgKgMin         float64 // change of norepinephrine-equivalents
	rank                   float64
	source                 string
}

// balanced is the fluid of every suggested bolus (design.md 5.3).
const balanced = "balanced crystalloid"

// propose returns the candidates, current treatment first.
func (n *Native) propose(tl *state.Timeline, behaviour [5][5]float64, lean *leaning) []candidate {
	moves := []move{{direction: policy.DirectionNone, rank: rankHold, source: SourceGuideline}}
	m := tl.Present.MAP
	below := m.Newest.Value < m.GoalMmHg
	switch {
	case below:
		moves = append(moves, lean.agree(n.raises(tl))...)
	case n.hypertensive(tl):
		moves = append(moves, lean.agree(n.weans(tl))...)
	case m.LastHourMin != nil && m.LastHourMin.Value >= m.GoalMmHg && n.perfused(tl):
		var weans []move
		if n.mayWean(tl, behaviour, lean) {
			weans = n.weans(tl)
		}
		moves = append(moves, lean.agree(n.learnedWeans(tl, lean, weans))...)
	}

	var out []candidate
	for _, mv := range moves {
		out = append(out, n.candidate(tl, mv, 0))
	}
	out[0].source = SourceCurrent
	if n.mayBolus(tl, below) {
		for _, mv := range moves {
			if mv.rank >= rankWean && mv.rank < rankBolus {
				continue // never wean and give volume at once
			}
			mv.source = lean.agreeVolume(mv)
			for _, ml := range n.cfg.BolusesMl {
				out = append(out, n.candidate(tl, mv, ml))
			}
		}
	} else if len(moves) == 1 && n.learnedBolus(tl, below, lean) {
		moves[0].source = SourceActor
		out = append(out, n.candidate(tl, moves[0], n.cfg.BolusesMl[0]))
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

// mayWean reports whether guidelines consider a step down: MAP has been at goal
// for long enough. Without a learned policy, also where clinicians mostly give
// less in such states.
func (n *Native) mayWean(tl *state.Timeline, behaviour [5][5]float64, lean *leaning) bool {
	if tl.Present.StepsAtGoal >= n.cfg.WeanSteps {
		return true
	}
	if lean != nil {
		return false // the actor speaks for itself, and never turns with a higher MAP
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
	if leaves(a, n.cfg.SmallStepUgKgMin) {
		out = append(out, n.lower(a, n.cfg.SmallStepUgKgMin))
	} else if rate > 0 {
		out = append(out, stop(a))
	}
	if far && leaves(a, n.cfg.FullStepUgKgMin) {
		out = append(out, n.lower(a, n.cfg.FullStepUgKgMin))
	} else if far && leaves(a, n.cfg.SmallStepUgKgMin) {
		out = append(out, stop(a))
	}
	return out
}

// leastUgKgMin is the least rate that is left running: below it the step down is
// to stop. No pump is set to a thousandth, and no forecast tells it from nothing.
const leastUgKgMin = 0.005

// leaves reports whether a step down, ug/kg/min, leaves a rate worth running.
func leaves(a state.Agent, step float64) bool { return a.RateUgKgMin-step >= leastUgKgMin-1e-9 }

// lower is the move of an agent's rate down by step, ug/kg/min.
func (n *Native) lower(a state.Agent, step float64) move {
	to := ceil6(a.RateUgKgMin - step)
	return move{direction: policy.DirectionDecrease, drug: a.Drug, fromUgKgMin: a.RateUgKgMin, toUgKgMin: to, neDeltaUgKgMin: to - a.RateUgKgMin,
		rank: rankWean + step/n.cfg.FullStepUgKgMin, source: SourceGuideline}
}

// stop is the move of an agent's rate to 0, the largest of all weans.
func stop(a state.Agent) move {
	return move{direction: policy.DirectionStop, drug: a.Drug, fromUgKgMin: a.RateUgKgMin, neDeltaUgKgMin: -a.RateUgKgMin, rank: rankWean + 2, source: SourceGuideline}
}

func (n *Native) weanVasopressin(a state.Agent) []move {
	u := vasopressinUMin(a)
	if !(u > 0) {
		return nil
	}
	if to := ceil6(u - n.cfg.VasopressinStepUMin); to > 0.001 {
		return []move{{direction: policy.DirectionDecrease, drug: a.Drug, uMin: to, neDeltaUgKgMin: -n.neOfVasopressin(u - to), rank: rankWean, source: SourceGuideline}}
	}
	return []move{{direction: policy.DirectionStop, drug: a.Drug, neDeltaUgKgMin: -n.neOfVasopressin(u), rank: rankWean + 2, source: SourceGuideline}}
}

// mayBolus reports whether volume is to be considered at all: there must be a
// sign of hypoperfusion and nothing charted against it. A MAP just below goal
// without a vasopressor is none: on the open data two of three such pressures
// were at goal in the next four hours without treatment (docs/policy.md).
func (n *Native) mayBolus(tl *state.Timeline, below bool) bool {
	m := tl.Present.MAP
	switch {
	case policy.FluidCaution(tl) != "":
		return false
	case n.lactateRaised(tl):
		return true
	case !below:
		return false
	}
	return len(vasopressors(tl)) > 0 || oliguric(tl) || n.wellBelow(m.Newest, m.GoalMmHg) || n.wellBelow(m.LastHourMin, m.GoalMmHg)
}

// lactateRaised reports a current lactate above 2 mmol/L.
func (n *Native) lactateRaised(tl *state.Timeline) bool {
	return n.lactateCurrent(tl) && tl.Present.Lactate.Now.Value > raisedLactate
}

// candidate makes the candidate of a move with a bolus, 0 for none.
func (n *Native) candidate(tl *state.Timeline, mv move, bolusMl float64) candidate {
	neNow := tl.Present.NEUgKgMin
	neNext := math.Max(0, neNow+mv.neDeltaUgKgMin)
	maintenance := maintenanceModelMl(tl)
	rank := mv.rank
	if bolusMl > 0 {
		larger := (bolusMl - policy.MinBolusMl) / (policy.MaxBolusMl - policy.MinBolusMl)
		rank += rankBolus * (1 + larger/10)
		if mv.rank >= rankRaise {
			rank = mv.rank + rankBolus*(1+larger)
		}
	}
	c := candidate{
		rank: rank, source: mv.source, move: mv,
		proposal: policy.Proposal{
			Name: moveName(mv, bolusMl), NENowUgKgMin: neNow, NENextUgKgMin: neNext,
			Drug: mv.drug, Direction: mv.direction, DrugNowUgKgMin: mv.fromUgKgMin, DrugNextUgKgMin: mv.toUgKgMin, VasopressinUMin: mv.uMin,
			BolusMl:    bolusMl,
			LevelsNow:  n.cfg.State.LevelsOf(neNow, maintenance),
			LevelsNext: n.cfg.State.LevelsOf(neNext, maintenance+bolusMl),
		},
	}
	if mv.direction != policy.DirectionNone {
		c.advice.Vasopressor = n.vasopressorAdvice(tl, mv)
	}
	if bolusMl > 0 {
		c.proposal.FluidKind = balanced
		c.advice.Fluid = n.fluidAdvice(tl, bolusMl)
	}
	c.plan = world.Plan{Name: c.proposal.Name, Doses: make([]world.Dose, n.cfg.HorizonSteps)}
	for k := range c.plan.Doses {
		c.plan.Doses[k] = world.Dose{NEUgKgMin: neNext, FluidMl: maintenance}
	}
	// A balanced crystalloid counts mL for mL as 0.9 % saline (reference 5.5).
	c.plan.Doses[0].FluidMl += bolusMl
	return c
}

// hundredths writes a rate with two decimals, and with a third where it has one:
// a name must not say another rate than the card.
func hundredths(rate float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(rate, 'f', 3, 64), "0")
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
		name = fmt.Sprintf("%s vasopressin %s U/min", mv.direction, hundredths(mv.uMin))
	case mv.direction == policy.DirectionStop:
		name = fmt.Sprintf("stop %s", mv.drug)
	default:
		name = fmt.Sprintf("%s %s to %s ug/kg/min", mv.direction, mv.drug, hundredths(mv.toUgKgMin))
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
