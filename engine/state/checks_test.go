// SPDX-License-Identifier: Apache-2.0

package state

import (
	"errors"
	"math"
	"testing"
	"time"
)

// This file: present, absent and not checked; configuration and catalogue.

func diagnosis(tag Tag, h float64) Condition {
	return Condition{Tags: []Tag{tag}, Text: string(tag), Onset: ago(h), Available: ago(h), Dated: true, Record: -1}
}

func TestChecks(t *testing.T) {
	vanc := Administration{Drug: "vancomycin", Class: ClassAntimicrobial, Form: FormBolus, Start: ago(20), Available: ago(20), End: ago(19), Record: -1}
	dobutamine := infusion(DrugDobutamine, 3, UnitUgKgMin, 2, open)
	dobutamine.Class = ClassInotrope
	other := diagnosis("something else", 10)
	for _, tc := range []struct {
		name string
		edit func(*Chart)
		key  string
		want string
	}{
		{"an adult", func(*Chart) {}, CheckAdult, CheckPresent},
		{"a child", func(c *Chart) { c.Person.BirthDate = ago(24 * 365 * 10) }, CheckAdult, CheckAbsent},
		{"the day before the eighteenth birthday", func(c *Chart) { c.Person.BirthDate = time.Date(2008, 3, 2, 0, 0, 0, 0, time.UTC) }, CheckAdult, CheckAbsent},
		{"the eighteenth birthday", func(c *Chart) { c.Person.BirthDate = time.Date(2008, 3, 1, 0, 0, 0, 0, time.UTC) }, CheckAdult, CheckPresent},
		{"no date of birth", func(c *Chart) { c.Person.BirthDate = time.Time{} }, CheckAdult, CheckNotChecked},
		{"an unknown kind of encounter", func(c *Chart) { c.Stay.ICUKnown = false }, CheckICU, CheckNotChecked},
		{"an admission after T", func(c *Chart) { c.Stay.Start = ago(-1) }, CheckICU, CheckAbsent},
		{"antimicrobial and SOFA 3", func(c *Chart) {
			c.Administrations = []Administration{vanc}
			c.Measurements = []Measurement{measure("platelet", 40, 2, "")}
		}, CheckSepsis, CheckPresent},
		{"antimicrobial without organ failure", func(c *Chart) {
			c.Administrations = []Administration{vanc}
			c.Measurements = []Measurement{measure("platelet", 240, 2, "")}
		}, CheckSepsis, CheckAbsent},
		{"organ failure without suspicion", func(c *Chart) { c.Measurements = []Measurement{measure("platelet", 40, 2, "")} }, CheckSepsis, CheckAbsent},
		{"an undated sepsis diagnosis is no evidence", func(c *Chart) {
			c.Measurements = []Measurement{measure("platelet", 40, 2, "")}
			c.Conditions = []Condition{{Tags: []Tag{TagSepsis}, Record: -1}}
		}, CheckSepsis, CheckAbsent},
		{"renal failure of a dialysis patient is baseline", func(c *Chart) {
			c.Administrations = []Administration{vanc}
			c.Measurements = []Measurement{measure("creatinine", 7, 2, "")}
			c.Conditions = []Condition{diagnosis(TagESRD, 9000)}
		}, CheckSepsis, CheckAbsent},
		{"suspicion without any score", func(c *Chart) { c.Administrations = []Administration{vanc} }, CheckSepsis, CheckNotChecked},
		{"pregnancy of a man", func(c *Chart) { c.Person.Sex = "male" }, CheckPregnancy, CheckAbsent},
		{"pregnancy of a woman of 65", func(*Chart) {}, CheckPregnancy, CheckAbsent},
		{"pregnancy of a woman of 30 without a problem list", func(c *Chart) { c.Person.BirthDate = ago(24 * 365 * 30) }, CheckPregnancy, CheckNotChecked},
		{"pregnancy of a woman of 30 whose diagnoses were read", func(c *Chart) {
			c.Person.BirthDate = ago(24 * 365 * 30)
			c.Conditions = []Condition{other}
		}, CheckPregnancy, CheckAbsent},
		{"a pregnancy two years ago", func(c *Chart) {
			c.Person.BirthDate = ago(24 * 365 * 30)
			c.Conditions = []Condition{diagnosis(TagPregnancy, 24*700)}
		}, CheckPregnancy, CheckAbsent},
		{"a pregnancy now", func(c *Chart) { c.Conditions = []Condition{diagnosis(TagPregnancy, 24*100)} }, CheckPregnancy, CheckPresent},
		{"comfort care", func(c *Chart) {
			c.Orders = []Order{{Tags: []Tag{TagComfortCare}, Text: "comfort", Start: ago(3), Available: ago(3), Status: "active"}}
		}, CheckComfortCare, CheckPresent},
		{"revoked comfort care", func(c *Chart) {
			c.Orders = []Order{{Tags: []Tag{TagComfortCare}, Text: "comfort", Start: ago(3), Available: ago(3), Status: "revoked"}}
		}, CheckComfortCare, CheckAbsent},
		{"prescriptions say nothing about comfort care", func(c *Chart) {
			c.Orders = []Order{{Class: ClassAntimicrobial, Drug: "vancomycin", Start: ago(3), Available: ago(3)}}
		}, CheckComfortCare, CheckNotChecked},
		{"orders that could not be read", func(c *Chart) { c.Gaps = []Gap{{GapOrders, "denied"}} }, CheckComfortCare, CheckNotChecked},
		{"a fall of haemoglobin by two", func(c *Chart) {
			c.Measurements = []Measurement{measure("hemoglobin", 10, 20, ""), measure("hemoglobin", 8, 1, "")}
		}, CheckBleeding, CheckPresent},
		{"a fall of haemoglobin by 1.9", func(c *Chart) {
			c.Measurements = []Measurement{measure("hemoglobin", 9.9, 20, ""), measure("hemoglobin", 8, 1, "")}
			c.Conditions = []Condition{other}
		}, CheckBleeding, CheckAbsent},
		{"a fall between two mornings", func(c *Chart) {
			c.Measurements = []Measurement{measure("hemoglobin", 11, 25, ""), measure("hemoglobin", 8.5, 1, "")}
		}, CheckBleeding, CheckPresent},
		{"a fall of haemoglobin that has recovered", func(c *Chart) {
			c.Measurements = []Measurement{measure("hemoglobin", 13.5, 9, ""), measure("hemoglobin", 10.3, 6, ""), measure("hemoglobin", 13, 2, "")}
			c.Conditions = []Condition{other}
		}, CheckBleeding, CheckAbsent},
		{"a blood gas is not compared with the laboratory", func(c *Chart) {
			c.Measurements = []Measurement{measure("hemoglobin", 11.2, 9, ""), measure("hemoglobin", 9, 2, MethodBloodGas), measure("hemoglobin", 11, 3, "")}
			c.Conditions = []Condition{other}
		}, CheckBleeding, CheckAbsent},
		{"a fall between two blood gases that the laboratory confirms", func(c *Chart) {
			c.Measurements = []Measurement{measure("hemoglobin", 11.2, 9, MethodBloodGas), measure("hemoglobin", 8.8, 2, MethodBloodGas), measure("hemoglobin", 9, 1, "")}
		}, CheckBleeding, CheckPresent},
		{"a fall between two blood gases that a newer laboratory value refutes", func(c *Chart) {
			c.Measurements = []Measurement{measure("hemoglobin", 13.9, 5, MethodBloodGas), measure("hemoglobin", 11.1, 3, MethodBloodGas), measure("hemoglobin", 12.9, 1, ""), measure("hemoglobin", 13.1, 20, "")}
			c.Conditions = []Condition{other}
		}, CheckBleeding, CheckAbsent},
		{"a fall last measured half a day ago", func(c *Chart) {
			c.Measurements = []Measurement{measure("hemoglobin", 12.5, 27, ""), measure("hemoglobin", 10.3, 16, "")}
			c.Conditions = []Condition{other}
		}, CheckBleeding, CheckNotChecked},
		{"one haemoglobin shows no trend", func(c *Chart) {
			c.Measurements = []Measurement{measure("hemoglobin", 9.9, 20, "")}
			c.Conditions = []Condition{other}
		}, CheckBleeding, CheckNotChecked},
		{"three units within three hours", func(c *Chart) {
			for h := range 3 {
				c.Administrations = append(c.Administrations, fluidRow(ClassBlood, FormBolus, 310, 0, float64(h)+0.9, float64(h)+0.1))
			}
		}, CheckBleeding, CheckPresent},
		{"a bleed years ago", func(c *Chart) {
			c.Conditions = []Condition{diagnosis(TagBleeding, 20000)}
			c.Measurements = []Measurement{measure("hemoglobin", 9.9, 20, ""), measure("hemoglobin", 9.8, 2, "")}
		}, CheckBleeding, CheckAbsent},
		{"an inotrope", func(c *Chart) { c.Administrations = []Administration{dobutamine} }, CheckVasoactive, CheckPresent},
		{"a vasopressor outside the table", func(c *Chart) {
			c.Administrations = []Administration{infusion("terlipressin", 1, UnitUgKgMin, 2, open)}
		}, CheckVasoactive, CheckPresent},
		{"norepinephrine is known", func(c *Chart) {
			c.Administrations = []Administration{infusion(DrugNorepinephrine, 0.1, UnitUgKgMin, 2, open)}
		}, CheckVasoactive, CheckAbsent},
		{"an ECMO run that ended", func(c *Chart) {
			c.Procedures = []Procedure{{Tags: []Tag{TagECMO}, Start: ago(9), End: ago(2), Available: ago(9)}}
		}, CheckECMO, CheckAbsent},
		{"an ECMO run that goes on", func(c *Chart) {
			c.Procedures = []Procedure{{Tags: []Tag{TagECMO}, Start: ago(9), End: ago(-2), Available: ago(9)}}
		}, CheckECMO, CheckPresent},
		{"a bedside procedure never closed", func(c *Chart) {
			c.Procedures = []Procedure{{Tags: []Tag{TagProcedureNow}, Start: ago(20), Available: ago(20)}}
		}, CheckProcedure, CheckAbsent},
		{"P/F down by more than 20 %", func(c *Chart) {
			c.Measurements = []Measurement{measure("fio2", 50, 8.5, ""), measure("pao2", 150, 8, MethodArterial), measure("fio2", 50, 2, ""), measure("pao2", 110, 1, MethodArterial)}
		}, CheckWorseningPF, CheckPresent},
		{"an impossible P/F is no earlier value to fall from", func(c *Chart) {
			c.Measurements = []Measurement{measure("fio2", 40, 8.5, ""), measure("pao2", 420, 8, MethodArterial), measure("fio2", 50, 2, ""), measure("pao2", 150, 1, MethodArterial)}
		}, CheckWorseningPF, CheckNotChecked},
		{"DNR is told, and excludes nobody", func(c *Chart) {
			c.Orders = []Order{{Tags: []Tag{TagDNR}, Text: "DNR", Start: ago(3), Available: ago(3)}}
		}, CheckDNR, CheckPresent},
		{"a key nobody asks", func(*Chart) {}, "no-such-key", CheckNotChecked},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := icuChart()
			tc.edit(c)
			if got := mustBuild(t, c).Check(tc.key); got.Result != tc.want {
				t.Errorf("%s: %q (%s), want %q", tc.key, got.Result, got.Evidence, tc.want)
			}
		})
	}
}

func TestBaselineNeverExceedsWhatIsScoredNow(t *testing.T) {
	c := icuChart()
	c.Conditions = []Condition{diagnosis(TagCirrhosis, 9000), diagnosis(TagESRD, 9000)}
	c.Measurements = []Measurement{measure("bilirubin_total", 0.8, 2, ""), measure("creatinine", 2.2, 2, ""), measure("platelet", 40, 2, "")}
	if s := mustBuild(t, c).Present.Sepsis; s.SOFA != 5 || s.BaselineSOFA != 2 || !s.BaselineKnown {
		t.Errorf("%+v, want SOFA 5 over baseline 2", s)
	}
}

func TestConfigValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*Config){
		"cuts that do not rise":                func(c *Config) { c.VasopressorCuts[1] = 0.05 },
		"a cut of zero":                        func(c *Config) { c.FluidCuts[0] = 0 },
		"a cut that is not a number":           func(c *Config) { c.FluidCuts[2] = math.NaN() },
		"a table that nobody published":        func(c *Config) { c.NETable = "ours" },
		"norepinephrine of two norepinephrine": func(c *Config) { c.NEFactors = map[Drug]NEFactor{DrugNorepinephrine: {UnitUgKgMin, 2}} },
		"a factor in mL/h":                     func(c *Config) { c.NEFactors = map[Drug]NEFactor{DrugVasopressin: {UnitMlH, 2}} },
		"a factor of zero":                     func(c *Config) { c.NEFactors = map[Drug]NEFactor{DrugVasopressin: {UnitUMin, 0}} },
		"a goal of 120":                        func(c *Config) { c.MAPGoalMmHg = 120 },
		"a negative hold":                      func(c *Config) { c.UndocumentedH = -1 },
		"goals the wrong way round":            func(c *Config) { c.MAPGoalMinMmHg, c.MAPGoalMaxMmHg = 80, 70 },
		"the zero value":                       func(c *Config) { *c = Config{} },
	} {
		cfg := DefaultConfig()
		edit(&cfg)
		if err := cfg.Validate(); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Build(icuChart(), t0, cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%s builds: %v", name, err)
		}
	}
	if _, err := Build(icuChart(), time.Time{}, DefaultConfig()); !errors.Is(err, ErrNoTime) {
		t.Errorf("the zero time builds: %v", err)
	}
}

func TestLevels(t *testing.T) {
	cfg := DefaultConfig()
	for _, tc := range []struct {
		ne, ml float64
		want   Levels
	}{{0, 0, Levels{0, 0}}, {0.01, 50, Levels{1, 1}}, {0.08, 50.1, Levels{1, 2}}, {0.081, 180, Levels{2, 2}},
		{0.22, 530, Levels{2, 3}}, {0.45, 531, Levels{3, 4}}, {0.451, 1e4, Levels{4, 4}}, {-1, math.NaN(), Levels{0, 0}},
		{0.1 + 0.12, 180, Levels{2, 2}}} {
		if got := cfg.LevelsOf(tc.ne, tc.ml); got != tc.want {
			t.Errorf("%v, %v: %+v, want %+v", tc.ne, tc.ml, got, tc.want)
		}
	}
}

func TestCatalogue(t *testing.T) {
	seen := map[string]Concept{}
	names := map[Concept]bool{}
	for i, f := range Catalogue() {
		if f.Index != i || f.Name == "" || f.Label == "" || names[f.Name] || len(f.LOINC) == 0 {
			t.Errorf("feature %d: %+v", i, f)
		}
		names[f.Name] = true
		if f.Lo > f.ModelLo || f.ModelLo >= f.ModelHi || f.ModelHi > f.Hi {
			t.Errorf("%s: model range %v to %v is not inside %v to %v", f.Name, f.ModelLo, f.ModelHi, f.Lo, f.Hi)
		}
		if f.Transform == Log && f.ModelLo <= 0 {
			t.Errorf("%s: log of %v", f.Name, f.ModelLo)
		}
		for _, code := range f.LOINC {
			if old, dup := seen[code]; dup {
				t.Errorf("LOINC %s is both %s and %s", code, old, f.Name)
			}
			seen[code] = f.Name
		}
		if got, ok := Lookup(f.Name); !ok || got.Index != i {
			t.Errorf("lookup of %s gives %d", f.Name, got.Index)
		}
	}
	if len(names) != NumFeatures || Catalogue()[MeanBP].Name != "meanbp" || Catalogue()[Urine].Name != "output_4hourly" {
		t.Error("the order of the catalogue has moved")
	}
	if _, ok := Lookup("weight"); ok {
		t.Error("weight is not a feature")
	}
}
