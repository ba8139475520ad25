// SPDX-License-Identifier: Apache-2.0

package offline

// This file: the methods that learn the value of actions from the next step's:
// D3QN, WD3QNE, CQL and BCQ. They differ in which of the next actions they
// trust, and in what holds the values of unseen actions down.

import (
	"math"

	"github.com/sepsisagent/sepsisagent/engine/nn"
)

// qLearning is double Q-learning (van Hasselt 2016) on logged steps: the online
// network chooses the next action, the target network says what it is worth.
// No target lies outside what any step of the log was followed by, which keeps
// values from running away (Raghu 2017 bounds its targets too).
type qLearning struct {
	method  Method
	mem     *memory
	cfg     *Config
	q       *network
	now     *pass // online, this step
	ahead   *pass // online, next step
	frozen  *pass // target, next step
	p       []float64
	allowed []bool
	goals   []float64

	// BCQ: who would be imitated, on both steps.
	imitator            *network
	imitate, foreseeing *pass
}

func newQLearning(method Method, mem *memory, cfg *Config, nets []*network) *qLearning {
	rows, inputs := min(cfg.Batch, len(mem.valued)), mem.x.Cols
	q := nets[0]
	o := &qLearning{method: method, mem: mem, cfg: cfg, q: q, now: q.room(rows, inputs), ahead: q.room(rows, inputs), frozen: q.room(rows, inputs),
		p: make([]float64, q.outputs), allowed: make([]bool, q.outputs), goals: make([]float64, rows)}
	o.frozen.x = o.ahead.x
	if method == BCQ {
		o.imitator = nets[1]
		o.imitate, o.foreseeing = o.imitator.room(rows, inputs), o.imitator.room(rows, inputs)
		o.imitate.x, o.foreseeing.x = o.now.x, o.ahead.x
	}
	return o
}

func (o *qLearning) backward(theta, target, grad []float32, b *batch) float64 {
	o.mem.load(o.now.x, b.rows)
	o.mem.loadNext(o.ahead.x, b.rows)
	o.aim(theta, target, b)
	return o.learn(theta, grad, b)
}

// aim sets the goals of a batch, which are constants to what is learnt.
func (o *qLearning) aim(theta, target []float32, b *batch) {
	o.q.forward(theta, o.ahead)
	o.q.forward(target, o.frozen)
	if o.imitator != nil {
		o.imitator.forward(theta, o.foreseeing)
	}
	for i, row := range b.rows {
		o.goals[i] = o.goal(i, row)
	}
}

// learn goes back from the batch's mean loss.
func (o *qLearning) learn(theta, grad []float32, b *batch) float64 {
	out := o.q.forward(theta, o.now)
	if o.imitator != nil {
		o.imitator.forward(theta, o.imitate)
	}
	sum, by := 0.0, 1/float32(len(b.rows))
	for i, row := range b.rows {
		s, q, d := o.mem.steps[row], out.Row(i), o.now.grad.Row(i)
		clear(d)
		b.errors[i] = q[s.Action] - float32(o.goals[i])
		loss, slope := huber(b.errors[i])
		sum += float64(b.weights[i] * loss)
		d[s.Action] = b.weights[i] * slope * by
		if o.cfg.Conservative > 0 {
			sum += o.cfg.Conservative * o.conserve(d, q, s, by)
		}
		if o.imitator != nil {
			sum += o.clone(i, s, by)
		}
	}
	o.q.backward(theta, grad, o.now)
	if o.imitator != nil {
		o.imitator.backward(theta, grad, o.imitate)
	}
	return sum * float64(by)
}

// goal is what the value of a step is pulled to.
func (o *qLearning) goal(i, row int) float64 {
	y := o.mem.steps[row].Reward / o.mem.unit
	if !o.mem.end[row] {
		y += o.cfg.Discount * float64(o.next(i, row))
	}
	return max(o.mem.low, min(o.mem.high, y))
}

// next is what the state after a step is worth.
func (o *qLearning) next(i, row int) float32 {
	then, online, frozen := o.mem.steps[row+1], o.ahead.out.Row(i), o.frozen.out.Row(i)
	allowed := then.Allowed
	switch o.method {
	case BCQ:
		allowed = supported(o.allowed, o.foreseeing.out.Row(i), allowed, o.cfg.Support)
	case WD3QNE:
		if o.mem.steps[row].SOFA < o.cfg.ExpertBelow { // false where it is not known
			return frozen[then.Action]
		}
		// The target network's own choice is weighed against the online one's, by
		// their softmax in the units of the rewards.
		a, b := frozen[best(online, allowed)], frozen[best(frozen, allowed)]
		share := nn.Sigmoid((a - b) * float32(o.mem.unit))
		return share*a + (1-share)*b
	}
	return frozen[best(online, allowed)]
}

// conserve is CQL's penalty: how far the soft maximum over actions lies above
// the value of what was done. It adds to d.
func (o *qLearning) conserve(d, q []float32, s *Step, by float32) float64 {
	norm := softmax(o.p, q, s.Allowed)
	k := by * float32(o.cfg.Conservative)
	for a := range d {
		d[a] += k * float32(o.p[a])
	}
	d[s.Action] -= k
	return norm - float64(q[s.Action])
}

// clone is the imitator's loss of a step, with the penalty on its logits.
func (o *qLearning) clone(i int, s *Step, by float32) float64 {
	z, d := o.imitate.out.Row(i), o.imitate.grad.Row(i)
	loss := cloning(d, z, s, o.p, by)
	k := o.cfg.LogitPenalty / float64(len(z))
	for a, v := range z {
		loss += k * float64(v) * float64(v)
		d[a] += 2 * by * float32(k) * v
	}
	return loss
}

// huber is the smooth absolute loss with its derivative.
func huber(e float32) (loss, slope float32) {
	if size := float32(math.Abs(float64(e))); size > 1 {
		return size - 0.5, e / size
	}
	return e * e / 2, e
}
