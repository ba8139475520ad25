// SPDX-License-Identifier: Apache-2.0

package main

// This file: docs/icu-sepsis.md and its figures, as `evaluate icu-sepsis
// --markdown` prints them.

import (
	"bytes"
	"fmt"
	"math"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/figure"
	"github.com/sepsisagent/sepsisagent/engine/learn"
	"github.com/sepsisagent/sepsisagent/engine/world"
)

// truthEstimators are the estimators in the order of the tables.
var truthEstimators = []string{"wis", "wpdis", "dr", "fqe"}

// truthDocument writes what was compared.
type truthDocument struct {
	bytes.Buffer
	reports  []*learn.TruthReport
	pictures []picture
	figures  string // folder of the figures, as the document links to it; empty: none
}

func (d *truthDocument) say(format string, args ...any) { fmt.Fprintf(d, format+"\n", args...) }

func fourDigits(n world.Number) string {
	if n != n {
		return "none"
	}
	return fmt.Sprintf("%.4f", float64(n))
}

// truthCell is one estimate: value, interval, effective sample size, and how
// many intervals held the truth.
func truthCell(e learn.TruthEstimate) string {
	if e.Value != e.Value {
		return "no overlap"
	}
	if e.Low != e.Low {
		return fmt.Sprintf("%.3f, no interval, ESS %.0f", float64(e.Value), float64(e.ESS))
	}
	return fmt.Sprintf("%.3f [%.3f, %.3f], ESS %.0f, %d/%d", float64(e.Value), float64(e.Low), float64(e.High), float64(e.ESS), e.Held, e.Of)
}

// write writes the whole document.
func (d *truthDocument) write() []byte {
	first := d.reports[0]
	d.say("# Where the truth is known: ICU-Sepsis\n")
	var sizes []string
	for _, r := range d.reports {
		sizes = append(sizes, fmt.Sprint(r.Episodes))
	}
	figures := ""
	if d.figures != "" {
		figures = " --figures docs/" + d.figures
	}
	d.say("Printed by `sepsisagent evaluate icu-sepsis --markdown --tables DIR --episodes %s --seed %d --repeat %d --deep-repeat %d --estimate-repeat %d%s`; nothing here is typed.\n", strings.Join(sizes, ","), first.Seed, first.Repeat, first.DeepRepeat, first.EstimateRepeat, figures)
	d.say("ICU-Sepsis (Choudhary, Gupta and Thomas, arXiv 2406.05646) is a decision process of 716 states and 25 actions made from real ICU stays. Its tables are known, so the chance of survival under any policy is solved, not estimated: uniform random %s, the clinicians %s, the best policy there is %s. It is a test of learners and estimators. It says nothing about patients.\n",
		fourDigits(first.RandomValue), fourDigits(first.ClinicianValue), fourDigits(first.OptimalValue))
	d.rules()
	d.picture("value")
	for _, r := range d.reports {
		d.report(r)
	}
	d.picture("estimates")
	d.reading()
	d.ours()
	return d.Bytes()
}

func (d *truthDocument) rules() {
	d.say("## Rules\n")
	d.say("- A method sees N logged stays of the clinicians: in each step the state's number, its 47 features (`stateClusterCenters`) and SOFA, what was done, and at the end whether the patient survived. It does not see the transitions, the clinicians' probabilities, nor which actions the tables admit. The planner's package cannot even import the one that holds the tables.")
	d.say("- Two rows break that rule on purpose and are no learners: the same planner, told by the tables which actions have transitions of their own (as the published environment does), and told besides what follows each state on average and how many stays stand behind each of its actions. All that is left to learn is how the actions of a state differ. They show what not knowing costs, and what a log of that size does not hold.")
	d.say("- Exact values are solved from the tables, for the policy as learnt. Mean and standard deviation are over logs of different seeds; networks are fitted on fewer of them where the column says so.")
	d.say("- Estimates are made from N other stays that no policy was learnt from. The clinicians' probabilities are estimated from those (counts, drawn towards all states by as much as held-out choices say), and Q by FQE; both are cross-fitted over 2 halves; cumulative weights are limited to √N, but for WPDIS, which such a limit distorts. Intervals are of 95 %%, over %d resamples of patients with b and Q as fitted, from the lower of the percentile and studentised ends to the higher, as in `evaluate policy`. Value, interval and effective sample size (ESS) are of the first log; the last number says how many logs' intervals held the truth.", d.reports[0].Resamples)
	d.say("- Networks see the features of a state, AI Clinician and ours its number too. Baselines have the settings of their sources, but for the discount, which is 1 as in the value, and where engine/learn/offline/config.go says what was changed and why (α of CQL, β of IQL, what AI Clinician drops, batch normalisation of D3QN). None is tuned, and networks are fitted on few logs: small differences between them mean nothing. No setting of any method was chosen by exact values of the logs printed here; how ours came about is said below.")
}

func (d *truthDocument) picture(name string) {
	for _, p := range d.pictures {
		if p.name == name && d.figures != "" {
			d.say("\n![%s](%s/icu-sepsis-%s.svg)", strings.NewReplacer("[", "(", "]", ")", "\n", " ").Replace(p.alt), d.figures, name)
		}
	}
}

// report is one size of log.
func (d *truthDocument) report(r *learn.TruthReport) {
	d.say("\n## %d stays\n", r.Episodes)
	d.say("| method | exact value | SD | logs | WIS | WPDIS | DR | FQE |\n|---|---|---|---|---|---|---|---|")
	for _, m := range r.Methods {
		var cells []string
		for _, name := range truthEstimators {
			cells = append(cells, truthCell(m.Estimates[name]))
		}
		name := strings.ReplaceAll(m.Name, "_", " ")
		switch m.Name {
		case learn.TruthOurs:
			name = "**ours**"
		case learn.TruthAdmissible:
			name = "ours, told what is admissible"
		case learn.TruthTold:
			name = "ours, told all but the choices' effects"
		}
		d.say("| %s | %s | %s | %d | %s |", name, fourDigits(m.ExactValue), fourDigits(m.SD), len(m.Values), strings.Join(cells, " | "))
	}
	d.say("\nOver all methods and logs of this size (no action, most frequent and persistence are nearly the same policy and count thrice):\n")
	d.say("| | intervals that held the truth | mean error | mean ESS |\n|---|---|---|---|")
	for _, name := range truthEstimators {
		held, of, methods := 0, 0, 0.0
		var off, size float64
		for _, m := range r.Methods {
			e := m.Estimates[name]
			held, of = held+e.Held, of+e.Of
			size, methods = size+float64(e.MeanESS), methods+1
			if e.Of > 0 {
				off += float64(e.MeanError) * float64(e.Of)
			}
		}
		d.say("| %s | %d of %d | %+.4f | %.1f |", strings.ToUpper(name), held, of, off/float64(of), size/methods)
	}
}

func (d *truthDocument) reading() {
	d.say("\n## How to read the estimates\n")
	d.say("- WIS and DR say how little they know: their intervals are mostly wider than what parts the methods. Limits on the weights pull WIS towards the clinicians, and DR towards FQE. Below an ESS of 30 an estimate is not to be ranked (engine/ope).")
	d.say("- WPDIS is not to be used here. It adds up ratios step by step, and weights lose mass along a stay wherever a policy does what clinicians hardly ever or never do in a state: estimates lie far below the truth or above 1, with an ESS that may look good.")
	d.say("- FQE is often nearest, and its intervals are useless: they resample first states around one fitted Q and do not show the error of Q. Tabular Q has all states here; no real cohort offers that.")
	d.say("- On real cohorts, which are smaller than these logs and where nobody knows the truth, such numbers deserve no more trust than here.")
}

func (d *truthDocument) ours() {
	d.say("\n## How ours learns\n")
	d.say("engine/learn/planner. A distribution of next states for every action in every state, drawn towards what follows the state whatever is done; planning on the posterior mean, among actions that somebody took in the state. Four things are unknown: how similar states smooth each other, how many earlier stays the process was made of, how often an action must have been taken to have a distribution of its own, and whether next states are those of a finite number of stays or Dirichlet. All four are chosen on each log by the likelihood of the next states of held-out patients. The effects that an action has everywhere are a ridge whose penalty EM fits. The candidates are in choose.go and smooth.go.\n")
	d.say("What was known to those who wrote it: the form of the model was developed on other logs (seeds 100 and above, and prototypes of their own), where exact values were looked at to see whether a change helped; about thirty forms were tried, and the differences between the better ones were within the noise of those logs. Sizes of effects in the tables were looked at once, at the beginning. That the tables were counted from a finite number of stays, and that rare actions got the state's average, is published, and the candidates of the choice reflect it.")
	d.say("\n| stays | ours | standard error | bar (design.md 11) | reached | best tabular method tuned with the truth (design.md 11) | ours, told what is admissible | ours, told all but the choices' effects |\n|---|---|---|---|---|---|---|---|")
	bars := map[int]struct {
		first, last  float64
		text, tabled string
	}{1000: {0.795, 0.795, "0.795", "0.792"}, 10000: {0.825, 0.835, "0.825, then 0.835", "0.820"}, 30000: {0.845, 0.845, "0.845", "0.842"}}
	for _, r := range d.reports {
		for _, m := range r.Methods {
			bar, known := bars[r.Episodes]
			if !known || m.Name != learn.TruthOurs {
				continue
			}
			reached := "no"
			if mean := float64(m.ExactValue); mean >= bar.last {
				reached = "yes"
			} else if mean >= bar.first {
				reached = "the first"
			}
			d.say("| %d | %s | %s | %s | %s | %s | %s | %s |", r.Episodes, fourDigits(m.ExactValue), fourDigits(m.SD/world.Number(math.Sqrt(float64(len(m.Values))))), bar.text, reached, bar.tabled,
				truthOf(r, learn.TruthAdmissible), truthOf(r, learn.TruthTold))
		}
	}
	d.say("\nThe transitions of an action are those of few stays, so most of what parts the actions of a state is chance that went into the tables, and only counting that action in that state can show it: what similar states or other actions say does not help. Where even the planner that was told all the rest stays below a bar, the log does not hold the bar.")
}

// truthOf is the exact value of a method, if it was measured.
func truthOf(r *learn.TruthReport, name string) string {
	for _, m := range r.Methods {
		if m.Name == name {
			return fourDigits(m.ExactValue)
		}
	}
	return "not measured"
}

// truthPictures draws values by size of log, and estimates against the truth.
func truthPictures(reports []*learn.TruthReport) []picture {
	first := reports[0]
	value := figure.Lines{Title: "Exact value by number of logged stays", XLabel: "logged stays, powers of ten", YLabel: "chance of survival", Height: 380, Paper: true,
		Desc: fmt.Sprintf("Chance of survival under the learnt policies, mean over logs with bars of one standard deviation. Random is worth %s, clinicians %s, the best policy %s.", fourDigits(first.RandomValue), fourDigits(first.ClinicianValue), fourDigits(first.OptimalValue))}
	for i := range first.Methods {
		s := figure.Series{Name: strings.ReplaceAll(first.Methods[i].Name, "_", " "), Marks: true}
		for _, r := range reports {
			m := r.Methods[i]
			s.Points = append(s.Points, figure.Point{X: math.Log10(float64(r.Episodes)), Y: float64(m.ExactValue)})
			s.Low = append(s.Low, float64(m.ExactValue-m.SD))
			s.High = append(s.High, float64(m.ExactValue+m.SD))
		}
		value.Series = append(value.Series, s)
	}
	last := reports[len(reports)-1]
	// WPDIS reaches far beyond any chance; drawn whole, nothing else could be read.
	const drawnTo = 1.2
	estimates := figure.Lines{Title: fmt.Sprintf("Estimate against truth, %d stays; intervals cut at 0 and %v, estimates beyond left out", last.Episodes, drawnTo), XLabel: "exact value", YLabel: "estimated value", Height: 380, Paper: true,
		Desc: "For each method the estimate of its first policy with its 95 % interval against its exact value, and the line on which both agree."}
	low, high := math.Inf(1), math.Inf(-1)
	for _, name := range truthEstimators {
		s := figure.Series{Name: strings.ToUpper(name), Bare: true}
		for _, m := range last.Methods {
			truth, e := float64(m.Values[0]), m.Estimates[name]
			low, high = min(low, truth), max(high, truth)
			if float64(e.Value) > drawnTo {
				continue
			}
			s.Points = append(s.Points, figure.Point{X: truth, Y: float64(e.Value)})
			s.Low, s.High = append(s.Low, max(0, float64(e.Low))), append(s.High, min(drawnTo, float64(e.High)))
		}
		estimates.Series = append(estimates.Series, s)
	}
	estimates.Series = append(estimates.Series, figure.Series{Name: "the truth", Points: []figure.Point{{X: low, Y: low}, {X: high, Y: high}}})
	return []picture{{"value", value.Desc, value.SVG()}, {"estimates", estimates.Desc, estimates.SVG()}}
}
