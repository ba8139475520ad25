// SPDX-License-Identifier: Apache-2.0

package physiology

// This file: the patients of the demonstration: for each scenario the first
// seed whose course ends where the story needs it, so that the same build always
// shows the same patients.

import (
	"fmt"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// DemoPatient is one patient of the demonstration; the course ends at the time
// it was asked for.
type DemoPatient struct {
	Scenario Scenario
	Name     string // invented
	Bed      string
	Story    string // one sentence for the visitor
	Course   Course
}

// demoStory says how a demonstration patient is found.
type demoStory struct {
	scenario  Scenario
	female    string // invented name if the patient found is a woman
	male      string
	bed       string
	story     string
	seed      uint64 // where the search found it last; only saves time
	hours     float64
	treatment Treatment
	accept    func(c Course, m Moment) bool
}

// demoTries bounds the search for one patient.
const demoTries = 8000

// Demo gives one patient per scenario, admitted so that the course ends now.
// It fails only when the simulator was changed so that a story cannot be found.
func Demo(now time.Time) ([]DemoPatient, error) {
	var out []DemoPatient
	for _, s := range demoStories() {
		c, ok := s.find()
		if !ok {
			return nil, fmt.Errorf("demonstration patient %q: no seed below %d ends as the story needs", s.scenario, demoTries)
		}
		c.holes = s.scenario == MissingData
		c = c.EndAt(now)
		out = append(out, DemoPatient{Scenario: s.scenario, Name: s.name(c), Bed: s.bed, Story: s.story, Course: c})
	}
	return out, nil
}

// DemoCharts gives the charts of the patients of Demo by their scenario, for
// whoever decides on them without an EHR. Charts are read-only.
func DemoCharts(now time.Time) (map[Scenario]*state.Chart, error) {
	patients, err := Demo(now)
	if err != nil {
		return nil, err
	}
	out := make(map[Scenario]*state.Chart, len(patients))
	for _, p := range patients {
		out[p.Scenario] = p.Course.Chart()
	}
	return out, nil
}

func (s demoStory) name(c Course) string {
	if c.patient.traits.female {
		return s.female
	}
	return s.male
}

func (s demoStory) find() (Course, bool) {
	for try := range uint64(demoTries) {
		seed := try
		if try == 0 {
			seed = s.seed
		}
		p := New(seed, s.scenario)
		if p.traits.heartFailure || p.traits.esrd || p.traits.ageYears > 82 {
			continue
		}
		c := p.Run(s.hours, s.treatment)
		if c.patient.end == endOpen && s.accept(c, c.Last()) {
			return c, true
		}
	}
	return Course{}, false
}

// holdAfter keeps the doses of t as they are from the given hour on.
func holdAfter(hour float64, t Treatment) Treatment {
	return Func(func(v Bedside) Doses {
		if v.HoursIn >= hour {
			return v.Now
		}
		return t.Next(v)
	})
}

// peakNE is the highest norepinephrine rate so far, ug/kg/min.
func (c Course) peakNE() float64 {
	top := 0.0
	for _, m := range c.patient.log {
		top = max(top, m.Given.NEUgKgMin)
	}
	return top
}

func between(x, lo, hi float64) bool { return x >= lo && x <= hi }

func demoStories() []demoStory {
	resuscitation := map[float64]float64{1: 500, 2: 500, 3: 500}
	flood := map[float64]float64{}
	for h := 1.0; h < 30; h += 2 {
		flood[h] = 500
	}
	flood[27], flood[29], flood[31] = 1000, 1000, 1000
	return []demoStory{
		{
			EarlySepsis, "Ines Ferreira", "Rui Ferreira", "ICU 1", "Admitted five hours ago with sepsis. Pressure has drifted down, one bolus so far, no vasopressor.",
			211, 5, titrate(65, 0, 75, map[float64]float64{1.5: 500}),
			func(c Course, m Moment) bool {
				return between(c.MeanMAP(0.75), 55, 60) && between(m.body.mapMmHg, 54.5, 59) && between(m.body.lactate, 2.2, 5) &&
					m.body.antibioticH > 0.5 && !m.body.vent && m.body.s < 0.8 && m.body.pf(m.traits) < 270
			},
		},
		{
			SepticShock, "Zofia Zielinska", "Tomasz Zielinski", "ICU 2", "Septic shock on norepinephrine after 1.5 L. Pressure has slipped below goal in the last hour.",
			852, 14, holdAfter(11, titrate(67, 0.4, 75, resuscitation)),
			func(c Course, m Moment) bool {
				return between(m.Given.NEUgKgMin, 0.09, 0.2) && between(c.MeanMAP(0.5), 58, 62.5) && between(m.body.mapMmHg, 57, 62) &&
					between(m.body.lactate, 2.2, 4.5)
			},
		},
		{
			RefractoryShock, "Grace Okafor", "Emeka Okafor", "ICU 3", "Deep shock: norepinephrine is already high and pressure is still below goal.",
			310, 18, holdAfter(17, titrate(66, 0.34, 75, resuscitation)),
			func(c Course, m Moment) bool {
				return m.Given.NEUgKgMin >= 0.28 && between(c.MeanMAP(1), 55, 61) && between(m.body.mapMmHg, 55, 61) &&
					between(m.body.lactate, 3.2, 8)
			},
		},
		{
			Improving, "Hannah Brandt", "Jonas Brandt", "ICU 4", "Second day, shock resolving: lactate normal and pressure above goal on little norepinephrine.",
			27, 44, holdAfter(33, titrate(73, 0.4, 50, resuscitation)),
			func(c Course, m Moment) bool {
				return between(m.Given.NEUgKgMin, 0.03, 0.07) && c.MeanMAP(8) > 73 && between(m.body.mapMmHg, 74, 86) &&
					m.body.lactate < 1.7 && c.peakNE() >= 0.12
			},
		},
		{
			FluidOverload, "Leela Menon", "Ravi Menon", "ICU 5", "A very positive fluid balance, oxygenation falling, pressure just below goal.",
			5007, 36, holdAfter(33, titrate(66, 0.3, 125, flood)),
			func(c Course, m Moment) bool {
				ago := c.patient.log[len(c.patient.log)-8*stepsPerHour]
				return m.body.interstitialMl > 3800 && m.body.pf(m.traits) < 0.86*ago.body.pf(ago.traits) && m.body.pf(m.traits) < 230 &&
					between(m.Given.NEUgKgMin, 0.03, 0.2) && between(c.MeanMAP(0.5), 57, 64) && between(m.body.mapMmHg, 56.5, 63.5) && overloadShows(c.Chart())
			},
		},
		{
			StableSepsis, "Elin Lindqvist", "Marcus Lindqvist", "ICU 6", "Pneumonia with organ dysfunction, but perfusing well without a vasopressor.",
			5, 30, titrate(65, 0, 50, map[float64]float64{1: 500}),
			func(c Course, m Moment) bool {
				return between(m.body.mapMmHg, 72, 84) && c.MeanMAP(12) > 71 && m.body.lactate < 1.7 && m.traits.lungSource &&
					m.body.antibioticH > 1 && between(m.body.pf(m.traits), 200, 265)
			},
		},
		{
			PostOperative, "Aiko Tanaka", "Kenji Tanaka", "ICU 7", "First day after elective surgery. No infection.",
			2, 20, titrate(65, 0, 75, nil),
			func(c Course, m Moment) bool {
				return between(m.body.mapMmHg, 72, 88) && m.body.lactate < 1.6 && !m.body.vent
			},
		},
		{
			MissingData, "Claire Moreau", "Daniel Moreau", "ICU 8", "On norepinephrine, but the chart has holes: no recent pressure, no lactate, no weight.",
			3, 12, titrate(67, 0.4, 75, resuscitation),
			func(c Course, m Moment) bool {
				return between(m.Given.NEUgKgMin, 0.08, 0.25) && between(m.body.mapMmHg, 58, 68)
			},
		},
	}
}

// overloadShows says whether the chart shows what the story tells: the last
// arterial gas has a P/F clearly below the one before (with the FiO2 charted
// last at each), the newest MAP is below 65, and haemoglobin has not been diluted
// so far that it looks like bleeding.
func overloadShows(chart *state.Chart) bool {
	var pf []float64
	fio2, mapMmHg, hb, hbAt := 0.0, 0.0, 0.0, time.Time{}
	var hbs []state.Measurement            // of the 24 h before the newest
	for _, m := range chart.Measurements { // in order of time
		switch {
		case m.Concept == "fio2":
			fio2 = m.Value
		case m.Concept == "meanbp":
			mapMmHg = m.Value
		case m.Concept == "hemoglobin":
			hb, hbAt = m.Value, m.Effective
			for len(hbs) > 0 && hbAt.Sub(hbs[0].Effective) > 24*time.Hour {
				hbs = hbs[1:]
			}
			hbs = append(hbs, m)
		case m.Concept == "pao2" && fio2 > 0:
			pf = append(pf, 100*m.Value/fio2)
		}
	}
	for _, m := range hbs {
		if m.Value-hb > 1.9 {
			return false
		}
	}
	n := len(pf)
	return mapMmHg < 64 && n >= 2 && pf[n-1] < 0.79*pf[n-2]
}
