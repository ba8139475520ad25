// SPDX-License-Identifier: Apache-2.0

package world

// This file: the two published networks (reference/sepsisagent.md 2.3): their
// tensors, the forward pass over windows and the way back through time.

import (
	"math/rand/v2"

	"github.com/sepsisagent/sepsisagent/engine/nn"
)

// Widths of the published networks.
const (
	refHidden = 128
	refEmbed  = 32
	refHead   = 64
)

// Parameters of the published networks.
const (
	refDynamicsSize = 238_639
	refOutcomeSize  = 211_937
)

// log_sigma is bounded to this range (2.9 #3): a standard deviation between
// 0.7 % and 740 % of the feature's own. The published code does not bound it.
const (
	refLogSigmaLo = -5
	refLogSigmaHi = 2
)

// refNet is the layout of one of the two: an encoder of two recurrent layers
// and a head. Names are those of the published state dictionaries.
type refNet struct {
	hidden, steps  int
	layout         nn.Layout
	static, action nn.Dense
	gru            [2]nn.GRU
	head1, head2   nn.Dense // ventilation, or death
	pre, mu, sigma nn.Dense // dynamics only
	dynamics       bool
}

func newRefNet(dynamics bool, hidden, embed, head int) *refNet {
	n := &refNet{hidden: hidden, steps: outcomeWindow, dynamics: dynamics}
	n.static = n.layout.Dense("static_embed", refStatics, embed)
	n.action = n.layout.Dense("act_embed", refActions, embed)
	n.gru[0] = n.layout.GRU("gru.0", refMeasures+2*embed, hidden)
	n.gru[1] = n.layout.GRU("gru.1", hidden, hidden)
	if !dynamics {
		n.head1 = n.layout.Dense("outcome_head.0", hidden, head)
		n.head2 = n.layout.Dense("outcome_head.3", head, 1)
		return n
	}
	n.steps = refWindow
	n.head1 = n.layout.Dense("vent_head.0", hidden, head)
	n.head2 = n.layout.Dense("vent_head.2", head, 1)
	n.pre = n.layout.Dense("trans_pre.0", hidden+1, hidden)
	n.mu = n.layout.Dense("mu_head", hidden, numF)
	n.sigma = n.layout.Dense("log_sigma_head", hidden, numF)
	return n
}

// publishedDynamics and publishedOutcome have the published widths.
func publishedDynamics() *refNet { return newRefNet(true, refHidden, refEmbed, refHead) }
func publishedOutcome() *refNet  { return newRefNet(false, refHidden, refEmbed, refHead) }

// init draws starting weights as PyTorch does.
func (n *refNet) init(rng *rand.Rand) []float32 {
	theta := make([]float32, n.layout.Size())
	dense := []nn.Dense{n.static, n.action, n.head1, n.head2}
	if n.dynamics {
		dense = append(dense, n.pre, n.mu, n.sigma)
	}
	for _, d := range dense {
		d.InitUniform(theta, rng)
	}
	n.gru[0].Init(theta, rng)
	n.gru[1].Init(theta, rng)
	return theta
}

// refPass holds the activations of a batch of windows. Rows of a sequence
// matrix are ordered by time, then by window: those of one step lie together.
type refPass struct {
	rows, steps            int
	static, staticE        *nn.Mat // rows
	action, actionE, x     *nn.Mat // sequence
	gx, h, mask, masked    *nn.Mat // sequence; gx is used by one layer at a time
	gh                     *nn.Mat // rows
	layer                  [2][]*nn.GRUState
	last                   *nn.Mat // rows: the state after the last step
	hidden1, logit         *nn.Mat // rows
	joined, pre, mu, sigma *nn.Mat // rows; dynamics only
	dropPre, dropHead      *nn.Mat // rows
	back                   *refBack
	next                   *refPass // in a list of passes to borrow
}

// refBack holds derivatives.
type refBack struct {
	dLogit, dHidden1, dLast, dPre, dJoined, dMu, dSigma *nn.Mat // rows
	dGX, dGH, dSeq                                      *nn.Mat // sequence
	dStep                                               *nn.Mat // rows
	dEmbed, dActionE                                    *nn.Mat // sequence
	dStaticE                                            *nn.Mat // rows
	turnedH, turnedX1, turnedEmbed                      *nn.Mat // weights turned over
}

func (n *refNet) newPass(rows int, training bool) *refPass {
	seq, in, embed := rows*n.steps, n.gru[0].Wx.Rows, n.static.W.Cols
	mat := nn.NewMat
	p := &refPass{rows: rows, steps: n.steps,
		static: mat(rows, refStatics), staticE: mat(rows, embed), action: mat(seq, refActions), actionE: mat(seq, embed),
		x: mat(seq, in), gx: mat(seq, 3*n.hidden), gh: mat(rows, 3*n.hidden), last: mat(rows, n.hidden),
		hidden1: mat(rows, n.head1.W.Cols), logit: mat(rows, 1)}
	p.h = mat(seq, n.hidden)
	p.masked = p.h
	for l := range p.layer {
		for t := range n.steps {
			s := nn.NewGRUState(rows, n.hidden)
			if l == 0 { // the first layer's states lie together: the second reads them in one product
				s.H = p.h.Slice(t*rows, (t+1)*rows)
			}
			p.layer[l] = append(p.layer[l], s)
		}
	}
	if n.dynamics {
		p.joined, p.pre = mat(rows, n.hidden+1), mat(rows, n.hidden)
		p.mu, p.sigma = mat(rows, numF), mat(rows, numF)
	}
	if !training {
		return p
	}
	p.mask, p.masked = mat(seq, n.hidden), mat(seq, n.hidden)
	p.dropPre, p.dropHead = mat(rows, n.hidden), mat(rows, n.head1.W.Cols)
	b := &refBack{dLogit: mat(rows, 1), dHidden1: mat(rows, n.head1.W.Cols), dLast: mat(rows, n.hidden),
		dGX: mat(seq, 3*n.hidden), dGH: mat(seq, 3*n.hidden), dSeq: mat(seq, n.hidden), dStep: mat(rows, n.hidden),
		dEmbed: mat(seq, 2*embed), dActionE: mat(seq, embed), dStaticE: mat(rows, embed),
		turnedH: mat(3*n.hidden, n.hidden), turnedX1: mat(3*n.hidden, n.hidden), turnedEmbed: mat(3*n.hidden, 2*embed)}
	if n.dynamics {
		b.dPre, b.dJoined = mat(rows, n.hidden), mat(rows, n.hidden+1)
		b.dMu, b.dSigma = mat(rows, numF), mat(rows, numF)
	}
	p.back = b
	return p
}

// load standardises windows into the pass, which has as many rows.
func (n *refNet) load(p *refPass, s *refScale, windows []*window) {
	for i, w := range windows {
		s.statics(w, p.static.Row(i))
	}
	for t := range n.steps {
		row := outcomeWindow - n.steps + t
		for i, w := range windows {
			at := t*p.rows + i
			a := p.action.Row(at)
			for j := range a {
				a[j] = float32(w.action[row] >> j & 1)
			}
			s.measures(w, row, p.x.Row(at))
		}
	}
}

// forward fills last, logit, and for the dynamics network mu and sigma (the
// unbounded log-scale). Masks must be filled before when training.
func (n *refNet) forward(theta []float32, p *refPass) {
	n.static.Forward(theta, p.static, p.staticE)
	n.action.Forward(theta, p.action, p.actionE)
	embed := p.staticE.Cols
	for at := range p.x.Rows {
		row := p.x.Row(at)
		copy(row[refMeasures:], p.staticE.Row(at%p.rows))
		copy(row[refMeasures+embed:], p.actionE.Row(at))
	}
	in := p.x
	for l, g := range n.gru {
		g.Project(theta, in, p.gx)
		var h *nn.Mat
		for t, s := range p.layer[l] {
			g.Recur(theta, h, p.gh)
			g.Step(s, p.gx.Slice(t*p.rows, (t+1)*p.rows), p.gh, h)
			h = s.H
		}
		if l == 0 && p.mask != nil {
			copy(p.masked.Data, p.h.Data)
			nn.Scale(p.masked, p.mask)
		}
		in = p.masked
	}
	copy(p.last.Data, p.layer[1][n.steps-1].H.Data)
	n.heads(theta, p)
}

// heads goes from the last state to the outputs.
func (n *refNet) heads(theta []float32, p *refPass) {
	n.head1.Forward(theta, p.last, p.hidden1)
	nn.ReLU(p.hidden1, p.hidden1)
	if !n.dynamics {
		if p.dropHead != nil {
			nn.Scale(p.hidden1, p.dropHead)
		}
		n.head2.Forward(theta, p.hidden1, p.logit)
		return
	}
	n.head2.Forward(theta, p.hidden1, p.logit)
	for i := range p.joined.Rows {
		row := p.joined.Row(i)
		copy(row, p.last.Row(i))
		row[n.hidden] = nn.Sigmoid(p.logit.Data[i])
	}
	n.pre.Forward(theta, p.joined, p.pre)
	nn.ReLU(p.pre, p.pre)
	if p.dropPre != nil {
		nn.Scale(p.pre, p.dropPre)
	}
	n.mu.Forward(theta, p.pre, p.mu)
	n.sigma.Forward(theta, p.pre, p.sigma)
}

// bounded is the log-scale the model uses; inside says whether the bound let
// its derivative through.
func bounded(raw float32) (ls float32, inside bool) {
	if raw < refLogSigmaLo {
		return refLogSigmaLo, false
	}
	if raw > refLogSigmaHi {
		return refLogSigmaHi, false
	}
	return raw, true
}

// backward adds to grad what dLogit, dMu and dSigma say, after forward on the
// same training pass.
func (n *refNet) backward(theta, grad []float32, p *refPass) {
	b := p.back
	if n.dynamics {
		n.mu.Backward(theta, grad, p.pre, b.dMu, b.dPre)
		n.sigma.Backward(theta, grad, p.pre, b.dSigma, b.dLast) // dLast lends its memory
		for i, v := range b.dLast.Data {
			b.dPre.Data[i] += v
		}
		nn.Scale(b.dPre, p.dropPre)
		nn.ReLUBackward(b.dPre, p.pre, b.dPre)
		n.pre.Backward(theta, grad, p.joined, b.dPre, b.dJoined)
		for i := range p.rows {
			v := p.joined.Row(i)[n.hidden]
			b.dLogit.Data[i] += b.dJoined.Row(i)[n.hidden] * v * (1 - v)
		}
	}
	n.head2.Backward(theta, grad, p.hidden1, b.dLogit, b.dHidden1)
	if !n.dynamics {
		nn.Scale(b.dHidden1, p.dropHead)
	}
	nn.ReLUBackward(b.dHidden1, p.hidden1, b.dHidden1)
	n.head1.Backward(theta, grad, p.last, b.dHidden1, b.dLast)
	if n.dynamics {
		for i := range p.rows {
			for j, v := range b.dJoined.Row(i)[:n.hidden] {
				b.dLast.Row(i)[j] += v
			}
		}
	}
	n.throughTime(theta, grad, p)
}

// throughTime goes back through both recurrent layers and the embeddings.
func (n *refNet) throughTime(theta, grad []float32, p *refPass) {
	b, rows := p.back, p.rows
	for l := 1; l >= 0; l-- {
		g := n.gru[l]
		nn.Transpose(b.turnedH, g.Wh.Mat(theta))
		clear(b.dStep.Data)
		if l == 1 {
			copy(b.dStep.Data, b.dLast.Data)
		}
		for t := n.steps - 1; t >= 0; t-- {
			if l == 0 {
				for i, v := range b.dSeq.Slice(t*rows, (t+1)*rows).Data {
					b.dStep.Data[i] += v
				}
			}
			var before *nn.Mat
			if t > 0 {
				before = p.layer[l][t-1].H
			}
			dGH := b.dGH.Slice(t*rows, (t+1)*rows)
			g.StepBack(p.layer[l][t], before, b.dStep, b.dGX.Slice(t*rows, (t+1)*rows), dGH)
			if t > 0 {
				nn.MatMul(b.dStep, dGH, b.turnedH, 1)
				g.Accumulate(grad, nil, nil, before, dGH)
			} else {
				g.Accumulate(grad, nil, nil, nil, dGH)
			}
		}
		if l == 1 {
			g.Accumulate(grad, p.masked, b.dGX, nil, nil)
			nn.Transpose(b.turnedX1, g.Wx.Mat(theta))
			nn.MatMul(b.dSeq, b.dGX, b.turnedX1, 0)
			nn.Scale(b.dSeq, p.mask)
			continue
		}
		g.Accumulate(grad, p.x, b.dGX, nil, nil)
	}
	n.throughEmbeddings(theta, grad, p)
}

func (n *refNet) throughEmbeddings(theta, grad []float32, p *refPass) {
	b, embed := p.back, p.staticE.Cols
	nn.Transpose(b.turnedEmbed, n.gru[0].Wx.Mat(theta).Slice(refMeasures, refMeasures+2*embed))
	nn.MatMul(b.dEmbed, b.dGX, b.turnedEmbed, 0)
	clear(b.dStaticE.Data)
	for at := range b.dEmbed.Rows {
		d, out := b.dEmbed.Row(at), b.dStaticE.Row(at%p.rows)
		for j, v := range d[:embed] {
			out[j] += v
		}
		copy(b.dActionE.Row(at), d[embed:])
	}
	n.static.Backward(theta, grad, p.static, b.dStaticE, nil)
	n.action.Backward(theta, grad, p.action, b.dActionE, nil)
}
