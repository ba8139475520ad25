// SPDX-License-Identifier: Apache-2.0

package state

import "testing"

// This file: SOFA by hand.

func TestSOFAByHand(t *testing.T) {
	vented := Procedure{Tags: []Tag{TagVentInvasive}, Text: "ventilation", Start: ago(20), Available: ago(20), Record: -1}
	gcs := func(e, v, m, h float64, method string) []Measurement {
		return []Measurement{measure("gcs_eye", e, h, ""), measure("gcs_verbal", v, h, method), measure("gcs_motor", m, h, "")}
	}
	for _, tc := range []struct {
		name string
		m    []Measurement
		a    []Administration
		p    []Procedure
		gap  string
		want SOFA
	}{
		{name: "an empty chart scores nothing",
			want: SOFA{-1, -1, -1, -1, -1, -1, 0, 0}},
		{name: "a healthy patient scores zero six times but for the lung and urine",
			m:    append(gcs(4, 5, 6, 1, ""), measure("platelet", 220, 2, ""), measure("bilirubin_total", 0.6, 2, ""), measure("creatinine", 0.8, 2, ""), measure("meanbp", 85, 1, "")),
			want: SOFA{-1, 0, 0, 0, 0, 0, 0, 5}},
		{name: "boundaries belong to the milder platelet and the worse bilirubin and creatinine class",
			m:    []Measurement{measure("platelet", 150, 2, ""), measure("bilirubin_total", 1.2, 2, ""), measure("creatinine", 5, 2, "")},
			want: SOFA{-1, 0, 1, -1, -1, 4, 5, 3}},
		{name: "the worst of 24 h counts, not the newest, and nothing older",
			m:    []Measurement{measure("platelet", 40, 23.9, ""), measure("platelet", 160, 1, ""), measure("creatinine", 6, 24, "")},
			want: SOFA{-1, 3, -1, -1, -1, -1, 3, 1}},
		{name: "P/F 90 off the ventilator is 2",
			m:    []Measurement{measure("pao2", 54, 3, MethodArterial), measure("fio2", 60, 4, "")},
			want: SOFA{2, -1, -1, -1, -1, -1, 2, 1}},
		{name: "P/F 90 on the ventilator is 4",
			m: []Measurement{measure("pao2", 54, 3, MethodArterial), measure("fio2", 60, 4, "")}, p: []Procedure{vented},
			want: SOFA{4, -1, -1, -1, -1, -1, 4, 1}},
		{name: "P/F 150 on the ventilator is 3",
			m: []Measurement{measure("pao2", 90, 3, MethodArterial), measure("fio2", 60, 4, "")}, p: []Procedure{vented},
			want: SOFA{3, -1, -1, -1, -1, -1, 3, 1}},
		{name: "inspired oxygen older than 4 h does not go with a gas",
			m:    []Measurement{measure("pao2", 54, 3, MethodArterial), measure("fio2", 60, 7.5, "")},
			want: SOFA{-1, -1, -1, -1, -1, -1, 0, 0}},
		{name: "MAP 69 without drugs is 1",
			m: []Measurement{measure("meanbp", 69, 3, "")}, want: SOFA{-1, -1, -1, 1, -1, -1, 1, 1}},
		{name: "norepinephrine above 0.1 is 4",
			a: []Administration{infusion(DrugNorepinephrine, 0.11, UnitUgKgMin, 3, open)}, want: SOFA{-1, -1, -1, 4, -1, -1, 4, 1}},
		{name: "norepinephrine of exactly 0.1 is 3",
			a: []Administration{infusion(DrugNorepinephrine, 0.1, UnitUgKgMin, 3, open)}, want: SOFA{-1, -1, -1, 3, -1, -1, 3, 1}},
		{name: "epinephrine 0.2 is 4", a: []Administration{infusion(DrugEpinephrine, 0.2, UnitUgKgMin, 3, open)}, want: SOFA{-1, -1, -1, 4, -1, -1, 4, 1}},
		{name: "dopamine 5 is 2", a: []Administration{infusion(DrugDopamine, 5, UnitUgKgMin, 3, open)}, want: SOFA{-1, -1, -1, 2, -1, -1, 2, 1}},
		{name: "dopamine 5.1 is 3", a: []Administration{infusion(DrugDopamine, 5.1, UnitUgKgMin, 3, open)}, want: SOFA{-1, -1, -1, 3, -1, -1, 3, 1}},
		{name: "dopamine 16 is 4", a: []Administration{infusion(DrugDopamine, 16, UnitUgKgMin, 3, open)}, want: SOFA{-1, -1, -1, 4, -1, -1, 4, 1}},
		{name: "any dobutamine is 2",
			a: []Administration{func() Administration {
				a := infusion(DrugDobutamine, 2.5, UnitUgKgMin, 3, open)
				a.Class = ClassInotrope
				return a
			}()},
			want: SOFA{-1, -1, -1, 2, -1, -1, 2, 1}},
		{name: "vasopressin alone is scored by pressure",
			m: []Measurement{measure("meanbp", 75, 1, "")}, a: []Administration{infusion(DrugVasopressin, 0.03, UnitUMin, 3, open)},
			want: SOFA{-1, -1, -1, 0, -1, -1, 0, 1}},
		{name: "a good pressure where vasopressors are not charted is not zero",
			m: []Measurement{measure("meanbp", 75, 1, "")}, gap: GapVasopressor, want: SOFA{-1, -1, -1, -1, -1, -1, 0, 0}},
		{name: "GCS 3+4+6 is 1", m: gcs(3, 4, 6, 2, ""), want: SOFA{-1, -1, -1, -1, 1, -1, 1, 1}},
		{name: "GCS 1+1+3 is 4", m: gcs(1, 1, 3, 2, ""), want: SOFA{-1, -1, -1, -1, 4, -1, 4, 1}},
		{name: "an intubated patient counts as 15", m: gcs(1, 1, 3, 2, MethodIntubated), want: SOFA{-1, -1, -1, -1, 0, -1, 0, 1}},
		{name: "verbal 1 on the ventilator cannot be tested", m: gcs(1, 1, 3, 2, ""), p: []Procedure{vented}, want: SOFA{-1, -1, -1, -1, 0, -1, 0, 1}},
		{name: "one part of the coma scale alone is no score", m: []Measurement{measure("gcs_motor", 3, 2, "")}, want: SOFA{-1, -1, -1, -1, -1, -1, 0, 0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := icuChart()
			c.Measurements, c.Administrations, c.Procedures = tc.m, tc.a, tc.p
			if tc.gap != "" {
				c.Gaps = []Gap{{What: tc.gap, Reason: "not charted"}}
			}
			if got := mustBuild(t, c).Last().SOFA; got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}
