// SPDX-License-Identifier: Apache-2.0

package offline

// This file: a deep method's policy: the networks that it decides by, and how.

import (
	"context"
	"fmt"
	"math"

	"github.com/sepsisagent/sepsisagent/engine/nn"
)

// rowsAtOnce is how many observations go through a network together.
const rowsAtOnce = 256

// deep says whether a method learns by the training loop.
func (m Method) deep() bool {
	switch m {
	case Clinician, BC, D3QN, WD3QNE, CQL, BCQ, IQL:
		return true
	}
	return false
}

// deepPolicy is the networks that a policy decides by.
type deepPolicy struct {
	method  Method
	cfg     *Config
	scale   *scale
	layout  *nn.Layout
	nets    []*network
	theta   []float32
	inputs  int
	actions int
}

// shape lays out the networks that a method decides by.
func shape(method Method, cfg *Config, inputs, actions int) (*nn.Layout, []*network) {
	l := &nn.Layout{}
	switch method {
	case D3QN, WD3QNE:
		return l, []*network{newDueling(l, "q", inputs, cfg.Hidden, cfg.Streams, actions)}
	case CQL:
		return l, []*network{newNetwork(l, "q", inputs, cfg.Hidden, actions)}
	case BCQ:
		return l, []*network{newNetwork(l, "q", inputs, cfg.Hidden, actions), newNetwork(l, "imitator", inputs, cfg.Hidden, actions)}
	}
	return l, []*network{newNetwork(l, "policy", inputs, cfg.Hidden, actions)}
}

// fitDeep runs the training loop.
func fitDeep(ctx context.Context, data *Dataset, method Method, cfg *Config, report func(Progress)) (*deepPolicy, error) {
	p := &deepPolicy{method: method, cfg: cfg, scale: newScale(data), inputs: data.Inputs, actions: data.Actions}
	mem := newMemory(data, p.scale, cfg)
	p.layout, p.nets = shape(method, cfg, data.Inputs, data.Actions)
	decides := p.layout.Size()
	t := training{method: method, cfg: cfg, layout: p.layout, nets: p.nets, rows: mem.valued}
	if method == Clinician || method == BC {
		if t.rows = mem.imitated; len(mem.held) == 0 {
			return nil, fmt.Errorf("%w: %s: one patient is too few to hold one out", ErrFit, method)
		}
	}
	if len(t.rows) == 0 {
		return nil, fmt.Errorf("%w: %s: no step whose outcome is known", ErrFit, method)
	}
	switch method {
	case Clinician, BC:
		o := newImitation(mem, p.nets[0], cfg)
		t.objective, t.validation = o, o.loss
	case IQL:
		all := *p.layout // the policy's own networks come first
		l := &all
		q1 := newNetwork(l, "q1", data.Inputs, cfg.Hidden, data.Actions)
		q2 := newNetwork(l, "q2", data.Inputs, cfg.Hidden, data.Actions)
		v := newNetwork(l, "v", data.Inputs, cfg.Hidden, 1)
		t.layout, t.nets = l, append(t.nets[:1:1], q1, q2, v)
		t.objective = newIQL(mem, cfg, p.nets[0], q1, q2, v)
	default:
		t.objective = newQLearning(method, mem, cfg, p.nets)
	}
	theta, err := t.run(ctx, report)
	if err != nil {
		return nil, err
	}
	p.theta = theta[:decides:decides]
	return p, nil
}

// Probabilities of the policy; see Policy.
func (p *deepPolicy) Probabilities(seen []Observation) ([][]float64, error) {
	for i := range seen {
		if err := seen[i].check(p.inputs, p.actions, 0); err != nil {
			return nil, fmt.Errorf("%w: observation %d: %w", ErrObservation, i, err)
		}
	}
	out := make([][]float64, len(seen))
	passes := make([]*pass, len(p.nets))
	for k, n := range p.nets {
		if passes[k] = n.room(min(rowsAtOnce, max(1, len(seen))), p.inputs); k > 0 {
			passes[k].x = passes[0].x
		}
	}
	for from := 0; from < len(seen); from += rowsAtOnce {
		part := seen[from:min(from+rowsAtOnce, len(seen))]
		for i := range part {
			p.scale.apply(passes[0].x.Row(i), part[i].Features)
		}
		for k, n := range p.nets {
			n.forward(p.theta, passes[k])
		}
		for i := range part {
			for _, pass := range passes {
				if !allFinite(pass.out.Row(i)) {
					return nil, fmt.Errorf("%w: observation %d: the network's answer is not finite", ErrObservation, from+i)
				}
			}
			out[from+i] = p.decide(passes, i, part[i].Allowed)
		}
	}
	return out, nil
}

func allFinite(v []float32) bool {
	for _, x := range v {
		if y := float64(x); math.IsNaN(y) || math.IsInf(y, 0) {
			return false
		}
	}
	return true
}

// decide turns row i of the networks' outputs into probabilities.
func (p *deepPolicy) decide(passes []*pass, i int, allowed []bool) []float64 {
	out := make([]float64, p.actions)
	values := passes[0].out.Row(i)
	switch p.method {
	case Clinician:
		softmax(out, values, allowed)
		return out
	case BCQ:
		allowed = supported(make([]bool, p.actions), passes[1].out.Row(i), allowed, p.cfg.Support)
	}
	out[best(values, allowed)] = 1
	return out
}
