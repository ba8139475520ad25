// SPDX-License-Identifier: Apache-2.0

package curriculum

// This file: stage I, what records teach: how a patient goes on, and what
// clinicians usually give.

import (
	"context"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/nn"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// foresee sets what came after a decision time.
func (s *actorStep) foresee(stay []*state.Timeline, k int, row *cohort.Row, model *world.Model) error {
	for i := range s.next {
		s.next[i] = math.NaN()
	}
	x, err := model.Encode(stay[k+1])
	if err != nil {
		return err
	}
	for i, feature := range agent.ActorFeatures {
		before, known, _ := world.Last(s.x, feature)
		after, _, measured := world.Last(x, feature)
		if known && measured {
			s.next[i] = float64(after - before)
		}
	}
	event := func(came bool) float64 {
		if came {
			return 1
		}
		return 0
	}
	if row.OutcomeKnown {
		s.next[agent.ActorDeath] = event(row.DiedInHospital)
	}
	if need, known := world.NeedWithin24h(stay, k); known {
		s.next[agent.ActorNeed] = event(need)
	}
	return nil
}

// Records are the recorded steps of a cohort, weighed for imitation.
type Records struct {
	digest string
	set    map[cohort.Split][]*actorStep
}

// Gather reads a cohort for stage I. rows is read twice. Errors are those of
// TrainActor.
func Gather(ctx context.Context, rows iter.Seq2[cohort.Row, error], model *world.Model, cfg Config) (*Records, error) {
	digest, real, err := lookOver(rows, model)
	if err != nil {
		return nil, err
	}
	set, err := gatherActorSteps(ctx, rows, model, real)
	if err != nil {
		return nil, err
	}
	if len(set[cohort.Train]) < 100 || len(set[cohort.Val]) < 20 {
		return nil, fmt.Errorf("%w: %d training and %d validation steps with known treatment are too few; want at least 100 and 20", ErrActor, len(set[cohort.Train]), len(set[cohort.Val]))
	}
	if err := weigh(ctx, set[cohort.Train], slices.Concat(set[cohort.Val], set[cohort.Test]), cfg.Imitation); err != nil {
		return nil, err
	}
	return &Records{digest, set}, nil
}

// study is stage I: the weights of the epoch with the lowest loss on validation
// patients are kept.
func (t *trainer) study(ctx context.Context, r *Records) error {
	cfg, rng := t.cfg.Imitation, chance(t.cfg.Imitation.Seed, 100)
	t.learner = newLearner(cfg.Hidden, cfg.WeightDecay, rng)
	l, order := t.learner, slices.Clone(r.set[cohort.Train])
	best, bestLoss, bestEpoch := slices.Clone(l.theta), math.Inf(1), -1
	batches := (len(order) + actorBatch - 1) / actorBatch
	for epoch := 0; epoch < cfg.Epochs && epoch-bestEpoch <= cfg.Patience; epoch++ {
		rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		sum := 0.
		for n := range batches {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("training stopped: %w", err)
			}
			part := order[n*actorBatch : min((n+1)*actorBatch, len(order))]
			drop := func(m *nn.Mat) *nn.Mat { nn.DropoutMask(m, cfg.Dropout, rng); return m }
			sum += t.lesson(part, drop, true)
			if err := l.step(falling(cfg.LearningRate, epoch*batches+n, cfg.Epochs*batches)); err != nil {
				return err
			}
		}
		watch := 0.
		for part := range slices.Chunk(r.set[cohort.Val], actorBatch) {
			watch += t.lesson(part, nil, false)
		}
		watch /= float64(len(r.set[cohort.Val]))
		if watch < bestLoss {
			bestLoss, bestEpoch = watch, epoch
			copy(best, l.theta)
		}
		t.report(Progress{Stage: 1, Done: epoch + 1, Of: cfg.Epochs, Loss: sum / float64(len(order)), Watch: watch})
	}
	if bestEpoch < 0 {
		return fmt.Errorf("%w: stage I never had a finite validation loss; lower the learning rate", ErrCurriculum)
	}
	copy(l.theta, best)
	return nil
}

// rehearse adds the gradient of the dynamics of some training steps.
func (t *trainer) rehearse(r *Records, rng *rand.Rand) {
	train := r.set[cohort.Train]
	steps := make([]*actorStep, actorBatch)
	states := make([]seen, len(steps))
	for i := range steps {
		steps[i] = train[rng.IntN(len(train))]
		states[i] = seen{x: steps[i].x, aboveMmHg: steps[i].aboveMmHg}
	}
	b := t.learner.fill(states)
	t.learner.net.Forward(t.learner.theta, b.pass)
	t.learner.foresee(b)
	d := nn.NewMat(len(steps), agent.ActorDynamics)
	for i, s := range steps {
		t.foreseen(d.Row(i), b.dynamics.Row(i), s, 1/float32(len(steps)))
	}
	t.learner.backward(b, nil, d)
}

// lesson is the summed loss of some recorded steps; learn adds its mean gradient.
func (t *trainer) lesson(steps []*actorStep, drop func(*nn.Mat) *nn.Mat, learn bool) (sum float64) {
	l, cfg := t.learner, &t.cfg.Imitation
	states := make([]seen, len(steps))
	for i, s := range steps {
		states[i] = seen{x: s.x, aboveMmHg: s.aboveMmHg}
	}
	b := l.fill(states)
	if drop != nil {
		b.drop = true
		b.pass.Drop1, b.pass.Drop2 = drop(nn.NewMat(len(steps), l.hidden)), drop(nn.NewMat(len(steps), l.hidden))
	}
	l.net.Forward(l.theta, b.pass)
	l.foresee(b)
	dLogits, dDynamics := nn.NewMat(len(steps), agent.ActorActions), nn.NewMat(len(steps), agent.ActorDynamics)
	mean := 1 / float32(len(steps))
	for i, s := range steps {
		d := dLogits.Row(i)[:agent.ActorPairs]
		sum += cfg.objective(d, b.pass.Logits.Row(i), s)
		for a := range d {
			d[a] *= mean
		}
		sum += t.foreseen(dDynamics.Row(i), b.dynamics.Row(i), s, mean)
	}
	if learn {
		l.think(b, states)
		l.backward(b, dLogits, dDynamics)
	}
	return sum
}

// foreseen is the loss of the dynamics of one step, with its derivative.
func (t *trainer) foreseen(d, out []float32, s *actorStep, mean float32) (sum float64) {
	weight := float32(t.cfg.Dynamics / float64(agent.ActorDynamics))
	for i, y := range s.next {
		if math.IsNaN(y) {
			continue
		}
		var loss, by float32
		if i >= agent.ActorDeath {
			loss, by = nn.LogisticNLL(out[i], float32(y))
		} else {
			loss, by, _ = nn.StudentNLL(float32(y), out[i], 0, 4)
		}
		sum += float64(weight * loss)
		d[i] = weight * by * mean
	}
	return sum
}
