// SPDX-License-Identifier: Apache-2.0

package agent

// This file: the rules that the agent knows by name. Rules are data and a site
// may switch them off; what is said of those here is a word more than their own
// text, or a word less where two would say the same. Nothing is permitted
// because of a name.

const (
	// ruleStaleMAP says of a MAP what pressureReasons says.
	ruleStaleMAP = "X1"
	// ruleOutOfSupport blocks where the model does not know such states.
	ruleOutOfSupport = "X2"
	// ruleFirstLine asks for norepinephrine as first vasopressor.
	ruleFirstLine = "V3"
	// ruleVasopressin asks for vasopressin instead of more norepinephrine.
	ruleVasopressin = "V4-NE"
	// ruleAboveGoal is against a vasopressor that is raised above goal.
	ruleAboveGoal = "V8"
	// ruleUntreated is against leaving severe hypotension untreated.
	ruleUntreated = "V11-ACT"
	// ruleColloid is against starch, gelatin and dextran.
	ruleColloid = "F6"
	// Rules against volume: after the first day, in overload, with a large balance.
	ruleLateVolume   = "F9"
	ruleOverload     = "F11"
	ruleLargeBalance = "F12"
)
