// SPDX-License-Identifier: Apache-2.0

package offline

// This file: the policies that read nothing of the state. Any learner must beat
// them.

import "fmt"

// fixedPolicy takes each action as often everywhere, or, where it persists, the
// action before again.
type fixedPolicy struct {
	p        []float64
	persists bool
}

// fitPlain makes one of the plain policies.
func fitPlain(data *Dataset, method Method) *fixedPolicy {
	f := &fixedPolicy{p: make([]float64, data.Actions)}
	switch method {
	case Random:
		for a := range f.p {
			f.p[a] = 1 / float64(data.Actions)
		}
	case MostFrequent:
		f.p[commonest(data, false)] = 1
	case Persistence:
		// A stay begins as stays most often begin: there is nothing to repeat.
		f.p[commonest(data, true)], f.persists = 1, true
	default: // no treatment
		f.p[0] = 1
	}
	return f
}

// commonest is the action that was logged most often, at all or in the first
// step of episodes; the first of equals.
func commonest(data *Dataset, first bool) (at int) {
	count := make([]int, data.Actions)
	for i := range data.Episodes {
		for t := range data.Episodes[i].Steps {
			if t == 0 || !first {
				count[data.Episodes[i].Steps[t].Action]++
			}
		}
	}
	for a, n := range count {
		if n > count[at] {
			at = a
		}
	}
	return at
}

// Probabilities of the policy; see Policy. Where what it would do is not
// allowed, allowed actions share what is left alike.
func (f *fixedPolicy) Probabilities(seen []Observation) ([][]float64, error) {
	out := make([][]float64, len(seen))
	for i := range seen {
		// Features are not read, so their number is not this policy's business.
		if err := seen[i].check(len(seen[i].Features), len(f.p), 0); err != nil {
			return nil, fmt.Errorf("%w: observation %d: %w", ErrObservation, i, err)
		}
		p := make([]float64, len(f.p))
		if copy(p, f.p); f.persists && seen[i].Previous != NoAction {
			clear(p)
			p[seen[i].Previous] = 1
		}
		out[i] = within(p, seen[i].Allowed)
	}
	return out, nil
}

// within moves a policy into the allowed actions, in proportion, or alike where
// it gives them nothing.
func within(p []float64, allowed []bool) []float64 {
	if allowed == nil {
		return p
	}
	sum, n := 0.0, 0.0
	for a, ok := range allowed {
		if !ok {
			p[a] = 0
			continue
		}
		sum, n = sum+p[a], n+1
	}
	for a, ok := range allowed {
		switch {
		case sum > 0:
			p[a] /= sum
		case ok:
			p[a] = 1 / n
		}
	}
	return p
}
