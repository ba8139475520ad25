// SPDX-License-Identifier: Apache-2.0

package world

// This file: making a reference model from a cohort: on its own (`train world
// --kind reference`), or as the baseline that a native model stores.

import (
	"context"
	"fmt"
	"iter"
	"math"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// TrainReference fits both published networks to a cohort: the dynamics, and
// the outcome network to death in hospital, since cohorts seldom know who
// died by day 90. Patients, split and the record are those of Train; simulated
// patients are left out where there are real ones. cfg gives seed, version and
// cut-points, and the checkpoint to go on from; the rest comes from ref. The
// result depends on rows, cfg and ref and nothing else.
func TrainReference(ctx context.Context, rows iter.Seq2[cohort.Row, error], cfg TrainConfig, ref RefConfig, report func(Progress)) (*Reference, error) {
	if err := cfg.Levels.Validate(); err != nil {
		return nil, err
	}
	found, err := takeSurvey(rows, cfg.LeaveOut)
	if err != nil {
		return nil, err
	}
	parts, err := found.scale.gatherParts(rows, func(first *cohort.Row) (cohort.Split, bool) { return cfg.LeaveOut.part(first), true })
	if err != nil {
		return nil, err
	}
	ref.Seed = cfg.Seed
	kept, err := newKeeper(cfg.Checkpoint, refCheckpointKey(cfg, ref, found.digest), report)
	if err != nil {
		return nil, err
	}
	job := refJob{cfg: ref, levels: cfg.Levels, outcome: true, kept: kept}
	r, err := job.fit(ctx, parts[cohort.Train], parts[cohort.Val])
	if err != nil {
		return nil, err
	}
	r.file.Version, r.file.Settings = cfg.Version, &ref
	record := TrainingRecord{Config: cfg, Sources: found.counts, DataDigest: found.digest, Patients: found.patients, Hospitals: found.hospital, Curves: kept.curves(false)}
	r.file.Training = &record
	r.file.Origin = "fitted to " + record.sources()
	_, weights, err := r.encode()
	if err != nil {
		return nil, err
	}
	r.describe(digest(weights))
	return r, nil
}

// refJob says how reference networks are fitted to samples that carry their
// window.
type refJob struct {
	cfg     RefConfig
	levels  state.Config
	outcome bool // fit the outcome network too
	kept    *keeper
	before  int // networks trained before, by whoever keeps the state
}

// fit fits the dynamics network, and the outcome network where it is asked for
// and can be. Interval widths come from the validation samples.
func (j *refJob) fit(ctx context.Context, training, validation []*sample) (*Reference, error) {
	if err := j.cfg.check(); err != nil {
		return nil, err
	}
	learn, watch := examples(preferReal(training), (*refExample).observed), examples(preferReal(validation), (*refExample).observed)
	if len(learn) < 100 || len(watch) < 20 {
		return nil, fmt.Errorf("%w: %d training and %d validation steps with a measured next step are too few for the reference; want at least 100 and 20", ErrTraining, len(learn), len(watch))
	}
	file := refFile{Schema: refSchema, Scale: fitRefScale(windowsOf(learn)),
		Cuts: refCuts{Vasopressor: j.levels.VasopressorCuts, Fluid: j.levels.FluidCuts}}
	for i := range features {
		file.Features = append(file.Features, string(features[i].Name))
	}
	for f := range numF {
		file.Width80[f], file.Width95[f] = normal80, normal95
	}
	dynamics, err := j.network(ctx, 0, publishedDynamics(), &file.Scale, learn, watch)
	if err != nil {
		return nil, err
	}
	var death []float32
	known := func(e *refExample) bool { return e.died != unknown }
	if died, diedWatch := examples(preferReal(training), known), examples(preferReal(validation), known); j.outcome && bothOutcomes(died) && bothOutcomes(diedWatch) {
		if death, err = j.network(ctx, 1, publishedOutcome(), &file.Scale, died, diedWatch); err != nil {
			return nil, err
		}
		file.Outcome = outcomeInHospital
	}
	r := newReference(file, dynamics, death)
	r.calibrate(watch)
	return r, nil
}

// network fits one of the networks, or goes on with what is kept of it.
func (j *refJob) network(ctx context.Context, i int, net *refNet, scale *refScale, learn, watch []refExample) ([]float32, error) {
	members := 1
	if j.outcome {
		members = 2
	}
	f := newRefFitter(net, scale, j.cfg, learn, watch, func(p Progress) {
		p.Member, p.Members, p.Baseline = i, members, !j.outcome
		j.kept.epoch(p)
	})
	return j.kept.network(j.before+i, func(now *running) ([]float32, error) {
		if now == nil {
			var err error
			if now, err = f.start(); err != nil {
				return nil, err
			}
		}
		return f.network(ctx, now, j.kept.save)
	})
}

// referencePrefix begins the names of the baseline's tensors in the file of
// the native model that stores it.
const referencePrefix = "reference."

// fitBaseline fits the dynamics network that m stores as its baseline, after
// the members.
func (m *Model) fitBaseline(ctx context.Context, training, validation []*sample, cfg TrainConfig, kept *keeper) error {
	ref := cfg.Reference
	ref.Seed = cfg.Seed
	job := refJob{cfg: ref, levels: cfg.Levels, kept: kept, before: cfg.Members}
	r, err := job.fit(ctx, training, validation)
	if err != nil {
		return err
	}
	r.file.Version, r.file.Settings = cfg.Version, &ref
	r.file.Origin = "fitted to the patients that trained the native model it is stored with"
	m.reference, m.file.Reference = r, &r.file
	return nil
}

// What an outcome network predicts.
const (
	outcomeInHospital = "death in hospital"
	outcome90Days     = "death within 90 days"
)

// examples keeps the samples that are wanted.
func examples(samples []*sample, want func(*refExample) bool) (out []refExample) {
	for _, sm := range samples {
		if e := (refExample{w: sm.past, died: sm.died}); want(&e) {
			out = append(out, e)
		}
	}
	return out
}

// observed tells whether anything was measured in the next step.
func (e *refExample) observed() bool {
	for _, v := range e.w.next {
		if !isNaN(v) {
			return true
		}
	}
	return false
}

func bothOutcomes(examples []refExample) bool {
	var ones int
	for i := range examples {
		ones += int(examples[i].died)
	}
	return ones >= 5 && len(examples)-ones >= 5
}

// calibrate sets each feature's widths so that the next step's 80 % and 95 %
// intervals hold on patients that trained nothing (split conformal).
func (r *Reference) calibrate(validation []refExample) {
	var residuals [numF][]float64
	windows := windowsOf(validation)
	each := make([][numF]float64, len(windows))
	publishedDynamics().each(r.dynamics, &r.file.Scale, windows, func(from int, p *refPass) {
		for i := range p.rows {
			for f, y := range windows[from+i].next {
				ls, _ := bounded(p.sigma.Row(i)[f])
				each[from+i][f] = math.Abs(float64(r.file.Scale.z(f, y)-p.mu.Row(i)[f])) / math.Exp(float64(ls))
			}
		}
	})
	for i, w := range windows {
		for f, y := range w.next {
			if !isNaN(y) {
				residuals[f] = append(residuals[f], each[i][f])
			}
		}
	}
	for f := range numF {
		n := float64(len(residuals[f]))
		own := n / (n + shrinkage)
		r.file.Width80[f] = own*quantile(residuals[f], 0.8, normal80) + (1-own)*normal80
		r.file.Width95[f] = own*quantile(residuals[f], 0.95, normal95) + (1-own)*normal95
		r.file.Width80[f] = math.Max(r.file.Width80[f], 1e-3)
		r.file.Width95[f] = math.Max(r.file.Width95[f], 1.1*r.file.Width80[f])
	}
}
