// SPDX-License-Identifier: Apache-2.0

package world

// This file: fitting the reference networks. The published training settings
// are unknown (reference/sepsisagent.md, "unknown"); those here are ours and
// named. Shards of a batch are summed in their order, as in fit.go, so that
// GOMAXPROCS does not change a bit of the result.

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

// RefConfig says how the reference networks are trained. Start from
// DefaultRefConfig.
type RefConfig struct {
	Seed         uint64  `json:"seed"`          // every random choice follows from it
	Epochs       int     `json:"epochs"`        // at most
	Patience     int     `json:"patience"`      // epochs without a better validation loss before training stops
	LearningRate float64 `json:"learning_rate"` // Adam; falls along a cosine
	Dropout      float64 `json:"dropout"`       // published: 0.2
	Decay        float64 `json:"weight_decay"`
}

// DefaultRefConfig returns the settings of the stored baseline: of those tried
// on the two open data sets, the ones with the smallest error on validation
// patients.
func DefaultRefConfig() RefConfig {
	return RefConfig{Seed: 1, Epochs: 16, Patience: 5, LearningRate: 2e-3, Dropout: 0.2, Decay: 0.3}
}

func (c *RefConfig) check() error {
	if c.Epochs < 1 || c.Patience < 1 || !(c.LearningRate > 0) || !(c.Dropout >= 0 && c.Dropout < 1) || !(c.Decay >= 0) {
		return fmt.Errorf("%w: reference: epochs and patience must be at least 1, the learning rate above 0, dropout in 0..1, decay at least 0", ErrTraining)
	}
	return nil
}

// refBatch is the batch, refShard the part of it that one goroutine works on.
const (
	refBatch = 256
	refShard = 64
)

// refExample is a window with its outcome.
type refExample struct {
	w    *window
	died int8
}

// refFitter fits one network.
type refFitter struct {
	net               *refNet
	scale             *refScale
	cfg               RefConfig
	train, validation []refExample
	report            func(Progress)
	turned            *refTurned       // of the weights that gradient was called with
	grads             [][]float32      // of the shards of a batch
	mu                sync.Mutex       // guards free
	free              map[int]*refPass // passes to borrow, by rows
}

// newRefFitter makes ready to fit net; report is called after every epoch.
func newRefFitter(net *refNet, scale *refScale, cfg RefConfig, train, validation []refExample, report func(Progress)) *refFitter {
	f := &refFitter{net: net, scale: scale, cfg: cfg, train: train, validation: validation, report: report,
		turned: net.newTurned(), free: map[int]*refPass{}}
	for range refBatch / refShard {
		f.grads = append(f.grads, make([]float32, net.layout.Size()))
	}
	return f
}

// start is the network before its first epoch.
func (f *refFitter) start() (*running, error) {
	source := rand.NewPCG(f.cfg.Seed, uint64(f.net.steps))
	rng := rand.New(source)
	theta := f.net.init(rng)
	r := &running{Theta: theta, Best: slices.Clone(theta), BestLoss: math.Inf(1), BestEpoch: -1,
		Order: rng.Perm(len(f.train)), Optimiser: nn.NewAdam(len(theta), f.cfg.Decay).State()}
	var err error
	r.Chance, err = source.MarshalBinary()
	return r, err
}

// network goes on with r and returns the weights of the epoch that did best on
// the validation examples: by mean absolute error for the dynamics, which is
// what the baseline is judged by and goes on falling after the likelihood has
// turned, and by loss for the outcome. save is called after every epoch with
// the state to go on from.
func (f *refFitter) network(ctx context.Context, r *running, save func(*running) error) ([]float32, error) {
	source := new(rand.PCG)
	if err := source.UnmarshalBinary(r.Chance); err != nil {
		return nil, fmt.Errorf("%w: random source: %w", ErrTraining, err)
	}
	rng := rand.New(source)
	opt := nn.NewAdam(len(r.Theta), f.cfg.Decay)
	opt.Restore(r.Optimiser)
	for r.Epoch < f.cfg.Epochs && r.Epoch-1-r.BestEpoch < f.cfg.Patience {
		sum, err := f.epoch(ctx, r, rng, opt)
		if err != nil {
			return nil, err
		}
		loss, judged := f.watch(r.Theta)
		if judged < r.BestLoss {
			r.BestLoss, r.BestEpoch = judged, r.Epoch
			copy(r.Best, r.Theta)
		}
		f.report(Progress{Members: 1, Epoch: r.Epoch, Epochs: f.cfg.Epochs, TrainLoss: sum.loss / math.Max(sum.weight, 1),
			ValidationLoss: loss, Best: r.BestEpoch == r.Epoch})
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
		return nil, fmt.Errorf("%w: the reference network never had a finite validation loss", ErrTraining)
	}
	return r.Best, nil
}

// epoch goes once through the training examples in random order.
func (f *refFitter) epoch(ctx context.Context, r *running, rng *rand.Rand, opt *nn.Adam) (sum tally, err error) {
	order := r.Order
	batches := (len(order) + refBatch - 1) / refBatch
	rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	batch := make([]refExample, 0, refBatch)
	for b := range batches {
		if err := ctx.Err(); err != nil {
			return sum, fmt.Errorf("training stopped: %w", err)
		}
		batch = batch[:0]
		for _, i := range order[b*refBatch : min((b+1)*refBatch, len(order))] {
			batch = append(batch, f.train[i])
		}
		t, norm := f.gradient(r.Theta, batch, rng.Uint64())
		if !finite(norm) {
			return sum, fmt.Errorf("%w: the gradient of the reference network is not finite in epoch %d; lower the learning rate", ErrTraining, r.Epoch)
		}
		done := float64(r.Step) / float64(f.cfg.Epochs*batches)
		opt.Step(&f.net.layout, r.Theta, f.grads[0], f.cfg.LearningRate*(0.02+0.98*(1+math.Cos(math.Pi*done))/2))
		r.Step++
		sum.add(t)
	}
	return sum, nil
}

// gradient leaves the batch's gradient in the first shard and returns the loss
// and the gradient's norm. seed drives dropout.
func (f *refFitter) gradient(theta []float32, batch []refExample, seed uint64) (tally, float64) {
	by := f.net.terms(batch)
	f.net.turn(theta, f.turned)
	shards := (len(batch) + refShard - 1) / refShard
	sums := make([]tally, shards)
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for s := range shards {
		wg.Add(1)
		slots <- struct{}{}
		go func() {
			defer func() { <-slots; wg.Done() }()
			part := batch[s*refShard : min((s+1)*refShard, len(batch))]
			p := f.borrow(len(part))
			defer f.giveBack(p)
			f.net.load(p, f.scale, windowsOf(part))
			p.drop(f.cfg.Dropout, rand.New(rand.NewPCG(seed, uint64(s))))
			clear(f.grads[s])
			f.net.forward(theta, p)
			sums[s] = f.net.objective(p, f.scale, part, by)
			f.net.backward(theta, f.grads[s], p, f.turned)
		}()
	}
	wg.Wait()
	total, grad := sums[0], f.grads[0]
	for s := 1; s < shards; s++ {
		for i, v := range f.grads[s] {
			grad[i] += v
		}
		total.add(sums[s])
	}
	return total, nn.ClipNorm(grad, 1)
}

// borrow gives a training pass for so many rows; what is in it means nothing.
func (f *refFitter) borrow(rows int) *refPass {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.free[rows]; p != nil {
		f.free[rows] = p.next
		p.next = nil
		return p
	}
	return f.net.newPass(rows, true)
}

func (f *refFitter) giveBack(p *refPass) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p.next = f.free[p.rows]
	f.free[p.rows] = p
}

func windowsOf(examples []refExample) []*window {
	out := make([]*window, len(examples))
	for i := range examples {
		out[i] = examples[i].w
	}
	return out
}

// terms counts what a batch's losses are averaged over: observed values, and
// known ventilation or outcome.
type terms struct{ values, labels float32 }

func (n *refNet) terms(batch []refExample) terms {
	var t terms
	for i := range batch {
		if !n.dynamics {
			if batch[i].died != unknown {
				t.labels++
			}
			continue
		}
		for _, v := range batch[i].w.next {
			if !isNaN(v) {
				t.values++
			}
		}
		if batch[i].w.vent != unknown {
			t.labels++
		}
	}
	return terms{values: max(t.values, 1), labels: max(t.labels, 1)}
}

// objective fills dLogit, dMu and dSigma and returns the loss: mean Gaussian
// negative log-likelihood over observed values plus mean cross-entropy of
// ventilation, or the mean cross-entropy of the outcome.
func (n *refNet) objective(p *refPass, scale *refScale, part []refExample, by terms) (sum tally) {
	b := p.back
	clear(b.dLogit.Data)
	if n.dynamics {
		clear(b.dMu.Data)
		clear(b.dSigma.Data)
	}
	for i := range part {
		label := part[i].died
		if n.dynamics {
			label = part[i].w.vent
			for f, y := range part[i].w.next {
				if isNaN(y) {
					continue
				}
				ls, inside := bounded(p.sigma.Row(i)[f])
				loss, dMu, dLs := nn.GaussianNLL(scale.z(f, y), p.mu.Row(i)[f], ls)
				sum.loss, sum.weight = sum.loss+float64(loss), sum.weight+1
				b.dMu.Row(i)[f] = dMu / by.values
				if inside {
					b.dSigma.Row(i)[f] = dLs / by.values
				}
			}
		}
		if label != unknown {
			loss, dz := nn.LogisticNLL(p.logit.Data[i], float32(label))
			b.dLogit.Data[i] = dz / by.labels
			if !n.dynamics {
				sum.loss, sum.weight = sum.loss+float64(loss), sum.weight+1
			}
		}
	}
	return sum
}

// watch gives the mean loss on validation examples without dropout, and what
// the epoch is judged by.
func (f *refFitter) watch(theta []float32) (loss, judged float64) {
	examples := f.validation
	parts := (len(examples) + refShard - 1) / refShard
	losses, errors := make([]tally, parts), make([]tally, parts)
	f.net.each(theta, f.scale, windowsOf(examples), func(from int, p *refPass) {
		for i := range p.rows {
			l, e := f.net.lossOf(p, i, f.scale, examples[from+i])
			losses[from/refShard].add(l)
			errors[from/refShard].add(e)
		}
	})
	var l, e tally
	for i := range parts { // in their order, whichever core was faster
		l.add(losses[i])
		e.add(errors[i])
	}
	return l.loss / math.Max(l.weight, 1), e.loss / math.Max(e.weight, 1)
}

func (t *tally) add(o tally) { t.loss, t.weight = t.loss+o.loss, t.weight+o.weight }

// lossOf is the loss of row i of a pass, and what it is judged by.
func (n *refNet) lossOf(p *refPass, i int, scale *refScale, e refExample) (loss, judged tally) {
	if !n.dynamics {
		if e.died != unknown {
			l, _ := nn.LogisticNLL(p.logit.Data[i], float32(e.died))
			loss.add(tally{loss: float64(l), weight: 1})
		}
		return loss, loss
	}
	for f, y := range e.w.next {
		if isNaN(y) {
			continue
		}
		z, mu := scale.z(f, y), p.mu.Row(i)[f]
		ls, _ := bounded(p.sigma.Row(i)[f])
		l, _, _ := nn.GaussianNLL(z, mu, ls)
		loss.add(tally{loss: float64(l), weight: 1})
		judged.add(tally{loss: math.Abs(float64(z - mu)), weight: 1})
	}
	return loss, judged
}

// each runs the network over windows in parts of refShard, on both cores. visit
// is called for each part, at the same time as for others, with the number of
// its first window.
func (n *refNet) each(theta []float32, scale *refScale, windows []*window, visit func(from int, p *refPass)) {
	starts := make(chan int)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			var p *refPass
			for from := range starts {
				part := windows[from:min(from+refShard, len(windows))]
				if p == nil || p.rows != len(part) {
					p = n.newPass(len(part), false)
				}
				n.load(p, scale, part)
				n.forward(theta, p)
				visit(from, p)
			}
		}()
	}
	for from := 0; from < len(windows); from += refShard {
		starts <- from
	}
	close(starts)
	wg.Wait()
}
