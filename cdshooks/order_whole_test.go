// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: order answers of several cards, and orders that are not wholly the
// call's own, through the real server.

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/physiology"
)

// TestAnOverrideOfOneOrderCardDoesNotSilenceTheOthers: design.md 5.9, each order
// has its own card, and so its own answer.
func TestAnOverrideOfOneOrderCardDoesNotSilenceTheOthers(t *testing.T) {
	c := open(t, nil)
	ask := func() []Card {
		return c.order(physiology.EarlySepsis, nil, infusion("a", "epinephrine", 0.05, "mcg/kg/min"), infusion("b", "vasopressin", 0.04, "units/min")).cards()
	}
	override := func(card Card) {
		t.Helper()
		body := fmt.Sprintf(`{"feedback":[{"card":%q,"outcome":"overridden","outcomeTimestamp":%q}]}`, card.UUID, clinicNow.Format(time.RFC3339))
		if r := c.post(signPath+"/feedback", []byte(body), nil); r.status != http.StatusOK {
			t.Fatalf("status %d: %s", r.status, r.body)
		}
	}
	cards := ask()
	if len(cards) != 2 || cards[0].Indicator != IndicatorInfo {
		t.Fatalf("%d cards: %+v", len(cards), cards)
	}
	override(cards[0])
	c.wait(2 * time.Hour) // past the window in which an answer is a repeat
	if cards = ask(); len(cards) != 2 {
		t.Fatalf("the override of one card silenced the other: %d cards", len(cards))
	}
	override(cards[0])
	override(cards[1])
	c.wait(2 * time.Hour)
	if again := ask(); len(again) != 0 {
		t.Errorf("both were overridden on these facts: %d cards", len(again))
	}
	c.replayed(t)
}

func TestAnOrderThatIsNotReadIsSaidNotToBe(t *testing.T) {
	byReference := infusion("o", "", 0.1, "mcg/kg/min")
	delete(byReference, "medicationCodeableConcept")
	byReference["medicationReference"] = map[string]any{"reference": "Medication/elsewhere"}
	byIdentifier := infusion("o", "norepinephrine", 0.08, "mcg/kg/min")
	byIdentifier["subject"] = map[string]any{"identifier": map[string]any{"system": "urn:visit", "value": "77"}}
	for name, w := range map[string]struct {
		order map[string]any
		words string
	}{
		"a medication by a reference to elsewhere": {byReference, "named by a reference only"},
		"an order within a group": {map[string]any{"resourceType": "RequestGroup", "id": "g",
			"contained": []any{map[string]any{"resourceType": "MedicationRequest", "id": "x"}}}, "within a RequestGroup is not read"},
		"a patient by an identifier that nobody can compare": {byIdentifier, "confirm that it is for this patient"},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, nil)
			cards := c.order(physiology.EarlySepsis, nil, w.order).cards()
			if len(cards) != 1 || cards[0].Indicator != IndicatorInfo || !strings.Contains(cards[0].Detail, w.words) {
				t.Errorf("no %q: %+v", w.words, cards)
			}
			c.replayed(t)
		})
	}
}
