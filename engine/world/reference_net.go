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
// Embeddings and input projection of the first layer are linear, so what an
// action adds to the projection is a sum of rows of a table, and what the
// statics add is the same at every step of a window: neither is embedded.
type refPass struct {
	rows, steps            int
	static, staticE        *nn.Mat    // rows
	shared                 *nn.Mat    // rows: what the statics add to the first layer's projection, its bias included
	table                  *nn.Mat    // one row per action and one for the bias of their embedding
	measured, action       *nn.Mat    // sequence; the last column of action is 1
	gx, mask, masked       *nn.Mat    // sequence; gx is used by one layer at a time
	gh                     *nn.Mat    // rows
	h                      [2]*nn.Mat // sequence: the states of each layer
	layer                  [2][]*nn.GRUState
	hidden1, logit         *nn.Mat // rows
	joined, pre, mu, sigma *nn.Mat // rows; dynamics only
	dropPre, dropHead      *nn.Mat // rows; of dynamics and of outcome
	back                   *refBack
	next                   *refPass // in a list of passes to borrow
}

// last is the state after the last step.
func (p *refPass) last() *nn.Mat { return p.layer[1][p.steps-1].H }

// refBack holds derivatives.
type refBack struct {
	dLogit, dHidden1, dLast, dPre, dJoined, dMu, dSigma *nn.Mat // rows
	dGX, dGH, dSeq                                      *nn.Mat // sequence
	dStep, dStaticE, dShared                            *nn.Mat // rows
	dTable                                              *nn.Mat // as table
}

func (n *refNet) newPass(rows int, training bool) *refPass {
	seq, embed := rows*n.steps, n.static.W.Cols
	mat := nn.NewMat
	p := &refPass{rows: rows, steps: n.steps,
		static: mat(rows, refStatics), staticE: mat(rows, embed), shared: mat(rows, 3*n.hidden), table: mat(refActions+1, 3*n.hidden),
		measured: mat(seq, refMeasures), action: mat(seq, refActions+1), gx: mat(seq, 3*n.hidden), gh: mat(rows, 3*n.hidden),
		hidden1: mat(rows, n.head1.W.Cols), logit: mat(rows, 1)}
	for l := range p.layer {
		p.h[l] = mat(seq, n.hidden)
		for t := range n.steps {
			s := nn.NewGRUState(rows, n.hidden)
			s.H = p.at(p.h[l], t)
			p.layer[l] = append(p.layer[l], s)
		}
	}
	for at := range seq {
		p.action.Row(at)[refActions] = 1
	}
	p.masked = p.h[0]
	if n.dynamics {
		p.joined, p.pre = mat(rows, n.hidden+1), mat(rows, n.hidden)
		p.mu, p.sigma = mat(rows, numF), mat(rows, numF)
	}
	if !training {
		return p
	}
	p.mask, p.masked = mat(seq, n.hidden), mat(seq, n.hidden)
	b := &refBack{dLogit: mat(rows, 1), dHidden1: mat(rows, n.head1.W.Cols), dLast: mat(rows, n.hidden),
		dGX: mat(seq, 3*n.hidden), dGH: mat(seq, 3*n.hidden), dSeq: mat(seq, n.hidden), dStep: mat(rows, n.hidden),
		dStaticE: mat(rows, embed), dShared: mat(rows, 3*n.hidden), dTable: mat(refActions+1, 3*n.hidden)}
	if n.dynamics {
		p.dropPre = mat(rows, n.hidden)
		b.dPre, b.dJoined = mat(rows, n.hidden), mat(rows, n.hidden+1)
		b.dMu, b.dSigma = mat(rows, numF), mat(rows, numF)
	} else {
		p.dropHead = mat(rows, n.head1.W.Cols)
	}
	p.back = b
	return p
}

// refTurned holds weights turned over, which the way back multiplies with. One
// set serves all shards of a batch.
type refTurned struct {
	h [2]*nn.Mat // recurrent weights of each layer
	x *nn.Mat    // input weights of the second
}

func (n *refNet) newTurned() *refTurned {
	mat := func() *nn.Mat { return nn.NewMat(3*n.hidden, n.hidden) }
	return &refTurned{h: [2]*nn.Mat{mat(), mat()}, x: mat()}
}

// turn fills to from theta.
func (n *refNet) turn(theta []float32, to *refTurned) {
	for l, g := range n.gru {
		nn.Transpose(to.h[l], g.Wh.Mat(theta))
	}
	nn.Transpose(to.x, n.gru[1].Wx.Mat(theta))
}

// drop draws the masks of a training pass.
func (p *refPass) drop(chance float64, rng *rand.Rand) {
	for _, m := range []*nn.Mat{p.mask, p.dropPre, p.dropHead} {
		if m != nil {
			nn.DropoutMask(m, chance, rng)
		}
	}
}

// at is the part of a sequence matrix that belongs to step t.
func (p *refPass) at(m *nn.Mat, t int) *nn.Mat { return m.Slice(t*p.rows, (t+1)*p.rows) }

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
			for j := range refActions {
				a[j] = float32(w.action[row] >> j & 1)
			}
			s.measures(w, row, p.measured.Row(at))
		}
	}
}

// inputWeights are the first layer's input weights by what they read: features,
// embedded statics and embedded action.
func (n *refNet) inputWeights(flat []float32) (measured, static, action *nn.Mat) {
	w, embed := n.gru[0].Wx.Mat(flat), n.static.W.Cols
	return w.Slice(0, refMeasures), w.Slice(refMeasures, refMeasures+embed), w.Slice(refMeasures+embed, refMeasures+2*embed)
}

// actionEmbedding is the embedding of actions with its bias, which lies behind
// it, as the last row.
func (n *refNet) actionEmbedding(flat []float32) *nn.Mat {
	w := n.action.W
	return &nn.Mat{Rows: refActions + 1, Cols: w.Cols, Data: flat[w.Offset : w.Offset+(refActions+1)*w.Cols]}
}

// forward fills the states, logit, and for the dynamics network mu and sigma
// (the unbounded log-scale). Masks must be filled before when training.
func (n *refNet) forward(theta []float32, p *refPass) {
	n.project(theta, p)
	for l, g := range n.gru {
		if l == 1 {
			if p.mask != nil {
				copy(p.masked.Data, p.h[0].Data)
				nn.Scale(p.masked, p.mask)
			}
			g.Project(theta, p.masked, p.gx)
		}
		var h *nn.Mat
		for t, s := range p.layer[l] {
			g.Recur(theta, h, p.gh)
			g.Step(s, p.at(p.gx, t), p.gh, h)
			h = s.H
		}
	}
	n.heads(theta, p)
}

// project fills gx with the first layer's input projection of every step.
func (n *refNet) project(theta []float32, p *refPass) {
	measured, static, action := n.inputWeights(theta)
	n.static.Forward(theta, p.static, p.staticE)
	for i := range p.rows {
		copy(p.shared.Row(i), n.gru[0].Bx.In(theta))
	}
	nn.MatMul(p.shared, p.staticE, static, 1)
	nn.MatMul(p.table, n.actionEmbedding(theta), action, 0)
	for t := range p.steps {
		copy(p.at(p.gx, t).Data, p.shared.Data)
	}
	nn.MatMul(p.gx, p.action, p.table, 1)
	nn.MatMul(p.gx, p.measured, measured, 1)
}

// heads goes from the last state to the outputs.
func (n *refNet) heads(theta []float32, p *refPass) {
	n.head1.Forward(theta, p.last(), p.hidden1)
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
		copy(row, p.last().Row(i))
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
// same training pass. turned holds theta's weights.
func (n *refNet) backward(theta, grad []float32, p *refPass, turned *refTurned) {
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
	n.head1.Backward(theta, grad, p.last(), b.dHidden1, b.dLast)
	if n.dynamics {
		for i := range p.rows {
			for j, v := range b.dJoined.Row(i)[:n.hidden] {
				b.dLast.Row(i)[j] += v
			}
		}
	}
	n.throughTime(grad, p, turned)
	n.throughEmbeddings(theta, grad, p)
}

// throughTime goes back through both recurrent layers to the first one's input
// projection.
func (n *refNet) throughTime(grad []float32, p *refPass, turned *refTurned) {
	b := p.back
	for l := 1; l >= 0; l-- {
		g := n.gru[l]
		clear(b.dStep.Data)
		if l == 1 {
			copy(b.dStep.Data, b.dLast.Data)
		}
		for t := n.steps - 1; t >= 0; t-- {
			if l == 0 {
				for i, v := range p.at(b.dSeq, t).Data {
					b.dStep.Data[i] += v
				}
			}
			var before *nn.Mat
			if t > 0 {
				before = p.layer[l][t-1].H
			}
			g.StepBack(p.layer[l][t], before, b.dStep, p.at(b.dGX, t), p.at(b.dGH, t))
			if t > 0 {
				nn.MatMul(b.dStep, p.at(b.dGH, t), turned.h[l], 1)
			}
		}
		// The states before the steps are those after them, one step on.
		g.RecurBack(grad, p.h[l].Slice(0, (n.steps-1)*p.rows), b.dGH)
		if l == 1 {
			g.ProjectBack(grad, p.masked, b.dGX)
			nn.MatMul(b.dSeq, b.dGX, turned.x, 0)
			nn.Scale(b.dSeq, p.mask)
		}
	}
}

// throughEmbeddings goes back through project.
func (n *refNet) throughEmbeddings(theta, grad []float32, p *refPass) {
	b := p.back
	_, static, action := n.inputWeights(theta)
	gMeasured, gStatic, gAction := n.inputWeights(grad)
	nn.MatMulTransA(gMeasured, p.measured, b.dGX, 1)
	nn.MatMulTransA(b.dTable, p.action, b.dGX, 0)
	nn.MatMulTransB(n.actionEmbedding(grad), b.dTable, action, 1)
	nn.MatMulTransA(gAction, n.actionEmbedding(theta), b.dTable, 1)
	// A window's statics meet the sum of what its steps say: steps as rows.
	clear(b.dShared.Data)
	nn.AddRows(b.dShared.Data, &nn.Mat{Rows: p.steps, Cols: len(b.dShared.Data), Data: b.dGX.Data})
	nn.AddRows(n.gru[0].Bx.In(grad), b.dShared)
	nn.MatMulTransA(gStatic, p.staticE, b.dShared, 1)
	nn.MatMulTransB(b.dStaticE, b.dShared, static, 0)
	n.static.Backward(theta, grad, p.static, b.dStaticE, nil)
}
