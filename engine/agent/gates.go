// SPDX-License-Identifier: Apache-2.0

package agent

// This file: when the agent does not apply, and when it must not suggest
// (design.md 5.6). A check that could not be made is disclosed as not
// assessed; it never counts as absent, and never as present.

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/policy"
)

// Reason codes. They are stable: audits and statistics key on them.
const (
	ReasonNotAdult          = "not-adult"
	ReasonNotICU            = "not-icu"
	ReasonNoEvidence        = "no-sepsis-evidence"
	ReasonComfortCare       = "comfort-care"
	ReasonPregnancy         = "pregnancy"
	ReasonProcedure         = "procedure-in-progress"
	ReasonECMO              = "ecmo"
	ReasonMechanicalSupport = "mechanical-support"

	ReasonAgeUnknown         = "age-unknown"
	ReasonSepsisUnknown      = "sepsis-not-checked"
	ReasonBleeding           = "bleeding"
	ReasonCardiogenic        = "cardiogenic-shock"
	ReasonObstructive        = "obstructive-shock"
	ReasonNeurogenic         = "neurogenic-shock"
	ReasonAnaphylaxis        = "anaphylaxis"
	ReasonPostArrest         = "post-arrest"
	ReasonBurns              = "burns"
	ReasonDKA                = "dka"
	ReasonUnknownVasoactive  = "unknown-vasoactive"
	ReasonMAPMissing         = "map-missing"
	ReasonMAPStale           = "stale-map"
	ReasonMAPConflict        = "map-conflict"
	ReasonVasopressorUnknown = "vasopressor-unknown"
	ReasonFluidUnknown       = "fluid-unknown"
	ReasonStaleLactate       = "stale-lactate"
	ReasonRisingLactate      = "rising-lactate"
	ReasonHypertensive       = "hypertension-on-vasopressor"
	ReasonOutOfSupport       = "out-of-support"
	ReasonBlocked            = "no-permitted-option"
	ReasonNoBetter           = "no-better-option"
	ReasonRule               = "rule"
)

// gate is one clinical check that ends the decision when it is present.
type gate struct {
	key, reason, text string
}

var outOfScope = []gate{
	{state.CheckComfortCare, ReasonComfortCare, "comfort care only is ordered"},
	{state.CheckPregnancy, ReasonPregnancy, "pregnancy or the postpartum period is charted"},
	{state.CheckProcedure, ReasonProcedure, "a procedure is in progress"},
	{state.CheckECMO, ReasonECMO, "ECMO is running"},
	{state.CheckMechSupport, ReasonMechanicalSupport, "mechanical circulatory support is running"},
}

var unlikeSepsis = []gate{
	{state.CheckBleeding, ReasonBleeding, "signs of active bleeding"},
	{state.CheckCardiogenic, ReasonCardiogenic, "cardiogenic shock is charted"},
	{state.CheckObstructive, ReasonObstructive, "obstructive shock is charted"},
	{state.CheckNeurogenic, ReasonNeurogenic, "neurogenic shock is charted"},
	{state.CheckAnaphylaxis, ReasonAnaphylaxis, "anaphylaxis is charted"},
	{state.CheckPostArrest, ReasonPostArrest, "recent cardiac arrest is charted"},
	{state.CheckBurns, ReasonBurns, "burns are charted"},
	{state.CheckDKA, ReasonDKA, "diabetic ketoacidosis is charted"},
	{state.CheckVasoactive, ReasonUnknownVasoactive, "a vasoactive drug that the model does not know is running"},
}

// notApplicable returns why the agent is not for this patient, in a fixed order.
func notApplicable(tl *state.Timeline) []Reason {
	var out []Reason
	if tl.Check(state.CheckAdult).Result == state.CheckAbsent {
		out = append(out, Reason{ReasonNotAdult, "the patient is not an adult"})
	}
	if tl.Check(state.CheckICU).Result == state.CheckAbsent {
		out = append(out, Reason{ReasonNotICU, "the stay is not an ICU stay"})
	}
	out = append(out, present(tl, outOfScope)...)
	if !tl.Present.Sepsis.Met && !sepsisNotChecked(tl) {
		out = append(out, Reason{ReasonNoEvidence, evidenceText(tl)})
	}
	return out
}

// sepsisNotChecked reports that evidence of sepsis could not be looked for, no
// organ could be scored, or that an organ fails under an antimicrobial that may
// be prophylaxis. That is not its absence (design.md 5.6), and a danger is shown.
func sepsisNotChecked(tl *state.Timeline) bool {
	return !tl.Present.Sepsis.Met && tl.Check(state.CheckSepsis).Result == state.CheckNotChecked
}

// evidenceText says which half of the sepsis evidence is not charted.
func evidenceText(tl *state.Timeline) string {
	s := tl.Present.Sepsis
	switch {
	case !s.Suspected && s.Prophylaxis != "":
		return "no antimicrobial but those of prophylaxis, no culture and no dated sepsis condition is charted: " + s.Prophylaxis
	case !s.Suspected:
		return "no antimicrobial, culture or dated sepsis condition is charted"
	}
	return fmt.Sprintf("infection is suspected, but the charted SOFA of %d is not 2 or more above the baseline of %d", s.SOFA, s.BaselineSOFA)
}

func present(tl *state.Timeline, gates []gate) []Reason {
	var out []Reason
	for _, g := range gates {
		c := tl.Check(g.key)
		if c.Result != state.CheckPresent {
			continue
		}
		text := g.text
		if c.Evidence != "" {
			text += " (" + c.Evidence + ")"
		}
		out = append(out, Reason{g.reason, text})
	}
	return out
}

// abstain returns why nothing may be suggested to a patient the agent is for.
func (n *Native) abstain(tl *state.Timeline, chart []policy.Verdict) []Reason {
	p := &tl.Present
	out := present(tl, unlikeSepsis)
	if tl.Check(state.CheckAdult).Result == state.CheckNotChecked {
		out = append(out, Reason{ReasonAgeUnknown, "the age is not charted"})
	}
	if sepsisNotChecked(tl) {
		out = append(out, Reason{ReasonSepsisUnknown, because("whether this is sepsis is not known", tl.Check(state.CheckSepsis).Evidence)})
	}
	out = append(out, n.pressureReasons(p)...)
	if !p.VasoKnown {
		out = append(out, Reason{ReasonVasopressorUnknown, because("vasopressor exposure is unknown", p.VasoWhy)})
	}
	if !p.Fluids.Known {
		out = append(out, Reason{ReasonFluidUnknown, because("fluid exposure is unknown", p.Fluids.Why)})
	}
	for _, v := range chart {
		if v.Effect == policy.Block && !(v.ID == ruleStaleMAP && hasPressureReason(out)) {
			out = append(out, Reason{ReasonRule + "-" + v.ID, v.Text})
		}
	}
	return out
}

func (n *Native) pressureReasons(p *state.Present) []Reason {
	m := p.MAP
	switch {
	case m.Newest == nil:
		return []Reason{{ReasonMAPMissing, "no MAP is charted"}}
	case m.Newest.AgeMin > n.cfg.StaleMAPMin:
		return []Reason{{ReasonMAPStale, fmt.Sprintf("the newest MAP is %.0f min old", m.Newest.AgeMin)}}
	case m.Disagree && m.Other != nil:
		return []Reason{{ReasonMAPConflict, fmt.Sprintf("confirm MAP: %s %.0f and %s %.0f mmHg disagree", methodWord(m.Newest), m.Newest.Value, methodWord(m.Other), m.Other.Value)}}
	case m.Disagree && m.ArterialNow != nil && m.CuffNow != nil:
		return []Reason{{ReasonMAPConflict, fmt.Sprintf("confirm MAP: arterial line %.0f and cuff %.0f mmHg disagree", m.ArterialNow.Value, m.CuffNow.Value)}}
	case m.Disagree:
		return []Reason{{ReasonMAPConflict, fmt.Sprintf("confirm MAP: the newest, %.0f mmHg, and another source disagree", m.Newest.Value)}}
	case m.LoneOutlier:
		return []Reason{{ReasonMAPConflict, fmt.Sprintf("confirm MAP: the newest, %.0f mmHg, differs sharply from those around it", m.Newest.Value)}}
	}
	return nil
}

// unconfirmed is why nothing is suggested from a low reading that stands alone
// and that the model, which reads the whole chart, takes for an outlier: a cuff
// is repeated in a minute (design.md 5.4). It is asked after simulation; nil
// where the pressure can be gone by.
func (n *Native) unconfirmed(tl *state.Timeline, options []*option) *Reason {
	m, hold := tl.Present.MAP, options[0]
	if !m.Alone || m.Newest.Value >= m.GoalMmHg || !hold.simulated || len(hold.Forecast.Steps) == 0 {
		return nil
	}
	expected := hold.Forecast.Steps[0].Band[state.MeanBP].Median
	if expected-m.Newest.Value < n.cfg.LoneOutlierMmHg {
		return nil
	}
	return &Reason{ReasonMAPConflict, fmt.Sprintf("confirm MAP: %.0f mmHg (%s) is a single reading, no other of the hour before it is near it, and %.0f is expected from the chart",
		m.Newest.Value, methodWord(m.Newest), expected)}
}

// methodWord names the source of a pressure.
func methodWord(r *state.Reading) string {
	switch r.Method {
	case "":
		return "source not named"
	case state.MethodArterial:
		return "arterial line"
	case state.MethodHourlyMedian:
		return "hourly median"
	}
	return r.Method
}

func hasPressureReason(reasons []Reason) bool {
	return slices.ContainsFunc(reasons, func(r Reason) bool { return r.Code == ReasonMAPMissing || r.Code == ReasonMAPStale })
}

func because(what, why string) string {
	if why == "" {
		return what
	}
	return what + ": " + why
}

// affirmForbidden returns why current treatment must not be affirmed
// (design.md 5.7). It is empty when affirming is allowed.
func (n *Native) affirmForbidden(tl *state.Timeline) []Reason {
	p := &tl.Present
	var out []Reason
	if m := p.MAP; m.Newest.Value < m.GoalMmHg {
		out = append(out, Reason{ReasonNoBetter, fmt.Sprintf("MAP %.0f mmHg is below the goal of %.0f", m.Newest.Value, m.GoalMmHg)})
	}
	if n.hypertensive(tl) {
		out = append(out, Reason{ReasonHypertensive, fmt.Sprintf("MAP %.0f mmHg is more than %d above the goal of %.0f with a vasopressor running", p.MAP.Newest.Value, hypertensiveMmHg, p.MAP.GoalMmHg)})
	}
	if p.Lactate.Rising && n.lactateCurrent(tl) {
		out = append(out, Reason{ReasonRisingLactate, "lactate is rising"})
	}
	switch l := p.Lactate.Now; {
	case l == nil:
		out = append(out, Reason{ReasonStaleLactate, "no lactate is charted"})
	case l.AgeMin > n.cfg.StaleLactateH*60:
		out = append(out, Reason{ReasonStaleLactate, fmt.Sprintf("the newest lactate is %.0f h old", l.AgeMin/60)})
	}
	return out
}

// rechecks are the measurements to ask for.
func rechecks(tl *state.Timeline, cfg Config) []string {
	l := tl.Present.Lactate.Now
	if l == nil || l.AgeMin > cfg.StaleLactateH*60 || l.Value > 2 && l.AgeMin >= 120 {
		return []string{"repeat lactate"}
	}
	return nil
}

// missing lists what a clinician would expect to see and is not charted, or
// too old to count.
func missing(tl *state.Timeline, cfg Config) []string {
	var out []string
	p := &tl.Present
	switch l := p.Lactate.Now; {
	case l == nil:
		out = append(out, "Lactate: not charted")
	case l.AgeMin > cfg.StaleLactateH*60:
		out = append(out, fmt.Sprintf("Lactate: newest is %.0f h old", l.AgeMin/60))
	}
	switch w := p.Weight; {
	case w.Conflict != "":
		out = append(out, "Weight: "+w.Conflict)
	case !w.Known:
		out = append(out, "Weight: not charted")
	}
	if len(tl.Steps) > 0 {
		last, catalogue := &tl.Steps[len(tl.Steps)-1], state.Catalogue()
		for _, f := range []int{state.Urine, state.Creatinine, state.Bilirubin, state.Platelet, state.PaO2, state.GCSMotor} {
			if last.Presence[f] == state.Missing {
				out = append(out, catalogue[f].Label+": not charted or too old")
			}
		}
	}
	for _, g := range tl.Gaps {
		out = append(out, because(g.What, g.Reason))
	}
	return out
}

// notChecked lists the clinical checks that could not be made.
func notChecked(tl *state.Timeline) []string {
	var out []string
	for _, c := range tl.Present.Checks {
		if c.Result == state.CheckNotChecked {
			out = append(out, because(strings.ReplaceAll(c.Key, "-", " "), c.Evidence))
		}
	}
	return out
}

// notAssessedText reads "rule V10: needs lactate, lactate falling".
func notAssessedText(v policy.Verdict) string {
	var names []string
	for _, m := range v.Missing {
		if name := policy.Plain(m); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return fmt.Sprintf("rule %s: needs %s", v.ID, strings.Join(names, ", "))
}
