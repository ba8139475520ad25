// SPDX-License-Identifier: Apache-2.0

package learn

// This file: that outcomes dealt out to the wrong stays say nothing.

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/agent"
)

func TestReturnsOfOtherStaysGiveNoGain(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	v := valuer{}
	for i := range 60 {
		ep := episode{patient: fmt.Sprint(i), final: terminalReward}
		agrees := rng.IntN(3) > 0
		if !agrees && rng.IntN(2) == 0 {
			ep.final = -terminalReward // advice that is followed goes well: only the truth may see it
		}
		for t := range 1 + rng.IntN(5) {
			p := &Point{Status: agent.Suggest, Advised: all(0, 0)}
			given := 0
			if !agrees {
				given = 1 + rng.IntN(Actions-1)
			}
			ep.points, ep.logged, ep.spoken = append(ep.points, p), append(ep.logged, given), append(ep.spoken, t)
			ep.b = append(ep.b, evenly())
		}
		v.episodes = append(v.episodes, ep)
	}
	got, err := v.control()
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(float64(got.Value)) > 0.75 {
		t.Errorf("outcomes without meaning give %v on average, want about 0", got.Value)
	}
	if !(got.Low < 0 && got.High > 0) {
		t.Errorf("95 %% of deals lie in %v to %v, want 0 inside", got.Low, got.High)
	}
	again, err := v.control()
	if err != nil || again != got {
		t.Errorf("asked again it says %v, not %v (%v)", again, got, err)
	}
}
