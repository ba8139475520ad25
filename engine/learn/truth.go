// SPDX-License-Identifier: Apache-2.0

package learn

// This file: where the truth is known. On ICU-Sepsis every method learns from N
// logged stays alone, is worth what the tables say, and is estimated from N
// other stays as one would estimate it in a hospital, so that estimates can be
// held against the truth.

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/learn/icusepsis"
	"github.com/sepsisagent/sepsisagent/engine/learn/offline"
	"github.com/sepsisagent/sepsisagent/engine/learn/planner"
	"github.com/sepsisagent/sepsisagent/engine/ope"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// TruthOurs is the name of our planner among the methods. The others are the same
// planner with what no log tells: which actions the tables admit, and besides what
// follows each state on average and how many stays stand behind each pair. They
// are no learners; they show what the log cannot give.
const (
	TruthOurs       = "ours"
	TruthAdmissible = "ours_told_admissible"
	TruthTold       = "ours_told_all"
)

// LeastTruthEpisodes is the fewest logged stays to learn from.
const LeastTruthEpisodes = 10

// ErrTruth means that the question to ICU-Sepsis makes no sense; the text says
// why.
var ErrTruth = errors.New("nothing to compare with the truth")

// TruthMethods are the names of all methods, ours last, and what it is when told.
func TruthMethods() (names []string) {
	for _, m := range offline.Methods {
		names = append(names, string(m))
	}
	return append(names, TruthOurs, TruthAdmissible, TruthTold)
}

// truthQuick are the methods that fit in seconds.
var truthQuick = []string{string(offline.NoTreatment), string(offline.Random), string(offline.MostFrequent), string(offline.Persistence), string(offline.AIClinician), TruthOurs, TruthAdmissible, TruthTold}

// TruthOptions say what to compare.
type TruthOptions struct {
	Tables *icusepsis.Tables
	// Episodes is the number of logged stays, at least LeastTruthEpisodes.
	// Estimates are made from as many others.
	Episodes int
	// Seed is that of the first log; repetition r uses Seed+r.
	Seed uint64
	// Repeat is how many logs are drawn, DeepRepeat how many of them the
	// networks are fitted on: at most Repeat, 0 for all.
	Repeat, DeepRepeat int
	// EstimateRepeat is on how many of them estimates are made; 0 for all.
	EstimateRepeat int
	// Methods are names out of TruthMethods; nil means all.
	Methods []string
	// Resamples of whole patients make an interval; 0 means 300.
	Resamples int
	// Progress, where it is not nil, is called before each fit.
	Progress func(seed uint64, method string, done, of int)
}

// TruthReport is the comparison. Values are chances of survival.
type TruthReport struct {
	Episodes int    `json:"episodes"`
	Seed     uint64 `json:"seed"`
	Repeat   int    `json:"repeat"`
	// DeepRepeat and EstimateRepeat are on how many logs networks were fitted
	// and estimates made.
	DeepRepeat     int `json:"deep_repeat"`
	EstimateRepeat int `json:"estimate_repeat"`
	// Exact values from the tables.
	RandomValue    world.Number  `json:"random_value"`
	ClinicianValue world.Number  `json:"clinician_value"`
	OptimalValue   world.Number  `json:"optimal_value"`
	Resamples      int           `json:"resamples"`
	Methods        []TruthMethod `json:"methods"`
}

// TruthMethod is one method.
type TruthMethod struct {
	Name string `json:"name"`
	// ExactValue is the mean over the logs, SD its spread from log to log.
	ExactValue world.Number   `json:"exact_value"`
	SD         world.Number   `json:"sd"`
	Values     []world.Number `json:"values"`
	// Estimates are of the first log's policy, by estimator.
	Estimates map[string]TruthEstimate `json:"estimates"`
}

// TruthEstimate is one estimate, its 95 % interval over resampled patients, and
// whether the interval holds the truth.
type TruthEstimate struct {
	Value  world.Number `json:"value"`
	Low    world.Number `json:"low"`
	High   world.Number `json:"high"`
	ESS    world.Number `json:"ess"`
	Covers bool         `json:"covers"`
	// Over all logs: how many intervals held the truth, of how many that there
	// were, the mean error, and the mean effective sample size.
	Held      int          `json:"held"`
	Of        int          `json:"of"`
	MeanError world.Number `json:"mean_error"`
	MeanESS   world.Number `json:"mean_ess"`
}

func (o *TruthOptions) validate() error {
	if o.Methods == nil {
		o.Methods = TruthMethods()
	}
	if o.Resamples == 0 {
		o.Resamples = 300
	}
	if o.DeepRepeat == 0 {
		o.DeepRepeat = o.Repeat
	}
	if o.EstimateRepeat == 0 {
		o.EstimateRepeat = o.Repeat
	}
	switch {
	case o.Tables == nil:
		return fmt.Errorf("%w: no tables", ErrTruth)
	case o.Episodes < LeastTruthEpisodes:
		return fmt.Errorf("%w: %d stays, want at least %d", ErrTruth, o.Episodes, LeastTruthEpisodes)
	case o.Repeat < 1 || o.DeepRepeat < 0 || o.DeepRepeat > o.Repeat || o.EstimateRepeat < 0 || o.EstimateRepeat > o.Repeat:
		return fmt.Errorf("%w: %d repetitions, %d with networks, %d with estimates", ErrTruth, o.Repeat, o.DeepRepeat, o.EstimateRepeat)
	case len(o.Methods) == 0:
		return fmt.Errorf("%w: no methods", ErrTruth)
	}
	for i, name := range o.Methods {
		if !slices.Contains(TruthMethods(), name) {
			return fmt.Errorf("%w: no method %q (hint: %v)", ErrTruth, name, TruthMethods())
		}
		if slices.Contains(o.Methods[:i], name) {
			return fmt.Errorf("%w: %s twice", ErrTruth, name)
		}
	}
	return nil
}

// MeasureTruth compares. The same options give the same report.
func MeasureTruth(ctx context.Context, o TruthOptions) (*TruthReport, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	r := &TruthReport{Episodes: o.Episodes, Seed: o.Seed, Repeat: o.Repeat, DeepRepeat: o.DeepRepeat, EstimateRepeat: o.EstimateRepeat, Resamples: o.Resamples}
	if err := r.bounds(o.Tables); err != nil {
		return nil, err
	}
	runs := make([]truthRuns, len(o.Methods))
	done, of := 0, 0
	for _, name := range o.Methods {
		of += o.repeats(name)
	}
	for k := range o.Repeat {
		seed := o.Seed + uint64(k)
		log, err := o.Tables.Log(o.Episodes, seed)
		if err != nil {
			return nil, err
		}
		var second *secondLog
		if k < o.EstimateRepeat {
			if second, err = newSecondLog(o.Tables, o.Episodes, seed, o.Resamples); err != nil {
				return nil, err
			}
		}
		for i, name := range o.Methods {
			if k >= o.repeats(name) {
				continue
			}
			if o.Progress != nil {
				o.Progress(seed, name, done, of)
			}
			done++
			policy, err := truthFit(ctx, o.Tables, log, name, seed)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if err := runs[i].add(o.Tables, policy, second); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	for i, name := range o.Methods {
		r.Methods = append(r.Methods, runs[i].report(name))
	}
	return r, nil
}

// repeats is on how many logs a method is fitted.
func (o *TruthOptions) repeats(name string) int {
	if slices.Contains(truthQuick, name) {
		return o.Repeat
	}
	return o.DeepRepeat
}

// bounds fills in the values that need no log.
func (r *TruthReport) bounds(t *icusepsis.Tables) error {
	even := slices.Repeat([][]float64{slices.Repeat([]float64{1.0 / icusepsis.Actions}, icusepsis.Actions)}, icusepsis.States)
	random, err := t.ValueOf(even)
	if err != nil {
		return err
	}
	clinicians, err := t.ValueOf(t.Clinicians())
	if err != nil {
		return err
	}
	best, _, err := t.Best()
	r.RandomValue, r.ClinicianValue, r.OptimalValue = world.Number(random), world.Number(clinicians), world.Number(best)
	return err
}

// truthFit learns one policy of a log: all that a method gets to see, but for
// those that are told by the tables. Returns
// are not discounted, as their value is not; every other setting is the
// method's default.
func truthFit(ctx context.Context, tables *icusepsis.Tables, log *offline.Dataset, name string, seed uint64) (offline.Policy, error) {
	var told planner.Told
	switch name {
	case TruthTold:
		told.Average, told.Stays = tables.Average(), tables.Stays()
		fallthrough
	case TruthAdmissible:
		told.Admissible = tables.Admissible()
		fallthrough
	case TruthOurs:
		return planner.Fit(ctx, log, planner.Config{Seed: seed, Told: told})
	}
	cfg := offline.Defaults(offline.Method(name))
	cfg.Seed, cfg.Discount = seed, 1
	return offline.Fit(ctx, log, offline.Method(name), cfg, nil)
}

// truthRuns are the results of one method, log by log.
type truthRuns struct {
	values  []float64
	results [][]ope.Result
}

func (t *truthRuns) add(tables *icusepsis.Tables, policy offline.Policy, second *secondLog) error {
	value, err := tables.Value(policy)
	if err != nil {
		return err
	}
	t.values = append(t.values, value)
	if second == nil {
		return nil
	}
	results, err := second.estimate(policy)
	t.results = append(t.results, results)
	return err
}

// report sums the runs up.
func (t *truthRuns) report(name string) TruthMethod {
	m := TruthMethod{Name: name, Estimates: map[string]TruthEstimate{}, SD: world.Number(math.NaN())}
	n := float64(len(t.values))
	mean, square := 0.0, 0.0
	for _, v := range t.values {
		m.Values = append(m.Values, world.Number(v))
		mean += v / n
	}
	for _, v := range t.values {
		square += (v - mean) * (v - mean)
	}
	if m.ExactValue = world.Number(mean); n > 1 {
		m.SD = world.Number(math.Sqrt(square / (n - 1)))
	}
	for i, first := range t.results[0] {
		e := TruthEstimate{Value: world.Number(first.Value), Low: world.Number(first.Low), High: world.Number(first.High), ESS: world.Number(first.ESS), Covers: first.Holds(t.values[0])}
		sum, sizes := 0.0, 0.0
		for k, results := range t.results {
			sizes += results[i].ESS / float64(len(t.results))
			if math.IsNaN(results[i].Low) || math.IsNaN(results[i].Value) {
				continue
			}
			e.Of++
			sum += results[i].Value - t.values[k]
			if results[i].Holds(t.values[k]) {
				e.Held++
			}
		}
		e.MeanError, e.MeanESS = world.Number(sum/float64(e.Of)), world.Number(sizes)
		m.Estimates[truthEstimators[i].name] = e
	}
	return m
}
