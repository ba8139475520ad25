// SPDX-License-Identifier: Apache-2.0

package world

// This file: death within 90 days, which has a head of its own and is never
// pooled with death in hospital. It can be learned only where people are
// followed after they leave: where the 90 days of those who died in hospital
// are known and those of the others are not, what is known is not what
// happened to people. Those followed are few, so the head has two weights: it
// moves the chance of death in hospital, whose ranking it keeps.

import (
	"maps"
	"math"
	"slices"
)

// followed is the share of a source's survivors whose 90 days must be known
// for the source to count as followed.
const followed = 0.8

// Followed says whom the head was learned from.
type Followed struct {
	Sources []string `json:"sources"` // that follow people after they leave
	Stays   int      `json:"stays"`
	Deaths  int      `json:"deaths"` // stays
}

// followedSources names the sources whose survivors are followed. died and
// died90 give what is known of one stay of a person.
func followedSources(stays map[int]*sample) []string {
	known, all := map[string]float64{}, map[string]float64{}
	for _, s := range stays {
		if s.died == 0 && !s.synthetic {
			all[s.about.source]++
			if s.about.died90 != unknown {
				known[s.about.source]++
			}
		}
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(source string) bool { return known[source] < followed*all[source] })
}

// fitFollowUp fits the head, which scales the logit of death in hospital, or
// returns nil where fewer than minDeaths stays of either outcome were followed.
// Decision times of a stay add up to one.
func fitFollowUp(samples []*sample, death *outcome) (*logistic, Followed) {
	stays, times := map[int]*sample{}, map[int]float64{}
	for _, s := range samples {
		stays[s.stay] = s
	}
	h := Followed{Sources: followedSources(stays)}
	in := keep(samples, func(s *sample) bool {
		return !s.synthetic && s.about.died90 != unknown && s.comfort != 1 && s.hours >= outcomeFromHours-0.01 && slices.Contains(h.Sources, s.about.source)
	})
	for _, s := range in {
		if times[s.stay]++; times[s.stay] == 1 {
			h.Stays, h.Deaths = h.Stays+1, h.Deaths+int(s.about.died90)
		}
	}
	if h.Deaths < minDeaths || h.Stays-h.Deaths < minDeaths {
		return nil, Followed{}
	}
	// Penalised towards the logit of death in hospital, as it is but moved.
	l := logistic{A: 1}
	for range newtonSteps {
		ga, gb, haa, hab, hbb := followPenalty*(l.A-1), 0.0, float64(followPenalty), 0.0, 1e-9
		for _, s := range in {
			z, weight := death.logit(s.x), 1/times[s.stay]
			p := l.chance(z)
			d, w := weight*(p-float64(s.about.died90)), weight*p*(1-p)
			ga, gb = ga+d*z, gb+d
			haa, hab, hbb = haa+w*z*z, hab+w*z, hbb+w
		}
		det := haa*hbb - hab*hab
		l.A -= clamp((hbb*ga-hab*gb)/det, -maxNewton, maxNewton)
		l.B -= clamp((haa*gb-hab*ga)/det, -maxNewton, maxNewton)
	}
	if !(l.A > 0) || math.IsNaN(l.B) || math.IsInf(l.A+l.B, 0) {
		return nil, Followed{}
	}
	return &l, h
}

// followPenalty keeps the slope near 1, in units of stays.
const followPenalty = 5

// death90Chance is the chance of death within 90 days; not a number where the
// model has no such head.
func (m *Model) death90Chance(x []float32) float64 {
	if m.file.FollowUp == nil {
		return math.NaN()
	}
	return m.file.FollowUp.chance(m.death.logit(x))
}
