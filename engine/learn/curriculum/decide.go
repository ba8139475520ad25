// SPDX-License-Identifier: Apache-2.0

package curriculum

// This file: one decision as a row of choices: simulate a pair of levels, look at
// what came back, and in the end prescribe one.

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/learn/environment"
	"github.com/sepsisagent/sepsisagent/engine/nn"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// choice is one of them, with what was known when it was made.
type choice struct {
	seen
	action int                         // agent.ActorActions
	p      [agent.ActorActions]float32 // probabilities when it was made
	reward float64                     // what it earned at once
	at     int                         // prescription of the episode that it belongs to
	worth  float64                     // advantage, set in stage III
	after  [agent.ActorActions]float32 // probabilities of the policy that is anchored to
}

// mind is a decision under way.
type mind struct {
	e       *environment.Episode
	state   seen
	memory  agent.ActorMemory
	now     int // pair that runs
	best    int // pair of the highest value seen; -1 before any
	value   float64
	current float64 // value of what runs, where it was looked at
	looks   int
}

// newMind begins a decision. ok is false where no pressure is charted.
func (u *Unit) newMind(e *environment.Episode, simulator bool) (m *mind, ok bool, err error) {
	tl := e.Timeline()
	above, ok := agent.AboveGoalMmHg(tl)
	if !ok {
		return nil, false, nil
	}
	x, err := u.Model.Encode(tl)
	if err != nil {
		return nil, false, err
	}
	l := agent.LevelsNow(u.State, tl)
	m = &mind{e: e, state: seen{x: x, aboveMmHg: above}, now: 5*l.Vasopressor + l.Fluid, best: -1}
	if !simulator {
		m.close()
	}
	m.sum()
	return m, true, nil
}

// close leaves nothing but to prescribe.
func (m *mind) close() {
	for a := range agent.ActorPairs {
		m.memory.Shut[agent.ActorPairs+a] = true
	}
}

// look simulates a pair and remembers what came back.
func (m *mind) look(ctx context.Context, pair, most int) (*environment.Option, error) {
	options, err := m.e.Look(ctx, environment.LevelsOf(pair))
	if err != nil {
		return nil, err
	}
	o := options[0]
	m.memory.Seen[pair], m.memory.Look[pair] = true, lookOf(m.e, o, m.now, pair)
	m.memory.Shut[agent.ActorPairs+pair] = true
	if m.looks++; m.looks >= most {
		m.close()
	}
	if pair == m.now {
		m.current = o.Value
	}
	if o.Blocked {
		m.memory.Shut[pair] = true
	} else if m.best < 0 || o.Value > m.value {
		m.best, m.value = pair, o.Value
	}
	m.sum()
	return o, nil
}

// sum writes the summary: what runs, the best so far, and four numbers.
func (m *mind) sum() {
	s := &m.memory.Summary
	clear(s[:])
	s[m.now] = 1
	if m.best >= 0 {
		s[agent.ActorPairs+m.best] = 1
		s[2*agent.ActorPairs] = squash(m.value)
		s[2*agent.ActorPairs+1] = squash(m.value - m.current)
	}
	s[2*agent.ActorPairs+2] = float32(m.looks) / 5
	if m.memory.Seen[m.now] {
		s[2*agent.ActorPairs+3] = 1
	}
}

func squash(v float64) float32 { return float32(math.Tanh(v)) }

// lookOf is what a simulated pair looks like to the network: where it stands
// against what runs, and its forecast after four hours and at the end.
func lookOf(e *environment.Episode, o *environment.Option, now, pair int) (out [agent.ActorLook]float32) {
	first, last := &o.Forecast.Steps[0], &o.Forecast.Steps[len(o.Forecast.Steps)-1]
	tl := e.Timeline()
	change := func(feature int, scale float64) float32 {
		return squash((last.Band[feature].Median - tl.Last().Value[feature]) / scale)
	}
	penalty := 0.
	for _, v := range o.Verdicts {
		penalty += v.Penalty
	}
	for i, v := range []float32{
		float32(pair/5) / 4, float32(pair%5) / 4, float32(pair/5-now/5) / 4, float32(pair%5-now%5) / 4,
		squash(o.Value), float32(first.PMAPAtGoal), float32(last.PMAPAtGoal), float32(first.PLactateFall), float32(last.PLactateFall),
		squash((first.Band[state.MeanBP].Median - tl.Present.MAP.GoalMmHg) / 20), squash((first.Band[state.MeanBP].Lo80 - tl.Present.MAP.GoalMmHg) / 20),
		change(state.Lactate, 1), change(state.Creatinine, 0.5), change(state.Urine, 200),
		float32(o.Forecast.Support), squash(o.Forecast.Disagreement / 5), squash(penalty),
	} {
		if !math.IsNaN(float64(v)) {
			out[i] = v
		}
	}
	return out
}

// decision is a whole one.
type decision struct {
	choices []choice
	pair    int
	alone   int // pair that would have been prescribed without looking
	looks   int
}

// picker takes one of the actions by their probabilities.
type picker func(p []float32) int

// likeliestAction is the picker of a policy in use.
func likeliestAction(p []float32) int { return likeliest(p) }

// drawn is the picker of a policy in training.
func drawn(rng *rand.Rand) picker {
	return func(p []float32) int {
		u, last := rng.Float32(), 0
		for i, q := range p {
			if q > 0 {
				if last = i; u < q {
					return i
				}
				u -= q
			}
		}
		return last
	}
}

// decide lets the network decide. ok is false where it cannot: no pressure is
// charted.
func (u *Unit) decide(ctx context.Context, l *learner, e *environment.Episode, simulator bool, looks int, pick picker) (d *decision, ok bool, err error) {
	m, ok, err := u.newMind(e, simulator)
	if err != nil || !ok {
		return nil, ok, err
	}
	d = &decision{alone: -1}
	for {
		c := choice{seen: m.state, at: e.Step()}
		memory := m.memory
		c.memory = &memory
		b := l.forward([]seen{c.seen})
		nn.Softmax(c.p[:], b.thought.Logits.Row(0), 1)
		if d.alone < 0 {
			d.alone = likeliest(c.p[:agent.ActorPairs])
		}
		c.action = pick(c.p[:])
		if c.action < agent.ActorPairs {
			d.choices, d.pair, d.looks = append(d.choices, c), c.action, m.looks
			return d, true, nil
		}
		c.reward = environment.SimulationReward(1).Total()
		d.choices = append(d.choices, c)
		if _, err := m.look(ctx, c.action-agent.ActorPairs, looks); err != nil {
			return nil, false, err
		}
	}
}
