// SPDX-License-Identifier: Apache-2.0

package world

// This file: one member of the ensemble: its tensors, its forward pass and the
// way back.

import (
	"math/rand/v2"

	"github.com/sepsisagent/sepsisagent/engine/nn"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

const numF = state.NumFeatures

// numPairs is the number of pairs of levels, index 5*vasopressor + fluid.
const numPairs = 25

// Places in the output of the head.
const (
	outChange = 0                        // change from the last value, [step][feature]
	outSpread = outChange + Horizon*numF // log-scale before bounding
	outVent   = outSpread + Horizon*numF // logit of invasive ventilation per step
	outUsual  = outVent + Horizon        // usual treatment: norepinephrine per step, then fluid
	outPairs  = outUsual + 2*Horizon     // logits of the next step's pair of levels
	outVaso24 = outPairs + numPairs      // logit of a vasopressor within 24 h
	outSize   = outVaso24 + 1
)

// The log-scale is bounded between these (standardised units).
const (
	logScaleLo = -4.0
	logScaleHi = 1.5
)

// Architecture fixes the shape of a member; the weights file carries it.
type Architecture struct {
	Inputs  int `json:"inputs"`  // must be InputSize
	Hidden  int `json:"hidden"`  // width of both hidden layers
	Effect  int `json:"effect"`  // width of the effect part's hidden layer
	Context int `json:"context"` // must be the size of the context vector
	Outputs int `json:"outputs"` // must be the head's size
	// Unsigned lets norepinephrine lower pressure too, which no model file may:
	// it shows what confounded records would teach (ConfoundingStudy).
	Unsigned bool `json:"unsigned,omitempty"`
}

func newArchitecture(hidden, effect int) Architecture {
	return Architecture{Inputs: InputSize, Hidden: hidden, Effect: effect, Context: contextSize, Outputs: outSize}
}

// network holds the layout shared by all members.
type network struct {
	arch          Architecture
	layout        nn.Layout
	first, second nn.Dense
	head          nn.Dense
	own           nn.Span // a feature's own inputs straight to its change: [feature*perFeature][step]
	gain1, gain2  nn.Dense
	memory        nn.Span // how long an effect lasts: [act][feature]
}

func newNetwork(a Architecture) *network {
	n := &network{arch: a}
	n.first = n.layout.Dense("first", a.Inputs, a.Hidden)
	n.second = n.layout.Dense("second", a.Hidden, a.Hidden)
	n.head = n.layout.Dense("head", a.Hidden, a.Outputs)
	n.own = n.layout.Add("own", numF*perFeature, Horizon, true)
	n.gain1 = n.layout.Dense("gain1", a.Context, a.Effect)
	n.gain2 = n.layout.Dense("gain2", a.Effect, numActs*numF)
	n.memory = n.layout.Add("memory", numActs, numF, false)
	return n
}

// init draws a member's starting weights. It starts as persistence: the last
// layers are nearly zero.
func (n *network) init(rng *rand.Rand) []float32 {
	theta := make([]float32, n.layout.Size())
	n.first.Init(theta, rng, 1)
	n.second.Init(theta, rng, 1.4)
	n.head.Init(theta, rng, 0.05)
	bias := n.head.B.In(theta)
	for i := range Horizon * numF {
		bias[outSpread+i] = 0.6 // a scale near 0.45
	}
	n.gain1.Init(theta, rng, 1)
	n.gain2.Init(theta, rng, 0.1)
	for _, f := range []int{sbp, dbp, mbp} {
		n.gain2.B.In(theta)[actNE*numF+f] = -1 // about 30 mmHg
		if n.arch.Unsigned {
			n.gain2.B.In(theta)[actNE*numF+f] = 0
		}
	}
	for i := range n.memory.In(theta) {
		n.memory.In(theta)[i] = -1
	}
	return theta
}

// pass holds the activations of one batch. It is reused; nothing in it
// outlives the next forward.
type pass struct {
	x, pre1, act1, pre2, act2, out *nn.Mat
	ctx, gainAct, gain             *nn.Mat
	drop1, drop2                   *nn.Mat // nil when not training
	dOut, dAct1, dAct2             *nn.Mat
	dGain, dGainAct                *nn.Mat
}

func (n *network) newPass(rows int, training bool) *pass {
	a := n.arch
	p := &pass{
		x: nn.NewMat(rows, a.Inputs), pre1: nn.NewMat(rows, a.Hidden), act1: nn.NewMat(rows, a.Hidden),
		pre2: nn.NewMat(rows, a.Hidden), act2: nn.NewMat(rows, a.Hidden), out: nn.NewMat(rows, a.Outputs),
		ctx: nn.NewMat(rows, a.Context), gainAct: nn.NewMat(rows, a.Effect), gain: nn.NewMat(rows, numActs*numF),
	}
	if training {
		p.drop1, p.drop2 = nn.NewMat(rows, a.Hidden), nn.NewMat(rows, a.Hidden)
		p.dOut, p.dAct1, p.dAct2 = nn.NewMat(rows, a.Outputs), nn.NewMat(rows, a.Hidden), nn.NewMat(rows, a.Hidden)
		p.dGain, p.dGainAct = nn.NewMat(rows, numActs*numF), nn.NewMat(rows, a.Effect)
	}
	return p
}

// rows returns a view of the first r rows of a pass made for more.
func (p *pass) rows(r int) *pass {
	cut := func(m *nn.Mat) *nn.Mat {
		if m == nil {
			return nil
		}
		return m.Slice(0, r)
	}
	return &pass{x: cut(p.x), pre1: cut(p.pre1), act1: cut(p.act1), pre2: cut(p.pre2), act2: cut(p.act2),
		out: cut(p.out), ctx: cut(p.ctx), gainAct: cut(p.gainAct), gain: cut(p.gain), drop1: cut(p.drop1),
		drop2: cut(p.drop2), dOut: cut(p.dOut), dAct1: cut(p.dAct1), dAct2: cut(p.dAct2), dGain: cut(p.dGain),
		dGainAct: cut(p.dGainAct)}
}

// forward fills out and gain from x. Masks must be filled before when training.
func (n *network) forward(theta []float32, p *pass) {
	n.first.Forward(theta, p.x, p.pre1)
	nn.SiLU(p.act1, p.pre1)
	if p.drop1 != nil {
		nn.Scale(p.act1, p.drop1)
	}
	n.second.Forward(theta, p.act1, p.pre2)
	nn.SiLU(p.act2, p.pre2)
	if p.drop2 != nil {
		nn.Scale(p.act2, p.drop2)
	}
	n.head.Forward(theta, p.act2, p.out)
	own := n.own.In(theta)
	for i := range p.x.Rows {
		addOwn(p.out.Row(i), p.x.Row(i), own)
		contextInto(p.ctx.Row(i), p.x.Row(i))
	}
	n.gain1.Forward(theta, p.ctx, p.gainAct)
	nn.TanhAll(p.gainAct, p.gainAct)
	n.gain2.Forward(theta, p.gainAct, p.gain)
}

// addOwn adds the linear path from each feature's inputs to its own changes.
func addOwn(out, x, own []float32) {
	for f := range numF {
		for i := range perFeature {
			v := x[f*perFeature+i]
			if v == 0 {
				continue
			}
			w := own[(f*perFeature+i)*Horizon:]
			for h := range Horizon {
				out[outChange+h*numF+f] += v * w[h]
			}
		}
	}
}

// backward adds to grad what dOut and dGain say, after forward on the same p.
func (n *network) backward(theta, grad []float32, p *pass) {
	own := n.own.In(grad)
	for r := range p.x.Rows {
		x, d := p.x.Row(r), p.dOut.Row(r)
		for f := range numF {
			for i := range perFeature {
				if v := x[f*perFeature+i]; v != 0 {
					w := own[(f*perFeature+i)*Horizon:]
					for h := range Horizon {
						w[h] += v * d[outChange+h*numF+f]
					}
				}
			}
		}
	}
	n.head.Backward(theta, grad, p.act2, p.dOut, p.dAct2)
	if p.drop2 != nil {
		nn.Scale(p.dAct2, p.drop2)
	}
	nn.SiLUBackward(p.dAct2, p.pre2, p.dAct2)
	n.second.Backward(theta, grad, p.act1, p.dAct2, p.dAct1)
	if p.drop1 != nil {
		nn.Scale(p.dAct1, p.drop1)
	}
	nn.SiLUBackward(p.dAct1, p.pre1, p.dAct1)
	n.first.Backward(theta, grad, p.x, p.dAct1, nil)
	n.gain2.Backward(theta, grad, p.gainAct, p.dGain, p.dGainAct)
	nn.TanhBackward(p.dGainAct, p.gainAct, p.dGainAct)
	n.gain1.Backward(theta, grad, p.ctx, p.dGainAct, nil)
}

// logScale bounds the head's raw output; slope is its derivative.
func logScale(raw float32) (ls, slope float32) {
	s := nn.Sigmoid(raw)
	return logScaleLo + (logScaleHi-logScaleLo)*s, (logScaleHi - logScaleLo) * s * (1 - s)
}
