// SPDX-License-Identifier: Apache-2.0

package offline

// This file: the one training loop of all deep methods. It runs on one goroutine
// and sums in one order, so the same data and settings give the same bytes.

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/nn"
)

// objective is what sets one deep method apart from another.
type objective interface {
	// backward adds the derivatives of the batch's mean loss by theta to grad,
	// sets the error of each step in b.errors, and returns the mean loss. target
	// are the weights of the target networks.
	backward(theta, target, grad []float32, b *batch) float64
}

// batch is the steps of one update.
type batch struct {
	places  []int // in what replay draws from
	rows    []int // in memory
	weights []float32
	errors  []float32
}

// mostGradient is the norm that a gradient is clipped to.
const mostGradient = 10

// training is one fit.
type training struct {
	method Method
	cfg    *Config
	layout *nn.Layout
	nets   []*network
	objective
	rows []int // what is learnt from
	// validation, where not nil, is a loss on held-out patients; the weights of
	// the epoch with the least are kept.
	validation func(theta []float32) float64
}

// run returns the weights.
func (t *training) run(ctx context.Context, report func(Progress)) ([]float32, error) {
	if len(t.rows) == 0 {
		return nil, fmt.Errorf("%w: %s: no step of a training patient can be learnt from", ErrFit, t.method)
	}
	rng := rand.New(rand.NewPCG(t.cfg.Seed, seedOf(t.method)))
	theta := make([]float32, t.layout.Size())
	for _, n := range t.nets {
		n.init(theta, rng)
	}
	target, grad := slices.Clone(theta), make([]float32, len(theta))
	opt := nn.NewAdam(len(theta), t.cfg.WeightDecay)
	draw := newReplay(t.rows, t.cfg, rng)
	b := newBatch(min(t.cfg.Batch, len(t.rows)))
	perEpoch := max(1, len(t.rows)/len(b.rows))
	epochs := (t.cfg.Updates + perEpoch - 1) / perEpoch
	best, bestLoss, bestEpoch, sum := []float32(nil), math.Inf(1), 0, 0.0
	for update := range t.cfg.Updates {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("%s: training stopped: %w", t.method, err)
		}
		done := float64(update) / float64(t.cfg.Updates)
		draw.draw(b.places, b.weights, done)
		for i, p := range b.places {
			b.rows[i] = t.rows[p]
		}
		clear(grad)
		sum += t.backward(theta, target, grad, b)
		if norm := nn.ClipNorm(grad, mostGradient); math.IsNaN(norm) || math.IsInf(norm, 0) {
			return nil, fmt.Errorf("%w: %s: the gradient of update %d is not finite (hint: lower the learning rate)", ErrFit, t.method, update)
		}
		opt.Step(t.layout, theta, grad, t.cfg.LearningRate*(0.02+0.98*(1+math.Cos(math.Pi*done))/2))
		draw.learnt(b.places, b.errors)
		follow(target, theta, t.cfg, update+1)
		if (update+1)%perEpoch != 0 && update+1 < t.cfg.Updates {
			continue
		}
		p := Progress{Method: t.method, Epoch: update/perEpoch + 1, Of: epochs, Loss: sum / float64(update%perEpoch+1), Validation: math.NaN()}
		sum = 0
		if t.validation != nil {
			if p.Validation = t.validation(theta); p.Validation < bestLoss {
				best, bestLoss, bestEpoch, p.WeightsKept = append(best[:0], theta...), p.Validation, p.Epoch, true
			}
		}
		if report != nil {
			report(p)
		}
		if t.validation != nil && p.Epoch-bestEpoch >= t.cfg.Patience {
			break
		}
	}
	switch {
	case t.validation == nil:
		return theta, nil
	case best == nil:
		return nil, fmt.Errorf("%w: %s: no epoch had a finite validation loss (hint: lower the learning rate)", ErrFit, t.method)
	}
	return best, nil
}

func newBatch(n int) *batch {
	return &batch{places: make([]int, n), rows: make([]int, n), weights: make([]float32, n), errors: make([]float32, n)}
}

// follow moves the target weights after an update.
func follow(target, theta []float32, cfg *Config, update int) {
	if cfg.TargetEvery > 0 {
		if update%cfg.TargetEvery == 0 {
			copy(target, theta)
		}
		return
	}
	k := float32(cfg.Polyak)
	for i, v := range theta {
		target[i] += k * (v - target[i])
	}
}

// seedOf gives each method its own stream of chance under one seed. Both
// policies of imitation share one: they are the same fit, to the byte.
func seedOf(m Method) (h uint64) {
	if m == Clinician {
		m = BC
	}
	for _, c := range []byte(m) {
		h = h*1099511628211 + uint64(c)
	}
	return h
}

// load copies the features of steps into a network's input.
func (m *memory) load(x *nn.Mat, rows []int) {
	for i, row := range rows {
		copy(x.Row(i), m.x.Row(row))
	}
}

// loadNext copies the features of what follows each step; after the last of an
// episode that is nothing, and nobody reads it.
func (m *memory) loadNext(x *nn.Mat, rows []int) {
	for i, row := range rows {
		if m.end[row] {
			clear(x.Row(i))
			continue
		}
		copy(x.Row(i), m.x.Row(row+1))
	}
}
