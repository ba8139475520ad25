// SPDX-License-Identifier: Apache-2.0

package planner

// This file: a dataset as transitions between places: the states that were seen,
// followed by the ways in which stays end.

import (
	"fmt"
	"math"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/learn/offline"
)

// maxEnds is how many different last rewards there may be.
const maxEnds = 16

// transition is one logged step.
type transition struct {
	episode, from, action, to int
}

// log is a dataset read for planning.
type log struct {
	actions     int
	places      map[int]int // state of the dataset → place
	numbers     []int       // place → state of the dataset
	told        Told
	centres     [][]float64 // standardised features by place
	distance    [][]float64 // mean squared difference of features
	scale       scale
	rewards     []float64 // of each end, ascending
	transitions []transition
	first       []int // place in which each episode begins
	patients    []string
}

func newLog(data *offline.Dataset) (*log, error) {
	if data.States == 0 {
		return nil, fmt.Errorf("%w: states have no numbers (hint: cluster them)", ErrFit)
	}
	l := &log{actions: data.Actions, places: map[int]int{}}
	var raw [][]float32
	features := map[int][]float32{}
	for i := range data.Episodes {
		e := &data.Episodes[i]
		for t := range e.Steps {
			s := &e.Steps[t]
			if _, known := features[s.State]; !known {
				features[s.State] = s.Features
				l.numbers = append(l.numbers, s.State)
			}
			if t+1 < len(e.Steps) {
				if s.Reward != 0 {
					return nil, fmt.Errorf("%w: episode %d, step %d: reward %v before the end of the stay", ErrFit, i, t, s.Reward)
				}
			} else if !e.Cut {
				l.rewards = append(l.rewards, s.Reward)
			}
		}
	}
	slices.Sort(l.rewards)
	if l.rewards = slices.Compact(l.rewards); len(l.rewards) == 0 || len(l.rewards) > maxEnds {
		return nil, fmt.Errorf("%w: stays end with %d different rewards, want 1 to %d", ErrFit, len(l.rewards), maxEnds)
	}
	slices.Sort(l.numbers)
	for at, s := range l.numbers {
		l.places[s] = at
		raw = append(raw, features[s])
	}
	l.scale = standard(raw)
	for _, x := range raw {
		l.centres = append(l.centres, l.scale.apply(x))
	}
	l.distance = distances(l.centres)
	for i := range data.Episodes {
		l.read(&data.Episodes[i])
	}
	if len(l.transitions) == 0 {
		return nil, fmt.Errorf("%w: no stay has a known next step", ErrFit)
	}
	return l, nil
}

// read takes the transitions of one episode.
func (l *log) read(e *offline.Episode) {
	if len(e.Steps) == 0 {
		return
	}
	at := len(l.patients)
	l.patients = append(l.patients, e.Patient)
	l.first = append(l.first, l.places[e.Steps[0].State])
	for t := range e.Steps {
		s := &e.Steps[t]
		one := transition{episode: at, from: l.places[s.State], action: s.Action}
		switch {
		case t+1 < len(e.Steps):
			one.to = l.places[e.Steps[t+1].State]
		case e.Cut:
			continue // what followed is not known
		default:
			end, _ := slices.BinarySearch(l.rewards, s.Reward)
			one.to = len(l.centres) + end
		}
		l.transitions = append(l.transitions, one)
	}
}

// scale standardises features.
type scale struct{ mean, inverse []float64 }

// standard is the scale of the states seen, each counting once. A constant
// feature tells nothing.
func standard(raw [][]float32) scale {
	s := scale{make([]float64, len(raw[0])), make([]float64, len(raw[0]))}
	for j := range s.mean {
		square := 0.0
		for _, x := range raw {
			s.mean[j] += float64(x[j]) / float64(len(raw))
		}
		for _, x := range raw {
			square += (float64(x[j]) - s.mean[j]) * (float64(x[j]) - s.mean[j]) / float64(len(raw))
		}
		if square > 1e-12 {
			s.inverse[j] = 1 / math.Sqrt(square)
		}
	}
	return s
}

func (s scale) apply(x []float32) []float64 {
	out := make([]float64, len(x))
	for j, v := range x {
		out[j] = (float64(v) - s.mean[j]) * s.inverse[j]
	}
	return out
}

// distances are the mean squared differences between all pairs.
func distances(x [][]float64) [][]float64 {
	out := make([][]float64, len(x))
	for i := range out {
		out[i] = make([]float64, len(x))
		for k := range i {
			out[i][k] = apart(x[i], x[k])
			out[k][i] = out[i][k]
		}
	}
	return out
}

func apart(x, y []float64) (sum float64) {
	for j, v := range x {
		sum += (v - y[j]) * (v - y[j])
	}
	return sum / float64(len(x))
}

// nearest is the place of the centre nearest to x, the first of equals.
func nearest(centres [][]float64, x []float64) (at int) {
	least := math.Inf(1)
	for i, c := range centres {
		if d := apart(c, x); d < least {
			at, least = i, d
		}
	}
	return at
}

// seen is a next place with how often it was seen.
type seen struct {
	to int
	n  float64
}

// counts are the transitions of some episodes.
type counts struct {
	episodes float64
	cells    [][]seen    // by place·actions + action, ascending by to
	n        []float64   // steps of each cell
	states   [][]float64 // place × next place or end
	visits   []float64   // steps of each place
}

// count counts the episodes that keep wants.
func (l *log) count(keep func(episode int) bool) *counts {
	s, width := len(l.centres), len(l.centres)+len(l.rewards)
	c := &counts{cells: make([][]seen, s*l.actions), n: make([]float64, s*l.actions), states: make([][]float64, s), visits: make([]float64, s)}
	for i := range c.states {
		c.states[i] = make([]float64, width)
	}
	for i := range l.patients {
		if keep(i) {
			c.episodes++
		}
	}
	for _, t := range l.transitions {
		if !keep(t.episode) {
			continue
		}
		cell := t.from*l.actions + t.action
		c.n[cell]++
		c.visits[t.from]++
		c.states[t.from][t.to]++
		at, found := slices.BinarySearchFunc(c.cells[cell], t.to, func(one seen, to int) int { return one.to - to })
		if !found {
			c.cells[cell] = slices.Insert(c.cells[cell], at, seen{to: t.to})
		}
		c.cells[cell][at].n++
	}
	return c
}

// times is how often a cell led to a place.
func (c *counts) times(cell, to int) float64 {
	at, found := slices.BinarySearchFunc(c.cells[cell], to, func(one seen, to int) int { return one.to - to })
	if !found {
		return 0
	}
	return c.cells[cell][at].n
}
