// SPDX-License-Identifier: Apache-2.0

package world

// This file: scores by group of patients.

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
)

// minHospitalPatients is how many patients a hospital needs to be scored
// alone; the number says nothing below, and names a patient at worst.
const minHospitalPatients = 10

// groupings are the ways in which patients are told apart. An empty name puts
// a patient into no group.
func (t *scorer) groupings() []grouping {
	return []grouping{
		{"source", 1, func(p *person) string { return p.source }},
		{"hospitals", 1, t.m.Record().metHospital},
		{"age", 1, ageBand},
		{"sex", 1, sexOf},
		{"hospital", minHospitalPatients, shortHospital},
	}
}

type grouping struct {
	by          string
	minPatients int
	of          func(*person) string
}

// groups scores every group that is large enough.
func (t *scorer) groups() (out []Group) {
	for _, g := range t.groupings() {
		patients := map[string]map[int]bool{}
		for i := range t.stays {
			s := &t.stays[i]
			name := g.of(s.about)
			if patients[name] == nil {
				patients[name] = map[int]bool{}
			}
			patients[name][s.patient] = true
		}
		for _, name := range slices.Sorted(maps.Keys(patients)) {
			if n := len(patients[name]); name != "" && n >= g.minPatients {
				out = append(out, t.groupOf(g.by, name, n, t.drawOf(func(s *stayTally) bool { return g.of(s.about) == name })))
			}
		}
	}
	return out
}

// groupOf scores the stays of d.
func (t *scorer) groupOf(by, name string, patients int, d draw) Group {
	death := t.death[headline]
	g := Group{By: by, Name: name, Patients: patients, Stays: len(d.stays),
		StateMAE: t.averaged(nextBy(byModel))(&d), Persistence: t.averaged(nextBy(byPersistence))(&d), Improvement: t.improved(&d),
		Interval80: t.averaged(next80)(&d), Interval95: t.averaged(next95)(&d),
		VentAUROC: t.vent.auroc(d.of), Mortality: death.auroc(d.of), ECE: death.ece(d.of)}
	for _, i := range d.stays {
		g.Entries += int(t.stays[i].next[byModel].n)
	}
	for _, one := range death {
		if d.times[one.stay] > 0 {
			g.AtLandmark++
			g.Deaths += int(indicator(one.came))
		}
	}
	r := t.bootstrap(d, t.averaged(nextBy(byModel)), t.averaged(next80), ranked(death, calls.auroc))
	g.MAERange, g.Range80, g.DeathRange = r[0], r[1], r[2]
	if !enough(g.Deaths, g.AtLandmark) {
		g.Mortality, g.DeathRange, g.ECE = unmeasured, Interval{unmeasured, unmeasured}, unmeasured
	}
	return g
}

// metHospital tells hospitals of training from others; empty where the model
// file does not say which it knows, or the chart names none.
func (r *TrainingRecord) metHospital(p *person) string {
	switch {
	case len(r.Hospitals) == 0 || p.hospital == "":
		return ""
	case r.knowsHospital(p.hospital):
		return "seen in training"
	}
	return "never seen"
}

func ageBand(p *person) string {
	switch {
	case !p.ageKnown:
		return "unknown"
	case p.ageYears < 45:
		return "18-44"
	case p.ageYears < 65:
		return "45-64"
	case p.ageYears < 80:
		return "65-79"
	}
	return "80 and over"
}

func sexOf(p *person) string {
	if p.sex == "" {
		return "unknown"
	}
	return p.sex
}

// shortHospital names a hospital by the start of its hash: a card may be
// published.
func shortHospital(p *person) string {
	if p.hospital == "" {
		return ""
	}
	return fmt.Sprintf("%.8s", hospitalHash(p.hospital))
}

// PeopleCount is how many patients of one kind trained and chose a model.
type PeopleCount struct {
	By       string `json:"by"` // age or sex
	Name     string `json:"name"`
	Patients int    `json:"patients"`
}

// peopleCounter counts real patients, once each in every band they reach.
type peopleCounter map[[2]string]map[string]bool

func (c peopleCounter) add(row *cohort.Row) {
	if row.Synthetic {
		return
	}
	p := &person{sex: row.Sex, ageYears: row.AgeYears, ageKnown: row.AgeKnown}
	for _, key := range [][2]string{{"age", ageBand(p)}, {"sex", sexOf(p)}} {
		if c[key] == nil {
			c[key] = map[string]bool{}
		}
		c[key][row.Patient] = true
	}
}

func (c peopleCounter) counts() (out []PeopleCount) {
	for key, patients := range c {
		out = append(out, PeopleCount{By: key[0], Name: key[1], Patients: len(patients)})
	}
	slices.SortFunc(out, func(a, b PeopleCount) int { return cmp.Or(cmp.Compare(a.By, b.By), cmp.Compare(a.Name, b.Name)) })
	return out
}
