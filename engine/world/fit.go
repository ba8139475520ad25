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

// member fits member number m and returns its weights: the running average of
// the epoch with the lowest validation loss.
func (f *fitter) member(ctx context.Context, m int) ([]float32, error) {
	rng := rand.New(rand.NewPCG(f.cfg.Seed, uint64(m)))
	theta := f.net.init(rng)
	average := append([]float32(nil), theta...)
	best := append([]float32(nil), theta...)
	bestLoss, bestEpoch := math.Inf(1), -1
	opt := nn.NewAdam(len(theta), f.cfg.WeightDecay)
	order := make([]int, len(f.train))
	for i := range order {
		order[i] = i
	}
	batches := (len(order) + batchSize - 1) / batchSize
	step := 0
	for epoch := range f.cfg.Epochs {
		rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		var sum tally
		for b := range batches {
			if err := ctx.Err(); err != nil {
				return nil, fmt.Errorf("training stopped: %w", err)
			}
			batch := make([]*sample, 0, batchSize)
			for _, i := range order[b*batchSize : min((b+1)*batchSize, len(order))] {
				batch = append(batch, f.train[i])
			}
			t, norm := f.gradient(theta, batch, rng.Uint64())
			if math.IsNaN(norm) || math.IsInf(norm, 0) {
				return nil, fmt.Errorf("%w: the gradient of member %d is not finite in epoch %d; lower the learning rate", ErrTraining, m, epoch)
			}
			done := float64(step) / float64(f.cfg.Epochs*batches)
			lr := f.cfg.LearningRate * (0.02 + 0.98*(1+math.Cos(math.Pi*done))/2) * math.Min(1, float64(step+1)/float64(min(100, 5*batches)))
			opt.Step(&f.net.layout, theta, f.grads[0], lr)
			step++
			keep := float32(math.Min(0.995, float64(step)/float64(step+10)))
			for i, v := range theta {
				average[i] = keep*average[i] + (1-keep)*v
			}
			sum.loss, sum.weight = sum.loss+t.loss, sum.weight+t.weight
		}
		validation := f.loss(average)
		if validation < bestLoss {
			bestLoss, bestEpoch = validation, epoch
			copy(best, average)
		}
		f.report(Progress{Member: m, Members: f.cfg.Members, Epoch: epoch, Epochs: f.cfg.Epochs,
			TrainLoss: sum.loss / math.Max(sum.weight, 1), ValidationLoss: validation, Best: bestEpoch == epoch})
		if epoch-bestEpoch >= f.cfg.Patience {
			break
		}
	}
	if bestEpoch < 0 {
		return nil, fmt.Errorf("%w: member %d never had a finite validation loss", ErrTraining, m)
	}
	return best, nil
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
