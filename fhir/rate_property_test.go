// SPDX-License-Identifier: Apache-2.0

package fhir

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// This file: what holds for every rate: twins of units agree, a volume times
// its concentration is the mass, order does not matter, and nothing that was
// not understood becomes a number.

// bagged is a running infusion of a drug by volume.
func bagged(code string, mlH, amount float64, unit string, ml float64) string {
	return mar("m1", "in-progress", commas(`"medicationCodeableConcept":`+rx(code), spanning(60, -1),
		fmt.Sprintf(`"dosage":{"extension":[{"url":"urn:x:infusion-concentration","valueRatio":{"numerator":{"value":%g,"unit":%q},"denominator":{"value":%g,"unit":"mL"}}}],"rateQuantity":{"value":%g,"unit":"mL/h"}}`, amount, unit, ml, mlH)))
}

func rated(code string, value float64, unit string) string {
	return mar("m1", "in-progress", commas(`"medicationCodeableConcept":`+rx(code), spanning(60, -1),
		fmt.Sprintf(`"dosage":{"rateQuantity":{"value":%g,"unit":%q}}`, value, unit)))
}

// only is the one administration of a resource.
func only(t *rapid.T, m *Mapper, resource string) state.Administration {
	c := chartFrom(t, m, "p1", []json.RawMessage{json.RawMessage(testPatient), json.RawMessage(testEncounter), json.RawMessage(resource)})
	if len(c.Administrations) != 1 {
		t.Fatalf("%d administrations of %s: %v", len(c.Administrations), resource, c.Tally.Reasons)
	}
	return c.Administrations[0]
}

// twins are pairs of units with how much of the second one is one of the first.
var twins = []struct {
	code, first, second string
	factor              float64
}{
	{"7512", "ug/kg/min", "mcg/kg/min", 1}, {"7512", "ug/kg/min", "ug/kg/h", 60}, {"7512", "ug/kg/min", "ng/kg/min", 1000}, {"7512", "ug/kg/min", "mg/kg/h", 0.06},
	{"7512", "ug/min", "mg/h", 0.06}, {"7512", "mcg/min", "ug/h", 60}, {"3628", "mcg/min", "g/d", 0.00144},
	{"11149", "U/min", "U/h", 60}, {"11149", "[iU]/min", "milliunits/min", 1000}, {"11149", "units/hr", "m[iU]/min", 1000.0 / 60},
}

func TestTwinUnitsGiveTheSameRate(t *testing.T) {
	m := testMapper(t)
	rapid.Check(t, func(t *rapid.T) {
		w := rapid.SampledFrom(twins).Draw(t, "units")
		v := rapid.Float64Range(0, 0.02).Draw(t, "rate")
		a, b := only(t, m, rated(w.code, v, w.first)), only(t, m, rated(w.code, v*w.factor, w.second))
		if !a.RateKnown || !b.RateKnown || a.RateUnit != b.RateUnit || math.Abs(a.Rate-b.Rate) > 1e-9*(1+a.Rate) {
			t.Fatalf("%g %s is %+v, %g %s is %+v", v, w.first, a, v*w.factor, w.second, b)
		}
	})
}

func TestVolumeTimesConcentrationIsTheMass(t *testing.T) {
	m := testMapper(t)
	rapid.Check(t, func(t *rapid.T) {
		mlH := rapid.Float64Range(0.1, 30).Draw(t, "mL/h")
		mg := rapid.SampledFrom([]float64{1, 2, 4, 8, 16}).Draw(t, "mg")
		ml := rapid.SampledFrom([]float64{50, 100, 250, 500}).Draw(t, "mL")
		byVolume, byMass := only(t, m, bagged("7512", mlH, mg, "mg", ml)), only(t, m, rated("7512", mlH*mg/ml, "mg/h"))
		if byVolume.RateKnown != byMass.RateKnown || math.Abs(byVolume.Rate-byMass.Rate) > 1e-9*(1+byMass.Rate) {
			t.Fatalf("%+v and %+v", byVolume, byMass)
		}
		if !byVolume.RateKnown {
			return // beyond what is plausible, either way
		}
		if byVolume.MlPerH != mlH || byVolume.Ledger != state.LedgerCarrier {
			t.Fatalf("carrier of %+v", byVolume)
		}
		if twice := only(t, m, bagged("7512", mlH, 2*mg, "mg", ml)); twice.RateKnown && math.Abs(twice.Rate-2*byVolume.Rate) > 1e-9*(1+twice.Rate) {
			t.Fatalf("twice as strong: %g, was %g", twice.Rate, byVolume.Rate)
		}
	})
}

func TestOrderOfRowsNeverChangesTheTimeline(t *testing.T) {
	m := testMapper(t)
	rapid.Check(t, func(t *rapid.T) {
		var rows []json.RawMessage
		for i := range rapid.IntRange(1, 8).Draw(t, "rows") {
			from := rapid.IntRange(0, 40).Draw(t, "from") * 10
			when := instantly(from)
			if rapid.Bool().Draw(t, "period") {
				when = spanning(from, max(-1, from-rapid.IntRange(0, 30).Draw(t, "length")*10))
			}
			drug := ne()
			if rapid.IntRange(0, 3).Draw(t, "late") == 0 {
				drug = `"medicationReference":{"reference":"Medication/ne"}`
			}
			status := rapid.SampledFrom([]string{"in-progress", "completed", "stopped", "on-hold", "unknown", "not-done"}).Draw(t, "status")
			rows = append(rows, json.RawMessage(mar(fmt.Sprintf("m%d", i), status, commas(drug, when, ugKgMin(rapid.SampledFrom([]string{"0", "0.1", "0.25", "-1"}).Draw(t, "rate"))))))
		}
		resources := append(rows, json.RawMessage(testPatient), json.RawMessage(testEncounter), json.RawMessage(aMedication))
		bytesOf := func() string {
			tl, err := state.Build(chartFrom(t, m, "p1", resources), testNow, state.DefaultConfig())
			if err != nil {
				t.Fatal(err)
			}
			b, err := tl.Canonical()
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		first := bytesOf()
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 3))
		r.Shuffle(len(resources), func(i, j int) { resources[i], resources[j] = resources[j], resources[i] })
		if again := bytesOf(); again != first {
			t.Fatalf("order changes the timeline:\n%s\n%s", first, again)
		}
	})
}

// FuzzAdministration reads anything as the dosage and the medication of an
// infusion. What comes out is a plausible number in one of four units, or
// unknown with a reason; and the stored record gives the same again.
func FuzzAdministration(f *testing.F) {
	data, err := os.ReadFile("testdata/rate_cases.yaml")
	if err != nil {
		f.Fatal(err)
	}
	var file struct {
		Cases []rateCase `yaml:"cases"`
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		f.Fatal(err)
	}
	for i := range file.Cases {
		f.Add([]byte(file.Cases[i].resources(f)[0]))
	}
	f.Add([]byte(mar("m1", "stopped", commas(ne(), instantly(60)))))
	f.Add([]byte(mar("m1", "in-progress", commas(`"medicationReference":{"reference":"Medication/x"}`, spanning(60, -1), `"dosage":{"rateRatio":{"numerator":{"value":1e9,"unit":"mL"},"denominator":{"value":0,"unit":"h"}}}`))))
	m := testMapper(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		b := NewBag("p1")
		for _, r := range [][]byte{[]byte(testPatient), []byte(testEncounter), raw, []byte(aMedication)} {
			_ = m.Add(b, r, state.Origin{})
		}
		c, err := m.Chart(b, "", testNow)
		if err != nil {
			return // a second Patient or Encounter
		}
		if c.Tally.Read != c.Tally.Used+c.Tally.Ignored+c.Tally.Rejected {
			t.Fatalf("tally does not sum: %+v", c.Tally)
		}
		for i := range c.Administrations {
			checkAdministration(t, &c.Administrations[i])
		}
		again, err := m.Remap(c.Person, c.Stay, c.Gaps, c.Records)
		if err != nil {
			t.Fatal(err)
		}
		if want, got := asJSON(t, &state.Chart{Administrations: c.Administrations}), asJSON(t, &state.Chart{Administrations: again.Administrations}); want != got {
			t.Fatalf("the stored record maps to something else:\n%s\n%s", want, got)
		}
		if _, err := state.Build(c, testNow, state.DefaultConfig()); err != nil {
			t.Fatal(err)
		}
	})
}

func checkAdministration(t *testing.T, a *state.Administration) {
	for _, v := range []float64{a.Rate, a.AmountMl, a.MlPerH, a.DosingKg} {
		if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
			t.Fatalf("%g in %+v", v, a)
		}
	}
	switch {
	case !a.RateKnown && (a.Rate != 0 || a.RateUnit != ""):
		t.Fatalf("an unknown rate with a number: %+v", a)
	case a.RateKnown && !strings.Contains("ug/kg/min ug/min [iU]/min mL/h", a.RateUnit):
		t.Fatalf("unit of %+v", a)
	case (isVasoactive(a.Class) || a.Class == state.ClassUnidentified) && a.RateKnown == (a.Unknown != ""):
		t.Fatalf("known and unknown at once: %+v", a)
	case a.Class == state.ClassVasopressor && a.RateKnown && a.Rate > 5000:
		t.Fatalf("implausible: %+v", a)
	case !a.End.IsZero() && a.End.Before(a.Start), a.Available.Before(a.Start):
		t.Fatalf("times of %+v", a)
	}
}
