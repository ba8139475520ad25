// SPDX-License-Identifier: Apache-2.0

package agent

// This file: the order limits, what is said of an order whatever the rule packs
// say, and what is offered instead. They are constants like the hard limits of
// package policy: no configuration widens them. They advise and never forbid.

import (
	"fmt"
	"math"
	"slices"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/policy"
)

// The bounds of the order limits.
const (
	// MaxOrderUgKgMin is the norepinephrine-equivalent above which vasopressin
	// is asked for first (SSC 2021 R38; design.md 5.2).
	MaxOrderUgKgMin = policy.MaxCeilingUgKgMin
	// MaxOrderVasopressinUMin is the rate of vasopressin above which there is no
	// known benefit and ischaemia becomes likely; from MaxVasopressinUMin on a
	// word is said.
	MaxOrderVasopressinUMin = 0.06
	// MaxOrderMlPerKg is the volume, with what was charted in the last 3 h, above
	// which a bolus is more than the initial resuscitation of SSC 2021 R5.
	MaxOrderMlPerKg = 30.0
	// MaxOrderMl stands in where no weight is sound, and CriticalOrderMl is what
	// no adult is given at once.
	MaxOrderMl      = 2000.0
	CriticalOrderMl = 4000.0
	// smallBolusMl is a bolus after which somebody looks again anyway.
	smallBolusMl = policy.MaxBolusMl
)

// PackOrderLimits is the pack of their verdicts.
const PackOrderLimits = "order limits"

// limitVerdict makes the verdict of an order limit, but for its text.
func limitVerdict(id, text, source string) policy.Verdict {
	return policy.Verdict{ID: id, Pack: PackOrderLimits, Text: text, Effect: policy.Warning, Strength: "order limit", Source: source, When: policy.WhenPresent}
}

// implausibleFirstUgKgMin is the first rate of a vasopressor, in
// norepinephrine-equivalents, above which the unit is wrong rather than the
// judgement: twice the ceiling, with nothing running.
const implausibleFirstUgKgMin = 2 * MaxOrderUgKgMin

// The order limits.
var (
	limitUnread    = limitVerdict("O01", "A drafted medication order could not be read by this service, so it was not checked.", "this service")
	limitRate      = limitVerdict("O02", "The rate as written is beyond what anybody gives. As a rule the unit is wrong.", "plausible range of the drug")
	limitLitres    = limitVerdict("O14", "The volume as written is beyond what anybody gives. As a rule the unit is wrong.", "plausible range of a fluid")
	limitWhose     = limitVerdict("O15", "This order names its patient by an identifier that could not be compared with the chart: confirm that it is for this patient.", "this service")
	limitUnclear   = limitVerdict("O03", "", "this service")
	limitCeiling   = limitVerdict("O04", "", "SSC 2021 R38; design limit 0.5 ug/kg/min")
	limitTop       = limitVerdict("O05", "", "SSC 2021 R38; design limit 0.5 ug/kg/min")
	limitVasopress = limitVerdict("O06", "", "SSC 2021 R38")
	limitLower     = limitVerdict("O07", "", "SSC 2021 R9")
	limitAboveGoal = limitVerdict("O08", "", "SSC 2021 R9")
	limitVolume    = limitVerdict("O09", "", "SSC 2021 R5")
	limitCaution   = limitVerdict("O10", "", "SSC 2021 R5, text on individual volume")
	limitColloid   = limitVerdict("O11", "Starch, gelatin and dextran are not used for resuscitation in sepsis.", "SSC 2021 R35, R36")
	limitTwice     = limitVerdict("O12", "", "this service")
	limitForecast  = limitVerdict("O13", "", "world model")
)

// alternative is what could be done instead, without a dose and with one.
type alternative struct{ plain, dose string }

var (
	lessVolume = alternative{"a smaller bolus of balanced crystalloid, then look for a response before any more",
		"one 250 to 500 mL bolus of balanced crystalloid, then look for a response before any more"}
	noVolume      = alternative{plain: "no volume now; where MAP is below goal, the vasopressor"}
	keepPressor   = alternative{plain: "keep the vasopressor, and treat the pressure first"}
	notMore       = alternative{plain: "leave the rate as it is or lower it, and confirm the MAP"}
	norepiFirst   = alternative{plain: "norepinephrine, without delay"}
	checkUnit     = alternative{plain: "check number and unit"}
	onlyOne       = alternative{plain: "keep one of the two orders"}
	balancedFluid = alternative{"a balanced crystalloid", "one 250 to 500 mL bolus of balanced crystalloid with stop criteria"}
	rightPatient  = alternative{plain: "check the patient's name and number on the order"}
	askAgain      = alternative{plain: "reassess the patient before signing"}
)

// instead is the alternative to what a rule speaks against.
func (s *session) instead(a *action, rule string) alternative {
	switch {
	case rule == ruleFirstLine:
		return norepiFirst
	case rule == ruleVasopressin:
		return alternative{"add vasopressin instead of more norepinephrine", fmt.Sprintf("add vasopressin %.3g U/min instead of more norepinephrine", s.agent.cfg.VasopressinUMin)}
	case rule == ruleColloid:
		return balancedFluid
	case a.proposal == nil:
		return askAgain
	case a.proposal.Lowers():
		return keepPressor
	case a.proposal.Raises():
		return notMore
	case rule == ruleOverload || rule == ruleLateVolume || rule == ruleLargeBalance:
		return noVolume
	case a.bolusMl > 0:
		return lessVolume
	}
	return askAgain
}

// limits asks the order limits about one order.
func (s *session) limits(o *Assessed, a *action, i int) {
	s.doseLimit(o, a)
	if why := unclear(a); why != "" {
		v := limitUnclear
		v.Text = because("The dose of this order could not be understood, so it was not checked", why)
		o.find(SeverityInfo, v, checkUnit)
	}
	if a.draft.Class == state.ClassVasopressor {
		s.ceiling(o, a)
		s.direction(o, a)
	} else if a.draft.Does == state.DraftGives {
		s.amount(o, a, i)
	}
	s.twice(o, a, i)
}

// unclear says why a dose that is written could not be understood. A dose that
// is still to come, as order-select allows, is nothing to speak of.
func unclear(a *action) string {
	d := a.draft
	switch {
	case a.noWeight:
		return "it is per minute, and no dosing weight is known"
	case !d.Dosed || d.Unknown == "" || d.Implausible || d.Does != state.DraftGives:
		return ""
	case d.Class == state.ClassVasopressor && (d.RateHigh > 0 || d.Unknown == "amount without a rate"):
		return "" // a bag, or a range of which one end is written
	}
	return d.Unknown
}

// doseLimit is the one limit that holds for every adult.
func (s *session) doseLimit(o *Assessed, a *action) {
	switch {
	case !a.draft.Implausible || a.draft.Does != state.DraftGives:
	case a.draft.Class == state.ClassVasopressor:
		o.find(SeverityCritical, limitRate, checkUnit)
	default:
		o.find(SeverityCritical, limitLitres, checkUnit)
	}
}

// ceiling bounds the rate of one vasopressor.
func (s *session) ceiling(o *Assessed, a *action) {
	d := a.draft
	if d.Does != state.DraftGives {
		return
	}
	if d.Drug == state.DrugVasopressin {
		if top := math.Max(d.Rate, d.RateHigh); d.RateUnit == state.UnitUMin && top > policy.MaxVasopressinUMin+1e-9 && !s.alreadyRuns(a) {
			v, severity := limitVasopress, SeverityInfo
			if top > MaxOrderVasopressinUMin {
				severity = SeverityWarning
			}
			v.Text = fmt.Sprintf("Vasopressin %.3g U/min is above the usual 0.03.", top)
			v.Values = map[string]float64{"vasopressin_u_min": top}
			o.find(severity, v, alternative{"vasopressin at the usual fixed rate", "vasopressin 0.03 U/min"})
		}
		return
	}
	switch {
	case s.withVasopressin():
	case a.neUgKgMin > MaxOrderUgKgMin+1e-9 && !s.alreadyRuns(a):
		v := limitCeiling
		v.Text = fmt.Sprintf("%.3g ug/kg/min norepinephrine-equivalent without vasopressin is above %.3g.", a.neUgKgMin, MaxOrderUgKgMin)
		v.Values = map[string]float64{"ne_ug_kg_min": a.neUgKgMin}
		if s.anyVasopressorCharted() {
			o.find(SeverityWarning, v, alternative{"vasopressin as second agent, and senior review", "vasopressin 0.03 U/min as second agent, and senior review"})
			return
		}
		// Of a first vasopressor there is nothing to add a second one to: such a
		// rate is as a rule ug/min written as ug/kg/min.
		v.Text = fmt.Sprintf("%.3g ug/kg/min norepinephrine-equivalent as a first rate is above %.3g: was ug/min meant?", a.neUgKgMin, MaxOrderUgKgMin)
		severity := SeverityWarning
		if a.neUgKgMin > implausibleFirstUgKgMin {
			severity = SeverityCritical
		}
		o.find(severity, v, alternative{"check number and unit, start low without delay and titrate to MAP",
			fmt.Sprintf("check number and unit, start low (norepinephrine %.3g ug/kg/min) without delay and titrate to MAP", s.agent.cfg.FullStepUgKgMin)})
	case a.neTopUgKgMin > MaxOrderUgKgMin+1e-9:
		v := limitTop
		v.Text = fmt.Sprintf("The upper end of the range, %.3g ug/kg/min of norepinephrine-equivalents, is above %.3g without vasopressin.", a.neTopUgKgMin, MaxOrderUgKgMin)
		v.Values = map[string]float64{"ne_top_ug_kg_min": a.neTopUgKgMin}
		o.find(SeverityInfo, v, alternative{"an upper end at which vasopressin is added", "an upper end of 0.25 to 0.5 ug/kg/min, then vasopressin 0.03 U/min"})
	}
}

// anyVasopressorCharted reports a vasopressor that runs or may run.
func (s *session) anyVasopressorCharted() bool {
	return slices.ContainsFunc(s.tl.Present.Agents, func(a state.Agent) bool {
		return a.Class == state.ClassVasopressor && a.State != state.AgentStopped
	})
}

// alreadyRuns reports an order at or below the running rate of its drug.
func (s *session) alreadyRuns(a *action) bool {
	now, ok := runningAgent(s.tl, a.draft.Drug)
	return ok && a.neUgKgMin <= now.NEUgKgMin*(1+sameRate)
}

// withVasopressin reports vasopressin running, or given by another draft.
func (s *session) withVasopressin() bool {
	if _, runs := runningAgent(s.tl, state.DrugVasopressin); runs {
		return true
	}
	return slices.ContainsFunc(s.drafts, func(d state.Draft) bool {
		return d.Skip == "" && d.Drug == state.DrugVasopressin && d.Does == state.DraftGives
	})
}

// direction holds a change of a vasopressor against MAP.
func (s *session) direction(o *Assessed, a *action) {
	m := s.tl.Present.MAP
	if a.proposal == nil || s.scope == scopeLimits || m.Newest == nil {
		return
	}
	spoken := func(ids ...string) bool {
		return slices.ContainsFunc(o.Findings, func(f Finding) bool { return slices.Contains(ids, f.Rule.ID) })
	}
	values := map[string]float64{"map_mmhg": m.Newest.Value, "map_goal_mmhg": m.GoalMmHg}
	switch {
	case a.proposal.Lowers() && m.Newest.Value < m.GoalMmHg && !spoken(ruleUntreated):
		v, severity := limitLower, SeverityWarning
		v.Text = fmt.Sprintf("MAP %.0f mmHg is below the goal of %.0f: this order gives less vasopressor.", m.Newest.Value, m.GoalMmHg)
		v.Values = values
		switch {
		case s.anotherRaised(a):
			severity = SeverityInfo // one vasopressor takes the place of another
		case s.severe():
			severity = SeverityCritical
		}
		o.find(severity, v, keepPressor)
	case a.raises() && m.Newest.Value > m.GoalMmHg && !s.mayBeLow() && !spoken(ruleAboveGoal):
		v := limitAboveGoal
		v.Text = fmt.Sprintf("MAP %.0f mmHg is above the goal of %.0f, and was throughout the last hour.", m.Newest.Value, m.GoalMmHg)
		v.Values = values
		o.find(SeverityInfo, v, notMore)
	}
}

// anotherRaised reports that another draft starts or raises a vasopressor.
func (s *session) anotherRaised(a *action) bool {
	return slices.ContainsFunc(s.actions, func(b action) bool { return b.draft != nil && b.draft != a.draft && b.raises() })
}

// amount bounds a bolus by what was given and by what is charted against volume.
func (s *session) amount(o *Assessed, a *action, i int) {
	spoken := func(id string) bool {
		return slices.ContainsFunc(o.Findings, func(f Finding) bool { return f.Rule.ID == id })
	}
	if slices.Contains([]state.Drug{"hetastarch", "gelatin", "dextran"}, a.draft.Drug) && !spoken(ruleColloid) {
		o.find(SeverityWarning, limitColloid, balancedFluid)
	}
	if a.bolusMl == 0 {
		return
	}
	f, w := s.tl.Present.Fluids, s.tl.Present.Weight
	total := a.bolusMl
	for k := range s.actions {
		if k != i && s.actions[k].bolusMl > 0 {
			total += s.actions[k].bolusMl
		}
	}
	drafted := total
	if f.Known {
		total += f.Bolus3hMl
	}
	most := MaxOrderMl
	if w.Known && w.Conflict == "" && w.Kg > 0 {
		most = MaxOrderMlPerKg * w.Kg
	}
	alone := a.bolusMl > smallBolusMl && (a.bolusMl > most || drafted <= most)
	if total > most && (alone || drafted > most && s.largest(i)) {
		v, severity := limitVolume, SeverityWarning
		if drafted >= CriticalOrderMl && !a.byRate {
			severity = SeverityCritical
		}
		what := fmt.Sprintf("%.0f mL", a.bolusMl)
		switch {
		case a.byRate:
			what += " in 4 h at this rate"
		case drafted > a.bolusMl:
			what = fmt.Sprintf("%.0f mL drafted in this session", drafted)
		}
		if f.Known && f.Bolus3hMl > 0 {
			what += fmt.Sprintf(" after %.0f mL charted here in 3 h", f.Bolus3hMl)
		}
		v.Text = fmt.Sprintf("%s is more than %.0f mL (%s).", what, most, mostWords(w))
		v.Values = map[string]float64{"bolus_ml": a.bolusMl, "drafted_ml": drafted, "bolus_3h_ml": f.Bolus3hMl, "most_ml": most}
		o.find(severity, v, lessVolume)
	}
	if caution := policy.FluidCaution(s.tl); caution != "" && !spoken(ruleOverload) {
		v, severity := limitCaution, SeverityInfo
		if a.bolusMl > smallBolusMl {
			severity = SeverityWarning
		}
		v.Text = fmt.Sprintf("Charted against volume: %s.", cautionWords(caution))
		o.find(severity, v, lessVolume)
	}
}

// largest reports the largest bolus of those that are asked about, the first of
// equals: what many orders add up to is said once.
func (s *session) largest(i int) bool {
	for k := range s.actions {
		if more := s.actions[k].bolusMl - s.actions[i].bolusMl; s.drafts[k].Selected && (more > 0 || more == 0 && k < i) {
			return false
		}
	}
	return true
}

func mostWords(w state.Weight) string {
	if w.Known && w.Conflict == "" && w.Kg > 0 {
		return fmt.Sprintf("30 mL/kg, %s weight", w.Source)
	}
	return "no sound weight is charted"
}

// cautionWords names a check for people.
func cautionWords(key string) string {
	switch key {
	case state.CheckHeartFailure:
		return "heart failure"
	case state.CheckESRD:
		return "end-stage renal disease"
	case state.CheckWorseningPF:
		return "oxygenation (P/F) is getting worse"
	}
	return key
}

// twice finds an order that is drafted again in the same session.
func (s *session) twice(o *Assessed, a *action, i int) {
	d := a.draft
	if d.Does != state.DraftGives {
		return
	}
	for k := range s.drafts {
		b := &s.drafts[k]
		if k == i || b.Skip != "" || b.Does != state.DraftGives || b.Drug != d.Drug || b.ID == d.ID || b.PRN != d.PRN {
			continue
		}
		v, severity := limitTwice, SeverityWarning
		if d.Class != state.ClassVasopressor {
			if !d.MlKnown || d.AmountMl != b.AmountMl || d.Rate != b.Rate {
				continue // two different fluids orders of one kind are no slip
			}
			severity = SeverityInfo
		}
		v.Text = fmt.Sprintf("%s is drafted more than once in this session: %s and %s.", d.Drug, d.Received, b.Received)
		o.find(severity, v, onlyOne)
		return
	}
}
