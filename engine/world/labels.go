// SPDX-License-Identifier: Apache-2.0

package world

// This file: the labels and measures of the world model that a learned policy
// is trained and scored with too, so that there is one of each.

import "github.com/sepsisagent/sepsisagent/engine/state"

// Last is the last known value of a feature in an encoded timeline, in standard
// deviations on the modelling scale. known is false where there is none;
// measured says that it was measured in the newest step.
func Last(x []float32, feature int) (z float32, known, measured bool) {
	in := x[feature*perFeature:]
	return in[inLast], in[inKnown] == 1, in[inMeasured] == 1
}

// NeedWithin24h says whether the patient of a stay, off vasopressors at decision
// time k, is given one within 24 h. known is false where one runs already, where
// the treatment is not known, and where comfort care competes.
func NeedWithin24h(stay []*state.Timeline, k int) (need, known bool) {
	later := make([]*state.Step, 0, Horizon)
	for j := k + 1; j < len(stay) && j <= k+Horizon; j++ {
		later = append(later, settled(stay, j))
	}
	v := needWithin24h(newest(stay[k]).Given, later)
	if comfortOf(stay[k]) == 1 || v == 0 && comfortOf(stay[min(k+Horizon, len(stay)-1)]) == 1 {
		v = unknown
	}
	return v == 1, v != unknown
}

// Chances are predicted chances of an event, with whether it came.
type Chances struct{ calls calls }

// Add takes one prediction of a group, which is what is resampled.
func (c *Chances) Add(chance float64, came bool, group int) {
	c.calls = append(c.calls, call{chance, came, group})
}

// Seal sorts; call it once after the last Add.
func (c *Chances) Seal() { c.calls.sort() }

// Len is how many predictions there are, and how many of the events came.
func (c *Chances) Len() (n, came int) { return len(c.calls), c.calls.events() }

// AUROC is the area under the receiver operating characteristic, each prediction
// weighed by its group's weight; NaN without both outcomes.
func (c *Chances) AUROC(weight func(group int) float64) float64 {
	return float64(c.calls.auroc(func(one call) float64 { return weight(one.stay) }))
}

// AUPRC is the average precision, weighed likewise.
func (c *Chances) AUPRC(weight func(group int) float64) float64 {
	return float64(c.calls.auprc(func(one call) float64 { return weight(one.stay) }))
}
