// SPDX-License-Identifier: Apache-2.0

package world

// This file: cross-validation over hospitals. One test split of a small cohort
// holds too few deaths to judge anything by; pooled over folds, every patient
// is forecast by a model that has seen nobody of that hospital.

import (
	"context"
	"fmt"
	"iter"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
)

// CrossValidation is the result of CrossValidate: the scores pooled over
// folds, and each fold's.
type CrossValidation struct {
	Scores
	Folds      []FoldScore `json:"folds"`
	LeftOut    int         `json:"left_out_stays"` // of patients who were also treated in a hospital of training
	Networks   int         `json:"networks"`       // in each ensemble
	DataDigest string      `json:"data_digest"`
}

// FoldScore says how the model without the hospitals of one fold did on them.
type FoldScore struct {
	Fold           string `json:"fold"`
	Hospitals      int    `json:"hospitals"`
	Patients       int    `json:"patients"`
	Stays          int    `json:"stays"`
	Deaths         int    `json:"deaths"` // of stays at the landmark of 24 h
	StateMAE       Number `json:"state_mae"`
	Improvement    Number `json:"improvement"` // over the best baseline
	Interval80     Number `json:"interval80_coverage"`
	MortalityAUROC Number `json:"mortality_auroc"`
}

// CrossValidate trains a throw-away model for each of the folds, without the
// hospitals of that fold, and scores what it forecasts for their real
// patients. The baselines are fitted anew in each fold. Nothing is kept of the
// models. All timelines are held in memory. Errors are those of Train.
func CrossValidate(ctx context.Context, rows iter.Seq2[cohort.Row, error], cfg TrainConfig, folds int, report func(Progress)) (*CrossValidation, error) {
	cfg.LeaveOut, cfg.Checkpoint = LeaveOut{Fold: 1, Of: folds}, ""
	if err := cfg.check(); err != nil {
		return nil, err
	}
	all, err := readAll(rows)
	if err != nil {
		return nil, err
	}
	cv := &CrossValidation{Networks: cfg.Members}
	if cv.DataDigest, err = cohort.Digest(rows); err != nil {
		return nil, err
	}
	pooled := newScorer(nil)
	for k := 1; k <= folds; k++ {
		cfg.LeaveOut.Fold = k
		m, held, err := all.without(ctx, cfg, report)
		if err != nil {
			return nil, fmt.Errorf("fold %s: %w", cfg.LeaveOut, err)
		}
		fresh := keep(held, func(s *sample) bool { return !m.file.Training.knows(s.patient) })
		cv.LeftOut += stays(held) - stays(fresh)
		if len(fresh) == 0 {
			continue
		}
		cv.Folds = append(cv.Folds, m.foldScore(cfg.LeaveOut, fresh))
		pooled.m = m
		pooled.add(fresh)
	}
	if pooled.m == nil {
		return nil, fmt.Errorf("%w: no fold has a hospital with patients who are nowhere else", ErrTraining)
	}
	// Every hospital was new to the model that forecast for it, so they are
	// not broken down by whether the last one knew them.
	pooled.m.Record().Hospitals = nil
	cv.Scores = *pooled.scores()
	return cv, nil
}

// wholeCohort is a cohort in memory.
type wholeCohort struct {
	bare    []cohort.Row // without their timelines
	first   []*cohort.Row
	courses []*course
}

func readAll(rows iter.Seq2[cohort.Row, error]) (*wholeCohort, error) {
	all := &wholeCohort{}
	for group, err := range cohort.ByStay(rows) {
		if err != nil {
			return nil, err
		}
		c, err := courseOf(group)
		if err != nil {
			return nil, err
		}
		first := group[0]
		first.Canonical = nil
		all.first, all.courses = append(all.first, &first), append(all.courses, c)
		for _, row := range group {
			row.Canonical = nil
			all.bare = append(all.bare, row)
		}
	}
	return all, nil
}

// without trains a model without the hospitals that cfg leaves out, and
// returns it with their samples.
func (w *wholeCohort) without(ctx context.Context, cfg TrainConfig, report func(Progress)) (*Model, []*sample, error) {
	cfg.settle()
	found, err := takeSurvey(cohort.Seq(w.bare), cfg.LeaveOut)
	if err != nil {
		return nil, nil, err
	}
	parts := map[cohort.Split][]*sample{}
	for i, c := range w.courses {
		part := cfg.LeaveOut.part(w.first[i])
		if part == cohort.Test {
			continue
		}
		samples := found.scale.samples(c, i)
		for j := range samples {
			parts[part] = append(parts[part], &samples[j])
		}
	}
	m := newModel(cfg, found)
	if err := m.learn(ctx, parts[cohort.Train], parts[cohort.Val], cfg, report); err != nil {
		return nil, nil, err
	}
	return m, parts[newHospital], nil
}

func (m *Model) foldScore(fold LeaveOut, samples []*sample) FoldScore {
	s := m.score(samples)
	hospitals := map[string]bool{}
	for _, sm := range samples {
		hospitals[sm.about.hospital] = true
	}
	return FoldScore{Fold: fold.String(), Hospitals: len(hospitals), Patients: s.Patients, Stays: s.Stays, Deaths: s.Deaths,
		StateMAE: s.StateMAE, Improvement: s.Improvement, Interval80: s.Interval80, MortalityAUROC: s.MortalityAUROC}
}

// stays counts the stays of samples.
func stays(samples []*sample) int {
	seen := map[int]bool{}
	for _, s := range samples {
		seen[s.stay] = true
	}
	return len(seen)
}
