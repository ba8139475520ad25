// SPDX-License-Identifier: Apache-2.0

package world

// This file: simulating plans with the dynamics network, fast. The plans of one
// question share their past, so the recurrence over the window's real steps
// runs once, for one row; only what differs runs once per plan. The embeddings
// and the first layer's input matrix are linear, so they are multiplied together
// when the network is loaded, and an action becomes the sum of two rows of a
// table.
//
// Beyond the first step a plan is followed along several paths, each fed with
// its own samples. The samples come from one fixed table, the same for every
// plan and patient and mirrored in pairs: equal questions get equal answers,
// and two plans differ by what they do, not by luck.

import (
	"math"
	"math/rand/v2"

	"github.com/sepsisagent/sepsisagent/engine/nn"
)

// refPaths is the number of sampled paths per plan.
const refPaths = 8

// refNoise holds the standard normal samples [step][path][feature].
var refNoise = func() (n [Horizon][refPaths][numF]float32) {
	rng := rand.New(rand.NewPCG(0x5e9515, refPaths))
	for h := range n {
		for j := range refPaths / 2 {
			for f := range numF {
				v := float32(rng.NormFloat64())
				n[h][j][f], n[h][j+refPaths/2][f] = v, -v
			}
		}
	}
	return n
}()

// refCore is a dynamics network made ready for simulation.
type refCore struct {
	net   *refNet
	theta []float32
	scale *refScale
	// The first layer's input projection in parts: of values, masks, statics,
	// each action, and everything that is constant.
	values, masks, statics, actions nn.Mat
	constant                        []float32
}

func newRefCore(net *refNet, theta []float32, scale *refScale) *refCore {
	c := &refCore{net: net, theta: theta, scale: scale}
	wx, embed := net.gru[0].Wx.Mat(theta), net.static.W.Cols
	c.values, c.masks = *wx.Slice(0, numF), *wx.Slice(numF, refMeasures)
	c.statics = *through(net.static.W.Mat(theta), wx.Slice(refMeasures, refMeasures+embed))
	c.actions = *through(net.action.W.Mat(theta), wx.Slice(refMeasures+embed, refMeasures+2*embed))
	bs := through(&nn.Mat{Rows: 1, Cols: embed, Data: net.static.B.In(theta)}, wx.Slice(refMeasures, refMeasures+embed))
	ba := through(&nn.Mat{Rows: 1, Cols: embed, Data: net.action.B.In(theta)}, wx.Slice(refMeasures+embed, refMeasures+2*embed))
	c.constant = append([]float32(nil), net.gru[0].Bx.In(theta)...)
	for i := range c.constant {
		c.constant[i] += bs.Data[i] + ba.Data[i]
	}
	return c
}

// through is a·b, summed in float64.
func through(a, b *nn.Mat) *nn.Mat {
	out := nn.NewMat(a.Rows, b.Cols)
	for i := range a.Rows {
		for j := range b.Cols {
			var sum float64
			for l, v := range a.Row(i) {
				sum += float64(v) * float64(b.Data[l*b.Cols+j])
			}
			out.Row(i)[j] = float32(sum)
		}
	}
	return out
}

// refWork is the memory of one simulation; it is reused and means nothing
// between two.
type refWork struct {
	plans, steps, paths, rows int       // rows: plans × paths
	in                        nn.Mat    // values and masks of the real steps
	gx                        nn.Mat    // input projections of the real steps, action included but for the last
	newest                    []float32 // that of the newest real step, without its action
	fixed                     []float32 // that of a simulated step, without values and action
	past                      [2]nn.Mat // states over the real steps, per layer
	pastGX                    nn.Mat
	one                       [2]*nn.GRUState // one row
	gh                        [2]nn.Mat       // one row: the shared recurrent part, per layer
	simulated                 [Horizon]nn.Mat // input projections of simulated steps, rows
	state                     [2][2]*nn.GRUState
	planState                 [2]*nn.GRUState // plans
	gxRows, ghRows            nn.Mat          // rows
	hidden1, logit            nn.Mat
	joined, pre               nn.Mat
	mu, sigma                 nn.Mat
	now                       nn.Mat                            // sampled states
	shown                     struct{ mu, sigma, logit nn.Mat } // the rows of this step
}

// newWork makes memory for so many plans and steps. With one path per plan the
// mean is followed and nothing is sampled.
func (c *refCore) newWork(plans, steps, paths int) *refWork {
	h, mat := c.net.hidden, func(r, cols int) nn.Mat { return *nn.NewMat(r, cols) }
	rows := plans
	if steps > 1 {
		rows *= paths
	}
	k := &refWork{plans: plans, steps: steps, paths: paths, rows: rows, in: mat(refWindow, refMeasures), gx: mat(refWindow, 3*h),
		newest: make([]float32, 3*h), fixed: make([]float32, 3*h), pastGX: mat(refWindow, 3*h),
		gxRows: mat(rows, 3*h), ghRows: mat(rows, 3*h), hidden1: mat(rows, c.net.head1.W.Cols), logit: mat(rows, 1),
		joined: mat(rows, h+1), pre: mat(rows, h), mu: mat(rows, numF), sigma: mat(rows, numF), now: mat(rows, numF)}
	for l := range 2 {
		k.past[l], k.gh[l] = mat(refWindow, h), mat(1, 3*h)
		k.one[l], k.planState[l] = nn.NewGRUState(1, h), nn.NewGRUState(plans, h)
		k.state[l] = [2]*nn.GRUState{nn.NewGRUState(rows, h), nn.NewGRUState(rows, h)}
	}
	for i := 1; i < steps; i++ {
		k.simulated[i] = mat(rows, 3*h)
	}
	return k
}

// rollout simulates plans, each a course of one-hot actions, over len(courses[0])
// steps from window w, whose last action is not read. After step h, visit gets
// the rows' means, bounded log-scales and ventilation logits: one row per plan
// at step 0, as many as it has paths, together, afterwards.
func (c *refCore) rollout(k *refWork, w *window, courses [][]uint16, visit func(h int, mu, sigma, logit *nn.Mat)) {
	c.before(k, w)
	steps := len(courses[0])
	for h := range steps {
		c.step(k, courses, h)
		c.heads(k, h)
		visit(h, &k.shown.mu, &k.shown.sigma, &k.shown.logit)
		if h+1 < steps {
			c.sample(k, courses, h)
		}
	}
}

// before projects the real steps.
func (c *refCore) before(k *refWork, w *window) {
	const from = outcomeWindow - refWindow
	var statics [refStatics]float32
	c.scale.statics(w, statics[:])
	copy(k.fixed, c.constant)
	for i, v := range statics {
		axpy(k.fixed, v, c.statics.Row(i))
	}
	for i := range refWindow {
		c.scale.measures(w, from+i, k.in.Row(i))
		copy(k.gx.Row(i), k.fixed)
	}
	wx := nn.Mat{Rows: refMeasures, Cols: c.values.Cols, Data: c.net.gru[0].Wx.In(c.theta)[:refMeasures*c.values.Cols]}
	nn.MatMul(&k.gx, &k.in, &wx, 1)
	copy(k.newest, k.gx.Row(refWindow-1))
	for i := range refWindow - 1 {
		c.act(k.gx.Row(i), w.action[from+i])
	}
	// What is simulated keeps the newest mask, as published.
	for f, m := range k.in.Row(refWindow - 1)[numF:] {
		if m != 0 {
			axpy(k.fixed, m, c.masks.Row(f))
		}
	}
}

// act adds an action's part of the projection.
func (c *refCore) act(gx []float32, bits uint16) {
	for i := range refActions {
		if bits>>i&1 == 1 {
			axpy(gx, 1, c.actions.Row(i))
		}
	}
}

// axpy sets y += a·x.
func axpy(y []float32, a float32, x []float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] += float32(a * x[i])
	}
}

// top is the first rows of m, sharing its memory.
func top(m *nn.Mat, rows int) nn.Mat {
	return nn.Mat{Rows: rows, Cols: m.Cols, Data: m.Data[:rows*m.Cols]}
}

func row(m *nn.Mat, i int) nn.Mat { return nn.Mat{Rows: 1, Cols: m.Cols, Data: m.Row(i)} }

// shared runs both layers over the real steps from..refWindow-2 and leaves the
// shared recurrent projections for the step after in k.gh.
func (c *refCore) shared(k *refWork, from int) {
	last := refWindow - 2
	for l, g := range c.net.gru {
		gx := &k.gx
		if l == 1 && from <= last {
			in := nn.Mat{Rows: last + 1 - from, Cols: c.net.hidden, Data: k.past[0].Data[from*c.net.hidden : (last+1)*c.net.hidden]}
			out := nn.Mat{Rows: last + 1 - from, Cols: 3 * c.net.hidden, Data: k.pastGX.Data[from*3*c.net.hidden : (last+1)*3*c.net.hidden]}
			g.Project(c.theta, &in, &out)
			gx = &k.pastGX
		}
		var before *nn.Mat
		var at, h nn.Mat
		for t := from; t <= last; t++ {
			g.Recur(c.theta, before, &k.gh[l])
			at = row(gx, t)
			g.Step(k.one[l], &at, &k.gh[l], before)
			copy(k.past[l].Row(t), k.one[l].H.Data)
			h = row(&k.past[l], t)
			before = &h
		}
		g.Recur(c.theta, before, &k.gh[l])
	}
}

// step runs the recurrence of rollout step h and leaves its last state in
// k.state[1][h%2], or k.planState[1] at step 0.
func (c *refCore) step(k *refWork, courses [][]uint16, h int) {
	c.shared(k, h)
	n := c.net
	var before [2]*nn.Mat
	if h < refWindow-1 {
		at0, at1 := row(&k.past[0], refWindow-2), row(&k.past[1], refWindow-2)
		before = [2]*nn.Mat{&at0, &at1}
	}
	gx := top(&k.gxRows, k.plans)
	for i, course := range courses {
		copy(gx.Row(i), k.newest)
		c.act(gx.Row(i), course[0])
	}
	n.gru[0].Step(k.planState[0], &gx, &k.gh[0], before[0])
	n.gru[1].Project(c.theta, k.planState[0].H, &gx)
	n.gru[1].Step(k.planState[1], &gx, &k.gh[1], before[1])
	if h == 0 {
		return
	}
	for l := range 2 {
		repeatRows(k.state[l][0].H, k.planState[l].H, k.paths)
	}
	for i := 1; i <= h; i++ {
		now, next := (i-1)%2, i%2
		n.gru[0].Recur(c.theta, k.state[0][now].H, &k.ghRows)
		n.gru[0].Step(k.state[0][next], &k.simulated[i], &k.ghRows, k.state[0][now].H)
		n.gru[1].Project(c.theta, k.state[0][next].H, &k.gxRows)
		n.gru[1].Recur(c.theta, k.state[1][now].H, &k.ghRows)
		n.gru[1].Step(k.state[1][next], &k.gxRows, &k.ghRows, k.state[1][now].H)
	}
}

// repeatRows repeats each plan's row for its paths.
func repeatRows(out, in *nn.Mat, times int) {
	for i := range out.Rows {
		copy(out.Row(i), in.Row(i/times))
	}
}

// heads shows means, bounded log-scales and ventilation logits in k.shown.
func (c *refCore) heads(k *refWork, h int) {
	n, rows, last := c.net, k.rows, k.state[1][h%2].H
	if h == 0 {
		rows, last = k.plans, k.planState[1].H
	}
	hidden1, joined, pre := top(&k.hidden1, rows), top(&k.joined, rows), top(&k.pre, rows)
	mu, sigma, logit := top(&k.mu, rows), top(&k.sigma, rows), top(&k.logit, rows)
	n.head1.Forward(c.theta, last, &hidden1)
	nn.ReLU(&hidden1, &hidden1)
	n.head2.Forward(c.theta, &hidden1, &logit)
	for i := range rows {
		at := joined.Row(i)
		copy(at, last.Row(i))
		at[n.hidden] = nn.Sigmoid(logit.Data[i])
	}
	n.pre.Forward(c.theta, &joined, &pre)
	nn.ReLU(&pre, &pre)
	n.mu.Forward(c.theta, &pre, &mu)
	n.sigma.Forward(c.theta, &pre, &sigma)
	for i, v := range sigma.Data {
		sigma.Data[i], _ = bounded(v)
	}
	k.shown.mu, k.shown.sigma, k.shown.logit = mu, sigma, logit
}

// sample draws each path's state after step h and projects it, with the plan's
// next action, as the input of the step after.
func (c *refCore) sample(k *refWork, courses [][]uint16, h int) {
	out, mu, sigma := &k.simulated[h+1], &k.shown.mu, &k.shown.sigma
	for r := range k.rows {
		plan, path := r/k.paths, r%k.paths
		from := r
		if mu.Rows == k.plans {
			from = plan
		}
		m, s, z := mu.Row(from), sigma.Row(from), k.now.Row(r)
		for f := range numF {
			z[f] = m[f]
			if k.paths > 1 {
				z[f] += float32(float32(math.Exp(float64(s[f]))) * refNoise[h][path][f])
			}
		}
		c.scale.possible(z)
		copy(out.Row(r), k.fixed)
		c.act(out.Row(r), courses[plan][h+1])
	}
	nn.MatMul(out, &k.now, &c.values, 1)
}

// possible moves a simulated state into the features' model ranges, with
// DBP <= MAP <= SBP.
func (s *refScale) possible(z []float32) {
	for f := range numF {
		lo, hi := features[f].ModelLo, features[f].ModelHi
		if f == urineColumn {
			lo, hi = math.Log1p(lo), math.Log1p(hi)
		}
		z[f] = float32(clamp(float64(z[f]), (lo-s.Mean[f])/s.SD[f], (hi-s.Mean[f])/s.SD[f]))
	}
	mmHg := func(f int) float64 { return s.Mean[f] + float64(z[f])*s.SD[f] }
	m := mmHg(mbp)
	z[sbp] = float32((math.Max(mmHg(sbp), m) - s.Mean[sbp]) / s.SD[sbp])
	z[dbp] = float32((math.Min(mmHg(dbp), m) - s.Mean[dbp]) / s.SD[dbp])
}
