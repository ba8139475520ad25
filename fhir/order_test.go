// SPDX-License-Identifier: Apache-2.0

package fhir

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// drafts wraps resources in a draftOrders Bundle.
func draftBundle(resources ...string) json.RawMessage {
	var entries []string
	for _, r := range resources {
		entries = append(entries, `{"resource":`+r+`}`)
	}
	return json.RawMessage(`{"resourceType":"Bundle","type":"collection","entry":[` + strings.Join(entries, ",") + `]}`)
}

// draftOf is a MedicationRequest with these members beside the usual ones.
func draftOf(id, members string) string {
	return fmt.Sprintf(`{"resourceType":"MedicationRequest","id":%q,"status":"draft","intent":"order","subject":{"reference":"Patient/p"},%s}`, id, members)
}

const (
	norepi  = `"medicationCodeableConcept":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"7512"}],"text":"norepinephrine"}`
	ringer  = `"medicationCodeableConcept":{"text":"lactated ringer"}`
	piggy   = `"medicationCodeableConcept":{"text":"paracetamol 1 g"}`
	nothing = `"note":[{"text":"x"}]`
)

func instructed(dose string) string { return `"dosageInstruction":[{"doseAndRate":[{` + dose + `}]}]` }

func perKg(v string) string {
	return instructed(`"rateQuantity":{"value":` + v + `,"unit":"ug/kg/min","system":"http://unitsofmeasure.org","code":"ug/kg/min"}`)
}

func TestWhatADraftedOrderSays(t *testing.T) {
	m := testMapper(t)
	mix := `"contained":[{"resourceType":"Medication","id":"m","ingredient":[
		{"itemCodeableConcept":{"text":"norepinephrine"},"strength":{"numerator":{"value":4,"unit":"mg"},"denominator":{"value":250,"unit":"mL"}}},
		{"itemCodeableConcept":{"text":"sodium chloride 0.9%"}}]}],"medicationReference":{"reference":"#m"}`
	for _, tt := range []struct {
		name, members string
		want          state.Draft
	}{
		{"a weight-based rate", norepi + `,` + perKg("0.12"), state.Draft{Drug: "norepinephrine", Form: state.FormInfusion, RateKnown: true, Rate: 0.12, RateUnit: state.UnitUgKgMin}},
		{"a rate as a ratio", norepi + `,` + instructed(`"rateRatio":{"numerator":{"value":8,"unit":"mcg"},"denominator":{"value":1,"unit":"min"}}`), state.Draft{Drug: "norepinephrine", Form: state.FormInfusion, RateKnown: true, Rate: 8, RateUnit: state.UnitUgMin}},
		{"a rate where the amount belongs", norepi + `,` + instructed(`"doseQuantity":{"value":0.05,"unit":"mcg/kg/min"}`), state.Draft{Drug: "norepinephrine", Form: state.FormInfusion, RateKnown: true, Rate: 0.05, RateUnit: state.UnitUgKgMin}},
		{"a titration range", norepi + `,` + instructed(`"rateRange":{"low":{"value":0.02,"unit":"mcg/kg/min"},"high":{"value":0.5,"unit":"mcg/kg/min"}}`), state.Draft{Drug: "norepinephrine", Form: state.FormInfusion, RateKnown: true, Rate: 0.02, RateHigh: 0.5, RateUnit: state.UnitUgKgMin}},
		{"only the upper end of a range", norepi + `,` + instructed(`"rateRange":{"high":{"value":0.5,"unit":"mcg/kg/min"}}`), state.Draft{Drug: "norepinephrine", Form: state.FormInfusion, RateHigh: 0.5, RateUnit: state.UnitUgKgMin, Unknown: unknownNoRate}},
		{"a contained mixture run in mL/h", mix + `,` + instructed(`"rateQuantity":{"value":15,"unit":"mL/h"}`), state.Draft{Drug: "norepinephrine", Form: state.FormInfusion, RateKnown: true, Rate: 4, RateUnit: state.UnitUgMin}},
		{"mL/h without a concentration", norepi + `,` + instructed(`"rateQuantity":{"value":15,"unit":"mL/h"}`), state.Draft{Drug: "norepinephrine", Form: state.FormInfusion, Unknown: unknownConc}},
		{"a unit nobody knows", norepi + `,` + instructed(`"rateQuantity":{"value":15,"unit":"wibble"}`), state.Draft{Drug: "norepinephrine", Form: state.FormInfusion, Unknown: unknownUnit}},
		{"a rate in the wrong unit is implausible", norepi + `,` + perKg("8"), state.Draft{Drug: "norepinephrine", Form: state.FormInfusion, Implausible: true, Unknown: unknownRange}},
		{"no dose yet", norepi, state.Draft{Drug: "norepinephrine", Form: state.FormInfusion, Unknown: unknownNoRate}},
		{"the ordered dose of several", norepi + `,"dosageInstruction":[{"doseAndRate":[{"type":{"coding":[{"code":"calculated"}]},"rateQuantity":{"value":15,"unit":"mL/h"}},{"type":{"coding":[{"code":"ordered"}]},"rateQuantity":{"value":0.1,"unit":"mcg/kg/min"}}]}]`, state.Draft{Drug: "norepinephrine", Form: state.FormInfusion, RateKnown: true, Rate: 0.1, RateUnit: state.UnitUgKgMin}},
		{"a dose where STU3 has it, with a category that is no list", norepi + `,"category":{"text":"inpatient"},"dosageInstruction":[{"rateQuantity":{"value":0.1,"unit":"mcg/kg/min"}}]`, state.Draft{Drug: "norepinephrine", Form: state.FormInfusion, RateKnown: true, Rate: 0.1, RateUnit: state.UnitUgKgMin}},
		{"as needed", norepi + `,"dosageInstruction":[{"asNeededBoolean":true,"doseAndRate":[{"rateQuantity":{"value":0.1,"unit":"mcg/kg/min"}}]}]`, state.Draft{Drug: "norepinephrine", Form: state.FormInfusion, PRN: true, RateKnown: true, Rate: 0.1, RateUnit: state.UnitUgKgMin}},
		{"a push", norepi + `,` + instructed(`"doseQuantity":{"value":10,"unit":"mcg"}`), state.Draft{Drug: "norepinephrine", Form: state.FormPush, Skip: skipPushed, Unknown: "push dose has no rate"}},
		{"a bolus", ringer + `,` + instructed(`"doseQuantity":{"value":500,"unit":"mL"}`), state.Draft{Drug: "lactated ringer", Form: state.FormBolus, MlKnown: true, AmountMl: 500, Ledger: state.LedgerBolus}},
		{"of a range of amounts the larger", ringer + `,` + instructed(`"doseRange":{"low":{"value":250,"unit":"mL"},"high":{"value":500,"unit":"mL"}}`), state.Draft{Drug: "lactated ringer", Form: state.FormBolus, MlKnown: true, AmountMl: 500, Ledger: state.LedgerBolus}},
		{"a litre over eight hours is maintenance", ringer + `,"dosageInstruction":[{"timing":{"repeat":{"duration":8,"durationUnit":"h"}},"doseAndRate":[{"doseQuantity":{"value":1,"unit":"L"}}]}]`, state.Draft{Drug: "lactated ringer", Form: state.FormBolus, MlKnown: true, AmountMl: 1000, OverMin: 480, Ledger: state.LedgerMaintenance}},
		{"a litre over half an hour is a bolus", ringer + `,"dosageInstruction":[{"timing":{"repeat":{"duration":30,"durationUnit":"min"}},"doseAndRate":[{"doseQuantity":{"value":1000,"unit":"mL"}}]}]`, state.Draft{Drug: "lactated ringer", Form: state.FormBolus, MlKnown: true, AmountMl: 1000, OverMin: 30, Ledger: state.LedgerBolus}},
		{"a maintenance rate", ringer + `,` + instructed(`"rateQuantity":{"value":125,"unit":"mL/h"}`), state.Draft{Drug: "lactated ringer", Form: state.FormInfusion, RateKnown: true, Rate: 125, RateUnit: state.UnitMlH, Ledger: state.LedgerMaintenance}},
		{"another drug", piggy, state.Draft{Skip: reasonDrugNotCoded}},
		{"a drug nobody names", nothing, state.Draft{Skip: reasonNameless}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			read, err := m.ReadDrafts(draftBundle(draftOf("o", tt.members)), DraftsFor{PatientID: "p"})
			if err != nil {
				t.Fatal(err)
			}
			got := m.Drafts(read.Records)
			if len(got) != 1 {
				t.Fatalf("%d drafts", len(got))
			}
			d := got[0]
			tt.want.ID = "MedicationRequest/o"
			if math.Abs(d.Rate-tt.want.Rate) < 1e-9 {
				d.Rate = tt.want.Rate
			}
			d.Name, d.Class, d.Does, d.Received, d.Conversion, d.Tonicity, d.Dosed, d.ByText = "", "", "", "", "", 0, false, false
			if !reflect.DeepEqual(d, tt.want) {
				t.Errorf("got  %+v\nwant %+v", d, tt.want)
			}
		})
	}
}

func TestOrdersThatEndADrug(t *testing.T) {
	m := testMapper(t)
	for status, want := range map[string]string{"draft": state.DraftGives, "active": state.DraftGives, "stopped": state.DraftStops, "cancelled": state.DraftStops, "on-hold": state.DraftHolds} {
		read, err := m.ReadDrafts(draftBundle(strings.Replace(draftOf("o", norepi), `"draft"`, `"`+status+`"`, 1)), DraftsFor{PatientID: "p"})
		if err != nil {
			t.Fatal(err)
		}
		if d := m.Drafts(read.Records)[0]; d.Does != want || d.Skip != "" {
			t.Errorf("%s: %q, skip %q", status, d.Does, d.Skip)
		}
	}
	for _, members := range []string{norepi + `,"doNotPerform":true`} {
		read, _ := m.ReadDrafts(draftBundle(draftOf("o", members)), DraftsFor{PatientID: "p"})
		if d := m.Drafts(read.Records)[0]; d.Skip == "" {
			t.Errorf("%s is judged", members)
		}
	}
}

func TestABundleOfDraftsIsTakenApart(t *testing.T) {
	m := testMapper(t)
	medication := `{"resourceType":"Medication","id":"m1","code":{"text":"norepinephrine"}}`
	long := strings.Repeat("e", 250)
	read, err := m.ReadDrafts(draftBundle(
		`{"resourceType":"NutritionOrder","id":"n","status":"draft","patient":{"reference":"Patient/p"}}`,
		draftOf(long, `"medicationReference":{"reference":"Medication/m1","display":"Levophed"},`+perKg("0.1")),
		medication,
		draftOf("two", norepi+`,"dosageInstruction":[{"doseAndRate":[{"rateQuantity":{"value":0.1,"unit":"mcg/kg/min"}}]},{"doseAndRate":[{"rateQuantity":{"value":0.2,"unit":"mcg/kg/min"}}]}]`),
		draftOf("alone", `"medicationReference":{"reference":"Medication/elsewhere","display":"vasopressin 20 units in 100 mL"}`),
		draftOf("broken", `"medicationCodeableConcept":"x"`),
	), DraftsFor{PatientID: "p"})
	if err != nil {
		t.Fatal(err)
	}
	got := m.Drafts(read.Records)
	if len(got) != 5 || got[0].Drug != "norepinephrine" || got[0].ID != "MedicationRequest/"+long || got[1].Part != "dosageInstruction[0]" || got[2].Rate != 0.2 || got[3].Drug != "vasopressin" || !got[4].Unread {
		t.Errorf("%+v", got)
	}
	if want := []string{"NutritionOrder: 1"}; !reflect.DeepEqual(read.OtherTypes(), want) {
		t.Errorf("others %v", read.OtherTypes())
	}
	if len(read.Entries) != 6 || read.Entries[0] != "NutritionOrder/n" {
		t.Errorf("entries %v", read.Entries)
	}
}

func TestDraftsOfAnotherPatientAreRefused(t *testing.T) {
	m := testMapper(t)
	for name, r := range map[string]string{
		"a medication order":    strings.Replace(draftOf("o", norepi), "Patient/p", "Patient/q", 1),
		"on another server":     strings.Replace(draftOf("o", norepi), "Patient/p", "https://elsewhere.example/fhir/Patient/p", 1),
		"an order of no matter": `{"resourceType":"ServiceRequest","id":"s","subject":{"reference":"Patient/q"}}`,
	} {
		if _, err := m.ReadDrafts(draftBundle(draftOf("own", norepi), r), DraftsFor{PatientID: "p", Base: "https://ehr.example/fhir"}); !errors.Is(err, ErrWrongPatient) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := m.ReadDrafts(draftBundle(strings.Replace(draftOf("o", norepi), `"subject":{"reference":"Patient/p"},`, "", 1)), DraftsFor{PatientID: "p"}); err != nil {
		t.Errorf("no subject yet: %v", err)
	}
	if _, err := m.ReadDrafts(json.RawMessage(`{"resourceType":"Patient"}`), DraftsFor{PatientID: "p"}); !errors.Is(err, ErrMalformed) {
		t.Errorf("no Bundle: %v", err)
	}
}

// FuzzReadDrafts: whatever comes, reading ends, and what is stored maps again
// to the same drafts.
func FuzzReadDrafts(f *testing.F) {
	f.Add([]byte(draftBundle(draftOf("o", norepi+`,`+perKg("0.1")))))
	f.Add([]byte(draftBundle(draftOf("o", ringer+`,`+instructed(`"doseRange":{"low":{"value":250,"unit":"mL"},"high":{"value":500,"unit":"mL"}}`)))))
	f.Add([]byte(`{"resourceType":"Bundle","entry":[{"fullUrl":"urn:uuid:1","resource":{"resourceType":"MedicationRequest","dosageInstruction":{}}}]}`))
	m := testMapper(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		read, err := m.ReadDrafts(raw, DraftsFor{PatientID: "p", Base: "https://ehr.example/fhir"})
		if err != nil {
			return
		}
		first := m.Drafts(read.Records)
		stored, err := json.Marshal(read.Records)
		if err != nil {
			t.Fatal(err)
		}
		var back []state.Drafted
		if err := json.Unmarshal(stored, &back); err != nil {
			t.Fatal(err)
		}
		if again := m.Drafts(back); !reflect.DeepEqual(first, again) {
			t.Fatalf("first %+v\nagain %+v", first, again)
		}
		for _, d := range first {
			if d.Skip == "" && (math.IsNaN(d.Rate) || d.Rate < 0 || d.AmountMl < 0 || d.RateHigh < 0 || d.RateKnown && d.RateUnit == "") {
				t.Fatalf("%+v", d)
			}
		}
	})
}
