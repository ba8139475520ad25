// SPDX-License-Identifier: Apache-2.0

package main

// This file: off-policy estimates in docs/policy.md, what they cannot show, and
// the figures of the document.

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/figure"
	"github.com/sepsisagent/sepsisagent/engine/learn"
	"github.com/sepsisagent/sepsisagent/engine/learn/offline"
	"github.com/sepsisagent/sepsisagent/engine/ope"
)

// policyNames are the policies of the tables: clinicians, the controls, ours,
// and then the others by name.
func policyNames(e *learn.PolicyEvaluation) []string {
	first := []string{learn.PolicyClinician, learn.PolicyNoAction, learn.PolicyRandom, learn.PolicyOurs}
	var others []string
	for name := range e.OPE {
		if !slices.Contains(first, name) {
			others = append(others, name)
		}
	}
	slices.Sort(others)
	return append(first, others...)
}

// policyWords name a policy for people.
var policyWords = map[string]string{
	learn.PolicyClinician: "clinicians", learn.PolicyNoAction: "no drug and no fluid", learn.PolicyRandom: "random", learn.PolicyOurs: "ours", learn.PolicyActor: "the learned actor",
	string(offline.MostFrequent): "what is done most", string(offline.Persistence): "the same again", string(offline.AIClinician): "AI Clinician", string(offline.BC): "behaviour cloning",
	string(offline.D3QN): "D3QN", string(offline.WD3QNE): "WD3QNE", string(offline.CQL): "CQL", string(offline.BCQ): "BCQ", string(offline.IQL): "IQL",
}

func wordsOf(policy string) string {
	if w, ok := policyWords[policy]; ok {
		return w
	}
	return policy
}

func valueText(v learn.ValueEstimate) string {
	return estimateText(learn.Estimate{Value: v.Value, Low: v.Low, High: v.High})
}

// rankingText says in which order the policies come, or that they do not.
func rankingText(e *learn.PolicyEvaluation) string {
	if len(e.Ranking) == 0 {
		return fmt.Sprintf("none: too few policies have an effective sample size of %d", ope.MinESS)
	}
	return strings.Join(e.Ranking, ", ")
}

func (d *policyDocument) values() {
	e, o := d.e, d.e.OPESample
	d.say("\n## What it may have been worth\n")
	d.say("Off-policy estimates over %d stays of %d patients (%d steps, %d deaths in hospital), each from the first time the decision applied, for up to 72 h; no stay is left out for how it went on. Left out: %d stays to which no decision applied, %d with treatment that is not charted throughout, %d without a known end, %d without a step after it. The value is the change of the patient's state (SOFA without its cardiovascular part, MAP, lactate), and +15 for leaving the hospital alive or −15 for death there; treatment itself costs nothing. It is undiscounted.",
		o.Episodes, o.Patients, o.Steps, o.Deaths, o.NeverApplied, o.UnknownTreatment, o.UnknownOutcome, o.TooShort)
	if o.Why != "" {
		d.say("\nNo estimate: %s.", o.Why)
		return
	}
	d.say("\nA policy that is not chance is followed in 90 of 100 decisions, else clinicians decide; where we abstain (%s %% of steps) they decide anyway. Behaviour is the model's, fitted on its training patients, with one temperature fitted on the other folds: on these choices log loss %s, Brier score %s, calibration error %s, the likeliest pair of levels right in %s %%. Fitted Q (ridge) is cross-fitted over five folds of patients. Ratios are limited to 10 per step and 10,000 in all; DR to the square root of the number of stays, without which a single stay decides it.", percentOf(o.Deferred), digits(o.LogLoss), digits(o.Brier), digits(o.ECE), percentOf(o.Top1))
	d.policies("policy", e.OPE, policyNames(e))
	d.say("\nOrder by WIS: %s. A policy is placed only with an effective sample size (ESS) of %d: below, one or a few stays carry the number, and neither it nor its interval is to be read as a result. Not placed:", rankingText(e), ope.MinESS)
	d.table("policy", "why not")
	for _, name := range slices.Sorted(maps.Keys(e.NotRanked)) {
		d.row(wordsOf(name), e.NotRanked[name])
	}
	d.say("\nOurs, when only its first so many advices are followed and clinicians decide the rest. This is where the data have something to say: the fewer, the more stays speak.")
	d.policies("advices followed", e.OPEByTimes, numericKeys(e.OPEByTimes))
	d.say("\nOurs, by how often advice is followed:")
	d.policies("share followed", e.OPESoftened, numericKeys(e.OPESoftened))
	d.say("\nThe same policies with the published reward (standard SOFA, lactate; Raghu 2017), for comparison with publications; its SOFA holds the dose of the vasopressor, so that giving one costs points:")
	d.policies("policy", e.OPEPaper, policyNames(e))
	d.say("\nControl: with the outcomes of stays dealt to other stays, the estimate of ours by WIS less that of clinicians is %s. Nothing of it can be treatment.", estimateText(o.Control))
	d.picture("ess")
}

// policies is one table of estimates.
func (d *policyDocument) policies(head string, of map[string]learn.PolicyValue, names []string) {
	d.table(head, "WIS", "ESS", "WPDIS", "DR", "fitted Q", "ESS by step, least", "largest weight", "outside support")
	for _, name := range names {
		v := of[name]
		d.row(wordsOf(name), valueText(v.WIS), fmt.Sprintf("%.1f", float64(v.WIS.ESS)), valueText(v.WPDIS), valueText(v.DR), valueText(v.FQE),
			fmt.Sprintf("%.1f", float64(v.WPDIS.ESS)), percentOf(v.MaxWeight)+" %", percentOf(v.Outside)+" %")
	}
}

// numericKeys sorts keys that are numbers of few digits.
func numericKeys(of map[string]learn.PolicyValue) []string {
	return slices.SortedFunc(maps.Keys(of), func(a, b string) int {
		var x, y float64
		fmt.Sscan(a, &x)
		fmt.Sscan(b, &y)
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
}

// limits says what so few stays can show.
func (d *policyDocument) limits() {
	e := d.e
	d.say("\n## What so few stays can show\n")
	d.say("They can show whether advice is given where it should be, in which states it is silent and why, whether it runs into a known hazard, and how many cards that makes. They cannot show that it helps. %d decisions of ours stand for a treatment, in %d stays; of those that can be valued, %d ended in death. The intervals above are those of whole patients drawn anew and are still too short where few carry the weight. No estimator sees what the chart does not hold: why a pressure was left low, what was said at the bedside, that care was being withdrawn. Where clinicians gave more to the sicker, that looks like harm; every number here that compares treatments is an association. The simulated futures behind our advice come from a simulator's treatment effects, and agreement with clinicians is no outcome. What is needed is a silent trial at a site, with its own validation, and then a randomised one.", e.Suggest+e.Affirm, e.Stays, e.OPESample.Deaths)
}

// policyPictures draws what was counted; what was not has no figure.
func policyPictures(e *learn.PolicyEvaluation) (out []picture) {
	if len(e.OverTime) > 0 {
		out = append(out, overTimePictures(e)...)
	}
	if len(e.Sweep.Gain) > 0 {
		out = append(out, sweepPicture(e))
	}
	if len(e.OPEByTimes) > 0 {
		out = append(out, essPicture(e))
	}
	return out
}

func overTimePictures(e *learn.PolicyEvaluation) []picture {
	advised, given, running := figure.Series{Name: "advised: after the first step", Marks: true}, figure.Series{Name: "given: mean of the next 4 h", Marks: true}, figure.Series{Name: "running at the decision"}
	advisedMl, givenMl := figure.Series{Name: "advised", Marks: true}, figure.Series{Name: "given in the next 4 h", Marks: true}
	n := 0
	for _, h := range e.OverTime {
		x := float64(h.Hour)
		n += h.Points
		advised.Points = append(advised.Points, figure.Point{X: x, Y: float64(h.AdvisedNE)})
		given.Points = append(given.Points, figure.Point{X: x, Y: float64(h.GivenNE)})
		running.Points = append(running.Points, figure.Point{X: x, Y: float64(h.BeforeNE)})
		advisedMl.Points = append(advisedMl.Points, figure.Point{X: x, Y: float64(h.AdvisedMl)})
		givenMl.Points = append(givenMl.Points, figure.Point{X: x, Y: float64(h.GivenMl)})
	}
	dose := figure.Lines{Title: "Norepinephrine-equivalents advised and given", XLabel: "hours after ICU admission", YLabel: "mean, ug/kg/min", XStep: 8, FromZero: true, Paper: true,
		Series: []figure.Series{advised, given, running},
		Desc:   fmt.Sprintf("Mean norepinephrine-equivalents by hours after admission at the %d decision times where we advised and treatment is charted: as advised, as given in the next 4 h, and as running before.", n)}
	bolus := figure.Lines{Title: "Bolus volume advised and given", XLabel: "hours after ICU admission", YLabel: "mean, mL", XStep: 8, FromZero: true, Paper: true,
		Series: []figure.Series{advisedMl, givenMl}, Desc: fmt.Sprintf("Mean bolus volume by hours after admission at the same %d decision times.", n)}
	return []picture{{"dose", dose.Desc, dose.SVG()}, {"bolus", bolus.Desc, bolus.SVG()}}
}

// sweepPicture draws what cards buy, by the two demands that change their
// number.
func sweepPicture(e *learn.PolicyEvaluation) picture {
	series := func(name string, points []learn.SweepPoint, of func(learn.SweepPoint) learn.Share) figure.Series {
		s := figure.Series{Name: name, Marks: true}
		for _, p := range points {
			if v := of(p); v.Of > 0 {
				s.Points = append(s.Points, figure.Point{X: float64(p.CardsPerDay.Value), Y: float64(v.Share)})
			}
		}
		return s
	}
	acted := func(p learn.SweepPoint) learn.Share { return p.Acted }
	gain, depth := e.Sweep.Gain, e.Sweep.Depth
	l := figure.Lines{Title: "What cards buy", XLabel: "cards per patient-day", YLabel: "share", FromZero: true, Paper: true, Width: 760, Series: []figure.Series{
		series("MAP < 55, no vasopressor: shown", depth, func(p learn.SweepPoint) learn.Share { return p.Hazards }),
		series("low MAP then treated: shown (by depth)", depth, acted),
		series("low MAP then treated: shown (by gain)", gain, acted),
		series("clinicians went that way (by gain)", gain, func(p learn.SweepPoint) learn.Share { return p.Agreement }),
	}}
	first := depth[0]
	l.Desc = fmt.Sprintf("Cards per patient-day against what they show. As configured, %.2f. A demand on the depth of a danger takes them to %.2f, one on the gain of a suggestion to %.2f.", float64(first.CardsPerDay.Value),
		float64(depth[len(depth)-1].CardsPerDay.Value), float64(gain[len(gain)-1].CardsPerDay.Value))
	return picture{"sweep", l.Desc, l.SVG()}
}

// essPicture draws how fast the evidence goes.
func essPicture(e *learn.PolicyEvaluation) picture {
	s := figure.Series{Name: "effective sample size of ours", Marks: true}
	bar := figure.Series{Name: fmt.Sprintf("%d: below, no policy is placed", ope.MinESS)}
	for _, key := range numericKeys(e.OPEByTimes) {
		var x float64
		fmt.Sscan(key, &x)
		s.Points = append(s.Points, figure.Point{X: x, Y: float64(e.OPEByTimes[key].WIS.ESS)})
		bar.Points = append(bar.Points, figure.Point{X: x, Y: ope.MinESS})
	}
	l := figure.Lines{Title: "How many stays speak", XLabel: "advices followed in a stay", YLabel: "effective sample size, stays", FromZero: true, Paper: true, Series: []figure.Series{s, bar}}
	l.Desc = fmt.Sprintf("Effective sample size of %d stays by how many advices of a stay are followed: it falls below %d within a few.", e.OPESample.Episodes, ope.MinESS)
	return picture{"ess", l.Desc, l.SVG()}
}
