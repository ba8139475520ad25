// SPDX-License-Identifier: Apache-2.0

package world

// This file: evaluation of a finished model on any cohort. It fits nothing and
// leaves out every patient who trained or chose the model.

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
)

// Errors of Evaluate.
var (
	// ErrNothingToEvaluate: every patient of the cohort trained or chose the
	// model. Evaluate on another cohort.
	ErrNothingToEvaluate = errors.New("no patient of this cohort is new to the model")
	// ErrEmptyCohort: the cohort has no rows. Look at the report of `cohort
	// build` for why no stay came through.
	ErrEmptyCohort = errors.New("the cohort has no rows (hint: `cohort build` says why stays are missing)")
)

// ErrNotScored: this kind of model cannot be scored on a cohort.
var ErrNotScored = errors.New("models of this kind are not scored")

// Evaluation is the result of Evaluate. Its JSON keys are those of `evaluate
// world --json`.
type Evaluation struct {
	Scores
	LeftOut   int     `json:"left_out_stays"`      // stays of patients the model has seen
	Simulated bool    `json:"simulated,omitempty"` // the scores are of simulated patients: no real one was left
	Synthetic *Scores `json:"synthetic,omitempty"`
	Shape     *Shape  `json:"shape"` // of the dose response, at every third decision time of the patients scored
	// Effects are those of simulated patients with two known futures; the
	// caller measures them (MeasureEffects), since a cohort cannot tell.
	Effects    *Effects `json:"counterfactual,omitempty"`
	DataDigest string   `json:"data_digest"`
	ModelHash  string   `json:"model_hash"`
}

// shapeEvery is every how many decision times the dose response is looked at.
const shapeEvery = 3

// Evaluate scores a model of the native or reference kind on the patients of rows that it has never seen. Where real
// and simulated patients are mixed, the scores are those of the real ones and
// the simulated ones stand apart. rows is read twice, and one stay at a time
// is in memory.
func Evaluate(ctx context.Context, rows iter.Seq2[cohort.Row, error], of Forecaster) (*Evaluation, error) {
	m, ok := of.(judged)
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrNotScored, of.Info().Kind)
	}
	digest, err := cohort.Digest(rows)
	if err != nil {
		return nil, err
	}
	e := &Evaluation{DataDigest: digest, ModelHash: m.Info().Hash}
	real, simulated, stays := newScorer(m), newScorer(m), 0
	realShape, simulatedShape := &shaper{}, &shaper{}
	for group, err := range cohort.ByStay(rows) {
		if err != nil {
			return nil, err
		}
		stays++
		if m.Record().knows(group[0].Patient) {
			e.LeftOut++
			continue
		}
		c, err := courseOf(group)
		if err != nil {
			return nil, err
		}
		to, shape := real, realShape
		if c.synthetic {
			to, shape = simulated, simulatedShape
		}
		to.course(m.scoringScale().samples(c, stays))
		for k := 0; k < len(c.timelines); k += shapeEvery {
			if err := shape.add(ctx, m, c.timelines[k]); err != nil {
				return nil, err
			}
		}
	}
	switch {
	case stays == 0:
		return nil, ErrEmptyCohort
	case stays == e.LeftOut:
		return nil, fmt.Errorf("%w (%d stays were left out)", ErrNothingToEvaluate, e.LeftOut)
	case real.steps == 0:
		e.Scores, e.Shape, e.Simulated = *simulated.scores(), simulatedShape.sum(), true
	default:
		e.Scores, e.Shape = *real.scores(), realShape.sum()
		if simulated.steps > 0 {
			e.Synthetic = simulated.scores()
		}
	}
	return e, nil
}

// course adds the samples of one stay.
func (t *scorer) course(samples []sample) {
	list := make([]*sample, len(samples))
	for i := range samples {
		list[i] = &samples[i]
	}
	t.add(list)
}
