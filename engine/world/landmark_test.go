// SPDX-License-Identifier: Apache-2.0

package world

// This file: design.md 5.14, how outcomes are scored: at landmark times, among
// whom they can still happen, and never pooled.

import (
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// scored adds decision times of one patient each 4 h and gives the scorer.
func scored(stays ...[]sample) *scorer {
	t := newScorer(nil)
	for stay, times := range stays {
		for i := range times {
			sm := &times[i]
			sm.stay, sm.patient = stay, string(rune('a'+stay))
			at := t.stayOf(sm)
			t.events(at, sm, &prediction{event: [numEvents]float64{0.5, 0.5, 0.5, 0.5}})
		}
	}
	return t
}

// course are decision times from 4 h on, n of them, of one fate.
func courseFor(n int, died, died90 int8) []sample {
	about := &person{source: "here", died90: died90}
	out := make([]sample, n)
	for i := range out {
		out[i] = sample{hours: float64(4 * (i + 1)), died: died, about: about, vaso24: 0, comfort: 0, vent: [Horizon]int8{unknown}}
	}
	return out
}

func TestOutcomesAreScoredAtLandmarks(t *testing.T) {
	counts := func(s *scorer) (out [len(landmarkHours)]int) {
		for k := range out {
			out[k] = len(s.death[k])
		}
		return out
	}
	t.Run("5.14 a stay is scored once per landmark it reaches, however long it was", func(t *testing.T) {
		s := scored(courseFor(40, 1, unknown), courseFor(7, 0, unknown))
		if got := counts(s); got != [...]int{2, 2, 1, 1} {
			t.Errorf("%v predictions at %v h", got, landmarkHours)
		}
	})
	t.Run("5.14 nobody is left out for dying or leaving soon after a landmark", func(t *testing.T) {
		s := scored(courseFor(3, 1, unknown), courseFor(3, 0, unknown))
		if got := counts(s); got != [...]int{2, 0, 0, 0} {
			t.Errorf("%v", got)
		}
	})
	t.Run("5.14 a stay whose record begins after a landmark is not scored at it", func(t *testing.T) {
		s := scored(courseFor(20, 0, unknown)[4:])
		if got := counts(s); got != [...]int{0, 1, 1, 1} {
			t.Errorf("%v", got)
		}
	})
	t.Run("5.14 death in hospital and within 90 days are never pooled", func(t *testing.T) {
		s := scored(courseFor(6, 1, unknown), courseFor(6, 0, 1), courseFor(6, unknown, 1))
		if len(s.death[headline]) != 2 || s.death[headline].events() != 1 || len(s.death90[headline]) != 2 || s.death90[headline].events() != 2 {
			t.Errorf("in hospital %+v, within 90 days %+v", s.death[headline], s.death90[headline])
		}
	})
	t.Run("5.14 comfort care is a competing event: no chance is scored from there on", func(t *testing.T) {
		dying := courseFor(20, 1, 1)
		for i := 4; i < len(dying); i++ {
			dying[i].comfort = 1
		}
		s := scored(dying)
		if got := counts(s); got != [...]int{1, 0, 0, 0} || len(s.vaso) != 0 {
			t.Errorf("%v, %d of vasopressors", got, len(s.vaso))
		}
	})
}

func TestVasopressorNeedIsAskedOfThoseWithout(t *testing.T) {
	given := func(known bool, highest, end float64) state.Exposure {
		return state.Exposure{VasoKnown: known, NEMaxUgKgMin: highest, NEEndUgKgMin: end}
	}
	later := func(list ...state.Exposure) (out []*state.Step) {
		for _, e := range list {
			out = append(out, &state.Step{Given: e})
		}
		return out
	}
	none := given(true, 0, 0)
	for _, c := range []struct {
		name  string
		now   state.Exposure
		later []*state.Step
		want  int8
	}{
		{"5.14 whoever is on a vasopressor is not asked", given(true, 0.1, 0.1), later(none, none), unknown},
		{"5.14 where treatment is not known nobody is asked", given(false, 0, 0), later(none), unknown},
		{"5.14 off one and given one within 24 h", given(true, 0.1, 0), later(none, given(true, 0.2, 0.2)), 1},
		{"5.14 given one only later than 24 h", none, later(none, none, none, none, none, none, given(true, 0.2, 0.2)), 0},
		{"5.14 a stay that ended before without one", none, later(none, none), 0},
		{"5.14 a gap in what is known", none, later(none, given(false, 0, 0), none), unknown},
		{"5.14 nothing known after", none, nil, unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := needWithin24h(c.now, c.later); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
		})
	}
}
