// SPDX-License-Identifier: Apache-2.0

package export

import (
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/agent/llm"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

func TestSimulationsAskForEachPairOnceAndForTheAnswer(t *testing.T) {
	for pair := range 25 * 25 {
		now := state.Levels{Vasopressor: pair / 25 / 5, Fluid: pair / 25 % 5}
		answer := state.Levels{Vasopressor: pair % 25 / 5, Fluid: pair % 25 % 5}
		first, second := looks(&agent.Decision{LevelsNow: now}, answer)
		seen := map[state.Levels]bool{}
		for _, l := range append(first, second...) {
			if seen[l] {
				t.Fatalf("%v is asked for twice", l)
			}
			seen[l] = true
		}
		if !seen[now] || !seen[answer] || len(first) > llm.MaxActions || len(second) > llm.MaxActions {
			t.Fatalf("now %v, answer %v: %v, %v", now, answer, first, second)
		}
	}
}
