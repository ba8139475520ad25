// SPDX-License-Identifier: Apache-2.0

package engine_test

// This file: the lines of design.md 5 that are about what a card says, on cards
// rendered from the same synthetic charts.

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// cardOf renders the outcome for a ward's chart and returns the card's words and
// the whole answer as it is sent.
func cardOf(t *testing.T, w *ward) (words, sent string, o engine.Outcome) {
	t.Helper()
	o, tl := w.decideFor(t)
	r, err := cdshooks.Render(cdshooks.Rendering{ID: "decision-1", Seed: 7, Display: w.display, Timeline: tl, Outcome: o, Hashes: hashes,
		Settings: cdshooks.RenderSettings{SourceLabel: "SepsisAgent", TopicSystem: "urn:example:topics", TimeZone: "UTC", PatientID: tl.PatientID}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Cards {
		words += c.Summary + "\n" + c.Detail + "\n"
	}
	return words, string(b), o
}

func TestBedsideCards(t *testing.T) {
	low := func(rate float64) func(w *ward) {
		return func(w *ward) { w.norepinephrine(rate); w.mapIs(57); w.lactateIs(3.2) }
	}
	for _, c := range []struct {
		name    string
		patient physiology.Scenario
		write   func(w *ward)
		says    []string
		never   []string
	}{
		{"5.1 the rate is shown with its charting time and asks to verify the pump", physiology.SepticShock, low(0.12), []string{"0.12", "charted", "verify pump"}, nil},
		{"5.2 a step up names goal, ceiling and recheck", physiology.SepticShock, low(0.12), []string{"65", "0.5", "15 min"}, nil},
		{"5.3 fluid is charted here, never remaining", physiology.EarlySepsis, func(w *ward) { w.without(state.ClassVasopressor); w.mapIs(62) }, []string{"Fluids charted here: bolus"}, []string{"remaining"}},
		{"5.10 the card begins with the time it holds for and when it is void", physiology.SepticShock, low(0.12), []string{"As of 2026-03-01 12:00", "12:30", "similar"}, nil},
		{"5.10 what was not assessed is on the card", physiology.SepticShock, func(w *ward) {
			low(0.12)(w)
			w.Gaps = append(w.Gaps, state.Gap{What: "conditions", Reason: "not supplied"})
		}, []string{"ot assessed"}, nil},
		{"5.11 inform shows no dose", physiology.SepticShock, func(w *ward) { low(0.12)(w); w.display = engine.DisplayInform }, nil, []string{"to 0.14", "to 0.17"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			words, sent, o := cardOf(t, bedside(t, c.patient, c.write))
			if words == "" {
				t.Fatalf("no card: %s %v", o.Decision.Status, o.Decision.Reasons)
			}
			for _, s := range c.says {
				if !strings.Contains(words, s) {
					t.Errorf("the card does not say %q:\n%s", s, words)
				}
			}
			// 5.10: never on any card.
			for _, s := range append(c.never, "optimal", "reduces death", "adequately resuscitated", "no sepsis", "mortality") {
				if strings.Contains(strings.ToLower(words), strings.ToLower(s)) {
					t.Errorf("the card says %q:\n%s", s, words)
				}
			}
			noVasoactiveOrder(t, sent)
		})
	}
}

// noVasoactiveOrder is 5.9: no action of an answer creates a vasoactive order, and
// nothing is preselected.
func noVasoactiveOrder(t *testing.T, sent string) {
	t.Helper()
	var answer struct {
		Cards []struct {
			Suggestions []struct {
				IsRecommended bool `json:"isRecommended"`
				Actions       []struct {
					Type     string          `json:"type"`
					Resource json.RawMessage `json:"resource"`
				} `json:"actions"`
			} `json:"suggestions"`
		} `json:"cards"`
	}
	if err := json.Unmarshal([]byte(sent), &answer); err != nil {
		t.Fatal(err)
	}
	for _, card := range answer.Cards {
		for _, s := range card.Suggestions {
			if s.IsRecommended {
				t.Error("5.9: a suggestion is preselected")
			}
			for _, a := range s.Actions {
				for _, drug := range []string{"norepinephrine", "vasopressin", "epinephrine", "phenylephrine"} {
					if a.Type == "create" && strings.Contains(strings.ToLower(string(a.Resource)), drug) {
						t.Errorf("5.9: an action creates an order of %s", drug)
					}
				}
			}
		}
	}
}

// TestBedsideSilenceIsSilent is 5.11: silent answers without a card whatever was
// decided.
func TestBedsideSilenceIsSilent(t *testing.T) {
	w := bedside(t, physiology.SepticShock, func(w *ward) { w.norepinephrine(0.1); w.mapIs(50); w.display = engine.DisplaySilent })
	words, _, o := cardOf(t, w)
	if words != "" || o.Decision.Status == agent.NotApplicable {
		t.Errorf("%s: %q", o.Decision.Status, words)
	}
}
