// SPDX-License-Identifier: Apache-2.0

package environment

// This file: a chart that reads like a recorded timeline. A cohort file keeps
// timelines, not charts; to let a recorded patient go on, the steps' values,
// treatment and charted conditions are put back as events. What a step had
// averaged stays averaged, so the SOFA of the rebuilt state is that of the
// step's values and not of the extremes between them.

import (
	"cmp"
	"slices"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// tags are the charted conditions that rules go on reading, by the check that
// found them.
var tags = map[string]state.Tag{
	state.CheckHeartFailure: state.TagHeartFailure, state.CheckESRD: state.TagESRD, state.CheckDialysis: state.TagDialysis, state.CheckCirrhosis: state.TagCirrhosis,
}

// recall makes the chart. Its ids name nobody.
func recall(tl *state.Timeline) *state.Chart {
	r := &recaller{tl: tl, chart: &state.Chart{
		Person:  state.Person{ID: Simulated, Sex: tl.Sex, Synthetic: true},
		Stay:    state.Stay{ID: Simulated, Unit: tl.Unit, ICU: true, ICUKnown: true, Start: tl.At.Add(-hours(tl.HoursInICU))},
		Gaps:    slices.Clone(tl.Gaps),
		Records: []state.Record{{Type: "Recorded", ID: "stay", Origin: state.Origin{Via: "cohort"}}},
	}}
	if tl.AgeKnown {
		r.chart.Person.BirthDate = tl.At.AddDate(-int(tl.AgeYears), 0, -1)
	}
	for k := range tl.Steps {
		r.values(k)
		r.treatment(&tl.Steps[k])
		r.ventilation(k)
	}
	r.present()
	r.history()
	return r.chart
}

type recaller struct {
	tl    *state.Timeline
	chart *state.Chart
}

func hours(h float64) time.Duration { return time.Duration(h * float64(time.Hour)).Round(time.Second) }

// recalled is what was received of every event put back.
const recalled = "recorded stay, value of a 4-hour step"

func (r *recaller) put(c state.Concept, v float64, at time.Time, method string) {
	r.chart.Measurements = append(r.chart.Measurements, state.Measurement{
		Concept: c, Value: v, Effective: at, Available: at, Method: method, Received: recalled,
	})
}

// values puts back what was measured in step k, at the age it had, and what was
// carried into the oldest step.
func (r *recaller) values(k int) {
	s := &r.tl.Steps[k]
	for f := range state.NumFeatures {
		if s.Presence[f] != state.Measured && !(k == 0 && s.Presence[f] == state.Carried) {
			continue
		}
		feature := state.FeatureAt(f)
		at := s.End.Add(-hours(s.AgeH[f]))
		if !at.After(s.Start) && s.Presence[f] == state.Measured {
			at = s.End // an age that rounding has pushed over the edge
		}
		r.put(feature.Name, s.Value[f], at, r.method(f, s))
	}
}

// method is the one that the newest reading of the quantity has; a chart is
// read by one source throughout.
func (r *recaller) method(f int, s *state.Step) string {
	switch f {
	case state.SysBP, state.DiaBP, state.MeanBP:
		if m := r.tl.Present.MAP.Newest; m != nil {
			return m.Method
		}
	case state.PaO2:
		if s.SOFA.Resp >= 0 {
			return state.MethodArterial // it has been scored
		}
	case state.GCSVerbal:
		if s.VentKnown && s.Vent && s.SOFA.CNS <= 0 {
			return state.MethodIntubated
		}
	}
	return r.tl.Present.Readings[string(state.FeatureAt(f).Name)].Method
}

// peak is how long the highest rate of a step is held, and the last one before
// its end, at most.
const peak = 30 * time.Minute

// treatment puts back a step's norepinephrine equivalent, as norepinephrine: its
// last rate at the end, its highest before that, and what makes up the mean in
// the hours before; and its fluid by ledger.
func (r *recaller) treatment(s *state.Step) {
	if !s.InStay {
		return
	}
	g := &s.Given
	if g.VasoKnown {
		most := s.End.Sub(s.Start) - 2*peak
		rest := (g.NEMeanUgKgMin*float64(state.StepHours*time.Hour) - (g.NEMaxUgKgMin+g.NEEndUgKgMin)*float64(peak)) / float64(most)
		r.run(min(max(0, rest), g.NEMaxUgKgMin), s.Start, s.Start.Add(most))
		r.run(g.NEMaxUgKgMin, s.Start.Add(most), s.End.Add(-peak))
		r.run(g.NEEndUgKgMin, s.End.Add(-peak), s.End)
	} else {
		r.unknown(state.DrugNorepinephrine, state.ClassVasopressor, s)
	}
	if !g.FluidKnown {
		r.unknown(fluid, state.ClassCrystalloid, s)
		return
	}
	total := g.BolusMl + g.MaintenanceMl + g.CarrierMl + g.BloodMl
	for _, part := range []struct {
		ml     float64
		class  state.Class
		form   state.Form
		ledger state.Ledger
	}{
		{g.BolusMl, state.ClassCrystalloid, state.FormBolus, state.LedgerBolus}, {g.MaintenanceMl, state.ClassCrystalloid, state.FormInfusion, state.LedgerMaintenance},
		{g.CarrierMl, state.ClassCarrier, state.FormInfusion, state.LedgerCarrier}, {g.BloodMl, state.ClassBlood, state.FormInfusion, state.LedgerBlood},
	} {
		if part.ml <= 0 {
			continue
		}
		r.chart.Administrations = append(r.chart.Administrations, state.Administration{
			Drug: fluid, Class: part.class, Form: part.form, Start: s.Start, End: s.End, Available: s.Start, AmountMl: part.ml, MlKnown: true,
			Tonicity: g.FluidModelMl / total, Ledger: part.ledger, Received: recalled,
		})
	}
}

// run is norepinephrine at one rate. The row that reaches the decision time is
// open: it runs.
func (r *recaller) run(rate float64, from, to time.Time) {
	if rate <= 0 {
		return
	}
	a := state.Administration{
		Drug: state.DrugNorepinephrine, Class: state.ClassVasopressor, Form: state.FormInfusion, Start: from, End: to, Available: from,
		DocumentedEveryMin: 60, RateKnown: true, Rate: rate, RateUnit: state.UnitUgKgMin, Received: recalled,
	}
	if !to.Before(r.tl.At) {
		a.End = time.Time{}
	}
	r.chart.Administrations = append(r.chart.Administrations, a)
}

// unknown makes the exposure of a step unknown, as it was.
func (r *recaller) unknown(drug state.Drug, class state.Class, s *state.Step) {
	r.chart.Administrations = append(r.chart.Administrations, state.Administration{
		Drug: drug, Class: class, Form: state.FormInfusion, Start: s.Start, End: s.End, Available: s.Start, Unknown: "not known in the recorded stay", Received: recalled,
	})
}

// ventilation puts back the stretch of ventilated steps that begins with step k.
func (r *recaller) ventilation(k int) {
	vent := func(i int) bool { return i >= 0 && r.tl.Steps[i].VentKnown && r.tl.Steps[i].Vent }
	if !vent(k) || vent(k-1) {
		return
	}
	last := k
	for last+1 < len(r.tl.Steps) && vent(last+1) {
		last++
	}
	p := state.Procedure{Tags: []state.Tag{state.TagVentInvasive}, Text: recalled, Start: r.tl.Steps[k].Start.Add(time.Minute), Available: r.tl.Steps[k].Start.Add(time.Minute)}
	if last+1 < len(r.tl.Steps) {
		p.End = r.tl.Steps[last].End
		p.EndAvail = p.End
	}
	r.chart.Procedures = append(r.chart.Procedures, p)
}

// present puts back the newest readings that the steps do not hold: weight,
// height and the like, and the newest of each feature.
func (r *recaller) present() {
	last := r.tl.Last()
	concepts := make([]string, 0, len(r.tl.Present.Readings))
	for c := range r.tl.Present.Readings {
		concepts = append(concepts, c)
	}
	slices.Sort(concepts)
	for _, c := range concepts {
		reading := r.tl.Present.Readings[c]
		if f, ok := state.Lookup(reading.Concept); ok {
			if f.Index == state.Urine || last.Presence[f.Index] == state.Measured || reading.At.After(r.tl.Steps[0].Start) {
				continue
			}
		}
		r.put(reading.Concept, reading.Value, reading.At, reading.Method)
	}
}

// history puts back infection and the conditions that rules read.
func (r *recaller) history() {
	condition := func(at time.Time, of ...state.Tag) {
		r.chart.Conditions = append(r.chart.Conditions, state.Condition{Tags: of, Text: recalled, Onset: at, Available: at, Dated: true})
	}
	if s := r.tl.Present.Sepsis; s.Suspected {
		at := s.Since
		if at.IsZero() || at.After(r.tl.At) {
			at = r.chart.Stay.Start
		}
		condition(at, state.TagSepsis)
	}
	for _, c := range r.tl.Present.Checks {
		if tag, ok := tags[c.Key]; ok && c.Result == state.CheckPresent {
			condition(r.tl.At.AddDate(-1, 0, 0), tag)
		}
	}
	slices.SortStableFunc(r.chart.Measurements, func(a, b state.Measurement) int {
		return cmp.Or(a.Effective.Compare(b.Effective), cmp.Compare(a.Concept, b.Concept))
	})
}
