// SPDX-License-Identifier: Apache-2.0

package offline_test

import (
	"context"
	"fmt"

	"github.com/sepsisagent/sepsisagent/engine/learn/offline"
)

// Two kinds of stays: in state 0 action 1 is followed by survival, in state 1
// action 0 is.
func ExampleFit() {
	log := &offline.Dataset{Inputs: 1, Actions: 2, States: 2}
	for i := range 40 {
		state, action := i%2, i/2%2
		step := offline.Step{Action: action, Observation: offline.Observation{Features: []float32{float32(state)}, State: state, Previous: offline.NoAction}}
		if state != action {
			step.Reward = 1
		}
		log.Episodes = append(log.Episodes, offline.Episode{Patient: fmt.Sprint("stay ", i), Steps: []offline.Step{step}})
	}
	policy, err := offline.Fit(context.Background(), log, offline.AIClinician, offline.Defaults(offline.AIClinician), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	chances, err := policy.Probabilities([]offline.Observation{
		{Features: []float32{0}, State: 0, Previous: offline.NoAction},
		{Features: []float32{1}, State: 1, Previous: offline.NoAction},
	})
	fmt.Println(chances, err)
	// Output: [[0 1] [1 0]] <nil>
}
