// SPDX-License-Identifier: Apache-2.0

package learn

// This file: Point, one decision time of a recorded stay: what was known, what
// was advised, and what clinicians gave in the four hours after it.

import (
	"context"
	"fmt"
	"math"

	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Treatment is what is given over the four hours after a decision time. A part
// that is not known has no number.
type Treatment struct {
	VasoKnown  bool
	FluidKnown bool
	NEUgKgMin  float64 // norepinephrine-equivalents; of what was given, the highest rate
	FluidMl    float64 // real mL of all ledgers
	BolusMl    float64
	Levels     state.Levels // valid where the matching part is known
}

// known says that the whole treatment can be put on the five-by-five grid.
func (t *Treatment) known() bool { return t.VasoKnown && t.FluidKnown }

// action numbers the grid from 0 to 24, vasopressor first.
func (t *Treatment) action() int { return 5*t.Levels.Vasopressor + t.Levels.Fluid }

// Course is the direction in which a vasopressor goes.
type Course int

// The directions, in the order of tables.
const (
	Lower Course = iota
	Hold
	Raise
	Courses = 3
)

// Point is one stay at one decision time.
type Point struct {
	Patient string // data set and patient: the unit of resampling
	Stay    string
	Step    int
	Hours   float64 // since ICU admission

	// What was known. NaN where it was not, or too old to speak of now.
	MAPMmHg      float64 // newest
	GoalMmHg     float64
	CVPMmHg      float64
	BalanceMl    float64 // of the stay
	StepMAPMmHg  float64 // mean of the step, which the published metrics read
	LactateMmolL float64 // of the step

	Status   agent.Status
	Reasons  []string // codes
	Hazards  []string // ids of the dangers shown
	Shown    bool     // a card came out, repeats suppressed
	Topic    string
	GainOver float64 // value of the advice over that of current treatment; 0 where nothing changes
	Error    string  // why there is no decision; all the rest but what was known is then empty

	Before    Treatment // received in the step that ends now
	AsIs      Treatment // if all but boluses and blood goes on
	Advised   Treatment // valid where Speaks
	Course    Course    // of the advice
	Given     Treatment // valid where HasNext
	GivenEnd  float64   // norepinephrine-equivalents at the end of those hours
	GivenMean float64   // and their mean, ug/kg/min
	// NextMAPMmHg is the mean MAP of those hours, NaN where none was measured.
	NextMAPMmHg float64
	HasNext     bool

	AdviceBlocked bool // a rule blocks what is advised; the agent must never let that be
	Blocked       bool // a rule blocks what was given, asked with what was known now
	BlockedKnown  bool

	Behaviour [Actions]float64 // of clinicians in such states, by the model
	State     []float64        // what a fitted value reads
	Rewards   [Rewards]float64 // of the step that followed
	Others    [][]float64      // probabilities of each other policy; nil where clinicians decide

	Terminal      float64 // value of how the hospital stay ended
	TerminalKnown bool

	decided bool // the decider answered
}

// Actions is the number of pairs of levels.
const Actions = 25

// Speaks says that the decision stands for a treatment: a suggestion, or an
// affirmation of the current one.
func (p *Point) Speaks() bool { return p.Status == agent.Suggest || p.Status == agent.Affirm }

// Applies says that the decision was made for a septic patient at all.
func (p *Point) Applies() bool { return p.Error == "" && p.Status != agent.NotApplicable }

// compared says that advice and treatment can be laid side by side.
func (p *Point) compared() bool {
	return p.Error == "" && p.Speaks() && p.HasNext
}

// courseStepUgKgMin is how far norepinephrine-equivalents must move to count
// as raised or lowered: less is a pump's rounding.
const courseStepUgKgMin = 0.005

// givenCourse is the direction clinicians took; false where it is not known.
func (p *Point) givenCourse() (Course, bool) {
	if !p.HasNext || !p.AsIs.VasoKnown || !p.Given.VasoKnown {
		return Hold, false
	}
	return course(p.GivenEnd - p.AsIs.NEUgKgMin), true
}

func course(delta float64) Course {
	switch {
	case delta > courseStepUgKgMin:
		return Raise
	case delta < -courseStepUgKgMin:
		return Lower
	}
	return Hold
}

// user is who looks at every chart in the simulation of cards.
const user = "Practitioner/evaluation"

// maxSpokenMin is the age in minutes above which a reading does not speak for
// the present (rule X1).
const maxSpokenMin = 120

// visit is the walk through one stay.
type visit struct {
	opts  *PolicyOptions
	prior []engine.Prior
}

// point decides at one row. Next is the row after it, nil at the end.
func (v *visit) point(ctx context.Context, row, next *cohort.Row) (p Point, tl *state.Timeline, out *engine.Outcome, err error) {
	tl, err = row.Timeline()
	if err != nil {
		return p, nil, nil, err
	}
	p = Point{Patient: row.Source + "\x00" + row.Patient, Stay: row.Stay, Step: row.Step, Hours: row.Hours, State: features(tl)}
	p.know(tl)
	if next != nil {
		p.follow(row, next)
	}
	made, err := v.decide(ctx, row, tl)
	if err != nil {
		if ctx.Err() != nil {
			return p, nil, nil, err
		}
		p.Error = err.Error()
		return p, tl, nil, nil
	}
	p.heard(&made, tl)
	p.decided = true
	if b, err := v.opts.Model.Behaviour(tl); err != nil {
		p.Error = fmt.Sprintf("behaviour: %v", err)
	} else {
		for vaso := range b {
			copy(p.Behaviour[5*vaso:], b[vaso][:])
		}
	}
	if p.HasNext && p.Given.known() && p.AsIs.VasoKnown {
		if p.Blocked, err = blocked(v.opts.Judge, tl, &p); err == nil {
			p.BlockedKnown = true
		}
	}
	return p, tl, &made, nil
}

// decide asks the decider as a hook call would, with the cards shown before. A
// panic is an error of that decision alone: one bad chart must not cost the
// table.
func (v *visit) decide(ctx context.Context, row *cohort.Row, tl *state.Timeline) (out engine.Outcome, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	c := v.caseAt(row, tl)
	out, err = v.opts.Decider.Decide(ctx, c)
	if err == nil {
		v.prior = append(v.prior, priorOf(&c, &out, out.Show))
	}
	return out, err
}

func (v *visit) caseAt(row *cohort.Row, tl *state.Timeline) engine.Case {
	return engine.Case{Timeline: tl, Now: row.At, Seed: 1, ID: fmt.Sprintf("%s-%d", row.Stay, row.Step), User: user, Display: engine.DisplaySuggest, Prior: v.prior}
}

// priorOf is what the audit log would give back of a decision.
func priorOf(c *engine.Case, out *engine.Outcome, shown bool) engine.Prior {
	return engine.Prior{ReceiptID: c.ID, At: c.Now, User: c.User, Topic: out.Topic, Shown: shown, Evidence: out.Evidence}
}

// know takes what the chart says now.
func (p *Point) know(tl *state.Timeline) {
	nan := math.NaN()
	p.MAPMmHg, p.CVPMmHg, p.BalanceMl, p.GoalMmHg = nan, nan, nan, tl.Present.MAP.GoalMmHg
	if m := tl.Present.MAP.Newest; m != nil && m.AgeMin <= maxSpokenMin {
		p.MAPMmHg = m.Value
	}
	if r, ok := tl.Present.Readings[string(state.ConceptCVP)]; ok && r.AgeMin <= maxSpokenMin {
		p.CVPMmHg = r.Value
	}
	if tl.Present.Fluids.BalanceKnown {
		p.BalanceMl = tl.Present.Fluids.BalanceMl
	}
	last := tl.Last()
	p.StepMAPMmHg, p.LactateMmolL = valueOf(last, state.MeanBP), valueOf(last, state.Lactate)
	p.Before = treatmentOf(&last.Given)
	p.AsIs = Treatment{
		VasoKnown: tl.Present.VasoKnown, NEUgKgMin: tl.Present.NEUgKgMin,
		FluidKnown: last.Given.FluidKnown, FluidMl: last.Given.MaintenanceMl + last.Given.CarrierMl,
	}
}

// follow takes what was given after.
func (p *Point) follow(row, next *cohort.Row) {
	g := &next.Given
	p.HasNext, p.Given, p.GivenEnd, p.GivenMean = true, treatmentOf(g), g.NEEndUgKgMin, g.NEMeanUgKgMin
	p.NextMAPMmHg = math.NaN()
	if next.Presence[state.MeanBP] == state.Measured {
		p.NextMAPMmHg = next.Value[state.MeanBP]
	}
	p.Rewards = rewards(row, next)
}

func treatmentOf(g *state.Exposure) Treatment {
	return Treatment{
		VasoKnown: g.VasoKnown, FluidKnown: g.FluidKnown, NEUgKgMin: g.NEMaxUgKgMin, BolusMl: g.BolusMl, Levels: g.Levels,
		FluidMl: g.BolusMl + g.MaintenanceMl + g.CarrierMl + g.BloodMl,
	}
}

// heard takes what was decided.
func (p *Point) heard(out *engine.Outcome, tl *state.Timeline) {
	d := &out.Decision
	p.Status, p.Shown, p.Topic, p.Course = d.Status, out.Show, out.Topic, Hold
	for _, r := range d.Reasons {
		p.Reasons = append(p.Reasons, r.Code)
	}
	for _, h := range d.Hazards {
		p.Hazards = append(p.Hazards, h.ID)
	}
	if !p.Speaks() {
		return
	}
	p.Advised = p.AsIs
	p.Advised.Levels = AdvisedLevels(d)
	current := optionOf(d, agent.RoleCurrent)
	if current != nil {
		p.AdviceBlocked = current.Blocked
	}
	if o := optionOf(d, agent.RoleSuggested); o != nil && d.Status == agent.Suggest {
		p.AdviceBlocked = o.Blocked
		p.Advised.NEUgKgMin, p.Advised.BolusMl = o.Proposal.NENextUgKgMin, o.Proposal.BolusMl
		p.Advised.FluidMl += o.Proposal.BolusMl
		if current != nil {
			p.GainOver = o.Value - current.Value
		}
	}
	p.Course = course(p.Advised.NEUgKgMin - tl.Present.NEUgKgMin)
}

// AdvisedLevels is the pair of levels of the next four hours if a decision is
// followed: of what it suggests, else of current treatment.
func AdvisedLevels(d *agent.Decision) state.Levels {
	if o := optionOf(d, agent.RoleSuggested); o != nil && d.Status == agent.Suggest {
		return o.Proposal.LevelsNext
	}
	if o := optionOf(d, agent.RoleCurrent); o != nil {
		return o.Proposal.LevelsNext
	}
	return d.Levels
}

func optionOf(d *agent.Decision, role string) *agent.Option {
	for i := range d.Options {
		if d.Options[i].Role == role {
			return &d.Options[i]
		}
	}
	return nil
}

// valueOf is a step's value, NaN where it is missing.
func valueOf(s *state.Step, feature int) float64 {
	if s.Presence[feature] == state.Missing {
		return math.NaN()
	}
	return s.Value[feature]
}

// PolicyLLM is the policy of a decider that lets a language model choose.
const PolicyLLM = "llm"

// DeciderCandidate is the policy of another decider, asked with each chart as if
// nobody had looked before. Clinicians decide where it abstains. A decider that
// asks others, as a language model, makes an evaluation depend on them.
func DeciderCandidate(ctx context.Context, name string, d *engine.Decider) Candidate {
	return Candidate{Name: name, Probabilities: func(tl *state.Timeline) (p [5][5]float64, ok bool, err error) {
		out, err := d.Decide(ctx, engine.Case{Timeline: tl, Now: tl.At, Seed: 1, ID: "evaluation", User: user, Display: engine.DisplaySuggest})
		if err != nil {
			return p, false, fmt.Errorf("%s: %w", name, err)
		}
		var at Point
		at.know(tl)
		at.heard(&out, tl)
		if !at.Speaks() || !at.Advised.known() {
			return p, false, nil
		}
		p[at.Advised.Levels.Vasopressor][at.Advised.Levels.Fluid] = 1
		return p, true, nil
	}}
}
