// SPDX-License-Identifier: Apache-2.0

package learn

// This file: what `evaluate policy` says, and the way to it: every landmark
// time of every stay is decided once, by the decider that answers a hook, and
// all that follows is counted from those decisions.

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

// ErrNoStay means that no stay is left to evaluate a policy on.
var ErrNoStay = errors.New("no stay of this cohort is new to the model (hint: evaluate on another cohort, or count those it was trained on too with --all)")

// PolicyOptions are what a policy is evaluated with.
type PolicyOptions struct {
	Decider *engine.Decider
	// Engine and Hashes are what the decider was made with, for the sweep of
	// its repeat window.
	Engine engine.Config
	Hashes engine.Hashes
	Model  world.Forecaster // for the behaviour of clinicians
	Judge  policy.Judge
	// Known says that a patient trained or chose the model, and is left out.
	// nil leaves out nobody.
	Known func(patient string) bool
	// Stays limits the stays; 0 is all. Which ones depends on their ids alone.
	Stays int
	// Others are learned policies whose value is to be estimated beside ours.
	Others []Candidate
	// Cases is how many cases to choose.
	Cases int
	// Resamples of the bootstrap; 0 is DefaultResamples.
	Resamples int
	// Progress hears how many stays of how many are done; nil: nobody.
	Progress func(done, of int)
}

// Candidate is a policy by name, whose probabilities of the pairs of levels
// [vasopressor][fluid] may be asked in any state. ok is false where it has none,
// and clinicians decide.
type Candidate struct {
	Name          string
	Probabilities func(tl *state.Timeline) (p [5][5]float64, ok bool, err error)
	// Advises says that it names one treatment and has no probabilities of its
	// own: it is followed as often as our advice is, and else clinicians decide.
	Advises bool
}

// DefaultResamples is how often patients are drawn anew for an interval.
const DefaultResamples = 1000

// PolicyEvaluation is the result. Its JSON keys are those of `evaluate policy
// --json`.
type PolicyEvaluation struct {
	Stays         int  `json:"stays"`
	Patients      int  `json:"patients"`
	LeftOut       int  `json:"left_out_stays"`            // of patients the model knows
	LeftSynthetic int  `json:"left_out_synthetic_stays"`  // simulated patients in a cohort with real ones
	NotSampled    int  `json:"not_sampled_stays"`         // over the limit that was asked for
	Training      bool `json:"training_patients_counted"` // nobody was left out: the numbers are optimistic
	Synthetic     bool `json:"synthetic"`                 // every patient is simulated

	Decisions     int            `json:"decisions"`
	Suggest       int            `json:"suggest"`
	Affirm        int            `json:"affirm"`
	Abstain       int            `json:"abstain"`
	NotApplicable int            `json:"not_applicable"`
	Errors        map[string]int `json:"errors"`
	// Reasons of abstentions and not-applicable, "status: code"; a decision may
	// have several. DangerOnAbstain are abstentions that showed a danger.
	Reasons         map[string]int `json:"reasons"`
	DangerOnAbstain int            `json:"danger_on_abstain"`

	Vasopressor LevelAgreement  `json:"vasopressor_levels"`
	Fluid       LevelAgreement  `json:"fluid_levels"`
	Direction   CourseAgreement `json:"direction"`
	Bolus       BolusAgreement  `json:"bolus"`
	FollowUps   []FollowUp      `json:"suggestions_followed_up"`

	GuidelineAdherence world.Number           `json:"guideline_adherence"` // percent, G1 and G2, ours; see Adherence
	Adherence          Adherence              `json:"adherence"`
	Hazards            map[string]HazardCount `json:"hazards"`

	CardsPerPatientDay world.Number `json:"cards_per_patient_day"`
	Burden             Burden       `json:"burden"`
	Sweep              Sweep        `json:"sweep"`
	OverTime           []DoseAtHour `json:"dose_over_time"`

	OPE         map[string]PolicyValue `json:"ope"`
	OPEPaper    map[string]PolicyValue `json:"ope_paper_reward"`
	OPESoftened map[string]PolicyValue `json:"ope_by_adherence"`      // ours, by how often it is followed
	OPEByTimes  map[string]PolicyValue `json:"ope_by_times_followed"` // ours, by how many of its advices are followed
	OPEByLimit  map[string]PolicyValue `json:"ope_by_ratio_limit"`    // ours, by the limit of a step's ratio; 0 is none
	OPESample   OPESample              `json:"ope_sample"`
	// Policies are the names in the order they were given in; Prescribing is what
	// each prescribes.
	Policies     []string               `json:"policies"`
	Prescribing  map[string]Prescribing `json:"prescribing"`
	Ranking      []string               `json:"ranking"` // by WIS, where the data can place a policy; empty: they cannot
	NotRanked    map[string]string      `json:"not_ranked"`
	Resamples    int                    `json:"resamples"`
	DataDigest   string                 `json:"data_digest"`
	Hashes       engine.Hashes          `json:"hashes"`
	CasesDrawn   []Case                 `json:"-"`
	PointsOfAll  []Point                `json:"-"`
	VisitsPerDay float64                `json:"views_per_patient_day"` // how often the simulated user looks
}

// EvaluatePolicies decides at every landmark time of the cohort's stays and
// counts what came out. rows is read twice, and a few stays at a time are in
// memory. The same cohort and options give the same numbers whatever
// GOMAXPROCS is.
func EvaluatePolicies(ctx context.Context, rows iter.Seq2[cohort.Row, error], opts PolicyOptions) (*PolicyEvaluation, error) {
	if opts.Resamples == 0 {
		opts.Resamples = DefaultResamples
	}
	e := &PolicyEvaluation{
		Errors: map[string]int{}, Reasons: map[string]int{}, Training: opts.Known == nil, Hashes: opts.Hashes, Resamples: opts.Resamples,
		VisitsPerDay: 24. / state.StepHours,
	}
	chosen, err := e.choose(rows, &opts)
	if err != nil {
		return nil, err
	}
	s := &sample{resamples: opts.Resamples, windowMin: opts.Engine.RepeatWindowMin, keep: opts.Cases}
	w := newWalker(&opts, chosen)
	for stay, err := range w.stays(ctx, rows) {
		if err != nil {
			return nil, err
		}
		s.add(stay)
		e.Stays++
		if opts.Progress != nil {
			opts.Progress(e.Stays, len(chosen))
		}
	}
	s.seal()
	e.count(s)
	e.CasesDrawn = chooseCases(s.cases, opts.Cases)
	e.Sweep = s.sweep()
	if err := e.value(s, &opts); err != nil {
		return nil, fmt.Errorf("off-policy evaluation: %w", err)
	}
	e.PointsOfAll = s.points
	return e, nil
}

// count fills in everything but values and the sweep.
func (e *PolicyEvaluation) count(s *sample) {
	e.Patients = len(s.patients)
	for i := range s.points {
		p := &s.points[i]
		if p.Error != "" {
			e.Errors[p.Error]++
			continue
		}
		e.Decisions++
		*e.statusCount(p)++
		for _, code := range p.Reasons {
			e.Reasons[string(p.Status)+": "+code]++
		}
		if !p.Speaks() && p.Applies() && len(p.Hazards) > 0 {
			e.DangerOnAbstain++
		}
	}
	e.agree(s)
	e.FollowUps = s.followUps()
	e.Adherence = s.adherence()
	e.GuidelineAdherence = 100 * e.Adherence.Published.Ours.Share
	e.Hazards = map[string]HazardCount{}
	for _, f := range FestorHazards() {
		e.Hazards[f.ID] = s.countHazard(f)
	}
	e.Burden = s.burden()
	e.CardsPerPatientDay = e.Burden.CardsPerPatientDay.Value
	e.OverTime = s.overTime()
}

func (e *PolicyEvaluation) statusCount(p *Point) *int {
	switch p.Status {
	case "suggest":
		return &e.Suggest
	case "affirm":
		return &e.Affirm
	case "abstain":
		return &e.Abstain
	}
	return &e.NotApplicable
}
