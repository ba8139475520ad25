// SPDX-License-Identifier: Apache-2.0

package agent

// This file: the simulated future of drafted orders, and what it says of them.

import (
	"context"
	"fmt"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

// simulate forecasts the judged orders in one call, current treatment first,
// and asks the rules about each future. Where the agent simulated nothing,
// nothing is simulated here either.
func (s *session) simulate(ctx context.Context, orders []Assessed) error {
	if s.x.options == nil {
		return nil
	}
	hold := s.x.options[0]
	for _, v := range hold.Verdicts {
		s.holding[v.ID] = true // with its future, too
	}
	plans := []world.Plan{hold.plan}
	var asked []int
	for i := range orders {
		if orders[i].Proposal != nil && s.actions[i].plan != nil {
			plans, asked = append(plans, *s.actions[i].plan), append(asked, i)
		}
	}
	if len(asked) == 0 {
		return nil
	}
	forecasts, err := s.agent.model.Forecast(ctx, s.tl, plans, s.tl.Present.MAP.GoalMmHg)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrForecast, err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(forecasts) != len(plans) {
		return fmt.Errorf("%w: %d forecasts for %d plans", ErrForecast, len(forecasts), len(plans))
	}
	for k, i := range asked {
		if err := ctx.Err(); err != nil {
			return err
		}
		fc := forecasts[k+1]
		if err := soundForecast(&fc, plans[k+1]); err != nil {
			return fmt.Errorf("%w: plan %s: %w", ErrForecast, plans[k+1].Name, err)
		}
		if err := s.foresee(&orders[i], &s.actions[i], fc, hold); err != nil {
			return err
		}
	}
	return nil
}

// foresee judges an order by its forecast. One the model has no support for is
// not shown, and says nothing against the order. Nor does a rule that would say
// the same if the future were that of current treatment.
func (s *session) foresee(o *Assessed, a *action, fc world.Forecast, hold *option) error {
	verdicts, err := s.agent.judge.Judge(s.tl, a.proposal, &fc)
	if err != nil {
		return err
	}
	for _, v := range verdicts {
		if v.ID == ruleOutOfSupport && v.Effect == policy.Block {
			o.Unclear = append(o.Unclear, "forecast: outside what the model knows")
			return nil
		}
	}
	anyway, err := s.agent.judge.Judge(s.tl, a.proposal, &hold.Forecast)
	if err != nil {
		return err
	}
	s.hear(o, a, slices.DeleteFunc(slices.Clone(verdicts), func(v policy.Verdict) bool {
		return slices.ContainsFunc(anyway, func(h policy.Verdict) bool { return h.ID == v.ID })
	}))
	as := &option{candidate: candidate{plan: fc.Plan, rank: rankWean}, Option: Option{Proposal: *a.proposal, Forecast: fc}}
	for _, v := range verdicts {
		if v.Effect == policy.Penalty {
			as.Verdicts = append(as.Verdicts, v)
		}
	}
	o.Forecast = &fc
	o.Value, as.Parts = s.agent.value(s.tl, as)
	if loss := hold.Value - o.Value; loss >= clearlyWorse && !s.first(a) && len(o.Findings) == 0 {
		v := limitForecast
		v.Text = fmt.Sprintf("In simulation this does worse than current treatment, mostly by %s.", differences(as, hold))
		v.Values = map[string]float64{"value": o.Value, "value_current": hold.Value}
		o.find(SeverityInfo, v, s.instead(a, v.ID))
	}
	return nil
}

// clearlyWorse is the loss of value against current treatment that is worth a
// word. A litre of volume or a rare choice alone stay below it.
const clearlyWorse = 0.3
