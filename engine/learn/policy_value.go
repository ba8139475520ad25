// SPDX-License-Identifier: Apache-2.0

package learn

// This file: what a policy may have been worth, by off-policy estimators over
// the stays whose treatment is charted throughout. A deterministic policy is
// evaluated as it would be in use: followed most of the time, and else
// clinicians decide; where we abstain, they decide anyway.

import (
	"fmt"
	"math"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/ope"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// Settings of the estimates, with the section of the reference they are from.
const (
	// valueSteps is the longest episode: 72 h, as Komorowski 2018 has it.
	valueSteps = 18
	// followed is how often advice is followed; the softening of 3.3.
	followed = 0.9
	// ratioMax limits each step's ratio (3.3).
	ratioMax = 10
	// cumulativeMax limits the cumulative ratio (3.3).
	cumulativeMax = 1e4
	// leastBehaviour is lifted into every behaviour probability.
	leastBehaviour = 1e-3
	// valueFolds keeps patients out of the models they are evaluated with; fewer
	// where there are fewer patients.
	valueFolds = 5
	// ridgePenalty of fitted Q on standardised features: few patients, many
	// actions.
	ridgePenalty = 30
)

// How often, and how many times, our advice is followed in the tables beside.
var (
	followedShares = []float64{0.5, 0.75, followed, 0.99}
	followedTimes  = []int{1, 2, 4, 8, valueSteps}
)

// limitsTried are the limits of a step's ratio in the table beside; 0 is none.
var limitsTried = []float64{2, 5, ratioMax, 50, 0}

// The policies that are always in the table.
const (
	PolicyClinician = "clinician"
	PolicyNoAction  = "no_action"
	PolicyRandom    = "random"
	PolicyOurs      = "ours"
	PolicyActor     = "actor" // the learned, behaviour-regularised one; where there is one
)

var standingPolicies = []string{PolicyClinician, PolicyNoAction, PolicyRandom, PolicyOurs}

// ValueEstimate is one estimator's number.
type ValueEstimate struct {
	Value world.Number `json:"value"`
	Low   world.Number `json:"low"`
	High  world.Number `json:"high"`
	ESS   world.Number `json:"ess"`
	// Less is the value less that of clinicians, from the same resamples.
	Less Estimate `json:"less_clinician"`
}

// PolicyValue is a policy's value by each estimator; fqe is the direct method
// on fitted Q. dr is with its cumulative ratios limited to the square root of
// the number of episodes, since they are not divided by their sum, and with the
// effective sample size that the weights have without that limit; wdr divides.
type PolicyValue struct {
	WIS   ValueEstimate `json:"wis"`
	WPDIS ValueEstimate `json:"wpdis"`
	DR    ValueEstimate `json:"dr"`
	FQE   ValueEstimate `json:"fqe"`
	WDR   ValueEstimate `json:"wdr"`
	// Alive is WPDIS as some publish it, normalised over the stays that still
	// run: it counts the end of a stay several times and is no return.
	Alive ValueEstimate `json:"wpdis_alive"`
	// MaxWeight is the largest weight as a share of all; LostMass what the limit
	// on the ratios took away.
	MaxWeight world.Number `json:"max_weight"`
	LostMass  world.Number `json:"lost_mass"`
	// Outside is the mean probability of what clinicians do in fewer than 1 % of
	// such states.
	Outside world.Number `json:"outside_support"`
}

// OPESample is what the estimates rest on.
type OPESample struct {
	Episodes int `json:"episodes"`
	Patients int `json:"patients"`
	Steps    int `json:"steps"`
	Deaths   int `json:"deaths"`
	// Stays without an estimate, and why.
	NeverApplied     int `json:"never_applicable_stays"`
	UnknownTreatment int `json:"unknown_treatment_stays"`
	UnknownOutcome   int `json:"unknown_outcome_stays"`
	TooShort         int `json:"too_short_stays"`
	// Deferred is the share of steps at which we abstain and clinicians decide.
	Deferred world.Number `json:"deferred_steps"`
	// Calibration of the behaviour model on these choices, after temperature.
	LogLoss world.Number `json:"behaviour_log_loss"`
	Brier   world.Number `json:"behaviour_brier"`
	ECE     world.Number `json:"behaviour_ece"`
	Top1    world.Number `json:"behaviour_top1"`
	// Reliability is that calibration in bins of probability, of every pair.
	Reliability []ReliabilityBin `json:"behaviour_reliability"`
	// Control is the value of ours by WIS less that of clinicians when returns
	// are dealt out to the wrong stays: mean and 95 % range over many deals, about 0
	// when nothing but treatment tells.
	Control Estimate `json:"permuted_reward_control"`
	// Why there is no estimate at all; empty where there is.
	Why string `json:"why_not,omitempty"`
}

// ReliabilityBin is how often what was given probabilities of a bin came about.
type ReliabilityBin struct {
	Of        int          `json:"of"` // pairs of levels, 25 per step
	Predicted world.Number `json:"predicted"`
	Observed  world.Number `json:"observed"`
}

// episode is one stay from the first time the decision applied.
type episode struct {
	patient string
	points  []*Point
	logged  []int
	b       [][]float64
	spoken  []int // how often we had spoken before each step
	died    bool
	final   float64
}

// value fills in the estimates.
func (e *PolicyEvaluation) value(s *sample, opts *PolicyOptions) error {
	e.OPE, e.OPEPaper, e.OPESoftened, e.OPEByTimes = map[string]PolicyValue{}, map[string]PolicyValue{}, map[string]PolicyValue{}, map[string]PolicyValue{}
	e.OPEByLimit = map[string]PolicyValue{}
	e.NotRanked, e.Ranking = map[string]string{}, []string{}
	episodes := e.episodes(s)
	names := slices.Clone(standingPolicies)
	standing := len(names)
	for _, c := range opts.Others {
		names = append(names, c.Name)
	}
	e.Policies, e.Prescribing = names, s.prescribing(names, standing)
	if e.OPESample.Patients < 2 {
		e.OPESample.Why = fmt.Sprintf("%d patients with treatment and outcome charted throughout; at least 2 are needed", e.OPESample.Patients)
		for _, name := range names {
			e.OPE[name], e.OPEPaper[name] = unvalued(), unvalued()
			e.NotRanked[name] = e.OPESample.Why
		}
		e.unmeasured()
		return nil
	}
	patients := make([]string, len(episodes))
	for i := range episodes {
		patients[i] = episodes[i].patient
	}
	folds, err := ope.Folds(patients, min(valueFolds, e.OPESample.Patients), bootstrapSeed)
	if err != nil {
		return err
	}
	if err := e.calibrate(episodes, folds); err != nil {
		return err
	}
	v := valuer{episodes: episodes, folds: folds, bootstrap: ope.Bootstrap{Resamples: opts.Resamples, Seed: bootstrapSeed, Kind: ope.Envelope}}
	var named []ope.Named
	for i, name := range names {
		target := targets(name, i-standing, i >= standing && opts.Others[i-standing].Advises)
		for kind, into := range []map[string]PolicyValue{e.OPE, e.OPEPaper} {
			value, wis, err := v.estimate(target, kind, ratioMax)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			into[name] = value
			if kind == PatientReward {
				named = append(named, ope.Named{Name: name, Result: wis})
			}
		}
	}
	for _, share := range followedShares {
		value, _, err := v.estimate(ours(share, valueSteps), PatientReward, ratioMax)
		if err != nil {
			return err
		}
		e.OPESoftened[fmt.Sprintf("%g", share)] = value
	}
	for _, times := range followedTimes {
		value, _, err := v.estimate(ours(followed, times), PatientReward, ratioMax)
		if err != nil {
			return err
		}
		e.OPEByTimes[fmt.Sprint(times)] = value
	}
	for _, limit := range limitsTried {
		value, _, err := v.estimate(ours(followed, valueSteps), PatientReward, limit)
		if err != nil {
			return err
		}
		e.OPEByLimit[fmt.Sprintf("%g", limit)] = value
	}
	if e.OPESample.Control, err = v.control(); err != nil {
		return err
	}
	return e.rank(named)
}

// rank places the policies that the data can place.
func (e *PolicyEvaluation) rank(named []ope.Named) error {
	ranked, refused, err := ope.Rank(named)
	if err != nil {
		return err
	}
	for _, r := range ranked {
		e.Ranking = append(e.Ranking, r.Name)
	}
	for name, why := range refused {
		e.NotRanked[name] = why.Error()
	}
	if len(e.Ranking) < 3 {
		e.Ranking = []string{} // clinicians and one other are no order: see the difference and its interval
	}
	return nil
}

// episodes are the stays that can be valued.
func (e *PolicyEvaluation) episodes(s *sample) []episode {
	out := []episode{}
	o := &e.OPESample
	seen := map[string]bool{}
	deferred := 0
	for _, stay := range s.stays {
		ep, why := episodeOf(s.points[stay[0]:stay[1]], o)
		if why != nil {
			*why++
			continue
		}
		out = append(out, ep)
		seen[ep.patient] = true
		o.Steps += len(ep.points)
		for _, p := range ep.points {
			if !p.Speaks() {
				deferred++
			}
		}
		if ep.died {
			o.Deaths++
		}
	}
	o.Episodes, o.Patients = len(out), len(seen)
	o.Deferred = world.Number(float64(deferred) / float64(o.Steps))
	return out
}

// episodeOf takes a stay from the first time a decision applied, for as long as
// it goes on or 72 h. Nothing later than a step decides whether the step is
// taken, but for this: a stay with one step of unknown treatment is left out
// whole, since no ratio can be had of it, and long stays have more such steps.
func episodeOf(points []Point, o *OPESample) (ep episode, why *int) {
	first := slices.IndexFunc(points, func(p Point) bool { return p.Applies() })
	if first < 0 {
		return ep, &o.NeverApplied
	}
	spoken := 0
	for i := first; i < len(points) && len(ep.points) < valueSteps; i++ {
		p := &points[i]
		if !p.HasNext {
			break
		}
		if p.Error != "" || !p.Given.known() {
			return ep, &o.UnknownTreatment
		}
		ep.points, ep.logged, ep.spoken = append(ep.points, p), append(ep.logged, p.Given.action()), append(ep.spoken, spoken)
		if p.Speaks() {
			spoken++
		}
	}
	if len(ep.points) == 0 {
		return ep, &o.TooShort
	}
	last := ep.points[len(ep.points)-1]
	if !last.TerminalKnown {
		return ep, &o.UnknownOutcome
	}
	ep.patient, ep.final, ep.died = last.Patient, last.Terminal, last.Terminal < 0
	return ep, nil
}

// target gives a policy's probabilities at one step of an episode.
type target func(ep *episode, t int) ([]float64, error)

// targets is the policy of a name; other is its place among the others, and
// advises that it is followed as ours is.
func targets(name string, other int, advises bool) target {
	switch name {
	case PolicyClinician:
		return func(ep *episode, t int) ([]float64, error) { return ep.b[t], nil }
	case PolicyNoAction:
		return func(ep *episode, t int) ([]float64, error) { return ope.Mix(only(0), ep.b[t], 1-followed) }
	case PolicyRandom:
		even := evenly()
		return func(*episode, int) ([]float64, error) { return even, nil }
	case PolicyOurs:
		return ours(followed, valueSteps)
	}
	return func(ep *episode, t int) ([]float64, error) {
		p := ep.points[t]
		switch {
		case other >= len(p.Others) || p.Others[other] == nil:
			return ep.b[t], nil
		case advises:
			return ope.Mix(p.Others[other], ep.b[t], 1-followed)
		}
		return p.Others[other], nil // it has probabilities of its own: nothing is to be softened
	}
}

// ours is our advice where there is any, followed that share of the time and
// for so many times; else clinicians decide.
func ours(share float64, times int) target {
	return func(ep *episode, t int) ([]float64, error) {
		p := ep.points[t]
		if !p.Speaks() || !p.Advised.known() || ep.spoken[t] >= times {
			return ep.b[t], nil
		}
		return ope.Mix(only(p.Advised.action()), ep.b[t], 1-share)
	}
}

func evenly() []float64 { return slices.Repeat([]float64{1. / Actions}, Actions) }

func only(action int) []float64 {
	out := make([]float64, Actions)
	out[action] = 1
	return out
}

// unvalued is a policy without any number.
func unvalued() PolicyValue {
	nan := world.Number(math.NaN())
	none := ValueEstimate{nan, nan, nan, nan, Estimate{nan, nan, nan}}
	return PolicyValue{none, none, none, none, none, none, nan, nan, nan}
}

// unmeasured is what is said of the sample when nothing was estimated.
func (e *PolicyEvaluation) unmeasured() {
	nan := world.Number(math.NaN())
	o := &e.OPESample
	o.Reliability = []ReliabilityBin{}
	o.LogLoss, o.Brier, o.ECE, o.Top1, o.Control = nan, nan, nan, nan, Estimate{nan, nan, nan}
}
