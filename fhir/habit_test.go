// SPDX-License-Identifier: Apache-2.0

package fhir

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// This file: the ways in which EHRs chart infusions, from the bytes to what
// runs at the decision: one row per rate, one row per instant, rows that
// overlap, stops and holds, medications by every kind of reference.

// before is a time as minutes before testNow.
func before(minutes int) string {
	return testNow.Add(-time.Duration(minutes) * time.Minute).Format(time.RFC3339)
}

// mar is one MedicationAdministration of p1; rest is more members.
func mar(id, status, rest string) string {
	return fmt.Sprintf(`{"resourceType":"MedicationAdministration","id":%q,"status":%q,"subject":{"reference":"Patient/p1"},%s}`, id, status, rest)
}

func ne() string { return `"medicationCodeableConcept":` + rx("7512") }

// spanning is an effectivePeriod in minutes before testNow; to < 0 is open.
func spanning(from, to int) string {
	if to < 0 {
		return fmt.Sprintf(`"effectivePeriod":{"start":%q}`, before(from))
	}
	return fmt.Sprintf(`"effectivePeriod":{"start":%q,"end":%q}`, before(from), before(to))
}

func instantly(at int) string { return fmt.Sprintf(`"effectiveDateTime":%q`, before(at)) }

func ugKgMin(v string) string {
	return `"dosage":{"rateQuantity":{"value":` + v + `,"unit":"mcg/kg/min","system":"http://unitsofmeasure.org","code":"ug/kg/min"}}`
}

func commas(parts ...string) string { return strings.Join(parts, ",") }

func TestHowEHRsChartInfusions(t *testing.T) {
	const undocumented = "rate not documented recently"
	tests := []struct {
		name  string
		rows  []string
		state string
		ne    float64
		why   string // unknown, because
	}{
		{"one row per rate, each closed by the next", []string{
			mar("a", "completed", commas(ne(), spanning(180, 60), ugKgMin("0.2"))), mar("b", "in-progress", commas(ne(), spanning(60, -1), ugKgMin("0.1")))},
			state.AgentRunning, 0.1, ""},
		{"one row per instant, the newest is the rate", []string{
			mar("a", "completed", commas(ne(), instantly(180), ugKgMin("0.2"))), mar("b", "completed", commas(ne(), instantly(60), ugKgMin("0.1")))},
			state.AgentRunning, 0.1, ""},
		{"one row per instant, ended by a rate of zero", []string{
			mar("a", "completed", commas(ne(), instantly(180), ugKgMin("0.2"))), mar("b", "completed", commas(ne(), instantly(60), ugKgMin("0")))},
			state.AgentStopped, 0, ""},
		{"one row per instant, ended by a stop without a rate", []string{
			mar("a", "completed", commas(ne(), instantly(80), ugKgMin("0.2"))), mar("b", "stopped", commas(ne(), instantly(60)))},
			state.AgentStopped, 0, ""},
		{"a stop with a rate does not say whether before or after", []string{
			mar("a", "stopped", commas(ne(), instantly(30), ugKgMin("0.2")))},
			state.AgentUnknownRate, 0, unknownStopRate},
		{"open for five hours without a word", []string{
			mar("a", "in-progress", commas(ne(), spanning(300, -1), ugKgMin("0.2")))},
			state.AgentUndocumented, 0, undocumented},
		{"open for five hours and charted again at the same rate", []string{
			mar("a", "in-progress", commas(ne(), spanning(300, -1), ugKgMin("0.2"))), mar("b", "in-progress", commas(ne(), spanning(45, -1), ugKgMin("0.2")))},
			state.AgentRunning, 0.2, ""},
		{"the next row begins five minutes before the last one ends", []string{
			mar("a", "completed", commas(ne(), spanning(180, 55), ugKgMin("0.2"))), mar("b", "in-progress", commas(ne(), spanning(60, -1), ugKgMin("0.1")))},
			state.AgentRunning, 0.1, ""},
		{"on hold is not a rate", []string{
			mar("a", "on-hold", commas(ne(), spanning(60, -1), ugKgMin("0.2")))}, state.AgentUnknownRate, 0, unknownHold},
		{"on hold at a rate of zero is off", []string{
			mar("a", "on-hold", commas(ne(), spanning(60, -1), ugKgMin("0")))}, state.AgentStopped, 0, ""},
		{"the status is unknown", []string{
			mar("a", "unknown", commas(ne(), spanning(60, -1), ugKgMin("0.2")))}, state.AgentUnknownRate, 0, unknownStatus},
		{"completed, and nobody charted when", []string{
			mar("a", "completed", commas(ne(), spanning(60, -1), ugKgMin("0.2")))}, state.AgentUnknownRate, 0, unknownNoEnd},
		{"running, and nobody charted how fast", []string{
			mar("a", "in-progress", commas(ne(), spanning(60, -1)))}, state.AgentUnknownRate, 0, unknownNoRate},
		{"running since an instant, and nobody charted how fast", []string{
			mar("a", "in-progress", commas(ne(), instantly(60)))}, state.AgentUnknownRate, 0, unknownNoRate},
		{"an amount over a period is no rate", []string{
			mar("a", "in-progress", commas(ne(), spanning(60, -1), `"dosage":{"dose":{"value":4,"unit":"mg"}}`))}, state.AgentUnknownRate, 0, unknownNoRate},
		{"given, and nobody charted how much", []string{
			mar("a", "completed", commas(ne(), instantly(60)))}, state.AgentUnknownRate, 0, unknownNoRate},
		{"a bag charted as one dose is not a push", []string{
			mar("a", "completed", commas(ne(), instantly(60), `"dosage":{"dose":{"value":4,"unit":"mg"}}`))}, state.AgentUnknownRate, 0, unknownNoRate},
		{"a bag charted by its volume is not a push", []string{
			mar("a", "completed", commas(ne(), instantly(60), `"dosage":{"dose":{"value":250,"unit":"mL"}}`))}, state.AgentUnknownRate, 0, unknownNoRate},
		{"a bag with two vasoactive drugs", []string{
			mar("a", "in-progress", commas(`"contained":[{"resourceType":"Medication","id":"mix","ingredient":[{"itemCodeableConcept":`+rx("7512")+`},{"itemCodeableConcept":`+rx("3992")+`}]}],"medicationReference":{"reference":"#mix"}`, spanning(60, -1), ugKgMin("0.2")))},
			state.AgentUnknownRate, 0, unknownMixture},
		{"a bag of norepinephrine in glucose is norepinephrine", []string{
			mar("a", "in-progress", commas(`"contained":[{"resourceType":"Medication","id":"mix","ingredient":[{"itemCodeableConcept":`+rx("4850")+`},{"itemCodeableConcept":`+rx("7512")+`}]}],"medicationReference":{"reference":"#mix"}`, spanning(60, -1), ugKgMin("0.2")))},
			state.AgentRunning, 0.2, ""},
	}
	m := testMapper(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tl := timelineOf(t, chartOf(t, m, tt.rows...), "")
			p := &tl.Present
			if len(p.Agents) != 1 || p.Agents[0].State != tt.state || math.Abs(p.NEUgKgMin-tt.ne) > 1e-9 || p.VasoKnown != (tt.why == "") {
				t.Fatalf("agents %+v, ne %v, unknown because %q", p.Agents, p.NEUgKgMin, p.VasoWhy)
			}
			if tt.why != "" && p.VasoWhy != "norepinephrine: "+tt.why {
				t.Errorf("unknown because %q, want %q", p.VasoWhy, tt.why)
			}
		})
	}
}

func TestWhatWasNotGivenIsNoTreatment(t *testing.T) {
	m := testMapper(t)
	for _, status := range []string{"not-done", "entered-in-error"} {
		tl := timelineOf(t, chartOf(t, m, mar("a", status, commas(ne(), spanning(60, -1), ugKgMin("0.2")))), "")
		if len(tl.Present.Agents) != 0 || !tl.Present.VasoKnown {
			t.Errorf("%s: %+v", status, tl.Present.Agents)
		}
	}
}

func TestAVasoconstrictorThatStaysWhereItIsPutIsNoVasopressor(t *testing.T) {
	m := testMapper(t)
	for text, local := range map[string]bool{
		"lidocaine 1 % with epinephrine 1:100,000 injection":                    true,
		"bupivacaine-epinephrine PF 0.25 %-1:200,000":                           true,
		"epinephrine 0.01 MG/ML / lidocaine hydrochloride 10 MG/ML Injection":   true,
		"racemic epinephrine 2.25 % inhalation":                                 true,
		"epinephrine 4 mg in sodium chloride 0.9 % 250 mL":                      false,
		"nor-epinephrine 8 mg in dextrose 5 % 250 mL with phenylephrine labels": false,
	} {
		p := timelineOf(t, chartOf(t, m, mar("a", "completed", commas(fmt.Sprintf(`"medicationCodeableConcept":{"text":%q}`, text), instantly(60), `"dosage":{"dose":{"value":10,"unit":"mL"}}`))), "").Present
		if known := len(p.Agents) == 0 && p.VasoKnown; known != local {
			t.Errorf("%s: %+v, known %t", text, p.Agents, p.VasoKnown)
		}
	}
}

func TestASmallSingleDoseIsAPush(t *testing.T) {
	m := testMapper(t)
	for _, dose := range []string{`{"value":10,"unit":"mcg"}`, `{"value":0.02,"unit":"mg"}`} {
		c := chartOf(t, m, mar("a", "completed", commas(ne(), instantly(60), `"dosage":{"dose":`+dose+`}`)))
		if p := timelineOf(t, c, "").Present; len(c.Administrations) != 1 || c.Administrations[0].Form != state.FormPush || len(p.Agents) != 0 || !p.VasoKnown {
			t.Errorf("%s: %+v, known %v", dose, c.Administrations, p.VasoKnown)
		}
	}
}

// aMedication is norepinephrine 4 mg in 250 mL.
const aMedication = `{"resourceType":"Medication","id":"ne","code":{"text":"Norepinephrine 4 mg in 250 mL"},"ingredient":[{"itemCodeableConcept":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"7512"}]},"strength":{"numerator":{"value":4,"unit":"mg"},"denominator":{"value":250,"unit":"mL"}}}]}`

func TestMedicationsByEveryKindOfReference(t *testing.T) {
	m := testMapper(t)
	row := func(reference string) string {
		return mar("a", "in-progress", commas(`"medicationReference":`+reference, spanning(60, -1),
			`"dosage":{"extension":[{"url":"urn:x:dosing-weight","valueQuantity":{"value":80,"unit":"kg"}}],"rateQuantity":{"value":15,"unit":"mL/h"}}`))
	}
	tests := []struct {
		name, reference string
		resolved        bool
		drug            state.Drug
		why             string
	}{
		{"relative", `{"reference":"Medication/ne"}`, true, "norepinephrine", ""},
		{"absolute", `{"reference":"https://ehr.example.org/fhir/Medication/ne"}`, true, "norepinephrine", ""},
		{"versioned", `{"reference":"Medication/ne/_history/3"}`, true, "norepinephrine", ""},
		{"of the resource's own UUID", `{"reference":"urn:uuid:ne"}`, true, "norepinephrine", ""},
		{"of a Bundle's full URL", `{"reference":"urn:uuid:6a1e"}`, true, "norepinephrine", ""},
		{"out of our server", `{"reference":"https://elsewhere.example.org/fhir/Medication/ne"}`, false, "", unknownDrug},
		{"to what was not supplied", `{"reference":"Medication/other"}`, false, "", unknownDrug},
		{"to what was not supplied, with words", `{"reference":"Medication/other","display":"norepinephrine 4 mg/250 mL NS"}`, false, "norepinephrine", unknownConc},
		{"logical, with words", `{"identifier":{"value":"17"},"display":"Levophed drip"}`, false, "norepinephrine", unknownConc},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := NewBag("p1")
			b.Base = "https://ehr.example.org/fhir"
			b.aliases = map[string]string{"urn:uuid:6a1e": "Medication/ne"}
			for _, r := range []string{testPatient, testEncounter, row(tt.reference), aMedication} {
				if err := m.Add(b, []byte(r), state.Origin{}); err != nil {
					t.Fatal(err)
				}
			}
			c, err := m.Chart(b, "", testNow)
			if err != nil || len(c.Administrations) != 1 {
				t.Fatalf("%v, %v", err, c.Rejects)
			}
			a, p := c.Administrations[0], timelineOf(t, c, "").Present
			if tt.drug == "" && strings.HasPrefix(string(a.Drug), unidentifiedDrug) {
				tt.drug = a.Drug
			}
			if a.Drug != tt.drug || a.Unknown != tt.why || p.VasoKnown != (tt.why == "") {
				t.Fatalf("got %+v, known %v: %s", a, p.VasoKnown, p.VasoWhy)
			}
			// 15 mL/h x 16 ug/mL = 4 ug/min; / 80 kg.
			if tt.why == "" && (math.Abs(p.NEUgKgMin-0.05) > 1e-9 || a.ByText) {
				t.Errorf("ne %v, by text %v", p.NEUgKgMin, a.ByText)
			}
			if tt.drug == "norepinephrine" && tt.why != "" && !a.ByText {
				t.Error("known by words alone, and not flagged")
			}
		})
	}
}

func TestAnInfusionNobodyCanNameIsUnknownAndNotAbsent(t *testing.T) {
	m := testMapper(t)
	local := `"medicationCodeableConcept":{"coding":[{"system":"urn:our-pharmacy","code":"4711"}]}`
	dosage := func(rate string) string { return `"dosage":{"rateQuantity":` + rate + `}` }
	tests := []struct {
		name, row     string
		vaso, fluid   bool // known
		agents        int
		fluidMl       float64
		rejected, why string
	}{
		{"by volume", mar("a", "in-progress", commas(local, spanning(60, -1), dosage(`{"value":100,"unit":"mL/h"}`))), false, false, 1, 100, "", ""},
		{"by mass, so it is no fluid", mar("a", "in-progress", commas(local, spanning(60, -1), dosage(`{"value":5,"unit":"mcg/min"}`))), false, true, 1, 0, "", ""},
		{"without a unit", mar("a", "in-progress", commas(local, spanning(60, -1), dosage(`{"value":5}`))), false, false, 1, 0, "", ""},
		{"at a rate of zero", mar("a", "in-progress", commas(local, spanning(60, -1), dosage(`{"value":0,"unit":"mL/h"}`))), true, true, 1, 0, "", ""},
		{"over before the step began", mar("a", "completed", commas(local, spanning(700, 500), dosage(`{"value":6,"unit":"mL/h"}`))), true, false, 1, 20, "", ""},
		{"a tablet", mar("a", "completed", commas(local, instantly(60), `"dosage":{"dose":{"value":1,"unit":"tablet"}}`)), true, true, 0, 0, reasonNameless, ""},
		{"by mouth", mar("a", "completed", commas(local, instantly(60), `"dosage":{"route":{"text":"PO"},"rateQuantity":{"value":5,"unit":"mL/h"}}`)), true, true, 0, 0, "", reasonLocal},
		{"with a text that is no drug of ours", strings.Replace(mar("a", "in-progress", commas(local, spanning(60, -1), dosage(`{"value":5,"unit":"mL/h"}`))), `4711"}]`, `4711"}],"text":"Propofol"`, 1), true, true, 0, 0, "", reasonDrugNotCoded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := chartOf(t, m, tt.row)
			tl := timelineOf(t, c, "")
			p := &tl.Present
			if p.VasoKnown != tt.vaso || len(p.Agents) != tt.agents || p.Fluids.Known != tt.fluid || math.Abs(p.Fluids.In24hMl-tt.fluidMl) > 1e-6 {
				t.Fatalf("vasopressors known %v (%s), agents %+v, fluids %+v", p.VasoKnown, p.VasoWhy, p.Agents, p.Fluids)
			}
			if !tt.vaso && (tl.Last().Given.VasoKnown || tl.Check(state.CheckVasoactive).Result != state.CheckPresent) {
				t.Errorf("step %+v, check %+v", tl.Last().Given, tl.Check(state.CheckVasoactive))
			}
			if tt.rejected != "" && (len(c.Rejects) != 1 || c.Rejects[0].Reason != tt.rejected) || tt.why != "" && c.Tally.Reasons[tt.why] != 1 {
				t.Errorf("rejects %+v, reasons %v", c.Rejects, c.Tally.Reasons)
			}
		})
	}
}

func TestOneUnnamedDrugDoesNotStopAnother(t *testing.T) {
	m := testMapper(t)
	unnamed := func(id, reference string, at int, rate string) string {
		return mar(id, "in-progress", commas(fmt.Sprintf(`"medicationReference":{"reference":%q}`, reference), instantly(at), `"dosage":{"rateQuantity":{"value":`+rate+`,"unit":"mL/h"}}`))
	}
	runs := unnamed("a", "Medication/1", 90, "8")
	if p := timelineOf(t, chartOf(t, m, runs, unnamed("b", "Medication/2", 30, "0")), "").Present; p.VasoKnown {
		t.Errorf("a stop of another drug ended it: %+v", p.Agents)
	}
	if p := timelineOf(t, chartOf(t, m, runs, unnamed("b", "Medication/1", 30, "0")), "").Present; !p.VasoKnown {
		t.Errorf("its own stop did not end it: %+v", p.Agents)
	}
}

func TestTerlipressinActsLongAfterItsDose(t *testing.T) {
	m := testMapper(t)
	for minutes, known := range map[int]bool{30: false, 300: false, 420: true} {
		tl := timelineOf(t, chartOf(t, m, mar("a", "completed", commas(`"medicationCodeableConcept":{"text":"Terlipressin 1 mg"}`, instantly(minutes), `"dosage":{"dose":{"value":1,"unit":"mg"}}`))), "")
		if tl.Present.VasoKnown != known {
			t.Errorf("%d min after the dose: known %v, agents %+v", minutes, tl.Present.VasoKnown, tl.Present.Agents)
		}
	}
}

func TestPumpAndAdmissionWeightStayApart(t *testing.T) {
	m := testMapper(t)
	weight := func(kg string) string {
		return fmt.Sprintf(`{"resourceType":"Observation","id":"w1","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"29463-7"}]},"subject":{"reference":"Patient/p1"},"effectiveDateTime":%q,"valueQuantity":{"value":%s,"unit":"kg"}}`, before(600), kg)
	}
	row := func(pump string) string {
		return mar("a", "in-progress", commas(ne(), spanning(60, -1), `"dosage":{"extension":[{"url":"urn:x:dosing-weight","valueQuantity":`+pump+`}],"rateQuantity":{"value":8,"unit":"mcg/min"}}`))
	}
	tests := []struct {
		name, kg, pump string
		ne, used       float64
		source         string
		conflict       bool
	}{
		{"the pump's weight converts its own rate", "84", `{"value":80,"unit":"kg"}`, 0.1, 80, state.WeightFromPump, false},
		{"weights 20 % apart are in conflict, and the pump's still converts its rate", "96", `{"value":80,"unit":"kg"}`, 0.1, 80, state.WeightFromPump, true},
		{"a pump in pounds is converted", "80", `{"value":176.36981,"unit":"lb"}`, 0.1, 80, state.WeightFromPump, false},
		{"pounds charted as kilograms show as a conflict", "80", `{"value":176.4,"unit":"kg"}`, 8 / 176.4, 176.4, state.WeightFromPump, true},
		{"a pump left at 1 kg is no weight", "80", `{"value":1,"unit":"kg"}`, 0.1, 80, state.WeightMeasured, false},
		{"a weight without a unit is no weight", "80", `{"value":75}`, 0.1, 80, state.WeightMeasured, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := timelineOf(t, chartOf(t, m, weight(tt.kg), row(tt.pump)), "").Present
			w := p.Weight
			if math.Abs(p.NEUgKgMin-tt.ne) > 1e-6 || math.Abs(w.Kg-tt.used) > 1e-4 || w.Source != tt.source || (w.Conflict != "") != tt.conflict {
				t.Errorf("ne %v, weight %+v", p.NEUgKgMin, w)
			}
		})
	}
}

// TestAHospitalThatChartsNoInfusions: nothing was asked for, so nothing is
// known, in the present and in every step.
func TestWhereNoAdministrationsAreChartedExposureIsUnknown(t *testing.T) {
	c := chartOf(t, testMapper(t))
	tl := timelineOf(t, c, "")
	if tl.Present.VasoKnown || tl.Present.VasoWhy != "no MedicationAdministration was supplied" || tl.Present.Fluids.Known {
		t.Fatalf("%+v", tl.Present)
	}
	for _, s := range tl.Steps {
		if s.Given.VasoKnown || s.Given.FluidKnown {
			t.Fatalf("step %s: %+v", s.End, s.Given)
		}
	}
	var gaps []string
	for _, g := range tl.Gaps {
		gaps = append(gaps, g.What)
	}
	if b, _ := json.Marshal(gaps); !strings.Contains(string(b), `"vasopressor"`) || !strings.Contains(string(b), `"fluid"`) {
		t.Errorf("gaps %s", b)
	}
}

func TestFluidsByTheNamesThatRxNormGivesThem(t *testing.T) {
	m := testMapper(t)
	for text, want := range map[string]struct {
		drug     state.Drug
		tonicity float64
	}{
		"1000 ML Sodium Chloride 9 MG/ML Injection":                     {"sodium chloride 0.9%", 1},
		"1000 ML sodium chloride 4.5 MG/ML Injection":                   {"sodium chloride 0.45%", 0.5},
		"500 ML sodium chloride 30 MG/ML Injection":                     {"sodium chloride 3%", 3},
		"250 ML glucose 50 MG/ML Injection":                             {"dextrose 5%", 0},
		"500 ML glucose 50 MG/ML / sodium chloride 4.5 MG/ML Injection": {"sodium chloride 0.45%", 0.5},
		"1000 ML glucose 50 MG/ML / sodium chloride 9 MG/ML Injection":  {"sodium chloride 0.9%", 1},
		"250 ML albumin human, USP 50 MG/ML Injection":                  {"albumin 5%", 1},
		"100 ML albumin human, USP 250 MG/ML Injection":                 {"albumin 25%", 5},
		"Plasma-Lyte 148 1000 mL":                                       {"balanced crystalloid", 1},
		"Hartmann's solution":                                           {"lactated ringer", 1},
		"NaCl 0,9 % 500 ml Infusionslösung":                             {"sodium chloride 0.9%", 1},
		"sodium chloride 0.45 % infusion 1,000 mL":                      {"sodium chloride 0.45%", 0.5},
		"dextrose 5 % and sodium chloride 0.45 % with KCl 20 mEq/L":     {"sodium chloride 0.45%", 0.5},
		"sodium chloride 3 % hypertonic":                                {"sodium chloride 3%", 3},
		"albumin, human 25 % 50 mL":                                     {"albumin 25%", 5},
		"Humanalbumin, albumin human 20 %":                              {"albumin 25%", 5},
		"calcium chloride 0.0014 MEQ/ML / potassium chloride 0.004 MEQ/ML / sodium chloride 0.103 MEQ/ML / sodium lactate 0.028 MEQ/ML Injectable Solution":             {"lactated ringer", 1},
		"magnesium chloride 0.3 MG/ML / potassium chloride 0.37 MG/ML / sodium acetate 3.68 MG/ML / sodium chloride 5.26 MG/ML / sodium gluconate 5.02 MG/ML Injection": {"balanced crystalloid", 1},
	} {
		c := chartOf(t, m, mar("a", "completed", commas(fmt.Sprintf(`"medicationCodeableConcept":{"text":%q}`, text), spanning(180, 60), `"dosage":{"dose":{"value":500,"unit":"mL"}}`)))
		if len(c.Administrations) != 1 || c.Administrations[0].Drug != want.drug || c.Administrations[0].Tonicity != want.tonicity || !c.Administrations[0].ByText {
			t.Errorf("%s: %+v, %v", text, c.Administrations, c.Tally.Reasons)
		}
	}
}

// TestLedgersAreKeptApart: what a patient got, in real mL by ledger, beside the
// saline equivalents that the model reads.
func TestLedgersAreKeptApart(t *testing.T) {
	m := testMapper(t)
	fluid := func(id, text string, from, to int, ml string) string {
		return mar(id, "completed", commas(fmt.Sprintf(`"medicationCodeableConcept":{"text":%q}`, text), spanning(from, to), `"dosage":{"dose":{"value":`+ml+`,"unit":"mL"}}`))
	}
	tl := timelineOf(t, chartOf(t, m,
		fluid("bolus", "Lactated Ringer's", 180, 150, "500"),
		fluid("slow", "Sodium chloride 0.45%", 180, 60, "200"),
		fluid("water", "Dextrose 5%", 180, 60, "100"),
		fluid("cells", "Packed red blood cells", 120, 60, "300"),
		fluid("strong", "Albumin 25%", 120, 90, "50"),
		fluid("bag", "Piperacillin/tazobactam", 120, 90, "100"),
		mar("ne", "in-progress", commas(ne(), spanning(120, -1), strings.TrimSuffix(ugKgMin("0.1"), "}")+`,"extension":[{"url":"urn:x:pump-rate","valueQuantity":{"value":15,"unit":"mL/h"}}]}`)),
	), "")
	g := tl.Last().Given
	want := state.Exposure{
		BolusMl:       500,
		MaintenanceMl: 200 + 100 + 50,
		BloodMl:       300,
		CarrierMl:     100 + 2*15,
		// 500 x 1 + 200 x 0.5 + 100 x 0 + 300 x 1 + 50 x 5 + 130 x 1
		FluidModelMl: 500 + 100 + 0 + 300 + 250 + 130,
	}
	if !g.FluidKnown || g.BolusMl != want.BolusMl || g.MaintenanceMl != want.MaintenanceMl || g.BloodMl != want.BloodMl || math.Abs(g.CarrierMl-want.CarrierMl) > 1e-6 || math.Abs(g.FluidModelMl-want.FluidModelMl) > 1e-6 {
		t.Errorf("got %+v, want %+v", g, want)
	}
	if total := tl.Present.Fluids.In24hMl; math.Abs(total-1280) > 1e-6 {
		t.Errorf("%v mL in 24 h, want 1280", total)
	}
}
