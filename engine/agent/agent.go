// SPDX-License-Identifier: Apache-2.0

// Package agent decides: it proposes a few treatments around the current one,
// simulates each on the Clinical World Model, and refines to the smallest
// change that helps, with the rules before and after. It ends in suggest,
// affirm, abstain or not-applicable, each with its reasons; there is no default
// dose, and every fault is an error.
//
// The native agent is deterministic and complete without a language model. It
// trusts the Timeline to say honestly what is known at its decision time; it
// does not trust the model (forecasts are checked for shape and sense) nor its
// own proposals (rules and hard limits judge each one, with and without the
// forecast).
package agent

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

// ErrDecide is wrapped by every error of Decide. Nothing may be suggested then.
var ErrDecide = errors.New("no decision")

// ErrForecast is wrapped (with ErrDecide) when the world model failed or gave a
// forecast that cannot be true.
var ErrForecast = errors.New("world model forecast not usable")

// proposerNative is Decision.Proposer of this agent.
const proposerNative = "native"

// Native is the propose-simulate-refine agent. It is immutable and safe for
// concurrent use when its model and judge are.
type Native struct {
	model world.Forecaster
	judge policy.Judge
	actor *Actor // proposes too; nil: guideline moves alone
	cfg   Config
}

// New returns a native agent, or an error wrapping ErrConfig.
func New(model world.Forecaster, judge policy.Judge, cfg Config) (*Native, error) {
	if model == nil || judge == nil {
		return nil, fmt.Errorf("%w: a world model and rules are required", ErrConfig)
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Native{model: model, judge: judge, cfg: cfg}, nil
}

// Decide decides for one timeline. It reads nothing but its arguments and the
// agent's model, rules and configuration; the same arguments give the same
// Decision. The native agent uses no chance: seed is for proposers that do.
// An error wraps ErrDecide; a context that ends before the decision is one.
func (n *Native) Decide(ctx context.Context, tl *state.Timeline, _ uint64) (Decision, error) {
	x, err := n.Deliberate(ctx, tl)
	if err != nil {
		return Decision{}, err
	}
	return x.Native(), nil
}

// Deliberate does all of Decide and keeps the gated, simulated options at hand,
// so that another chooser may choose among them. Errors are those of Decide.
func (n *Native) Deliberate(ctx context.Context, tl *state.Timeline) (*Deliberation, error) {
	if err := soundTimeline(tl); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDecide, err)
	}
	x := &Deliberation{agent: n, tl: tl}
	d := &x.base
	d.Proposer = proposerNative
	spans, began := spansOf(ctx), time.Now()
	chart, err := n.judge.Judge(tl, nil, nil)
	spans.Add(SpanRules, began)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDecide, err)
	}
	d.addVerdicts(chart)
	d.Conflicts = policy.Conflicts(chart)
	d.Missing = missing(tl, n.cfg)
	d.NotAssessed = append(d.NotAssessed, notChecked(tl)...)
	d.LevelsNow = n.cfg.State.LevelsOf(tl.Present.NEUgKgMin, maintenanceModelMl(tl))
	d.Levels = d.LevelsNow
	if n.actor != nil {
		d.Actor = n.actor.Hash()
	}

	if d.Reasons = notApplicable(tl); len(d.Reasons) > 0 {
		d.Status = NotApplicable
		return x, nil
	}
	d.Hazards = hazards(chart)
	d.Advice.Recheck = rechecks(tl, n.cfg)
	if d.Reasons = n.abstain(tl, chart); len(d.Reasons) > 0 {
		d.Status = Abstain
		return x, nil
	}
	if err := n.plan(ctx, x); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDecide, err)
	}
	return x, nil
}

// plan proposes, gates, simulates, gates again, refines and chooses.
func (n *Native) plan(ctx context.Context, x *Deliberation) error {
	spans, began := spansOf(ctx), time.Now()
	behaviour, err := n.behaviour(x.tl)
	if err != nil {
		return err
	}
	lean, err := n.lean(x.tl)
	if err != nil {
		return err
	}
	candidates := n.propose(x.tl, behaviour, lean)
	spans.Add(SpanPropose, began)
	options, err := n.gate(ctx, x.tl, candidates)
	if err != nil {
		return err
	}
	if err := n.simulate(ctx, x.tl, options); err != nil {
		return err
	}
	if r := n.unconfirmed(x.tl, options); r != nil {
		x.base.Status, x.base.Reasons = Abstain, []Reason{*r}
		return nil
	}
	if lean != nil {
		x.base.Learned = &Learned{LessVasopressor: lean.less, MoreVasopressor: lean.more, MoreFluid: lean.fluid}
	}
	if options, err = n.refine(ctx, x, options); err != nil {
		return err
	}
	return x.open(options)
}

// gate judges every candidate before simulation. Blocked candidates stay in
// the list so that the receipt shows them, but are not simulated; current
// treatment always is, as the yardstick.
func (n *Native) gate(ctx context.Context, tl *state.Timeline, candidates []candidate) ([]*option, error) {
	defer spansOf(ctx).Add(SpanRules, time.Now())
	out := make([]*option, 0, len(candidates))
	for _, c := range candidates {
		o := &option{candidate: c}
		o.Proposal, o.Advice, o.Source = c.proposal, c.advice, c.source
		verdicts, err := n.judge.Judge(tl, &o.Proposal, nil)
		if err != nil {
			return nil, err
		}
		o.hear(verdicts)
		out = append(out, o)
	}
	return out, nil
}

// simulate forecasts every candidate that is not blocked, in one call, and
// judges each again on its forecast.
func (n *Native) simulate(ctx context.Context, tl *state.Timeline, options []*option) error {
	var plans []world.Plan
	var asked []*option
	for _, o := range options {
		if o.Blocked && !o.current() {
			continue
		}
		plans = append(plans, o.plan)
		asked = append(asked, o)
	}
	goal := tl.Present.MAP.GoalMmHg
	spans, began := spansOf(ctx), time.Now()
	forecasts, err := n.model.Forecast(ctx, tl, plans, goal)
	spans.Add(SpanForecast, began)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrForecast, err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(forecasts) != len(plans) {
		return fmt.Errorf("%w: %d forecasts for %d plans", ErrForecast, len(forecasts), len(plans))
	}
	defer spans.Add(SpanRules, time.Now())
	for i, o := range asked {
		if err := soundForecast(&forecasts[i], plans[i]); err != nil {
			return fmt.Errorf("%w: plan %s: %w", ErrForecast, plans[i].Name, err)
		}
		o.Forecast = forecasts[i]
		o.simulated = true
		verdicts, err := n.judge.Judge(tl, &o.Proposal, &o.Forecast)
		if err != nil {
			return err
		}
		o.hear(verdicts)
		o.Value, o.Parts = n.value(tl, o)
		if math.IsNaN(o.Value) || math.IsInf(o.Value, 0) {
			return fmt.Errorf("%w: plan %s has no finite value", ErrForecast, plans[i].Name)
		}
	}
	return nil
}

// behaviour asks what clinicians do in such states and checks the answer.
func (n *Native) behaviour(tl *state.Timeline) ([5][5]float64, error) {
	b, err := n.model.Behaviour(tl)
	if err != nil {
		return b, fmt.Errorf("%w: behaviour: %w", ErrForecast, err)
	}
	sum := 0.0
	for _, row := range b {
		for _, p := range row {
			if !(p >= 0 && p <= 1) {
				return b, fmt.Errorf("%w: behaviour probability %g", ErrForecast, p)
			}
			sum += p
		}
	}
	if math.Abs(sum-1) > 1e-3 {
		return b, fmt.Errorf("%w: behaviour probabilities sum to %g", ErrForecast, sum)
	}
	return b, nil
}

// addVerdicts keeps what spoke apart from what could not be assessed.
func (d *Decision) addVerdicts(verdicts []policy.Verdict) {
	for _, v := range verdicts {
		if v.Effect == policy.NotAssessed {
			d.NotAssessed = append(d.NotAssessed, notAssessedText(v))
			continue
		}
		d.Verdicts = append(d.Verdicts, v)
	}
}

func hazards(verdicts []policy.Verdict) []policy.Verdict {
	var out []policy.Verdict
	for _, v := range verdicts {
		if v.Hazard {
			out = append(out, v)
		}
	}
	return out
}

// Model identifies the world model the agent simulates on.
func (n *Native) Model() world.Info { return n.model.Info() }
