// SPDX-License-Identifier: Apache-2.0

package engine_test

// This file: that what the log has of the facts behind a card silences nothing
// when it is not what the engine wrote.

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
)

func TestEvidenceOfAnyTextSilencesNothingButItsOwn(t *testing.T) {
	d := decider(t, canned{decision: raise()})
	base := copied(caseOf(t, physiology.SepticShock))
	own := outcome(t, d, base).Evidence
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`2/[0-9a-f]{32}/[0-9a-f]{32}/[0-9.eNaInf+-]{0,8}/[0-9.-]{0,6}/[0-9.,]{0,12}`),
			// The last part is a rate: cut short it can be the same within the tolerance.
			rapid.Map(rapid.IntRange(0, strings.LastIndexByte(own, '/')), func(n int) string { return own[:n] }), rapid.Just(own)).Draw(rt, "evidence")
		c := base
		c.Prior = []engine.Prior{{ReceiptID: "1", At: c.Now, User: c.User, Topic: engine.TopicVasopressor, Shown: true, Evidence: text, Outcome: engine.OutcomeOverridden}}
		if o := outcome(t, d, c); o.Show == (text == own) {
			rt.Fatalf("evidence %q: suppressed %q", text, o.Suppressed)
		}
	})
}
