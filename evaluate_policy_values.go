// SPDX-License-Identifier: Apache-2.0

package main

// This file: docs/evaluation.md, as `evaluate policy --values` prints it: what
// each policy prescribes and what it may be worth.

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/learn"
	"github.com/sepsisagent/sepsisagent/engine/learn/offline"
	"github.com/sepsisagent/sepsisagent/engine/ope"
)

// policyWords name a policy for people.
var policyWords = map[string]string{
	learn.PolicyClinician: "clinicians", learn.PolicyNoAction: "no drug and no fluid", learn.PolicyRandom: "random", learn.PolicyOurs: "ours",
	learn.PolicyActor: "the learned actor", learn.PolicyRules: "rule packs alone", learn.PolicyLLM: "language model among our options",
	string(offline.MostFrequent): "most frequent", string(offline.Persistence): "persistence", string(offline.AIClinician): "AI Clinician",
	string(offline.BC): "behaviour cloning", string(offline.D3QN): "D3QN", string(offline.WD3QNE): "WD3QNE", string(offline.CQL): "CQL",
	string(offline.BCQ): "BCQ", string(offline.IQL): "IQL",
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

func expectedText(e learn.Expected) string {
	if e.Of == 0 {
		return "none"
	}
	text := fmt.Sprintf("%.4g of %d (%s %%", float64(e.Count), e.Of, percentOf(e.Share))
	if e.Low == e.Low {
		text += fmt.Sprintf(" [%s, %s]", percentOf(e.Low), percentOf(e.High))
	}
	return text + ")"
}

// rankingText says in which order the policies come, or that they do not.
func rankingText(e *learn.PolicyEvaluation) string {
	if len(e.Ranking) == 0 {
		return fmt.Sprintf("none: too few policies have an effective sample size of %d", ope.MinESS)
	}
	return strings.Join(e.Ranking, ", ")
}

// writeValues writes docs/evaluation.md.
func (d *policyDocument) writeValues() []byte {
	e, o := d.e, d.e.OPESample
	d.say("# What policies prescribe in recorded stays, and what they may be worth\n")
	d.say("Printed by `sepsisagent evaluate policy --values`; nothing here is typed. Model %s %s, hash `%s`; rules `%s`. Data digest `%s`.\n", d.info.Kind, d.info.Version, e.Hashes.Model, e.Hashes.Rules, e.DataDigest)
	d.say("%s What ours says in them, and how often, is in [policy.md](policy.md). The same estimators are held against a known truth in [icu-sepsis.md](icu-sepsis.md).", d.who())
	d.setting()
	if o.Why != "" {
		d.say("\nNo estimate: %s.", o.Why)
		d.prescribing()
		return d.Bytes()
	}
	d.mainTable()
	d.prescribing()
	d.patientValues()
	d.sensitivity()
	d.behaviour()
	d.fewStays()
	return d.Bytes()
}

func (d *policyDocument) setting() {
	e, o := d.e, d.e.OPESample
	d.say("\n## How it was asked\n")
	d.say("- **Stays.** %d stays of %d patients (%d steps, %d deaths in hospital) can be valued, each from the first time the decision applied, for up to 72 h. Left out: %d stays to which no decision applied, %d with treatment that is not charted throughout, %d without a known end, %d without a step after it. Gaps in the charts are known only afterwards, and long stays have more of them: what is valued are stays that are charted without one, not all.", o.Episodes, o.Patients, o.Steps, o.Deaths, o.NeverApplied, o.UnknownTreatment, o.UnknownOutcome, o.TooShort)
	d.say("- **Policies.** Nothing of a policy is fitted here: those that learn were fitted by `train baselines`, `train actor` and `train world` on other patients, and lie in the model folder. Baselines learnt from recorded stays of those patients, septic or not, with the published reward and the settings of their sources. \"Rule packs alone\" takes, of the pairs of levels at most one vasopressor level from what runs that no rule blocks, the one that rules charge least for. Ours is the whole decision, and clinicians decide where it abstains (%s %% of steps). %s", percentOf(o.Deferred), d.languageModel())
	d.say("- **Softening.** A policy that names one action is followed in 90 of 100 decisions, and else clinicians decide; one that is chance itself is taken as it is.")
	d.say("- **Rewards.** The main table has the published step reward (Raghu 2017: standard SOFA and lactate) and +15 for leaving the hospital alive or −15 for death there, undiscounted. Its SOFA holds the vasopressor, so that giving one costs points. The second table has ours, about the patient alone (SOFA without its cardiovascular part, MAP, lactate) and the same end; it is what `--json` calls `ope`.")
	d.say("- **Estimators.** Ratios are limited to 10 per step and 10,000 in all; those of DR to the square root of the number of stays, without which a single stay decides it. WPDIS keeps ended stays at their last weight. \"WPDIS alive\" is normalised over stays that still run, as publications seem to have it: it counts the end of stays several times, also for clinicians, and is no value. Fitted Q is ridge regression, cross-fitted over folds of patients. Intervals are of 95 %%, over %d resamples of whole patients, normalisers computed anew: from the lower of the percentile and studentised ends to the higher (`envelope` in engine/ope, whose package comment says how often each kind held a known truth; that of fitted Q shows how first states vary, not its error). An end beyond ±20 or so, more than any stay can bring, says that the data bound nothing on that side.", e.Resamples)
}

func (d *policyDocument) languageModel() string {
	if slices.Contains(d.e.Policies, learn.PolicyLLM) {
		return "The language model chooses among the options that ours would show; where it gives no usable answer, ours stands."
	}
	return "No language model is among them: none is configured."
}

func (d *policyDocument) mainTable() {
	e := d.e
	d.say("\n## Main table, published reward")
	d.table("policy", "DR", "WIS", "WPDIS", "fitted Q", "ESS", "WPDIS alive (not a value)", "guideline adherence %", "underdosing %", "overdosing %")
	for _, name := range e.Policies {
		v, p := e.OPEPaper[name], e.Prescribing[name]
		d.row(wordsOf(name), valueText(v.DR), valueText(v.WIS), valueText(v.WPDIS), valueText(v.FQE), fmt.Sprintf("%.1f", float64(v.WIS.ESS)), valueText(v.Alive),
			percentRange(p.Adherence), percentRange(p.Under), percentRange(p.Over))
	}
	d.say("\nOrder: %s. A policy is placed only with an effective sample size (ESS) of %d: below, one or a few stays carry the number, and neither it nor its interval is to be read as a result. Not placed:", rankingText(e), ope.MinESS)
	d.table("policy", "why not")
	for _, name := range e.Policies {
		if why, refused := e.NotRanked[name]; refused {
			d.row(wordsOf(name), why)
		}
	}
	d.picture("values")
	d.picture("weights")
}

func percentRange(e learn.Expected) string {
	if e.Of == 0 {
		return "none"
	}
	if e.Low != e.Low {
		return percentOf(e.Share)
	}
	return fmt.Sprintf("%s [%s, %s]", percentOf(e.Share), percentOf(e.Low), percentOf(e.High))
}

func (d *policyDocument) prescribing() {
	d.say("\n## What policies prescribe\n")
	d.say("At the same decision times for all: those that apply and whose treatment is charted. Adherence is the published metric, G1 and G2 (see policy.md): not a rule of ours. The publication does not define under- and overdosing. They are the hazards of Festor 2022 here (BMJ HCI e100549), A or C and B or D, on levels, since most policies name no dose: A is no vasopressor and fluid level 0 or 1, B vasopressor level 4, C fluid level 0, D fluid level 4, each in the states that the hazard names. A share of all prescriptions looks small where states at risk are rare, so both denominators stand. Where a policy leaves the decision to clinicians it prescribes what they gave; counts of a policy that is chance are expectations. Clinicians learn more in the 4 h that they prescribe for than a policy may know.")
	d.table("policy", "decides itself", "G1 and G2 kept", "underdosing, of all", "underdosing, of those at risk", "overdosing, of all", "overdosing, of those at risk")
	for _, name := range d.e.Policies {
		p := d.e.Prescribing[name]
		d.row(wordsOf(name), fmt.Sprintf("%.0f of %d", float64(p.Own.Count), p.Own.Of), expectedText(p.Adherence), expectedText(p.Under), expectedText(p.UnderAtRisk), expectedText(p.Over), expectedText(p.OverAtRisk))
	}
}

func (d *policyDocument) patientValues() {
	d.say("\n## The patient's reward\n")
	d.say("The same policies, stays and resamples with the reward about the patient alone. \"Less clinicians\" is from the same resamples, so that what both share cancels.")
	d.policies("policy", d.e.OPE, d.e.Policies)
}

// policies is one table of estimates.
func (d *policyDocument) policies(head string, of map[string]learn.PolicyValue, names []string) {
	d.table(head, "WIS", "less clinicians", "ESS", "WPDIS", "DR", "WDR", "fitted Q", "ESS by step, least", "largest weight", "outside support")
	for _, name := range names {
		v := of[name]
		d.row(wordsOf(name), valueText(v.WIS), v.WIS.Less, fmt.Sprintf("%.1f", float64(v.WIS.ESS)), valueText(v.WPDIS), valueText(v.DR), valueText(v.WDR), valueText(v.FQE),
			fmt.Sprintf("%.1f", float64(v.WPDIS.ESS)), percentOf(v.MaxWeight)+" %", percentOf(v.Outside)+" %")
	}
}

func (d *policyDocument) sensitivity() {
	e := d.e
	d.say("\n## What the settings do\n")
	d.say("All of ours, with the patient's reward. When only its first so many advices are followed and clinicians decide the rest: the fewer, the more stays speak.")
	d.policies("advices followed", e.OPEByTimes, numericKeys(e.OPEByTimes))
	d.picture("ess")
	d.say("\nSoftening: by the share of decisions in which advice is followed.")
	d.policies("share followed", e.OPESoftened, numericKeys(e.OPESoftened))
	d.say("\nClipping: by the limit of each step's ratio; 0 is none. A limit raises the effective sample size and draws the estimate to what clinicians are worth; it adds no data.")
	d.policies("ratio at most", e.OPEByLimit, numericKeys(e.OPEByLimit))
	less := e.OPE[learn.PolicyOurs].WIS.Less
	d.say("\nControl: ours by WIS is worth %.2f more than clinicians. With the returns of stays dealt to other stays, so that nothing can be treatment, it is %s on average over the deals, with the range of 95 %% of them in brackets: chance makes differences of that size with these weights.", float64(less.Value), estimateText(e.OPESample.Control))
}

func (d *policyDocument) behaviour() {
	o := d.e.OPESample
	d.say("\n## What clinicians do\n")
	d.say("Every ratio divides by how likely clinicians were to do what they did. That is the world model's behaviour head, which reads the history of states and treatment and was fitted on its training patients, with one temperature fitted on the other folds, and at least 0.001 for every pair. On these choices: log loss %s (25 alike: 3.219), Brier score %s, calibration error %s, the likeliest pair right in %s %%.", digits(o.LogLoss), digits(o.Brier), digits(o.ECE), percentOf(o.Top1))
	d.table("pairs of levels", "mean probability", "share that was given")
	for _, b := range o.Reliability {
		d.row(b.Of, digits(b.Predicted), digits(b.Observed))
	}
	d.picture("behaviour")
}

// fewStays says what so few stays can show.
func (d *policyDocument) fewStays() {
	e, o := d.e, d.e.OPESample
	least, above := learn.PolicyOurs, 0
	for _, name := range e.Policies {
		if name == learn.PolicyClinician {
			continue
		}
		ess := e.OPE[name].WIS.ESS
		if float64(ess) >= ope.MinESS {
			above++
		}
		if ess < e.OPE[least].WIS.ESS {
			least = name
		}
	}
	d.say("\n## What so few stays can show\n")
	d.say("Not which policy is better. Beside clinicians, %d of %d policies keep an effective sample size of %d out of %d stays; %s keeps %.1f. %d of the stays ended in death, and the reward's largest part is about them alone. A bootstrap cannot draw whom it never saw, so where few stays carry a number its interval may still be too short, and one that lies apart from the clinicians' is no finding.", above, len(e.Policies)-1, ope.MinESS, o.Episodes, wordsOf(least), float64(e.OPE[least].WIS.ESS), o.Deaths)
	if c, less := o.Control, e.OPE[learn.PolicyOurs].WIS.Less.Value; c.Low <= less && less <= c.High {
		d.say("The control above shows it: what ours gains lies within what outcomes without any meaning give, %.2f to %.2f.", float64(c.Low), float64(c.High))
	}
	alive, clinicians := e.OPEPaper[learn.PolicyClinician].Alive.Value, e.OPEPaper[learn.PolicyClinician].WPDIS.Value
	d.say("A policy looks good when the stays that happened to agree with it went well; patients who got little were often those who needed little, so that doing nothing looks excellent. Fitted Q has narrow intervals because they leave out its error. No estimator sees what the chart does not hold: why a pressure was left low, what was said at the bedside, that care was being withdrawn. Every number here that compares treatments is an association. What the tables do show is where a policy prescribes what clinicians hardly ever do (outside support), how often it runs into a known hazard, and that an order as in publications cannot be had from data of this size.")
	d.say("\nThe publication prints clinicians at 5.27 by WIS and 10.82 by WPDIS (725 stays). With weights of 1 both are the mean return, so that a consistent estimator cannot tell them apart; counting only stays that still run does, here %.2f for %.2f. Its table and this one are therefore not to be laid side by side column by column.", float64(alive), float64(clinicians))
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
