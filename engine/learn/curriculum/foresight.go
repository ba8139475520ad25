// SPDX-License-Identifier: Apache-2.0

package curriculum

// This file: how well the network foresees death in hospital and the need of a
// vasopressor in recorded test patients, from the state alone.

import (
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/cohort"
	"github.com/sepsisagent/sepsisagent/engine/nn"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// Foresight is how well one event is foreseen.
type Foresight struct {
	Times    int      `json:"times"`
	Events   int      `json:"events"`
	Patients int      `json:"patients"`
	AUROC    Interval `json:"auroc"`
	AUPRC    Interval `json:"auprc"`
}

// foresight scores output i of the dynamics on the test patients.
func (t *trainer) foresight(r *Records, i int) (out Foresight) {
	var chances world.Chances
	groups := map[string]int{}
	for part := range slices.Chunk(r.set[cohort.Test], actorBatch) {
		states := make([]seen, len(part))
		for k, s := range part {
			states[k] = seen{x: s.x, aboveMmHg: s.aboveMmHg}
		}
		b := t.learner.fill(states)
		t.learner.net.Forward(t.learner.theta, b.pass)
		t.learner.foresee(b)
		for k, s := range part {
			if y := s.next[i]; y == 0 || y == 1 {
				if _, ok := groups[s.patient]; !ok {
					groups[s.patient] = len(groups)
				}
				chances.Add(float64(nn.Sigmoid(b.dynamics.Row(k)[i])), y == 1, groups[s.patient])
			}
		}
	}
	chances.Seal()
	out.Times, out.Events = chances.Len()
	out.Patients = len(groups)
	out.AUROC = bootstrap(len(groups), t.cfg.Imitation.Seed, chances.AUROC)
	out.AUPRC = bootstrap(len(groups), t.cfg.Imitation.Seed, chances.AUPRC)
	return out
}

// NextMAE is the mean absolute error of the foreseen changes of test patients, in
// standard deviations, beside that of saying that nothing changes.
type NextMAE struct {
	Error       world.Number `json:"error"`
	Persistence world.Number `json:"persistence"`
	Values      int          `json:"values"`
}

func (t *trainer) nextMAE(r *Records) (out NextMAE) {
	var off, still float64
	for part := range slices.Chunk(r.set[cohort.Test], actorBatch) {
		states := make([]seen, len(part))
		for k, s := range part {
			states[k] = seen{x: s.x, aboveMmHg: s.aboveMmHg}
		}
		b := t.learner.fill(states)
		t.learner.net.Forward(t.learner.theta, b.pass)
		t.learner.foresee(b)
		for k, s := range part {
			for i, y := range s.next[:agent.ActorDeath] {
				if y == y {
					off, still = off+abs(y-float64(b.dynamics.Row(k)[i])), still+abs(y)
					out.Values++
				}
			}
		}
	}
	n := float64(out.Values)
	out.Error, out.Persistence = world.Number(off/n), world.Number(still/n)
	return out
}

func abs(v float64) float64 {
	if v < 0 {
		return -v
	}
	return v
}
