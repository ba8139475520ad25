// SPDX-License-Identifier: Apache-2.0

package llm

// This file: the order check. Rules and simulation answer it; no language model
// is asked, because a clinician waits with the pen in hand.

import (
	"context"

	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Assess is that of the native agent.
func (a *Agent) Assess(ctx context.Context, tl *state.Timeline, drafts []state.Draft) (agent.Assessment, error) {
	return a.native.Assess(ctx, tl, drafts)
}
