// SPDX-License-Identifier: Apache-2.0

package world

// This file: numbers over whole patients, and how much they would move with
// other patients like them.

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Resamples is how often patients are drawn again for an interval.
const Resamples = 500

// draw says how often each stay counts. Stays of one patient count alike.
type draw struct {
	stays []int // that may count, as places in the list of stays
	times []int // by place; 0 for every other stay
}

// drawOf counts the wanted stays once each.
func (t *scorer) drawOf(want func(*stayTally) bool) draw {
	d := draw{times: make([]int, len(t.stays))}
	for i := range t.stays {
		if want(&t.stays[i]) {
			d.stays, d.times[i] = append(d.stays, i), 1
		}
	}
	return d
}

func anyStay(*stayTally) bool { return true }

// of weighs a prediction by its stay.
func (d *draw) of(c call) float64 { return float64(d.times[c.stay]) }

// measure is a number over a draw of stays.
type measure func(*draw) Number

// averaged is the mean of what a tally of each stay adds up.
func (t *scorer) averaged(of func(*stayTally) *mean) measure {
	return func(d *draw) Number {
		var sum, n float64
		for _, i := range d.stays {
			if w := float64(d.times[i]); w > 0 {
				m := of(&t.stays[i])
				sum, n = sum+w*m.sum, n+w*m.n
			}
		}
		return Number(sum / n)
	}
}

func nextBy(by int) func(*stayTally) *mean { return func(s *stayTally) *mean { return &s.next[by] } }
func next80(s *stayTally) *mean            { return &s.in80 }
func next95(s *stayTally) *mean            { return &s.in95 }

// improved is by which share the model is under the best baseline.
func (t *scorer) improved(d *draw) Number {
	best := math.Inf(1)
	for by := range numForecasts {
		if v := float64(t.averaged(nextBy(by))(d)); isBaseline(by) && v < best {
			best = v
		}
	}
	return Number(1 - float64(t.averaged(nextBy(byModel))(d))/best)
}

// ranked turns a measure of sorted predictions into one of a draw.
func ranked(c calls, f func(calls, func(call) float64) Number) measure {
	return func(d *draw) Number { return f(c, d.of) }
}

// bootstrap gives the 95 % interval of each measure over resamples of the
// patients of d. The same patients in the same order give the same intervals.
// An interval is not known where there are fewer than two patients, or where a
// measure is undefined in more than a tenth of the resamples.
func (t *scorer) bootstrap(d draw, measures ...measure) []Interval {
	var patients []int
	for _, i := range d.stays {
		patients = append(patients, t.stays[i].patient)
	}
	slices.Sort(patients)
	patients = slices.Compact(patients)
	drawn := make([][]float64, len(measures))
	if len(patients) >= 2 {
		rng := rand.New(rand.NewPCG(1, uint64(len(patients))))
		times, again := make([]int, len(t.patients)), draw{stays: d.stays, times: make([]int, len(t.stays))}
		for range Resamples {
			clear(times)
			for range patients {
				times[patients[rng.IntN(len(patients))]]++
			}
			for _, i := range d.stays {
				again.times[i] = d.times[i] * times[t.stays[i].patient]
			}
			for i, of := range measures {
				if v := of(&again); v.known() {
					drawn[i] = append(drawn[i], float64(v))
				}
			}
		}
	}
	out := make([]Interval, len(measures))
	for i, v := range drawn {
		out[i] = Interval{unmeasured, unmeasured}
		if len(v) >= Resamples*9/10 {
			slices.Sort(v)
			out[i] = Interval{Number(v[len(v)*25/1000]), Number(v[len(v)*975/1000])}
		}
	}
	return out
}

// intervals are those of the headline numbers.
func (t *scorer) intervals() map[string]Interval {
	death := t.death[headline]
	list := []struct {
		name string
		of   measure
	}{
		{"state_mae", t.averaged(nextBy(byModel))}, {"persistence_mae", t.averaged(nextBy(byPersistence))},
		{"ridge_mae", t.averaged(nextBy(byRidge))}, {"reference_mae", t.averaged(nextBy(byReference))}, {"improvement", t.improved},
		{"interval80_coverage", t.averaged(next80)}, {"interval95_coverage", t.averaged(next95)},
		{"vent_auroc", ranked(t.vent, calls.auroc)}, {"vaso24h_auroc", ranked(t.vaso, calls.auroc)},
		{"mortality_auprc", ranked(death, calls.auprc)}, {"mortality_ece", ranked(death, calls.ece)},
	}
	measures := make([]measure, len(list))
	for i := range list {
		measures[i] = list[i].of
	}
	out := map[string]Interval{}
	for i, r := range t.bootstrap(t.drawOf(anyStay), measures...) {
		out[list[i].name] = r
	}
	return out
}

// minEvents is how many events, and how many others, a ranking must have for
// its interval to mean anything.
const minEvents = 5

func enough(events, of int) bool { return events >= minEvents && of-events >= minEvents }

// landmark sums up predictions of death at one hour.
func (t *scorer) landmark(hour int, c calls) Landmark {
	d := draw{times: make([]int, len(t.stays))}
	for _, one := range c {
		d.stays, d.times[one.stay] = append(d.stays, one.stay), 1
	}
	l := Landmark{Hour: hour, Stays: len(c), Deaths: c.events(), AUROC: c.auroc(once), AUPRC: c.auprc(once), ECE: c.ece(once), Range: Interval{unmeasured, unmeasured}}
	if enough(l.Deaths, l.Stays) {
		l.Range = t.bootstrap(d, ranked(c, calls.auroc))[0]
	}
	return l
}
