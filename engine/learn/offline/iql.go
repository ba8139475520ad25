// SPDX-License-Identifier: Apache-2.0

package offline

// This file: IQL (Kostrikov 2022): the value of a state is an upper expectile of
// the values of logged actions, so no unseen action is ever asked about; the
// policy imitates the log, weighed by advantage.

import "math"

// iql holds four networks: the policy, two for the value of actions, of which
// the lesser counts, and one for the value of states.
type iql struct {
	mem                   *memory
	cfg                   *Config
	pi, v                 *network
	q                     [2]*network
	act, value, ahead     *pass
	online, frozen        [2]*pass
	p                     []float64
	square                float64   // running mean square of advantages
	lossPi, lossV, lossQs float64   // of the last batch, means
	advantages            []float32 // of the last batch
}

func newIQL(mem *memory, cfg *Config, pi, q1, q2, v *network) *iql {
	rows, inputs := min(cfg.Batch, len(mem.valued)), mem.x.Cols
	o := &iql{mem: mem, cfg: cfg, pi: pi, v: v, q: [2]*network{q1, q2}, p: make([]float64, pi.outputs), advantages: make([]float32, rows),
		act: pi.room(rows, inputs), value: v.room(rows, inputs), ahead: v.room(rows, inputs)}
	o.value.x = o.act.x
	for k, q := range o.q {
		o.online[k], o.frozen[k] = q.room(rows, inputs), q.room(rows, inputs)
		o.online[k].x, o.frozen[k].x = o.act.x, o.act.x
	}
	return o
}

func (o *iql) backward(theta, target, grad []float32, b *batch) float64 {
	o.mem.load(o.act.x, b.rows)
	o.mem.loadNext(o.ahead.x, b.rows)
	o.pi.forward(theta, o.act)
	o.v.forward(theta, o.value)
	o.v.forward(theta, o.ahead)
	for k, q := range o.q {
		q.forward(theta, o.online[k])
		q.forward(target, o.frozen[k])
	}
	by := 1 / float32(len(b.rows))
	o.learnValue(b, by)
	o.learnActions(b, by)
	o.learnPolicy(b, by)
	o.pi.backward(theta, grad, o.act)
	o.v.backward(theta, grad, o.value)
	for k, q := range o.q {
		q.backward(theta, grad, o.online[k])
	}
	return o.lossPi + o.lossV + o.lossQs
}

// learnValue is the expectile regression of the state's value on the target
// networks' value of what was done.
func (o *iql) learnValue(b *batch, by float32) {
	o.lossV = 0
	square := 0.0
	for i, row := range b.rows {
		a := o.mem.steps[row].Action
		u := min(o.frozen[0].out.Row(i)[a], o.frozen[1].out.Row(i)[a]) - o.value.out.Data[i]
		w := float32(o.cfg.Expectile)
		if u < 0 {
			w = 1 - w
		}
		o.advantages[i] = u
		square += float64(u*u) * float64(by)
		o.lossV += float64(w * u * u * by)
		o.value.grad.Data[i] = -2 * w * u * by
	}
	if o.square == 0 {
		o.square = square
	}
	o.square += 0.01 * (square - o.square)
}

// learnActions pulls both values of what was done to reward and next state.
func (o *iql) learnActions(b *batch, by float32) {
	o.lossQs = 0
	for i, row := range b.rows {
		s := o.mem.steps[row]
		y := s.Reward / o.mem.unit
		if !o.mem.end[row] {
			y += o.cfg.Discount * float64(o.ahead.out.Data[i])
		}
		y = max(o.mem.low, min(o.mem.high, y))
		for k := range o.q {
			d := o.online[k].grad.Row(i)
			clear(d)
			e := o.online[k].out.Row(i)[s.Action] - float32(y)
			loss, slope := huber(e)
			o.lossQs += float64(loss * by)
			d[s.Action] = slope * by
			b.errors[i] = e
		}
	}
}

// learnPolicy imitates what was done, more where it was better than expected.
func (o *iql) learnPolicy(b *batch, by float32) {
	o.lossPi = 0
	sd := math.Max(math.Sqrt(o.square), 1e-6)
	for i, row := range b.rows {
		w := math.Min(math.Exp(o.cfg.Sharpness*float64(o.advantages[i])/sd), o.cfg.MostWeight)
		o.lossPi += w * cloning(o.act.grad.Row(i), o.act.out.Row(i), o.mem.steps[row], o.p, float32(w)*by) * float64(by)
	}
}
