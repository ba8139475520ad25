// SPDX-License-Identifier: Apache-2.0

package state

import (
	"strings"
	"testing"
)

func TestAGasIsPairedWithRoomAirOnlyWhileItIsBreathed(t *testing.T) {
	m := func(concept Concept, value float64, method string, hoursAgo, knownAgo float64) Measurement {
		return Measurement{Concept: concept, Value: value, Method: method, Effective: ago(hoursAgo), Available: ago(knownAgo), Record: -1}
	}
	air := m("fio2", 21, MethodRoomAir, 6, 6)
	tests := []struct {
		name  string
		chart []Measurement
		want  float64 // P/F; 0: none
	}{
		{"before the cannula", []Measurement{air, m("pao2", 84, MethodArterial, 5, 5), m(ConceptO2Device, 1, "", 4, 4)}, 400},
		{"under the cannula", []Measurement{air, m(ConceptO2Device, 1, "", 5, 5), m("pao2", 84, MethodArterial, 4, 4)}, 0},
		{"under a cannula nobody knows of yet", []Measurement{air, m(ConceptO2Device, 1, "", 5, -1), m("pao2", 84, MethodArterial, 4, 4)}, 400},
		{"under a charted fraction, whatever the device", []Measurement{m("fio2", 40, "", 6, 6), m(ConceptO2Device, 1, "", 5, 5), m("pao2", 84, MethodArterial, 4, 4)}, 210},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &Chart{Measurements: tt.chart}
			tl, err := Build(c, t0, DefaultConfig())
			if err != nil {
				t.Fatal(err)
			}
			got := 0.0
			if r := tl.Present.PFRatio.Now; r != nil {
				got = r.Value
			}
			if got != tt.want {
				t.Errorf("P/F %g, want %g", got, tt.want)
			}
		})
	}
}

func TestWhyRoomAirIsNoLongerUsedIsExplained(t *testing.T) {
	c := &Chart{Measurements: []Measurement{
		{Concept: "fio2", Value: 21, Method: MethodRoomAir, Effective: ago(6), Available: ago(6), Record: -1},
		{Concept: ConceptO2Device, Value: 1, Effective: ago(5), Available: ago(5), Record: -1}}}
	e, err := Explain(c, t0, DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range e.Values {
		if v.Concept == "fio2" {
			if v.Chosen != nil || !strings.Contains(v.Why, "another device since") || !strings.Contains(v.Step.How, "another device since") {
				t.Errorf("got %+v, step %+v", v, v.Step)
			}
			return
		}
	}
	t.Error("FiO2 is not explained")
}
