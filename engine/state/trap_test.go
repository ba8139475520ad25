// SPDX-License-Identifier: Apache-2.0

package state

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
)

// This file: one regression test per weakness of the reference implementation
// that concerns state. Numbers are those of reference/sepsisagent.md 2.9.

func TestTrap6DosesInAStepArePreviousTreatment(t *testing.T) {
	c := icuChart()
	c.Administrations = []Administration{
		infusion(DrugNorepinephrine, 0.10, UnitUgKgMin, 8, 4), // exactly the step before the last
		infusion(DrugNorepinephrine, 0.30, UnitUgKgMin, 0, open),
	}
	tl := mustBuild(t, c)
	if e := tl.Steps[MaxSteps-2].Given; e.NEMaxUgKgMin != 0.10 || e.NEEndUgKgMin != 0.10 {
		t.Errorf("step before the last was given %+v, want 0.10", e)
	}
	if e := tl.Last().Given; e.NEMaxUgKgMin != 0 {
		t.Errorf("a rate that starts at T is in the last step: %+v", e)
	}
	if tl.Present.NEUgKgMin != 0.30 {
		t.Errorf("running at T: %v, want 0.30", tl.Present.NEUgKgMin)
	}
}

func TestTrap7CarriedIsNeverShownAsMeasured(t *testing.T) {
	c := icuChart()
	c.Measurements = []Measurement{measure("lactate", 3, 9.5, "")}
	tl := mustBuild(t, c)
	want := map[int]Presence{MaxSteps - 3: Measured, MaxSteps - 2: Carried, MaxSteps - 1: Missing}
	for k, p := range want {
		if tl.Steps[k].Presence[Lactate] != p {
			t.Errorf("step %d: presence %d, want %d", k, tl.Steps[k].Presence[Lactate], p)
		}
	}
	if age := tl.Steps[MaxSteps-2].AgeH[Lactate]; age != 5.5 {
		t.Errorf("carried at age %v h, want 5.5", age)
	}
}

func TestTrap7ValueFromBeforeTheOldestStepIsCarriedIntoIt(t *testing.T) {
	c := icuChart()
	c.Stay.Start = ago(100)
	c.Measurements = []Measurement{measure("creatinine", 2, 49, "")}
	s := mustBuild(t, c).Steps[0]
	if s.Presence[Creatinine] != Carried || s.Value[Creatinine] != 2 || s.AgeH[Creatinine] != 5 {
		t.Errorf("oldest step: presence %d, value %v, age %v", s.Presence[Creatinine], s.Value[Creatinine], s.AgeH[Creatinine])
	}
}

func TestTrap8StepsBeforeTheStayArePaddingAndSaySo(t *testing.T) {
	c := icuChart()
	c.Stay.Start = ago(10)
	tl := mustBuild(t, c)
	for k, s := range tl.Steps {
		if want := k >= MaxSteps-3; s.InStay != want {
			t.Errorf("step %d: in stay %v, want %v", k, s.InStay, want)
		}
		if !s.InStay && (s.Given.VasoKnown || s.Given.FluidKnown) {
			t.Errorf("step %d before the stay claims to know what was given", k)
		}
	}
}

func TestTrap9UrineScoresOnlyAfterTwentyTwoHours(t *testing.T) {
	for _, tc := range []struct {
		name  string
		hours int
		want  int
	}{
		{"12 h of 10 mL/h is not yet anuria", 12, -1},
		{"20 h is still too short", 20, -1},
		{"24 h of 10 mL/h scores 3", 24, 3},
	} {
		c := icuChart()
		c.Stay.Start = ago(float64(tc.hours))
		for h := range tc.hours {
			c.Measurements = append(c.Measurements, measure("output_4hourly", 10, float64(h), ""))
		}
		if got := mustBuild(t, c).Last().SOFA.Renal; got != tc.want {
			t.Errorf("%s: renal %d, want %d", tc.name, got, tc.want)
		}
	}
}

func TestTrap10CardioScoreFollowsDoseNotLevel(t *testing.T) {
	cfg := DefaultConfig()
	c := icuChart()
	c.Administrations = []Administration{infusion(DrugNorepinephrine, 0.09, UnitUgKgMin, 3, open)}
	tl := mustBuild(t, c)
	if lv := cfg.LevelsOf(0.09, 0).Vasopressor; lv != 2 {
		t.Fatalf("0.09 is level %d, want 2", lv)
	}
	if got := tl.Last().SOFA.Cardio; got != 3 {
		t.Errorf("cardio %d, want 3 for norepinephrine up to 0.1", got)
	}
	// Another set of levels must not move the score.
	cfg.VasopressorCuts = [3]float64{0.01, 0.02, 0.03}
	other, err := Build(c, t0, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if other.Last().Given.Levels.Vasopressor != 4 || other.Last().SOFA.Cardio != 3 {
		t.Errorf("levels %+v, cardio %d", other.Last().Given.Levels, other.Last().SOFA.Cardio)
	}
}

func TestTrap14LevelsAlwaysHaveADoseRange(t *testing.T) {
	cfg := DefaultConfig()
	for _, vaso := range []bool{true, false} {
		last := 0.0
		for lv := range 5 {
			lo, hi := cfg.DoseRange(vaso, lv)
			if lo != last && lv > 0 {
				t.Errorf("level %d starts at %v, want %v", lv, lo, last)
			}
			last = hi
		}
		if !math.IsInf(last, 1) {
			t.Errorf("level 4 ends at %v", last)
		}
	}
}

func TestTrap15PrecisionKeepsWhatMatters(t *testing.T) {
	for f, want := range map[int]int{PH: 2, CalciumFree: 2, Creatinine: 2, Lactate: 1, HeartRate: 0} {
		if got := FeatureAt(f).Precision; got != want {
			t.Errorf("%s is shown with %d decimals, want %d", FeatureAt(f).Name, got, want)
		}
	}
}

func TestTrap16BaseExcessKeepsItsSign(t *testing.T) {
	c := icuChart()
	c.Measurements = []Measurement{measure("base_excess", -8, 1, MethodArterial), measure("base_excess", -4, 2, MethodArterial)}
	s := mustBuild(t, c).Last()
	if s.Presence[BaseExcess] != Measured || s.Value[BaseExcess] != -6 {
		t.Errorf("base excess %v, presence %d", s.Value[BaseExcess], s.Presence[BaseExcess])
	}
	if f := FeatureAt(BaseExcess); f.Lo >= 0 || f.ModelLo >= 0 || f.Transform != Identity {
		t.Errorf("catalogue cannot hold a negative base excess: %+v", f)
	}
}

func TestTrap17MagnesiumIsInMgPerDlAndVenousGasIsNotPaO2ForPF(t *testing.T) {
	if f := FeatureAt(Magnesium); f.Unit != "mg/dL" {
		t.Errorf("magnesium in %s", f.Unit)
	}
	c := icuChart()
	c.Measurements = []Measurement{measure("pao2", 40, 1, MethodVenous), measure("pao2", 41, 1.1, ""), measure("fio2", 50, 2, "")}
	tl := mustBuild(t, c)
	if tl.Present.PFRatio.Now != nil || tl.Last().SOFA.Resp != -1 {
		t.Errorf("a gas that is not arterial gave P/F %+v, resp %d", tl.Present.PFRatio.Now, tl.Last().SOFA.Resp)
	}
}

func TestAGasBesideAnOxygenItWasNotTakenOnGivesNoPF(t *testing.T) {
	for paO2, want := range map[float64]bool{239: false, 95: true} {
		c := icuChart()
		c.Measurements = []Measurement{measure("pao2", paO2, 1, MethodArterial), measure("fio2", 21, 2, "")}
		tl := mustBuild(t, c)
		if shown, scored := tl.Present.PFRatio.Now != nil, tl.Last().SOFA.Resp >= 0; shown != want || scored != want {
			t.Errorf("PaO2 %.0f on charted room air: P/F shown %v and scored %v, want %v", paO2, shown, scored, want)
		}
	}
}

func TestTrap18LevelsTravelByName(t *testing.T) {
	if got, err := json.Marshal(Levels{Vasopressor: 3, Fluid: 1}); err != nil || string(got) != `{"vasopressor":3,"fluid":1}` {
		t.Errorf("%s %v", got, err)
	}
}

func TestTrap21ShockNeedsAVasopressorNotALowPressure(t *testing.T) {
	septic := func() *Chart {
		c := icuChart()
		c.Administrations = []Administration{{Drug: "vancomycin", Class: ClassAntimicrobial, Form: FormBolus, Start: ago(20), Available: ago(20), End: ago(19), Record: -1}}
		c.Measurements = []Measurement{measure("lactate", 3.1, 1, ""), measure("meanbp", 72, 0.2, MethodArterial), measure("platelet", 60, 2, "")}
		return c
	}
	held := septic()
	held.Administrations = append(held.Administrations, infusion(DrugNorepinephrine, 0.2, UnitUgKgMin, 5, open))
	if s := mustBuild(t, held).Present.Sepsis; !s.Shock {
		t.Errorf("MAP 72 held by norepinephrine with lactate 3.1 is septic shock: %+v", s)
	}
	low := septic()
	low.Measurements = append(low.Measurements, measure("meanbp", 55, 0.1, MethodArterial))
	if s := mustBuild(t, low).Present.Sepsis; s.Shock {
		t.Errorf("MAP 55 without a vasopressor is not yet septic shock by definition: %+v", s)
	}
	cleared := septic()
	cleared.Administrations = append(cleared.Administrations, infusion(DrugNorepinephrine, 0.2, UnitUgKgMin, 5, open))
	cleared.Measurements[0].Value = 2
	if s := mustBuild(t, cleared).Present.Sepsis; s.Shock {
		t.Errorf("lactate 2.0 is not above 2: %+v", s)
	}
}

func TestTrapVasopressinUnitsPerHourAreNotUnitsPerMinute(t *testing.T) {
	cfg := DefaultConfig()
	// 2.4 U/h = 0.04 U/min, times 2.5.
	ne, why := cfg.NEOf(DrugVasopressin, 2.4/60, UnitUMin, 0)
	if why != "" || math.Abs(ne-0.1) > 1e-12 {
		t.Errorf("0.04 U/min is %v (%s), want 0.1", ne, why)
	}
	if _, why := cfg.NEOf(DrugVasopressin, 2.4, "[iU]/h", 0); why == "" {
		t.Error("a rate in U/h was read without conversion")
	}
}

func TestTrapMicrogramsPerMinuteNeedAWeight(t *testing.T) {
	c := icuChart()
	c.Administrations = []Administration{infusion(DrugNorepinephrine, 8, UnitUgMin, 1, open)}
	tl := mustBuild(t, c)
	if tl.Present.VasoKnown || tl.Last().Given.VasoKnown || !strings.Contains(tl.Present.VasoWhy, "weight") {
		t.Errorf("no weight is known, yet vaso known: %v (%q)", tl.Present.VasoKnown, tl.Present.VasoWhy)
	}
	if tl.Last().SOFA.Cardio != 3 {
		t.Errorf("norepinephrine at an unknown rate scores at least 3, got %d", tl.Last().SOFA.Cardio)
	}
	c.Measurements = []Measurement{measure(ConceptWeight, 80, 20, "")}
	if tl = mustBuild(t, c); !tl.Present.VasoKnown || math.Abs(tl.Present.NEUgKgMin-0.1) > 1e-12 {
		t.Errorf("8 ug/min at 80 kg is %v (%v)", tl.Present.NEUgKgMin, tl.Present.VasoWhy)
	}
}

func TestTrapNoFutureThroughALateResult(t *testing.T) {
	c := icuChart()
	late := measure("lactate", 9, 3, "")
	late.Available = t0.Add(time.Second)
	c.Measurements = []Measurement{measure("lactate", 2, 5, ""), late}
	tl := mustBuild(t, c)
	if got := tl.Present.Lactate.Now.Value; got != 2 {
		t.Errorf("lactate %v was drawn before T but resulted after it", got)
	}
}

func TestTrapHourlyMedianIsKnownAtTheEndOfItsHour(t *testing.T) {
	c := icuChart()
	m := measure("heart_rate", 120, 0.5, MethodHourlyMedian) // summarises 11:30 to 12:30
	c.Measurements = []Measurement{m}
	if tl := mustBuild(t, c); tl.Last().Presence[HeartRate] != Missing {
		t.Error("an hourly median is read before its hour is over")
	}
	c.Measurements[0].Effective, c.Measurements[0].Available = ago(1), ago(1)
	if tl := mustBuild(t, c); tl.Last().Presence[HeartRate] != Measured || tl.Last().AgeH[HeartRate] != 0 {
		t.Errorf("an hourly median that ends at T: %+v", tl.Present.Readings)
	}
}
