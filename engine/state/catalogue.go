// SPDX-License-Identifier: Apache-2.0

package state

// This file: the catalogue of the 39 dynamic variables. Names, units, LOINC
// and hard ranges are those of reference/sepsisagent.md 5.7, hold times those
// of 5.2 (what it does not list is held like its group), precision follows
// 2.9 #15. Model ranges and transforms are ours: a forecast never leaves a
// model range, and every model range lies inside the hard one.

// Indices of the features in Catalogue, Step.Value and StepForecast.Band.
const (
	HeartRate = iota
	SysBP
	DiaBP
	MeanBP
	RespRate
	SpO2
	TempC
	FiO2
	GCSEye
	GCSVerbal
	GCSMotor
	Albumin
	ALT
	AST
	BaseExcess
	Bicarbonate
	Bilirubin
	BUN
	CalciumFree
	CalciumTotal
	Chloride
	Creatinine
	Glucose
	Hemoglobin
	Hematocrit
	INR
	Lactate
	Magnesium
	PaCO2
	PaO2
	PH
	Platelet
	Potassium
	PT
	PTT
	Sodium
	TotalCO2
	WBC
	Urine
)

var catalogue = [NumFeatures]Feature{
	HeartRate:    {Name: "heart_rate", Label: "Heart rate", Unit: "/min", UnitLabel: "/min", LOINC: []string{"8867-4"}, Transform: Identity, Bin: BinMean, HoldHours: 2, Lo: 0, Hi: 300, ModelLo: 20, ModelHi: 220, Precision: 0, RiseIsBad: true},
	SysBP:        {Name: "sysbp", Label: "Systolic pressure", Unit: "mm[Hg]", UnitLabel: "mmHg", LOINC: []string{"8480-6", "76534-7"}, Transform: Identity, Bin: BinMean, HoldHours: 2, Lo: 0, Hi: 300, ModelLo: 40, ModelHi: 260, Precision: 0},
	DiaBP:        {Name: "diabp", Label: "Diastolic pressure", Unit: "mm[Hg]", UnitLabel: "mmHg", LOINC: []string{"8462-4", "76535-4"}, Transform: Identity, Bin: BinMean, HoldHours: 2, Lo: 0, Hi: 200, ModelLo: 15, ModelHi: 160, Precision: 0},
	MeanBP:       {Name: "meanbp", Label: "Mean arterial pressure", Unit: "mm[Hg]", UnitLabel: "mmHg", LOINC: []string{"8478-0", "76536-2"}, Transform: Identity, Bin: BinMean, HoldHours: 2, Lo: 0, Hi: 200, ModelLo: 25, ModelHi: 180, Precision: 0},
	RespRate:     {Name: "resp_rate", Label: "Respiratory rate", Unit: "/min", UnitLabel: "/min", LOINC: []string{"9279-1"}, Transform: Identity, Bin: BinMean, HoldHours: 2, Lo: 0, Hi: 80, ModelLo: 4, ModelHi: 60, Precision: 0, RiseIsBad: true},
	SpO2:         {Name: "spo2", Label: "Oxygen saturation", Unit: "%", UnitLabel: "%", LOINC: []string{"59408-5", "2708-6"}, Transform: Logit, Bin: BinMean, HoldHours: 2, Lo: 50, Hi: 100, ModelLo: 60, ModelHi: 100, Precision: 0},
	TempC:        {Name: "temp_c", Label: "Temperature", Unit: "Cel", UnitLabel: "°C", LOINC: []string{"8310-5"}, Transform: Identity, Bin: BinMean, HoldHours: 6, Lo: 25, Hi: 45, ModelLo: 30, ModelHi: 43, Precision: 1, RiseIsBad: true},
	FiO2:         {Name: "fio2", Label: "Inspired oxygen", Unit: "%", UnitLabel: "%", LOINC: []string{"3150-0", "19994-3"}, Transform: Logit, Bin: BinMean, HoldHours: 12, Lo: 20, Hi: 100, ModelLo: 21, ModelHi: 100, Precision: 0, RiseIsBad: true},
	GCSEye:       {Name: "gcs_eye", Label: "GCS eye", Unit: "{score}", UnitLabel: "", LOINC: []string{"9267-6"}, Transform: Logit, Bin: BinLast, HoldHours: 6, Lo: 1, Hi: 4, ModelLo: 1, ModelHi: 4, Precision: 0},
	GCSVerbal:    {Name: "gcs_verbal", Label: "GCS verbal", Unit: "{score}", UnitLabel: "", LOINC: []string{"9270-0"}, Transform: Logit, Bin: BinLast, HoldHours: 6, Lo: 1, Hi: 5, ModelLo: 1, ModelHi: 5, Precision: 0},
	GCSMotor:     {Name: "gcs_motor", Label: "GCS motor", Unit: "{score}", UnitLabel: "", LOINC: []string{"9268-4"}, Transform: Logit, Bin: BinLast, HoldHours: 6, Lo: 1, Hi: 6, ModelLo: 1, ModelHi: 6, Precision: 0},
	Albumin:      {Name: "albumin", Label: "Albumin", Unit: "g/dL", UnitLabel: "g/dL", LOINC: []string{"1751-7"}, Transform: Log, Bin: BinMean, HoldHours: 28, Lo: 0.5, Hi: 10, ModelLo: 0.8, ModelHi: 6, Precision: 1},
	ALT:          {Name: "alt", Label: "ALT", Unit: "U/L", UnitLabel: "U/L", LOINC: []string{"1742-6"}, Transform: Log, Bin: BinMean, HoldHours: 28, Lo: 0, Hi: 10000, ModelLo: 3, ModelHi: 8000, Precision: 0, RiseIsBad: true},
	AST:          {Name: "ast", Label: "AST", Unit: "U/L", UnitLabel: "U/L", LOINC: []string{"1920-8"}, Transform: Log, Bin: BinMean, HoldHours: 28, Lo: 0, Hi: 10000, ModelLo: 3, ModelHi: 9000, Precision: 0, RiseIsBad: true},
	BaseExcess:   {Name: "base_excess", Label: "Base excess", Unit: "mmol/L", UnitLabel: "mmol/L", LOINC: []string{"11555-0", "1925-7"}, Transform: Identity, Bin: BinMean, HoldHours: 8, Lo: -50, Hi: 50, ModelLo: -30, ModelHi: 30, Precision: 1},
	Bicarbonate:  {Name: "bicarbonate", Label: "Bicarbonate", Unit: "mmol/L", UnitLabel: "mmol/L", LOINC: []string{"1963-8", "1959-6", "2028-9"}, Transform: Log, Bin: BinMean, HoldHours: 8, Lo: 1, Hi: 60, ModelLo: 3, ModelHi: 50, Precision: 0},
	Bilirubin:    {Name: "bilirubin_total", Label: "Bilirubin", Unit: "mg/dL", UnitLabel: "mg/dL", LOINC: []string{"1975-2"}, Transform: Log, Bin: BinMean, HoldHours: 28, Lo: 0, Hi: 100, ModelLo: 0.1, ModelHi: 60, Precision: 1, RiseIsBad: true},
	BUN:          {Name: "bun", Label: "Urea nitrogen", Unit: "mg/dL", UnitLabel: "mg/dL", LOINC: []string{"3094-0", "6299-2"}, Transform: Log, Bin: BinMean, HoldHours: 28, Lo: 0, Hi: 300, ModelLo: 1, ModelHi: 250, Precision: 0, RiseIsBad: true},
	CalciumFree:  {Name: "calcium_free", Label: "Ionised calcium", Unit: "mmol/L", UnitLabel: "mmol/L", LOINC: []string{"1994-3", "1995-0"}, Transform: Identity, Bin: BinMean, HoldHours: 28, Lo: 0.2, Hi: 5, ModelLo: 0.5, ModelHi: 2.2, Precision: 2},
	CalciumTotal: {Name: "calcium_total", Label: "Total calcium", Unit: "mg/dL", UnitLabel: "mg/dL", LOINC: []string{"17861-6"}, Transform: Identity, Bin: BinMean, HoldHours: 28, Lo: 1, Hi: 20, ModelLo: 4, ModelHi: 16, Precision: 1},
	Chloride:     {Name: "chloride", Label: "Chloride", Unit: "mmol/L", UnitLabel: "mmol/L", LOINC: []string{"2075-0", "2069-3", "41650-3"}, Transform: Identity, Bin: BinMean, HoldHours: 14, Lo: 70, Hi: 150, ModelLo: 70, ModelHi: 145, Precision: 0},
	Creatinine:   {Name: "creatinine", Label: "Creatinine", Unit: "mg/dL", UnitLabel: "mg/dL", LOINC: []string{"2160-0", "38483-4"}, Transform: Log, Bin: BinMean, HoldHours: 28, Lo: 0, Hi: 150, ModelLo: 0.1, ModelHi: 25, Precision: 2, RiseIsBad: true},
	Glucose:      {Name: "glucose", Label: "Glucose", Unit: "mg/dL", UnitLabel: "mg/dL", LOINC: []string{"2345-7", "2339-0"}, Transform: Log, Bin: BinMean, HoldHours: 14, Lo: 1, Hi: 1000, ModelLo: 20, ModelHi: 900, Precision: 0, RiseIsBad: true},
	Hemoglobin:   {Name: "hemoglobin", Label: "Haemoglobin", Unit: "g/dL", UnitLabel: "g/dL", LOINC: []string{"718-7"}, Transform: Log, Bin: BinMean, HoldHours: 14, Lo: 0, Hi: 25, ModelLo: 3, ModelHi: 22, Precision: 1},
	Hematocrit:   {Name: "hematocrit", Label: "Haematocrit", Unit: "%", UnitLabel: "%", LOINC: []string{"4544-3", "20570-8", "48703-3"}, Transform: Log, Bin: BinMean, HoldHours: 28, Lo: 0, Hi: 75, ModelLo: 9, ModelHi: 66, Precision: 1},
	INR:          {Name: "inr", Label: "INR", Unit: "{INR}", UnitLabel: "", LOINC: []string{"6301-6"}, Transform: Log, Bin: BinMean, HoldHours: 28, Lo: 0, Hi: 20, ModelLo: 0.7, ModelHi: 15, Precision: 1, RiseIsBad: true},
	Lactate:      {Name: "lactate", Label: "Lactate", Unit: "mmol/L", UnitLabel: "mmol/L", LOINC: []string{"32693-4", "2518-9", "2524-7"}, Transform: Log, Bin: BinMean, HoldHours: 8, Lo: 0, Hi: 30, ModelLo: 0.2, ModelHi: 28, Precision: 1, RiseIsBad: true},
	Magnesium:    {Name: "magnesium", Label: "Magnesium", Unit: "mg/dL", UnitLabel: "mg/dL", LOINC: []string{"19123-9"}, Transform: Log, Bin: BinMean, HoldHours: 28, Lo: 0, Hi: 10, ModelLo: 0.6, ModelHi: 8, Precision: 1},
	PaCO2:        {Name: "paco2", Label: "PaCO2", Unit: "mm[Hg]", UnitLabel: "mmHg", LOINC: []string{"2019-8", "11557-6"}, Transform: Log, Bin: BinMean, HoldHours: 8, Lo: 0, Hi: 200, ModelLo: 10, ModelHi: 150, Precision: 0, RiseIsBad: true},
	PaO2:         {Name: "pao2", Label: "PaO2", Unit: "mm[Hg]", UnitLabel: "mmHg", LOINC: []string{"2703-7", "11556-8"}, Transform: Log, Bin: BinMean, HoldHours: 8, Lo: 0, Hi: 700, ModelLo: 20, ModelHi: 650, Precision: 0},
	PH:           {Name: "ph", Label: "pH", Unit: "[pH]", UnitLabel: "", LOINC: []string{"2744-1", "11558-4"}, Transform: Identity, Bin: BinMean, HoldHours: 8, Lo: 6.7, Hi: 8, ModelLo: 6.75, ModelHi: 7.8, Precision: 2},
	Platelet:     {Name: "platelet", Label: "Platelets", Unit: "10*3/uL", UnitLabel: "×10³/µL", LOINC: []string{"777-3", "26515-7"}, Transform: Log, Bin: BinMean, HoldHours: 28, Lo: 0, Hi: 2000, ModelLo: 2, ModelHi: 1500, Precision: 0},
	Potassium:    {Name: "potassium", Label: "Potassium", Unit: "mmol/L", UnitLabel: "mmol/L", LOINC: []string{"2823-3", "6298-4", "32713-0"}, Transform: Log, Bin: BinMean, HoldHours: 14, Lo: 1, Hi: 15, ModelLo: 1.5, ModelHi: 10, Precision: 1, RiseIsBad: true},
	PT:           {Name: "pt", Label: "Prothrombin time", Unit: "s", UnitLabel: "s", LOINC: []string{"5902-2"}, Transform: Log, Bin: BinMean, HoldHours: 28, Lo: 0, Hi: 150, ModelLo: 8, ModelHi: 145, Precision: 1, RiseIsBad: true},
	PTT:          {Name: "ptt", Label: "Partial thromboplastin time", Unit: "s", UnitLabel: "s", LOINC: []string{"14979-9", "3173-2"}, Transform: Log, Bin: BinMean, HoldHours: 28, Lo: 0, Hi: 200, ModelLo: 15, ModelHi: 180, Precision: 1, RiseIsBad: true},
	Sodium:       {Name: "sodium", Label: "Sodium", Unit: "mmol/L", UnitLabel: "mmol/L", LOINC: []string{"2951-2", "2947-0", "32717-1"}, Transform: Identity, Bin: BinMean, HoldHours: 14, Lo: 95, Hi: 178, ModelLo: 100, ModelHi: 175, Precision: 0},
	TotalCO2:     {Name: "total_co2", Label: "Total CO2", Unit: "mmol/L", UnitLabel: "mmol/L", LOINC: []string{"34728-6", "41647-9"}, Transform: Log, Bin: BinMean, HoldHours: 8, Lo: 1, Hi: 120, ModelLo: 3, ModelHi: 60, Precision: 0},
	WBC:          {Name: "wbc", Label: "White cells", Unit: "10*3/uL", UnitLabel: "×10³/µL", LOINC: []string{"6690-2", "26464-8"}, Transform: Log, Bin: BinMean, HoldHours: 28, Lo: 0, Hi: 500, ModelLo: 0.1, ModelHi: 300, Precision: 1, RiseIsBad: true},
	Urine:        {Name: "output_4hourly", Label: "Urine output", Unit: "mL", UnitLabel: "mL/4 h", LOINC: []string{"9187-6"}, Transform: Log1p, Bin: BinSum, HoldHours: 0, Lo: 0, Hi: 12000, ModelLo: 0, ModelHi: 4000, Precision: 0},
}

var byConcept = func() map[Concept]int {
	m := make(map[Concept]int, NumFeatures)
	for i := range catalogue {
		catalogue[i].Index = i
		m[catalogue[i].Name] = i
	}
	return m
}()

// Catalogue returns the 39 features in their fixed order. The result is a
// copy, but the LOINC slices are shared and must not be written to.
func Catalogue() []Feature {
	out := make([]Feature, NumFeatures)
	copy(out, catalogue[:])
	return out
}

// Lookup returns the feature of that name; false when c is not one of the 39.
func Lookup(c Concept) (Feature, bool) {
	i, ok := byConcept[c]
	if !ok {
		return Feature{}, false
	}
	return catalogue[i], true
}

// FeatureAt returns the feature with index i (0 <= i < NumFeatures); it panics
// outside that range.
func FeatureAt(i int) Feature { return catalogue[i] }

// bounds is a plausible range (inclusive) and its UCUM unit.
type bounds struct {
	lo, hi float64
	unit   string
}

// ranges holds the features and the concepts beside them. Limits of the latter
// are wide on purpose: they keep out impossible values, not unusual patients.
var ranges = func() map[Concept]bounds {
	m := map[Concept]bounds{
		ConceptWeight:       {20, 400, "kg"},
		ConceptHeight:       {100, 250, "cm"},
		ConceptCVP:          {-10, 50, "mm[Hg]"},
		ConceptPEEP:         {0, 40, "cm[H2O]"},
		ConceptO2Flow:       {0, 100, "L/min"},
		ConceptO2Device:     {1, 1, "1"},
		ConceptRASS:         {-5, 4, "{score}"},
		ConceptGCSTotal:     {3, 15, "{score}"},
		ConceptCRT:          {0, 30, "s"},
		ConceptCardiacIndex: {0.3, 15, "L/min/m2"},
		ConceptScvO2:        {10, 100, "%"},
		ConceptSVV:          {0, 60, "%"},
		ConceptMAPGoal:      {30, 120, "mm[Hg]"},
		ConceptUrineIrrig:   {0, 20000, "mL"},
		ConceptOtherOutput:  {0, 20000, "mL"},
	}
	for i := range catalogue {
		f := &catalogue[i]
		m[f.Name] = bounds{f.Lo, f.Hi, f.Unit}
	}
	return m
}()

// Range returns the plausible range (inclusive) and UCUM unit of a concept,
// feature or not; false for a concept this package does not know.
func Range(c Concept) (lo, hi float64, unit string, ok bool) {
	b, ok := ranges[c]
	return b.lo, b.hi, b.unit, ok
}
