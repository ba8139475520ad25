// SPDX-License-Identifier: Apache-2.0

package agent

// This file: the actor's network. Two hidden layers read the world model's
// encoding without arterial pressure and give a score of each pair of levels
// and five slopes. The score of a pair falls with its level of vasopressor times
// the slopes' share at the MAP that is charted:
//
//	score(v, f) = h(v, f) - v * sum_j softplus(s_j) * ramp_j(MAP - goal)
//
// All slopes are at least 0 and all ramps rise, so the distribution of v moves
// towards 0 as MAP rises (it has a monotone likelihood ratio), on its own and
// averaged over members.

import (
	"math"

	"github.com/sepsisagent/sepsisagent/engine/nn"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// ActorPairs is the number of pairs of levels, 5·vasopressor + fluid.
const ActorPairs = 25

// actorRamps are where MAP above goal (mmHg) begins and stops to count, one pair
// per slope.
var actorRamps = [...][2]float64{{-20, -10}, {-10, 0}, {0, 10}, {10, 20}, {20, 40}}

// ActorRamps is the number of slopes.
const ActorRamps = len(actorRamps)

// blind are the inputs that the network does not see.
var blind = world.PressureInputs()

// ActorNetwork is the shape of the actor.
type ActorNetwork struct {
	Layout              nn.Layout
	First, Second, Head nn.Dense
}

// NewActorNetwork returns a network with hidden layers of the given width.
func NewActorNetwork(hidden int) *ActorNetwork {
	n := &ActorNetwork{}
	n.First = n.Layout.Dense("first", world.InputSize, hidden)
	n.Second = n.Layout.Dense("second", hidden, hidden)
	n.Head = n.Layout.Dense("head", hidden, ActorPairs+ActorRamps)
	return n
}

// ActorPass holds what one pass over some states computes. X is the caller's to
// fill, and SetPressure sets the MAP of each row.
type ActorPass struct {
	X                      *nn.Mat // encoded timelines; Forward blanks what the network must not see
	Ramp                   *nn.Mat // per row, 0 to 1
	Pre1, Act1, Pre2, Act2 *nn.Mat
	Out                    *nn.Mat // scores, then raw slopes
	Logits                 *nn.Mat
	Drop1, Drop2           *nn.Mat // dropout masks; nil outside training
}

// NewPass makes room for rows states.
func (n *ActorNetwork) NewPass(rows int) *ActorPass {
	hidden := n.First.W.Cols
	return &ActorPass{X: nn.NewMat(rows, world.InputSize), Ramp: nn.NewMat(rows, ActorRamps),
		Pre1: nn.NewMat(rows, hidden), Act1: nn.NewMat(rows, hidden), Pre2: nn.NewMat(rows, hidden), Act2: nn.NewMat(rows, hidden),
		Out: nn.NewMat(rows, ActorPairs+ActorRamps), Logits: nn.NewMat(rows, ActorPairs)}
}

// SetPressure says how far the MAP of a row lies above goal, mmHg.
func (p *ActorPass) SetPressure(row int, aboveGoalMmHg float64) {
	for j, r := range actorRamps {
		p.Ramp.Row(row)[j] = float32(math.Max(0, math.Min(1, (aboveGoalMmHg-r[0])/(r[1]-r[0]))))
	}
}

// Forward computes the logits of every row.
func (n *ActorNetwork) Forward(theta []float32, p *ActorPass) {
	for i := range p.X.Rows {
		row := p.X.Row(i)
		for _, at := range blind {
			row[at] = 0
		}
	}
	n.First.Forward(theta, p.X, p.Pre1)
	nn.SiLU(p.Act1, p.Pre1)
	if p.Drop1 != nil {
		nn.Scale(p.Act1, p.Drop1)
	}
	n.Second.Forward(theta, p.Act1, p.Pre2)
	nn.SiLU(p.Act2, p.Pre2)
	if p.Drop2 != nil {
		nn.Scale(p.Act2, p.Drop2)
	}
	n.Head.Forward(theta, p.Act2, p.Out)
	for i := range p.Out.Rows {
		out, logits := p.Out.Row(i), p.Logits.Row(i)
		push := Slope(out[ActorPairs:], p.Ramp.Row(i))
		for pair := range ActorPairs {
			logits[pair] = out[pair] - float32(pair/5)*push
		}
	}
}

// Mean is the mean of the members' probabilities of each pair of levels in the
// state of encoding x, whose MAP lies so far above goal, mmHg. pass is of at
// least one row, which is overwritten.
func (n *ActorNetwork) Mean(members [][]float32, pass *ActorPass, x []float32, aboveGoalMmHg float64) (p [ActorPairs]float64) {
	copy(pass.X.Row(0), x)
	pass.SetPressure(0, aboveGoalMmHg)
	var one [ActorPairs]float32
	for _, theta := range members {
		n.Forward(theta, pass)
		nn.Softmax(one[:], pass.Logits.Row(0), 1)
		for i, q := range one {
			p[i] += float64(q) / float64(len(members))
		}
	}
	return p
}

// Slope is by how much each level of vasopressor is scored down: at least 0, and
// rising with MAP.
func Slope(raw, ramp []float32) (push float32) {
	for j, r := range raw {
		push += softplus(r) * ramp[j]
	}
	return push
}

func softplus(x float32) float32 {
	return float32(math.Max(float64(x), 0) + math.Log1p(math.Exp(-math.Abs(float64(x)))))
}
