// SPDX-License-Identifier: Apache-2.0

package fhir

import (
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/physiology"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// The demonstration patients must come through FHIR with the state that their
// story tells: a story that the timeline cannot see shows the visitor nothing.
func TestDemonstrationPatientsKeepTheirStoriesThroughFHIR(t *testing.T) {
	now := time.Date(2026, 11, 22, 16, 0, 0, 0, time.UTC)
	patients, err := physiology.Demo(now)
	if err != nil {
		t.Fatal(err)
	}
	codeMaps, err := testMaps()
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range patients {
		t.Run(string(p.Scenario), func(t *testing.T) {
			tl := demoTimeline(t, codeMaps, p, StyleOf(uint64(i)*137), now)
			at := tl.Present
			if !at.VasoKnown || !at.Fluids.Known {
				t.Errorf("exposure unknown: %s %s", at.VasoWhy, at.Fluids.Why)
			}
			if at.Sepsis.Met == (p.Scenario == physiology.PostOperative) {
				t.Errorf("sepsis evidence %+v", at.Sepsis)
			}
			mapMmHg := at.MAP.Newest.Value
			ne := at.NEUgKgMin
			ok := map[physiology.Scenario]bool{
				physiology.EarlySepsis:     mapMmHg < 65 && ne == 0,
				physiology.SepticShock:     mapMmHg < 65 && ne > 0.05 && at.Sepsis.Shock,
				physiology.RefractoryShock: mapMmHg < 65 && ne >= 0.25 && at.Sepsis.Shock,
				physiology.Improving:       mapMmHg > 70 && ne > 0 && ne < 0.1 && at.Lactate.Now.Value < 2 && at.StepsAtGoal >= 2,
				physiology.FluidOverload:   mapMmHg < 65 && at.Fluids.BalanceMl > 5000 && at.PFRatio.Falling,
				physiology.StableSepsis:    mapMmHg > 65 && ne == 0,
				physiology.PostOperative:   mapMmHg > 65 && ne == 0 && !at.Sepsis.Suspected,
				physiology.MissingData:     ne > 0 && at.MAP.Newest.AgeMin > 120 && at.Lactate.Now == nil && !at.Weight.Known,
			}
			if c := tl.Check(state.CheckBleeding); c.Result == state.CheckPresent {
				t.Errorf("looks like bleeding: %s", c.Evidence)
			}
			if !ok[p.Scenario] {
				t.Errorf("MAP %v (%.0f min), NE %.2f, lactate %+v, P/F %+v, balance %v, steps at goal %d, sepsis %+v, weight %+v",
					mapMmHg, at.MAP.Newest.AgeMin, ne, at.Lactate, at.PFRatio, at.Fluids.BalanceMl, at.StepsAtGoal, at.Sepsis, at.Weight)
			}
		})
	}
}

func demoTimeline(t *testing.T, codeMaps *CodeMaps, p physiology.DemoPatient, style Style, now time.Time) *state.Timeline {
	t.Helper()
	resources, err := Write(p.Course.Chart(), style)
	if err != nil {
		t.Fatal(err)
	}
	m := NewMapper(codeMaps)
	bag := NewBag(p.Course.PersonID())
	bag.Asked("Patient", "Encounter", "Observation", "MedicationAdministration", "MedicationRequest", "Condition", "Procedure")
	for _, raw := range resources {
		if err := m.Add(bag, raw, state.Origin{Via: "bundle"}); err != nil {
			t.Fatal(err)
		}
	}
	chart, err := m.Chart(bag, "", now)
	if err != nil {
		t.Fatal(err)
	}
	tl, err := state.Build(chart, now, state.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	return tl
}
