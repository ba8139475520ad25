// SPDX-License-Identifier: Apache-2.0

package offline

// This file: a dataset as the deep methods read it: standardised features in one
// matrix, steps by number.

import (
	"hash/fnv"
	"math"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/nn"
)

// scale standardises features by what the training steps hold.
type scale struct{ mean, sd []float32 }

// farthest is how many standard deviations from the mean a feature is read as
// at most: a wild value must not decide alone.
const farthest = 8

func newScale(data *Dataset) *scale {
	s := &scale{make([]float32, data.Inputs), make([]float32, data.Inputs)}
	sum, n := make([]float64, data.Inputs), float64(data.Steps())
	each := func(f func(j int, v float64)) {
		for i := range data.Episodes {
			for t := range data.Episodes[i].Steps {
				for j, v := range data.Episodes[i].Steps[t].Features {
					f(j, float64(v))
				}
			}
		}
	}
	each(func(j int, v float64) { sum[j] += v })
	for j := range sum {
		s.mean[j] = float32(sum[j] / n)
	}
	clear(sum)
	each(func(j int, v float64) { d := v - float64(s.mean[j]); sum[j] += d * d })
	for j := range sum {
		if s.sd[j] = float32(math.Sqrt(sum[j] / n)); s.sd[j] < 1e-6 {
			s.sd[j] = 1 // the same in every step: it says nothing
		}
	}
	return s
}

func (s *scale) apply(dst, features []float32) {
	for j, v := range features {
		dst[j] = max(-farthest, min(farthest, (v-s.mean[j])/s.sd[j]))
	}
}

// memory is the steps of a dataset in a row, episode after episode.
type memory struct {
	x        *nn.Mat
	steps    []*Step
	end      []bool // the last of its episode
	valued   []int  // steps from which a value may be learnt
	imitated []int  // steps of training patients that are imitated
	held     []int  // steps of validation patients
	// Rewards are divided by unit, the largest return there is. low and high are
	// the least and the most that any step was followed by, in that unit, with
	// the discount: no value lies outside.
	unit, low, high float64
}

func newMemory(data *Dataset, s *scale, cfg *Config) *memory {
	m := &memory{x: nn.NewMat(data.Steps(), data.Inputs), unit: unitOf(data)}
	held := validationPatients(data, cfg.Validation)
	m.low, m.high = math.Inf(1), math.Inf(-1)
	for i := range data.Episodes {
		e := &data.Episodes[i]
		first := len(m.steps)
		for t := range e.Steps {
			last := t == len(e.Steps)-1
			n := len(m.steps)
			s.apply(m.x.Row(n), e.Steps[t].Features)
			m.steps, m.end = append(m.steps, &e.Steps[t]), append(m.end, last)
			if !last || !e.Cut {
				m.valued = append(m.valued, n)
			}
			if held[e.Patient] {
				m.held = append(m.held, n)
			} else {
				m.imitated = append(m.imitated, n)
			}
		}
		if e.Cut {
			continue
		}
		back := 0.0
		for n := len(m.steps) - 1; n >= first; n-- {
			back = m.steps[n].Reward/m.unit + cfg.Discount*back
			m.low, m.high = min(m.low, back), max(m.high, back)
		}
	}
	if m.low > m.high { // every episode is cut: nothing bounds a value
		m.low, m.high = math.Inf(-1), math.Inf(1)
	}
	return m
}

// unitOf is the largest absolute return of an episode, or of a reward where
// that is larger, and 1 where there is none.
func unitOf(data *Dataset) (most float64) {
	for i := range data.Episodes {
		sum := 0.0
		for t := range data.Episodes[i].Steps {
			r := data.Episodes[i].Steps[t].Reward
			sum += r
			most = max(most, math.Abs(r))
		}
		most = max(most, math.Abs(sum))
	}
	if most == 0 {
		return 1
	}
	return most
}

// validationPatients are the share of patients whose ids hash lowest, at least
// one and never all where share is above 0 and there are two.
func validationPatients(data *Dataset, share float64) map[string]bool {
	if share == 0 {
		return nil
	}
	var ids []string
	for i := range data.Episodes {
		if len(data.Episodes[i].Steps) > 0 {
			ids = append(ids, data.Episodes[i].Patient)
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	hash := func(id string) uint64 {
		h := fnv.New64a()
		h.Write([]byte(id))
		v := h.Sum64() // ids that differ in one digit are next to each other: mix
		v ^= v >> 33
		v *= 0xff51afd7ed558ccd
		return v ^ v>>33
	}
	slices.SortStableFunc(ids, func(a, b string) int {
		switch x, y := hash(a), hash(b); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	n := min(max(1, int(math.Round(share*float64(len(ids))))), len(ids)-1)
	out := map[string]bool{}
	for _, id := range ids[:n] {
		out[id] = true
	}
	return out
}
