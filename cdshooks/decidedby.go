// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: the line of a card that says who decided.

import "github.com/sepsisagent/sepsisagent/engine/agent"

// decidedBy says who chose among the permitted treatments, and where a language
// model was to, what came of it.
func (w writer) decidedBy() string {
	c := w.Outcome.Decision.Consulted
	if c == nil {
		return "Decided by the native agent"
	}
	model := "language model " + escape(c.Model)
	switch c.Outcome {
	case agent.ConsultChosen:
		return "Chosen by " + model + " among the treatments that rules and simulation left"
	case agent.ConsultFallback:
		return "Decided by the native agent, because " + model + " gave no usable answer (" + escape(c.Fault) + ")"
	}
	return "Decided by the native agent; there was nothing for " + model + " to choose"
}
