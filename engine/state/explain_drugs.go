// SPDX-License-Identifier: Apache-2.0

package state

// This file: how treatment and history in a timeline came about: each infusion
// with its arithmetic, each volume with its ledger, each condition, procedure
// and order with the time it became known.

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// InfusionWhy is one vasoactive row of the last 24 h, or one that runs.
type InfusionWhy struct {
	Drug       Drug      `json:"drug"`
	Class      Class     `json:"class"`
	State      string    `json:"state"` // "running", "ended", "changed", "silent", "not known yet", "push"
	Received   string    `json:"received"`
	Code       string    `json:"code,omitempty"`
	ByText     bool      `json:"by_text,omitempty"` // recognised by name only
	Conversion string    `json:"conversion,omitempty"`
	RateKnown  bool      `json:"rate_known"`
	Rate       float64   `json:"rate"`
	RateUnit   string    `json:"rate_unit,omitempty"`
	Start      time.Time `json:"start"`
	End        time.Time `json:"end,omitzero"` // as charted and known at the decision
	Until      time.Time `json:"until"`        // as read: end, next row, or the decision
	Documented time.Time `json:"documented"`   // last time the rate was confirmed
	Available  time.Time `json:"available"`
	WeightKg   float64   `json:"weight_kg,omitempty"` // what a per-minute rate was divided by
	WeightFrom string    `json:"weight_from,omitempty"`
	UgKgMin    float64   `json:"ug_kg_min,omitempty"`
	NEUgKgMin  float64   `json:"ne_ug_kg_min"`
	Arithmetic string    `json:"arithmetic,omitempty"` // of the norepinephrine equivalent
	Counts     bool      `json:"counts"`               // adds to what runs now
	Why        string    `json:"why,omitempty"`        // why it is unknown or does not count
	Record     string    `json:"record"`
}

// FluidWhy is one row with a volume that touches the last 24 h.
type FluidWhy struct {
	Drug       Drug      `json:"drug"`
	Ledger     Ledger    `json:"ledger"`
	Form       Form      `json:"form"`
	Received   string    `json:"received"`
	Code       string    `json:"code,omitempty"`
	Conversion string    `json:"conversion,omitempty"`
	Start      time.Time `json:"start"`
	Until      time.Time `json:"until"`
	Available  time.Time `json:"available"`
	Known      bool      `json:"known"`
	Ml24h      float64   `json:"ml_24h"`
	MlStep     float64   `json:"ml_step"` // in the newest 4-hour step
	Tonicity   float64   `json:"tonicity"`
	ModelMl    float64   `json:"model_ml_step"`
	Why        string    `json:"why,omitempty"`
	Record     string    `json:"record"`
}

// HistoryWhy is one condition, procedure or order.
type HistoryWhy struct {
	Kind      string    `json:"kind"`
	Text      string    `json:"text"`
	Means     []Tag     `json:"means,omitempty"`
	At        time.Time `json:"at,omitzero"`
	Available time.Time `json:"available,omitzero"`
	Use       string    `json:"use"`
	Record    string    `json:"record"`
}

func (v *view) explainTreatment(e *Explanation) {
	day := v.t - 24*hour
	known := map[*Administration]bool{}
	for i := range v.vaso {
		x := &v.vaso[i]
		known[x.a] = true
		if x.open || x.to > day {
			e.Infusion = append(e.Infusion, v.explainRun(x))
		}
	}
	for i := range v.b.c.Administrations {
		a := &v.b.c.Administrations[i]
		if !vasoactive(a.Class) || known[a] || a.Start.IsZero() || ceilInstant(a.Start) > v.t || ceilInstant(a.Start) <= day {
			continue
		}
		e.Infusion = append(e.Infusion, v.explainUnread(a))
	}
	slices.SortStableFunc(e.Infusion, func(x, y InfusionWhy) int {
		return cmp.Or(cmp.Compare(x.Drug, y.Drug), y.Start.Compare(x.Start), cmp.Compare(x.Record, y.Record))
	})
	e.Ledger = map[Ledger]float64{}
	for i := range v.fluid {
		x := &v.fluid[i]
		if x.to < day && !x.open || x.to <= day && x.to > x.start {
			continue
		}
		w := v.explainFluid(x, day)
		e.Ledger[w.Ledger] += w.Ml24h
		e.Fluids = append(e.Fluids, w)
	}
	slices.SortStableFunc(e.Fluids, func(x, y FluidWhy) int {
		return cmp.Or(cmp.Compare(x.Ledger, y.Ledger), y.Start.Compare(x.Start), cmp.Compare(x.Record, y.Record))
	})
}

func (v *view) code(rec int) string {
	if rec < 0 || rec >= len(v.b.c.Records) {
		return ""
	}
	return firstCoding(v.b.c.Records[rec].Codes)
}

// explainRun describes one infusion known at T.
func (v *view) explainRun(x *run) InfusionWhy {
	a, d := x.a, v.doseOf(x)
	w := InfusionWhy{Drug: a.Drug, Class: a.Class, Received: a.Received, Code: v.code(a.Record), ByText: a.ByText, Conversion: a.Conversion,
		RateKnown: a.RateKnown, Rate: a.Rate, RateUnit: a.RateUnit, Start: x.start.time(), Until: x.to.time(), Documented: x.doc.time(),
		Available: x.avail.time(), UgKgMin: d.ugKgMin, NEUgKgMin: d.ne, Why: d.why, Record: v.b.c.recordID(a.Record)}
	if x.ended {
		w.End = x.end.time()
	}
	switch {
	case x.open:
		w.State = "running"
	case x.ended && x.to == x.end:
		w.State = "ended"
	case x.lapsed:
		w.State, w.Why = "silent", "no end charted and not confirmed for 24 h"
	default:
		w.State = "changed"
	}
	if a.RateUnit == UnitUgMin && a.RateKnown {
		w.WeightKg = v.dosingKg(a)
		switch {
		case w.WeightKg == 0:
		case w.WeightKg == a.DosingKg:
			w.WeightFrom = "the pump, in this row"
		default:
			w.WeightFrom = v.weight.Source
		}
	}
	if f, ok := v.b.cfg.neFactor(a.Drug); ok && a.Class == ClassVasopressor && d.known && a.RateKnown {
		w.Arithmetic = neArithmetic(a, f, w.WeightKg, d.ne)
	}
	stale := x.open && x.doc+hoursOf(v.b.cfg.UndocumentedH) < v.t && a.Rate != 0
	if stale && d.known {
		w.Why = whyUndocumented
	}
	w.Counts = x.open && d.known && !stale && a.Class == ClassVasopressor
	return w
}

// neArithmetic writes the conversion out.
func neArithmetic(a *Administration, f NEFactor, kg, ne float64) string {
	per := ""
	if a.RateUnit != f.Unit && kg > 0 {
		per = fmt.Sprintf(" / %g kg", kg)
	}
	return fmt.Sprintf("%.4g %s%s * %g = %.4g ug/kg/min", a.Rate, a.RateUnit, per, f.Factor, ne)
}

// explainUnread describes a vasoactive row that Build does not read at T.
func (v *view) explainUnread(a *Administration) InfusionWhy {
	w := InfusionWhy{Drug: a.Drug, Class: a.Class, State: "push", Received: a.Received, Code: v.code(a.Record), ByText: a.ByText, RateKnown: a.RateKnown,
		Rate: a.Rate, RateUnit: a.RateUnit, Start: a.Start, Until: a.End, Documented: a.Start, Available: a.Available, Record: v.b.c.recordID(a.Record),
		Why: cmp.Or(a.Unknown, "a single dose has no rate")}
	switch {
	case ceilInstant(a.Available) > v.t:
		w.State, w.Why = "not known yet", "not known before "+a.Available.UTC().Format(time.RFC3339)
	case a.Form == FormInfusion:
		w.State, w.Why = "repeat", "says the same as another row"
	}
	return w
}

// explainFluid describes one row of the fluid book.
func (v *view) explainFluid(x *run, day instant) FluidWhy {
	a := x.a
	w := FluidWhy{Drug: a.Drug, Ledger: ledgerOf(a), Form: a.Form, Received: a.Received, Code: v.code(a.Record), Conversion: a.Conversion,
		Start: x.start.time(), Until: x.to.time(), Available: x.avail.time(), Tonicity: a.Tonicity, Record: v.b.c.recordID(a.Record)}
	w.Ml24h, w.Known = x.ml(day, v.t)
	w.MlStep, _ = x.ml(v.t-stepLen, v.t)
	if within(a.Tonicity, 0, 30) {
		w.ModelMl = w.MlStep * a.Tonicity
	}
	if !w.Known {
		w.Why = cmp.Or(a.Unknown, "volume not charted")
	} else if x.open && a.Form == FormInfusion && x.doc+hoursOf(v.b.cfg.FluidUndocumentedH) < v.t {
		w.Why = "rate not documented recently"
	}
	return w
}

// explainHistory says of conditions, procedures and orders when they became
// known.
func (v *view) explainHistory(e *Explanation) {
	add := func(kind, text string, tags []Tag, at, avail time.Time, use string, rec int) {
		if text == "" {
			text = kind
		}
		e.Known = append(e.Known, HistoryWhy{kind, text, tags, at, avail, use, v.b.c.recordID(rec)})
	}
	use := func(known bool, avail time.Time) string {
		switch {
		case known:
			return "known"
		case !avail.IsZero() && ceilInstant(avail) > v.t:
			return "not used: not known before " + avail.UTC().Format(time.RFC3339)
		}
		return "not used: not in force at the decision"
	}
	from := v.suspicionFrom()
	evidence := func(why string, at time.Time, counts bool) string {
		if why == "known" && counts && ceilInstant(at) < from {
			return "known; too old to be evidence for this illness"
		}
		return why
	}
	for i := range v.b.c.Conditions {
		c := &v.b.c.Conditions[i]
		at, ok := v.conditionAt(c)
		why := evidence(use(ok, c.Available), at.time(), overlap(c.Tags, []Tag{TagSepsis, TagInfection}))
		if !c.Dated {
			why = "not used: undated, so nobody can say when it was known"
		}
		add("condition", c.Text, c.Tags, c.Onset, c.Available, why, c.Record)
	}
	for i := range v.b.c.Procedures {
		p := &v.b.c.Procedures[i]
		_, _, ok := v.procedureSpan(p)
		add("procedure", p.Text, p.Tags, p.Start, p.Available, evidence(use(ok, p.Available), p.Start, slices.Contains(p.Tags, TagCulture)), p.Record)
	}
	for i := range v.b.c.Orders {
		o := &v.b.c.Orders[i]
		_, ok := v.orderAt(o)
		add("order", o.Text, o.Tags, o.Start, o.Available, evidence(use(ok, o.Available), o.Start, o.Class == ClassAntimicrobial || slices.Contains(o.Tags, TagCulture)), o.Record)
	}
}

// pumpWeights are the dosing weights that vasoactive rows of the last day carry.
func (v *view) pumpWeights() []Candidate {
	var out []Candidate
	_, _, unit, _ := Range(ConceptWeight)
	for i := len(v.vaso) - 1; i >= 0; i-- {
		x := &v.vaso[i]
		if x.a.DosingKg <= 0 || x.to < v.t-dosingWeightBack {
			continue
		}
		if n := len(out); n > 0 && out[n-1].Value == x.a.DosingKg {
			continue
		}
		out = append(out, Candidate{Value: x.a.DosingKg, Unit: unit, Received: x.a.Received, Code: v.code(x.a.Record), At: x.start.time(),
			AgeMin: (v.t - x.start).minutes(), Available: x.avail.time(), Basis: "charted with the rate", Method: MethodPumpWeight,
			Record: v.b.c.recordID(x.a.Record), Use: "dosing weight of " + string(x.a.Drug)})
	}
	return out
}
