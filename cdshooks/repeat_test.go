// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: repeats, overrides and their receipts over real calls and a real
// log.

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// asUser fires as another user.
func asUser(id string) func(map[string]any) {
	return func(b map[string]any) { b["context"].(map[string]any)["userId"] = id }
}

// lastDecision is the newest decision's record.
func (c *clinic) lastDecision() *Record {
	c.t.Helper()
	records := c.records(KindDecision)
	return records[len(records)-1]
}

func TestASuppressedRepeatLeavesAReceiptThatNamesTheCardThatStands(t *testing.T) {
	c := open(t, nil)
	if len(c.view(physiology.SepticShock, nil).cards()) != 1 {
		t.Fatal("no card to begin with")
	}
	shown := c.lastDecision()
	if len(c.view(physiology.SepticShock, nil).cards()) != 0 {
		t.Fatal("the same advice is shown twice to one user")
	}
	r := c.lastDecision()
	o := r.Receipt.Outcome
	if o.Suppressed != engine.SuppressedRepeat || o.Refers != shown.ID || len(r.Receipt.Case.Prior) != 1 || r.Receipt.Case.Client != "ehr" {
		t.Errorf("suppressed %q by %q of %v", o.Suppressed, o.Refers, r.Receipt.Case.Prior)
	}
	rows, err := c.log.Query(context.Background(), audit.Filter{Kind: KindDecision, Reason: "suppressed-repeat", Refers: shown.ID})
	if err != nil || len(rows) != 1 || rows[0].Index.ID != r.ID || rows[0].Index.Shown {
		t.Errorf("the suppression cannot be found by its reason and its card: %v, %v", rows, err)
	}
	for _, kept := range c.records(KindDecision) {
		if report := c.replay(kept, c.replayDeps()); !report.OK {
			t.Errorf("a replay of %s differs: %+v", kept.ID, report.Differences)
		}
	}
}

func TestNothingCrossesUsersPatientsOrEHRs(t *testing.T) {
	c := open(t, nil)
	card := c.view(physiology.SepticShock, nil).cards()[0]
	if r := c.feedback(overridden(card.UUID, nil)); r.status != http.StatusOK {
		t.Fatal(r.status)
	}
	if len(c.view(physiology.SepticShock, asUser("Practitioner/dr-2")).cards()) != 1 {
		t.Error("another user has not seen it, nor overridden it")
	}
	if len(c.view(physiology.Improving, nil).cards()) != 1 {
		t.Error("another patient's card was silenced")
	}
	other := open(t, func(d *Deps, client *trust.Client) { d.Log, d.Proofs, client.Name = c.log, c.log, "ehr-2" })
	if len(other.view(physiology.SepticShock, nil).cards()) != 1 {
		t.Error("the same ids in another EHR are another patient and another user")
	}
	if r := other.feedback(overridden(card.UUID, nil)); r.status != http.StatusOK {
		t.Fatal(r.status)
	}
	rows, err := c.log.Query(context.Background(), audit.Filter{Kind: KindFeedback, Client: "ehr-2"})
	if err != nil || len(rows) != 1 || rows[0].Index.Refers != "" {
		t.Errorf("one EHR's feedback reached another's card: %+v, %v", rows, err)
	}
}

func TestManySilentCallsDoNotPushAnOverrideOutOfSight(t *testing.T) {
	c := open(t, nil)
	card := c.view(physiology.Improving, nil).cards()[0]
	if r := c.feedback(overridden(card.UUID, nil)); r.status != http.StatusOK {
		t.Fatal(r.status)
	}
	ix := c.lastDecision().Index(clinicNow)
	ix.Shown, ix.Cards = false, nil
	for range maxPrior + 2 {
		ix.ID = uuid.NewString()
		if _, err := c.service.appendEntry(context.Background(), ix, nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.view(physiology.Improving, nil).cards()) != 0 {
		t.Error("the overridden advice came again")
	}
}

func TestCallsWithinOneSecondAreRepeats(t *testing.T) {
	c := open(t, nil)
	c.wait(100 * time.Millisecond)
	if len(c.view(physiology.SepticShock, nil).cards()) != 1 {
		t.Fatal("no card to begin with")
	}
	c.wait(300 * time.Millisecond)
	if len(c.view(physiology.SepticShock, nil).cards()) != 0 {
		t.Error("a card of this very second counts as of the future")
	}
}

func TestAClockThatIsSetBackShowsAgain(t *testing.T) {
	c := open(t, nil)
	c.wait(10 * time.Minute)
	if len(c.view(physiology.SepticShock, nil).cards()) != 1 {
		t.Fatal("no card to begin with")
	}
	c.wait(-10 * time.Minute)
	if len(c.view(physiology.SepticShock, nil).cards()) != 1 {
		t.Error("a card of the future silenced one of now")
	}
}

// deciderWith is the clinic's decider with another configuration.
func deciderWith(t *testing.T, change func(*engine.Config)) *engine.Decider {
	t.Helper()
	native, err := agent.New(world.Persistence{}, fixtures().pack, agent.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	cfg := engine.DefaultConfig()
	change(&cfg)
	d, err := engine.New(native, engine.Hashes{Config: "test"}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTheLastWordOfTheUserCountsWhenAndHoweverItArrives(t *testing.T) {
	at := func(item map[string]any, moment string) map[string]any {
		item["outcomeTimestamp"] = moment
		return item
	}
	const early, late = "2026-03-01T09:05:00Z", "2026-03-01T09:06:00Z"
	for _, x := range []struct {
		name string
		say  func(Card) []map[string]any // one call each
		why  string                      // when the window is over
	}{
		{"no feedback at all", func(Card) []map[string]any { return nil }, ""},
		{"an override", func(k Card) []map[string]any { return []map[string]any{at(overridden(k.UUID, nil), early)} }, engine.SuppressedOverridden},
		{"an override told twice", func(k Card) []map[string]any {
			return []map[string]any{at(overridden(k.UUID, nil), early), at(overridden(k.UUID, nil), early)}
		}, engine.SuppressedOverridden},
		{"accepted, and then overridden", func(k Card) []map[string]any {
			return []map[string]any{at(accepted(k), early), at(overridden(k.UUID, nil), late)}
		}, engine.SuppressedOverridden},
		{"the same, arriving in the wrong order", func(k Card) []map[string]any {
			return []map[string]any{at(overridden(k.UUID, nil), late), at(accepted(k), early)}
		}, engine.SuppressedOverridden},
		{"overridden, and then accepted", func(k Card) []map[string]any {
			return []map[string]any{at(overridden(k.UUID, nil), early), at(accepted(k), late)}
		}, ""},
		{"the same, arriving in the wrong order ", func(k Card) []map[string]any {
			return []map[string]any{at(accepted(k), late), at(overridden(k.UUID, nil), early)}
		}, ""},
		{"an override of a card that nobody knows", func(Card) []map[string]any { return []map[string]any{overridden("123456", nil)} }, ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := open(t, func(d *Deps, _ *trust.Client) {
				d.Decider = deciderWith(t, func(c *engine.Config) { c.RepeatWindowMin = 5 })
			})
			cards := c.view(physiology.SepticShock, nil).cards()
			if len(cards) != 1 {
				t.Fatal("no card to begin with")
			}
			first := c.lastDecision()
			c.wait(6 * time.Minute) // batches arrive late; the window is over
			for _, item := range x.say(cards[0]) {
				if r := c.feedback(item); r.status != http.StatusOK {
					t.Fatalf("%d %s", r.status, r.body)
				}
			}
			c.view(physiology.SepticShock, nil)
			o := c.lastDecision().Receipt.Outcome
			if o.Topic != first.Receipt.Outcome.Topic {
				t.Fatalf("the decision became one about %s, so that this test shows nothing", o.Topic)
			}
			if o.Suppressed != x.why || x.why != "" && o.Refers != first.ID {
				t.Errorf("suppressed %q by %q, want %q", o.Suppressed, o.Refers, x.why)
			}
		})
	}
}

func TestACardThatTheModeKeptBackIsShownOnceTheModeAllows(t *testing.T) {
	c := open(t, func(_ *Deps, client *trust.Client) { client.Display = trust.DisplayInform })
	silent := open(t, func(d *Deps, client *trust.Client) {
		d.Log, d.Proofs, client.Display = c.log, c.log, trust.DisplaySilent
	})
	suggest := open(t, func(d *Deps, _ *trust.Client) { d.Log, d.Proofs = c.log, c.log })
	for i, step := range []struct {
		on    *clinic
		cards int
		what  string
	}{
		{silent, 0, "silent shows nothing"}, {c, 1, "and silences nothing"}, {c, 0, "a card without a dose is not repeated"},
		{suggest, 1, "a card with its dose is another card"}, {suggest, 0, "which is not repeated either"}, {silent, 0, "silent again"},
	} {
		if n := len(step.on.view(physiology.SepticShock, nil).cards()); n != step.cards {
			t.Errorf("step %d: %d cards: %s", i, n, step.what)
		}
	}
	var why []string
	for _, r := range c.records(KindDecision) {
		why = append(why, r.Receipt.Outcome.Suppressed)
	}
	want := []string{"display-silent", "", "repeat", "", "repeat", "display-silent"}
	if fmt.Sprint(why) != fmt.Sprint(want) {
		t.Errorf("receipts say %q, want %q", why, want)
	}
}
