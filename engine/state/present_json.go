// SPDX-License-Identifier: Apache-2.0

package state

// This file: the present of a timeline as JSON, member by member. A test holds
// it to what encoding/json writes, so that a member added to a type and not
// here is noticed.

import (
	"maps"
	"slices"
)

func (w *jsonText) present(key string, p *Present) {
	w.raw(key)
	w.readings(`{"readings":`, p.Readings)
	w.pressure(`,"map":`, &p.MAP)
	w.trend(`,"lactate":`, &p.Lactate)
	w.trend(`,"pf":`, &p.PFRatio)
	w.trend(`,"hb":`, &p.Hb)
	if len(p.Agents) > 0 {
		w.raw(`,"agents":`)
		for i := range p.Agents {
			w.buf = append(w.buf, separator(i))
			w.agent(&p.Agents[i])
		}
		w.raw(`]`)
	}
	w.flag(`,"vasoknown":`, p.VasoKnown)
	w.textIf(`,"vasowhy":`, p.VasoWhy)
	w.number(`,"ne":`, p.NEUgKgMin)
	w.fluids(`,"fluids":`, &p.Fluids)
	w.weight(`,"weight":`, &p.Weight)
	w.sepsis(`,"sepsis":`, &p.Sepsis)
	w.checks(`,"checks":`, p.Checks)
	w.integer(`,"stepsatgoal":`, p.StepsAtGoal)
	w.raw(`}`)
}

func (w *jsonText) readings(key string, m map[string]Reading) {
	w.raw(key)
	if m == nil {
		w.raw("null")
		return
	}
	w.raw(`{`)
	for i, concept := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			w.raw(`,`)
		}
		w.text("", concept)
		r := m[concept]
		w.reading(`:`, &r)
	}
	w.raw(`}`)
}

func (w *jsonText) reading(key string, r *Reading) {
	w.raw(key)
	w.text(`{"concept":`, string(r.Concept))
	w.number(`,"value":`, r.Value)
	w.textIf(`,"cmp":`, r.Comparator)
	w.text(`,"unit":`, r.Unit)
	w.time(`,"at":`, r.At)
	w.time(`,"avail":`, r.Available)
	w.number(`,"agemin":`, r.AgeMin)
	w.textIf(`,"method":`, r.Method)
	w.text(`,"received":`, r.Received)
	w.textIf(`,"conversion":`, r.Conversion)
	w.text(`,"recordid":`, r.RecordID)
	w.raw(`}`)
}

// readingIf leaves out a reading that is not there. A first member has no
// comma: first says so, and what it returns is whether the next one is first.
func (w *jsonText) readingIf(key string, r *Reading, first bool) bool {
	if r == nil {
		return first
	}
	if !first {
		w.raw(`,`)
	}
	w.reading(key, r)
	return false
}

func (w *jsonText) pressure(key string, p *Pressure) {
	w.raw(key)
	w.raw(`{`)
	first := w.readingIf(`"newest":`, p.Newest, true)
	first = w.readingIf(`"arterial":`, p.ArterialNow, first)
	first = w.readingIf(`"cuff":`, p.CuffNow, first)
	first = w.readingIf(`"lasthourmin":`, p.LastHourMin, first)
	first = w.readingIf(`"other":`, p.Other, first)
	if !first {
		w.raw(`,`)
	}
	w.number(`"goal":`, p.GoalMmHg)
	w.flag(`,"goalordered":`, p.GoalOrdered)
	w.flag(`,"disagree":`, p.Disagree)
	w.flag(`,"outlier":`, p.LoneOutlier)
	if p.Alone {
		w.raw(`,"alone":true`)
	}
	w.flag(`,"derived":`, p.Derived)
	w.raw(`}`)
}

func (w *jsonText) trend(key string, t *Trend) {
	w.raw(key)
	w.raw(`{`)
	first := w.readingIf(`"now":`, t.Now, true)
	first = w.readingIf(`"before":`, t.Before, first)
	if !first {
		w.raw(`,`)
	}
	w.flag(`"rising":`, t.Rising)
	w.flag(`,"falling":`, t.Falling)
	w.raw(`}`)
}

func (w *jsonText) agent(a *Agent) {
	w.text(`{"drug":`, string(a.Drug))
	w.text(`,"class":`, string(a.Class))
	w.text(`,"state":`, a.State)
	w.numberIf(`,"rate":`, a.Rate)
	w.textIf(`,"rateunit":`, a.RateUnit)
	w.numberIf(`,"ugkgmin":`, a.RateUgKgMin)
	w.numberIf(`,"ne":`, a.NEUgKgMin)
	w.time(`,"charted":`, a.ChartedAt)
	w.number(`,"agemin":`, a.AgeMin)
	w.timeIf(`,"ended":`, a.EndedAt)
	w.textIf(`,"why":`, a.Why)
	w.textIf(`,"received":`, a.Received)
	w.text(`,"recordid":`, a.RecordID)
	w.raw(`}`)
}

func (w *jsonText) fluids(key string, f *FluidBook) {
	w.raw(key)
	w.flag(`{"known":`, f.Known)
	w.textIf(`,"why":`, f.Why)
	w.number(`,"bolus3h":`, f.Bolus3hMl)
	w.number(`,"bolus24h":`, f.Bolus24hMl)
	w.number(`,"in24h":`, f.In24hMl)
	w.number(`,"blood24h":`, f.BloodIn24hMl)
	w.number(`,"blood3h":`, f.BloodIn3hMl)
	w.number(`,"bolusstay":`, f.BolusStayMl)
	w.number(`,"instay":`, f.InStayMl)
	w.number(`,"outstay":`, f.OutStayMl)
	w.flag(`,"urineknown":`, f.UrineKnown)
	w.number(`,"urine24h":`, f.Urine24hMl)
	w.number(`,"urine6h":`, f.Urine6hMl)
	w.number(`,"balance":`, f.BalanceMl)
	w.flag(`,"balanceknown":`, f.BalanceKnown)
	w.raw(`}`)
}

func (w *jsonText) weight(key string, x *Weight) {
	w.raw(key)
	w.number(`{"kg":`, x.Kg)
	w.flag(`,"known":`, x.Known)
	w.textIf(`,"source":`, x.Source)
	w.readingIf(`"reading":`, x.Reading, false)
	w.textIf(`,"conflict":`, x.Conflict)
	w.numberIf(`,"height":`, x.HeightCm)
	w.numberIf(`,"bmi":`, x.BMI)
	w.raw(`}`)
}

func (w *jsonText) sepsis(key string, s *Sepsis) {
	w.raw(key)
	w.flag(`{"suspected":`, s.Suspected)
	if len(s.Evidence) > 0 {
		w.texts(`,"evidence":`, s.Evidence)
	}
	w.textIf(`,"prophylaxis":`, s.Prophylaxis)
	w.timeIf(`,"since":`, s.Since)
	w.integer(`,"sofa":`, s.SOFA)
	w.integer(`,"baseline":`, s.BaselineSOFA)
	w.flag(`,"baselineknown":`, s.BaselineKnown)
	w.flag(`,"met":`, s.Met)
	w.flag(`,"shock":`, s.Shock)
	w.textIf(`,"shockwhy":`, s.ShockWhy)
	w.raw(`}`)
}

func (w *jsonText) checks(key string, list []Check) {
	w.raw(key)
	if list == nil {
		w.raw("null")
		return
	}
	if len(list) == 0 {
		w.raw("[")
	}
	for i := range list {
		c := &list[i]
		w.buf = append(w.buf, separator(i))
		w.text(`{"key":`, c.Key)
		w.text(`,"result":`, c.Result)
		w.textIf(`,"evidence":`, c.Evidence)
		w.timeIf(`,"since":`, c.Since)
		w.textIf(`,"recordid":`, c.RecordID)
		w.raw(`}`)
	}
	w.raw(`]`)
}
