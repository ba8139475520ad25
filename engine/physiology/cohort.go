// SPDX-License-Identifier: Apache-2.0

package physiology

// This file: cohorts of synthetic patients, one after another.

import (
	"errors"
	"iter"
)

// ErrCohort says that a cohort was asked for that cannot be made.
var ErrCohort = errors.New("impossible synthetic cohort")

// CohortConfig says what cohort to make.
type CohortConfig struct {
	// Patients is how many; at least 1.
	Patients int
	// Seed makes the cohort; the same seed and config give the same courses.
	Seed uint64
	// Behaviour decides the doses. Empty: half of the patients are treated by
	// clinicians, half by randomised doses.
	Behaviour Behaviour
	// Hours is the longest stay; 0 means 120.
	Hours float64
}

// Cohort gives the courses of a cohort one by one, so that a large one never
// lies in memory.
func Cohort(cfg CohortConfig) (iter.Seq[Course], error) {
	if cfg.Patients < 1 {
		return nil, errors.Join(ErrCohort, errors.New("patients must be at least 1"))
	}
	if cfg.Hours == 0 {
		cfg.Hours = 120
	}
	if cfg.Hours < 0 {
		return nil, errors.Join(ErrCohort, errors.New("hours must not be negative"))
	}
	if cfg.Behaviour != "" {
		if _, err := cfg.Behaviour.Treatment(); err != nil {
			return nil, errors.Join(ErrCohort, err)
		}
	}
	return func(yield func(Course) bool) {
		for i := range cfg.Patients {
			r := dice(cfg.Seed, "cohort", i)
			seed, coin := r.Uint64()>>16, r.Float64()
			t := Treatment(Func(clinician))
			if cfg.Behaviour == BehaviourRandomised || cfg.Behaviour == "" && coin < 0.5 {
				t = Func(randomised)
			}
			if !yield(New(seed, Mix).Run(cfg.Hours, t).closed()) {
				return
			}
		}
	}, nil
}

// closed ends a stay that was still open: whoever lives to the end of the
// simulated time leaves the unit alive.
func (c Course) closed() Course {
	if c.patient.end == endOpen {
		c.patient.end = endDischarged
	}
	return c
}
