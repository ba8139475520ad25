// SPDX-License-Identifier: Apache-2.0

// Package drift watches whether forecasts still hold: whether the 80 % interval
// of a forecast goes on to hold four pressures in five, and whether its chances
// of reaching the goal come true as often as they say. It is a sequential test
// with a stated rate of false alarms, on plain numbers.
//
// It trusts its caller to add each outcome once, in the order in which outcomes
// became known. It knows no patient.
package drift

import (
	"errors"
	"fmt"
	"math"
)

// Outcome is one forecast with what came.
type Outcome struct {
	Inside bool    // the value lay in the 80 % interval
	Chance float64 // that was forecast of reaching the goal, 0..1
	AtGoal bool    // it was reached
}

// MissLow to MissHigh is the share outside an 80 % interval, and Tolerance the error of
// a chance, that count as holding. Beyond it there is drift, however little; within it a
// false alarm is all that there can be.
const (
	MissLow   = 0.18 // share outside an 80 % interval: design.md 11 asks for 78 to 82 % inside
	MissHigh  = 0.22
	Tolerance = 0.05 // of a forecast chance
)

// Bounds of Detector's FalseAlarm.
const (
	MinFalseAlarm = 100
	MaxFalseAlarm = 1_000_000_000
	// DefaultFalseAlarm is once in 10,000 comparisons: with 20 beds and six
	// comparisons per bed and day, not more often than every 12 weeks, and that
	// only where the intervals are at the edge of what is allowed.
	DefaultFalseAlarm = 10_000
)

// ErrFalseAlarm: the rate of false alarms is out of bounds.
var ErrFalseAlarm = errors.New("false alarm rate")

// alternatives are the shares outside the interval that are bet on.
var (
	missesMore  = [...]float64{0.27, 0.33, 0.42, 0.55, 0.75}
	missesFewer = [...]float64{0.02, 0.06, 0.12}
	stakes      = [...]float64{0.25, 0.5, 1} // on chances that are too high or too low
)

const bets = len(missesMore) + len(missesFewer) + 2*len(stakes)

// Detector is the Shiryaev-Roberts statistic of a bet on each kind of drift,
// averaged: with e_n the factor by which a bet multiplies its stake at outcome n,
// R_n = (R_{n-1} + 1) e_n. While forecasts hold, e_n is 1 or less on average
// given all that went before, so that R_n - n never rises on average, and the
// average number of outcomes until R reaches A is at least A, whatever else the
// outcomes are and however they hang together. (Shin, Ramdas and Rinaldo,
// E-detectors, 2022.) The zero Detector is ready; it is not safe for concurrent
// use.
type Detector struct {
	r      [bets]float64
	n      int
	recent [Recent]Outcome
}

// Recent is how many of the newest outcomes a Summary is of.
const Recent = 200

// Check demands a rate of false alarms within the bounds: one in so many
// outcomes.
func Check(falseAlarm int) error {
	if falseAlarm < MinFalseAlarm || falseAlarm > MaxFalseAlarm {
		return fmt.Errorf("%w: one in %d is not between one in %d and one in %d", ErrFalseAlarm, falseAlarm, MinFalseAlarm, MaxFalseAlarm)
	}
	return nil
}

// Add adds an outcome. A chance that is not between 0 and 1 counts as the
// nearest one that is; one that is not a number as 0.
func (d *Detector) Add(o Outcome) {
	o.Chance = math.Min(math.Max(o.Chance, 0), 1)
	if math.IsNaN(o.Chance) {
		o.Chance = 0
	}
	d.recent[d.n%Recent] = o
	d.n++
	for i, e := range factors(o) {
		// A bet that is won for certain must not become infinite.
		d.r[i] = math.Min((d.r[i]+1)*e, 1e100)
	}
}

// factors are what each bet multiplies its stake by.
func factors(o Outcome) (e [bets]float64) {
	i := 0
	put := func(v float64) { e[i] = v; i++ }
	ratio := func(q, p float64) float64 {
		if o.Inside {
			return (1 - q) / (1 - p)
		}
		return q / p
	}
	for _, q := range missesMore {
		put(ratio(q, MissHigh))
	}
	for _, q := range missesFewer {
		put(ratio(q, MissLow))
	}
	came := 0.0
	if o.AtGoal {
		came = 1
	}
	for _, stake := range stakes {
		put(1 + stake*(came-math.Min(1, o.Chance+Tolerance)))
		put(1 + stake*(math.Max(0, o.Chance-Tolerance)-came))
	}
	return e
}

// Evidence is the statistic: the mean over the bets. At falseAlarm it is drift.
func (d *Detector) Evidence() float64 {
	sum := 0.0
	for _, r := range d.r {
		sum += r
	}
	return sum / float64(bets)
}

// Summary is what an operator reads.
type Summary struct {
	Outcomes int     `json:"outcomes"` // since the start or the last reset
	Evidence float64 `json:"evidence"` // drift is from the false alarm rate on
	Recent   int     `json:"recent"`   // outcomes that the rest is of
	Inside   float64 `json:"inside"`   // share within the 80 % interval
	Chance   float64 `json:"chance"`   // mean forecast chance of the goal
	AtGoal   float64 `json:"atGoal"`   // share that reached it
}

// Summary sums up. Without outcomes all shares are 0.
func (d *Detector) Summary() Summary {
	s := Summary{Outcomes: d.n, Evidence: d.Evidence(), Recent: min(d.n, Recent)}
	for _, o := range d.recent[:s.Recent] {
		s.Chance += o.Chance / float64(s.Recent)
		if o.Inside {
			s.Inside += 1 / float64(s.Recent)
		}
		if o.AtGoal {
			s.AtGoal += 1 / float64(s.Recent)
		}
	}
	return s
}
