// SPDX-License-Identifier: Apache-2.0

package offline

// This file: policy iteration on counts, by hand.

import (
	"fmt"
	"math"
	"testing"
)

// stay is an episode of pairs of state and action; the last step pays reward.
func stay(reward float64, cut bool, pairs ...[2]int) Episode {
	e := Episode{Patient: fmt.Sprint(reward, pairs), Cut: cut}
	for _, p := range pairs {
		e.Steps = append(e.Steps, Step{Observation: Observation{Features: []float32{0}, State: p[0], Previous: NoAction}, Action: p[1]})
	}
	e.Steps[len(pairs)-1].Reward = reward
	return e
}

func times(n int, e Episode) (out []Episode) {
	for range n {
		out = append(out, e)
	}
	return out
}

func TestPolicyIterationHasTheValuesOfTheCounts(t *testing.T) {
	d := &Dataset{Inputs: 1, Actions: 3, States: 4}
	add := func(e []Episode) { d.Episodes = append(d.Episodes, e...) }
	add(times(6, stay(1, false, [2]int{0, 0}, [2]int{1, 0}))) // 0 -0-> 1 -0-> survives
	add(times(2, stay(0, false, [2]int{0, 0}, [2]int{1, 0}))) // or dies: 1 is worth 3/4
	add(times(10, stay(0.5, false, [2]int{0, 1})))            // 0 -1-> ends, worth 1/2
	add(times(5, stay(1, false, [2]int{0, 2})))               // lucky, but too rare
	add(times(3, stay(1, false, [2]int{2, 1})))               // in state 2 all is rare; action 1 is commonest
	add(times(1, stay(1, false, [2]int{2, 2})))               //
	add(times(20, stay(9, true, [2]int{1, 2})))               // cut: what came of it is not known
	cfg := Defaults(AIClinician)
	cfg.Discount = 0.8
	p, err := fitAIClinician(t.Context(), d, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		why                 string
		state, action, want int
		value               float64
	}{
		{"0.8 times 3/4 is more than 1/2", 0, 0, 0, 0.6},
		{"the other action's value", 0, 1, 0, 0.5},
		{"an action seen five times is not known", 0, 2, 0, unknown},
		{"six of eight survive", 1, 0, 0, 0.75},
		{"an action with no known outcome is not known", 1, 2, 0, unknown},
		{"where nothing is known, what was done most", 2, 1, 1, unknown},
		{"a state never seen does what is done most of all", 3, 2, 2, unknown},
	} {
		if p.action[c.state] != c.want || math.Abs(p.value[c.state][c.action]-c.value) > 1e-7 {
			t.Errorf("%s: state %d does %d, want %d; action %d is worth %v, want %v", c.why, c.state, p.action[c.state], c.want, c.action, p.value[c.state][c.action], c.value)
		}
	}
	if got := p.choose(0, []bool{false, true, true}); got != 1 {
		t.Errorf("where the best action is not allowed it takes %d, want the next best, 1", got)
	}
	if got := p.choose(2, []bool{true, false, false}); got != 0 {
		t.Errorf("where nothing known is allowed it takes %d, want what is allowed, 0", got)
	}
}

func TestPolicyIterationReportsValuesThatDoNotSettle(t *testing.T) {
	d := &Dataset{Inputs: 1, Actions: 2, States: 1}
	e := Episode{Patient: "a"}
	for range 1000 { // round and round for a reward at every step
		e.Steps = append(e.Steps, Step{Observation: Observation{Features: []float32{0}, Previous: NoAction}, Reward: 1})
	}
	e.Cut = true
	d.Episodes = []Episode{e}
	cfg := Defaults(AIClinician)
	cfg.Discount = 1
	if _, err := fitAIClinician(t.Context(), d, &cfg); err == nil {
		t.Error("an endless value was taken for one")
	}
}
