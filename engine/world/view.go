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
	gain   [][numF][2]float32        // gains of norepinephrine and fluid per member
	memory [][2][numF]float32        // memories per member
	z      [][Horizon * numF]float32 // scratch: forecast under a plan per member
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
	memory := make([][2][numF]float32, len(m.members))
	for k, theta := range m.members {
		w.passes = append(w.passes, m.net.newPass(n, false))
		raw := m.net.memory.In(theta)
		for f := range numF {
			memory[k][0][f], _ = memoryOf(raw[f])
			memory[k][1][f], _ = memoryOf(raw[numF+f])
		}
	}
	members := len(m.members)
	for range n {
		w.rows = append(w.rows, make([]float32, InputSize))
		w.views = append(w.views, &view{out: make([][]float32, members), usual: make([][Horizon * numF]float32, members),
			gain: make([][numF][2]float32, members), memory: memory, z: make([][Horizon * numF]float32, members)})
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
		ne, fluid, _, _ := gainOf(f, gain[f], gain[numF+f], m.file.Scale.SD[f])
		v.gain[k][f] = [2]float32{ne, fluid}
		last := x[f*perFeature+inLast]
		for h := range steps {
			at := h*numF + f
			v.usual[k][at] = last + out[outChange+at]
			ls, _ := logScale(out[outSpread+at])
			v.within[at] += math.Exp(2*float64(ls)) / n
		}
	}
}
