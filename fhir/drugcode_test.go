// SPDX-License-Identifier: Apache-2.0

package fhir

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// This file: which drug a code means, in each of the code systems, and what is
// refused in the drug part of a code map.

func TestDrugsByTheCodesOfEverySystem(t *testing.T) {
	const rxnorm, atc, snomed = "http://www.nlm.nih.gov/research/umls/rxnorm", "http://www.whocc.no/atc", "http://snomed.info/sct"
	m := testMapper(t)
	tests := []struct {
		system, code string
		drug         state.Drug
		class        state.Class
	}{
		{rxnorm, "7512", "norepinephrine", state.ClassVasopressor},
		{rxnorm, "1745276", "norepinephrine", state.ClassVasopressor}, // form
		{rxnorm, "242969", "norepinephrine", state.ClassVasopressor},  // product
		{rxnorm, "209217", "norepinephrine", state.ClassVasopressor},  // brand
		{"urn:oid:2.16.840.1.113883.6.88", "7512", "norepinephrine", state.ClassVasopressor},
		{rxnorm, "313578", "vasopressin", state.ClassVasopressor},
		{rxnorm, "1666372", "phenylephrine", state.ClassVasopressor},
		{rxnorm, "310132", "epinephrine", state.ClassVasopressor},
		{rxnorm, "1807634", "sodium chloride 0.9%", state.ClassCrystalloid},
		{rxnorm, "847630", "lactated ringer", state.ClassCrystalloid},
		{snomed, "387390002", "sodium chloride", state.ClassCrystalloid},
		{snomed, "346447007", "plasma", state.ClassBlood},
		{atc, "C01CA03", "norepinephrine", state.ClassVasopressor},
		{"http://fhir.de/CodeSystem/bfarm/atc", "C01CA03", "norepinephrine", state.ClassVasopressor},
		{atc, "C01CA", "adrenergic agent unspecified", state.ClassVasopressor},
		{atc, "C01CA07", "dobutamine", state.ClassInotrope},
		{atc, "H01BA04", "terlipressin", state.ClassVasopressor},
		{atc, "J01DH02", "meropenem", state.ClassAntimicrobial},
		{atc, "J01DH", "antibacterial unspecified", state.ClassAntimicrobial},
		{atc, "J01XB02", "antibacterial unspecified", state.ClassAntimicrobial},
		{atc, "J02AA01", "antimycotic unspecified", state.ClassAntimicrobial},
		{atc, "J05AR10", "", ""}, // against HIV: chronic
		{atc, "J04AC01", "", ""}, // isoniazid
		{atc, "A07AA09", "", ""}, // vancomycin that stays in the gut
		{atc, "H01BA02", "", ""}, // desmopressin is no pressor
	}
	for _, tt := range tests {
		t.Run(tt.code, func(t *testing.T) {
			concept := fmt.Sprintf(`"medicationCodeableConcept":{"coding":[{"system":%q,"code":%q,"display":"-"}]}`, tt.system, tt.code)
			c := chartOf(t, m, mar("a", "completed", commas(concept, spanning(120, 60), `"dosage":{"dose":{"value":100,"unit":"mL"}}`)))
			switch {
			case tt.drug == "" && len(c.Administrations) != 0:
				t.Errorf("read as %+v", c.Administrations[0])
			case tt.drug != "" && (len(c.Administrations) != 1 || c.Administrations[0].Drug != tt.drug || c.Administrations[0].Class != tt.class || c.Administrations[0].ByText):
				t.Errorf("read as %+v, %v", c.Administrations, c.Tally.Reasons)
			}
		})
	}
}

func TestFluidsByTheNamesOfEuropeanCharts(t *testing.T) {
	m := testMapper(t)
	for text, drug := range map[string]state.Drug{
		"NaCl 0,9 % 500 ml":                "sodium chloride 0.9%",
		"Isotone Kochsalzlösung 500":       "sodium chloride 0.9%",
		"Chlorure de sodium 0,9 % 1000 mL": "sodium chloride 0.9%",
		"Ringer-Laktat B.Braun":            "lactated ringer",
		"Ringer-Acetat 1000 ml":            "balanced crystalloid",
		"Sterofundin ISO":                  "balanced crystalloid",
		"Humanalbumin 20 % 100 ml":         "albumin 25%",
		"Gelafundin 4 %":                   "gelatin",
		"Voluven 6 %":                      "hetastarch",
		"Erythrozytenkonzentrat 1 E":       "packed red cells",
		"Glukose 5 % 250 ml":               "dextrose 5%",
	} {
		t.Run(text, func(t *testing.T) {
			c := chartOf(t, m, mar("a", "completed", commas(`"medicationCodeableConcept":{"text":"`+text+`"}`, spanning(120, 60), `"dosage":{"dose":{"value":100,"unit":"mL"}}`)))
			if len(c.Administrations) != 1 || c.Administrations[0].Drug != drug || !c.Administrations[0].ByText {
				t.Errorf("read as %+v, %v, want %s by its name", c.Administrations, c.Tally.Reasons, drug)
			}
		})
	}
}

func TestRatesInTheUnitsOfEuropeanCharts(t *testing.T) {
	m := testMapper(t)
	for _, tt := range []struct {
		drug, dosage string
		want         float64
		unit         string
	}{
		{"Argipressin", `"rateQuantity":{"value":1.2,"unit":"IE/h"}`, 0.02, state.UnitUMin},
		{"Argipressin", `"rateQuantity":{"value":1.2,"unit":"I.E./Std."}`, 0.02, state.UnitUMin},
		{"Vasopressina", `"rateQuantity":{"value":0.03,"unit":"UI/min"}`, 0.03, state.UnitUMin},
		{"Noradrenalin", `"rateQuantity":{"value":0.6,"unit":"mg/Std"}`, 10, state.UnitUgMin},
		{"Noradrenalin", `"rateRatio":{"numerator":{"value":600,"unit":"µg"},"denominator":{"value":1,"unit":"Std."}}`, 10, state.UnitUgMin},
	} {
		t.Run(tt.drug+" "+tt.dosage, func(t *testing.T) {
			c := chartOf(t, m, mar("a", "in-progress", commas(`"medicationCodeableConcept":{"text":"`+tt.drug+`"}`, spanning(60, -1), `"dosage":{`+tt.dosage+`}`)))
			if len(c.Administrations) != 1 || !c.Administrations[0].RateKnown || c.Administrations[0].RateUnit != tt.unit || math.Abs(c.Administrations[0].Rate-tt.want) > 1e-9 {
				t.Errorf("read as %+v, want %g %s", c.Administrations, tt.want, tt.unit)
			}
		})
	}
}

// TestABagIsNotItsSolvent: hospitals that code their drugs by themselves often
// code the solvent by a terminology. The rate of such a pump must not be read as
// that of a fluid, which would leave no vasopressor running.
func TestABagIsNotItsSolvent(t *testing.T) {
	m := testMapper(t)
	d5w, saline := rx("309778"), `{"coding":[{"system":"http://www.whocc.no/atc","code":"B05BB01"}]`
	own := `{"coding":[{"system":"urn:klinikum","code":"NORAD"}]}`
	bag := func(text string, ingredients ...string) string {
		var list []string
		for _, in := range ingredients {
			list = append(list, `{"itemCodeableConcept":`+in+`}`)
		}
		return `"contained":[{"resourceType":"Medication","id":"m","code":{` + text + `},"ingredient":[` + strings.Join(list, ",") + `]}],"medicationReference":{"reference":"#m"}`
	}
	rate := `"dosage":{"rateQuantity":{"value":8,"unit":"mL/h"}}`
	tests := []struct {
		name, drug, dosage string
		want               state.Drug
		class              state.Class
	}{
		{"its text names the drug", bag(`"text":"Noradrenalin Perfusor"`, own, d5w), rate, "norepinephrine", state.ClassVasopressor},
		{"its text names the drug, its code the salt", `"medicationCodeableConcept":` + saline + `,"text":"Noradrenalin 10 mg in NaCl 0,9 %"}`, rate, "norepinephrine", state.ClassVasopressor},
		{"the display of its own code names the drug", `"medicationCodeableConcept":{"coding":[{"system":"urn:klinikum","code":"P7","display":"Vasopressin 40 IE/40 ml"},{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"309778"}]}`, rate, "vasopressin", state.ClassVasopressor},
		{"an ingredient that nobody can name", bag("", own, d5w), rate, unidentifiedDrug, state.ClassUnidentified},
		{"a volume, with an ingredient that nobody can name", bag("", own, d5w), `"dosage":{"dose":{"value":500,"unit":"mL"}}`, "dextrose 5%", state.ClassFreeWater},
		{"an ingredient of another name", bag("", `{"text":"Kaliumchlorid"}`, d5w), rate, "dextrose 5%", state.ClassFreeWater},
		{"nothing but the solvent", bag("", d5w), rate, "dextrose 5%", state.ClassFreeWater},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := chartOf(t, m, mar("a", "in-progress", commas(tt.drug, spanning(120, -1), tt.dosage)))
			if len(c.Administrations) != 1 {
				t.Fatalf("read as %+v, %v", c.Administrations, c.Tally.Reasons)
			}
			a := &c.Administrations[0]
			if a.Drug != tt.want || a.Class != tt.class || a.RateKnown && a.Class != state.ClassFreeWater {
				t.Errorf("read as %s, %s, rate known %v, want %s, %s", a.Drug, a.Class, a.RateKnown, tt.want, tt.class)
			}
		})
	}
}

func TestADrugMapThatWouldLetARatePassIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"a vasoactive without a highest rate":    "drugs:\n  - {drug: pressor x, class: vasopressor, dose: mass, names: [pressor x]}\n",
		"units without a highest rate":           "drugs:\n  - {drug: pressor x, class: vasopressor, dose: units}\n",
		"a dose in drops":                        "drugs:\n  - {drug: pressor x, class: vasopressor, dose: drops}\n",
		"a product in units of another kind":     "systems: {ours: [\"urn:ours\"]}\ndrugs:\n  - {drug: norepinephrine, products: [{codes: {ours: [N1]}, strength: 4, unit: \"[iU]/mL\"}]}\n",
		"a product without a strength":           "systems: {ours: [\"urn:ours\"]}\ndrugs:\n  - {drug: norepinephrine, products: [{codes: {ours: [N1]}, unit: mg/mL}]}\n",
		"a product listed twice":                 "systems: {ours: [\"urn:ours\"]}\ndrugs:\n  - {drug: norepinephrine, products: [{codes: {ours: [N1]}, strength: 1, unit: mg/mL}, {codes: {ours: [N1]}, strength: 2, unit: mg/mL}]}\n",
		"a single dose that acts for two days":   "drugs:\n  - {drug: pressor x, class: vasopressor, dose: mass, maxUgKgMin: 1, maxUgMin: 80, actsHours: 48}\n",
		"a code that means another drug already": "drugs:\n  - {drug: epinephrine, codes: {rxnorm: [\"7512\"]}}\n",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "site.yaml")
			writeFile(t, path, []byte("version: 1\nname: site\n"+text))
			if _, err := LoadCodeMaps(embedded(), path); err == nil || !strings.Contains(err.Error(), "site") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestASiteGivesTheStrengthOfItsOwnBags(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site.yaml")
	writeFile(t, path, []byte("version: 1\nname: site\nsystems: {ours: [\"urn:ours\"]}\ndrugs:\n  - {drug: norepinephrine, products: [{codes: {ours: [NOR-8-50]}, strength: 160, unit: ug/mL}]}\n"))
	maps, err := LoadCodeMaps(os.DirFS("../configs"), path)
	if err != nil {
		t.Fatal(err)
	}
	// 3 mL/h x 160 ug/mL = 480 ug/h = 8 ug/min.
	c := chartOf(t, NewMapper(maps), mar("a", "in-progress", commas(`"medicationCodeableConcept":{"coding":[{"system":"urn:ours","code":"NOR-8-50"}]}`, spanning(60, -1), `"dosage":{"rateQuantity":{"value":3,"unit":"mL/h"}}`)))
	if len(c.Administrations) != 1 || c.Administrations[0].Rate != 8 || c.Administrations[0].RateUnit != state.UnitUgMin {
		t.Errorf("%+v", c.Administrations)
	}
}
