// SPDX-License-Identifier: Apache-2.0

package world

// This file: evaluation of a finished model on any cohort. It fits nothing and
// leaves out every patient who trained or chose the model.

import (
	"errors"
	"fmt"
	"iter"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
)

// ErrNothingToEvaluate: every patient of the cohort trained or chose the
// model. Evaluate on another cohort.
var ErrNothingToEvaluate = errors.New("no patient of this cohort is new to the model")

// Evaluation is the result of Evaluate. Its JSON keys are those of `evaluate
// world --json`.
type Evaluation struct {
	Scores
	LeftOut    int     `json:"left_out_stays"` // stays of patients the model has seen
	Synthetic  *Scores `json:"synthetic,omitempty"`
	DataDigest string  `json:"data_digest"`
	ModelHash  string  `json:"model_hash"`
}

// Evaluate scores m on the patients of rows that it has never seen. Where real
// and simulated patients are mixed, the scores are those of the real ones and
// the simulated ones stand apart. rows is read twice.
func Evaluate(rows iter.Seq2[cohort.Row, error], m *Model) (*Evaluation, error) {
	digest, err := cohort.Digest(rows)
	if err != nil {
		return nil, err
	}
	e := &Evaluation{DataDigest: digest, ModelHash: m.info.Hash}
	parts, err := m.file.Scale.gather(rows, func(first *cohort.Row) bool {
		if m.file.Training.knows(first.Patient) {
			e.LeftOut++
			return false
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	var all []*sample
	for _, part := range []cohort.Split{cohort.Train, cohort.Val, cohort.Test} {
		all = append(all, parts[part]...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w (%d stays were left out)", ErrNothingToEvaluate, e.LeftOut)
	}
	e.Scores = *m.score(preferReal(all))
	synthetic := keep(all, func(s *sample) bool { return s.synthetic })
	if len(synthetic) > 0 && len(synthetic) < len(all) {
		e.Synthetic = m.score(synthetic)
	}
	return e, nil
}
