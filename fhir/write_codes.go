// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: the codes and units that Write uses. They are a hospital's view,
// kept apart from the code maps on purpose: a wrong code map must not make the
// round trip look right.

import "github.com/sepsisagent/sepsisagent/engine/state"

const (
	systemLOINC       = "http://loinc.org"
	systemUCUM        = "http://unitsofmeasure.org"
	systemSNOMED      = "http://snomed.info/sct"
	systemRxNorm      = "http://www.nlm.nih.gov/research/umls/rxnorm"
	systemICD10       = "http://hl7.org/fhir/sid/icd-10-cm"
	systemActCode     = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
	systemActReason   = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
	systemDisposition = "http://terminology.hl7.org/CodeSystem/discharge-disposition"
	systemPlace       = "http://terminology.hl7.org/CodeSystem/location-physical-type"
	systemCategory    = "http://terminology.hl7.org/CodeSystem/observation-category"
	systemClinical    = "http://terminology.hl7.org/CodeSystem/condition-clinical"
	systemVerify      = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
	systemOwn         = "https://github.com/sepsisagent/sepsisagent/codes"
)

// unitForm is one way to write a quantity: written = canonical*scale + shift.
type unitForm struct {
	label, ucum  string
	decimals     int
	scale, shift float64
	loinc        string // code that goes with this unit; empty: the row's own
}

// written says how a concept is written.
type written struct {
	loinc, display, category string
	unit                     unitForm
	si                       *unitForm // another unit the style may choose
}

func plain(label, ucum string, decimals int) unitForm {
	return unitForm{label, ucum, decimals, 1, 0, ""}
}

const (
	catVital = "vital-signs"
	catLab   = "laboratory"
	catExam  = "exam"
)

// writtenAs lists every concept Write can write.
var writtenAs = map[state.Concept]written{
	"heart_rate": {"8867-4", "Heart rate", catVital, plain("beats/min", "/min", 0), nil},
	"sysbp":      {"8480-6", "Systolic blood pressure", catVital, plain("mmHg", "mm[Hg]", 0), nil},
	"diabp":      {"8462-4", "Diastolic blood pressure", catVital, plain("mmHg", "mm[Hg]", 0), nil},
	"meanbp":     {"8478-0", "Mean blood pressure", catVital, plain("mmHg", "mm[Hg]", 0), nil},
	"resp_rate":  {"9279-1", "Respiratory rate", catVital, plain("breaths/min", "/min", 0), nil},
	"spo2":       {"59408-5", "Oxygen saturation by pulse oximetry", catVital, plain("%", "%", 0), nil},
	"temp_c":     {"8310-5", "Body temperature", catVital, plain("°C", "Cel", 1), &unitForm{"°F", "[degF]", 1, 1.8, 32, ""}},
	"fio2":       {"3150-0", "Inhaled oxygen concentration", catVital, plain("%", "%", 0), &unitForm{"", "1", 2, 0.01, 0, ""}},
	"gcs_eye":    {"9267-6", "Glasgow coma score eye opening", catExam, plain("score", "{score}", 0), nil},
	"gcs_verbal": {"9270-0", "Glasgow coma score verbal", catExam, plain("score", "{score}", 0), nil},
	"gcs_motor":  {"9268-4", "Glasgow coma score motor", catExam, plain("score", "{score}", 0), nil},

	"albumin":         {"1751-7", "Albumin", catLab, plain("g/dL", "g/dL", 1), &unitForm{"g/L", "g/L", 0, 10, 0, ""}},
	"alt":             {"1742-6", "Alanine aminotransferase", catLab, plain("U/L", "U/L", 0), nil},
	"ast":             {"1920-8", "Aspartate aminotransferase", catLab, plain("U/L", "U/L", 0), nil},
	"base_excess":     {"1925-7", "Base excess in arterial blood", catLab, plain("mmol/L", "mmol/L", 1), nil},
	"bicarbonate":     {"1963-8", "Bicarbonate", catLab, plain("mmol/L", "mmol/L", 0), nil},
	"bilirubin_total": {"1975-2", "Bilirubin total", catLab, plain("mg/dL", "mg/dL", 1), &unitForm{"umol/L", "umol/L", 1, 17.104, 0, "14631-6"}},
	"bun":             {"3094-0", "Urea nitrogen", catLab, plain("mg/dL", "mg/dL", 0), &unitForm{"mmol/L", "mmol/L", 2, 1 / 2.801, 0, "22664-7"}},
	"calcium_free":    {"1995-0", "Calcium ionized", catLab, plain("mmol/L", "mmol/L", 2), nil},
	"calcium_total":   {"17861-6", "Calcium", catLab, plain("mg/dL", "mg/dL", 1), &unitForm{"mmol/L", "mmol/L", 2, 1 / 4.008, 0, "2000-8"}},
	"chloride":        {"2075-0", "Chloride", catLab, plain("mmol/L", "mmol/L", 0), nil},
	"creatinine":      {"2160-0", "Creatinine", catLab, plain("mg/dL", "mg/dL", 2), &unitForm{"umol/L", "umol/L", 0, 88.42, 0, "14682-9"}},
	"glucose":         {"2345-7", "Glucose", catLab, plain("mg/dL", "mg/dL", 0), &unitForm{"mmol/L", "mmol/L", 1, 1 / 18.016, 0, "14749-6"}},
	"hemoglobin":      {"718-7", "Hemoglobin", catLab, plain("g/dL", "g/dL", 1), &unitForm{"g/L", "g/L", 0, 10, 0, ""}},
	"hematocrit":      {"4544-3", "Hematocrit", catLab, plain("%", "%", 1), nil},
	"inr":             {"6301-6", "INR", catLab, plain("INR", "{INR}", 1), nil},
	"lactate":         {"32693-4", "Lactate", catLab, plain("mmol/L", "mmol/L", 1), nil},
	"magnesium":       {"19123-9", "Magnesium", catLab, plain("mg/dL", "mg/dL", 1), &unitForm{"mmol/L", "mmol/L", 2, 1 / 2.431, 0, "2601-3"}},
	"paco2":           {"2019-8", "Carbon dioxide partial pressure in arterial blood", catLab, plain("mmHg", "mm[Hg]", 0), &unitForm{"kPa", "kPa", 2, 1 / 7.5006, 0, ""}},
	"pao2":            {"2703-7", "Oxygen partial pressure in arterial blood", catLab, plain("mmHg", "mm[Hg]", 0), &unitForm{"kPa", "kPa", 2, 1 / 7.5006, 0, ""}},
	"ph":              {"2744-1", "pH of arterial blood", catLab, plain("pH", "[pH]", 2), nil},
	"platelet":        {"777-3", "Platelets", catLab, plain("10*3/uL", "10*3/uL", 0), &unitForm{"10*9/L", "10*9/L", 0, 1, 0, ""}},
	"potassium":       {"2823-3", "Potassium", catLab, plain("mmol/L", "mmol/L", 1), nil},
	"pt":              {"5902-2", "Prothrombin time", catLab, plain("s", "s", 1), nil},
	"ptt":             {"14979-9", "aPTT", catLab, plain("s", "s", 1), nil},
	"sodium":          {"2951-2", "Sodium", catLab, plain("mmol/L", "mmol/L", 0), nil},
	"total_co2":       {"41647-9", "Carbon dioxide total in arterial blood", catLab, plain("mmol/L", "mmol/L", 0), nil},
	"wbc":             {"6690-2", "Leukocytes", catLab, plain("10*3/uL", "10*3/uL", 1), &unitForm{"10*9/L", "10*9/L", 1, 1, 0, ""}},
	"output_4hourly":  {"9187-6", "Urine output", catVital, plain("mL", "mL", 0), nil},

	state.ConceptWeight:  {"29463-7", "Body weight", catVital, plain("kg", "kg", 1), &unitForm{"lb", "[lb_av]", 1, 1 / 0.45359237, 0, ""}},
	state.ConceptHeight:  {"8302-2", "Body height", catVital, plain("cm", "cm", 0), nil},
	state.ConceptCVP:     {"60985-9", "Central venous pressure", catVital, plain("mmHg", "mm[Hg]", 0), nil},
	state.ConceptPEEP:    {"20077-4", "Positive end expiratory pressure", catVital, plain("cmH2O", "cm[H2O]", 0), nil},
	state.ConceptO2Flow:  {"3151-8", "Inhaled oxygen flow rate", catVital, plain("L/min", "L/min", 0), nil},
	state.ConceptRASS:    {"", "Richmond agitation-sedation scale", catExam, plain("score", "{score}", 0), nil},
	state.ConceptMAPGoal: {"", "Mean arterial pressure goal", catVital, plain("mmHg", "mm[Hg]", 0), nil},
}

// pressureLOINC gives the code of a pressure by how it was measured.
var pressureLOINC = map[string]map[state.Concept]string{
	state.MethodArterial: {"sysbp": "76215-3", "diabp": "76213-8", "meanbp": "76214-6"},
	state.MethodCuff:     {"sysbp": "76534-7", "diabp": "76535-4", "meanbp": "76536-2"},
}

// methodText is how a measurement's method is written.
var methodText = map[string]string{
	state.MethodArterial: "arterial line", state.MethodCuff: "non-invasive cuff",
	state.MethodPumpWeight: "dosing weight", state.MethodEstimated: "estimated weight",
}

// scoreAnswers are the LOINC answer codes of the coma scale, from 1 up.
var scoreAnswers = map[state.Concept][]string{
	"gcs_eye":    {"LA6553-7", "LA6554-5", "LA6555-2", "LA6556-0"},
	"gcs_verbal": {"LA6557-8", "LA6558-6", "LA6559-4", "LA6560-2", "LA6561-0"},
	"gcs_motor":  {"LA6562-8", "LA6563-6", "LA6564-4", "LA6565-1", "LA6566-9", "LA6567-7"},
}

// rxNorm gives the code a drug is written with; drugs without one are written
// by name.
var rxNorm = map[state.Drug]string{
	"norepinephrine": "7512", "epinephrine": "3992", "vasopressin": "11149", "dopamine": "3628", "phenylephrine": "8163",
	"angiotensin ii": "1999003", "dobutamine": "3616", "milrinone": "52769", "furosemide": "4603", "hydrocortisone": "5492",
	"sodium chloride 0.9%": "313002", "vancomycin": "11124", "ceftriaxone": "2193", "meropenem": "29561", "piperacillin tazobactam": "74169", "lactated ringer": "847630",
}

// bagMg is the drug in a 250 mL bag, for rates written as mL/h.
var bagMg = map[state.Drug]float64{
	"norepinephrine": 16, "epinephrine": 8, "phenylephrine": 40, "dopamine": 400, "dobutamine": 500,
}

// tagCodes gives the code a condition or procedure with a tag is written with.
var tagCodes = map[state.Tag][2]string{
	state.TagSepsis: {systemICD10, "A41.9"}, state.TagInfection: {systemICD10, "J18.9"}, state.TagHeartFailure: {systemICD10, "I50.9"},
	state.TagESRD: {systemICD10, "N18.6"}, state.TagCirrhosis: {systemICD10, "K74.60"}, state.TagCardiogenic: {systemICD10, "R57.0"},
	state.TagBleeding: {systemICD10, "K92.2"}, state.TagDKA: {systemICD10, "E10.10"}, state.TagPregnancy: {systemICD10, "Z33.1"},
	state.TagComfortCare: {systemSNOMED, "133918004"}, state.TagDNR: {systemICD10, "Z66"}, state.TagPostArrest: {systemICD10, "I46.9"},
	state.TagCulture: {systemSNOMED, "30088009"}, state.TagVentInvasive: {systemSNOMED, "40617009"},
	state.TagVentNIV: {systemSNOMED, "428311008"}, state.TagECMO: {systemSNOMED, "233573008"}, state.TagDialysis: {systemSNOMED, "265764009"},
}
