// SPDX-License-Identifier: Apache-2.0

package learn

// This file: off-policy estimates on ICU-Sepsis. They are made from a second log
// of the same clinicians that no policy was learnt from. What clinicians do is
// estimated from it too, as it would have to be in a hospital.

import (
	"math"

	"github.com/sepsisagent/sepsisagent/engine/learn/icusepsis"
	"github.com/sepsisagent/sepsisagent/engine/learn/offline"
	"github.com/sepsisagent/sepsisagent/engine/ope"
)

// truthEstimators are the estimators by the names of design.md 8. The direct
// method on a fitted Q is what is called FQE.
var truthEstimators = []struct {
	name   string
	method ope.Method
}{{"wis", ope.WIS}, {"wpdis", ope.WPDIS}, {"dr", ope.DR}, {"fqe", ope.DM}}

const (
	// secondSeed parts the second log's seeds from the first's.
	secondSeed = 1 << 32
	// truthFolds is how many folds behaviour and Q are cross-fitted over.
	truthFolds = 2
	// qPrior is the steps of the state's average that fill a cell of Q.
	qPrior = 2
)

// behaviourPriors are the candidates for how many choices, shared out as
// everywhere, are added to a state's own; held-out choices decide.
var behaviourPriors = []float64{0.5, 1, 2, 5, 10, 20, 50}

// secondLog is a log to estimate from.
type secondLog struct {
	data      *offline.Dataset
	seen      []offline.Observation // of all steps in their order
	folds     []int
	behaviour [][][]float64 // by episode and step
	bootstrap ope.Bootstrap
}

func newSecondLog(t *icusepsis.Tables, n int, seed uint64, resamples int) (*secondLog, error) {
	data, err := t.Log(n, seed+secondSeed)
	if err != nil {
		return nil, err
	}
	s := &secondLog{data: data, bootstrap: ope.Bootstrap{Resamples: resamples, Seed: seed, Kind: ope.Envelope}}
	patients := make([]string, len(data.Episodes))
	for i := range data.Episodes {
		patients[i] = data.Episodes[i].Patient
		for t := range data.Episodes[i].Steps {
			s.seen = append(s.seen, data.Episodes[i].Steps[t].Observation)
		}
	}
	if s.folds, err = ope.Folds(patients, truthFolds, seed); err != nil {
		return nil, err
	}
	best := math.Inf(-1)
	for _, prior := range behaviourPriors {
		behaviour, likelihood, err := s.fitBehaviour(prior)
		if err != nil {
			return nil, err
		}
		if likelihood > best {
			best, s.behaviour = likelihood, behaviour
		}
	}
	return s, nil
}

// choices are the decisions of some episodes.
func (s *secondLog) choices(episodes []int) (c ope.Choices[int]) {
	for _, i := range episodes {
		for _, step := range s.data.Episodes[i].Steps {
			c.States, c.Actions = append(c.States, step.State), append(c.Actions, step.Action)
		}
	}
	return c
}

// fitBehaviour cross-fits what clinicians do, and gives the log-likelihood of
// what they did. An action that the other fold never saw anywhere would be
// impossible: all share a thousandth.
func (s *secondLog) fitBehaviour(prior float64) (out [][][]float64, likelihood float64, err error) {
	const everything = 1e-3
	out = make([][][]float64, len(s.data.Episodes))
	even := make([]float64, s.data.Actions)
	for a := range even {
		even[a] = 1 / float64(len(even))
	}
	err = ope.CrossFit(s.folds, func(train []int) (*ope.TabularPolicy, error) {
		return ope.FitTabular(s.choices(train), s.data.States, s.data.Actions, prior)
	}, func(b *ope.TabularPolicy, held []int) error {
		for _, i := range held {
			for _, step := range s.data.Episodes[i].Steps {
				p, err := ope.Mix(b.Probabilities(step.State), even, everything)
				if err != nil {
					return err
				}
				out[i] = append(out[i], p)
				likelihood += math.Log(p[step.Action])
			}
		}
		return nil
	})
	return out, likelihood, err
}

// estimate is every estimator's word on a policy.
func (s *secondLog) estimate(policy offline.Policy) ([]ope.Result, error) {
	target, err := policy.Probabilities(s.seen)
	if err != nil {
		return nil, err
	}
	episodes := make([]ope.Episode[int], len(s.data.Episodes))
	for i := range s.data.Episodes {
		logged := &s.data.Episodes[i]
		e := ope.Episode[int]{Patient: logged.Patient, Target: target[:len(logged.Steps)]}
		target = target[len(logged.Steps):]
		for _, step := range logged.Steps {
			e.States, e.Actions, e.Rewards = append(e.States, step.State), append(e.Actions, step.Action), append(e.Rewards, step.Reward)
		}
		episodes[i] = e
	}
	values, err := ope.CrossFQE(episodes, s.folds, ope.FQEOptions{Actions: s.data.Actions, Tolerance: 1e-3, High: 1}, ope.Table{States: s.data.States, Prior: qPrior})
	if err != nil {
		return nil, err
	}
	log := make([]ope.Trajectory, len(episodes))
	for i, e := range episodes {
		if log[i], err = e.Trajectory(s.behaviour[i], values[i]); err != nil {
			return nil, err
		}
	}
	// Cumulative weights are limited to √n (Ionides 2008): without a limit one
	// stay with a choice that clinicians hardly ever make decides. WPDIS is left
	// whole: normalised step by step, it would lose the long stays, whose
	// weights the limit cuts most.
	limited, err := ope.New(log, ope.Options{WeightMax: math.Sqrt(float64(len(log)))})
	if err != nil {
		return nil, err
	}
	whole, err := ope.New(log, ope.Options{})
	if err != nil {
		return nil, err
	}
	var out []ope.Result
	for _, e := range truthEstimators {
		sample := limited
		if e.method == ope.WPDIS {
			sample = whole
		}
		one, err := sample.Evaluate(s.bootstrap, e.method)
		if err != nil {
			return nil, err
		}
		out = append(out, one...)
	}
	return out, nil
}
