// SPDX-License-Identifier: Apache-2.0

package state

// This file: the arterial line and the cuff stay apart in the steps too.

import "testing"

func TestAStepNeverAveragesLineAndCuff(t *testing.T) {
	for _, tt := range []struct {
		name string
		read []Measurement
		want float64
		ageH float64
	}{
		{"the line alone", []Measurement{measure("meanbp", 60, 2, MethodArterial), measure("meanbp", 70, 1, MethodArterial)}, 65, 1},
		{"the cuff alone", []Measurement{measure("meanbp", 60, 2, MethodCuff), measure("meanbp", 70, 1, MethodCuff)}, 65, 1},
		{"the line before a newer cuff", []Measurement{measure("meanbp", 60, 1, MethodArterial), measure("meanbp", 80, 0.5, MethodCuff)}, 60, 1},
		{"the cuff, once the line is out for an hour", []Measurement{measure("meanbp", 60, 3, MethodArterial), measure("meanbp", 80, 1, MethodCuff), measure("meanbp", 90, 0.5, MethodCuff)}, 85, 0.5},
		{"the line just put in", []Measurement{measure("meanbp", 80, 3, MethodCuff), measure("meanbp", 82, 2, MethodCuff), measure("meanbp", 60, 0.25, MethodArterial)}, 60, 0.25},
		{"an unnamed source is a source of its own", []Measurement{measure("meanbp", 70, 3, MethodCuff), measure("meanbp", 90, 1, "")}, 90, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := icuChart()
			c.Measurements = tt.read
			s := mustBuild(t, c).Last()
			if s.Presence[MeanBP] != Measured || s.Value[MeanBP] != tt.want || s.AgeH[MeanBP] != tt.ageH {
				t.Errorf("got %g, %g h old, want %g", s.Value[MeanBP], s.AgeH[MeanBP], tt.want)
			}
		})
	}
	c := icuChart()
	late := measure("meanbp", 60, 1, MethodArterial)
	late.Available = ago(-1)
	c.Measurements = []Measurement{late, measure("meanbp", 80, 1.5, MethodCuff)}
	if s := mustBuild(t, c).Last(); s.Value[MeanBP] != 80 {
		t.Errorf("a line reading that is not known yet chose the source: %g", s.Value[MeanBP])
	}
	c.Measurements = []Measurement{measure("heart_rate", 80, 1, MethodArterial), measure("heart_rate", 90, 2, MethodCuff)}
	if s := mustBuild(t, c).Last(); s.Value[HeartRate] != 85 {
		t.Errorf("heart rates have no source: %g", s.Value[HeartRate])
	}
}
