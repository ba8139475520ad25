// SPDX-License-Identifier: Apache-2.0

package state

// This file: the evidence for sepsis and septic shock as known at T (Sepsis-3,
// Singer 2016; design 5.6).

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Suspicion before the ICU counts this far back: antibiotics and cultures are
// mostly started in the emergency department. Without a known admission the
// last week is read.
const (
	suspicionBefore = 48 * hour
	suspicionBack   = 7 * 24 * hour
)

// Baseline scores for organs known to be failing before this illness. ESRD or
// chronic dialysis is renal 4 by definition; cirrhosis is taken as liver 2,
// the bilirubin range of compensated disease. A baseline never exceeds what is
// scored now, so that a well-controlled organ hides nothing.
const (
	baselineRenal = 4
	baselineLiver = 2
)

func (v *view) suspicionFrom() instant {
	if start, ok := v.stayStart(); ok {
		return start - suspicionBefore
	}
	return v.t - suspicionBack
}

func (v *view) sepsis(tl *Timeline) Sepsis {
	var s Sepsis
	since := never
	first := map[string]instant{}
	note := func(what string, at instant) {
		s.Suspected = true
		since = min(since, at)
		if old, ok := first[what]; !ok || at < old {
			first[what] = at
		}
	}
	from := v.suspicionFrom()
	for i := range v.b.c.Orders {
		o := &v.b.c.Orders[i]
		if at, ok := v.orderAt(o); ok && at >= from && slices.Contains(o.Tags, TagCulture) {
			note("culture ordered", at)
		}
	}
	for i := range v.b.c.Procedures {
		p := &v.b.c.Procedures[i]
		if sp, _, ok := v.procedureSpan(p); ok && sp.from >= from && slices.Contains(p.Tags, TagCulture) {
			note("culture taken", sp.from)
		}
	}
	for i := range v.b.c.Conditions {
		c := &v.b.c.Conditions[i]
		at, ok := v.conditionAt(c)
		if !ok || at < from {
			continue
		}
		for _, t := range []Tag{TagSepsis, TagInfection} {
			if slices.Contains(c.Tags, t) {
				note(string(t)+" diagnosis", at)
			}
		}
	}
	given := v.antimicrobials(from)
	if !s.Suspected {
		given, s.Prophylaxis = v.withoutProphylaxis(given)
	}
	for _, x := range given {
		note(x.what+": "+cmp.Or(string(x.drug), "unnamed"), x.at)
	}
	for what, at := range first {
		s.Evidence = append(s.Evidence, what+" "+at.time().Format(time.RFC3339))
	}
	slices.Sort(s.Evidence)
	if s.Suspected {
		s.Since = since.time()
	}
	v.judgeSOFA(&s, tl)
	v.shock(&s, tl)
	return s
}

// antimicrobial is one that was given or ordered.
type antimicrobial struct {
	drug Drug
	what string
	at   instant
}

func (v *view) antimicrobials(from instant) []antimicrobial {
	var out []antimicrobial
	for i := range v.other {
		if x := &v.other[i]; x.start >= from && (!x.a.RateKnown || x.a.Rate != 0 || x.a.RateUnit == "") {
			out = append(out, antimicrobial{x.a.Drug, "antimicrobial given", x.start})
		}
	}
	for i := range v.b.c.Orders {
		o := &v.b.c.Orders[i]
		if at, ok := v.orderAt(o); ok && at >= from && o.Class == ClassAntimicrobial {
			out = append(out, antimicrobial{o.Drug, "antimicrobial ordered", at})
		}
	}
	return out
}

// withoutProphylaxis leaves out the drugs of surgical prophylaxis that were
// given, or ordered, for no longer than it takes, and says so. It is asked only
// where neither a culture nor a diagnosis speaks of infection: then the same drug
// is a treatment.
func (v *view) withoutProphylaxis(given []antimicrobial) (rest []antimicrobial, why string) {
	cfg := &v.b.cfg
	var passed []string
	for _, drug := range cfg.ProphylaxisDrugs {
		first, last := never, -never
		for _, x := range given {
			if x.drug == drug {
				first, last = min(first, x.at), max(last, x.at)
			}
		}
		if first != never && last-first <= hoursOf(cfg.ProphylaxisH) {
			passed = append(passed, string(drug))
		}
	}
	if len(passed) == 0 {
		return given, ""
	}
	slices.Sort(passed)
	for _, x := range given {
		if !slices.Contains(passed, string(x.drug)) {
			rest = append(rest, x)
		}
	}
	return rest, fmt.Sprintf("%s for at most %.0f h without a culture is taken as surgical prophylaxis, not as evidence", strings.Join(slices.Compact(passed), ", "), cfg.ProphylaxisH)
}

// judgeSOFA takes the highest 24-h score of the timeline's steps in the stay.
func (v *view) judgeSOFA(s *Sepsis, tl *Timeline) {
	var renal, liver int
	for k := range tl.Steps {
		if st := &tl.Steps[k]; st.InStay {
			s.SOFA = max(s.SOFA, st.SOFA.Total)
			renal, liver = max(renal, st.SOFA.Renal), max(liver, st.SOFA.Liver)
		}
	}
	_, gap := v.gap(GapConditions)
	s.BaselineKnown = !gap && v.anyCondition()
	if _, ok := v.condition(TagESRD, TagDialysis); ok {
		s.BaselineSOFA += min(baselineRenal, renal)
	}
	if _, ok := v.condition(TagCirrhosis); ok {
		s.BaselineSOFA += min(baselineLiver, liver)
	}
	s.Met = s.Suspected && s.SOFA-s.BaselineSOFA >= 2
}

// shock is Sepsis-3: in sepsis, a vasopressor is needed to keep MAP at 65 and
// lactate is above 2 mmol/L after volume. It does not ask for a low MAP: a
// vasopressor that works holds it up. That one runs is taken as the bedside
// judgement that it is needed and that volume was given; how much volume is
// charted here is said beside it.
func (v *view) shock(s *Sepsis, tl *Timeline) {
	running := slices.ContainsFunc(tl.Present.Agents, func(a Agent) bool {
		return a.Class == ClassVasopressor && a.State != AgentStopped
	})
	lactate := tl.Present.Lactate.Now
	if !s.Met || !running || lactate == nil || lactate.Value <= shockLactate ||
		lactate.AgeMin > v.b.cfg.LactateStaleH*60 {
		return
	}
	s.Shock = true
	f := &tl.Present.Fluids
	volume := "volume given is not charted here"
	if f.Known {
		volume = fmt.Sprintf("%.0f mL of boluses charted here", f.BolusStayMl)
	}
	s.ShockWhy = fmt.Sprintf("vasopressor running and lactate %.1f mmol/L; %s", lactate.Value, volume)
}

// shockLactate is the Sepsis-3 bound in mmol/L, exclusive.
const shockLactate = 2

// conditionAt returns when a dated condition was first known, false when it is
// undated, not yet known or over at T.
func (v *view) conditionAt(c *Condition) (instant, bool) {
	if !c.Dated || c.Available.IsZero() && c.Onset.IsZero() {
		return 0, false
	}
	know := instant(0)
	at := never
	for _, t := range []time.Time{c.Onset, c.Available} {
		if !t.IsZero() {
			know, at = max(know, ceilInstant(t)), min(at, ceilInstant(t))
		}
	}
	if c.Onset.IsZero() || c.Available.IsZero() {
		know = at
	}
	if know > v.t {
		return 0, false
	}
	if !c.Abated.IsZero() && ceilInstant(c.Abated) <= v.t {
		return 0, false
	}
	return at, true
}

func (v *view) anyCondition() bool {
	for i := range v.b.c.Conditions {
		if _, ok := v.conditionAt(&v.b.c.Conditions[i]); ok {
			return true
		}
	}
	return false
}

// found is the earliest event that answers a check.
type found struct {
	at   instant
	text string
	id   string
}

func (f *found) before(at instant, text, id string) bool {
	if at != f.at {
		return at < f.at
	}
	return cmp.Or(cmp.Compare(text, f.text), cmp.Compare(id, f.id)) < 0
}

// condition returns the earliest known condition with one of the tags.
func (v *view) condition(tags ...Tag) (found, bool) {
	return v.conditionSince(-never, tags...)
}

// conditionSince is condition for acute events: only those from `from` on.
func (v *view) conditionSince(from instant, tags ...Tag) (found, bool) {
	best, ok := found{at: never}, false
	for i := range v.b.c.Conditions {
		c := &v.b.c.Conditions[i]
		at, known := v.conditionAt(c)
		if !known || at < from || !overlap(c.Tags, tags) {
			continue
		}
		if id := v.b.c.recordID(c.Record); !ok || best.before(at, c.Text, id) {
			best, ok = found{at, c.Text, id}, true
		}
	}
	return best, ok
}

func overlap(a, b []Tag) bool {
	return slices.ContainsFunc(a, func(t Tag) bool { return slices.Contains(b, t) })
}
