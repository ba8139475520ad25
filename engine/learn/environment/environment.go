// SPDX-License-Identifier: Apache-2.0

// Package environment is the simulated intensive care unit in which agents are
// trained: one seeded episode of one patient at a time, who goes on as the
// Clinical World Model says.
//
// An episode starts at a recorded or a mechanistically simulated chart. Every
// four hours the agent may ask what would happen under up to three pairs of
// levels (simulation), and names one (prescription). The pair is given, the
// next state is drawn from the world model with the luck of the seed and the
// step, and charted as a hospital would chart it, so that every state is a
// timeline built by package state from a chart: there is no second way from
// events to states. What is drawn says so in the chart, and the patient is
// marked synthetic from the first moment on.
//
// The same deps, configuration, seed, task and actions give the same bytes.
// Luck depends on seed and step alone: two courses of treatment from one start
// meet the same luck and differ by treatment only.
//
// The package trusts the world model, the rules and the charts it starts from.
// It does not trust the agent: whatever an agent says ends in an observation
// and a reward, never in an error. It says nothing about real patients: values
// earned here are the simulator's.
package environment

import (
	"context"
	"errors"
	"fmt"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/agent/llm"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrConfig is wrapped by every error of New.
	ErrConfig = errors.New("environment configuration")
	// ErrTask is wrapped when Reset is asked for a task there is none of.
	ErrTask = errors.New("no such task")
	// ErrEnded is wrapped when an ended episode is asked to go on.
	ErrEnded = errors.New("the episode has ended")
)

// Config bounds an episode. The zero value is not valid; start from
// DefaultConfig.
type Config struct {
	// Steps is the most prescriptions of one episode, four hours each. Default
	// 18: three days.
	Steps int
	// Horizon is how many 4-hour steps `simulation` shows. Default 3, as the
	// agent that is served simulates.
	Horizon int
	// Messages is how many messages there are per prescription, the prescription
	// included. Default 5, as the agent that is served allows. When they are used
	// up treatment stays as it is and four hours pass.
	Messages int
	// Useless is how many messages in a row without one valid call end the
	// episode. Default 10, as published.
	Useless int
}

// DefaultConfig returns the defaults named at each field.
func DefaultConfig() Config { return Config{Steps: 18, Horizon: 3, Messages: 5, Useless: 10} }

// Validate reports the first field out of bounds.
func (cfg Config) Validate() error {
	for _, r := range []struct {
		name      string
		v, lo, hi int
	}{
		{"steps", cfg.Steps, 1, 42}, {"horizon", cfg.Horizon, 1, world.Horizon}, {"messages", cfg.Messages, 1, 12}, {"useless", cfg.Useless, 1, 100},
	} {
		if r.v < r.lo || r.v > r.hi {
			return fmt.Errorf("%w: %s: %d is outside %d to %d", ErrConfig, r.name, r.v, r.lo, r.hi)
		}
	}
	return nil
}

// Deps are what an environment is made of. All are required, and all must be
// safe for concurrent use.
type Deps struct {
	// State is how charts are read; levels come from it.
	State state.Config
	// Dynamics are the models that futures are drawn from: one of them, chosen
	// by the seed, for a whole episode.
	Dynamics []world.Forecaster
	// Lens is the model that `simulation` shows and that rules read forecasts
	// of. It need not be one of the dynamics.
	Lens world.Forecaster
	// Death gives the chance of death in hospital in a state.
	Death func(*state.Timeline) (float64, error)
	// Judge is the rules.
	Judge policy.Judge
	// Native lends its scale to what simulations show.
	Native *agent.Native
	// Prompts renders what a language model reads.
	Prompts *llm.Prompts
	// Starts gives the patients.
	Starts Starts
}

// Environment makes episodes. It is immutable and safe for concurrent use.
type Environment struct {
	cfg  Config
	deps Deps
}

// New returns an environment, or an error wrapping ErrConfig.
func New(cfg Config, deps Deps) (*Environment, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := deps.State.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if len(deps.Dynamics) == 0 || deps.Lens == nil || deps.Death == nil || deps.Judge == nil || deps.Native == nil || deps.Prompts == nil || deps.Starts == nil {
		return nil, fmt.Errorf("%w: dynamics, lens, death, rules, native agent, prompts and starts are all required", ErrConfig)
	}
	return &Environment{cfg: cfg, deps: deps}, nil
}

// Config returns the bounds of its episodes.
func (v *Environment) Config() Config { return v.cfg }

// Tasks lists the names that Reset takes, the default first.
func (v *Environment) Tasks() []string { return v.deps.Starts.Tasks() }

// Reset begins the episode of a seed. An empty task is the first of Tasks. The
// error wraps ErrTask, or says why no state could be made.
func (v *Environment) Reset(ctx context.Context, seed uint64, task string) (*Episode, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if task == "" {
		task = v.Tasks()[0]
	}
	chart, at, err := v.deps.Starts.Chart(seed, task)
	if err != nil {
		return nil, err
	}
	return v.begin(seed, task, chart, at)
}
