// SPDX-License-Identifier: Apache-2.0

package offline

// This file: from a network's outputs to actions, in learning and in deciding
// alike.

import "math"

// best is the allowed action of the highest value, the first of equals.
func best(values []float32, allowed []bool) int {
	at := -1
	for a, v := range values {
		if (allowed == nil || allowed[a]) && (at < 0 || v > values[at]) {
			at = a
		}
	}
	return at
}

// supported marks the allowed actions whose probability is at least share of
// the likeliest allowed one's.
func supported(dst []bool, logits []float32, allowed []bool, share float64) []bool {
	least := math.Inf(-1)
	if share > 0 {
		least = float64(logits[best(logits, allowed)]) + math.Log(share)
	}
	for a, z := range logits {
		dst[a] = (allowed == nil || allowed[a]) && float64(z) >= least
	}
	return dst
}

// softmax writes the softmax of the logits over the allowed actions to p, and
// returns the logarithm of the sum that it divides by.
func softmax(p []float64, logits []float32, allowed []bool) float64 {
	top := float64(logits[best(logits, allowed)])
	sum := 0.0
	for a, z := range logits {
		if p[a] = 0; allowed == nil || allowed[a] {
			p[a] = math.Exp(float64(z) - top)
			sum += p[a]
		}
	}
	for a := range p {
		p[a] /= sum
	}
	return top + math.Log(sum)
}
