// SPDX-License-Identifier: Apache-2.0

package fhir

import (
	"strings"
	"testing"
)

// This file: a row that cannot be placed in time makes the exposure unknown.

func TestTreatmentWithoutAPlaceInTimeIsUnknown(t *testing.T) {
	ringer := `"medicationCodeableConcept":` + rx("847630")
	rate := `"dosage":{"rateQuantity":{"value":100,"unit":"mL/h"}}`
	cefepime := `"medicationCodeableConcept":{"text":"cefepime"}`
	tests := []struct {
		name, row   string
		vaso, fluid bool // known
	}{
		{"no time", mar("a", "in-progress", commas(ne(), ugKgMin("0.2"))), false, true},
		{"no zone", mar("a", "in-progress", commas(ne(), `"effectivePeriod":{"start":"2026-03-01T10:00:00"}`, ugKgMin("0.2"))), false, true},
		{"a day", mar("a", "in-progress", commas(ne(), `"effectivePeriod":{"start":"2026-03-01"}`, ugKgMin("0.2"))), false, true},
		{"a day long past", mar("a", "completed", commas(ne(), `"effectivePeriod":{"start":"2019-03-01"}`, ugKgMin("0.2"))), true, true},
		{"it ends before it starts", mar("a", "completed", commas(ne(), spanning(60, 120), ugKgMin("0.2"))), false, true},
		{"a status nobody defined", mar("a", "running", commas(ne(), spanning(60, -1), ugKgMin("0.2"))), false, true},
		{"no status", strings.Replace(mar("a", "x", commas(ne(), spanning(60, -1), ugKgMin("0.2"))), `"status":"x",`, "", 1), false, true},
		{"a rate in quotes", mar("a", "in-progress", commas(ne(), spanning(60, -1), ugKgMin(`"0.2"`))), false, false},
		{"a fluid", mar("a", "in-progress", commas(ringer, rate)), true, false},
		{"what is neither", mar("a", "in-progress", commas(cefepime, rate)), true, true},
		{"what was not given", mar("a", "not-done", commas(ne(), ugKgMin("0.2"))), true, true},
	}
	m := testMapper(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := timelineOf(t, chartOf(t, m, tt.row), "").Present
			if p.VasoKnown != tt.vaso || p.Fluids.Known != tt.fluid || len(p.Agents) != 0 {
				t.Errorf("vasopressors known %t (%s), fluids %t (%s), agents %v", p.VasoKnown, p.VasoWhy, p.Fluids.Known, p.Fluids.Why, p.Agents)
			}
		})
	}
}
