// SPDX-License-Identifier: Apache-2.0

package state

// This file: the clinical questions asked of every chart. Each is answered
// present, absent or not checked. Absent means that the source was looked at
// and speaks against it; a source that is a Gap, a problem list without one
// dated entry, or an order list of prescriptions alone has not been looked at.

import (
	"cmp"
	"fmt"
	"slices"
)

// Keys of the checks.
const (
	CheckAdult        = "adult"
	CheckICU          = "icu"
	CheckSepsis       = "sepsis-evidence"
	CheckComfortCare  = "comfort-care"
	CheckPregnancy    = "pregnancy"
	CheckProcedure    = "procedure-in-progress"
	CheckECMO         = "ecmo"
	CheckMechSupport  = "mechanical-support"
	CheckBleeding     = "bleeding"
	CheckCardiogenic  = "cardiogenic-shock"
	CheckObstructive  = "obstructive-shock"
	CheckNeurogenic   = "neurogenic-shock"
	CheckAnaphylaxis  = "anaphylaxis"
	CheckPostArrest   = "post-arrest"
	CheckBurns        = "burns"
	CheckDKA          = "dka"
	CheckVasoactive   = "unknown-vasoactive"
	CheckHeartFailure = "heart-failure"
	CheckESRD         = "esrd"
	CheckDialysis     = "dialysis"
	CheckCirrhosis    = "cirrhosis"
	CheckWorseningPF  = "worsening-pf"
	CheckDNR          = "dnr"
)

const (
	adultYears    = 18
	acuteBefore   = 48 * hour       // acute events this long before admission still count
	pregnancyBack = 330 * 24 * hour // 42 weeks and six weeks after birth
	pregnancyMin  = 12              // years; nobody younger or older is asked
	pregnancyMax  = 55
	dialysisBack  = 7 * 24 * hour
	hbBack        = 24 * hour
	hbFresh       = 12 * hour
	openProcedure = 12 * hour // a bedside procedure still open after this was not closed in the chart
	pfFresh       = 24 * hour
)

// Check returns the answer to one question; for an unknown key it is not checked.
func (tl *Timeline) Check(key string) Check {
	for _, c := range tl.Present.Checks {
		if c.Key == key {
			return c
		}
	}
	return Check{Key: key, Result: CheckNotChecked, Evidence: "no such check"}
}

func (v *view) checks(tl *Timeline) []Check {
	out := []Check{
		v.checkAdult(tl), v.checkICU(), v.checkSepsis(tl), v.checkComfort(), v.checkPregnancy(tl),
		v.checkOpen(CheckProcedure, openProcedure, TagProcedureNow),
		v.checkOpen(CheckECMO, never, TagECMO),
		v.checkOpen(CheckMechSupport, never, TagMechSupport),
		v.checkBleeding(tl),
	}
	acute := v.acuteFrom()
	for _, q := range []struct {
		key string
		tag Tag
	}{
		{CheckCardiogenic, TagCardiogenic}, {CheckObstructive, TagObstructive}, {CheckNeurogenic, TagNeurogenic},
		{CheckAnaphylaxis, TagAnaphylaxis}, {CheckPostArrest, TagPostArrest}, {CheckBurns, TagBurns}, {CheckDKA, TagDKA},
	} {
		out = append(out, v.checkCondition(q.key, acute, q.tag))
	}
	return append(out,
		v.checkVasoactive(tl),
		v.checkCondition(CheckHeartFailure, -never, TagHeartFailure),
		v.checkCondition(CheckESRD, -never, TagESRD),
		v.checkDialysis(),
		v.checkCondition(CheckCirrhosis, -never, TagCirrhosis),
		v.checkPF(tl),
		v.checkOrder(CheckDNR, TagDNR),
	)
}

// acuteFrom is the time from which an acute diagnosis belongs to this stay.
func (v *view) acuteFrom() instant {
	if start, ok := v.stayStart(); ok {
		return start - acuteBefore
	}
	return v.t - suspicionBack
}

func present(key string, f found) Check {
	return Check{Key: key, Result: CheckPresent, Evidence: f.text, Since: f.at.time(), RecordID: f.id}
}

func absent(key, evidence string) Check {
	return Check{Key: key, Result: CheckAbsent, Evidence: evidence}
}

func notChecked(key, evidence string) Check {
	return Check{Key: key, Result: CheckNotChecked, Evidence: evidence}
}

func (v *view) checkAdult(tl *Timeline) Check {
	switch {
	case !tl.AgeKnown:
		return notChecked(CheckAdult, "date of birth not charted")
	case tl.AgeYears >= adultYears:
		return Check{Key: CheckAdult, Result: CheckPresent, Evidence: fmt.Sprintf("%.0f years", tl.AgeYears)}
	}
	return absent(CheckAdult, fmt.Sprintf("%.0f years", tl.AgeYears))
}

func (v *view) checkICU() Check {
	s := &v.b.c.Stay
	switch start, ok := v.stayStart(); {
	case !s.ICUKnown:
		return notChecked(CheckICU, "kind of encounter not charted")
	case !s.ICU:
		return absent(CheckICU, "the encounter is not an ICU stay")
	case ok && start > v.t:
		return absent(CheckICU, "ICU admission is still to come")
	case ok:
		return Check{Key: CheckICU, Result: CheckPresent, Evidence: "ICU stay", Since: start.time()}
	}
	return Check{Key: CheckICU, Result: CheckPresent, Evidence: "ICU stay, admission time not charted"}
}

func (v *view) checkSepsis(tl *Timeline) Check {
	s := &tl.Present.Sepsis
	if s.Met {
		return Check{Key: CheckSepsis, Result: CheckPresent, Since: s.Since,
			Evidence: fmt.Sprintf("%s; SOFA %d, baseline %d", s.Evidence[0], s.SOFA, s.BaselineSOFA)}
	}
	scored := 0
	for k := range tl.Steps {
		scored = max(scored, tl.Steps[k].SOFA.Scored)
	}
	_, noOrders := v.gap(GapOrders)
	_, noConditions := v.gap(GapConditions)
	switch {
	case !s.Suspected && noOrders && noConditions:
		return notChecked(CheckSepsis, "neither orders nor diagnoses could be read")
	case s.Suspected && scored == 0:
		return notChecked(CheckSepsis, "infection is suspected, but no organ could be scored")
	case s.Suspected:
		return absent(CheckSepsis, fmt.Sprintf("infection is suspected, but SOFA %d is less than 2 above baseline %d",
			s.SOFA, s.BaselineSOFA))
	case s.Prophylaxis != "" && s.SOFA-s.BaselineSOFA >= 2: // an organ fails: nobody may say that this is no sepsis
		return notChecked(CheckSepsis, "an organ fails, and no other antimicrobial, no culture and no dated sepsis diagnosis is charted: "+s.Prophylaxis)
	case s.Prophylaxis != "":
		return absent(CheckSepsis, "no other antimicrobial, no culture and no dated sepsis diagnosis charted: "+s.Prophylaxis)
	}
	return absent(CheckSepsis, "no antimicrobial, culture or dated sepsis diagnosis charted")
}

// checkComfort reads orders and, where a site charts it so, diagnoses.
func (v *view) checkComfort() Check {
	c := v.checkOrder(CheckComfortCare, TagComfortCare)
	if c.Result == CheckPresent {
		return c
	}
	if f, ok := v.conditionSince(v.acuteFrom(), TagComfortCare); ok {
		return present(CheckComfortCare, f)
	}
	return c
}

func (v *view) checkOrder(key string, tag Tag) Check {
	best, ok := found{at: never}, false
	for i := range v.b.c.Orders {
		o := &v.b.c.Orders[i]
		at, known := v.orderAt(o)
		if !known || !slices.Contains(o.Tags, tag) || o.Status == "completed" || o.Status == "stopped" {
			continue
		}
		if id := v.b.c.recordID(o.Record); !ok || best.before(at, o.Text, id) {
			best, ok = found{at, o.Text, id}, true
		}
	}
	if ok {
		return present(key, best)
	}
	if why, gap := v.gap(GapOrders); gap {
		return notChecked(key, cmp.Or(why, "orders could not be read"))
	}
	if !v.anyDirective() {
		return notChecked(key, "no directive charted, only drug orders if any")
	}
	return absent(key, "no such order")
}

// anyDirective says whether anything but drugs is ordered in this chart: many
// sources give prescriptions alone, which say nothing about code status.
func (v *view) anyDirective() bool {
	return slices.ContainsFunc(v.b.c.Orders, func(o Order) bool {
		_, known := v.orderKnown(&o)
		return known && (o.Concept != "" || o.Class == "" && o.Drug == "")
	})
}

func (v *view) checkPregnancy(tl *Timeline) Check {
	if f, ok := v.conditionSince(v.t-pregnancyBack, TagPregnancy); ok {
		return present(CheckPregnancy, f)
	}
	if tl.Sex == "male" {
		return absent(CheckPregnancy, "male")
	}
	if tl.AgeKnown && (tl.AgeYears < pregnancyMin || tl.AgeYears > pregnancyMax) {
		return absent(CheckPregnancy, fmt.Sprintf("%.0f years", tl.AgeYears))
	}
	return v.conditionsSay(CheckPregnancy)
}

// conditionsSay is the answer when no condition speaks for a check.
func (v *view) conditionsSay(key string) Check {
	if why, gap := v.gap(GapConditions); gap {
		return notChecked(key, cmp.Or(why, "diagnoses could not be read"))
	}
	if !v.anyCondition() {
		return notChecked(key, "no dated diagnosis charted")
	}
	return absent(key, "no such dated diagnosis")
}

func (v *view) checkCondition(key string, from instant, tags ...Tag) Check {
	if f, ok := v.conditionSince(from, tags...); ok {
		return present(key, f)
	}
	return v.conditionsSay(key)
}

// checkOpen asks for a procedure that is going on at T. One that was never
// closed counts for `within` after its start.
func (v *view) checkOpen(key string, within instant, tags ...Tag) Check {
	best, ok := found{at: never}, false
	for i := range v.b.c.Procedures {
		p := &v.b.c.Procedures[i]
		s, open, known := v.procedureSpan(p)
		if !known || !open || v.t-s.from > within || !overlap(p.Tags, tags) {
			continue
		}
		if id := v.b.c.recordID(p.Record); !ok || best.before(s.from, p.Text, id) {
			best, ok = found{s.from, p.Text, id}, true
		}
	}
	if ok {
		return present(key, best)
	}
	if why, gap := v.gap(GapProcedures); gap {
		return notChecked(key, cmp.Or(why, "procedures could not be read"))
	}
	return absent(key, "none open")
}

// checkBleeding looks for a fall of haemoglobin, rapid transfusion or a
// diagnosis. It is absent only where all three could be looked at.
func (v *view) checkBleeding(tl *Timeline) Check {
	if f, ok := v.conditionSince(v.acuteFrom(), TagBleeding); ok {
		return present(CheckBleeding, f)
	}
	cfg := &v.b.cfg
	if f := &tl.Present.Fluids; f.BloodIn3hMl >= cfg.TransfusionMl {
		return Check{Key: CheckBleeding, Result: CheckPresent, Since: (v.t - 3*hour).time(),
			Evidence: fmt.Sprintf("%.0f mL of blood products in 3 h", f.BloodIn3hMl)}
	}
	fall, top, now, compared := v.hbFall()
	if compared && fall >= cfg.HbFallGdl-1e-9 {
		return Check{Key: CheckBleeding, Result: CheckPresent, Since: top.at.time(), RecordID: v.reading(now).RecordID,
			Evidence: fmt.Sprintf("haemoglobin fell %.1f g/dL within 24 h", fall)}
	}
	c := v.conditionsSay(CheckBleeding)
	_, fluidGap := v.gap(GapFluid)
	switch {
	case c.Result == CheckNotChecked:
		return c
	case fluidGap:
		return notChecked(CheckBleeding, "transfusions are not charted here")
	case !compared:
		return notChecked(CheckBleeding, "fewer than two haemoglobin values of one analyser within 24 h, or none in the last 12 h")
	}
	return absent(CheckBleeding, "haemoglobin steady, no rapid transfusion, no dated diagnosis")
}

// hbFall returns by how much haemoglobin has fallen within 24 h, and from which
// value to which. Laboratory and blood gas analyser are not interchangeable, so
// each is compared with itself alone; the larger fall counts. A newer value of
// either that is back up takes a fall away, and values older than hbFresh say
// nothing of now. compared is false where no analyser gave two values.
func (v *view) hbFall() (fall float64, top, now *obs, compared bool) {
	s := v.feature(Hemoglobin)
	latest := newest(s, v.t)
	if latest == nil || latest.at <= v.t-hbFresh {
		return 0, nil, nil, false
	}
	for _, gas := range []bool{false, true} {
		var high, last *obs
		n := 0
		for i := len(s) - 1; i >= 0 && (last == nil || s[i].at >= last.at-hbBack); i-- {
			o := &s[i]
			if !o.known(v.t) || (o.method == MethodBloodGas) != gas {
				continue
			}
			if last == nil {
				last = o
			}
			if n++; high == nil || o.value > high.value {
				high = o
			}
		}
		if n < 2 || last.at <= v.t-hbFresh {
			continue
		}
		compared = true
		if d := high.value - max(last.value, latest.value); d > fall {
			fall, top, now = d, high, last
		}
	}
	return fall, top, now, compared
}

// checkVasoactive finds drugs whose effect the model does not know.
func (v *view) checkVasoactive(tl *Timeline) Check {
	for _, a := range tl.Present.Agents {
		if a.State == AgentStopped {
			continue
		}
		if _, known := v.b.cfg.neFactor(a.Drug); a.Class == ClassVasopressor && known {
			continue
		}
		return Check{Key: CheckVasoactive, Result: CheckPresent, Evidence: string(a.Drug) + " " + a.State,
			Since: a.ChartedAt, RecordID: a.RecordID}
	}
	if why, gap := v.gap(GapVasopressor); gap {
		return notChecked(CheckVasoactive, cmp.Or(why, "infusions are not charted here"))
	}
	return absent(CheckVasoactive, "none running")
}

func (v *view) checkDialysis() Check {
	if f, ok := v.condition(TagDialysis); ok {
		return present(CheckDialysis, f)
	}
	best, ok := found{at: never}, false
	for i := range v.b.c.Procedures {
		p := &v.b.c.Procedures[i]
		s, open, known := v.procedureSpan(p)
		if !known || !slices.Contains(p.Tags, TagDialysis) || !open && s.to < v.t-dialysisBack {
			continue
		}
		if id := v.b.c.recordID(p.Record); !ok || best.before(s.from, p.Text, id) {
			best, ok = found{s.from, p.Text, id}, true
		}
	}
	if ok {
		return present(CheckDialysis, best)
	}
	if why, gap := v.gap(GapProcedures); gap {
		return notChecked(CheckDialysis, cmp.Or(why, "procedures could not be read"))
	}
	return v.conditionsSay(CheckDialysis)
}

func (v *view) checkPF(tl *Timeline) Check {
	pf := &tl.Present.PFRatio
	switch {
	case pf.Now == nil || pf.Before == nil || pf.Now.AgeMin > pfFresh.minutes():
		return notChecked(CheckWorseningPF, "fewer than two arterial gases with known FiO2 within 24 h")
	case pf.Falling:
		return Check{Key: CheckWorseningPF, Result: CheckPresent, Since: pf.Now.At, RecordID: pf.Now.RecordID,
			Evidence: fmt.Sprintf("P/F %.0f after %.0f", pf.Now.Value, pf.Before.Value)}
	}
	return absent(CheckWorseningPF, fmt.Sprintf("P/F %.0f after %.0f", pf.Now.Value, pf.Before.Value))
}
