// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: what a clinician may accept on a card. Accepting changes nothing
// in the chart: it tells the service that the advice is followed. There is no
// order for a vasoactive drug, by no setting; a draft for one fluid bolus can
// be allowed per client (design.md 5.9). Nothing is ever preselected.

import (
	"encoding/json"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/agent"
)

func (w writer) suggestions() []Suggestion {
	if !w.dosing() {
		return nil
	}
	a := w.Outcome.Decision.Advice
	var words []string
	if a.Vasopressor != nil {
		words = append(words, vasopressorWords(a.Vasopressor))
	}
	if a.Fluid != nil {
		words = append(words, fluidWords(a.Fluid))
	}
	s := Suggestion{
		Label: "I am following this: " + strings.Join(words, " and "),
		UUID:  cardID(w.ID, w.Seed, "suggestion"),
	}
	if a.Fluid != nil && a.Vasopressor == nil && w.Settings.Quirks.Drafts && w.Settings.PatientID != "" {
		if action, ok := w.fluidDraft(a.Fluid); ok {
			s.Actions = []Action{action}
		}
	}
	return []Suggestion{s}
}

// fluidDraft is a draft order for the bolus. The description carries the whole
// dose, because some clients drop every detail of a draft but its name.
func (w writer) fluidDraft(f *agent.FluidAdvice) (Action, bool) {
	text := number(f.BolusMl, 0) + " mL " + f.Kind + " IV once over " + number(float64(f.OverMin), 0) + " min. Stop: " +
		strings.Join(f.StopCriteria, "; ")
	resource, err := json.Marshal(map[string]any{
		"resourceType":              "MedicationRequest",
		"status":                    "draft",
		"intent":                    "proposal",
		"subject":                   map[string]any{"reference": "Patient/" + w.Settings.PatientID},
		"medicationCodeableConcept": map[string]any{"text": f.Kind},
		"dosageInstruction": []any{map[string]any{
			"text": plain(text),
			"doseAndRate": []any{map[string]any{
				"doseQuantity": map[string]any{"value": f.BolusMl, "unit": "mL", "system": "http://unitsofmeasure.org", "code": "mL"},
			}},
		}},
	})
	if err != nil || f.Kind == "" {
		return Action{}, false
	}
	return Action{Type: "create", Description: "Draft: " + plain(text), Resource: resource}, true
}
