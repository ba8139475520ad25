// SPDX-License-Identifier: Apache-2.0

package environment

// This file: an episode in numbers: looking, prescribing, four hours passing,
// and how it ends. Language is another file's matter (act.go).

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

// End says how an episode ended.
type End string

// The ends. An episode that goes on has none.
const (
	EndDied       End = "died"
	EndDischarged End = "discharged" // well enough to leave intensive care
	EndLimit      End = "limit"      // the patient lives after the last step
	EndAbandoned  End = "abandoned"  // too many messages in a row without a valid call
)

// Episode is one patient's course under an agent. It serves one goroutine at a
// time.
type Episode struct {
	env  *Environment
	seed uint64
	task string

	chart   *state.Chart
	tl      *state.Timeline
	dynamic world.Forecaster // the one that its future is drawn from
	ventAt  float64          // ventilated where the chance exceeds this
	death   float64          // chance of death in hospital in the present state

	step    int // prescriptions given
	well    int // steps in a row without need of intensive care
	end     End
	options [Pairs]*Option // looked at in the present state

	// What an agent has said (act.go).
	messages int // about the present state
	useless  int // in a row, without a valid call
}

// begin makes the episode of a chart that nobody else holds.
func (v *Environment) begin(seed uint64, task string, chart *state.Chart, at time.Time) (*Episode, error) {
	chart.Person.Synthetic = true // whoever goes on here is simulated from now on
	e := &Episode{
		env: v, seed: seed, task: task, chart: chart, ventAt: ventilationOf(seed),
		dynamic: v.deps.Dynamics[memberOf(seed, len(v.deps.Dynamics))],
	}
	return e, e.stand(at)
}

// stand builds the state at a time and asks what it bodes.
func (e *Episode) stand(at time.Time) (err error) {
	if e.tl, err = state.Build(e.chart, at, e.env.deps.State); err != nil {
		return err
	}
	if e.death, err = e.env.deps.Death(e.tl); err != nil {
		return err
	}
	if !(e.death >= 0 && e.death <= 1) {
		return fmt.Errorf("%w: the chance of death is %v", world.ErrNotFinite, e.death)
	}
	e.options, e.messages = [Pairs]*Option{}, 0
	return nil
}

// Clone branches the episode: both go on from the same state and meet the same
// luck.
func (e *Episode) Clone() *Episode {
	c := *e
	c.chart = ownChart(e.chart)
	for i, o := range e.options {
		if o != nil {
			own := *o
			c.options[i] = &own
		}
	}
	return &c
}

// Timeline is the present state. It must not be changed.
func (e *Episode) Timeline() *state.Timeline { return e.tl }

// Chart is the chart so far. It must not be changed.
func (e *Episode) Chart() *state.Chart { return e.chart }

// Seed and Task are what the episode was made from.
func (e *Episode) Seed() uint64 { return e.seed }

// Task is the name it was reset with.
func (e *Episode) Task() string { return e.task }

// Step is how many prescriptions have been given.
func (e *Episode) Step() int { return e.step }

// Done reports whether the episode has ended, and how.
func (e *Episode) Done() (End, bool) { return e.end, e.end != "" }

// DeathChance is the chance of death in hospital in the present state.
func (e *Episode) DeathChance() float64 { return e.death }

// Option is one pair of levels as it looks in the present state.
type Option struct {
	Levels   state.Levels
	Dose     world.Dose
	Proposal policy.Proposal
	Forecast world.Forecast
	// Verdicts are the rules' on the proposal and on its forecast, without the
	// hard limits, which bound one bedside step and not four hours.
	Verdicts []policy.Verdict
	Blocked  bool
	Value    float64 // risk-adjusted, on the native agent's scale
}

// limitsPack is the Pack of the hard limits' verdicts.
const limitsPack = "limits"

// Look gives the options of pairs of levels in the present state, simulated by
// the lens and judged. It costs nothing here: whoever trains an agent that looks
// adds SimulationReward. Errors are the model's, the rules' or the context's.
func (e *Episode) Look(ctx context.Context, pairs ...state.Levels) ([]*Option, error) {
	var missing []*Option
	var plans []world.Plan
	for _, l := range pairs {
		if !valid(l) {
			return nil, fmt.Errorf("%w: levels %d and %d", ErrConfig, l.Vasopressor, l.Fluid)
		}
		if at := 5*l.Vasopressor + l.Fluid; e.options[at] == nil {
			o := &Option{Levels: l, Dose: DoseOf(e.env.deps.State, e.tl, l), Proposal: ProposalOf(e.env.deps.State, e.tl, l)}
			e.options[at] = o
			missing, plans = append(missing, o), append(plans, planOf(e.tl, &o.Proposal, o.Dose, e.env.cfg.Horizon))
		}
	}
	if len(missing) > 0 {
		if err := e.fill(ctx, missing, plans); err != nil {
			for _, o := range missing {
				e.options[5*o.Levels.Vasopressor+o.Levels.Fluid] = nil
			}
			return nil, err
		}
	}
	out := make([]*Option, len(pairs))
	for i, l := range pairs {
		out[i] = e.options[5*l.Vasopressor+l.Fluid]
	}
	return out, nil
}

func valid(l state.Levels) bool {
	return l.Vasopressor >= 0 && l.Vasopressor <= 4 && l.Fluid >= 0 && l.Fluid <= 4
}

// fill simulates and judges options.
func (e *Episode) fill(ctx context.Context, options []*Option, plans []world.Plan) error {
	forecasts, err := e.env.deps.Lens.Forecast(ctx, e.tl, plans, e.tl.Present.MAP.GoalMmHg)
	if err != nil {
		return err
	}
	for i, o := range options {
		// The label of a plan is the pair it was made for: the dose that runs may
		// lie in another level than its own label by a rounding.
		o.Forecast = forecasts[i]
		for _, fc := range []*world.Forecast{nil, &o.Forecast} {
			verdicts, err := e.env.deps.Judge.Judge(e.tl, &o.Proposal, fc)
			if err != nil {
				return err
			}
			for _, v := range verdicts {
				if v.Pack == limitsPack || v.Effect == policy.NotAssessed || slices.ContainsFunc(o.Verdicts, func(have policy.Verdict) bool { return have.ID == v.ID }) {
					continue
				}
				o.Verdicts, o.Blocked = append(o.Verdicts, v), o.Blocked || v.Effect == policy.Block
			}
		}
		o.Value = e.env.deps.Native.Worth(e.tl, o.Proposal, &o.Forecast, o.Verdicts, o.Levels == o.Proposal.LevelsNow)
	}
	return nil
}

// Menu gives all options, by pair. A rule that blocks every one of them speaks
// of the state and not of the choice, and blocks none; where rules together
// leave nothing, nothing is blocked, because something has to be given.
func (e *Episode) Menu(ctx context.Context) ([]*Option, error) {
	all := make([]state.Levels, Pairs)
	for i := range all {
		all[i] = LevelsOf(i)
	}
	options, err := e.Look(ctx, all...)
	if err != nil {
		return nil, err
	}
	blocks := map[string]int{}
	for _, o := range options {
		for _, v := range o.Verdicts {
			if v.Effect == policy.Block {
				blocks[v.ID]++
			}
		}
	}
	open := 0
	for _, o := range options {
		o.Blocked = len(o.refusing(blocks)) > 0
		if !o.Blocked {
			open++
		}
	}
	for _, o := range options {
		o.Blocked = o.Blocked && open > 0
	}
	return options, nil
}

// refusing are the verdicts that block the option, without those of rules that
// block every pair.
func (o *Option) refusing(blocks map[string]int) (out []policy.Verdict) {
	for _, v := range o.Verdicts {
		if v.Effect == policy.Block && blocks[v.ID] < Pairs {
			out = append(out, v)
		}
	}
	return out
}

// SimulationReward is the price of looking at n options.
func SimulationReward(n int) Reward { return Reward{Simulation: 0 - simulationCost*float64(n)} }

// Result is what came of a prescription.
type Result struct {
	Reward Reward
	// Blocked are the verdicts that refused it; then nothing was given and no
	// time has passed.
	Blocked []policy.Verdict
	Given   world.Dose
	End     End // empty while the episode goes on
}

// Refuse is what comes of an option that rules block.
func Refuse(o *Option) Result {
	r := Result{Reward: Reward{Rule: -blockCost}}
	for _, v := range o.Verdicts {
		if v.Effect == policy.Block {
			r.Blocked = append(r.Blocked, v)
		}
	}
	return r
}

// Prescribe gives the pair of levels for four hours, unless rules block it.
// Errors wrap ErrEnded, or are the model's, the rules' or the context's; the
// episode is then as it was.
func (e *Episode) Prescribe(ctx context.Context, l state.Levels) (Result, error) {
	if e.end != "" {
		return Result{}, fmt.Errorf("%w: %s", ErrEnded, e.end)
	}
	options, err := e.Look(ctx, l)
	if err != nil {
		return Result{}, err
	}
	o := options[0]
	if o.Blocked { // perhaps every pair is
		if _, err := e.Menu(ctx); err != nil {
			return Result{}, err
		}
	}
	if o.Blocked {
		return Refuse(o), nil
	}
	return e.pass(ctx, o.Dose, TreatmentReward(o))
}

// Keep lets four hours pass under current treatment, with the penalty of
// silence.
func (e *Episode) Keep(ctx context.Context) (Result, error) {
	if e.end != "" {
		return Result{}, fmt.Errorf("%w: %s", ErrEnded, e.end)
	}
	dose := world.Dose{NEUgKgMin: e.tl.Present.NEUgKgMin, FluidMl: agent.MaintenanceModelMl(e.tl)}
	return e.pass(ctx, dose, SilenceReward(dose))
}

// Abandon ends the episode because the agent does nothing useful.
func (e *Episode) Abandon() Result {
	e.end = EndAbandoned
	return Result{End: e.end}
}

// pass lets four hours pass under a dose.
func (e *Episode) pass(ctx context.Context, dose world.Dose, reward Reward) (Result, error) {
	plan := []world.Plan{{Name: "given", Doses: []world.Dose{dose}}}
	forecasts, err := e.dynamic.Forecast(ctx, e.tl, plan, e.tl.Present.MAP.GoalMmHg)
	if err != nil {
		return Result{}, err
	}
	luck, step := luckOf(e.seed, e.step), &forecasts[0].Steps[0]
	next := luck.draw(step)
	before := *e
	e.chart = ownChart(e.chart)
	chartStep(e.chart, before.tl, e.step+1, dose, agent.MaintenanceModelMl(before.tl), &next, step.PVent > e.ventAt)
	if err := e.stand(before.tl.At.Add(stepLen)); err != nil {
		*e = before
		return Result{}, err
	}
	e.step++
	reward.Patient = PatientReward(before.tl.Last(), e.tl.Last()) / patientScale
	e.finish(luck.death)
	if e.end != "" && e.end != EndDied {
		reward.Terminal = terminalWeight * (1 - e.death)
	}
	return Result{Reward: reward, Given: dose, End: e.end}, nil
}

// stayDoses is over how many steps the chance of death in hospital is spent: the
// seven days that a trajectory lasts at most. The outcome model says whether,
// not when; evenly is the least that can be assumed.
const stayDoses = cohort.MaxHours / state.StepHours

// Bounds of being well: steps in a row, and the chance of death.
const (
	wellSteps   = 3
	wellDeath   = 0.1
	wellLactate = 2. // mmol/L
)

// finish looks whether the patient has died, may leave, or time is up.
func (e *Episode) finish(draw float64) {
	last := e.tl.Last()
	well := e.death < wellDeath && last.Given.VasoKnown && last.Given.NEMaxUgKgMin == 0 && !last.Vent &&
		last.Presence[state.MeanBP] != state.Missing && last.Value[state.MeanBP] >= e.tl.Present.MAP.GoalMmHg &&
		(last.Presence[state.Lactate] == state.Missing || last.Value[state.Lactate] <= wellLactate)
	e.well++
	if !well {
		e.well = 0
	}
	switch {
	case draw < 1-math.Pow(1-e.death, 1./stayDoses):
		e.end = EndDied
	case e.well >= wellSteps:
		e.end = EndDischarged
	case e.step >= e.env.cfg.Steps:
		e.end = EndLimit
	}
}
