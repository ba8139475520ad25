// SPDX-License-Identifier: Apache-2.0

package state

// This file: when a patient was on invasive ventilation, as far as procedures
// and "not testable, intubated" coma scores known at T say so.

import (
	"cmp"
	"slices"
)

// span is a stretch of time.
type span struct{ from, to instant }

// procedureSpan is a procedure as known at T; open means it had not ended.
func (v *view) procedureSpan(p *Procedure) (s span, open, ok bool) {
	if p.Start.IsZero() || p.Available.IsZero() {
		return span{}, false, false
	}
	s.from = ceilInstant(p.Start)
	if max(s.from, ceilInstant(p.Available)) > v.t {
		return span{}, false, false
	}
	if !p.End.IsZero() {
		end := max(s.from, ceilInstant(p.End))
		know := end
		if !p.EndAvail.IsZero() {
			know = max(end, ceilInstant(p.EndAvail))
		}
		if know <= v.t {
			s.to = end
			return s, false, true
		}
	}
	s.to = v.t
	return s, true, true
}

func (v *view) ventilation() []span {
	var out []span
	for i := range v.b.c.Procedures {
		p := &v.b.c.Procedures[i]
		if !slices.Contains(p.Tags, TagVentInvasive) {
			continue
		}
		if s, _, ok := v.procedureSpan(p); ok {
			out = append(out, s)
		}
	}
	for _, o := range v.feature(GCSVerbal) {
		if o.known(v.t) && o.method == MethodIntubated {
			out = append(out, span{o.at, o.at})
		}
	}
	slices.SortFunc(out, func(x, y span) int { return cmp.Or(cmp.Compare(x.from, y.from), cmp.Compare(x.to, y.to)) })
	return out
}

func (v *view) ventAt(t instant) bool {
	for _, s := range v.vent {
		if s.from <= t && t <= s.to {
			return true
		}
	}
	return false
}

// ventilated says whether the patient was invasively ventilated at some time
// in (from, to], and whether that can be known.
func (v *view) ventilated(from, to instant) (vent, known bool) {
	for _, s := range v.vent {
		if s.from <= to && (s.to > from || s.from > from) {
			return true, true
		}
	}
	_, gap := v.gap(GapProcedures)
	return false, !gap
}
