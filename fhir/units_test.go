// SPDX-License-Identifier: Apache-2.0

package fhir

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir/ucum"
)

// inUnit is a value as sent, and the same by hand in the canonical unit.
type inUnit struct {
	unit       string
	sent, want float64
}

// Constants of the hand computation: 1 mmHg = 0.133322 kPa (as UCUM has it), 1
// cmH2O = 0.0980665 kPa, 1 lb = 0.45359237 kg, 1 in = 2.54 cm; molar masses as in
// reference 5.7 (creatinine 88.42 umol/L, bilirubin 17.104 umol/L, glucose
// 18.016 mg/dL, urea nitrogen 2.801 mg/dL, lactate 9.008 mg/dL, calcium 4.008
// mg/dL, magnesium 2.431 mg/dL, haemoglobin 1.611 g/dL, each per the other
// unit's one), two equivalents per mole of calcium and magnesium.
var (
	perMinute = []inUnit{{"/min", 80, 80}}
	pressure  = []inUnit{{"mm[Hg]", 36, 36}, {"kPa", 4.8, 36.00306}, {"cm[H2O]", 48, 35.306941}}
	percent   = []inUnit{{"%", 40, 40}, {"%", 0.4, 40}, {"1", 0.4, 40}}
	saturated = []inUnit{{"%", 97, 97}, {"1", 0.97, 97}}
	score     = []inUnit{{"1", 3, 3}}
	protein   = []inUnit{{"g/dL", 4, 4}, {"g/L", 40, 4}, {"mg/dL", 4000, 4}, {"mg/L", 40000, 4}}
	enzyme    = []inUnit{{"U/L", 60, 60}, {"ukat/L", 1, 60}}
	ion       = []inUnit{{"mmol/L", 24, 24}, {"meq/L", 24, 24}, {"umol/L", 24000, 24}}
	cells     = []inUnit{{"10*3/uL", 150, 150}, {"10*9/L", 150, 150}, {"10*6/L", 150000, 150}, {"/mm3", 150000, 150}, {"g/L", 150, 150}} // G/L without case: giga
	seconds   = []inUnit{{"s", 12, 12}, {"min", 0.2, 12}}
	volume    = []inUnit{{"mL", 250, 250}, {"L", 0.25, 250}}
)

func mass(mgDl float64, more ...inUnit) []inUnit {
	return append([]inUnit{{"mg/dL", mgDl, mgDl}, {"mg/L", mgDl * 10, mgDl}, {"g/L", mgDl / 100, mgDl}, {"g/dL", mgDl / 1000, mgDl}}, more...)
}

// byHand lists, for every concept, every unit it accepts.
var byHand = map[state.Concept][]inUnit{
	"heart_rate": perMinute, "resp_rate": perMinute,
	"sysbp": pressure, "diabp": pressure, "meanbp": pressure, state.ConceptCVP: pressure, state.ConceptMAPGoal: pressure, "paco2": pressure, "pao2": pressure,
	state.ConceptPEEP:  {{"cm[H2O]", 8, 8}, {"mm[Hg]", 6, 8.157036}, {"kPa", 0.8, 8.157730}},
	state.ConceptScvO2: saturated, state.ConceptSVV: {{"%", 12, 12}, {"1", 0.12, 12}}, state.ConceptCardiacIndex: {{"L/min/m2", 2.4, 2.4}},
	"spo2": saturated, "fio2": percent, "hematocrit": {{"%", 31, 31}, {"1", 0.31, 31}},
	"temp_c":  {{"Cel", 37, 37}, {"[degF]", 98.6, 37}, {"K", 310.15, 37}},
	"gcs_eye": score, "gcs_verbal": score, "gcs_motor": score, state.ConceptGCSTotal: score, state.ConceptRASS: score, "inr": score,
	"ph":      {{"[pH]", 7.21, 7.21}, {"1", 7.21, 7.21}},
	"albumin": protein, "hemoglobin": append([]inUnit{{"mmol/L", 6, 9.666}, {"umol/L", 6000, 9.666}}, protein...),
	"alt": enzyme, "ast": enzyme,
	"base_excess": {{"mmol/L", -8.5, -8.5}, {"meq/L", -8.5, -8.5}, {"umol/L", -8500, -8.5}},
	"bicarbonate": ion, "total_co2": ion, "chloride": {{"mmol/L", 104, 104}, {"meq/L", 104, 104}, {"umol/L", 104000, 104}},
	"sodium":          {{"mmol/L", 138, 138}, {"meq/L", 138, 138}, {"umol/L", 138000, 138}},
	"potassium":       {{"mmol/L", 4.1, 4.1}, {"meq/L", 4.1, 4.1}, {"umol/L", 4100, 4.1}},
	"bilirubin_total": mass(2, inUnit{"umol/L", 34.208, 2}, inUnit{"mmol/L", 0.034208, 2}),
	"bun":             mass(28, inUnit{"mmol/L", 10, 28.01}, inUnit{"umol/L", 10000, 28.01}),
	"calcium_free": {{"mmol/L", 1.1, 1.1}, {"umol/L", 1100, 1.1}, {"meq/L", 2.2, 1.1}, {"mg/dL", 4.4088, 1.1}, {"mg/L", 44.088, 1.1}, {"g/L", 0.044088, 1.1},
		{"g/dL", 0.0044088, 1.1}},
	"calcium_total": mass(8, inUnit{"mmol/L", 2, 8.016}, inUnit{"umol/L", 2000, 8.016}, inUnit{"meq/L", 4, 8.016}),
	"creatinine":    mass(1.5, inUnit{"umol/L", 132.63, 1.5}, inUnit{"mmol/L", 0.13263, 1.5}),
	"glucose":       mass(180, inUnit{"mmol/L", 10, 180.16}, inUnit{"umol/L", 10000, 180.16}),
	"lactate": {{"mmol/L", 2, 2}, {"umol/L", 2000, 2}, {"meq/L", 2, 2}, {"mg/dL", 18.016, 2}, {"mg/L", 180.16, 2}, {"g/L", 0.18016, 2},
		{"g/dL", 0.018016, 2}},
	"magnesium": mass(2, inUnit{"mmol/L", 1, 2.431}, inUnit{"umol/L", 1000, 2.431}, inUnit{"meq/L", 2, 2.43}),
	"platelet":  cells, "wbc": cells, "pt": seconds, "ptt": seconds, state.ConceptCRT: seconds,
	"output_4hourly": volume, state.ConceptUrineIrrig: volume, state.ConceptOtherOutput: volume,
	state.ConceptWeight: {{"kg", 80, 80}, {"[lb_av]", 176, 79.83226}, {"[oz_av]", 2816, 79.83226}, {"g", 80000, 80}},
	state.ConceptHeight: {{"cm", 170, 170}, {"[in_i]", 70, 177.8}, {"m", 1.7, 170}, {"mm", 1700, 170}},
	state.ConceptO2Flow: {{"L/min", 6, 6}, {"mL/min", 6000, 6}},
}

// byHandCode is for codes that measure another substance: urea, which weighs
// 60.056 for 28.014 of nitrogen.
var byHandCode = map[string][]inUnit{
	"3091-6": {{"mg/dL", 60, 27.98768}, {"mg/L", 600, 27.98768}, {"g/L", 0.6, 27.98768}, {"g/dL", 0.06, 27.98768}, {"mmol/L", 10, 28.01}, {"umol/L", 10000, 28.01}},
}

// unitsOfTheConfigs are all UCUM codes that the code maps name, and some more.
func unitsOfTheConfigs(t *testing.T, x *index) []string {
	t.Helper()
	all := map[string]bool{"K": true, "ukat/L": true, "g": true, "mm": true, "m": true, "min": true, "10*6/L": true, "/mm3": true, "mL/min": true, "Pa/s": true, "mol/kg": true}
	for _, c := range x.concepts {
		all[c.unitCode] = true
		for _, conv := range c.Convert {
			all[conv.From] = true
		}
	}
	for _, code := range x.unitsAny {
		all[code] = true
	}
	list := slices.Sorted(maps.Keys(all))
	// {score}, {INR} and 1 are one unit: "1" stands for all.
	one, _ := ucum.Parse("1")
	return slices.DeleteFunc(list, func(code string) bool {
		u, err := ucum.Parse(code)
		if err != nil {
			t.Errorf("unit %q of the code maps: %v", code, err)
		}
		return u == one && code != "1"
	})
}

// sentAs builds an Observation of p1 with a quantity.
func sentAs(system, code string, value float64, unit, ucumCode string) string {
	quantity := map[string]any{"value": value}
	if unit != "" {
		quantity["unit"] = unit
	}
	if ucumCode != "" {
		quantity["system"], quantity["code"] = "http://unitsofmeasure.org", ucumCode
	}
	b, _ := json.Marshal(map[string]any{"resourceType": "Observation", "id": "o1", "status": "final",
		"code":    map[string]any{"coding": []any{map[string]any{"system": system, "code": code}}},
		"subject": map[string]any{"reference": "Patient/p1"}, "effectiveDateTime": "2026-03-01T10:00:00Z", "valueQuantity": quantity})
	return string(b)
}

func near(got, want float64) bool { return math.Abs(got-want) <= 1e-6*math.Max(1, math.Abs(want)) }

func TestEveryCodeReadsEveryUnitThatFitsAndRefusesEveryOther(t *testing.T) {
	m := testMapper(t)
	units := unitsOfTheConfigs(t, m.x)
	unitReasons := []string{reasonUnitOther, reasonUnitUnknown}
	codes := 0
	for _, spec := range m.x.order {
		hand, ok := byHand[spec.Concept]
		if !ok {
			t.Errorf("%s has no values computed by hand", spec.Concept)
			continue
		}
		for alias, list := range spec.Codes {
			for _, code := range list {
				codes++
				if o := spec.OtherAnswers; o != nil {
					c := chartOf(t, m, sentAs(m.x.systems[alias][0], code, hand[0].sent, "", hand[0].unit))
					if len(c.Measurements) != 1 || c.Measurements[0].Concept != o.Concept {
						t.Errorf("%s %s reads a number: %+v, want %q", spec.Concept, code, c.Measurements, o.Concept)
					}
					continue
				}
				known := hand
				if own, ok := byHandCode[code]; ok {
					known = own
				}
				for _, unit := range units {
					seen := false
					for _, h := range known {
						if h.unit != unit {
							continue
						}
						seen = true
						c := chartOf(t, m, sentAs(m.x.systems[alias][0], code, h.sent, "", unit))
						if len(c.Measurements) != 1 || c.Measurements[0].Concept != spec.Concept || !near(c.Measurements[0].Value, h.want) {
							t.Errorf("%s %s: %g %s is %+v (%v), want %g", spec.Concept, code, h.sent, unit, c.Measurements, c.Rejects, h.want)
						}
					}
					if seen {
						continue
					}
					c := chartOf(t, m, sentAs(m.x.systems[alias][0], code, known[0].sent, "", unit))
					if len(c.Measurements) != 0 || len(c.Rejects) != 1 || !slices.Contains(unitReasons, c.Rejects[0].Reason) {
						t.Errorf("%s %s in %s: got %+v, rejects %v, want a reject for the unit", spec.Concept, code, unit, c.Measurements, c.Rejects)
					}
				}
			}
		}
	}
	for concept := range byHand {
		if m.x.concepts[concept] == nil {
			t.Errorf("%s is computed by hand and is no concept of the code maps", concept)
		}
	}
	t.Logf("%d codes in %d units", codes, len(units))
}

func TestEverySpellingReadsAsItsUnit(t *testing.T) {
	m := testMapper(t)
	code := map[state.Concept]string{}
	for _, spec := range m.x.order {
		if list := spec.Codes["loinc"]; len(list) > 0 && code[spec.Concept] == "" {
			code[spec.Concept] = list[0]
		}
	}
	used := map[string]bool{}
	for concept, hand := range byHand {
		if code[concept] == "" {
			continue
		}
		for _, h := range hand {
			want, _ := ucum.Parse(h.unit)
			for spelling, to := range m.x.unitsAny {
				if u, _ := ucum.Parse(to); u != want || m.x.concepts[concept].spelled[spelling] != "" {
					continue
				}
				used[spelling] = true
				for _, text := range []string{spelling, strings.ToUpper(spelling), " " + spelling} {
					c := chartOf(t, m, sentAs(systemLOINC, code[concept], h.sent, text, ""))
					if len(c.Measurements) != 1 || !near(c.Measurements[0].Value, h.want) {
						t.Errorf("%s: %g %q is %+v (%v), want %g", concept, h.sent, text, c.Measurements, c.Rejects, h.want)
					}
				}
			}
		}
	}
	for spelling := range m.x.unitsAny {
		if !used[spelling] {
			t.Errorf("no concept reads the spelling %q", spelling)
		}
	}
}

func TestUnitsThatAreNotUCUM(t *testing.T) {
	m := testMapper(t)
	quantity := func(q string) string { return `"valueQuantity":{` + q + `}` }
	tests := []struct {
		name, code, value string
		want              float64
		reason            string
	}{
		{"a unit in text only", "2160-0", quantity(`"value":1.2,"unit":"mg/dL"`), 1.2, ""},
		{"a SNOMED CT unit code is no number, and the text is read", "2160-0", quantity(`"value":1.2,"unit":"mg/dL","system":"http://snomed.info/sct","code":"258797006"`), 1.2, ""},
		{"a SNOMED CT unit code alone is unknown", "59408-5", quantity(`"value":97,"system":"http://snomed.info/sct","code":"118582008"`), 0, reasonUnitUnknown},
		{"the system is missing", "2160-0", quantity(`"value":1.2,"unit":"milligrams","code":"mg/dL"`), 1.2, ""},
		{"another system with a spelling of its own", "8480-6", quantity(`"value":90,"unit":"mmHg","system":"urn:hospital:units","code":"mmHg"`), 90, ""},
		{"giga per litre of platelets", "777-3", quantity(`"value":150,"unit":"G/L","code":"G/L"`), 150, ""},
		{"g/L of haemoglobin stays grams", "718-7", quantity(`"value":98,"unit":"g/L","code":"g/L"`), 9.8, ""},
		{"an exponent in the number", "777-3", quantity(`"value":1.5e2,"code":"10*3/uL"`), 150, ""},
		{"thousands with a raised three", "777-3", quantity(`"value":90,"unit":"10³/µL"`), 90, ""},
		{"a flow is no fraction of oxygen", "3150-0", quantity(`"value":4,"code":"L/min"`), 0, reasonUnitOther},
		{"a bare fraction of oxygen is one", "3150-0", quantity(`"value":0.4`), 40, ""},
		{"a bare heart rate is per minute", "8867-4", quantity(`"value":88`), 88, ""},
		{"a bare pressure could be kPa", "8480-6", quantity(`"value":90`), 0, reasonUnitMissing},
		{"a quantity without a number", "2160-0", quantity(`"unit":"mg/dL"`), 0, reasonNoValue},
		{"urea by mass is not urea nitrogen", "3091-6", quantity(`"value":60,"code":"mg/dL"`), 27.98768, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := chartOf(t, m, observation(tt.code, tt.value))
			switch {
			case tt.reason != "":
				if len(c.Measurements) != 0 || c.Tally.Reasons[tt.reason] != 1 {
					t.Errorf("got %+v, reasons %v, want %q", c.Measurements, c.Tally.Reasons, tt.reason)
				}
			case len(c.Measurements) != 1 || !near(c.Measurements[0].Value, tt.want):
				t.Errorf("got %+v, rejects %v, want %g", c.Measurements, c.Rejects, tt.want)
			}
		})
	}
}
