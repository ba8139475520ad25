// SPDX-License-Identifier: Apache-2.0

// Package offline learns treatment policies from logged decisions alone: the
// published offline reinforcement learners that a new policy is held up
// against, and the plain policies that any learner must beat. Actions are
// numbered; a state is a vector of features, with the number of a cluster where
// states are a finite set. Nothing here knows medicine, so the same code serves
// ICU-Sepsis, whose truth is known, and the timelines of real stays.
//
// Fit learns one policy of a Dataset. Every deep method goes through one
// training loop on one goroutine, so the same data, settings and seed give the
// same bytes whatever GOMAXPROCS is. Encode and Decode carry fitted policies in a
// model folder, so that an evaluation fits nothing.
//
// The package trusts the caller that features and states of a step were known
// when its action was taken, and that steps are in the order of time. It checks
// shapes and numbers of a Dataset, and trusts no file.
package offline

// This file: logged decisions.

import (
	"errors"
	"fmt"
	"math"
)

// ErrDataset means that a dataset cannot be learnt from; the text says why.
var ErrDataset = errors.New("no sound dataset of logged decisions")

// NoState is the state of an observation where states are no finite set.
const NoState = -1

// NoAction is the previous action of an observation that has none.
const NoAction = -1

// Observation is what a policy may read when it decides.
type Observation struct {
	// Features are Dataset.Inputs finite numbers, in the dataset's own units:
	// learners standardise them.
	Features []float32
	// State is a number from 0 to Dataset.States-1, or NoState.
	State int
	// Previous is the action before this one, or NoAction.
	Previous int
	// Allowed says which actions may be chosen; nil: all. A policy gives every
	// other action probability 0.
	Allowed []bool
}

// Step is one logged decision.
type Step struct {
	Observation
	// Action is what was done, from 0.
	Action int
	// Reward is what came of it, until the next step or the end.
	Reward float64
	// SOFA is the score, 0 to 24, when the action was taken: WD3QNE follows
	// clinicians below 4. NaN where it is not known.
	SOFA float64
}

// Episode is the logged decisions about one stay, in the order of time. After
// the last comes the end, which is worth 0.
type Episode struct {
	// Patient decides the side of every split: stays of one patient are never
	// apart.
	Patient string
	Steps   []Step
	// Cut says that the log stops before the stay ends. What came of the last
	// step is then unknown: it is imitated, but no value is learnt from it.
	Cut bool
}

// Dataset is logged episodes.
type Dataset struct {
	// Inputs is the number of features of a step.
	Inputs int
	// Actions is the number of actions, at least 2.
	Actions int
	// States is the number of states where every step names one, else 0.
	States   int
	Episodes []Episode
}

// Steps is the number of logged decisions.
func (d *Dataset) Steps() (n int) {
	for i := range d.Episodes {
		n += len(d.Episodes[i].Steps)
	}
	return n
}

// Validate reports the first fault of the dataset; the error wraps ErrDataset.
func (d *Dataset) Validate() error {
	switch {
	case d.Actions < 2 || d.Inputs < 1 || d.States < 0:
		return fmt.Errorf("%w: %d actions, %d features, %d states", ErrDataset, d.Actions, d.Inputs, d.States)
	case d.Steps() == 0:
		return fmt.Errorf("%w: no steps", ErrDataset)
	}
	for i := range d.Episodes {
		if d.Episodes[i].Patient == "" && len(d.Episodes[i].Steps) > 0 {
			return fmt.Errorf("%w: episode %d is of nobody", ErrDataset, i)
		}
		for t := range d.Episodes[i].Steps {
			if err := d.check(&d.Episodes[i].Steps[t]); err != nil {
				return fmt.Errorf("%w: episode %d, step %d: %w", ErrDataset, i, t, err)
			}
		}
	}
	return nil
}

func (d *Dataset) check(s *Step) error {
	if err := s.check(d.Inputs, d.Actions, d.States); err != nil {
		return err
	}
	switch {
	case s.Action < 0 || s.Action >= d.Actions:
		return fmt.Errorf("action %d of %d", s.Action, d.Actions)
	case s.Allowed != nil && !s.Allowed[s.Action]:
		return fmt.Errorf("action %d was not allowed", s.Action)
	case math.IsNaN(s.Reward) || math.IsInf(s.Reward, 0):
		return errors.New("the reward is not finite")
	case math.IsInf(s.SOFA, 0):
		return errors.New("SOFA is not finite")
	}
	return nil
}

// check reports what makes an observation unreadable for policies of so many
// features, actions and states; states 0 lets any state pass.
func (o *Observation) check(inputs, actions, states int) error {
	if len(o.Features) != inputs {
		return fmt.Errorf("%d features, want %d", len(o.Features), inputs)
	}
	for j, x := range o.Features {
		if v := float64(x); math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("feature %d is not finite", j)
		}
	}
	if states > 0 && (o.State < 0 || o.State >= states) {
		return fmt.Errorf("state %d of %d", o.State, states)
	}
	if o.Previous < NoAction || o.Previous >= actions {
		return fmt.Errorf("previous action %d of %d", o.Previous, actions)
	}
	if o.Allowed == nil {
		return nil
	}
	if len(o.Allowed) != actions {
		return fmt.Errorf("%d actions are marked as allowed or not, want %d", len(o.Allowed), actions)
	}
	for _, ok := range o.Allowed {
		if ok {
			return nil
		}
	}
	return errors.New("no action is allowed")
}
