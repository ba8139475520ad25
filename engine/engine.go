// SPDX-License-Identifier: Apache-2.0

// Package engine is the decider: from one Case, everything a decision may
// read, to an Outcome, what was decided and whether it is shown, and the
// Receipt from which the decision can be made again.
//
// Decide is a pure function of the Case and of the model, rules and
// configuration that Hashes name: no clock, no chance beyond the seed in the
// Case, no state between calls. A language model, where one is asked, is the
// one exception, and what it said becomes part of the recorded Case.
//
// The package trusts its caller to have put nothing into the Case that was not
// known at the decision time, and the audit log to tell the truth about prior
// decisions. It does not trust the agent: a decision that breaks an invariant
// of design.md 5 is an error, never a card.
package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

// Errors of this package. ErrCase is about what was handed in, ErrUnsound about
// what the agent answered; neither leaves anything to show.
var (
	ErrCase    = errors.New("case not usable")
	ErrUnsound = errors.New("decision breaks an invariant")
	ErrConfig  = errors.New("decider configuration")
)

// Display modes (design.md 5.11).
const (
	DisplaySilent  = "silent"  // decide and record, show nothing
	DisplayInform  = "inform"  // show, but no dose
	DisplaySuggest = "suggest" // show the suggestion
)

// Agent decides for one timeline. agent.Native is one.
type Agent interface {
	// Decide is deterministic in its arguments. An error means no decision.
	Decide(ctx context.Context, tl *state.Timeline, seed uint64) (agent.Decision, error)
	// Model identifies the world model that was simulated on.
	Model() world.Info
}

var _ Agent = (*agent.Native)(nil)

// Consultant is an Agent that asks a language model. What comes back is
// recorded, because asking again may answer otherwise.
type Consultant interface {
	Agent
	// Consult is Decide with the conversation. Given a recorded one it asks
	// nobody and is deterministic in its arguments. Whatever the model says or
	// fails to say is no error.
	Consult(ctx context.Context, tl *state.Timeline, seed uint64, recorded *agent.Transcript) (agent.Decision, *agent.Transcript, error)
}

// Config says what is done about a decision.
type Config struct {
	// RepeatWindowMin is how long the same advice on unchanged evidence is not
	// shown again to the same user. Default 60 min; 0 never suppresses a repeat.
	// An overridden card silences its topic whatever this is.
	RepeatWindowMin float64 `yaml:"repeat_window_min" json:"repeat_window_min"`
	// Unchanged is how far facts may move and still be the same evidence.
	Unchanged Unchanged `yaml:"unchanged" json:"unchanged"`
	// ShowAffirm, ShowAbstain and ShowNotApplicable return a card for decisions
	// that are otherwise silent. Default false: a card that asks for nothing
	// costs attention (design.md 5.7).
	ShowAffirm        bool `yaml:"show_affirm" json:"show_affirm"`
	ShowAbstain       bool `yaml:"show_abstain" json:"show_abstain"`
	ShowNotApplicable bool `yaml:"show_not_applicable" json:"show_not_applicable"`
	// Roles are the user roles that are shown cards. Default empty: every role.
	Roles []string `yaml:"roles" json:"roles"`
	// State is how charts are read; set by the wiring so that receipts are
	// checked with the configuration the timeline was built with.
	State state.Config `yaml:"-" json:"-"`
}

// DefaultConfig returns the defaults named at each field.
func DefaultConfig() Config {
	return Config{
		RepeatWindowMin: 60, Unchanged: Unchanged{MAPMmHg: 5, RateUgKgMin: 0.005, BolusMl: 100},
		State: state.DefaultConfig(),
	}
}

// Validate reports the first field that is out of bounds, by its YAML key.
func (cfg Config) Validate() error {
	if !(cfg.RepeatWindowMin >= 0 && cfg.RepeatWindowMin <= 24*60) {
		return fmt.Errorf("%w: repeat_window_min: %v is outside 0 to 1440", ErrConfig, cfg.RepeatWindowMin)
	}
	if slices.Contains(cfg.Roles, "") {
		return fmt.Errorf("%w: roles: an empty role", ErrConfig)
	}
	if err := cfg.Unchanged.validate(); err != nil {
		return err
	}
	return cfg.State.Validate()
}

// Decider decides cases. It is immutable and safe for concurrent use when its
// agent is.
type Decider struct {
	agent  Agent
	hashes Hashes
	cfg    Config
}

// New returns a decider, or an error wrapping ErrConfig.
func New(a Agent, hashes Hashes, cfg Config) (*Decider, error) {
	if a == nil {
		return nil, fmt.Errorf("%w: an agent is required", ErrConfig)
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Decider{agent: a, hashes: hashes, cfg: cfg}, nil
}

// Hashes returns what decisions are made with.
func (d *Decider) Hashes() Hashes { return d.hashes }

// Decide decides the case. An error means that there is no decision and
// nothing may be shown; it wraps ErrCase, ErrUnsound or the agent's error.
func (d *Decider) Decide(ctx context.Context, c Case) (Outcome, error) {
	if err := c.check(); err != nil {
		return Outcome{}, err
	}
	if c.Ordering != nil {
		return d.check(ctx, &c)
	}
	decision, transcript, err := d.ask(ctx, c)
	if err != nil {
		return Outcome{}, err
	}
	if err := ctx.Err(); err != nil {
		return Outcome{}, fmt.Errorf("decide: %w", err)
	}
	if err := sound(c.Timeline, &decision); err != nil {
		return Outcome{}, err
	}
	out := Outcome{Decision: decision, Topic: topic(&decision), Transcript: transcript}
	e, err := evidenceOf(&c, &decision)
	if err != nil {
		return Outcome{}, err
	}
	out.Evidence = e.String()
	out.Show, out.Suppressed, out.Refers = d.show(&c, &out, e)
	return out, nil
}

// ask asks the agent. A transcript in the case of an agent that consults nobody
// is passed over: the decision then differs from the recorded one, as it must.
func (d *Decider) ask(ctx context.Context, c Case) (agent.Decision, *agent.Transcript, error) {
	if consultant, ok := d.agent.(Consultant); ok {
		return consultant.Consult(ctx, c.Timeline, c.Seed, c.Transcript)
	}
	decision, err := d.agent.Decide(ctx, c.Timeline, c.Seed)
	return decision, nil, err
}

func (c *Case) check() error {
	switch {
	case c.Timeline == nil:
		return fmt.Errorf("%w: no timeline", ErrCase)
	case c.Now.IsZero():
		return fmt.Errorf("%w: no time", ErrCase)
	case c.ID == "":
		return fmt.Errorf("%w: no decision id", ErrCase)
	case !slices.Contains([]string{DisplaySilent, DisplayInform, DisplaySuggest}, c.Display):
		return fmt.Errorf("%w: display mode %q, want silent, inform or suggest", ErrCase, c.Display)
	}
	return nil
}

// sound checks the invariants that hold for every decision, whatever agent
// made it (design.md 5.2, 5.3, 5.7).
func sound(tl *state.Timeline, d *agent.Decision) error {
	bad := func(what string) error { return fmt.Errorf("%w: %s", ErrUnsound, what) }
	a := d.Advice
	switch d.Status {
	case agent.Suggest:
		if a.Vasopressor == nil && a.Fluid == nil {
			return bad("suggest without advice")
		}
	case agent.Affirm:
		if m := tl.Present.MAP; m.Newest == nil || m.Newest.Value < m.GoalMmHg {
			return bad("affirm with MAP below goal or unknown")
		}
	case agent.Abstain, agent.NotApplicable:
		if len(d.Reasons) == 0 {
			return bad(string(d.Status) + " without a reason")
		}
	default:
		return bad(fmt.Sprintf("status %q", d.Status))
	}
	if d.Status != agent.Suggest && (a.Vasopressor != nil || a.Fluid != nil) {
		return bad(string(d.Status) + " with a dose")
	}
	if v := a.Vasopressor; v != nil {
		// Written so that a NaN fails.
		if !(v.FirstStepUgKgMin <= policy.MaxFirstStepUgKgMin+1e-6 && v.FirstStepUgKgMin >= -policy.MaxFirstStepUgKgMin-1e-6) {
			return bad("first step over the hard limit")
		}
		raises := v.FirstStepUgKgMin > 0 || v.Direction == agent.AdviceAddVasopressin
		if raises && !(v.ToUgKgMin <= policy.MaxCeilingUgKgMin+1e-6 && tl.Present.MAP.Newest != nil && tl.Present.MAP.Newest.Value < tl.Present.MAP.GoalMmHg) {
			return bad("vasopressor raised above the ceiling or with MAP at goal")
		}
	}
	if f := a.Fluid; f != nil && !(f.BolusMl >= policy.MinBolusMl && f.BolusMl <= policy.MaxBolusMl && len(f.StopCriteria) > 0) {
		return bad("bolus outside the hard limits or without stop criteria")
	}
	return nil
}
