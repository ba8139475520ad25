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
	net   *refNet
	scale *refScale
	cfg   RefConfig
	grads [][]float32      // of the shards of a batch
	mu    sync.Mutex       // guards free
	free  map[int]*refPass // passes to borrow, by rows
}

// fit returns the weights of the epoch that did best on the validation examples:
// by mean absolute error for the dynamics, which is what the baseline is judged
// by and goes on falling after the likelihood has turned, and by loss for the
// outcome. report, which may be nil, is called after every epoch.
func (n *refNet) fit(ctx context.Context, scale *refScale, cfg RefConfig, train, validation []refExample, report func(Progress)) ([]float32, error) {
	f := &refFitter{net: n, scale: scale, cfg: cfg, free: map[int]*refPass{}}
	for range refBatch / refShard {
		f.grads = append(f.grads, make([]float32, n.layout.Size()))
	}
	rng := rand.New(rand.NewPCG(cfg.Seed, uint64(n.steps)))
	theta := n.init(rng)
	best, least, bestEpoch := append([]float32(nil), theta...), math.Inf(1), -1
	opt := nn.NewAdam(len(theta), cfg.Decay)
	order := rng.Perm(len(train))
	batches := (len(order) + refBatch - 1) / refBatch
	for epoch := range cfg.Epochs {
		rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		var sum tally
		for b := range batches {
			if err := ctx.Err(); err != nil {
				return nil, fmt.Errorf("training stopped: %w", err)
			}
			batch := make([]refExample, 0, refBatch)
			for _, i := range order[b*refBatch : min((b+1)*refBatch, len(order))] {
				batch = append(batch, train[i])
			}
			t, norm := f.gradient(theta, batch, rng.Uint64())
			if !finite(norm) {
				return nil, fmt.Errorf("%w: the gradient of the reference network is not finite in epoch %d; lower the learning rate", ErrTraining, epoch)
			}
			done := float64(epoch*batches+b) / float64(cfg.Epochs*batches)
			opt.Step(&n.layout, theta, f.grads[0], cfg.LearningRate*(0.02+0.98*(1+math.Cos(math.Pi*done))/2))
			sum.loss, sum.weight = sum.loss+t.loss, sum.weight+t.weight
		}
		loss, judged := f.watch(theta, validation)
		if judged < least {
			least, bestEpoch = judged, epoch
			copy(best, theta)
		}
		if report != nil {
			report(Progress{Members: 1, Epoch: epoch, Epochs: cfg.Epochs, TrainLoss: sum.loss / math.Max(sum.weight, 1),
				ValidationLoss: loss, Best: bestEpoch == epoch})
		}
		if epoch-bestEpoch >= cfg.Patience {
			break
		}
	}
	if bestEpoch < 0 {
		return nil, fmt.Errorf("%w: the reference network never had a finite validation loss", ErrTraining)
	}
	return best, nil
}

// gradient leaves the batch's gradient in the first shard and returns the loss
// and the gradient's norm. seed drives dropout.
func (f *refFitter) gradient(theta []float32, batch []refExample, seed uint64) (tally, float64) {
	by := f.net.terms(batch)
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
			f.net.backward(theta, f.grads[s], p)
		}()
	}
	wg.Wait()
	total, grad := sums[0], f.grads[0]
	for s := 1; s < shards; s++ {
		for i, v := range f.grads[s] {
			grad[i] += v
		}
		total.loss, total.weight = total.loss+sums[s].loss, total.weight+sums[s].weight
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
func (f *refFitter) watch(theta []float32, examples []refExample) (loss, judged float64) {
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
