// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: MedicationAdministrations to administrations: which drug, by
// which way, from when to when. The arithmetic of rates and volumes is in
// dose.go.

import (
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Outcomes of administrations that are counted by these texts.
const (
	reasonDrugNotCoded = "drug not in the code maps"
	reasonLocal        = "not a systemic dose"
	reasonNotGiven     = "not given"
	reasonOtherSource  = "charted in another record of this hospital"
	reasonNameless     = "medication not identified: its resource, a known code or a text is missing"
)

// unidentifiedDrug begins the name under which an infusion runs whose
// medication nobody can name; its code or reference follows, so that the rows of
// one such drug end each other and not those of another.
const unidentifiedDrug = "unidentified medication"

func (m *Mapper) mapAdministration(r *state.Record) (event, outcome) {
	faulty := ""
	switch r.Status {
	case "in-progress", "on-hold", "completed", "stopped", "unknown":
	case "":
		faulty = reasonNoStatus
	case "not-done", "entered-in-error":
		return ignore("status " + r.Status)
	default:
		faulty = "status is not in its FHIR value set"
	}
	habit, ctx := m.x.contextOf(r)
	switch {
	case ctx.Ignore != "":
		return ignore(ctx.Ignore)
	case ctx.NotGiven:
		return ignore(reasonNotGiven)
	}
	d, byText := m.x.drugOf(r)
	switch {
	case d == nil && m.x.nameless(r):
		return m.unidentified(r, habit, ctx, faulty)
	case d == nil:
		return ignore(reasonDrugNotCoded)
	case d.Dose == "volume" && r.Rate != nil && m.x.additive(r):
		return m.unidentified(r, habit, ctx, faulty)
	case d.Ignore != "":
		return ignore(d.Ignore)
	case !habit.reads(d.Class):
		return ignore(reasonOtherSource)
	case !m.x.systemic(d, r, ctx.NonIV):
		return ignore(reasonLocal)
	}
	start, err := instant(r.Start)
	switch {
	case faulty != "":
		return unplaced(d, r, faulty, r.Status)
	case err != nil:
		return unplaced(d, r, timeReason(err), r.Start)
	}
	a := &state.Administration{Drug: d.Drug, Class: d.Class, Start: start, ByText: byText, Tonicity: d.Tonicity,
		DocumentedEveryMin: habit.DocumentedEveryMin, Received: received(r)}
	if why := period(r, a); why.reason != "" {
		return unplaced(d, r, why.reason, why.detail)
	}
	m.x.dose(d, r, ctx, a)
	if d.InfusionOnly && a.Form != state.FormInfusion {
		return ignore("single dose of a drug read only as an infusion")
	}
	m.x.known(r, a)
	return event{administration: a}, outcome{}
}

// unidentified keeps an infusion that nobody can name as one of unknown drug,
// so that neither vasopressors nor fluids are taken to be absent. A single
// dose of an unknown drug is only reported.
func (m *Mapper) unidentified(r *state.Record, habit *adminSpec, ctx contextSpec, faulty string) (event, outcome) {
	d := &drugSpec{Drug: state.Drug(strings.TrimSpace(unidentifiedDrug + " " + clip(codeText(r.Codes)))), Class: state.ClassUnidentified}
	switch {
	case !habit.reads(d.Class):
		return ignore(reasonOtherSource)
	case !m.x.systemic(d, r, ctx.NonIV):
		return ignore(reasonLocal)
	case r.Rate == nil && (!r.IsPeriod || r.Dose != nil):
		return reject(reasonNameless, received(r))
	}
	start, err := instant(r.Start)
	switch {
	case faulty != "":
		return unplaced(d, r, faulty, r.Status)
	case err != nil:
		return unplaced(d, r, timeReason(err), r.Start)
	}
	a := &state.Administration{Drug: d.Drug, Class: d.Class, Form: state.FormInfusion, Start: start, ByText: true, Unknown: unknownDrug,
		DocumentedEveryMin: habit.DocumentedEveryMin, DosingKg: m.x.dosingKg(r.DoseWeight), Received: received(r)}
	if why := period(r, a); why.reason != "" {
		return unplaced(d, r, why.reason, why.detail)
	}
	switch v, unit, why := m.x.rateOfAny(r); {
	case why == "" && v == 0:
		a.RateKnown, a.RateUnit, a.Unknown = true, state.UnitUgKgMin, ""
	case why == "" && unit.SameKind(unitMlH) && unit.To(v, unitMlH) <= maxMlH:
		a.MlPerH, a.Ledger = unit.To(v, unitMlH), state.LedgerMaintenance
	case why != "":
		a.Ledger = state.LedgerMaintenance // it may be a fluid
	}
	m.x.known(r, a)
	return event{administration: a}, outcome{}
}

// reads says whether drugs of class c are read from this source.
func (h *adminSpec) reads(c state.Class) bool {
	if len(h.ReadClasses) == 0 {
		return true
	}
	for _, have := range h.ReadClasses {
		if have == c {
			return true
		}
	}
	return false
}

// contextOf joins what the source, category and method of a row say.
func (x *index) contextOf(r *state.Record) (*adminSpec, contextSpec) {
	habit := &adminSpec{}
	for _, c := range r.Codes {
		if h, ok := x.admins[c.System]; ok {
			habit = h
			break
		}
	}
	var out contextSpec
	for _, group := range []struct {
		from []state.Coding
		in   map[key]*contextSpec
	}{{r.Categories, x.categories}, {r.Method, x.methods}} {
		for _, c := range group.from {
			s, ok := group.in[key{c.System, c.Code}]
			if !ok {
				continue
			}
			if s.FluidsAre != "" {
				out.FluidsAre = s.FluidsAre
			}
			if s.Ignore != "" {
				out.Ignore = s.Ignore
			}
			out.Push = out.Push || s.Push
			out.NonIV = out.NonIV || s.NonIV
			out.Backdated = out.Backdated || s.Backdated
			out.NotGiven = out.NotGiven || s.NotGiven
		}
	}
	return habit, out
}

// systemic says whether a dose reaches the circulation. It matters for
// antimicrobials (evidence of infection) and steroids; vasoactives and fluids
// given by another way than a vein are local too.
func (x *index) systemic(d *drugSpec, r *state.Record, nonIV bool) bool {
	if containsAny(strings.ToLower(r.Text), x.localWords) || containsAny(strings.ToLower(codeText(r.Codes)), x.localWords) {
		return false
	}
	route := ""
	for _, c := range r.Site {
		if kind, ok := x.routes[key{c.System, c.Code}]; ok {
			route = kind
			break
		}
		for _, w := range []string{c.Code, c.Display} {
			if kind, ok := x.routeWords[strings.ToLower(strings.TrimSpace(w))]; ok {
				route = kind
			}
		}
	}
	switch {
	case route == "local":
		return false
	case route == "enteral" || nonIV:
		return (d.Class == state.ClassAntimicrobial || d.Class == state.ClassSteroid) && !d.OralIsLocal
	}
	return true
}

// period reads the end of a row. An open period is an open row; a single
// instant is a row without length.
func period(r *state.Record, a *state.Administration) outcome {
	if !r.IsPeriod {
		return outcome{}
	}
	if r.End == "" {
		return outcome{}
	}
	end, err := instant(r.End)
	if err != nil {
		return outcome{rejected, timeReason(err), r.End}
	}
	if end.Before(a.Start) {
		return outcome{rejected, reasonBackwards, r.Start + " to " + r.End}
	}
	a.End = end
	return outcome{}
}

// known sets when the row, and its end, could be known. A rate is charted as
// it is set; an amount over a period is charted when the period is over.
func (x *index) known(r *state.Record, a *state.Administration) {
	a.Lagged = true
	switch {
	case a.Form == state.FormInfusion:
		a.Available = a.Start.Add(x.lag(lagInfusion, r.Codes))
		if !a.End.IsZero() {
			a.EndAvail = a.End.Add(x.lag(lagInfusion, r.Codes))
		}
	case r.Status == "in-progress" && !a.End.IsZero():
		// Hung and running: what it will give is known, its end is planned.
		a.Available, a.EndAvail = a.Start.Add(x.lag(lagIntake, r.Codes)), a.End
	default:
		a.Available = later(a.Start, a.End).Add(x.lag(lagIntake, r.Codes))
		a.EndAvail = a.Available
		if a.End.IsZero() {
			a.End = a.Start
		}
	}
}

// received is the dose and rate of a row as charted, for people.
func received(r *state.Record) string {
	var parts []string
	if r.Rate != nil {
		s := shown(r.Rate)
		if r.RatePer != nil {
			s += " per " + shown(r.RatePer)
		}
		parts = append(parts, s)
	}
	if r.Dose != nil {
		parts = append(parts, shown(r.Dose))
	}
	if r.PumpRate != nil {
		parts = append(parts, "pump "+shown(r.PumpRate))
	}
	if r.Strength != nil && r.Volume != nil {
		parts = append(parts, shown(r.Strength)+" in "+shown(r.Volume))
	}
	if len(parts) == 0 {
		return "no dose"
	}
	return strings.Join(parts, "; ")
}
