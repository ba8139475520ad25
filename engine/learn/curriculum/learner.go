// SPDX-License-Identifier: Apache-2.0

package curriculum

// This file: the network of all three stages with its gradients. Batches are
// summed in one order on one goroutine, so that training has the same bits
// whatever GOMAXPROCS is.

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/nn"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// learner is the network with its weights and optimiser.
type learner struct {
	net         *agent.ActorLearner
	hidden      int
	theta, grad []float32
	opt         *nn.Adam
}

func newLearner(hidden int, decay float64, rng *rand.Rand) *learner {
	l := &learner{net: agent.NewActorLearner(hidden), hidden: hidden}
	l.theta = make([]float32, l.net.Layout.Size())
	l.grad = make([]float32, len(l.theta))
	l.opt = nn.NewAdam(len(l.theta), decay)
	n := l.net
	for _, d := range []struct {
		layer nn.Dense
		gain  float64
	}{{n.First, 1}, {n.Second, 1}, {n.Head, 0.1}, {n.Dynamics, 0.1}, {n.Skip, 0.01}, {n.Brief, 1}, {n.Read, 1}, {n.Verdict, 0.1}, {n.Ask, 0.1}} {
		d.layer.Init(l.theta, rng, d.gain)
	}
	return l
}

// seen is one state with what was simulated in it, as the network reads it.
type seen struct {
	x         []float32
	aboveMmHg float64
	memory    *agent.ActorMemory
}

// batch is what one pass over some states computes.
type batch struct {
	whole    *nn.Mat // the encoding with pressure, for the dynamics
	pass     *agent.ActorPass
	thought  *agent.ActorThought
	dynamics *nn.Mat
	drop     bool
}

// empty is the memory of a decision in which nothing was simulated.
var empty agent.ActorMemory

// forward scores all actions of every state.
func (l *learner) forward(states []seen) *batch {
	b := l.fill(states)
	l.net.Forward(l.theta, b.pass)
	l.think(b, states)
	return b
}

func (l *learner) fill(states []seen) *batch {
	b := &batch{whole: nn.NewMat(len(states), world.InputSize), pass: l.net.NewPass(len(states))}
	for i, s := range states {
		copy(b.whole.Row(i), s.x)
		copy(b.pass.X.Row(i), s.x)
		b.pass.SetPressure(i, s.aboveMmHg)
	}
	return b
}

func (l *learner) think(b *batch, states []seen) {
	memories := make([]*agent.ActorMemory, len(states))
	for i, s := range states {
		memories[i] = s.memory
		if memories[i] == nil {
			memories[i] = &empty
		}
	}
	b.thought = l.net.Think(l.theta, b.pass, memories)
}

// foresee computes the dynamics of every state of a batch.
func (l *learner) foresee(b *batch) {
	rows := b.whole.Rows
	b.dynamics = nn.NewMat(rows, agent.ActorDynamics)
	l.net.Foresee(l.theta, b.pass, b.whole, b.dynamics, nn.NewMat(rows, agent.ActorDynamics))
}

// backward adds to the gradient what follows from the derivatives of the loss by
// the scores of actions and by the dynamics; either may be nil.
func (l *learner) backward(b *batch, dLogits, dDynamics *nn.Mat) {
	rows := b.whole.Rows
	dAct2 := nn.NewMat(rows, l.hidden)
	if dLogits != nil {
		l.backThought(b, dLogits, dAct2)
	}
	if dDynamics != nil {
		part := nn.NewMat(rows, l.hidden)
		l.net.Dynamics.Backward(l.theta, l.grad, b.pass.Act2, dDynamics, part)
		add(dAct2, part)
		l.net.Skip.Backward(l.theta, l.grad, b.whole, dDynamics, nil)
	}
	dAct1 := nn.NewMat(rows, l.hidden)
	if b.drop {
		nn.Scale(dAct2, b.pass.Drop2)
	}
	nn.SiLUBackward(dAct2, b.pass.Pre2, dAct2)
	l.net.Second.Backward(l.theta, l.grad, b.pass.Act1, dAct2, dAct1)
	if b.drop {
		nn.Scale(dAct1, b.pass.Drop1)
	}
	nn.SiLUBackward(dAct1, b.pass.Pre1, dAct1)
	l.net.First.Backward(l.theta, l.grad, b.pass.X, dAct1, nil)
}

// backThought goes back through the scores of actions, into dAct2.
func (l *learner) backThought(b *batch, dLogits, dAct2 *nn.Mat) {
	rows, t, n := b.whole.Rows, b.thought, l.net
	dOut, dAsk := nn.NewMat(rows, agent.ActorPairs+agent.ActorRamps), nn.NewMat(rows, agent.ActorPairs)
	for i := range rows {
		d, row, out, ramp := dLogits.Row(i), dOut.Row(i), b.pass.Out.Row(i), b.pass.Ramp.Row(i)
		var push float32
		for pair := range agent.ActorPairs {
			row[pair] = d[pair]
			push -= float32(pair/5) * d[pair]
		}
		for j := range agent.ActorRamps {
			row[agent.ActorPairs+j] = push * ramp[j] * nn.Sigmoid(out[agent.ActorPairs+j])
		}
		copy(dAsk.Row(i), d[agent.ActorPairs:])
	}
	part := nn.NewMat(rows, l.hidden)
	n.Head.Backward(l.theta, l.grad, b.pass.Act2, dOut, part)
	add(dAct2, part)
	dAskIn := nn.NewMat(rows, t.AskIn.Cols)
	n.Ask.Backward(l.theta, l.grad, t.AskIn, dAsk, dAskIn)
	for i := range rows {
		for j, v := range dAskIn.Row(i)[:l.hidden] {
			dAct2.Row(i)[j] += v
		}
	}
	if len(t.Rows) == 0 {
		return
	}
	dVerdict, dRead, dReadIn := nn.NewMat(len(t.Rows), 1), nn.NewMat(len(t.Rows), t.Read.Cols), nn.NewMat(len(t.Rows), t.ReadIn.Cols)
	for k, i := range t.Rows {
		dVerdict.Data[k] = dLogits.Row(i)[t.Pairs[k]]
	}
	n.Verdict.Backward(l.theta, l.grad, t.Read, dVerdict, dRead)
	nn.SiLUBackward(dRead, t.Pre, dRead)
	n.Read.Backward(l.theta, l.grad, t.ReadIn, dRead, dReadIn)
	dBrief := nn.NewMat(rows, t.Brief.Cols)
	from := t.ReadIn.Cols - t.Brief.Cols
	for k, i := range t.Rows {
		for j, v := range dReadIn.Row(k)[from:] {
			dBrief.Row(i)[j] += v
		}
	}
	n.Brief.Backward(l.theta, l.grad, b.pass.Act2, dBrief, part)
	add(dAct2, part)
}

func add(to, from *nn.Mat) {
	for i, v := range from.Data {
		to.Data[i] += v
	}
}

// step moves the weights against the gradient and clears it.
func (l *learner) step(rate float64) error {
	if norm := nn.ClipNorm(l.grad, 1); math.IsNaN(norm) || math.IsInf(norm, 0) {
		return fmt.Errorf("%w: the gradient is not finite; lower the learning rate", ErrCurriculum)
	}
	l.opt.Step(&l.net.Layout, l.theta, l.grad, rate)
	clear(l.grad)
	return nil
}

// fresh forgets the optimiser's moments, at the beginning of a stage.
func (l *learner) fresh(decay float64) { l.opt = nn.NewAdam(len(l.theta), decay) }
