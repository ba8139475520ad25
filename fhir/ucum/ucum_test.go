// SPDX-License-Identifier: Apache-2.0

package ucum_test

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/sepsisagent/sepsisagent/fhir/ucum"
)

func TestConvert(t *testing.T) {
	tests := []struct {
		name     string
		value    float64
		from, to string
		want     float64
	}{
		{"the same unit changes nothing", 0.1, "mg/dL", "mg/dL", 0.1},
		{"grams per litre to grams per decilitre", 98, "g/L", "g/dL", 9.8},
		{"cells per litre to thousands per microlitre", 150, "10*9/L", "10*3/uL", 150},
		{"the caret form of a power of ten", 150, "10^9/L", "10*3/uL", 150},
		{"kilopascal to millimetres of mercury", 10, "kPa", "mm[Hg]", 75.00638},
		{"fahrenheit to celsius", 98.6, "[degF]", "Cel", 37},
		{"celsius to fahrenheit", 37, "Cel", "[degF]", 98.6},
		{"celsius to kelvin", 0, "Cel", "K", 273.15},
		{"fraction to percent", 0.4, "1", "%", 40},
		{"microkatal to enzyme units", 1, "ukat/L", "U/L", 60},
		{"pounds to kilograms", 220, "[lb_av]", "kg", 99.7903214},
		{"inches to centimetres", 70, "[in_i]", "cm", 177.8},
		{"milligrams per hour to micrograms per minute", 6, "mg/h", "ug/min", 100},
		{"milligrams per kilogram and hour", 0.6, "mg/kg/h", "ug/kg/min", 10},
		{"units per hour to units per minute", 2.4, "[iU]/h", "[iU]/min", 0.04},
		{"nanograms to micrograms per kilogram and minute", 20, "ng/kg/min", "ug/kg/min", 0.02},
		{"beats per minute annotated", 88, "{beats}/min", "/min", 88},
		{"grouped denominator", 5, "ug/(kg.min)", "ug/kg/min", 5},
		{"litres to millilitres", 1.5, "L", "mL", 1500},
		{"millilitres per minute to per hour", 2, "mL/min", "mL/h", 120},
		{"exponent notation", 3, "ug.kg-1.min-1", "ug/kg/min", 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ucum.Convert(tt.value, tt.from, tt.to)
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(got-tt.want) > 1e-5*math.Abs(tt.want) {
				t.Errorf("%g %s = %g %s, want %g", tt.value, tt.from, got, tt.to, tt.want)
			}
		})
	}
}

func TestConvertRefuses(t *testing.T) {
	tests := []struct {
		name, from, to string
		want           error
	}{
		{"a unit nobody defined", "wibble", "mg/dL", ucum.ErrUnknown},
		{"no unit at all", "", "mg/dL", ucum.ErrUnknown},
		{"substance to mass without the substance", "umol/L", "mg/dL", ucum.ErrIncommensurable},
		{"equivalents to mol without the charge", "meq/L", "mmol/L", ucum.ErrIncommensurable},
		{"international units to mass", "[iU]/h", "mg/h", ucum.ErrIncommensurable},
		{"enzyme units to international units", "U/h", "[iU]/h", ucum.ErrIncommensurable},
		{"volume rate to mass rate", "mL/h", "mg/h", ucum.ErrIncommensurable},
		{"a temperature inside a product", "Cel/min", "K/min", ucum.ErrUnknown},
		{"a prefix on a unit that takes none", "mmin", "min", ucum.ErrUnknown},
		{"unclosed annotation", "{beats/min", "/min", ucum.ErrUnknown},
		{"trailing operator", "mg/", "mg", ucum.ErrUnknown},
		{"clinical shorthand", "mcg/kg/min", "ug/kg/min", ucum.ErrUnknown},
		{"hour spelled hr", "mL/hr", "mL/h", ucum.ErrUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := ucum.Convert(1, tt.from, tt.to); !errors.Is(err, tt.want) {
				t.Errorf("got %g, %v; want %v", got, err, tt.want)
			}
		})
	}
}

var kinds = [][]string{
	{"g", "mg", "ug", "ng", "kg", "[lb_av]"}, {"mL", "L", "dL", "uL"}, {"mm[Hg]", "kPa", "cm[H2O]", "bar"},
	{"Cel", "[degF]", "K"}, {"ug/kg/min", "mg/kg/h", "ng/kg/min"}, {"10*3/uL", "10*9/L", "/mm3"}, {"%", "1", "{score}"},
}

func TestConvertingThereAndBackIsTheIdentity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom(kinds).Draw(t, "kind")
		from := rapid.SampledFrom(kind).Draw(t, "from")
		to := rapid.SampledFrom(kind).Draw(t, "to")
		v := rapid.Float64Range(1e-3, 1e5).Draw(t, "value")
		there, err := ucum.Convert(v, from, to)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ucum.Convert(there, to, from)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(back-v) > 1e-6*math.Max(1, v) {
			t.Fatalf("%g %s -> %g %s -> %g", v, from, there, to, back)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"mg/dL", "10*3/uL", "ug/kg/min", "((((m))))", "{a}{b}", "10^-9", "mm[Hg]", "/min", "m[", "Cel", "1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ucum.Parse(s)
		if err != nil {
			return
		}
		if v := u.To(1, u); v != 1 {
			t.Errorf("%q to itself: %g", s, v)
		}
	})
}
