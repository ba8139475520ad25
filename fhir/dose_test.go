// SPDX-License-Identifier: Apache-2.0

package fhir

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// given builds a MedicationAdministration of p1 running from 10:00 to 12:00.
func given(drug, dosage string) string {
	return fmt.Sprintf(`{"resourceType":"MedicationAdministration","id":"m1","status":"completed","medicationCodeableConcept":%s,"subject":{"reference":"Patient/p1"},"effectivePeriod":{"start":"2026-03-01T10:00:00Z","end":"2026-03-01T12:00:00Z"},"dosage":{%s}}`, drug, dosage)
}

func rx(code string) string {
	return fmt.Sprintf(`{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"%s"}]}`, code)
}

func rate(v, unit string) string {
	if unit == "" {
		return fmt.Sprintf(`"rateQuantity":{"value":%s}`, v)
	}
	return fmt.Sprintf(`"rateQuantity":{"value":%s,"unit":"%s"}`, v, unit)
}

const bag4in250 = `"extension":[{"url":"urn:x-eicu-demo:infusion-concentration","valueRatio":{"numerator":{"value":4,"unit":"mg"},"denominator":{"value":250,"unit":"mL"}}},{"url":"urn:x-eicu-demo:pump-rate","valueQuantity":{"value":15,"unit":"mL/h"}}],`

func TestRatesOfVasoactives(t *testing.T) {
	m := testMapper(t)
	tests := []struct {
		name, res string
		drug      state.Drug
		want      float64
		unit      string
		unknown   string
	}{
		{"micrograms per kilogram and minute", given(rx("7512"), rate("0.12", "mcg/kg/min")), "norepinephrine", 0.12, state.UnitUgKgMin, ""},
		{"micrograms per minute", given(rx("7512"), rate("8", "mcg/min")), "norepinephrine", 8, state.UnitUgMin, ""},
		{"milligrams per hour", given(rx("7512"), rate("0.6", "mg/hr")), "norepinephrine", 10, state.UnitUgMin, ""},
		{"milligrams per hour as a ratio", given(rx("7512"), `"rateRatio":{"numerator":{"value":0.6,"unit":"mg"},"denominator":{"value":1,"unit":"h"}}`), "norepinephrine", 10, state.UnitUgMin, ""},
		{"volume rate with bag content", given(rx("7512"), bag4in250+rate("15", "ml/hr")), "norepinephrine", 4, state.UnitUgMin, ""},
		{"volume rate without bag content", given(rx("7512"), rate("15", "ml/hr")), "norepinephrine", 0, "", unknownConc},
		{"no unit", given(rx("7512"), rate("15", "")), "norepinephrine", 0, "", unknownNoUnit},
		{"a unit nobody knows", given(rx("7512"), rate("15", "wibble")), "norepinephrine", 0, "", unknownUnit},
		{"milligrams per kilogram by mistake are not clamped", given(rx("7512"), rate("0.1", "mg/kg/min")), "norepinephrine", 0, "", unknownRange},
		{"negative rate", given(rx("7512"), rate("-1", "mcg/min")), "norepinephrine", 0, "", unknownNegative},
		{"a rate of zero is known", given(rx("7512"), rate("0", "mcg/kg/min")), "norepinephrine", 0, state.UnitUgKgMin, ""},
		{"a bound is not a rate", given(rx("7512"), `"rateQuantity":{"value":5,"comparator":">","unit":"mcg/min"}`), "norepinephrine", 0, "", "rate is a bound, not a number"},
		{"vasopressin in units per hour", given(rx("11149"), rate("2.4", "units/hour")), "vasopressin", 0.04, state.UnitUMin, ""},
		{"vasopressin in units per minute", given(rx("11149"), rate("0.03", "U/min")), "vasopressin", 0.03, state.UnitUMin, ""},
		{"vasopressin by mass does not fit", given(rx("11149"), rate("2", "mcg/min")), "vasopressin", 0, "", unknownDimension},
		{"vasopressin per hour read as per minute", given(rx("11149"), rate("2.4", "units/min")), "vasopressin", 0, "", unknownRange},
		{"an amount over a period is no rate", given(rx("7512"), `"dose":{"value":4,"unit":"mg"}`), "norepinephrine", 0, "", unknownNoRate},
		{"on hold", strings.Replace(given(rx("7512"), rate("0.1", "mcg/kg/min")), "completed", "on-hold", 1), "norepinephrine", 0, "", unknownHold},
		{"known by name only", given(`{"text":"Levophed drip"}`, rate("5", "mcg/min")), "norepinephrine", 5, state.UnitUgMin, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := chartOf(t, m, tt.res)
			if len(c.Administrations) != 1 {
				t.Fatalf("reasons %v", c.Tally.Reasons)
			}
			a := c.Administrations[0]
			if a.Drug != tt.drug || a.Form != state.FormInfusion || math.Abs(a.Rate-tt.want) > 1e-9 || a.RateUnit != tt.unit || a.Unknown != tt.unknown || a.RateKnown != (tt.unknown == "") {
				t.Errorf("got %+v", a)
			}
			if a.ByText != strings.Contains(tt.name, "by name") {
				t.Errorf("by text: %v", a.ByText)
			}
		})
	}
}

func TestContainedMedicationGivesTheConcentration(t *testing.T) {
	res := `{"resourceType":"MedicationAdministration","id":"m1","status":"in-progress","contained":[{"resourceType":"Medication","id":"bag","ingredient":[
		{"itemCodeableConcept":` + rx("7512") + `,"strength":{"numerator":{"value":16,"unit":"mg","code":"mg"},"denominator":{"value":250,"unit":"mL","code":"mL"}}}]}],
		"medicationReference":{"reference":"#bag"},"subject":{"reference":"Patient/p1"},"effectivePeriod":{"start":"2026-03-01T10:00:00Z"},"dosage":{` + rate("7.5", "mL/h") + `}}`
	c := chartOf(t, testMapper(t), res)
	if len(c.Administrations) != 1 || math.Abs(c.Administrations[0].Rate-8) > 1e-9 || c.Administrations[0].MlPerH != 7.5 || !c.Administrations[0].End.IsZero() {
		t.Fatalf("got %+v, %v", c.Administrations, c.Rejects)
	}
}

func TestFluidsAndTheirLedgers(t *testing.T) {
	m := testMapper(t)
	dose := func(ml string) string { return fmt.Sprintf(`"dose":{"value":%s,"unit":"mL"}`, ml) }
	tests := []struct {
		name, res string
		ml        float64
		ledger    state.Ledger
		tonicity  float64
	}{
		{"a litre of saline in two hours", given(rx("313002"), dose("1000")), 1000, state.LedgerBolus, 1},
		{"a slow saline total", given(rx("313002"), dose("200")), 200, state.LedgerMaintenance, 1},
		{"saline by rate", given(rx("313002"), rate("75", "mL/h")), 150, state.LedgerMaintenance, 1},
		{"saline wide open", given(rx("313002"), rate("999", "mL/h")), 1998, state.LedgerBolus, 1},
		{"half saline by text beside the substance code", given(`{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"9863"}],"text":"Sodium chloride 0.45%"}`, dose("100")), 100, state.LedgerMaintenance, 0.5},
		{"red cells", given(`{"text":"Packed red blood cells"}`, dose("350")), 350, state.LedgerBlood, 1},
		{"an antibiotic's bag carries", given(rx("11124"), dose("250")), 250, state.LedgerCarrier, 1},
		{"glucose is free water", given(`{"text":"Dextrose 5%"}`, dose("100")), 100, state.LedgerMaintenance, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := chartOf(t, m, tt.res)
			if len(c.Administrations) != 1 {
				t.Fatalf("reasons %v", c.Tally.Reasons)
			}
			a := c.Administrations[0]
			if math.Abs(a.AmountMl-tt.ml) > 1e-9 || !a.MlKnown || a.Ledger != tt.ledger || a.Tonicity != tt.tonicity {
				t.Errorf("got %+v", a)
			}
		})
	}
}

func TestWhatIsNotATreatmentIsLeftOut(t *testing.T) {
	m := testMapper(t)
	tests := []struct{ name, res, reason string }{
		{"not done", strings.Replace(given(rx("7512"), rate("1", "mcg/min")), "completed", "not-done", 1), "status not-done"},
		{"vancomycin by mouth stays in the gut", given(rx("11124"), `"route":{"coding":[{"system":"http://snomed.info/sct","code":"26643006"}]},"dose":{"value":125,"unit":"mg"}`), reasonLocal},
		{"an eye ointment", given(`{"text":"Erythromycin 0.5% ophth oint"}`, `"dose":{"value":1,"unit":"dose"}`), reasonLocal},
		{"a drug nobody mapped", given(`{"text":"Propofol"}`, rate("20", "mcg/kg/min")), reasonDrugNotCoded},
		{"sterile water irrigates", given(`{"text":"Sterile water"}`, `"dose":{"value":500,"unit":"mL"}`), "irrigant or enteral water"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if c := chartOf(t, m, tt.res); len(c.Administrations) != 0 || c.Tally.Reasons[tt.reason] != 1 {
				t.Errorf("got %+v, %v", c.Administrations, c.Tally.Reasons)
			}
		})
	}
}
