// SPDX-License-Identifier: Apache-2.0

package environment

// This file: recorded states one by one, for those who write training data in
// the words of an episode (engine/learn/export).

import (
	"context"
	"fmt"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// From begins an episode at a recorded state, which is recalled as that of a
// reset at TaskCohort is; whose part of the split it is, the caller minds. The
// error wraps ErrNoStart where nobody is fit for an episode there.
func (v *Environment) From(seed uint64, recorded *state.Timeline) (*Episode, error) {
	e, err := v.begin(seed, TaskCohort, recall(recorded), recorded.At)
	if err != nil {
		return nil, err
	}
	if !fit(e.tl) {
		return nil, fmt.Errorf("%w: the recorded state cannot go on", ErrNoStart)
	}
	return e, nil
}

// Words is a recorded state as an episode tells one, with its menu: the record
// itself, not what is recalled of it. The error wraps ErrNoStart where no
// episode may start there.
func (v *Environment) Words(ctx context.Context, recorded *state.Timeline) (string, error) {
	if !fit(recorded) {
		return "", fmt.Errorf("%w: the recorded state is not fit for one", ErrNoStart)
	}
	return (&Episode{env: v, tl: recorded}).chartText(ctx)
}
