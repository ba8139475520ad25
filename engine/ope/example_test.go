// SPDX-License-Identifier: Apache-2.0

package ope_test

import (
	"fmt"

	"github.com/sepsisagent/sepsisagent/engine/ope"
)

// Four stays of three patients, and a policy that does what was logged in the
// first two with certainty.
func ExampleSample_Evaluate() {
	log := []ope.Trajectory{
		{Patient: "a", Behaviour: []float64{0.5, 0.5}, Target: []float64{1, 1}, Rewards: []float64{0, 1}},
		{Patient: "b", Behaviour: []float64{0.5}, Target: []float64{1}, Rewards: []float64{1}},
		{Patient: "b", Behaviour: []float64{0.5}, Target: []float64{0}, Rewards: []float64{-1}},
		{Patient: "c", Behaviour: []float64{0.5, 0.5}, Target: []float64{1, 0}, Rewards: []float64{0, -1}},
	}
	sample, err := ope.New(log, ope.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	results, err := sample.Evaluate(ope.Bootstrap{Seed: 1}, ope.IS, ope.WIS)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range results {
		fmt.Printf("%s %.2f, effective sample size %.1f of %d\n", r.Method, r.Value, r.ESS, r.Trajectories)
		fmt.Println(r.Rankable())
	}
	// Output:
	// is 1.50, effective sample size 1.8 of 4
	// not to be ranked: effective sample size 1.8 is below 30
	// wis 1.00, effective sample size 1.8 of 4
	// not to be ranked: effective sample size 1.8 is below 30
}
