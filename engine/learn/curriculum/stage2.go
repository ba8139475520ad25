// SPDX-License-Identifier: Apache-2.0

package curriculum

// This file: stage II, behaviour cloning of a planner. The planner proposes what
// runs, simulates it and its neighbours on the five-by-five grid, goes on from
// the best of them, and prescribes it when no neighbour is better: propose,
// simulate, refine.

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/learn/environment"
	"github.com/sepsisagent/sepsisagent/engine/nn"
)

// neighbours of a pair on the grid, in a fixed order.
func neighbours(pair int) (out []int) {
	v, f := pair/5, pair%5
	for _, d := range [][2]int{{1, 0}, {0, 1}, {-1, 0}, {0, -1}} {
		if a, b := v+d[0], f+d[1]; a >= 0 && a < 5 && b >= 0 && b < 5 {
			out = append(out, 5*a+b)
		}
	}
	return out
}

// teach lets the planner decide. clean is false where a rule speaks against what
// it prescribes.
func (u *Unit) teach(ctx context.Context, e *environment.Episode, looks int) (d *decision, clean, ok bool, err error) {
	m, ok, err := u.newMind(e, true)
	if err != nil || !ok {
		return nil, false, ok, err
	}
	d = &decision{alone: -1}
	note := func(action int) {
		memory := m.memory
		c := choice{seen: m.state, at: e.Step(), action: action}
		c.memory = &memory
		if action >= agent.ActorPairs {
			c.reward = environment.SimulationReward(1).Total()
		}
		d.choices = append(d.choices, c)
	}
	verdicts := map[int]int{}
	ask := func(pair int) error {
		note(agent.ActorPairs + pair)
		o, err := m.look(ctx, pair, looks)
		if err == nil {
			verdicts[pair] = len(slices.DeleteFunc(slices.Clone(penalties(o)), func(p float64) bool { return p == 0 }))
		}
		return err
	}
	if err := ask(m.now); err != nil {
		return nil, false, false, err
	}
	for at := -1; m.looks < looks; {
		from := m.best
		if from < 0 {
			from = m.now
		}
		if from == at {
			break // all around the best is known, and nothing is better
		}
		at = from
		for _, pair := range neighbours(from) {
			if m.looks < looks && !m.memory.Seen[pair] {
				if err := ask(pair); err != nil {
					return nil, false, false, err
				}
			}
		}
	}
	if m.best < 0 { // all that was looked at is blocked: somebody else has to say
		return nil, false, false, nil
	}
	note(m.best)
	d.pair, d.looks = m.best, m.looks
	return d, verdicts[m.best] == 0, true, nil
}

func penalties(o *environment.Option) (out []float64) {
	for _, v := range o.Verdicts {
		out = append(out, v.Penalty)
	}
	return out
}

// course lets the planner treat one patient. kept are the decisions worth
// imitating: none of a patient who died or did no better than the same patient
// would have, by the same luck, had treatment been left alone; and none that a
// rule speaks against.
func (t *trainer) course(ctx context.Context, seed uint64, task string) (kept []choice, err error) {
	e, err := t.unit.Train.Reset(ctx, seed, task)
	if err != nil {
		return nil, err
	}
	alone, err := treat(ctx, simulated{e.Clone()}, t.unit.fixed(t.unit.running), nil)
	if err != nil {
		return nil, err
	}
	earned := 0.
	for {
		d, clean, ok, err := t.unit.teach(ctx, e, t.cfg.Looks)
		if err != nil {
			return nil, err
		}
		var r environment.Result
		if !ok {
			r, err = e.Keep(ctx)
		} else if r, err = e.Prescribe(ctx, environment.LevelsOf(d.pair)); err == nil && len(r.Blocked) > 0 {
			ok = false
			r, err = e.Keep(ctx)
		}
		if err != nil {
			return nil, err
		}
		earned += r.Reward.Total()
		if ok && clean {
			kept = append(kept, lesson(d)...)
		}
		switch r.End {
		case "":
		case environment.EndDied:
			return nil, nil
		default:
			if earned <= sum(alone.earned) {
				return nil, nil
			}
			return kept, nil
		}
	}
}

// lesson is what of the planner's decision is imitated: looks that led to another
// treatment, and otherwise the prescription at once, for looking costs and had
// changed nothing. So the network learns when to look, which the planner, who
// always looks, does not know.
func lesson(d *decision) []choice {
	first, last := d.choices[0], d.choices[len(d.choices)-1]
	if d.pair != likeliest(first.memory.Summary[:agent.ActorPairs]) {
		return d.choices
	}
	first.action, first.reward = last.action, last.reward
	return []choice{first}
}

func sum(v []float64) (out float64) {
	for _, x := range v {
		out += x
	}
	return out
}

// partCloning is the part of stage II that a curve is drawn of.
const partCloning = "cloning"

// leastChoices are too few to learn anything from.
const leastChoices = 30

// clone is stage II. Recorded steps are gone over again beside it, so that what
// the patient does next is not forgotten.
func (t *trainer) clone(ctx context.Context, r *Records) error {
	courses := make([][]choice, t.cfg.Courses)
	err := t.each(ctx, len(courses), func(i int) (err error) {
		courses[i], err = t.course(ctx, t.seed(2, i), t.task(t.unit.Train, i))
		return err
	}, func(done int) { t.report(Progress{Stage: 2, What: "courses", Done: done, Of: len(courses)}) })
	if err != nil {
		return err
	}
	var all []choice
	for i, c := range courses {
		if c != nil {
			t.kept++
		}
		all = append(all, c...)
		courses[i] = nil
	}
	t.cloned = len(all)
	if len(all) < leastChoices {
		return fmt.Errorf("%w: the planner left %d choices to imitate; want at least %d (hint: more courses)", ErrCurriculum, len(all), leastChoices)
	}
	// The same prescriptions without the simulator, for when there is none.
	for _, c := range slices.Clone(all) {
		if c.action < agent.ActorPairs {
			blank := mind{now: likeliest(c.memory.Summary[:agent.ActorPairs]), best: -1}
			blank.close()
			blank.sum()
			memory := blank.memory
			c.memory = &memory
			all = append(all, c)
		}
	}
	rng := chance(t.cfg.Imitation.Seed, 200)
	t.learner.fresh(t.cfg.Imitation.WeightDecay)
	batches := (len(all) + actorBatch - 1) / actorBatch
	for epoch := range t.cfg.CloneEpochs {
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		loss := 0.
		for n := range batches {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("training stopped: %w", err)
			}
			t.rehearse(r, rng)
			loss += t.imitate(all[n*actorBatch : min((n+1)*actorBatch, len(all))])
			if err := t.learner.step(falling(t.cfg.CloneRate, epoch*batches+n, t.cfg.CloneEpochs*batches)); err != nil {
				return err
			}
		}
		t.report(Progress{Stage: 2, What: partCloning, Done: epoch + 1, Of: t.cfg.CloneEpochs, Loss: loss / float64(len(all))})
	}
	return nil
}

// imitate adds the gradient of the likelihood of some choices, and returns their
// summed loss.
func (t *trainer) imitate(choices []choice) (sum float64) {
	states := make([]seen, len(choices))
	for i := range choices {
		states[i] = choices[i].seen
	}
	b := t.learner.forward(states)
	d := nn.NewMat(len(choices), agent.ActorActions)
	for i := range choices {
		row := d.Row(i)
		nn.Softmax(row, b.thought.Logits.Row(i), 1)
		sum -= math.Log(math.Max(float64(row[choices[i].action]), 1e-9))
		row[choices[i].action]--
		for a := range row {
			row[a] /= float32(len(choices))
		}
	}
	t.learner.backward(b, d, nil)
	return sum
}
