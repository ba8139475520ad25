// SPDX-License-Identifier: Apache-2.0

package learn

// This file: the published learners on recorded stays. They are fitted where an
// actor is, on patients that trained the world model, and carried by the model
// folder, so that an evaluation fits nothing.

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/learn/offline"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// ErrBaseline is wrapped by every error about baselines but those of rows.
var ErrBaseline = errors.New("baselines")

// leastBaselineSteps is how many decisions a fit needs at least.
const leastBaselineSteps = 100

// TrainBaselines fits methods on the patients of a cohort that trained or stopped
// the world model, all stays of intensive care, septic or not. Where the cohort
// holds real patients, simulated ones are left out. The reward is the published
// one (PaperReward, and ±15 for how the hospital stay ended): it is what these
// learners were published with. The result depends on its arguments alone.
func TrainBaselines(ctx context.Context, rows iter.Seq2[cohort.Row, error], model *world.Model, methods []offline.Method, seed uint64, report func(offline.Progress)) ([]*offline.Fitted, error) {
	data, err := baselineData(ctx, rows, model, func(patient string) bool { return model.Record().TaughtBy(patient) })
	if err != nil {
		return nil, err
	}
	var out []*offline.Fitted
	for _, method := range methods {
		cfg := offline.Defaults(method)
		cfg.Seed = seed
		fitted, err := offline.Fit(ctx, data, method, cfg, report)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBaseline, err)
		}
		out = append(out, fitted)
	}
	return out, nil
}

// baselineData turns the stays of training and validation patients into logged
// decisions. A training patient that taught says nothing of is refused: the
// cohort is then not the world model's.
func baselineData(ctx context.Context, rows iter.Seq2[cohort.Row, error], encoder agent.Encoder, taught func(patient string) bool) (*offline.Dataset, error) {
	real, simulated := baselineSet(), baselineSet()
	for group, err := range cohort.ByStay(rows) {
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		first := &group[0]
		if first.Part == cohort.Test {
			continue
		}
		if !taught(first.Patient) {
			return nil, fmt.Errorf("%w: the cohort has training patients that did not train the world model (hint: give the cohort that `train world` was given)", ErrBaseline)
		}
		into := real
		if first.Synthetic {
			into = simulated
		}
		episodes, err := loggedDecisions(group, encoder)
		if err != nil {
			return nil, err
		}
		into.Episodes = append(into.Episodes, episodes...)
	}
	if real.Steps() == 0 {
		real = simulated
	}
	if n := real.Steps(); n < leastBaselineSteps {
		return nil, fmt.Errorf("%w: %d decisions with known treatment are too few; want at least %d", ErrBaseline, n, leastBaselineSteps)
	}
	return real, nil
}

func baselineSet() *offline.Dataset {
	return &offline.Dataset{Inputs: world.InputSize, Actions: Actions}
}

// loggedDecisions are the decisions of one stay whose treatment is known. Where
// it is not, or a step is missing, an episode is cut and another begins; the last
// ends with how the hospital stay ended, where that is known.
func loggedDecisions(group []cohort.Row, encoder agent.Encoder) (out []offline.Episode, err error) {
	run := offline.Episode{Patient: cohort.PatientHash(group[0].Patient)}
	finish := func(cut bool) {
		if run.Cut = cut; len(run.Steps) > 0 {
			out = append(out, run)
		}
		run.Steps = nil
	}
	for i := range group {
		next, ok := cohort.Next(group, i)
		if !ok {
			if i < len(group)-1 {
				finish(true)
			}
			continue
		}
		given := treatmentOf(&next.Given)
		if !given.known() {
			finish(true)
			continue
		}
		tl, err := group[i].Timeline()
		if err != nil {
			return nil, err
		}
		step := offline.Step{Action: given.action(), Reward: rewards(&group[i], next)[PaperReward], SOFA: math.NaN()}
		if step.Observation, err = baselineSees(tl, encoder); err != nil {
			return nil, err
		}
		if s := &tl.Last().SOFA; s.Scored > 0 {
			step.SOFA = float64(s.Total)
		}
		run.Steps = append(run.Steps, step)
	}
	last, ended := terminal(&group[len(group)-1])
	if ended = ended && len(run.Steps) > 0; ended {
		run.Steps[len(run.Steps)-1].Reward += last
	}
	finish(!ended)
	return out, nil
}

// baselineSees is what a baseline reads of a timeline: what the world model
// reads, and the levels of the step that ends now.
func baselineSees(tl *state.Timeline, encoder agent.Encoder) (o offline.Observation, err error) {
	o = offline.Observation{State: offline.NoState, Previous: offline.NoAction}
	if o.Features, err = encoder.Encode(tl); err != nil {
		return o, err
	}
	if before := treatmentOf(&tl.Last().Given); before.known() {
		o.Previous = before.action()
	}
	return o, nil
}

// BaselineCandidates are fitted baselines as candidates of an evaluation, in
// their order, each by its method's name.
func BaselineCandidates(fitted []*offline.Fitted, encoder agent.Encoder) (out []Candidate) {
	for _, f := range fitted {
		stochastic := f.Method == offline.Clinician || f.Method == offline.Random
		out = append(out, Candidate{Name: string(f.Method), Advises: !stochastic, Probabilities: func(tl *state.Timeline) (p [5][5]float64, ok bool, err error) {
			o, err := baselineSees(tl, encoder)
			if err != nil {
				return p, false, err
			}
			chances, err := f.Probabilities([]offline.Observation{o})
			if err != nil {
				return p, false, err
			}
			for a, v := range chances[0] {
				p[a/5][a%5] = v
			}
			return p, true, nil
		}})
	}
	return out
}
