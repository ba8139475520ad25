// SPDX-License-Identifier: Apache-2.0

package agent

// This file: the explanation, built only from the numbers that decided.

import (
	"fmt"
	"math"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/policy"
)

// partWords name the parts of a value for people.
var partWords = map[string]string{
	partPressure:    "simulated MAP below goal",
	partAtGoal:      "chance of MAP at goal",
	partExcess:      "MAP far above goal",
	partLactate:     "simulated lactate",
	partUrine:       "simulated urine output",
	partOrgans:      "simulated organ function",
	partRisk:        "spread of the MAP forecast",
	partApart:       "disagreement between the model's networks",
	partVasopressor: "vasopressor burden",
	partVolume:      "volume burden",
	partRarity:      "how few clinicians do so",
	partPenalty:     "rules",
}

// explain says what was seen, what was simulated and what tipped the balance.
func (n *Native) explain(tl *state.Timeline, d *Decision, chosen, hold *option) []string {
	m := tl.Present.MAP
	var out []string
	relation := "at or above"
	if m.Newest.Value < m.GoalMmHg {
		relation = "below"
	}
	out = append(out, fmt.Sprintf("MAP %.0f mmHg (%.0f min old%s) is %s the goal of %.0f.",
		m.Newest.Value, m.Newest.AgeMin, sourceWords(m), relation, m.GoalMmHg))
	first, last := 0, len(hold.Forecast.Steps)-1
	for _, k := range []int{first, last} {
		a := hold.Forecast.Steps[k]
		line := fmt.Sprintf("Simulated MAP at %.0f h on current treatment: %s mmHg, chance at goal %.0f %%",
			a.EndH, band(a.Band[state.MeanBP].Median, a.Band[state.MeanBP].Lo80, a.Band[state.MeanBP].Hi80), 100*a.PMAPAtGoal)
		if chosen != hold {
			b := chosen.Forecast.Steps[k]
			line += fmt.Sprintf("; with %s: %s mmHg, %.0f %%", chosen.Proposal.Name,
				band(b.Band[state.MeanBP].Median, b.Band[state.MeanBP].Lo80, b.Band[state.MeanBP].Hi80), 100*b.PMAPAtGoal)
		}
		out = append(out, line+".")
		if last == first {
			break
		}
	}
	if chosen != hold {
		out = append(out, fmt.Sprintf("Simulated gain of %s over current treatment %+.2f, mostly from: %s.",
			chosen.Proposal.Name, chosen.Value-hold.Value, differences(chosen, hold)))
	}
	if l := d.Learned; l != nil && chosen != hold {
		out = append(out, learnedLine(l, chosen))
	}
	if chosen != hold && len(d.Rounds) > 1 {
		line := "Smaller doses were simulated too:"
		for i, r := range d.Rounds[1:] {
			if i > 0 {
				line += ";"
			}
			line += " " + r.Why
		}
		out = append(out, line+".")
	}
	for _, v := range hold.Verdicts {
		if v.Effect == policy.Penalty && chosen != hold {
			out = append(out, fmt.Sprintf("Rule %s counts against current treatment: %s", v.ID, v.Text))
		}
	}
	if d.Status == Suggest && chosen == hold {
		left := "No simulated change is clearly better than current treatment"
		if d.Proposer != proposerNative {
			left = fmt.Sprintf("The %s proposer leaves current treatment as it is", d.Proposer)
		}
		out = append(out, left+"; an old or missing lactate does not allow to leave it at that.")
	}
	out = append(out, fmt.Sprintf("Clinicians are estimated to treat %.0f %% of such states this way; %d similar steps are in the training data.",
		100*chosen.Forecast.Support, chosen.Forecast.Similar))
	return out
}

// learnedLine says what the learned policy has to do with the option.
func learnedLine(l *Learned, o *option) string {
	role := "proposed this too"
	switch o.source {
	case SourceActor:
		role = "proposed this"
	case SourceGuideline, SourceRefined:
		role = "did not propose it at this dose"
	}
	return fmt.Sprintf("The policy learned from recorded treatment %s: it gives less vasopressor than now a chance of %.0f %%, more %.0f %%, more fluid %.0f %%.",
		role, 100*l.LessVasopressor, 100*l.MoreVasopressor, 100*l.MoreFluid)
}

func sourceWords(m state.Pressure) string {
	switch {
	case m.Derived:
		return ", derived from systolic and diastolic pressure"
	case m.Newest.Method == state.MethodArterial:
		return ", arterial line"
	case m.Newest.Method == state.MethodCuff:
		return ", cuff"
	}
	return ""
}

func band(median, lo, hi float64) string { return fmt.Sprintf("%.0f (%.0f to %.0f)", median, lo, hi) }

// differences names the parts in which two options differ by most, largest
// first, at most three.
func differences(a, b *option) string {
	var out []string
	used := map[string]bool{}
	for len(out) < 3 {
		name, most := "", 0.005
		for _, p := range partNames {
			if d := math.Abs(a.Parts[p] - b.Parts[p]); !used[p] && d > most {
				name, most = p, d
			}
		}
		if name == "" {
			break
		}
		used[name] = true
		out = append(out, fmt.Sprintf("%s %+.2f", partWords[name], a.Parts[name]-b.Parts[name]))
	}
	if len(out) == 0 {
		return "no part differs by more than 0.01"
	}
	return strings.Join(out, ", ")
}

// why says why an option was not gone with.
func (n *Native) why(d *Decision, o, chosen *option) string {
	if o == chosen {
		return ""
	}
	for _, v := range o.Verdicts {
		if v.Effect == policy.Block {
			return fmt.Sprintf("not permitted by %s: %s", v.ID, v.Text)
		}
	}
	if o.Value > chosen.Value && d.Proposer != proposerNative {
		return fmt.Sprintf("value %.2f against %.2f: not what the %s proposer chose", o.Value, chosen.Value, d.Proposer)
	}
	if o.Value > chosen.Value {
		return fmt.Sprintf("value %.2f against %.2f: a smaller change is enough", o.Value, chosen.Value)
	}
	return fmt.Sprintf("value %.2f against %.2f: %s", o.Value, chosen.Value, differences(o, chosen))
}
