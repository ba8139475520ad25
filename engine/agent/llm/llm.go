// SPDX-License-Identifier: Apache-2.0

// Package llm lets a language model behind an OpenAI-compatible endpoint choose
// among the treatments that the native agent has proposed, gated and simulated.
// The model has two tools with the published names and arguments: simulation,
// which shows simulated futures, and prescription, which names a pair of
// levels. Nothing else it says has any effect.
//
// The native agent decides first and completely. The model is asked only where
// that ended in a suggestion or an affirmation and there is more than one pair
// of levels to choose from; it can name no dose, no drug and no level that is
// not among the choices, and cannot turn an abstention into advice. Late,
// wrong, refusing, garbled or no answers all end in the native decision, with
// the fault in the decision and in the transcript.
//
// The package trusts the native agent's choices and the prompt templates. It
// does not trust the endpoint: every message is bounded and checked strictly,
// without coercion. It sends the endpoint numbers with ages relative to the
// decision, and none of the chart's text, names or identifiers; whoever runs
// the endpoint still sees a patient's values.
package llm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// Proposer is Decision.Proposer where the model chose.
const Proposer = "llm"

// ErrConfig is wrapped by every error of New and Config.Validate.
var ErrConfig = errors.New("language model configuration")

// Deps are what an Agent works with.
type Deps struct {
	// Native decides first, and instead where the model fails. Required.
	Native *agent.Native
	// State is how charts are read: the ranges of the levels come from it.
	State state.Config
	// Prompts holds prompts/*.tmpl. Required.
	Prompts fs.FS
	// APIKey is sent as a bearer token; empty sends none.
	APIKey string
	// CA is a PEM bundle that the endpoint's certificate is checked against;
	// empty: the system's.
	CA []byte
	// Transport is used instead of the package's own; for tests.
	Transport http.RoundTripper
	// Observe, when set, hears how each consultation went. It is called once per
	// decision that asked the model, and must not block.
	Observe func(Observation)
}

// Observation is how one consultation went, for metrics. It is no part of any
// receipt.
type Observation struct {
	Outcome string // agent.ConsultChosen or agent.ConsultFallback
	Fault   string // stable word, empty when there was none
	Rounds  int
	Tokens  int
	Took    time.Duration
}

// Counts says what has happened since start.
type Counts struct {
	Asked    int64 // decisions for which the model was asked
	Chosen   int64 // that it made
	Fallback int64 // that fell back to the native agent
	Late     int64 // of those, for an answer that was not there, or not whole, in time
	Requests int64 // requests sent
}

// Agent decides with a language model. It is safe for concurrent use.
type Agent struct {
	cfg      Config
	native   *agent.Native
	state    state.Config
	prompts  *prompts
	endpoint *endpoint
	observe  func(Observation)
	counts   struct{ asked, chosen, fallback, late atomic.Int64 }
}

// New returns an agent, or an error wrapping ErrConfig. It opens no connection.
func New(cfg Config, deps Deps) (*Agent, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if !cfg.Enabled() || deps.Native == nil || deps.Prompts == nil {
		return nil, fmt.Errorf("%w: base_url, a native agent and prompts are required", ErrConfig)
	}
	p, err := loadPrompts(deps.Prompts)
	if err != nil {
		return nil, err
	}
	e, err := newEndpoint(cfg, deps)
	if err != nil {
		return nil, err
	}
	return &Agent{cfg: cfg, native: deps.Native, state: deps.State, prompts: p, endpoint: e, observe: deps.Observe}, nil
}

// PromptsHash is the SHA-256 over the names and bytes of the prompt templates.
func (a *Agent) PromptsHash() string { return a.prompts.hash }

// Model identifies the world model that is simulated on.
func (a *Agent) Model() world.Info { return a.native.Model() }

// Counts says what has happened since start.
func (a *Agent) Counts() Counts {
	return Counts{
		Asked: a.counts.asked.Load(), Chosen: a.counts.chosen.Load(), Fallback: a.counts.fallback.Load(),
		Late: a.counts.late.Load(), Requests: a.endpoint.requests.Load(),
	}
}

// Close gives idle connections back. The agent stays usable.
func (a *Agent) Close() { a.endpoint.close() }

// Decide is Consult without a recorded conversation, for callers that keep none.
func (a *Agent) Decide(ctx context.Context, tl *state.Timeline, seed uint64) (agent.Decision, error) {
	d, _, err := a.Consult(ctx, tl, seed, nil)
	return d, err
}

// Consult decides for one timeline. With a recorded transcript the model's
// messages are taken from it and nobody is asked: the same arguments then give
// the same decision and the same transcript. The only errors are those of the
// native agent and the end of ctx itself.
func (a *Agent) Consult(ctx context.Context, tl *state.Timeline, seed uint64, recorded *agent.Transcript) (agent.Decision, *agent.Transcript, error) {
	start := time.Now()
	x, err := a.native.Deliberate(ctx, tl)
	if err != nil {
		return agent.Decision{}, nil, err
	}
	choices := x.Choices()
	if len(choices) < 2 {
		d := x.Native()
		d.Consulted = a.consultation(agent.ConsultNotAsked)
		return d, nil, nil
	}
	t, err := a.open(tl, x, seed)
	if err != nil {
		return agent.Decision{}, nil, fmt.Errorf("%w: %w", agent.ErrDecide, err)
	}
	s := &session{cfg: a.cfg, prompts: a.prompts, x: x, choices: choices, transcript: t}
	if recorded != nil {
		s.voice = &playback{turns: recorded.Turns}
	} else {
		s.voice = a.endpoint
	}
	levels, err := s.run(ctx)
	if err != nil {
		return agent.Decision{}, nil, fmt.Errorf("%w: %w", agent.ErrDecide, err)
	}
	d, err := a.conclude(x, t, levels)
	if err != nil {
		return agent.Decision{}, nil, fmt.Errorf("%w: %w", agent.ErrDecide, err)
	}
	if recorded == nil {
		a.count(&d, s, time.Since(start))
	}
	return d, t, nil
}

// open begins the transcript with what the model is told first.
func (a *Agent) open(tl *state.Timeline, x *agent.Deliberation, seed uint64) (*agent.Transcript, error) {
	system, user, err := a.prompts.opening(tl, x, a.state, a.cfg.MaxRounds)
	if err != nil {
		return nil, err
	}
	return &agent.Transcript{
		Schema: agent.TranscriptSchema, Model: a.cfg.Model, Prompts: a.prompts.hash,
		// 31 bits: what every server takes as a seed.
		Seed:    int(seed & 0x7fffffff),
		Opening: []agent.Message{{Role: "system", Content: system}, {Role: "user", Content: user}},
		Turns:   []agent.Turn{},
	}, nil
}

// conclude makes the decision: the model's choice, or the native one with the
// fault.
func (a *Agent) conclude(x *agent.Deliberation, t *agent.Transcript, levels *state.Levels) (agent.Decision, error) {
	d, c := x.Native(), a.consultation(agent.ConsultFallback)
	if levels != nil {
		chosen, err := x.Choose(*levels, Proposer)
		if err != nil {
			return agent.Decision{}, err
		}
		c.Outcome = agent.ConsultChosen
		chosen.Explanation = append([]string{chosenWords(chosen, d)}, chosen.Explanation...)
		d = chosen
	} else {
		d.Explanation = append([]string{fallbackWords(t.Fault)}, d.Explanation...)
	}
	c.Fault = t.Fault
	for _, turn := range t.Turns {
		if turn.Reply != nil {
			c.Rounds++
		}
	}
	var err error
	if c.Digest, err = t.Digest(); err != nil {
		return agent.Decision{}, err
	}
	d.Consulted = c
	return d, nil
}

func (a *Agent) consultation(outcome string) *agent.Consultation {
	return &agent.Consultation{Model: a.cfg.Model, Prompts: a.prompts.hash, Outcome: outcome}
}

// chosenWords says who chose, and what the native agent would have. The model's
// own words are never repeated to a clinician.
func chosenWords(chosen, native agent.Decision) string {
	words := "A language model chose this among the permitted options"
	if chosen.Status == native.Status && chosen.Levels == native.Levels {
		return words + "; the native agent comes to the same levels."
	}
	return words + fmt.Sprintf("; the native agent would have gone with %s.", suggestedName(native))
}

func suggestedName(d agent.Decision) string {
	for _, o := range d.Options {
		if o.Role == agent.RoleSuggested {
			return o.Proposal.Name
		}
	}
	return "current treatment"
}

func fallbackWords(fault string) string {
	return fmt.Sprintf("A language model was asked and gave no usable answer (%s); this is the native agent's own decision.", fault)
}

func (a *Agent) count(d *agent.Decision, s *session, took time.Duration) {
	a.counts.asked.Add(1)
	switch {
	case d.Consulted.Outcome == agent.ConsultChosen:
		a.counts.chosen.Add(1)
	default:
		a.counts.fallback.Add(1)
	}
	if d.Consulted.Fault == FaultLate {
		a.counts.late.Add(1)
	}
	if a.observe != nil {
		a.observe(Observation{Outcome: d.Consulted.Outcome, Fault: d.Consulted.Fault, Rounds: d.Consulted.Rounds, Tokens: s.tokens, Took: took})
	}
}

func hashOf(parts ...[]byte) string {
	sum := sha256.New()
	for _, p := range parts {
		own := sha256.Sum256(p)
		sum.Write(own[:])
	}
	return hex.EncodeToString(sum.Sum(nil))
}
