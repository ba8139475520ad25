// SPDX-License-Identifier: Apache-2.0

package offline

// This file: the methods by name, and their settings.

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Method is a way to a policy, by the name that reports and files use.
type Method string

// The methods. A policy that follows a guideline's rules is made with Func by
// whoever knows the guideline.
const (
	Clinician    Method = "clinician"     // what clinicians do: a softmax fitted to the log
	NoTreatment  Method = "no_action"     // action 0 always
	Random       Method = "random"        // every action alike
	MostFrequent Method = "most_frequent" // the commonest action of the log
	Persistence  Method = "persistence"   // the action before, again
	AIClinician  Method = "ai_clinician"  // Komorowski 2018: clusters and policy iteration
	D3QN         Method = "d3qn"          // Raghu 2017: dueling double deep Q
	WD3QNE       Method = "wd3qne"        // npj Digit Med 2023, 6:15
	CQL          Method = "cql"           // Kumar 2020: conservative Q
	BCQ          Method = "bcq"           // Fujimoto 2019: batch-constrained Q, discrete
	IQL          Method = "iql"           // Kostrikov 2022: implicit Q
	BC           Method = "bc"            // behaviour cloning: the likeliest action of clinicians
)

// Methods are all methods, plain ones first.
var Methods = []Method{Clinician, NoTreatment, Random, MostFrequent, Persistence, AIClinician, BC, D3QN, WD3QNE, CQL, BCQ, IQL}

// ErrMethod means that there is no such method, or that its settings are not
// sound.
var ErrMethod = errors.New("no such way to learn a policy")

// ErrFit means that a policy could not be learnt; the text says why.
var ErrFit = errors.New("the policy could not be learnt")

// Progress is how far a fit is, for people.
type Progress struct {
	Method      Method
	Epoch, Of   int     // from 1
	Loss        float64 // mean over the epoch's steps, of the method's own objective
	Validation  float64 // imitation: nats per step on held-out patients; NaN elsewhere
	WeightsKept bool    // imitation: this epoch's weights are the best so far
}

// Fit learns a policy of a dataset with the settings, which Defaults gives. The
// same arguments give the same bytes. report, where it is not nil, is called
// after each epoch. Errors wrap ErrDataset, ErrMethod or ErrFit, or the
// context's.
func Fit(ctx context.Context, data *Dataset, method Method, cfg Config, report func(Progress)) (*Fitted, error) {
	if !slices.Contains(Methods, method) {
		return nil, fmt.Errorf("%w: %q", ErrMethod, method)
	}
	if err := data.Validate(); err != nil {
		return nil, err
	}
	if err := cfg.validate(method); err != nil {
		return nil, err
	}
	f := &Fitted{Record: Record{Method: method, Config: cfg, Inputs: data.Inputs, Actions: data.Actions, Steps: data.Steps()}}
	for i := range data.Episodes {
		if len(data.Episodes[i].Steps) > 0 {
			f.Episodes++
		}
	}
	var err error
	switch {
	case method.deep():
		f.policy, err = fitDeep(ctx, data, method, &f.Config, report)
	case method == AIClinician:
		var p *tablePolicy
		if p, err = fitAIClinician(ctx, data, &f.Config); err == nil {
			f.policy = p
			if f.States = data.States; p.clusters != nil {
				f.Clusters = len(p.clusters.centre)
			}
		}
	default:
		f.policy = fitPlain(data, method)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}
