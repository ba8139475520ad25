// SPDX-License-Identifier: Apache-2.0

package curriculum

// This file: training the Actor from recorded stays, by advantage-weighted
// imitation that is anchored to the behaviour model (after MARWIL, Wang et al.
// 2018, and AWAC, Nair et al. 2020).
//
// Why this and no Q-learning: a cohort of some thousand stays holds few steps
// for most of the 25 pairs of levels, so a bootstrapped value of each pair is
// mostly extrapolation (reference sepsisagent.md 2.9). Here a pair gains weight
// only by having been given: of two treatments that clinicians gave in such
// states, that one counts more after which the next 12 hours went better than
// expected. The expectation is fitted on other patients than those it judges.
// The outcome is the patient's state alone (MAP, lactate, organ scores without
// the circulation's, which counts the drug); treatment burden is no part of it.
//
// What comes out is an association in confounded records. So the weight of a
// step is bounded, the policy is pulled to the calibrated behaviour model, and
// the agent takes from it nothing but proposals.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// ErrActor is wrapped by every error of TrainActor but those of its rows.
var ErrActor = errors.New("actor training")

// actorMethod is what the record calls this way of training.
const actorMethod = "advantage-weighted imitation of recorded clinicians, pulled to the calibrated behaviour model; advantage over 12 h of MAP, lactate and organ scores, cross-fitted between patients; vasopressor level falls with MAP by construction"

// ActorConfig says how an actor is trained. Start from DefaultActorConfig.
type ActorConfig struct {
	Seed         uint64       `json:"seed"`
	Members      int          `json:"members"` // networks whose probabilities are averaged
	Hidden       int          `json:"hidden"`  // width of both hidden layers
	Epochs       int          `json:"epochs"`  // at most
	Patience     int          `json:"patience"`
	LearningRate float64      `json:"learning_rate"`
	WeightDecay  float64      `json:"weight_decay"`
	Dropout      float64      `json:"dropout"`
	Sharpness    float64      `json:"sharpness"`   // of the weights, per standard deviation of advantage; 0 imitates
	MostWeight   float64      `json:"most_weight"` // a step counts at most so much more, or less, than average
	Anchor       float64      `json:"anchor"`      // pull to the behaviour model, against one recorded step
	Levels       state.Config `json:"-"`           // cut-points of the levels; those of the world model
}

// DefaultActorConfig returns the settings the shipped actor was trained with.
func DefaultActorConfig() ActorConfig {
	return ActorConfig{Seed: 1, Members: 3, Hidden: 64, Epochs: 30, Patience: 4, LearningRate: 2e-3, WeightDecay: 0.3, Dropout: 0.2,
		Sharpness: 0.5, MostWeight: 4, Anchor: 0.5, Levels: state.DefaultConfig()}
}

func (c *ActorConfig) check() error {
	switch {
	case c.Members < 1 || c.Members > 16 || c.Hidden < 1 || c.Hidden > 1024 || c.Epochs < 1 || c.Patience < 1:
		return fmt.Errorf("%w: want 1 to 16 members, a width of 1 to 1024, and at least one epoch and one of patience", ErrActor)
	case !(c.LearningRate > 0) || !(c.WeightDecay >= 0) || !(c.Dropout >= 0 && c.Dropout < 1):
		return fmt.Errorf("%w: want a learning rate above 0, a decay of at least 0 and dropout in 0..1", ErrActor)
	case !(c.Sharpness >= 0) || !(c.MostWeight >= 1) || !(c.Anchor >= 0):
		return fmt.Errorf("%w: want sharpness and anchor of at least 0 and a most weight of at least 1", ErrActor)
	}
	return c.Levels.Validate()
}

// ActorProgress is reported after every epoch. Losses are nats per step.
type ActorProgress struct {
	Member, Members, Epoch, Epochs int
	Loss, ValidationLoss           float64
	Best                           bool
}

// ActorTrained is a trained actor: its record and the bytes of its files.
type ActorTrained struct {
	Record        agent.ActorRecord
	Weights, JSON []byte
	Hash          string
}

// TrainActor trains an actor for a world model on the patients that trained that
// model; validation patients stop it, and test patients only give the numbers of
// its card. Where the cohort holds real patients, simulated ones are left out:
// they were treated at random or by rule, and are not to be imitated. rows is
// read twice. The result depends on rows, model and cfg and nothing else.
func TrainActor(ctx context.Context, rows iter.Seq2[cohort.Row, error], model *world.Model, cfg ActorConfig, report func(ActorProgress)) (*ActorTrained, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	digest, real, err := lookOver(rows, model)
	if err != nil {
		return nil, err
	}
	set, err := gatherActorSteps(ctx, rows, model, real)
	if err != nil {
		return nil, err
	}
	train, watch := set[cohort.Train], set[cohort.Val]
	if len(train) < 100 || len(watch) < 20 {
		return nil, fmt.Errorf("%w: %d training and %d validation steps with known treatment are too few; want at least 100 and 20", ErrActor, len(train), len(watch))
	}
	if err := weigh(ctx, train, slices.Concat(watch, set[cohort.Test]), cfg); err != nil {
		return nil, err
	}
	members, err := fitActor(ctx, train, watch, cfg, report)
	if err != nil {
		return nil, err
	}
	settings, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	record := agent.ActorRecord{World: model.Info().Hash, Hidden: cfg.Hidden, Method: actorMethod, Settings: settings, DataDigest: digest,
		VasopressorCuts: cfg.Levels.VasopressorCuts, FluidCuts: cfg.Levels.FluidCuts, Patients: hashesOf(train, watch), Steps: len(train)}
	record.Validation = scoreActor(members, cfg.Hidden, watch)
	record.Test = scoreActor(members, cfg.Hidden, set[cohort.Test])
	out := &ActorTrained{}
	if out.Weights, out.JSON, err = agent.EncodeActor(record, members); err != nil {
		return nil, err
	}
	a, err := agent.NewActor(out.Weights, out.JSON, model)
	if err != nil {
		return nil, err
	}
	out.Record, out.Hash = a.Record(), a.Hash()
	return out, nil
}

// lookOver reads the cohort once for its digest, refuses patients the world model
// was not trained on, and says whether any training patient is real.
func lookOver(rows iter.Seq2[cohort.Row, error], model *world.Model) (digest string, real bool, err error) {
	digest, err = cohort.Digest(func(yield func(cohort.Row, error) bool) {
		for row, err := range rows {
			if err == nil && row.Part != cohort.Test {
				if !model.Record().TaughtBy(row.Patient) {
					err = fmt.Errorf("%w: the cohort has training patients that did not train the world model (hint: give the cohort that `train world` was given)", ErrActor)
				}
				real = real || !row.Synthetic
			}
			if !yield(row, err) {
				return
			}
		}
	})
	return digest, real, err
}

// actorStep is one decision time with what was given next and how it went on.
type actorStep struct {
	x         []float32 // the world model's encoding
	aboveMmHg float64   // MAP above goal at the time
	given     uint32    // pairs of levels that agree with what was given
	behaviour [agent.ActorPairs]float32
	better    float64 // by how much the next 12 h were better than now; NaN unknown
	weight    float64 // in the imitation
	advantage float64 // in standard deviations; 0 unknown
	patient   string

	// What stage I of the curriculum foresees: the change of each of
	// agent.ActorFeatures, death in hospital and need of a vasopressor; NaN unknown.
	next [agent.ActorDynamics]float64
}

// known reports whether both levels are.
func (s *actorStep) known() bool { return s.given != 0 && s.given&(s.given-1) == 0 }

// gatherActorSteps encodes every decision time whose next treatment is known at
// least in part.
func gatherActorSteps(ctx context.Context, rows iter.Seq2[cohort.Row, error], model *world.Model, real bool) (map[cohort.Split][]*actorStep, error) {
	set := map[cohort.Split][]*actorStep{}
	for group, err := range cohort.ByStay(rows) {
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if real && group[0].Synthetic {
			continue
		}
		stay := make([]*state.Timeline, len(group))
		for i := range group {
			if stay[i], err = group[i].Timeline(); err != nil {
				return nil, err
			}
		}
		for k := range stay[:len(stay)-1] {
			s, err := newActorStep(stay, k, model)
			if err != nil {
				return nil, err
			}
			if s != nil {
				s.patient = cohort.PatientHash(group[0].Patient)
				if err := s.foresee(stay, k, &group[k], model); err != nil {
					return nil, err
				}
				set[group[0].Part] = append(set[group[0].Part], s)
			}
		}
	}
	return set, nil
}

// newActorStep is nil where nothing is known of the treatment or no MAP is charted.
func newActorStep(stay []*state.Timeline, k int, model *world.Model) (*actorStep, error) {
	s := &actorStep{given: world.Pairs(world.Settled(stay, k+1).Given), better: improvement(stay, k)}
	above, ok := agent.AboveGoalMmHg(stay[k])
	if s.given == 0 || !ok {
		return nil, nil
	}
	s.aboveMmHg = above
	var err error
	if s.x, err = model.Encode(stay[k]); err != nil {
		return nil, err
	}
	b, err := model.Behaviour(stay[k])
	if err != nil {
		return nil, err
	}
	for i := range s.behaviour {
		s.behaviour[i] = float32(b[i/5][i%5])
	}
	return s, nil
}

// aheadSteps is how many steps of 4 h an advantage looks ahead, as the agent does.
const aheadSteps = 3

// improvement is the cost of the patient's state now minus its mean over the next
// 12 h; NaN where neither is known.
func improvement(stay []*state.Timeline, k int) float64 {
	now := world.Settled(stay, k)
	goal := stay[k].Present.MAP.GoalMmHg
	sum, n := 0.0, 0.0
	for h := 1; h <= aheadSteps && k+h < len(stay); h++ {
		if d, ok := costFall(now, world.Settled(stay, k+h), goal); ok {
			sum, n = sum+d, n+1
		}
	}
	if n == 0 {
		return math.NaN()
	}
	return sum / n
}

// costFall is by how much the cost of step b is below that of a, over what both
// show: MAP below goal per 10 mmHg, lactate above 2 per 2 mmol/L with a weight of
// 0.3, and SOFA without the circulation per 4 points with a weight of 0.5. These
// are the weights of the agent's value.
func costFall(a, b *state.Step, goalMmHg float64) (fall float64, ok bool) {
	add := func(feature int, weight float64, cost func(v float64) float64) {
		if a.Presence[feature] != state.Missing && b.Presence[feature] != state.Missing {
			fall, ok = fall+weight*(cost(a.Value[feature])-cost(b.Value[feature])), true
		}
	}
	add(state.MeanBP, 1, func(v float64) float64 { return math.Max(0, goalMmHg-v) / 10 })
	add(state.Lactate, 0.3, func(v float64) float64 { return math.Max(0, v-2) / 2 })
	if x, y := &a.SOFA, &b.SOFA; x.Scored > 0 && y.Scored == x.Scored {
		fall += 0.5 * float64(x.Total-max(0, x.Cardio)-y.Total+max(0, y.Cardio)) / 4
	}
	return fall, ok
}

func hashesOf(parts ...[]*actorStep) []string {
	seen := map[string]bool{}
	for _, part := range parts {
		for _, s := range part {
			seen[s.patient] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// scoreActor compares the members' mean probabilities with what was given.
func scoreActor(members [][]float32, hidden int, steps []*actorStep) agent.ActorScore {
	net := agent.NewActorNetwork(hidden)
	pass := net.NewPass(1)
	var out agent.ActorScore
	patients := map[string]bool{}
	var favoured, weights, other, others float64
	for _, s := range steps {
		if !s.known() {
			continue
		}
		patients[s.patient] = true
		out.Steps++
		p := net.Mean(members, pass, s.x, s.aboveMmHg)
		given := bits.TrailingZeros32(s.given) // the only one, since it is known
		for i := range p {
			if p[i] > 0 {
				out.KL += float64(s.behaviour[i]) * math.Log(float64(s.behaviour[i])/p[i])
			}
		}
		out.LogLoss -= math.Log(math.Max(p[given], 1e-9))
		out.BehaviourLogLoss -= math.Log(math.Max(float64(s.behaviour[given]), 1e-9))
		if likeliest(p[:]) == given {
			out.Agreement++
		}
		if likeliest(s.behaviour[:]) == given {
			out.BehaviourAgree++
		}
		switch tilt := math.Log(p[given] / math.Max(float64(s.behaviour[given]), 1e-9)); {
		case math.IsNaN(s.better):
		case tilt > 0:
			favoured, weights = favoured+tilt*s.advantage, weights+tilt
		default:
			other, others = other-tilt*s.advantage, others-tilt
		}
	}
	out.Patients = len(patients)
	if n := float64(out.Steps); n > 0 {
		out.LogLoss, out.BehaviourLogLoss, out.Agreement, out.BehaviourAgree, out.KL = out.LogLoss/n, out.BehaviourLogLoss/n, out.Agreement/n, out.BehaviourAgree/n, out.KL/n
	}
	if weights > 0 && others > 0 {
		out.Gain = favoured/weights - other/others
	}
	return out
}

func likeliest[T float32 | float64](p []T) int {
	best := 0
	for i := range p {
		if p[i] > p[best] {
			best = i
		}
	}
	return best
}

// chance is the source of one part of the training's chance.
func chance(seed, part uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, part)) }
