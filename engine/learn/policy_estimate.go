// SPDX-License-Identifier: Apache-2.0

package learn

// This file: from episodes and a policy to the numbers of the estimators.

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/ope"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// valuer estimates policies on the same episodes, folds and resamples.
type valuer struct {
	episodes  []episode
	folds     []int
	bootstrap ope.Bootstrap
}

// valueMethods are the estimators whose weights stand as they are.
var valueMethods = []ope.Method{ope.WIS, ope.WPDIS, ope.DM, ope.WDR, ope.WPDISAlive}

// rewardsOf are the rewards of an episode, the last with how the hospital stay
// ended. The published code puts the end in place of the last reward; here it
// is added, so that no step is lost.
func (ep *episode) rewardsOf(kind int) []float64 {
	out := make([]float64, len(ep.points))
	for i, p := range ep.points {
		out[i] = p.Rewards[kind]
	}
	out[len(out)-1] += ep.final
	return out
}

// estimate values a policy with each step's ratio limited to limit, 0 for none;
// the WIS result is for ranking.
func (v *valuer) estimate(of target, kind int, limit float64) (PolicyValue, ope.Result, error) {
	none := ope.Result{}
	full := make([]ope.Episode[[]float64], len(v.episodes))
	log := make([]ope.Trajectory, len(v.episodes))
	var targetAll, behaviourAll [][]float64
	for i := range v.episodes {
		ep := &v.episodes[i]
		full[i] = ope.Episode[[]float64]{Patient: ep.patient, Actions: ep.logged, Rewards: ep.rewardsOf(kind)}
		log[i] = ope.Trajectory{Patient: ep.patient, Rewards: full[i].Rewards}
		for t, p := range ep.points {
			pi, err := of(ep, t)
			if err != nil {
				return unvalued(), none, err
			}
			full[i].States, full[i].Target = append(full[i].States, p.State), append(full[i].Target, pi)
			log[i].Behaviour, log[i].Target = append(log[i].Behaviour, ep.b[t][ep.logged[t]]), append(log[i].Target, pi[ep.logged[t]])
			targetAll, behaviourAll = append(targetAll, pi), append(behaviourAll, ep.b[t])
		}
	}
	low, high := returns(full)
	values, err := ope.CrossFQE(full, v.folds, ope.FQEOptions{Actions: Actions, Rounds: valueSteps + 1, Low: low, High: high}, ope.Ridge{Penalty: ridgePenalty})
	if err != nil {
		return unvalued(), none, err
	}
	for i := range log {
		log[i].Values = values[i]
	}
	s, err := ope.New(log, ope.Options{RatioMax: limit, WeightMax: cumulativeMax})
	if err != nil {
		return unvalued(), none, err
	}
	results, err := s.Evaluate(v.bootstrap, valueMethods...)
	if err != nil {
		return unvalued(), none, err
	}
	limited, err := ope.New(log, ope.Options{RatioMax: limit, WeightMax: math.Sqrt(float64(len(log)))})
	if err != nil {
		return unvalued(), none, err
	}
	doubly, err := limited.Evaluate(v.bootstrap, ope.DR)
	if err != nil {
		return unvalued(), none, err
	}
	doubly[0].ESS = results[3].ESS // a limit makes weights alike, not data many
	support, err := ope.CheckSupport(targetAll, behaviourAll, 0.01)
	if err != nil {
		return unvalued(), none, err
	}
	d := s.Diagnose()
	return PolicyValue{
		WIS: numbers(results[0]), WPDIS: numbers(results[1]), DR: numbers(doubly[0]), FQE: numbers(results[2]), WDR: numbers(results[3]), Alive: numbers(results[4]),
		MaxWeight: world.Number(d.MaxWeight), LostMass: world.Number(d.LostMass), Outside: world.Number(support.Mass),
	}, results[0], nil
}

// returns bounds a fitted value by the returns that were seen.
func returns(episodes []ope.Episode[[]float64]) (low, high float64) {
	for i, e := range episodes {
		sum := 0.0
		for _, r := range e.Rewards {
			sum += r
		}
		if i == 0 {
			low, high = sum, sum
		}
		low, high = min(low, sum), max(high, sum)
	}
	return low, high
}

func numbers(r ope.Result) ValueEstimate {
	n := func(v float64) world.Number { return world.Number(v) }
	return ValueEstimate{n(r.Value), n(r.Low), n(r.High), n(r.ESS), Estimate{n(r.Difference.Value), n(r.Difference.Low), n(r.Difference.High)}}
}

// deals is how often the control deals returns anew.
const deals = 500

// control deals the returns of stays to other stays, many times: the weights
// stay, and what they could tell is gone. It gives the mean over the deals of
// the value of ours by WIS less that of clinicians, and the range of 95 % of
// them. A difference within that range is one that chance makes of these weights.
func (v *valuer) control() (Estimate, error) {
	n := len(v.episodes)
	log, returns := make([]ope.Trajectory, n), make([]float64, n)
	policy := ours(followed, valueSteps)
	for i := range v.episodes {
		ep := &v.episodes[i]
		for _, r := range ep.rewardsOf(PatientReward) {
			returns[i] += r
		}
		log[i] = ope.Trajectory{Patient: ep.patient, Rewards: make([]float64, len(ep.points))}
		for t := range ep.points {
			pi, err := policy(ep, t)
			if err != nil {
				return Estimate{}, err
			}
			log[i].Behaviour, log[i].Target = append(log[i].Behaviour, ep.b[t][ep.logged[t]]), append(log[i].Target, pi[ep.logged[t]])
		}
	}
	rng := rand.New(rand.NewPCG(bootstrapSeed, 0x6465616c))
	gains := make([]float64, deals)
	mean := 0.0
	for k := range gains {
		for i, from := range rng.Perm(n) {
			last := len(log[i].Rewards) - 1
			log[i].Rewards[last] = returns[from]
		}
		s, err := ope.New(log, ope.Options{RatioMax: ratioMax, WeightMax: cumulativeMax})
		if err != nil {
			return Estimate{}, err
		}
		dealt, err := s.Value(ope.WIS)
		if err != nil {
			return Estimate{}, fmt.Errorf("control: %w", err)
		}
		logged, err := s.Value(ope.Logged)
		if err != nil {
			return Estimate{}, fmt.Errorf("control: %w", err)
		}
		gains[k] = dealt - logged
		mean += gains[k] / deals
	}
	slices.Sort(gains)
	return Estimate{world.Number(mean), world.Number(ope.Quantile(gains, 0.025)), world.Number(ope.Quantile(gains, 0.975))}, nil
}
