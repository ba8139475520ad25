// SPDX-License-Identifier: Apache-2.0

package world

// This file: from cohort rows to samples. Rows are read twice, stay by stay,
// so that a cohort larger than memory can train a model: once to measure
// scales and what there is, once to encode.

import (
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"sort"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// survey is what the first reading of a cohort finds.
type survey struct {
	scale    *Scale // of measured values of real training patients; of simulated ones where there are no real ones
	digest   string
	counts   []SourceCount // training and validation, by source
	patients []string      // hashes of training and validation patients, sorted
	hospital []string      // hashes of their hospitals, sorted
	people   []PeopleCount // of real ones
}

// moments sums measured values on the modelling scale.
type moments struct {
	rows            int
	n, sum, squares [numF]float64
}

func (m *moments) add(row *cohort.Row) {
	m.rows++
	for f := range features {
		if row.Presence[f] == state.Measured {
			v := forward(f, row.Value[f])
			m.n[f], m.sum[f], m.squares[f] = m.n[f]+1, m.sum[f]+v, m.squares[f]+v*v
		}
	}
}

// scale gives mean and standard deviation. A feature seen fewer than 30 times
// keeps the published scale.
func (m *moments) scale() *Scale {
	s := defaultScale()
	for f := range features {
		if m.n[f] < 30 {
			continue
		}
		mean := m.sum[f] / m.n[f]
		if variance := m.squares[f]/m.n[f] - mean*mean; variance > 1e-6 {
			s.Mean[f], s.SD[f] = mean, math.Sqrt(variance)
		}
	}
	return s
}

// takeSurvey reads all rows once, without decoding timelines.
func takeSurvey(rows iter.Seq2[cohort.Row, error], leave LeaveOut) (*survey, error) {
	var real, simulated moments
	type counter struct {
		patients, stays map[string]bool
		steps           int
	}
	sources, seen, hospitals := map[string]*counter{}, map[string]bool{}, map[string]bool{}
	people := peopleCounter{}
	digest, err := cohort.Digest(func(yield func(cohort.Row, error) bool) {
		for row, err := range rows {
			part := leave.part(&row)
			if err == nil && (part == cohort.Train || part == cohort.Val) {
				c := sources[row.Source]
				if c == nil {
					c = &counter{patients: map[string]bool{}, stays: map[string]bool{}}
					sources[row.Source] = c
				}
				c.patients[row.Patient], c.stays[row.Stay] = true, true
				c.steps++
				people.add(&row)
				seen[cohort.PatientHash(row.Patient)] = true
				if row.Hospital != "" && !row.Synthetic {
					hospitals[hospitalHash(row.Hospital)] = true
				}
			}
			if err == nil && part == cohort.Train {
				if row.Synthetic {
					simulated.add(&row)
				} else {
					real.add(&row)
				}
			}
			if !yield(row, err) {
				return
			}
		}
	})
	if err != nil {
		return nil, err
	}
	if real.rows == 0 {
		real = simulated
	}
	s := &survey{scale: real.scale(), digest: digest}
	for name, c := range sources {
		s.counts = append(s.counts, SourceCount{Source: name, Patients: len(c.patients), Stays: len(c.stays), Steps: c.steps})
	}
	sort.Slice(s.counts, func(i, j int) bool { return s.counts[i].Source < s.counts[j].Source })
	s.patients, s.hospital = slices.Sorted(maps.Keys(seen)), slices.Sorted(maps.Keys(hospitals))
	s.people = people.counts()
	return s, nil
}

// gatherParts encodes the stays that part wants, each into the part it names.
func (s *Scale) gatherParts(rows iter.Seq2[cohort.Row, error], part func(first *cohort.Row) (cohort.Split, bool)) (map[cohort.Split][]*sample, error) {
	parts, stay := map[cohort.Split][]*sample{}, 0
	for group, err := range cohort.ByStay(rows) {
		if err != nil {
			return nil, err
		}
		to, ok := part(&group[0])
		if !ok {
			continue
		}
		c, err := courseOf(group)
		if err != nil {
			return nil, err
		}
		samples := s.samples(c, stay)
		for i := range samples {
			parts[to] = append(parts[to], &samples[i])
		}
		stay++
	}
	return parts, nil
}

// courseOf decodes the timelines of one stay.
func courseOf(group []cohort.Row) (*course, error) {
	first := &group[0]
	c := &course{patient: first.Patient, stay: first.Stay, synthetic: first.Synthetic, died: unknown,
		about: person{source: first.Source, hospital: first.Hospital, sex: first.Sex, ageYears: first.AgeYears, ageKnown: first.AgeKnown, died90: unknown}}
	if first.Died90dKnown {
		c.about.died90 = 0
		if first.DiedWithin90d {
			c.about.died90 = 1
		}
	}
	if first.OutcomeKnown {
		c.died = 0
		if first.DiedInHospital {
			c.died = 1
		}
	}
	for i := range group {
		if i > 0 && group[i].Step != group[i-1].Step+1 {
			return nil, fmt.Errorf("stay %s: step %d follows step %d: %w", first.Stay, group[i].Step, group[i-1].Step, cohort.ErrCorrupt)
		}
		tl, err := group[i].Timeline()
		if err != nil {
			return nil, err
		}
		c.timelines = append(c.timelines, tl)
	}
	return c, nil
}

// hospitalHash is how a model names a hospital it was trained on.
func hospitalHash(id string) string { return cohort.PatientHash("hospital\x00" + id) }
