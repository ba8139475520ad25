// SPDX-License-Identifier: Apache-2.0

package agent

// This file: that a rule the agent knows by name is not renamed without it.

import (
	"slices"
	"testing"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/policy"
)

// knownRules are all of them.
var knownRules = []string{ruleStaleMAP, ruleOutOfSupport, ruleFirstLine, ruleVasopressin, ruleAboveGoal, ruleUntreated, ruleColloid,
	ruleLateVolume, ruleOverload, ruleLargeBalance}

func TestRulesKnownByNameAreShipped(t *testing.T) {
	pack, err := policy.Load(configs.FS)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range knownRules {
		if !slices.ContainsFunc(pack.Rules(), func(r policy.Rule) bool { return r.ID == id }) {
			t.Errorf("no shipped rule is called %s", id)
		}
	}
}
