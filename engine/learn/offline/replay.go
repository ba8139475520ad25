// SPDX-License-Identifier: Apache-2.0

package offline

// This file: which steps an update is made of: a fresh shuffle per pass, or by
// priority (Schaul 2016, arXiv 1511.05952, proportional variant).

import (
	"math"
	"math/rand/v2"
)

// replay draws batches of steps.
type replay struct {
	rng   *rand.Rand
	rows  []int
	at    int
	order []int // places in rows

	alpha, beta float64   // exponents of priority; alpha 0: alike
	tree        []float64 // sums of priorities: node i has children 2i and 2i+1
	leaves      int
}

// priorityFloor keeps every step in the draw.
const priorityFloor = 0.01

func newReplay(rows []int, cfg *Config, rng *rand.Rand) *replay {
	r := &replay{rng: rng, rows: rows, at: len(rows), order: make([]int, len(rows)), alpha: cfg.Priority, beta: cfg.PriorityCorrection}
	for i := range r.order {
		r.order[i] = i
	}
	if r.alpha == 0 {
		return r
	}
	for r.leaves = 1; r.leaves < len(rows); r.leaves *= 2 {
	}
	r.tree = make([]float64, 2*r.leaves)
	for i := range rows {
		r.tree[r.leaves+i] = 1 // all alike until they are seen
	}
	for i := r.leaves - 1; i > 0; i-- {
		r.tree[i] = r.tree[2*i] + r.tree[2*i+1]
	}
	return r
}

// draw fills places with places in rows, and weights with what each counts.
// done is the share of training that is over.
func (r *replay) draw(places []int, weights []float32, done float64) {
	if r.alpha == 0 {
		for i := range places {
			if r.at == len(r.order) {
				r.rng.Shuffle(len(r.order), func(a, b int) { r.order[a], r.order[b] = r.order[b], r.order[a] })
				r.at = 0
			}
			places[i], weights[i] = r.order[r.at], 1
			r.at++
		}
		return
	}
	beta := r.beta + (1-r.beta)*done
	share := r.tree[1] / float64(len(places))
	most := 0.0
	for i := range places {
		p := r.find((float64(i) + r.rng.Float64()) * share)
		places[i] = p
		w := math.Pow(r.tree[r.leaves+p]/r.tree[1]*float64(len(r.rows)), -beta)
		weights[i], most = float32(w), max(most, w)
	}
	for i := range weights {
		weights[i] /= float32(most)
	}
}

// find is the step at which the running sum of priorities passes the mark.
func (r *replay) find(mark float64) int {
	node := 1
	for node < r.leaves {
		node *= 2
		if left := r.tree[node]; mark >= left && r.tree[node+1] > 0 {
			mark -= left
			node++
		}
	}
	return node - r.leaves
}

// learnt sets the priorities of drawn steps to their errors.
func (r *replay) learnt(places []int, errors []float32) {
	if r.alpha == 0 {
		return
	}
	for i, p := range places {
		node := r.leaves + p
		r.tree[node] = math.Pow(math.Abs(float64(errors[i]))+priorityFloor, r.alpha)
		for node /= 2; node > 0; node /= 2 {
			r.tree[node] = r.tree[2*node] + r.tree[2*node+1]
		}
	}
}
