// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"math"
	"strings"
	"testing"
)

// good is what a model finds that clears every default bar.
func good() Found {
	return Found{
		Patients: 171, Stays: 211, Decisions: 2832, Coverage: Range{0.794, 0.783, 0.804},
		Error: Range{0.41, 0.40, 0.43}, Persistence: Range{0.46, 0.44, 0.48},
		VentAUROC: Range{0.98, 0.97, 0.99}, MortalityAUROC: Range{0.83, 0.71, 0.94}, Vaso24hAUROC: Range{0.97, 0.9, 1},
	}
}

func TestAModelIsJudgedByTheBars(t *testing.T) {
	none := Range{math.NaN(), math.NaN(), math.NaN()}
	for _, c := range []struct {
		name   string
		found  func(*Found)
		bars   func(*Bars)
		reason string // part of the only reason; empty: it clears all
	}{
		{"5.11 a model that clears every bar may be signed for", nil, nil, ""},
		{"5.11 simulated patients are nobody's own", func(f *Found) { f.Simulated = true }, nil, "simulated"},
		{"5.11 too few patients", func(f *Found) { f.Patients = 99 }, nil, "99 patients are new"},
		{"5.11 too few decision times", func(f *Found) { f.Decisions = 999 }, nil, "999 decision times"},
		{"5.11 intervals that hold too little", func(f *Found) { f.Coverage = Range{0.70, 0.68, 0.72} }, nil, "hold 70.0 %"},
		{"5.11 intervals that hold too much", func(f *Found) { f.Coverage = Range{0.90, 0.88, 0.92} }, nil, "hold 90.0 %"},
		{"5.11 coverage outside, but not beyond sampling error", func(f *Found) { f.Coverage = Range{0.77, 0.75, 0.79} }, nil, ""},
		{"5.11 coverage that is hardly known", func(f *Found) { f.Coverage = Range{0.8, 0.7, 0.9} }, nil, "20.0 points only"},
		{"5.11 coverage that was not measured", func(f *Found) { f.Coverage = none }, nil, "could not be measured"},
		{"5.11 coverage without an interval", func(f *Found) { f.Coverage = Range{0.8, math.NaN(), math.NaN()} }, nil, "could not be measured"},
		{"5.11 an error worse than persistence", func(f *Found) { f.Error.Value = 0.47 }, nil, "no better than nothing"},
		{"5.11 an error that was not measured", func(f *Found) { f.Error = none }, nil, "could not be measured"},
		{"5.11 ventilation is told apart too badly", func(f *Found) { f.VentAUROC.Value = 0.79 }, nil, "vent_auroc is 0.790"},
		{"5.11 death is told apart too badly", func(f *Found) { f.MortalityAUROC.Value = 0.6 }, nil, "mortality_auroc is 0.600"},
		{"5.11 nobody died", func(f *Found) { f.MortalityAUROC = none }, nil, "too few such events"},
		{"5.11 nobody died, and the site asks for nothing there", func(f *Found) { f.MortalityAUROC = none }, func(b *Bars) { b.MortalityAUROC = 0 }, ""},
		{"5.11 a site may ask for more", nil, func(b *Bars) { b.MinPatients = 500 }, "at least 500"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, b := good(), DefaultBars()
			if c.found != nil {
				c.found(&f)
			}
			if c.bars != nil {
				c.bars(&b)
			}
			if err := b.Validate(); err != nil {
				t.Fatal(err)
			}
			measures, reasons := b.Judge(f)
			if c.reason == "" {
				if len(reasons) != 0 {
					t.Fatalf("refused: %q", reasons)
				}
				r := record()
				r.Measures = measures
				if err := r.Validate(); err != nil {
					t.Errorf("what was measured makes no record: %v", err)
				}
				return
			}
			if len(reasons) != 1 || !strings.Contains(reasons[0], c.reason) {
				t.Errorf("reasons %q, want one with %q", reasons, c.reason)
			}
		})
	}
}

func TestBarsAreNotLoweredToNothing(t *testing.T) {
	for name, change := range map[string]func(*Bars){
		"min_patients":   func(b *Bars) { b.MinPatients = 29 },
		"min_decisions":  func(b *Bars) { b.MinDecisions = 0 },
		"coverage_low":   func(b *Bars) { b.CoverageLow = 0.5 },
		"coverage_high":  func(b *Bars) { b.CoverageHigh = math.NaN() },
		"coverage_width": func(b *Bars) { b.CoverageWidth = 1 },
		"vent_auroc":     func(b *Bars) { b.VentAUROC = 0.3 },
		"vaso24h_auroc":  func(b *Bars) { b.Vaso24hAUROC = math.NaN() },
	} {
		t.Run(name, func(t *testing.T) {
			b := DefaultBars()
			change(&b)
			if err := b.Validate(); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("accepted: %v", err)
			}
		})
	}
	if err := DefaultBars().Validate(); err != nil {
		t.Error(err)
	}
}
