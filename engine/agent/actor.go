// SPDX-License-Identifier: Apache-2.0

package agent

// This file: the Actor, a treatment policy learned from recorded stays. It
// proposes and nothing more: what it proposes is a bounded bedside move that is
// gated, simulated and weighed like every other, so an agent without one is
// complete.
//
// Whatever its weights are, a higher arterial pressure can only turn it towards
// less vasopressor: the network sees no pressure at all, and the newest MAP
// enters beside it, through rising functions whose coefficients on the
// vasopressor's level are at least 0.

import (
	"errors"
	"fmt"
	"math"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// ErrActor is wrapped by every error about an actor: its files are damaged, it
// belongs to another world model, or it gave what is no probability.
var ErrActor = errors.New("actor not usable")

// Encoder is what an actor needs of the world model it was trained with.
type Encoder interface {
	Info() world.Info
	Encode(tl *state.Timeline) ([]float32, error)
}

// Actor gives the probability of each pair of levels in a state. It is immutable
// and safe for concurrent use.
type Actor struct {
	net     *ActorNetwork
	members [][]float32
	encoder Encoder
	record  ActorRecord
	hash    string
}

// Record is how the actor was trained and what came of it.
func (a *Actor) Record() ActorRecord { return a.record }

// Hash is the SHA-256 of the weights file, which names the actor's description
// and the world model it belongs to.
func (a *Actor) Hash() string { return a.hash }

// Probabilities returns the chance of each pair of levels [vasopressor][fluid];
// they sum to 1. ok is false where no MAP is charted: the actor then says
// nothing. The error wraps ErrActor.
func (a *Actor) Probabilities(tl *state.Timeline) (p [5][5]float64, ok bool, err error) {
	above, ok := AboveGoalMmHg(tl)
	if !ok {
		return p, false, nil
	}
	x, err := a.encoder.Encode(tl)
	if err != nil {
		return p, false, fmt.Errorf("%w: %w", ErrActor, err)
	}
	sum := 0.0
	for i, q := range a.net.Mean(a.members, a.net.NewPass(1), x, above) {
		p[i/5][i%5] = q
		sum += q
	}
	if !(math.Abs(sum-1) < 1e-3) {
		return p, false, fmt.Errorf("%w: probabilities sum to %g", ErrActor, sum)
	}
	return p, true, nil
}

// AboveGoalMmHg is how far the newest MAP lies above the goal; false where none
// is charted.
func AboveGoalMmHg(tl *state.Timeline) (float64, bool) {
	m := tl.Present.MAP
	if m.Newest == nil || !finite(m.Newest.Value) || !finite(m.GoalMmHg) {
		return 0, false
	}
	return m.Newest.Value - m.GoalMmHg, true
}

// With returns the agent with proposals of the actor beside its own. nil leaves
// guideline moves alone. The error wraps ErrActor where the actor was trained
// with another world model or for other levels.
func (n *Native) With(a *Actor) (*Native, error) {
	out := *n
	out.actor = a
	switch {
	case a == nil:
	case a.record.World != n.model.Info().Hash:
		return nil, foreign(a.record.World, n.model.Info().Hash)
	case !a.record.sameLevels(n.cfg.State):
		return nil, fmt.Errorf("%w: its levels are cut at %v ug/kg/min and %v mL, the configuration's at %v and %v (hint: train with that configuration, `train actor --config F`)",
			ErrActor, a.record.VasopressorCuts, a.record.FluidCuts, n.cfg.State.VasopressorCuts, n.cfg.State.FluidCuts)
	}
	return &out, nil
}

// Actor is the learned policy the agent asks; nil without one.
func (n *Native) Actor() *Actor { return n.actor }

func foreign(trained, given string) error {
	return fmt.Errorf("%w: it was trained with world model %.12s, not %.12s (hint: train one for this model with `train actor --cohort F --world DIR --out DIR`, or take actor.safetensors, actor.json and ACTOR_CARD.md out of the folder)", ErrActor, trained, given)
}

// leaning is what an actor makes of a state, against the levels that go on as
// they are: chances of less and more vasopressor, and of more fluid.
type leaning struct {
	p          [5][5]float64
	less, more float64
	fluid      float64
	vasoTo     int // median level of vasopressor, which never rises with MAP
}

// lean asks the actor; nil where there is none or it has nothing to say.
func (n *Native) lean(tl *state.Timeline) (*leaning, error) {
	if n.actor == nil {
		return nil, nil
	}
	p, ok, err := n.actor.Probabilities(tl)
	if err != nil || !ok {
		return nil, err
	}
	return leaningOf(p, n.cfg.State.LevelsOf(tl.Present.NEUgKgMin, maintenanceModelMl(tl))), nil
}

func leaningOf(p [5][5]float64, now state.Levels) *leaning {
	l := &leaning{p: p}
	var vaso, fluid [5]float64
	for v := range p {
		for f, q := range p[v] {
			vaso[v] += q
			fluid[f] += q
		}
	}
	for i := range 5 {
		switch {
		case i < now.Vasopressor:
			l.less += vaso[i]
		case i > now.Vasopressor:
			l.more += vaso[i]
		}
		if i > now.Fluid {
			l.fluid += fluid[i]
		}
	}
	for sum := vaso[0]; sum < 0.5 && l.vasoTo < 4; sum += vaso[l.vasoTo] {
		l.vasoTo++
	}
	return l
}
