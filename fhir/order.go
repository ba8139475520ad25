// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: what each dosage instruction of a drafted order means, by the code
// maps and the drug arithmetic of administrations. A medication order that is
// not understood is kept with the reason.

import (
	"math"
	"regexp"
	"slices"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Reasons why a drafted order is not judged.
const (
	skipOther    = "not a vasopressor and not a resuscitation fluid"
	skipUnknown  = "an inotrope or vasoactive drug that the model does not know"
	skipPushed   = "a single dose maps to no level"
	skipProhibit = "an order not to give it"
	skipError    = "entered in error"
)

// Drafts maps records of drafted orders. It is a pure function of them and of
// the code maps, so that those kept in a receipt map to the same drafts.
func (m *Mapper) Drafts(records []state.Drafted) []state.Draft {
	out := make([]state.Draft, len(records))
	for i := range records {
		out[i] = m.draft(&records[i])
	}
	return out
}

func (m *Mapper) draft(r *state.Drafted) state.Draft {
	d := state.Draft{ID: r.Type + "/" + r.ID, Part: r.Part, Name: clip(wordsOf(&r.Record)), PRN: r.AsNeeded, Whose: r.Whose, Received: draftReceived(r)}
	skip := func(why string) state.Draft { d.Skip = why; return d }
	if r.Fault != "" {
		d.Unread = true
		return skip(r.Fault)
	}
	switch r.Status {
	case "stopped", "cancelled", "completed":
		d.Does = state.DraftStops
	case "on-hold":
		d.Does = state.DraftHolds
	case "entered-in-error":
		return skip(skipError)
	default:
		d.Does = state.DraftGives // draft, active, or not said yet
	}
	if r.Verify != "" {
		return skip(skipProhibit)
	}
	spec, byText := m.x.drugOf(&r.Record)
	_, ctx := m.x.contextOf(&r.Record)
	switch {
	case spec == nil && m.x.nameless(&r.Record):
		return skip(reasonNameless)
	case spec == nil:
		return skip(reasonDrugNotCoded)
	case spec.Ignore != "":
		return skip(spec.Ignore)
	}
	d.Drug, d.Class, d.ByText = spec.Drug, spec.Class, byText
	switch {
	case !m.x.systemic(spec, &r.Record, ctx.NonIV):
		return skip(reasonLocal)
	case spec.Class == state.ClassInotrope || spec.Class == state.ClassVasoactive:
		return skip(skipUnknown)
	case spec.Class != state.ClassVasopressor && spec.Class != state.ClassCrystalloid && spec.Class != state.ClassColloid:
		return skip(skipOther)
	}
	m.x.draftDose(spec, r, ctx, &d)
	if d.Form == state.FormPush && d.Does == state.DraftGives {
		return skip(skipPushed)
	}
	return d
}

// draftDose fills rate, range and amount of d, by the arithmetic of an
// administration that runs.
func (x *index) draftDose(spec *drugSpec, r *state.Drafted, ctx contextSpec, d *state.Draft) {
	d.OverMin = x.minutes(r.Over)
	dose := func(rate, amount *state.Quantity) state.Administration {
		row := r.Record
		row.Status, row.IsPeriod = "in-progress", false
		row.Rate, row.Dose = x.rateWrittenAsDose(rate, amount)
		var a state.Administration
		a.Tonicity = spec.Tonicity
		if d.OverMin > 0 {
			a.End = a.Start.Add(time.Duration(d.OverMin * float64(time.Minute)))
		}
		x.dose(spec, &row, ctx, &a)
		return a
	}
	top := r.RateHigh
	if rate, none := x.rateWrittenAsDose(nil, r.DoseHigh); rate != nil && none == nil && top == nil {
		top = rate
	}
	amount := r.Dose
	if _, _, ok := x.volumeOf(spec, r.DoseHigh); ok && spec.Dose == "volume" {
		amount = r.DoseHigh // of "250 to 500 mL" the larger is what may be given
	}
	a := dose(r.Rate, amount)
	d.Form, d.RateKnown, d.Rate, d.RateUnit = a.Form, a.RateKnown, a.Rate, a.RateUnit
	d.DosingKg, d.AmountMl, d.MlKnown = a.DosingKg, a.AmountMl, a.MlKnown
	d.Tonicity, d.Ledger, d.Unknown, d.Conversion = a.Tonicity, a.Ledger, a.Unknown, a.Conversion
	d.Dosed = r.Rate != nil || r.Dose != nil || r.RateHigh != nil || r.DoseHigh != nil
	d.Implausible = a.Unknown == unknownRange && a.Conversion == ""
	for _, q := range []*state.Quantity{r.Dose, r.DoseHigh} {
		if ml, _, ok := x.volumeOf(spec, q); spec.Dose == "volume" && !ok && ml > maxMl {
			d.Implausible, d.Unknown = true, unknownRange
		}
	}
	if !d.Dosed && doseInWords(spec, r.MethodText) {
		d.Dosed, d.Unknown = true, unknownWords
	}
	if isVasoactive(spec.Class) && !d.MlKnown {
		d.Ledger, d.Tonicity = "", 0
	}
	if top == nil {
		return
	}
	d.Form = state.FormInfusion
	switch high := dose(top, nil); {
	case high.Unknown == unknownRange && high.Conversion == "":
		d.Implausible = true
	case high.RateKnown && (!d.RateKnown || high.RateUnit == d.RateUnit):
		d.RateHigh = math.Max(high.Rate, d.Rate)
		if !d.RateKnown {
			d.RateUnit = high.RateUnit
		}
	}
}

// rateWrittenAsDose moves a rate that stands where the amount belongs: some
// systems send "0.05 mcg/kg/min" as a doseQuantity.
func (x *index) rateWrittenAsDose(rate, dose *state.Quantity) (*state.Quantity, *state.Quantity) {
	if rate != nil || dose == nil || dose.Value == "" {
		return rate, dose
	}
	unit, _, reason := x.spelledUnit(dose, true)
	if reason != "" || !slices.ContainsFunc(rateUnits, unit.SameKind) {
		return rate, dose
	}
	return dose, nil
}

// minutes reads a duration.
func (x *index) minutes(q *state.Quantity) float64 {
	if q == nil {
		return 0
	}
	unit, _, reason := x.spelledUnit(q, false)
	v, ok := number(q.Value)
	if !ok || reason != "" || !unit.SameKind(unitMin) || !(v > 0) {
		return 0
	}
	if minutes := unit.To(v, unitMin); minutes <= maxOverMin {
		return minutes
	}
	return 0
}

// maxOverMin is the longest duration that is believed of one administration.
const maxOverMin = 7 * 24 * 60

// unknownWords is Draft.Unknown of a dose that only the text of the order gives.
const unknownWords = "it is given in words only"

var (
	rateInWords   = regexp.MustCompile(`(?i)\d\s*(?:[nuµμm]|mc)?(?:g|l|i?u|units?)\s*(?:/|per)\s*(?:kg\s*(?:/|per)\s*)?(?:m|h)`)
	volumeInWords = regexp.MustCompile(`(?i)\d\s*(?:ml|cc|l|lit(?:er|re)s?)(?:[^a-z]|$)`)
)

// doseInWords reports a text that gives a dose. It is not read: a number in
// words may be a limit, a step or a concentration.
func doseInWords(spec *drugSpec, text string) bool {
	if rateInWords.MatchString(text) {
		return true
	}
	return spec.Dose == "volume" && volumeInWords.MatchString(text)
}

// draftReceived is the dose of a draft as written, for people.
func draftReceived(r *state.Drafted) string {
	s := received(&r.Record)
	if r.RateHigh != nil {
		s += ", up to " + shown(r.RateHigh)
	}
	if r.DoseHigh != nil {
		s += ", up to " + shown(r.DoseHigh)
	}
	if r.Over != nil {
		s += " over " + shown(r.Over)
	}
	if r.AsNeeded {
		s += ", as needed"
	}
	return clip(s)
}
