// SPDX-License-Identifier: Apache-2.0

// Package curriculum trains treatment policies. It fits the Actor that the agent
// consults, from recorded stays alone (imitate.go), and it takes one network
// through the three stages of the paper (reference sepsisagent.md 1.4):
//
//	I    patient dynamics: the next state, death in hospital, the need of a
//	     vasopressor within 24 h, and what clinicians usually give, from records
//	II   behaviour cloning of a planner that proposes, simulates and refines on
//	     the world model; only courses whose patient lives and prescriptions that
//	     no rule speaks against
//	III  agentic reinforcement learning in the world model: which pairs of levels
//	     to simulate, when to stop, and what to prescribe
//
// Usual care is part of stage I because this network, unlike a language model,
// brings no prior of its own.
//
// The network is trained on some members of the world model's ensemble and scored
// on the others, and on the mechanistic simulator, with the simulator at hand and
// without (score.go). It trusts the world model and the rules; it believes nothing
// that is earned on the members it was trained on.
package curriculum

import (
	"errors"
	"fmt"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/learn/environment"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
	"github.com/sepsisagent/sepsisagent/policy"
)

// ErrCurriculum is wrapped by the errors of the three stages.
var ErrCurriculum = errors.New("curriculum")

// Stages is how many there are.
const Stages = 3

// Config says how the three stages are trained. Start from DefaultConfig. The
// recorded steps of stage I are weighed and imitated as ActorConfig says.
type Config struct {
	Imitation ActorConfig `json:"imitation"`
	// Dynamics is the weight of the dynamics' loss against that of imitation.
	Dynamics float64 `json:"dynamics"`

	Looks int `json:"looks"` // most pairs simulated in one decision

	Courses     int     `json:"courses"` // of the planner, for stage II
	CloneEpochs int     `json:"clone_epochs"`
	CloneRate   float64 `json:"clone_rate"`

	Iterations int     `json:"iterations"` // of stage III
	Groups     int     `json:"groups"`     // starts per iteration
	Rollouts   int     `json:"rollouts"`   // per start: the group that is compared
	Blind      float64 `json:"blind"`      // share of groups without the simulator
	Rate       float64 `json:"rate"`
	Passes     int     `json:"passes"` // over the choices of an iteration
	Clip       float64 `json:"clip"`   // of the ratio of new to old probability
	Anchor     float64 `json:"anchor"` // weight of KL(policy || stage II)

	Scored int `json:"scored"` // episodes behind every row of a table
}

// DefaultConfig returns the settings that docs/curriculum.md was made with.
func DefaultConfig() Config {
	imitation := DefaultActorConfig()
	imitation.Members = 1
	return Config{
		Imitation: imitation, Dynamics: 1, Looks: 5,
		Courses: 600, CloneEpochs: 8, CloneRate: 1e-3,
		Iterations: 100, Groups: 12, Rollouts: 6, Blind: 0.25, Rate: 3e-4, Passes: 2, Clip: 0.2, Anchor: 0.02,
		Scored: 200,
	}
}

func (c *Config) check() error {
	for _, b := range []struct {
		name      string
		v, lo, hi float64
	}{
		{"dynamics", c.Dynamics, 0, 100}, {"looks", float64(c.Looks), 1, agent.ActorPairs},
		{"courses", float64(c.Courses), 1, 1e6}, {"clone_epochs", float64(c.CloneEpochs), 1, 1e3}, {"clone_rate", c.CloneRate, 1e-9, 1},
		{"iterations", float64(c.Iterations), 1, 1e6}, {"groups", float64(c.Groups), 1, 1e4}, {"rollouts", float64(c.Rollouts), 2, 1e3},
		{"blind", c.Blind, 0, 1}, {"rate", c.Rate, 1e-9, 1}, {"passes", float64(c.Passes), 1, 100}, {"clip", c.Clip, 1e-3, 10}, {"anchor", c.Anchor, 0, 100},
		{"scored", float64(c.Scored), 2, 1e6}, {"seed", float64(c.Imitation.Seed), 0, MostSeed},
	} {
		if !(b.v >= b.lo && b.v <= b.hi) {
			return fmt.Errorf("%w: %s %v is not between %v and %v", ErrCurriculum, b.name, b.v, b.lo, b.hi)
		}
	}
	return c.Imitation.check()
}

// Unit is the simulated intensive care unit in which stages II and III work and
// all are scored. All of it is safe for concurrent use.
type Unit struct {
	State state.Config
	Model *world.Model // of the training members; the network reads its encoding
	Judge policy.Judge
	// Train are episodes on the members that train; Held on the others. The lens
	// of both, which is what the agent may simulate with, is the training members.
	Train, Held *environment.Environment
	// Parts makes episodes of a chart that somebody else lets go on: of the
	// mechanistic simulator.
	Parts environment.Deps
	// Service is the agent that is served with this world model; nil: it is not
	// scored.
	Service *agent.Native
	// Members that train, and those held back, by number.
	TrainMembers, HeldMembers []int
}

// Split is how the members of an ensemble are shared out: the last two fifths,
// at least one, are held back.
func Split(members int) (train, held []int, err error) {
	if members < 2 {
		return nil, nil, fmt.Errorf("%w: a world model of %d members has none to hold back (hint: train it with --members 2 or more)", ErrCurriculum, members)
	}
	for k := range members {
		if k < members-max(1, members*2/5) {
			train = append(train, k)
		} else {
			held = append(held, k)
		}
	}
	return train, held, nil
}
