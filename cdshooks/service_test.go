// SPDX-License-Identifier: Apache-2.0

package cdshooks

import (
	"context"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/physiology"
)

func TestExplore(t *testing.T) {
	c := open(t, nil)
	for _, s := range physiology.Scenarios() {
		if _, ok := fixtures().patients[s]; !ok {
			continue
		}
		r := c.view(s, nil)
		t.Logf("=== %s: %d", s, r.status)
		if r.status != 200 {
			t.Logf("%s %s", r.body, last(c.records(KindFailure)))
			continue
		}
		recs := c.records(KindDecision)
		d := recs[len(recs)-1].Receipt.Outcome
		t.Logf("%s show %v supp %q reasons %v", d.Decision.Status, d.Show, d.Suppressed, d.Decision.Reasons)
		for _, card := range r.cards() {
			t.Logf("%s | %s (%d)\n%s\n%v\n%s", card.Indicator, card.Summary, len(card.Summary), card.Detail, card.Suggestions, card.Extension[ReceiptExtension])
			body := c.get(strings.TrimPrefix(card.Links[0].URL, c.service.Config.PublicURL))
			t.Logf("evidence %d %d bytes", body.status, len(body.body))
		}
		body, _ := EncodeRecord(recs[len(recs)-1])
		rep, err := Replay(context.Background(), body, ReplayDeps{c.service.Charts, c.service.State, c.service.Decider, c.service.Hashes})
		t.Logf("replay %+v %v  record %d bytes", rep, err, len(body))
	}
}
