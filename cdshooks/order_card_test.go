// SPDX-License-Identifier: Apache-2.0

package cdshooks

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// orderCase is an order check written by hand.
func orderCase() Rendering {
	r := shockCase()
	r.Outcome.Topic = engine.TopicOrder
	r.Outcome.Decision.Options[2].Role = agent.RoleConsidered
	forecast := r.Outcome.Decision.Options[1].Forecast
	starch := agent.Finding{Severity: agent.SeverityWarning, Alternative: "a balanced crystalloid", Dose: "one 250 to 500 mL bolus of balanced crystalloid with stop criteria"}
	starch.Rule.ID, starch.Rule.Text, starch.Rule.Strength, starch.Rule.Source = "F6", "hetastarch is not used for resuscitation in sepsis.", "strong", "SSC 2021 R35"
	rate := agent.Finding{Severity: agent.SeverityCritical, Alternative: "check number and unit"}
	rate.Rule.ID, rate.Rule.Text, rate.Rule.Strength, rate.Rule.Source = "O02", "The rate as written is beyond what anybody gives. As a rule the unit is wrong.", "order limit", "plausible range of the drug"
	r.Outcome.Orders = []agent.Assessed{
		{Draft: state.Draft{ID: "MedicationRequest/hes", Name: "Hespan", Selected: true, Drug: "hetastarch", Class: state.ClassColloid, Does: state.DraftGives, MlKnown: true, AmountMl: 500, Received: "500 mL"},
			Findings: []agent.Finding{starch}, Forecast: &forecast},
		{Draft: state.Draft{ID: "MedicationRequest/ne", Name: "norepinephrine", Selected: true, Drug: "norepinephrine", Class: state.ClassVasopressor, Does: state.DraftGives, Received: "8 mcg/kg/min"},
			Findings: []agent.Finding{rate}, Unjudged: "rate beyond what is plausible"},
		{Draft: state.Draft{ID: "MedicationRequest/apap", Name: "paracetamol 1 g", Selected: true, Skip: "drug not in the code maps"}, Unjudged: "drug not in the code maps"},
	}
	return r
}

func TestOrderCardsMatchTheirGoldenFiles(t *testing.T) {
	for _, mode := range []string{trust.DisplaySuggest, trust.DisplayInform} {
		r := orderCase()
		r.Display = mode
		response, err := Render(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := response.Encode(); err != nil {
			t.Fatal(err)
		}
		for i := range response.Cards {
			name := fmt.Sprintf("order-%s-%d", mode, i)
			golden(t, name+".md", []byte(response.Cards[i].Detail+"\n"))
			response.Cards[i].Detail = "in " + name + ".md"
		}
		cards, _ := json.MarshalIndent(response, "", "  ")
		golden(t, "order-"+mode+".json", append(cards, '\n'))
	}
}
