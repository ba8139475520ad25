// SPDX-License-Identifier: Apache-2.0

package curriculum

// This file: stage III, reinforcement learning in the world model.
//
// The algorithm is a group-relative policy gradient, as in the paper (GRPO), with
// three differences, each for a reason (reference rl-engines.md 7):
//
//   - A choice is judged by what is earned from its decision on, against the mean
//     of the others of its group at the same decision, and not by the return of the
//     whole episode: luck before a choice is none of its doing.
//   - Differences are divided by the spread of the whole iteration and not of the
//     group: in a group where nothing matters there is only noise to blow up.
//   - The pull to stage II is the exact divergence over all actions.
//
// All rollouts of a group begin at the same state and meet the same luck.

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/learn/environment"
	"github.com/sepsisagent/sepsisagent/engine/nn"
)

// mostRefused is how many refused prescriptions a decision may have before four
// hours pass under what runs.
const mostRefused = 4

// rollout is one patient under a policy.
type rollout struct {
	choices []choice
	earned  []float64 // per decision
	end     environment.End
}

// bed is a patient who is treated, four hours at a time: in the world model
// (simulated) or in the mechanistic simulator (mechanistic.go).
type bed interface {
	// episode is the present state, to look at.
	episode() *environment.Episode
	give(ctx context.Context, pair int) (environment.Result, error)
	keep(ctx context.Context) (environment.Result, error)
}

// simulated is a patient who goes on as the world model says.
type simulated struct{ e *environment.Episode }

func (s simulated) episode() *environment.Episode { return s.e }
func (s simulated) give(ctx context.Context, pair int) (environment.Result, error) {
	return s.e.Prescribe(ctx, environment.LevelsOf(pair))
}
func (s simulated) keep(ctx context.Context) (environment.Result, error) { return s.e.Keep(ctx) }

// doctor decides on a patient. ok is false where it cannot; then treatment stays.
// again, where it is not nil, names another pair when rules have blocked the last.
type doctor struct {
	decide func(ctx context.Context, e *environment.Episode) (d *decision, ok bool, err error)
	again  func(last choice) (choice, bool)
}

// learned is the network as a doctor.
func (u *Unit) learned(l *learner, simulator bool, looks int, pick picker) doctor {
	return doctor{
		decide: func(ctx context.Context, e *environment.Episode) (*decision, bool, error) {
			return u.decide(ctx, l, e, simulator, looks, pick)
		},
		again: func(last choice) (choice, bool) {
			memory := *last.memory
			memory.Shut[last.action] = true
			for a := range agent.ActorPairs {
				memory.Shut[agent.ActorPairs+a] = true
			}
			c := choice{seen: last.seen, at: last.at}
			c.memory = &memory
			nn.Softmax(c.p[:], l.forward([]seen{c.seen}).thought.Logits.Row(0), 1)
			c.action = pick(c.p[:])
			return c, c.action < agent.ActorPairs && !memory.Shut[c.action]
		},
	}
}

// treat treats a patient to the end.
func treat(ctx context.Context, b bed, by doctor, watch func(d *decision, pair int, e *environment.Episode) error) (*rollout, error) {
	out := &rollout{}
	for out.end == "" {
		earned, end, err := round(ctx, b, by, out, watch)
		if err != nil {
			return nil, err
		}
		out.earned, out.end = append(out.earned, earned), end
	}
	return out, nil
}

// round is one decision and the four hours after it.
func round(ctx context.Context, b bed, by doctor, out *rollout, watch func(*decision, int, *environment.Episode) error) (earned float64, end environment.End, err error) {
	d, ok, err := by.decide(ctx, b.episode())
	if err != nil {
		return 0, "", err
	}
	if ok {
		for _, c := range d.choices {
			earned += c.reward
		}
		out.choices = append(out.choices, d.choices...)
		pair := d.pair
		for n := 0; n <= mostRefused; n++ {
			before := *b.episode()
			r, err := b.give(ctx, pair)
			if err != nil {
				return 0, "", err
			}
			earned += r.Reward.Total()
			if len(r.Blocked) == 0 {
				if watch != nil {
					err = watch(d, pair, &before)
				}
				return earned, r.End, err
			}
			// Rules have spoken: what they block is shut, and the next is taken.
			if by.again == nil {
				break
			}
			c, ok := by.again(out.choices[len(out.choices)-1])
			if !ok {
				break
			}
			out.choices, pair = append(out.choices, c), c.action
		}
	}
	r, err := b.keep(ctx)
	return earned + r.Reward.Total(), r.End, err
}

// practise is stage III.
func (t *trainer) practise(ctx context.Context, r *Records) error {
	if t.iteration == 0 {
		t.anchor = slices.Clone(t.learner.theta)
		t.learner.fresh(0)
	}
	anchor := &learner{net: t.learner.net, hidden: t.learner.hidden, theta: t.anchor}
	for n := t.iteration; n < t.cfg.Iterations; n++ {
		groups := make([][]*rollout, t.cfg.Groups)
		err := t.each(ctx, len(groups), func(g int) (err error) {
			groups[g], err = t.group(ctx, n, g)
			return err
		}, nil)
		if err != nil {
			return err
		}
		choices, earned, looks := judge(groups)
		if len(choices) == 0 {
			return fmt.Errorf("%w: an iteration without a single choice", ErrCurriculum)
		}
		for part := range slices.Chunk(choices, 4*actorBatch) {
			states := make([]seen, len(part))
			for i := range part {
				states[i] = part[i].seen
			}
			b := anchor.forward(states)
			for i := range part {
				nn.Softmax(part[i].after[:], b.thought.Logits.Row(i), 1)
			}
		}
		rng := chance(t.cfg.Imitation.Seed, 1<<32+uint64(n))
		for range t.cfg.Passes {
			rng.Shuffle(len(choices), func(i, j int) { choices[i], choices[j] = choices[j], choices[i] })
			for part := range slices.Chunk(choices, 4*actorBatch) {
				t.improve(part)
				t.rehearse(r, rng)
				if err := t.learner.step(t.cfg.Rate); err != nil {
					return err
				}
			}
		}
		t.report(Progress{Stage: 3, Done: n + 1, Of: t.cfg.Iterations, Return: earned, Looks: looks})
		if t.iteration = n + 1; t.save != nil && t.iteration%10 == 0 {
			if err := t.save(); err != nil {
				return err
			}
		}
	}
	return nil
}

// group is the rollouts of one start.
func (t *trainer) group(ctx context.Context, iteration, g int) ([]*rollout, error) {
	at := iteration*t.cfg.Groups + g
	rng := chance(t.seed(3, at), 1)
	first, err := t.unit.Train.Reset(ctx, t.seed(3, at), t.task(t.unit.Train, at))
	if err != nil {
		return nil, err
	}
	simulator := rng.Float64() >= t.cfg.Blind
	out := make([]*rollout, t.cfg.Rollouts)
	for k := range out {
		if out[k], err = treat(ctx, simulated{first.Clone()}, t.unit.learned(t.learner, simulator, t.cfg.Looks, drawn(rng)), nil); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// judge sets the worth of every choice: what was earned from its decision on, less
// the mean of the other rollouts of the group from the same decision on; where all
// others have ended, what they earned after their end is nothing. earned is the
// mean return, looks the mean number of pairs simulated per decision.
func judge(groups [][]*rollout) (choices []*choice, earned, looks float64) {
	var squares, decisions, episodes float64
	for _, group := range groups {
		ahead := make([][]float64, len(group)) // from each decision on
		for k, r := range group {
			ahead[k] = slices.Clone(r.earned)
			for i := len(r.earned) - 2; i >= 0; i-- {
				ahead[k][i] += ahead[k][i+1]
			}
			earned, episodes, decisions = earned+ahead[k][0], episodes+1, decisions+float64(len(r.earned))
		}
		for k, r := range group {
			for i := range r.choices {
				c := &r.choices[i]
				others := 0.
				for j := range group {
					if j != k && c.at < len(ahead[j]) {
						others += ahead[j][c.at]
					}
				}
				c.worth = ahead[k][c.at] - others/float64(len(group)-1)
				squares += c.worth * c.worth
				if c.action >= agent.ActorPairs {
					looks++
				}
				choices = append(choices, c)
			}
		}
	}
	if spread := math.Sqrt(squares / math.Max(float64(len(choices)), 1)); spread > 0 {
		for _, c := range choices {
			c.worth /= spread
		}
	}
	return choices, earned / math.Max(episodes, 1), looks / math.Max(decisions, 1)
}

// improve adds the gradient of the clipped objective of some choices.
func (t *trainer) improve(choices []*choice) {
	states := make([]seen, len(choices))
	for i, c := range choices {
		states[i] = c.seen
	}
	b := t.learner.forward(states)
	d := nn.NewMat(len(choices), agent.ActorActions)
	var p [agent.ActorActions]float32
	for i, c := range choices {
		nn.Softmax(p[:], b.thought.Logits.Row(i), 1)
		row := d.Row(i)
		ratio := float64(p[c.action]) / math.Max(float64(c.p[c.action]), 1e-9)
		// Outside the clip the objective is flat.
		if inside := c.worth > 0 && ratio < 1+t.cfg.Clip || c.worth < 0 && ratio > 1-t.cfg.Clip; inside {
			for a := range row {
				row[a] = float32(c.worth*ratio) * p[a]
			}
			row[c.action] -= float32(c.worth * ratio)
		}
		divergence := 0.
		for a, q := range p {
			divergence += float64(q) * gap(q, c.after[a])
		}
		for a, q := range p {
			row[a] += float32(t.cfg.Anchor * float64(q) * (gap(q, c.after[a]) - divergence))
			row[a] /= float32(len(choices))
		}
	}
	t.learner.backward(b, d, nil)
}

// gap is the logarithm of the ratio of two probabilities; 0 of what cannot be done.
func gap(p, q float32) float64 {
	if p <= 0 {
		return 0
	}
	return math.Log(float64(p) / math.Max(float64(q), 1e-9))
}
