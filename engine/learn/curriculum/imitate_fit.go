// SPDX-License-Identifier: Apache-2.0

package curriculum

// This file: the two fits of an actor's training, each on one goroutine so that
// the result has the same bits whatever GOMAXPROCS is: the expected course of a
// patient, from which advantages and weights follow, and the policy itself.

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/nn"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

const (
	actorBatch = 128
	// expectEpochs is how long the expected course is fitted: no longer, so that
	// it stays a rough expectation and leaves something to explain.
	expectEpochs = 6
)

// weigh sets the advantage and weight of every step. Training steps are judged by
// an expectation fitted on the other half of the patients, all others by the mean
// of both halves'.
func weigh(ctx context.Context, train, others []*actorStep, cfg ActorConfig) error {
	var halves [2][]*actorStep
	for _, s := range train {
		h := half(s.patient)
		halves[h] = append(halves[h], s)
	}
	var fits [2]*expectation
	for h := range halves {
		var err error
		if fits[h], err = fitExpectation(ctx, halves[h], cfg, uint64(h)); err != nil {
			return err
		}
	}
	var sum, squares, n float64
	for _, s := range train {
		if s.advantage = s.better - fits[1-half(s.patient)].at(s); !math.IsNaN(s.advantage) {
			sum, squares, n = sum+s.advantage, squares+s.advantage*s.advantage, n+1
		}
	}
	if n < 50 {
		return fmt.Errorf("%w: %.0f training steps with a known course are too few; want 50", ErrActor, n)
	}
	mean := sum / n
	sd := math.Sqrt(squares/n - mean*mean)
	if !(sd > 0) {
		return fmt.Errorf("%w: no patient's course differs from what is expected of it", ErrActor)
	}
	for _, s := range others {
		s.advantage = s.better - (fits[0].at(s)+fits[1].at(s))/2
	}
	for _, s := range slices.Concat(train, others) {
		s.weight = 1
		if s.advantage = (s.advantage - mean) / sd; math.IsNaN(s.advantage) {
			s.advantage = 0
			continue
		}
		limit := math.Log(cfg.MostWeight)
		s.weight = math.Exp(math.Max(-limit, math.Min(limit, cfg.Sharpness*s.advantage)))
	}
	return nil
}

// half is the side of cross-fitting a patient is on.
func half(patient string) int { return int(patient[len(patient)-1]) & 1 }

// expectation is a small network for how much better a patient gets within 12 h,
// seen from the state alone.
type expectation struct {
	layout      nn.Layout
	first, head nn.Dense
	theta       []float32
	mean, sd    float64
	x, pre, act *nn.Mat
	out         *nn.Mat
	dAct, dOut  *nn.Mat
}

func fitExpectation(ctx context.Context, steps []*actorStep, cfg ActorConfig, part uint64) (*expectation, error) {
	known := slices.DeleteFunc(slices.Clone(steps), func(s *actorStep) bool { return math.IsNaN(s.better) })
	if len(known) < 20 {
		return nil, fmt.Errorf("%w: %d steps with a known course in one half of the patients are too few; want 20", ErrActor, len(known))
	}
	e := &expectation{}
	e.first = e.layout.Dense("first", world.InputSize, 32)
	e.head = e.layout.Dense("head", 32, 1)
	e.theta = make([]float32, e.layout.Size())
	rng := chance(cfg.Seed, 1000+part)
	e.first.Init(e.theta, rng, 1)
	e.head.Init(e.theta, rng, 0.1)
	for _, s := range known {
		e.mean += s.better / float64(len(known))
	}
	for _, s := range known {
		e.sd += (s.better - e.mean) * (s.better - e.mean) / float64(len(known))
	}
	e.sd = math.Max(math.Sqrt(e.sd), 1e-6)
	e.room(actorBatch)
	grad, opt := make([]float32, len(e.theta)), nn.NewAdam(len(e.theta), cfg.WeightDecay)
	batches := (len(known) + actorBatch - 1) / actorBatch
	for epoch := range expectEpochs {
		rng.Shuffle(len(known), func(i, j int) { known[i], known[j] = known[j], known[i] })
		for b := range batches {
			if err := ctx.Err(); err != nil {
				return nil, fmt.Errorf("training stopped: %w", err)
			}
			e.gradient(grad, known[b*actorBatch:min((b+1)*actorBatch, len(known))])
			opt.Step(&e.layout, e.theta, grad, falling(cfg.LearningRate, epoch*batches+b, expectEpochs*batches))
		}
	}
	e.room(1)
	return e, nil
}

// room makes the matrices for n rows.
func (e *expectation) room(n int) {
	e.x, e.pre, e.act, e.out = nn.NewMat(n, world.InputSize), nn.NewMat(n, 32), nn.NewMat(n, 32), nn.NewMat(n, 1)
	e.dAct, e.dOut = nn.NewMat(n, 32), nn.NewMat(n, 1)
}

func (e *expectation) forward(x, pre, act, out *nn.Mat) {
	e.first.Forward(e.theta, x, pre)
	nn.SiLU(act, pre)
	e.head.Forward(e.theta, act, out)
}

// gradient of the Student loss, which a wild course does not drag along.
func (e *expectation) gradient(grad []float32, batch []*actorStep) {
	n := len(batch)
	clear(grad)
	x, pre, act, out, dAct, dOut := e.x.Slice(0, n), e.pre.Slice(0, n), e.act.Slice(0, n), e.out.Slice(0, n), e.dAct.Slice(0, n), e.dOut.Slice(0, n)
	for i, s := range batch {
		copy(x.Row(i), s.x)
	}
	e.forward(x, pre, act, out)
	for i, s := range batch {
		_, d, _ := nn.StudentNLL(float32((s.better-e.mean)/e.sd), out.Data[i], 0, 4)
		dOut.Data[i] = d / float32(n)
	}
	e.head.Backward(e.theta, grad, act, dOut, dAct)
	nn.SiLUBackward(dAct, pre, dAct)
	e.first.Backward(e.theta, grad, x, dAct, nil)
	nn.ClipNorm(grad, 1)
}

func (e *expectation) at(s *actorStep) float64 {
	copy(e.x.Row(0), s.x)
	e.forward(e.x, e.pre, e.act, e.out)
	return e.mean + e.sd*float64(e.out.Data[0])
}

// falling is the learning rate along a cosine.
func falling(rate float64, step, steps int) float64 {
	return rate * (0.02 + 0.98*(1+math.Cos(math.Pi*float64(step)/float64(steps)))/2)
}

// fitActor fits the members one after the other; each keeps the weights of the
// epoch with the lowest validation loss.
func fitActor(ctx context.Context, train, watch []*actorStep, cfg ActorConfig, report func(ActorProgress)) ([][]float32, error) {
	var members [][]float32
	for m := range cfg.Members {
		f := newActorFit(cfg, uint64(m))
		best, bestLoss, bestEpoch := slices.Clone(f.theta), math.Inf(1), -1
		order := slices.Clone(train)
		for epoch := 0; epoch < cfg.Epochs && epoch-bestEpoch <= cfg.Patience; epoch++ {
			loss, err := f.epoch(ctx, order, epoch)
			if err != nil {
				return nil, err
			}
			validation := f.loss(watch)
			if validation < bestLoss {
				bestLoss, bestEpoch = validation, epoch
				copy(best, f.theta)
			}
			if report != nil {
				report(ActorProgress{Member: m, Members: cfg.Members, Epoch: epoch, Epochs: cfg.Epochs, Loss: loss, ValidationLoss: validation, Best: bestEpoch == epoch})
			}
		}
		if bestEpoch < 0 {
			return nil, fmt.Errorf("%w: network %d never had a finite validation loss; lower the learning rate", ErrActor, m)
		}
		members = append(members, best)
	}
	return members, nil
}

// actorFit fits one network.
type actorFit struct {
	cfg         ActorConfig
	net         *agent.ActorNetwork
	rng         *rand.Rand
	theta, grad []float32
	opt         *nn.Adam
	passes      map[int]*agent.ActorPass
	step        int
}

func newActorFit(cfg ActorConfig, member uint64) *actorFit {
	f := &actorFit{cfg: cfg, net: agent.NewActorNetwork(cfg.Hidden), rng: chance(cfg.Seed, member), passes: map[int]*agent.ActorPass{}}
	f.theta = make([]float32, f.net.Layout.Size())
	f.grad = make([]float32, len(f.theta))
	f.opt = nn.NewAdam(len(f.theta), cfg.WeightDecay)
	f.net.First.Init(f.theta, f.rng, 1)
	f.net.Second.Init(f.theta, f.rng, 1)
	f.net.Head.Init(f.theta, f.rng, 0.1)
	return f
}

// fill returns a pass with the batch in it.
func (f *actorFit) fill(batch []*actorStep) *agent.ActorPass {
	p, ok := f.passes[len(batch)]
	if !ok {
		p = f.net.NewPass(len(batch))
		f.passes[len(batch)] = p
	}
	for i, s := range batch {
		copy(p.X.Row(i), s.x)
		p.SetPressure(i, s.aboveMmHg)
	}
	return p
}

func (f *actorFit) epoch(ctx context.Context, order []*actorStep, epoch int) (float64, error) {
	batches := (len(order) + actorBatch - 1) / actorBatch
	f.rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	sum := 0.0
	for b := range batches {
		if err := ctx.Err(); err != nil {
			return 0, fmt.Errorf("training stopped: %w", err)
		}
		batch := order[b*actorBatch : min((b+1)*actorBatch, len(order))]
		p := f.fill(batch)
		p.Drop1, p.Drop2 = nn.NewMat(len(batch), f.cfg.Hidden), nn.NewMat(len(batch), f.cfg.Hidden)
		nn.DropoutMask(p.Drop1, f.cfg.Dropout, f.rng)
		nn.DropoutMask(p.Drop2, f.cfg.Dropout, f.rng)
		f.net.Forward(f.theta, p)
		clear(f.grad)
		sum += f.backward(p, batch)
		p.Drop1, p.Drop2 = nil, nil
		if norm := nn.ClipNorm(f.grad, 1); math.IsNaN(norm) || math.IsInf(norm, 0) {
			return 0, fmt.Errorf("%w: the gradient is not finite in epoch %d; lower the learning rate", ErrActor, epoch)
		}
		f.opt.Step(&f.net.Layout, f.theta, f.grad, falling(f.cfg.LearningRate, f.step, f.cfg.Epochs*batches))
		f.step++
	}
	return sum / float64(len(order)), nil
}

// objective is the loss of one step, and its derivative by the logits in dz:
// weight times the likelihood of what was given, and the pull to the behaviour
// model, KL(behaviour || policy).
func (c *ActorConfig) objective(dz, logits []float32, s *actorStep) float64 {
	var allowed [agent.ActorPairs]bool
	for i := range allowed {
		allowed[i] = s.given&(1<<i) != 0
	}
	loss := s.weight * float64(nn.SetNLL(dz, logits, allowed[:]))
	var p [agent.ActorPairs]float32
	nn.Softmax(p[:], logits, 1)
	for i, q := range s.behaviour {
		dz[i] = float32(s.weight)*dz[i] + float32(c.Anchor)*(p[i]-q)
		loss += c.Anchor * float64(q) * math.Log(math.Max(float64(q), 1e-9)/math.Max(float64(p[i]), 1e-9))
	}
	return loss
}

// backward adds the batch's mean gradient to f.grad and returns its summed loss.
func (f *actorFit) backward(p *agent.ActorPass, batch []*actorStep) (sum float64) {
	n, hidden := len(batch), f.cfg.Hidden
	dOut, dAct2, dAct1 := nn.NewMat(n, agent.ActorPairs+agent.ActorRamps), nn.NewMat(n, hidden), nn.NewMat(n, hidden)
	var dz [agent.ActorPairs]float32
	for i, s := range batch {
		sum += f.cfg.objective(dz[:], p.Logits.Row(i), s)
		row, out, ramp := dOut.Row(i), p.Out.Row(i), p.Ramp.Row(i)
		var push float32
		for pair, d := range dz {
			row[pair] = d / float32(n)
			push -= float32(pair/5) * d / float32(n)
		}
		for j := range agent.ActorRamps {
			row[agent.ActorPairs+j] = push * ramp[j] * nn.Sigmoid(out[agent.ActorPairs+j])
		}
	}
	f.net.Head.Backward(f.theta, f.grad, p.Act2, dOut, dAct2)
	nn.Scale(dAct2, p.Drop2)
	nn.SiLUBackward(dAct2, p.Pre2, dAct2)
	f.net.Second.Backward(f.theta, f.grad, p.Act1, dAct2, dAct1)
	nn.Scale(dAct1, p.Drop1)
	nn.SiLUBackward(dAct1, p.Pre1, dAct1)
	f.net.First.Backward(f.theta, f.grad, p.X, dAct1, nil)
	return sum
}

// loss is the mean objective without dropout.
func (f *actorFit) loss(steps []*actorStep) float64 {
	var dz [agent.ActorPairs]float32
	sum := 0.0
	for i := 0; i < len(steps); i += actorBatch {
		batch := steps[i:min(i+actorBatch, len(steps))]
		p := f.fill(batch)
		f.net.Forward(f.theta, p)
		for j, s := range batch {
			sum += f.cfg.objective(dz[:], p.Logits.Row(j), s)
		}
	}
	return sum / float64(len(steps))
}
