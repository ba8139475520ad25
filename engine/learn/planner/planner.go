// SPDX-License-Identifier: Apache-2.0

// Package planner learns a treatment policy from logged decisions by planning on
// a model of what follows an action, with the uncertainty of that model in the
// plan: what the product does on its world model, for processes whose states are
// a finite set with features.
//
// The model is a distribution of next states for each action in each state. A
// log holds few of each, so every distribution is drawn towards what follows the
// state whatever is done. How far is not a setting: it is chosen by how well
// held-out patients are predicted (choose.go). Frequent choices keep more of
// their own record than rare ones, and an action that nobody took in a state is
// never chosen there. Plans follow the posterior mean, which for the expected
// return is what an average over an ensemble of models drawn from the posterior
// would follow.
//
// The package imports the dataset's types and the splits of ope, and nothing
// that knows where the data come from, so it cannot see a truth. It trusts the
// caller that features belong to their state; shapes and numbers are checked.
package planner

import (
	"context"
	"errors"
	"fmt"

	"github.com/sepsisagent/sepsisagent/engine/learn/offline"
)

// ErrFit means that no plan can be made of a dataset; the text says why.
var ErrFit = errors.New("no plan can be made")

// Config are the settings. None says how much to trust the data: see Choice.
type Config struct {
	// Seed deals patients to the folds.
	Seed uint64
	// Told is known of the process and not learnt; empty for a learner.
	Told Told
	// Progress, where it is not nil, is called with what is being done.
	Progress func(what string)
}

// Choice is what held-out patients chose.
type Choice struct {
	// Finite says that next states are predicted best as those of a finite
	// number of earlier stays, Stays, and otherwise by a Dirichlet distribution
	// with the weight of as many.
	Finite bool
	Stays  float64
	// Least is the number of those stays that must have chosen an action in a
	// state for it to differ from the state's average.
	Least float64
	// LogLikelihood is the mean over held-out steps, in nats.
	LogLikelihood float64
	smoothing     smoothing
}

// Plan is a learnt policy: one action for each state of the log.
type Plan struct {
	Choice Choice
	// Value is what the model expects of its own plan, for the stays of the
	// log. It is optimistic: the plan was chosen by the same model.
	Value   float64
	inputs  int
	actions int
	states  map[int]int // place of a state among those seen
	best    []int       // by place
	centres [][]float64 // standardised features by place
	scale   scale
}

// Fit makes a plan of the dataset. Every step must name its state, rewards come
// with the last step of a stay, and take at most 16 different values. The same
// arguments give the same plan. Errors wrap ErrFit, offline.ErrDataset or the
// context's.
func Fit(ctx context.Context, data *offline.Dataset, cfg Config) (*Plan, error) {
	if err := data.Validate(); err != nil {
		return nil, err
	}
	say := cfg.Progress
	if say == nil {
		say = func(string) {}
	}
	log, err := newLog(data)
	if err != nil {
		return nil, err
	}
	if log.told = cfg.Told; log.told.given() {
		if err := log.told.check(data, len(log.rewards)); err != nil {
			return nil, err
		}
	}
	say("choosing the model by held-out patients")
	choice, err := log.choose(ctx, cfg.Seed)
	if err != nil {
		return nil, err
	}
	say("planning")
	all := log.count(func(int) bool { return true })
	p := &Plan{Choice: choice, inputs: data.Inputs, actions: data.Actions, states: log.places, centres: log.centres, scale: log.scale}
	if p.best, p.Value, err = log.plan(ctx, all, choice); err != nil {
		return nil, err
	}
	return p, nil
}

// Probabilities is the plan; see offline.Policy. In a state that the log does
// not hold it is that of the nearest one, and where what follows was never seen,
// the commonest action of the log. Where its action is not allowed, the allowed
// ones share alike.
func (p *Plan) Probabilities(seen []offline.Observation) ([][]float64, error) {
	out := make([][]float64, len(seen))
	for i, o := range seen {
		if len(o.Features) != p.inputs || o.Allowed != nil && len(o.Allowed) != p.actions {
			return nil, fmt.Errorf("%w: observation %d: %d features, want %d", offline.ErrObservation, i, len(o.Features), p.inputs)
		}
		at, known := p.states[o.State]
		if !known {
			at = nearest(p.centres, p.scale.apply(o.Features))
		}
		out[i] = make([]float64, p.actions)
		if best := p.best[at]; o.Allowed == nil || o.Allowed[best] {
			out[i][best] = 1
			continue
		}
		n := 0.0
		for _, ok := range o.Allowed {
			if ok {
				n++
			}
		}
		if n == 0 {
			return nil, fmt.Errorf("%w: observation %d: no action is allowed", offline.ErrObservation, i)
		}
		for a, ok := range o.Allowed {
			if ok {
				out[i][a] = 1 / n
			}
		}
	}
	return out, nil
}

var _ offline.Policy = (*Plan)(nil)
