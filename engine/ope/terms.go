// SPDX-License-Identifier: Apache-2.0

package ope

// This file: a sum of ratios of patient totals. With m_p the number of times
// patient p was drawn,
//
//	θ(m) = Σ_k share_k · N_k/D_k,  N_k = Σ_p m_p n_pk,  D_k = Σ_p m_p d_pk,
//
// where share_k is 1 or the share S_k/C of trajectories that belong to term k.
// Every estimator here has this form, so that one evaluation serves the
// estimate (m = 1) and each resample, whose normalisers are thereby computed
// anew, and one derivative serves every standard error.

import "math"

// kind says what an absent or small group does to a term.
type kind uint8

const (
	// always: the ratio counts in full, and a zero normaliser has no value.
	always kind = iota
	// whenPresent: as always, unless no trajectory belongs to the term.
	whenPresent
	// mixed: the ratio counts by the share of trajectories that belong to it.
	mixed
)

// part is what one trajectory adds to a term.
type part struct {
	term     int32
	num, den float64
}

// terms is a sum of ratios over patients.
type terms struct {
	kinds []kind
	parts [][]part  // per patient
	count []float64 // trajectories per patient
}

func newTerms(trajectories []float64) *terms {
	return &terms{parts: make([][]part, len(trajectories)), count: trajectories}
}

// term adds a term and gives its number.
func (t *terms) term(k kind) int {
	t.kinds = append(t.kinds, k)
	return len(t.kinds) - 1
}

// add adds what one trajectory of a patient contributes to a term.
func (t *terms) add(patient, term int, num, den float64) {
	if num == 0 && den == 0 && t.kinds[term] == always {
		return // a zero weight adds nothing: a deterministic policy makes many
	}
	t.parts[patient] = append(t.parts[patient], part{int32(term), num, den})
}

// less gives the difference θ − θ' as one sum, so that both are taken from the
// same resample.
func (t *terms) less(other *terms) *terms {
	out := newTerms(t.count)
	out.kinds = append(append(out.kinds, t.kinds...), other.kinds...)
	for p := range t.parts {
		out.parts[p] = append(out.parts[p], t.parts[p]...)
		for _, one := range other.parts[p] {
			one.term += int32(len(t.kinds))
			one.num = -one.num
			out.parts[p] = append(out.parts[p], one)
		}
	}
	return out
}

// sums is what one resample makes of every term.
type sums struct {
	num, den, count []float64 // N_k, D_k, S_k
	all             float64   // C
	ratio, share    []float64
}

func (t *terms) newSums() *sums {
	k := len(t.kinds)
	block := make([]float64, 5*k)
	return &sums{num: block[:k], den: block[k : 2*k], count: block[2*k : 3*k], ratio: block[3*k : 4*k], share: block[4*k:]}
}

// value is θ under given multiplicities. It is not a number when a term that
// counts has no weight.
func (t *terms) value(times []float64) float64 { return t.fill(t.newSums(), times) }

// fill computes the sums of a resample and gives θ.
func (t *terms) fill(s *sums, times []float64) (theta float64) {
	clear(s.num)
	clear(s.den)
	clear(s.count)
	s.all = 0
	for p, parts := range t.parts {
		m := times[p]
		if m == 0 {
			continue
		}
		s.all += m * t.count[p]
		for _, one := range parts {
			s.num[one.term] += m * one.num
			s.den[one.term] += m * one.den
			s.count[one.term] += m
		}
	}
	for k, kind := range t.kinds {
		s.ratio[k], s.share[k] = 0, 1
		switch {
		case kind != always && s.count[k] == 0:
			s.share[k] = 0
			continue
		case s.den[k] == 0:
			return math.NaN()
		case kind == mixed:
			s.share[k] = s.count[k] / s.all
		}
		s.ratio[k] = s.num[k] / s.den[k]
		theta += s.share[k] * s.ratio[k]
	}
	return theta
}

// influence writes to out how θ changes with each patient's multiplicity: the
// derivative ∂θ/∂m_p at the resample that filled s.
func (t *terms) influence(s *sums, out []float64) {
	mixture := 0.0
	for k, kind := range t.kinds {
		if kind == mixed {
			mixture += s.share[k] * s.ratio[k]
		}
	}
	for p, parts := range t.parts {
		d := -mixture * t.count[p] / s.all
		for _, one := range parts {
			k := one.term
			if s.den[k] != 0 {
				d += s.share[k] * (one.num - s.ratio[k]*one.den) / s.den[k]
			}
			if t.kinds[k] == mixed {
				d += s.ratio[k] / s.all
			}
		}
		out[p] = d
	}
}

// stdErr is the cluster-robust (linearised) standard error of θ under the
// multiplicities that filled s, with the influence that belongs to it.
func stdErr(influence, times []float64) float64 {
	sum, n := 0.0, 0.0
	for p, d := range influence {
		sum += times[p] * d * d
		n += times[p]
	}
	if n < 2 {
		return math.NaN()
	}
	return math.Sqrt(sum * n / (n - 1))
}
