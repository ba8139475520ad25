// SPDX-License-Identifier: Apache-2.0

package icusepsis

import "testing"

// told holds Admissible, Stays and Average against the way in which the tables
// were made: an action that more than 20 stays took has transitions of its
// own, and every other one the even mean of those (arXiv 2406.05646).
func told(t *testing.T, m *Tables) {
	admissible, stays, average := m.Admissible(), m.Stays(), m.Average()
	for s := range Died {
		own := 0
		mean := make([]float64, States)
		for a, ok := range admissible[s] {
			if !ok {
				continue
			}
			own++
			for _, to := range m.next[s*Actions+a] {
				mean[to.to] += to.p
			}
		}
		if own == Actions {
			continue // all rows are one
		}
		for a, ok := range admissible[s] {
			n := stays[s][a]
			if ok != (n > 20) {
				t.Fatalf("state %d, action %d: %v stays, admissible %v", s, a, n, ok)
			}
			for _, to := range m.next[s*Actions+a] {
				if !ok {
					near(t, "what follows an action that is not admissible", to.p, mean[to.to]/float64(own), 1e-9)
				}
			}
		}
		sum := 0.0
		for _, p := range average[s] {
			sum += p
		}
		near(t, "the sum of an average", sum, 1, 1e-9)
	}
}
