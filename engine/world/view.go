// SPDX-License-Identifier: Apache-2.0

package world

// This file: what the ensemble makes of states before any plan is looked at.
// The networks run once per state, however many plans are asked about; the
// memory they run in is lent out again and again.

import "math"

// view is what the ensemble makes of one state, before any plan.
type view struct {
	out    [][]float32               // head outputs per member
	usual  [][Horizon * numF]float32 // forecast under usual care per member, standardised
	within [Horizon * numF]float64   // mean variance of the members' own distributions
	gain   [][numF][numActs]float32  // per member
	memory [][numActs][numF]float32  // per member
	short  [][Horizon]float32        // shortfall under usual care per member
	scale  *Scale
	z      [][Horizon * numF]float32 // scratch: forecast under a plan per member
	least  *[Horizon * numF]float64  // standard deviation at least
	wider  float64                   // stretch of the intervals in this state
}

// workspace is the memory of a look at up to a number of states. It serves one
// goroutine at a time, and what it holds is valid until its next use.
type workspace struct {
	rows    [][]float32 // encoded states, for callers who have none of their own
	context []float32
	order   []rankedCentre
	passes  []*pass // per member
	views   []*view
}

// newWorkspace makes room for n states at a time.
func (m *Model) newWorkspace(n int) *workspace {
	w := &workspace{context: make([]float32, contextSize)}
	memory := make([][numActs][numF]float32, len(m.members))
	for k, theta := range m.members {
		w.passes = append(w.passes, m.net.newPass(n, false))
		raw := m.net.memory.In(theta)
		for act := range numActs {
			for f := range numF {
				memory[k][act][f], _ = memoryOf(raw[act*numF+f])
			}
		}
	}
	members := len(m.members)
	for range n {
		w.rows = append(w.rows, make([]float32, InputSize))
		w.views = append(w.views, &view{out: make([][]float32, members), usual: make([][Horizon * numF]float32, members),
			gain: make([][numF][numActs]float32, members), memory: memory, short: make([][Horizon]float32, members),
			z: make([][Horizon * numF]float32, members), scale: &m.file.Scale, least: &m.file.LeastSpread})
	}
	return w
}

// borrow lends a workspace for one state.
func (m *Model) borrow() *workspace {
	if w, ok := m.spare.Get().(*workspace); ok {
		return w
	}
	return m.newWorkspace(1)
}

func (m *Model) giveBack(w *workspace) { m.spare.Put(w) }

// look runs every member on each state and returns a view of each, good for
// plans of so many steps.
func (m *Model) look(w *workspace, states [][]float32, steps int) []*view {
	views := w.views[:len(states)]
	for i, v := range views {
		clear(v.within[:])
		v.wider = m.file.Stretch[m.file.drives(states[i])]
	}
	for k, theta := range m.members {
		p := w.passes[k]
		if len(states) < p.x.Rows {
			p = p.rows(len(states))
		}
		for i, x := range states {
			copy(p.x.Row(i), x)
		}
		m.net.forward(theta, p)
		for i, v := range views {
			v.add(k, m, states[i], p.out.Row(i), p.gain.Row(i), steps)
		}
	}
	return views
}

// add takes member k's outputs for one state.
func (v *view) add(k int, m *Model, x, out, gain []float32, steps int) {
	v.out[k] = out
	n := float64(len(v.out))
	for f := range numF {
		g := m.net.arch.gainsOf(f, gain, m.file.Scale.SD[f])
		for act := range numActs {
			v.gain[k][f][act] = float32(m.file.Earned[act][f]) * g.value[act]
		}
		last, trust := x[f*perFeature+inLast], float32(1)
		if x[f*perFeature+inKnown] == 1 {
			trust = float32(m.file.Trust[f])
		}
		for h := range steps {
			at := h*numF + f
			v.usual[k][at] = last + trust*out[outChange+at]
			ls, _ := logScale(out[outSpread+at])
			v.within[at] += math.Exp(2*float64(ls)) / n
		}
	}
	for h := range steps {
		v.short[k][h] = v.scale.shortfall(v.usual[k][h*numF+mbp])
	}
}

// act finds what acts on member k's forecast under one course of doses.
func (v *view) act(k int, ne, fluid *[Horizon]float32, steps int) deviation {
	dev := deviationOf(v.out[k], ne, fluid)
	gain, memory := &v.gain[k][mbp], &v.memory[k]
	var dNE, dFl float32
	for h := range steps {
		dNE, dFl = memory[actNE][mbp]*dNE+dev[actNE][h], memory[actFluid][mbp]*dFl+dev[actFluid][h]
		plan := v.usual[k][h*numF+mbp] + gain[actNE]*dNE + gain[actFluid]*dFl
		dev[actShortfall][h] = v.scale.shortfall(plan) - v.short[k][h]
	}
	return dev
}
