// SPDX-License-Identifier: Apache-2.0

package learn

// This file: all decision times together, and shares of them with intervals
// over resampled patients.

import (
	"math"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/ope"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// bootstrapSeed fixes the draws: two shares of one evaluation are resampled
// alike and can be laid side by side.
const bootstrapSeed = 1

// Share is a count among those it is counted of, with a 95 % interval over
// resampled patients; null where nothing was counted.
type Share struct {
	Count int          `json:"count"`
	Of    int          `json:"of"`
	Share world.Number `json:"share"`
	Low   world.Number `json:"low"`
	High  world.Number `json:"high"`
}

// Estimate is a number with a 95 % interval over resampled patients.
type Estimate struct {
	Value world.Number `json:"value"`
	Low   world.Number `json:"low"`
	High  world.Number `json:"high"`
}

// sample holds the points of every stay, in the order of the cohort.
type sample struct {
	resamples int
	windowMin float64 // of repeat suppression, as configured
	points    []Point
	swept     []sweptStay
	cases     []Case
	keep      int      // how many cases are to be chosen
	stays     [][2]int // from and to in points

	patients []string
	of       []int // point → place in patients
	draws    [][]float64
}

func (s *sample) add(stay *stayResult) {
	from := len(s.points)
	s.points = append(s.points, stay.points...)
	s.swept = append(s.swept, stay.swept)
	// Twice as many as may be dealt from one stratum, so that a patient who was
	// dealt already can be passed over; all of them would be most of the cohort.
	s.cases = fewest(append(s.cases, stay.cases...), 2*s.keep)
	s.stays = append(s.stays, [2]int{from, len(s.points)})
}

// seal finds the patients and draws the resamples.
func (s *sample) seal() {
	ids := make([]string, len(s.points))
	for i := range s.points {
		ids[i] = s.points[i].Patient
	}
	s.patients = slices.Compact(slices.Sorted(slices.Values(ids)))
	s.of = make([]int, len(ids))
	for i, id := range ids {
		s.of[i], _ = slices.BinarySearch(s.patients, id)
	}
	if len(s.patients) < 2 {
		return // one patient is always drawn: that is no interval
	}
	for r := range s.resamples {
		s.draws = append(s.draws, ope.Draw(bootstrapSeed, r, len(s.patients)))
	}
}

// share counts points. hit is read only where counted is true.
func (s *sample) share(of func(p *Point) (hit, counted bool)) Share {
	out := Share{}
	num, den := make([]float64, len(s.patients)), make([]float64, len(s.patients))
	for i := range s.points {
		hit, counted := of(&s.points[i])
		if !counted {
			continue
		}
		out.Of++
		den[s.of[i]]++
		if hit {
			out.Count++
			num[s.of[i]]++
		}
	}
	e := s.ratio(num, den)
	out.Share, out.Low, out.High = e.Value, e.Low, e.High
	return out
}

// ratio is Σnum/Σden over patients.
func (s *sample) ratio(num, den []float64) Estimate {
	out := Estimate{Value: world.Number(quotient(num, den, nil)), Low: world.Number(math.NaN()), High: world.Number(math.NaN())}
	values := make([]float64, 0, len(s.draws))
	for _, times := range s.draws {
		if v := quotient(num, den, times); !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	// A rare denominator is missing from many draws: what is left is no longer
	// a sample of all.
	if len(values) == 0 || float64(len(values)) < 0.95*float64(len(s.draws)) {
		return out
	}
	slices.Sort(values)
	out.Low, out.High = world.Number(ope.Quantile(values, 0.025)), world.Number(ope.Quantile(values, 0.975))
	return out
}

// quotient is the ratio of sums, each patient counted so many times; nil times
// is once. NaN where nothing is counted.
func quotient(num, den, times []float64) float64 {
	var n, d float64
	for i := range num {
		m := 1.0
		if times != nil {
			m = times[i]
		}
		n, d = n+m*num[i], d+m*den[i]
	}
	if d == 0 {
		return math.NaN()
	}
	return n / d
}
