// SPDX-License-Identifier: Apache-2.0

package offline

// This file: the networks. A stack is dense layers with ReLU; a network is one
// stack, or the dueling shape: a trunk under a stream for the value of the state
// and one for what each action adds to it.

import (
	"fmt"
	"math/rand/v2"

	"github.com/sepsisagent/sepsisagent/engine/nn"
)

// stack is dense layers, with ReLU after each, or after all but the last where
// it is open.
type stack struct {
	layers []nn.Dense
	open   bool
}

func newStack(layout *nn.Layout, name string, open bool, widths ...int) stack {
	s := stack{open: open}
	for i := range len(widths) - 1 {
		s.layers = append(s.layers, layout.Dense(fmt.Sprintf("%s.%d", name, i), widths[i], widths[i+1]))
	}
	return s
}

func (s stack) init(theta []float32, rng *rand.Rand) {
	for _, l := range s.layers {
		l.InitUniform(theta, rng)
	}
}

// activations are the outputs of a stack's layers for some rows, and the
// derivatives by them.
type activations struct{ out, grad []*nn.Mat }

func (s stack) room(rows int) (a activations) {
	for _, l := range s.layers {
		a.out = append(a.out, nn.NewMat(rows, l.W.Cols))
		a.grad = append(a.grad, nn.NewMat(rows, l.W.Cols))
	}
	return a
}

func (a activations) last() (out, grad *nn.Mat) {
	return a.out[len(a.out)-1], a.grad[len(a.grad)-1]
}

func (s stack) relu(i int) bool { return i < len(s.layers)-1 || !s.open }

func (s stack) forward(theta []float32, x *nn.Mat, a activations) *nn.Mat {
	for i, l := range s.layers {
		l.Forward(theta, x, a.out[i])
		if x = a.out[i]; s.relu(i) {
			nn.ReLU(x, x)
		}
	}
	return x
}

// backward goes back from the derivative by the last output, which it finds in
// a, and sets dx where it is not nil.
func (s stack) backward(theta, grad []float32, x *nn.Mat, a activations, dx *nn.Mat) {
	for i := len(s.layers) - 1; i >= 0; i-- {
		in, dIn := x, dx
		if i > 0 {
			in, dIn = a.out[i-1], a.grad[i-1]
		}
		if s.relu(i) {
			nn.ReLUBackward(a.grad[i], a.out[i], a.grad[i])
		}
		s.layers[i].Backward(theta, grad, in, a.grad[i], dIn)
	}
}

// network is what maps standardised features to one number per output.
type network struct {
	outputs int
	trunk   stack
	// value and advantage are the streams of a dueling network, whose output is
	// value + advantage - mean advantage (Wang 2016); nil in a plain one.
	value, advantage *stack
}

// newNetwork appends a plain network to the layout.
func newNetwork(layout *nn.Layout, name string, inputs, hidden, outputs int) *network {
	return &network{outputs: outputs, trunk: newStack(layout, name, true, inputs, hidden, hidden, outputs)}
}

// newDueling appends a dueling network to the layout.
func newDueling(layout *nn.Layout, name string, inputs, hidden, streams, outputs int) *network {
	n := &network{outputs: outputs, trunk: newStack(layout, name, false, inputs, hidden, hidden)}
	widths := []int{hidden}
	if streams > 0 {
		widths = append(widths, streams)
	}
	value := newStack(layout, name+".value", true, append(widths[:len(widths):len(widths)], 1)...)
	advantage := newStack(layout, name+".advantage", true, append(widths[:len(widths):len(widths)], outputs)...)
	n.value, n.advantage = &value, &advantage
	return n
}

func (n *network) init(theta []float32, rng *rand.Rand) {
	n.trunk.init(theta, rng)
	if n.value != nil {
		n.value.init(theta, rng)
		n.advantage.init(theta, rng)
	}
}

// pass is the memory of one forward and backward pass. The input lies in x, the
// output in out, and what backward starts from in grad.
type pass struct {
	x, out, grad            *nn.Mat
	trunk, value, advantage activations
	branch                  *nn.Mat // derivative by the trunk that the second stream gives
}

func (n *network) room(rows, inputs int) *pass {
	p := &pass{x: nn.NewMat(rows, inputs), trunk: n.trunk.room(rows)}
	if n.value == nil {
		p.out, p.grad = p.trunk.last()
		return p
	}
	p.value, p.advantage = n.value.room(rows), n.advantage.room(rows)
	p.out, p.grad = nn.NewMat(rows, n.outputs), nn.NewMat(rows, n.outputs)
	_, top := p.trunk.last()
	p.branch = nn.NewMat(rows, top.Cols)
	return p
}

// forward computes p.out of p.x.
func (n *network) forward(theta []float32, p *pass) *nn.Mat {
	h := n.trunk.forward(theta, p.x, p.trunk)
	if n.value == nil {
		return h
	}
	value, advantage := n.value.forward(theta, h, p.value), n.advantage.forward(theta, h, p.advantage)
	for i := range h.Rows {
		a, out := advantage.Row(i), p.out.Row(i)
		shift := value.Data[i] - mean(a)
		for j := range out {
			out[j] = a[j] + shift
		}
	}
	return p.out
}

// backward adds the derivatives to grad, from p.grad.
func (n *network) backward(theta, grad []float32, p *pass) {
	if n.value != nil {
		h, dh := p.trunk.last()
		_, dValue := p.value.last()
		_, dAdvantage := p.advantage.last()
		for i := range h.Rows {
			d, da := p.grad.Row(i), dAdvantage.Row(i)
			m := mean(d)
			dValue.Data[i] = m * float32(len(d))
			for j := range da {
				da[j] = d[j] - m
			}
		}
		n.value.backward(theta, grad, h, p.value, dh)
		n.advantage.backward(theta, grad, h, p.advantage, p.branch)
		for i, d := range p.branch.Data {
			dh.Data[i] += d
		}
	}
	n.trunk.backward(theta, grad, p.x, p.trunk, nil)
}

func mean(v []float32) float32 {
	var sum float32
	for _, x := range v {
		sum += x
	}
	return sum / float32(len(v))
}
