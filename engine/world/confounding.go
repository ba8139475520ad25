// SPDX-License-Identifier: Apache-2.0

package world

// This file: what confounding by indication would make of norepinephrine, and
// what is done about it, shown side by side. Sicker patients get more, so
// records alone teach that it lowers pressure. Throw-away models learn its
// effects from records or from randomised simulated patients, with and without
// the sign that is known beforehand; all are asked the same questions.

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Confounding is the result of StudyConfounding.
type Confounding struct {
	Variants   []ConfoundedVariant `json:"variants"`
	Patients   int                 `json:"patients"` // simulated, with known futures
	Networks   int                 `json:"networks"` // in each ensemble
	DataDigest string              `json:"data_digest"`
}

// ConfoundedVariant is one way to learn effects, and what came of it.
type ConfoundedVariant struct {
	Name    string   `json:"name"`
	Effects []Effect `json:"effects"` // of the next step, on simulated patients
	Curves  []Curve  `json:"dose_response"`
	// What it says of recorded patients that trained nothing, where nobody knows
	// the truth.
	Shape *Shape `json:"recorded"`
}

// StudyConfounding trains three models that differ in nothing but how they
// learn effects, and asks them and the published network about patients. The
// cohort must hold recorded and randomised simulated patients; all timelines
// are held in memory. Errors are those of Train, or of patients.
func StudyConfounding(ctx context.Context, rows iter.Seq2[cohort.Row, error], cfg TrainConfig, patients iter.Seq2[Simulated, error], report func(Progress)) (*Confounding, error) {
	cfg.LeaveOut, cfg.Checkpoint = LeaveOut{}, ""
	if err := cfg.check(); err != nil {
		return nil, err
	}
	all, err := readAll(rows)
	if err != nil {
		return nil, err
	}
	c := &Confounding{Networks: cfg.Members}
	if c.DataDigest, err = cohort.Digest(rows); err != nil {
		return nil, err
	}
	asked, err := gather(patients)
	if err != nil {
		return nil, err
	}
	c.Patients = len(asked)
	recorded := all.recorded()
	for _, v := range []struct {
		name    string
		from    *wholeCohort
		records bool // teach the effects
		free    bool // of the sign that is known beforehand, and of damping
	}{
		{"records alone, any sign", recorded, true, true},
		{"records alone, norepinephrine may only raise pressure", recorded, true, false},
		{"as shipped: effects from randomised simulated patients", all, false, false},
	} {
		use := cfg
		use.settle()
		use.EffectsFromRecords, use.mix.realEffect, use.mix.unsigned = v.records, indicator32(v.records), v.free
		m, _, err := v.from.without(ctx, use, report)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.name, err)
		}
		if len(c.Variants) == 0 { // it is fitted to records in each of them
			if err := c.add(ctx, "the published network, records alone", m.reference, asked, recorded); err != nil {
				return nil, err
			}
		}
		if err := c.add(ctx, v.name, m, asked, recorded); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// add asks one model.
func (c *Confounding) add(ctx context.Context, name string, m Forecaster, asked []Simulated, recorded *wholeCohort) error {
	effects, err := MeasureEffects(ctx, m, func(yield func(Simulated, error) bool) {
		for _, p := range asked {
			if !yield(p, nil) {
				return
			}
		}
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	v := ConfoundedVariant{Name: name, Curves: effects.Curves}
	v.Effects = slices.DeleteFunc(effects.Effects, func(e Effect) bool { return e.Hours != state.StepHours })
	var shape shaper
	for i, course := range recorded.courses {
		if recorded.first[i].Part != cohort.Test {
			continue
		}
		for k := 0; k < len(course.timelines); k += shapeEvery {
			if err := shape.add(ctx, m, course.timelines[k]); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	v.Shape = shape.sum()
	c.Variants = append(c.Variants, v)
	return nil
}

// recorded leaves out the simulated patients.
func (w *wholeCohort) recorded() *wholeCohort {
	out := &wholeCohort{}
	for i, first := range w.first {
		if !first.Synthetic {
			out.first, out.courses = append(out.first, first), append(out.courses, w.courses[i])
		}
	}
	for _, row := range w.bare {
		if !row.Synthetic {
			out.bare = append(out.bare, row)
		}
	}
	return out
}

// gather keeps all patients.
func gather(patients iter.Seq2[Simulated, error]) (all []Simulated, err error) {
	for p, err := range patients {
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// indicator32 is 1 where b holds.
func indicator32(b bool) float32 { return float32(indicator(b)) }
