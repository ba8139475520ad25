// SPDX-License-Identifier: Apache-2.0

package world

// This file: scoring a model on samples that it never saw. Nothing is fitted
// here.

import (
	"math"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// landmarkHours are the times in the ICU at which outcomes are predicted, once
// per stay each. The headline numbers are those at 24 h.
var landmarkHours = [...]int{12, 24, 48, 72}

const headline = 1 // place of 24 h

// scorer adds up what a model does on samples, stay by stay.
type scorer struct {
	m        judged
	scale    *Scale
	cuts     state.Config
	patients map[string]int // number of each, in order of appearance
	stays    []stayTally
	place    map[int]int // of a sample's stay in stays
	steps    int

	comfortKnown int // decision times at which the chart says whether comfort care only is ordered

	roll           [numForecasts][Horizon]mean
	in80, in95     [Horizon]mean
	own, ownStill  [numF]mean // canonical units, next step
	own80, own95   [numF]mean
	nll            mean
	pairNLL, pairs mean
	support        supportTally
	strata         [numStrata]stratumTally

	borrowed       bool // death within 90 days is ranked by the chance of death in hospital: the model has no head for it
	vent, vaso     calls
	death, death90 [len(landmarkHours)]calls
}

// stayTally is what is known of one stay, so that groups and resamples can be
// made of whole patients.
type stayTally struct {
	patient    int
	about      *person
	next       [numForecasts]mean // next-step error
	in80, in95 mean
	landmarked int // how many of landmarkHours it has reached
	died       int8
}

// score measures m on samples that trained nothing.
func (m *Model) score(samples []*sample) *Scores {
	t := newScorer(m)
	t.add(samples)
	return t.scores()
}

func newScorer(m judged) *scorer {
	return &scorer{m: m, patients: map[string]int{}, place: map[int]int{}}
}

// add scores samples; those of one stay must come in order.
func (t *scorer) add(samples []*sample) {
	t.scale, t.cuts = t.m.scoringScale(), t.m.levelsConfig()
	t.m.predict(samples, t.one)
}

// one scores one decision time.
func (t *scorer) one(sm *sample, p *prediction) {
	t.steps++
	if sm.comfort != unknown {
		t.comfortKnown++
	}
	at := t.stayOf(sm)
	t.states(&t.stays[at], sm, p)
	t.events(at, sm, p)
	if i := single(sm.pairs); i >= 0 && p.pairs[i] > 0 {
		top := 0
		for j, q := range p.pairs {
			if q > p.pairs[top] {
				top = j
			}
		}
		t.pairs.add(indicator(top == i))
		t.pairNLL.add(-math.Log(p.pairs[i]))
		t.support.add(&p.pairs, i)
	}
}

// stayOf finds or makes the tally of a sample's stay.
func (t *scorer) stayOf(sm *sample) int {
	at, found := t.place[sm.stay]
	if !found {
		patient, met := t.patients[sm.patient]
		if !met {
			patient = len(t.patients)
			t.patients[sm.patient] = patient
		}
		at = len(t.stays)
		t.place[sm.stay] = at
		about := sm.about
		if about == nil {
			about = &person{died90: unknown}
		}
		t.stays = append(t.stays, stayTally{patient: patient, about: about, died: sm.died})
	}
	return at
}

// states scores the forecast of the features.
func (t *scorer) states(stay *stayTally, sm *sample, p *prediction) {
	if !sm.observed() {
		return
	}
	scale, stratum := t.scale, strataOf(sm, &t.cuts)
	var base [Horizon * numF]float64
	for by := byPersistence; by < numForecasts; by++ {
		if !t.m.baseline(by, sm, &base) {
			continue
		}
		for at, y := range sm.y {
			if !isNaN(y) {
				off := math.Abs(float64(y) - base[at])
				t.roll[by][at/numF].add(off)
				if at < numF {
					stay.next[by].add(off)
				}
			}
		}
	}
	for at, y := range sm.y {
		if isNaN(y) {
			continue
		}
		h, f := at/numF, at%numF
		b := &p.band[h][f]
		off := math.Abs(float64(y) - float64(scale.z(f, b.Median)))
		in80, in95 := scale.inside(f, y, b.Lo80, b.Hi80), scale.inside(f, y, b.Lo95, b.Hi95)
		t.roll[byModel][h].add(off)
		t.in80[h].add(in80)
		t.in95[h].add(in95)
		if h > 0 {
			continue
		}
		stay.next[byModel].add(off)
		stay.in80.add(in80)
		stay.in95.add(in95)
		last := float64(sm.x[f*perFeature+inLast])
		truth := scale.value(f, float64(y))
		t.own[f].add(math.Abs(truth - b.Median))
		t.ownStill[f].add(math.Abs(truth - scale.value(f, last)))
		t.own80[f].add(in80)
		t.own95[f].add(in95)
		if p.tail[f].unit > 0 {
			t.nll.add(p.tail[f].logScore(float64(y)))
		}
		for _, s := range stratum {
			t.strata[s].add(off, math.Abs(float64(y)-last), in80, in95)
		}
	}
}

// events scores the chances of ventilation, death and vasopressors.
func (t *scorer) events(at int, sm *sample, p *prediction) {
	stay := &t.stays[at]
	put := func(to *calls, chance float64, label int8) {
		if label != unknown && !math.IsNaN(chance) {
			*to = append(*to, call{chance, label == 1, at})
		}
	}
	put(&t.vent, p.event[eventVent], sm.vent[0])
	for stay.landmarked < len(landmarkHours) && sm.hours >= float64(landmarkHours[stay.landmarked])-0.01 {
		k := stay.landmarked
		stay.landmarked++
		if sm.hours >= float64(landmarkHours[k]+4) {
			continue // the stay's record begins after the landmark
		}
		if sm.comfort == 1 {
			continue
		}
		put(&t.death[k], p.event[eventDeath], sm.died)
		put(&t.death90[k], t.chance90(p), stay.about.died90)
		if k == headline {
			put(&t.vaso, p.event[eventVaso24], sm.vaso24)
		}
	}
}

// chance90 is what ranks death within 90 days.
func (t *scorer) chance90(p *prediction) float64 {
	if chance := p.event[eventDeath90]; !math.IsNaN(chance) {
		return chance
	}
	t.borrowed = t.borrowed || !math.IsNaN(p.event[eventDeath])
	return p.event[eventDeath]
}

// followed keeps the stays of sources that follow people after they leave.
func (t *scorer) followed(all calls) (out calls) {
	stays := map[int]*sample{}
	for i, s := range t.stays {
		stays[i] = &sample{died: s.died, about: s.about}
	}
	sources := followedSources(stays)
	for _, c := range all {
		if slices.Contains(sources, t.stays[c.stay].about.source) {
			out = append(out, c)
		}
	}
	return out
}

// scores sums up.
func (t *scorer) scores() *Scores {
	s := &Scores{FeatureMAE: map[string]Number{}, FeaturePersist: map[string]Number{}, FeatureCover80: map[string]Number{},
		FeatureCover95: map[string]Number{}, FeatureEntries: map[string]int{}}
	s.Patients, s.Stays, s.Steps, s.Entries = len(t.patients), len(t.stays), t.steps, int(t.roll[byModel][0].n)
	s.ComfortKnown = t.comfortKnown
	first := func(by int) Number { return t.roll[by][0].value() }
	s.StateMAE, s.PersistenceMAE, s.NewestMAE, s.RidgeMAE, s.ReferenceMAE = first(byModel), first(byPersistence), first(byNewest), first(byRidge), first(byReference)
	s.NLL = t.nll.value()
	s.Interval80, s.Interval95 = t.in80[0].value(), t.in95[0].value()
	for h := range Horizon {
		s.RolloutMAE[h], s.PersistRollout[h] = t.roll[byModel][h].value(), t.roll[byPersistence][h].value()
		s.RidgeRollout[h], s.ReferenceRollout[h] = t.roll[byRidge][h].value(), t.roll[byReference][h].value()
		s.Rollout80[h], s.Rollout95[h] = t.in80[h].value(), t.in95[h].value()
	}
	for f := range numF {
		name := string(features[f].Name)
		s.FeatureMAE[name], s.FeaturePersist[name], s.FeatureEntries[name] = t.own[f].value(), t.ownStill[f].value(), int(t.own[f].n)
		s.FeatureCover80[name], s.FeatureCover95[name] = t.own80[f].value(), t.own95[f].value()
	}
	s.BehaviourNLL, s.BehaviourTop1, s.Support = t.pairNLL.value(), t.pairs.value(), t.support.levels()
	for i := range t.strata {
		s.Strata = append(s.Strata, t.strata[i].stratum(strataNames[i]))
	}
	t.outcomes(s)
	all := t.drawOf(anyStay)
	s.Improvement = t.improved(&all)
	s.Bootstrap, s.Groups = t.intervals(), t.groups()
	s.Bootstrap["mortality_auroc"] = s.Landmarks[headline].Range
	return s
}

// outcomes sums up the events.
func (t *scorer) outcomes(s *Scores) {
	t.vent.sort()
	t.vaso.sort()
	s.VentAUROC, s.VentECE, s.VentReliability = t.vent.auroc(once), t.vent.ece(once), t.vent.reliability()
	s.VentSteps, s.VentYes = len(t.vent), t.vent.events()
	s.Vaso24hAUROC, s.Vaso24hN, s.Vaso24hStarts = t.vaso.auroc(once), len(t.vaso), t.vaso.events()
	for k, hour := range landmarkHours {
		t.death[k].sort()
		t.death90[k].sort()
		s.Landmarks = append(s.Landmarks, t.landmark(hour, t.death[k]))
		if ranked := t.followed(t.death90[k]); len(ranked) > 0 {
			l := t.landmark(hour, ranked)
			if t.borrowed {
				l.ECE = unmeasured
			}
			s.Landmarks90 = append(s.Landmarks90, l)
		}
		if k == headline {
			l := &s.Landmarks[k]
			s.MortalityAUROC, s.MortalityAUPRC, s.MortalityECE = l.AUROC, l.AUPRC, l.ECE
			s.MortalityN, s.Deaths, s.DeathReliability = l.Stays, l.Deaths, t.death[k].reliability()
		}
	}
}
