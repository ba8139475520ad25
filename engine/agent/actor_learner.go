// SPDX-License-Identifier: Apache-2.0

package agent

// This file: the network of the three-stage curriculum. It is the actor's own
// network, whose tensors come first, with more heads on the same trunk:
//
//	dynamics  next state, death in hospital, need of a vasopressor (stage I)
//	read      what a simulated pair of levels is worth, from what came back
//	ask       which pair to simulate next
//
// A decision is a row of actions: prescribe one of 25 pairs, or simulate one.
// Without anything simulated, prescribing is scored by the actor's network alone:
// that is what the agent is served with, and a higher MAP can only turn it
// towards less vasopressor. Dynamics and simulations may see all of the state.

import (
	"github.com/sepsisagent/sepsisagent/engine/nn"
	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// ActorActions is the number of actions: pair a is prescribed by action a and
// simulated by action ActorPairs+a.
const ActorActions = 2 * ActorPairs

// Sizes of what a decision remembers.
const (
	ActorLook    = 17               // numbers per simulated pair
	ActorSummary = 2*ActorPairs + 4 // current pair, best pair so far, and four numbers
	actorBrief   = 8                // of the trunk, for reading a simulation
	actorRead    = 24               // width of reading
	askExtra     = ActorRamps + ActorSummary
	readInputs   = ActorLook + ActorRamps + actorBrief
)

// ActorFeatures are the quantities whose next value stage I learns.
var ActorFeatures = [...]int{state.MeanBP, state.HeartRate, state.RespRate, state.SpO2, state.Lactate, state.Creatinine, state.Urine, state.Platelet}

// Places of the dynamics' outputs: the change of each of ActorFeatures from its
// last known value in standard deviations, then two logits.
const (
	ActorDeath    = len(ActorFeatures)
	ActorNeed     = ActorDeath + 1
	ActorDynamics = ActorNeed + 1
)

// ActorMemory is what has been simulated in one decision. The zero value is a
// decision in which nothing has been.
type ActorMemory struct {
	Seen    [ActorPairs]bool
	Look    [ActorPairs][ActorLook]float32
	Summary [ActorSummary]float32
	Shut    [ActorActions]bool // what cannot be done
}

// ActorLearner is the shape of the whole network.
type ActorLearner struct {
	*ActorNetwork
	Dynamics, Skip nn.Dense // of the trunk, and of the whole input
	Brief          nn.Dense
	Read, Verdict  nn.Dense
	Ask            nn.Dense
}

// NewActorLearner returns a network whose trunk is of the given width.
func NewActorLearner(hidden int) *ActorLearner {
	n := &ActorLearner{ActorNetwork: NewActorNetwork(hidden)}
	n.Dynamics = n.Layout.Dense("dynamics", hidden, ActorDynamics)
	n.Skip = n.Layout.Dense("skip", world.InputSize, ActorDynamics)
	n.Brief = n.Layout.Dense("brief", hidden, actorBrief)
	n.Read = n.Layout.Dense("read", readInputs, actorRead)
	n.Verdict = n.Layout.Dense("verdict", actorRead, 1)
	n.Ask = n.Layout.Dense("ask", hidden+askExtra, ActorPairs)
	return n
}

// Foresee computes the dynamics of every row into out, rows × ActorDynamics,
// after Forward. x is the whole input: Forward blanks its own.
func (n *ActorLearner) Foresee(theta []float32, p *ActorPass, x, out, scratch *nn.Mat) {
	n.Dynamics.Forward(theta, p.Act2, out)
	n.Skip.Forward(theta, x, scratch)
	for i, v := range scratch.Data {
		out.Data[i] += v
	}
}

// ActorThought holds what scoring the actions of some rows computes, beside the
// ActorPass of the same rows.
type ActorThought struct {
	Brief             *nn.Mat // rows × actorBrief
	AskIn, AskOut     *nn.Mat
	Rows, Pairs       []int   // of each simulated pair, in order
	ReadIn, Pre, Read *nn.Mat // one row per simulated pair
	Verdict           *nn.Mat
	Logits            *nn.Mat // rows × ActorActions; what is shut is far below all else
}

// shutLogit scores what cannot be done.
const shutLogit = -1e9

// Think scores all actions of every row, after Forward.
func (n *ActorLearner) Think(theta []float32, p *ActorPass, memories []*ActorMemory) *ActorThought {
	rows, hidden := len(memories), p.Act2.Cols
	t := &ActorThought{Brief: nn.NewMat(rows, actorBrief), AskIn: nn.NewMat(rows, hidden+askExtra), AskOut: nn.NewMat(rows, ActorPairs), Logits: nn.NewMat(rows, ActorActions)}
	n.Brief.Forward(theta, p.Act2, t.Brief)
	for i, m := range memories {
		in := t.AskIn.Row(i)
		copy(in, p.Act2.Row(i))
		copy(in[hidden:], p.Ramp.Row(i))
		copy(in[hidden+ActorRamps:], m.Summary[:])
		for a, seen := range m.Seen {
			if seen {
				t.Rows, t.Pairs = append(t.Rows, i), append(t.Pairs, a)
			}
		}
	}
	n.Ask.Forward(theta, t.AskIn, t.AskOut)
	looks := len(t.Rows)
	t.ReadIn, t.Pre, t.Read, t.Verdict = nn.NewMat(looks, readInputs), nn.NewMat(looks, actorRead), nn.NewMat(looks, actorRead), nn.NewMat(looks, 1)
	for k, i := range t.Rows {
		in := t.ReadIn.Row(k)
		copy(in, memories[i].Look[t.Pairs[k]][:])
		copy(in[ActorLook:], p.Ramp.Row(i))
		copy(in[ActorLook+ActorRamps:], t.Brief.Row(i))
	}
	if looks > 0 {
		n.Read.Forward(theta, t.ReadIn, t.Pre)
		nn.SiLU(t.Read, t.Pre)
		n.Verdict.Forward(theta, t.Read, t.Verdict)
	}
	for i := range memories {
		row := t.Logits.Row(i)
		copy(row, p.Logits.Row(i))
		copy(row[ActorPairs:], t.AskOut.Row(i))
	}
	for k, i := range t.Rows {
		t.Logits.Row(i)[t.Pairs[k]] += t.Verdict.Data[k]
	}
	for i, m := range memories {
		for a, shut := range m.Shut {
			if shut {
				t.Logits.Row(i)[a] = shutLogit
			}
		}
	}
	return t
}
