// SPDX-License-Identifier: Apache-2.0

package world

// This file: training a model from courses: scale, members, calibration,
// support, baselines, and the record of all of it.

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"sort"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// ErrTraining: no model could be made. The message says what to change.
var ErrTraining = errors.New("training")

// TrainConfig says how a model is trained. Start from DefaultTrainConfig.
type TrainConfig struct {
	Seed         uint64  `json:"seed"`          // every random choice follows from it
	Version      string  `json:"version"`       // semver of the weights, named on every card
	Members      int     `json:"members"`       // networks in the ensemble
	Hidden       int     `json:"hidden"`        // width of the two hidden layers
	Effect       int     `json:"effect"`        // width of the effect part's hidden layer
	Epochs       int     `json:"epochs"`        // at most
	Patience     int     `json:"patience"`      // epochs without a better validation loss before a member stops
	LearningRate float64 `json:"learning_rate"` // highest; falls along a cosine
	WeightDecay  float64 `json:"weight_decay"`
	Dropout      float64 `json:"dropout"`
	Centres      int     `json:"centres"` // of the support atlas, at most
	RidgeLambda  float64 `json:"ridge_lambda"`
	// Reference says how the stored baseline of the published kind is trained.
	Reference RefConfig `json:"reference"`
	// EffectsFromRecords lets real, confounded records teach the effect part
	// too. It shows what would come of that and is not for use.
	EffectsFromRecords bool `json:"effects_from_records,omitempty"`
	// LeaveOut names hospitals that training does not see at all; their patients
	// are scored apart.
	LeaveOut LeaveOut `json:"leave_out_hospitals,omitzero"`
	// Checkpoint is the file in which training keeps its state after every
	// epoch, and from which it goes on after a kill; empty keeps none. Whoever
	// sets it removes the file once the model is written.
	Checkpoint string `json:"-"`
	// Damp gives simulated patients with two known futures, who damp the effects
	// on lactate and urine; nil damps nothing. They must not be those that the
	// effects are measured on afterwards.
	Damp iter.Seq2[Simulated, error] `json:"-"`
	// Levels gives the cut-points of the behaviour model's levels. They are
	// stored with the model: a site that changes its cut-points must train.
	Levels state.Config `json:"-"`
	mix    mix
}

// DefaultTrainConfig returns the settings the shipped model was trained with.
func DefaultTrainConfig() TrainConfig {
	return TrainConfig{Seed: 1, Version: "0.3.0", Members: 5, Hidden: 96, Effect: 24, Epochs: 14, Patience: 6,
		LearningRate: 3e-3, WeightDecay: 0.5, Dropout: 0.2, Centres: 256, RidgeLambda: 30, Reference: DefaultRefConfig(),
		Levels: state.DefaultConfig(), mix: defaultMix}
}

// settle fills in what follows from the rest.
func (c *TrainConfig) settle() {
	if c.mix == (mix{}) {
		c.mix = defaultMix
	}
	if c.EffectsFromRecords {
		c.mix.realEffect = 1
	}
}

// check refuses settings that cannot work.
func (c *TrainConfig) check() error {
	switch {
	case c.Members < 1 || c.Members > 64:
		return fmt.Errorf("%w: %d members; want 1 to 64", ErrTraining, c.Members)
	case c.Hidden < 1 || c.Hidden > 4096 || c.Effect < 1 || c.Effect > 4096:
		return fmt.Errorf("%w: widths %d and %d; want 1 to 4096", ErrTraining, c.Hidden, c.Effect)
	case c.Epochs < 1 || c.Patience < 1 || c.Centres < 1:
		return fmt.Errorf("%w: epochs, patience and centres must be at least 1", ErrTraining)
	case !(c.LearningRate > 0) || !(c.WeightDecay >= 0) || !(c.RidgeLambda > 0) || !(c.Dropout >= 0 && c.Dropout < 1):
		return fmt.Errorf("%w: learning rate and ridge lambda must be above 0, decay at least 0, dropout in 0..1", ErrTraining)
	}
	if err := c.LeaveOut.check(); err != nil {
		return fmt.Errorf("%w: %w", ErrTraining, err)
	}
	return c.Levels.Validate()
}

// Progress is reported after every epoch. Losses are mean log-likelihood
// losses per observed value, lower is better.
type Progress struct {
	Member         int     `json:"member"`
	Members        int     `json:"members"`
	Epoch          int     `json:"epoch"`
	Epochs         int     `json:"epochs"`
	TrainLoss      float64 `json:"train_loss"`
	ValidationLoss float64 `json:"validation_loss"`
	Best           bool    `json:"best"`               // the lowest validation loss of this member so far
	Baseline       bool    `json:"baseline,omitempty"` // of the reference network that a native model stores; not in its record
}

// Train makes a model from a cohort: 70 % of patients train it, 15 % stop and
// calibrate it, and the other 15 % only give the numbers of the model card. The
// split is the cohort's own. rows is read twice and must give the same both
// times, stay by stay. report, which may be nil, is called after every epoch.
// The result depends on rows, cfg and nothing else. Errors wrap ErrTraining,
// are those of rows, or ctx's.
func Train(ctx context.Context, rows iter.Seq2[cohort.Row, error], cfg TrainConfig, report func(Progress)) (*Model, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.settle()
	found, err := takeSurvey(rows, cfg.LeaveOut)
	if err != nil {
		return nil, err
	}
	parts, err := found.scale.gatherParts(rows, func(first *cohort.Row) (cohort.Split, bool) { return cfg.LeaveOut.part(first), true })
	if err != nil {
		return nil, err
	}
	m := newModel(cfg, found)
	if err := m.learn(ctx, parts[cohort.Train], parts[cohort.Val], cfg, report); err != nil {
		return nil, err
	}
	record := &m.file.Training
	record.Validation = m.score(preferReal(parts[cohort.Val]))
	if test := parts[cohort.Test]; len(test) > 0 {
		record.Test = m.score(preferReal(test))
		synthetic := keep(test, func(s *sample) bool { return s.synthetic })
		if len(synthetic) > 0 && len(synthetic) < len(test) {
			record.TestSynthetic = m.score(synthetic)
		}
	}
	if fresh := keep(parts[newHospital], func(s *sample) bool { return !record.knows(s.patient) }); len(fresh) > 0 {
		record.TestHospitals = m.score(fresh)
	}
	_, weights, err := m.encode()
	if err != nil {
		return nil, err
	}
	m.describe(digest(weights))
	return m, nil
}

func newModel(cfg TrainConfig, found *survey) *Model {
	m := &Model{net: newNetwork(newArchitecture(cfg.Hidden, cfg.Effect))}
	m.net.arch.Unsigned = cfg.mix.unsigned
	m.file = modelFile{Schema: schema, Version: cfg.Version, Architecture: m.net.arch, Members: cfg.Members,
		VasopressorCuts: cfg.Levels.VasopressorCuts, FluidCuts: cfg.Levels.FluidCuts, Scale: *found.scale,
		Training: TrainingRecord{Config: cfg, Sources: found.counts, DataDigest: found.digest, Patients: found.patients, Hospitals: found.hospital, People: found.people}}
	for i := range features {
		m.file.Features = append(m.file.Features, string(features[i].Name))
	}
	return m
}

// learn fits members, baselines, calibration and support.
func (m *Model) learn(ctx context.Context, training, validation []*sample, cfg TrainConfig, report func(Progress)) error {
	learn := keep(training, (*sample).observed)
	watch := preferReal(keep(validation, (*sample).observed))
	if len(learn) < 100 || len(watch) < 20 {
		return fmt.Errorf("%w: %d training and %d validation steps with a measured next step are too few; want at least 100 and 20", ErrTraining, len(learn), len(watch))
	}
	kept, err := newKeeper(cfg.Checkpoint, checkpointKey(cfg, m.net.arch, m.file.Training.DataDigest), report)
	if err != nil {
		return err
	}
	if err := m.fitMembers(ctx, learn, watch, cfg, kept); err != nil {
		return err
	}
	if m.ridge, err = fitRidge(preferReal(learn), cfg.RidgeLambda); err != nil {
		return err
	}
	if m.death, err = fitOutcome(slices.Concat(training, validation)); err != nil {
		return err
	}
	m.file.FollowUp, m.file.Training.Followed = fitFollowUp(slices.Concat(training, validation), m.death)
	if err := m.fitBaseline(ctx, learn, watch, cfg, kept); err != nil {
		return err
	}
	m.persistenceWidths(preferReal(learn))
	m.freeWidths()
	m.earn(validation, cfg)
	if cfg.Damp != nil && !cfg.EffectsFromRecords {
		if err := m.damp(ctx, cfg.Damp); err != nil {
			return err
		}
	}
	m.calibrate(preferReal(validation))
	m.atlas = newAtlas(training, validation, cfg.Centres, cfg.Seed)
	m.file.Far = m.atlas.far
	return nil
}

// fitMembers fits the networks, or goes on with what is kept of them.
func (m *Model) fitMembers(ctx context.Context, learn, watch []*sample, cfg TrainConfig, kept *keeper) error {
	fit := newFitter(m.net, &m.file.Scale, cfg, learn, watch, kept.epoch)
	for i := range cfg.Members {
		theta, err := kept.network(i, func(now *running) ([]float32, error) {
			if now == nil {
				var err error
				if now, err = fit.start(i); err != nil {
					return nil, err
				}
			}
			return fit.member(ctx, now, kept.save)
		})
		if err != nil {
			return err
		}
		m.members = append(m.members, theta)
	}
	m.file.Training.Curves = kept.curves(false)
	return nil
}

func keep(in []*sample, ok func(*sample) bool) (out []*sample) {
	for _, s := range in {
		if ok(s) {
			out = append(out, s)
		}
	}
	return out
}

// preferReal keeps real patients, or all when there are none.
func preferReal(in []*sample) []*sample {
	if real := keep(in, func(s *sample) bool { return !s.synthetic }); len(real) > 0 {
		return real
	}
	return in
}

// observed tells whether anything was measured after the decision.
func (s *sample) observed() bool {
	for _, y := range s.y {
		if !isNaN(y) {
			return true
		}
	}
	return false
}

// freeWidths sets the widths that hold before calibration.
func (m *Model) freeWidths() {
	m.file.Stretch, m.file.LeastSpread = evenly, [Horizon * numF]float64{}
	for f := range numF {
		m.file.Trust[f] = 1
		for act := range numActs {
			m.file.Earned[act][f] = 1
		}
	}
	for h := range Horizon {
		for f := range numF {
			m.file.Width80[h][f], m.file.Width95[h][f] = freeWidth80, freeWidth95
		}
	}
}

// persistenceWidths measures how far values move from the last known one.
func (m *Model) persistenceWidths(samples []*sample) {
	for h := range Horizon {
		for f := range numF {
			var moves []float64
			for _, sm := range samples {
				if y := sm.y[h*numF+f]; !isNaN(y) {
					moves = append(moves, math.Abs(float64(y-sm.x[f*perFeature+inLast])))
				}
			}
			w := 0.5 * math.Sqrt(float64(h+1))
			m.file.Persist80[h][f] = math.Max(quantile(moves, 0.8, w), 1e-3)
			m.file.Persist95[h][f] = math.Max(quantile(moves, 0.95, 2*w), 1.1*m.file.Persist80[h][f])
		}
	}
}

// SourceCount says how much data of one source trained and chose the model.
type SourceCount struct {
	Source   string `json:"source"`
	Patients int    `json:"patients"`
	Stays    int    `json:"stays"`
	Steps    int    `json:"steps"`
}

// TrainingRecord is what the model remembers of its making. Evaluate uses the
// patient list to leave out everybody who trained or chose it.
type TrainingRecord struct {
	Config        TrainConfig   `json:"config"`
	Sources       []SourceCount `json:"sources"` // training and validation
	DataDigest    string        `json:"data_digest"`
	Patients      []string      `json:"patients"`  // cohort.PatientHash, sorted; training and validation
	Hospitals     []string      `json:"hospitals"` // hashes of the real hospitals among them, sorted
	Curves        []Progress    `json:"curves"`
	Validation    *Scores       `json:"validation"` // of the patients that stopped and calibrated it: optimistic
	Test          *Scores       `json:"test,omitempty"`
	TestSynthetic *Scores       `json:"test_synthetic,omitempty"`
	TestHospitals *Scores       `json:"test_hospitals,omitempty"` // of the hospitals that were left out
	People        []PeopleCount `json:"people,omitempty"`         // real patients of training and validation
	Effects       *Effects      `json:"counterfactual,omitempty"` // see RecordEffects
	Followed      Followed      `json:"followed_90d,omitzero"`    // whom the head of death within 90 days was learned from
}

// knows tells whether the patient trained or chose the model.
func (r *TrainingRecord) knows(patient string) bool {
	h := cohort.PatientHash(patient)
	i := sort.SearchStrings(r.Patients, h)
	return i < len(r.Patients) && r.Patients[i] == h
}

// knowsHospital tells whether a patient of the hospital trained or chose the
// model. A chart that names no hospital is of none that it knows.
func (r *TrainingRecord) knowsHospital(id string) bool {
	_, found := slices.BinarySearch(r.Hospitals, hospitalHash(id))
	return found
}

// sources describes the training data for people.
func (r *TrainingRecord) sources() string {
	text := ""
	for i, s := range r.Sources {
		if i > 0 {
			text += "; "
		}
		text += fmt.Sprintf("%s: %d patients, %d stays", s.Source, s.Patients, s.Stays)
	}
	return text
}
