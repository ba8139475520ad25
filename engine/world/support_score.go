// SPDX-License-Identifier: Apache-2.0

package world

// This file: whether clinicians do what the behaviour model says as often as
// it says so. Support is read off it.

// SupportLevel holds one level of one treatment against what was given, where
// both levels of the following 4 h are charted.
type SupportLevel struct {
	Treatment string `json:"treatment"` // "vasopressor" or "fluid"
	Level     int    `json:"level"`     // 0 to 4
	Steps     int    `json:"steps"`     // decision times
	Said      Number `json:"said"`      // mean probability
	Came      Number `json:"came"`      // share of decision times at which it was given
}

// supportTally adds up what was said and what came, by treatment and level.
type supportTally [2][5]struct{ said, came mean }

// add takes the probabilities of the pairs, vasopressor by fluid, and the pair
// that was given.
func (t *supportTally) add(pairs *[numPairs]float64, given int) {
	var said [2][5]float64
	for i, p := range pairs {
		said[0][i/5] += p
		said[1][i%5] += p
	}
	for level := range 5 {
		for treatment, got := range [2]int{given / 5, given % 5} {
			at := &t[treatment][level]
			at.said.add(said[treatment][level])
			at.came.add(indicator(got == level))
		}
	}
}

func (t *supportTally) levels() (out []SupportLevel) {
	for treatment, name := range [2]string{"vasopressor", "fluid"} {
		for level := range t[treatment] {
			if at := &t[treatment][level]; at.came.n > 0 {
				out = append(out, SupportLevel{name, level, int(at.came.n), at.said.value(), at.came.value()})
			}
		}
	}
	return out
}
