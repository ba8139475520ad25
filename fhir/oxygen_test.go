// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: the device by which oxygen is given. Room air is a fraction of
// oxygen; a cannula is not.

import (
	"fmt"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

const (
	oxygenDevice = "107117-4" // LOINC: method of oxygen delivery
	noFraction   = "by answer: oxygen device that does not determine the FiO2"
)

func TestAnOxygenDeviceIsAnFiO2OnlyWhereItDeterminesIt(t *testing.T) {
	m := testMapper(t)
	text := func(s string) string { return fmt.Sprintf(`"valueString":%q`, s) }
	coded := func(system, code string) string {
		return fmt.Sprintf(`"valueCodeableConcept":{"coding":[{"system":%q,"code":%q}]}`, system, code)
	}
	const snomed, loinc = "http://snomed.info/sct", "http://loinc.org"
	tests := []struct {
		name, code, value string
		reason            string // empty: 21 %, of room air
	}{
		{"room air in words", oxygenDevice, text("Room air"), ""},
		{"room air in short", oxygenDevice, text("RA"), ""},
		{"room air as a finding", oxygenDevice, text(" breathing room air "), ""},
		{"room air by SNOMED CT", oxygenDevice, coded(snomed, "722742002"), ""},
		{"room air by a LOINC answer", oxygenDevice, coded(loinc, "LA11849-9"), ""},
		{"room air in the text of a local code", oxygenDevice, `"valueCodeableConcept":{"text":"Room Air","coding":[{"system":"urn:x","code":"7"}]}`, ""},
		{"room air where the FiO2 is charted", "3150-0", text("Room air"), ""},
		{"a cannula", oxygenDevice, text("Nasal cannula"), noFraction},
		{"a cannula by SNOMED CT", oxygenDevice, coded(snomed, "336623009"), noFraction},
		{"a mask with a percentage on it", oxygenDevice, text("40% Venturi mask"), noFraction},
		{"a flow in the place of a device", oxygenDevice, text("6 L/min"), noFraction},
		{"a number in the place of a device", oxygenDevice, valueIn("2", "L/min"), noFraction},
		{"a percentage in the place of a device", oxygenDevice, valueIn("40", "%"), noFraction},
		{"room air after something else", oxygenDevice, text("cannula, RA at night"), noFraction},
		{"a heart chamber in short is a whole answer or none", oxygenDevice, text("RA catheter"), noFraction},
		{"nothing charted", oxygenDevice, `"note":[{"text":"x"}]`, reasonNoValue},
		{"a cannula where the FiO2 is charted", "3150-0", text("Nasal cannula"), reasonText},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := chartOf(t, m, observation(tt.code, tt.value))
			if tt.reason == noFraction {
				if len(c.Measurements) != 1 {
					t.Fatalf("got %+v, reasons %v", c.Measurements, c.Tally.Reasons)
				}
				if g := c.Measurements[0]; g.Concept != state.ConceptO2Device || g.Value != 1 || g.Conversion != noFraction || g.Received == "" || g.Method != "" {
					t.Errorf("got %+v", g)
				}
				return
			}
			if tt.reason != "" {
				if len(c.Measurements) != 0 || c.Tally.Reasons[tt.reason] != 1 {
					t.Errorf("got %+v, reasons %v, want %q", c.Measurements, c.Tally.Reasons, tt.reason)
				}
				return
			}
			if len(c.Measurements) != 1 {
				t.Fatalf("rejects %v, reasons %v", c.Rejects, c.Tally.Reasons)
			}
			if g := c.Measurements[0]; g.Concept != "fio2" || g.Value != 21 || g.Method != state.MethodRoomAir || g.Conversion != "by answer: room air" || g.Received == "" {
				t.Errorf("got %+v", g)
			}
		})
	}
}

func TestAFlowBesideADeviceGivesNoFiO2(t *testing.T) {
	c := chartOf(t, testMapper(t), observation("59408-5", valueIn("96", "%")+`,"component":[`+
		`{"code":{"coding":[{"system":"http://loinc.org","code":"3151-8"}]},"valueQuantity":{"value":6,"code":"L/min"}},`+
		`{"code":{"coding":[{"system":"http://loinc.org","code":"107117-4"}]},"valueString":"Nasal cannula"}]`))
	for _, g := range c.Measurements {
		if g.Concept == "fio2" {
			t.Errorf("got %+v", g)
		}
	}
	if len(c.Measurements) != 3 {
		t.Errorf("want saturation, flow and device, got %+v", c.Measurements)
	}
}

// TestASiteAddsItsOwnOxygenDevice reads the example of configs/codes/README.md.
func TestASiteAddsItsOwnOxygenDevice(t *testing.T) {
	maps, err := LoadCodeMaps(embedded(), readmeMap(t))
	if err != nil {
		t.Fatal(err)
	}
	device := func(id, value string) string {
		return fmt.Sprintf(`{"resourceType":"Observation","id":%q,"status":"final","code":{"coding":[{"system":"urn:hospital:lab","code":"O2DEV"}]},"subject":{"reference":"Patient/p1"},"effectiveDateTime":"2026-03-01T10:00:00Z","valueCodeableConcept":{"coding":[{"system":"urn:hospital:lab","code":%q}]}}`, id, value)
	}
	c := chartOf(t, NewMapper(maps), device("air", "RAIR"), device("mask", "MASK"))
	if len(c.Measurements) != 2 {
		t.Fatalf("got %+v, reasons %v", c.Measurements, c.Tally.Reasons)
	}
	for _, g := range c.Measurements {
		if air := g.Concept == "fio2" && g.Value == 21 && g.Received == "RAIR"; !air && (g.Concept != state.ConceptO2Device || g.Received != "MASK") {
			t.Errorf("got %+v", g)
		}
	}
}

func TestRoomAirIsExplained(t *testing.T) {
	c := chartOf(t, testMapper(t), observation(oxygenDevice, `"valueCodeableConcept":{"coding":[{"system":"http://snomed.info/sct","code":"722742002"}]}`))
	e, err := state.Explain(c, testNow, state.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range e.Values {
		if v.Concept != "fio2" {
			continue
		}
		if v.Chosen == nil || v.Chosen.Value != 21 || v.Chosen.Unit != "%" || v.Chosen.Conversion != "by answer: room air" || v.Chosen.Received != "722742002" {
			t.Errorf("got %+v", v.Chosen)
		}
		return
	}
	t.Error("FiO2 is not explained")
}

func TestADeviceBesideTheFractionItGivesDoesNotHideIt(t *testing.T) {
	const device, fraction = `{"system":"http://loinc.org","code":"107117-4"}`, `{"system":"http://loinc.org","code":"3150-0"}`
	for _, codes := range []string{device + "," + fraction, fraction + "," + device} {
		c := chartOf(t, testMapper(t), fmt.Sprintf(`{"resourceType":"Observation","id":"o1","status":"final","code":{"coding":[%s]},"subject":{"reference":"Patient/p1"},"effectiveDateTime":"2026-03-01T10:00:00Z",%s}`, codes, valueIn("40", "%")))
		if len(c.Measurements) != 1 || c.Measurements[0].Concept != "fio2" || c.Measurements[0].Value != 40 {
			t.Errorf("%s: got %+v, reasons %v", codes, c.Measurements, c.Tally.Reasons)
		}
	}
}

// TestRoomAirEndsWithTheNextDevice reads a chart of device entries from the
// wire to what the bedside and the model see.
func TestRoomAirEndsWithTheNextDevice(t *testing.T) {
	m := testMapper(t)
	hour := func(h int) string { return testNow.Add(time.Duration(h) * time.Hour).Format(time.RFC3339) }
	on := func(id, value string, h int) string {
		return fmt.Sprintf(`{"resourceType":"Observation","id":%q,"status":"final","code":{"coding":[{"system":"http://loinc.org","code":"107117-4"}]},"subject":{"reference":"Patient/p1"},"effectiveDateTime":%q,"issued":%q,"valueString":%q}`, id, hour(h), hour(h), value)
	}
	charted := fmt.Sprintf(`{"resourceType":"Observation","id":"f","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"3150-0"}]},"subject":{"reference":"Patient/p1"},"effectiveDateTime":%q,"issued":%q,"valueQuantity":{"value":40,"unit":"%%","code":"%%"}}`, hour(-6), hour(-6))
	tests := []struct {
		name  string
		chart []string
		want  float64 // 0: not known
	}{
		{"room air stands until something follows", []string{on("a", "Room air", -6)}, 21},
		{"a cannula ends it", []string{on("a", "Room air", -6), on("b", "Nasal cannula", -5)}, 0},
		{"a cannula before it does not", []string{on("b", "Nasal cannula", -7), on("a", "Room air", -6)}, 21},
		{"room air once more stands again", []string{on("a", "Room air", -8), on("b", "Nasal cannula", -7), on("c", "RA", -6)}, 21},
		{"a charted fraction stands beside a device named later", []string{charted, on("b", "Ventilator", -5)}, 40},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tl, err := state.Build(chartOf(t, m, tt.chart...), testNow, state.DefaultConfig())
			if err != nil {
				t.Fatal(err)
			}
			step := tl.Steps[len(tl.Steps)-1]
			now, shown := tl.Present.Readings["fio2"]
			if tt.want == 0 {
				if shown || step.Presence[state.FiO2] != state.Missing {
					t.Errorf("shown %v %+v, in the step %v %g", shown, now, step.Presence[state.FiO2], step.Value[state.FiO2])
				}
				return
			}
			if now.Value != tt.want || step.Presence[state.FiO2] != state.Carried || step.Value[state.FiO2] != tt.want {
				t.Errorf("shown %+v, in the step %v %g, want %g", now, step.Presence[state.FiO2], step.Value[state.FiO2], tt.want)
			}
		})
	}
}
