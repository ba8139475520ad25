// SPDX-License-Identifier: Apache-2.0

package world

// This file: fitting one member. A batch is cut into shards of fixed size,
// each with its own gradient; shards run at the same time and are summed in
// their order, so GOMAXPROCS does not change a bit of the result.

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"

	"github.com/sepsisagent/sepsisagent/engine/nn"
)

const (
	batchSize = 256
	shardSize = 64
)

// fitter fits members on one set of samples.
type fitter struct {
	net         *network
	scale       *Scale
	cfg         TrainConfig
	train       []*sample
	validation  []*sample // real patients; synthetic only when there are no others
	report      func(Progress)
	passes      []*pass
	grads       [][]float32
	evaluations *pass
}

func newFitter(net *network, scale *Scale, cfg TrainConfig, train, validation []*sample, report func(Progress)) *fitter {
	f := &fitter{net: net, scale: scale, cfg: cfg, train: train, validation: validation, report: report,
		evaluations: net.newPass(shardSize, true)}
	f.evaluations.drop1, f.evaluations.drop2 = nil, nil
	for range batchSize / shardSize {
		f.passes = append(f.passes, net.newPass(shardSize, true))
		f.grads = append(f.grads, make([]float32, net.layout.Size()))
	}
	return f
}

// start is member number m before its first epoch.
func (f *fitter) start(m int) (*running, error) {
	source := rand.NewPCG(f.cfg.Seed, uint64(m))
	theta := f.net.init(rand.New(source))
	r := &running{Member: m, Theta: theta, Average: slices.Clone(theta), Best: slices.Clone(theta),
		BestLoss: math.Inf(1), BestEpoch: -1, Order: make([]int, len(f.train)),
		Optimiser: nn.NewAdam(len(theta), f.cfg.WeightDecay).State()}
	for i := range r.Order {
		r.Order[i] = i
	}
	var err error
	r.Chance, err = source.MarshalBinary()
	return r, err
}

// member goes on with member r and returns its weights: the running average of
// the epoch with the lowest validation loss. save is called after every epoch
// with the state to go on from.
func (f *fitter) member(ctx context.Context, r *running, save func(*running) error) ([]float32, error) {
	source := new(rand.PCG)
	if err := source.UnmarshalBinary(r.Chance); err != nil {
		return nil, fmt.Errorf("%w: random source: %w", ErrTraining, err)
	}
	rng := rand.New(source)
	opt := nn.NewAdam(len(r.Theta), f.cfg.WeightDecay)
	opt.Restore(r.Optimiser)
	r.Optimiser = opt.State()
	for r.Epoch < f.cfg.Epochs && r.Epoch-1-r.BestEpoch < f.cfg.Patience {
		sum, err := f.epoch(ctx, r, rng, opt)
		if err != nil {
			return nil, err
		}
		validation := f.loss(r.Average)
		if validation < r.BestLoss {
			r.BestLoss, r.BestEpoch = validation, r.Epoch
			copy(r.Best, r.Average)
		}
		f.report(Progress{Member: r.Member, Members: f.cfg.Members, Epoch: r.Epoch, Epochs: f.cfg.Epochs,
			TrainLoss: sum.loss / math.Max(sum.weight, 1), ValidationLoss: validation, Best: r.BestEpoch == r.Epoch})
		r.Epoch++
		r.Optimiser = opt.State()
		if r.Chance, err = source.MarshalBinary(); err != nil {
			return nil, err
		}
		if err := save(r); err != nil {
			return nil, err
		}
	}
	if r.BestEpoch < 0 {
		return nil, fmt.Errorf("%w: member %d never had a finite validation loss", ErrTraining, r.Member)
	}
	return r.Best, nil
}

// epoch goes once through the training samples in random order.
func (f *fitter) epoch(ctx context.Context, r *running, rng *rand.Rand, opt *nn.Adam) (sum tally, err error) {
	order := r.Order
	batches := (len(order) + batchSize - 1) / batchSize
	rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	for b := range batches {
		if err := ctx.Err(); err != nil {
			return sum, fmt.Errorf("training stopped: %w", err)
		}
		batch := make([]*sample, 0, batchSize)
		for _, i := range order[b*batchSize : min((b+1)*batchSize, len(order))] {
			batch = append(batch, f.train[i])
		}
		t, norm := f.gradient(r.Theta, batch, rng.Uint64())
		if math.IsNaN(norm) || math.IsInf(norm, 0) {
			return sum, fmt.Errorf("%w: the gradient of member %d is not finite in epoch %d; lower the learning rate", ErrTraining, r.Member, r.Epoch)
		}
		done := float64(r.Step) / float64(f.cfg.Epochs*batches)
		lr := f.cfg.LearningRate * (0.02 + 0.98*(1+math.Cos(math.Pi*done))/2) * math.Min(1, float64(r.Step+1)/float64(min(100, 5*batches)))
		opt.Step(&f.net.layout, r.Theta, f.grads[0], lr)
		r.Step++
		keep := float32(math.Min(0.995, float64(r.Step)/float64(r.Step+10)))
		for i, v := range r.Theta {
			r.Average[i] = keep*r.Average[i] + (1-keep)*v
		}
		sum.loss, sum.weight = sum.loss+t.loss, sum.weight+t.weight
	}
	return sum, nil
}

// gradient leaves the batch's gradient in f.grads[0] and returns the loss and
// the gradient's norm. seed drives dropout.
func (f *fitter) gradient(theta []float32, batch []*sample, seed uint64) (tally, float64) {
	norm := entries(batch)
	shards := (len(batch) + shardSize - 1) / shardSize
	sums := make([]tally, shards)
	var wg sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for s := range shards {
		wg.Add(1)
		slots <- struct{}{}
		go func() {
			defer func() { <-slots; wg.Done() }()
			part := batch[s*shardSize : min((s+1)*shardSize, len(batch))]
			p := f.passes[s].rows(len(part))
			for i, sm := range part {
				copy(p.x.Row(i), sm.x)
			}
			rng := rand.New(rand.NewPCG(seed, uint64(s)))
			nn.DropoutMask(p.drop1, f.cfg.Dropout, rng)
			nn.DropoutMask(p.drop2, f.cfg.Dropout, rng)
			clear(f.grads[s])
			f.net.forward(theta, p)
			sums[s] = f.net.objective(theta, f.grads[s], p, part, f.scale, f.cfg.mix, norm)
			f.net.backward(theta, f.grads[s], p)
		}()
	}
	wg.Wait()
	total := sums[0]
	for s := 1; s < shards; s++ {
		for i, v := range f.grads[s] {
			f.grads[0][i] += v
		}
		total.loss, total.weight = total.loss+sums[s].loss, total.weight+sums[s].weight
	}
	return total, nn.ClipNorm(f.grads[0], 1)
}

// loss is the mean likelihood loss on the validation samples.
func (f *fitter) loss(theta []float32) float64 {
	var sum tally
	for i := 0; i < len(f.validation); i += shardSize {
		part := f.validation[i:min(i+shardSize, len(f.validation))]
		p := f.evaluations.rows(len(part))
		for j, sm := range part {
			copy(p.x.Row(j), sm.x)
		}
		f.net.forward(theta, p)
		p.dOut.Zero()
		p.dGain.Zero()
		for j, sm := range part {
			t := f.net.likelihood(theta, f.grads[0], p, j, sm, f.scale, mix{}, 1)
			sum.loss, sum.weight = sum.loss+t.loss, sum.weight+t.weight
		}
	}
	clear(f.grads[0])
	return sum.loss / math.Max(sum.weight, 1)
}
