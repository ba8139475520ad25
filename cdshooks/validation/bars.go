// SPDX-License-Identifier: Apache-2.0

package validation

// This file: the bars that a model must clear on a hospital's own patients
// before anybody may sign for it.

import (
	"fmt"
	"math"
)

// Bars are what is asked of a model. A site may ask for more, and for less only
// within the bounds that Validate says.
type Bars struct {
	// MinPatients is how many patients that the model has never seen there must
	// be. Default 100, at least 30.
	MinPatients int `yaml:"min_patients"`
	// MinDecisions is how many decision times of theirs. Default 1000, at least
	// 300.
	MinDecisions int `yaml:"min_decisions"`
	// CoverageLow and CoverageHigh bound the share of values that the 80 %
	// intervals hold. The 95 % interval of the share must reach between them.
	// Default 0.78 and 0.82, within 0.74 and 0.86.
	CoverageLow  float64 `yaml:"coverage_low"`
	CoverageHigh float64 `yaml:"coverage_high"`
	// CoverageWidth is how wide that 95 % interval may be: wider, there are too
	// few patients to tell. Default 0.06, at most 0.12.
	CoverageWidth float64 `yaml:"coverage_width"`
	// VentAUROC, MortalityAUROC and Vaso24hAUROC are the least areas under the
	// curve. Default 0.80, 0.65 and 0.65; not below 0.5 and 0 asks for none.
	VentAUROC      float64 `yaml:"vent_auroc"`
	MortalityAUROC float64 `yaml:"mortality_auroc"`
	Vaso24hAUROC   float64 `yaml:"vaso24h_auroc"`
}

// DefaultBars returns the defaults.
func DefaultBars() Bars {
	return Bars{MinPatients: 100, MinDecisions: 1000, CoverageLow: 0.78, CoverageHigh: 0.82, CoverageWidth: 0.06, VentAUROC: 0.8, MortalityAUROC: 0.65, Vaso24hAUROC: 0.65}
}

// Validate reports the first bar that is out of bounds.
func (b Bars) Validate() error {
	fail := func(key, bounds string) error { return fmt.Errorf("bars: %s is not %s", key, bounds) }
	switch {
	case b.MinPatients < 30:
		return fail("min_patients", "30 or more")
	case b.MinDecisions < 300:
		return fail("min_decisions", "300 or more")
	case !(b.CoverageLow >= 0.74 && b.CoverageLow <= 0.8):
		return fail("coverage_low", "between 0.74 and 0.8")
	case !(b.CoverageHigh >= 0.8 && b.CoverageHigh <= 0.86):
		return fail("coverage_high", "between 0.8 and 0.86")
	case !(b.CoverageWidth > 0 && b.CoverageWidth <= 0.12):
		return fail("coverage_width", "between 0 and 0.12")
	}
	for _, a := range []struct {
		key string
		v   float64
	}{{"vent_auroc", b.VentAUROC}, {"mortality_auroc", b.MortalityAUROC}, {"vaso24h_auroc", b.Vaso24hAUROC}} {
		if a.v != 0 && !(a.v >= 0.5 && a.v <= 1) {
			return fail(a.key, "0 or between 0.5 and 1")
		}
	}
	return nil
}

// Range is a number with its 95 % interval; what was not measured is not a
// number.
type Range struct{ Value, Low, High float64 }

// Found is what was measured on patients that the model has never seen.
type Found struct {
	Patients, Stays, Decisions              int
	Simulated                               bool // there were no real patients
	Coverage                                Range
	Error, Persistence                      Range // next-step error, standardised
	VentAUROC, MortalityAUROC, Vaso24hAUROC Range
}

// Judge holds what was found against the bars. Without reasons the model clears
// them all. measures are what a record says of it; a number that was not
// measured is not among them.
func (b Bars) Judge(f Found) (measures []Measure, reasons []string) {
	fail := func(format string, args ...any) { reasons = append(reasons, fmt.Sprintf(format, args...)) }
	if f.Simulated {
		fail("the cohort holds simulated patients only: a local validation is of the hospital's own")
	}
	if f.Patients < b.MinPatients {
		fail("%d patients are new to the model, at least %d are needed", f.Patients, b.MinPatients)
	}
	if f.Decisions < b.MinDecisions {
		fail("%d decision times, at least %d are needed", f.Decisions, b.MinDecisions)
	}
	c := f.Coverage
	switch {
	case !measured(c.Value, c.Low, c.High):
		fail("how much the 80 %% intervals hold could not be measured")
	case c.High < b.CoverageLow || c.Low > b.CoverageHigh:
		fail("the 80 %% intervals hold %.1f %% (95 %% interval %.1f to %.1f), want %g to %g %%", 100*c.Value, 100*c.Low, 100*c.High, 100*b.CoverageLow, 100*b.CoverageHigh)
	case c.High-c.Low > b.CoverageWidth:
		fail("what the 80 %% intervals hold is known to %.1f points only (%.1f to %.1f), want %g: too few patients", 100*(c.High-c.Low), 100*c.Low, 100*c.High, 100*b.CoverageWidth)
	}
	measures = add(measures, "interval80_coverage", c, &b.CoverageLow, &b.CoverageHigh)
	switch {
	case !measured(f.Error.Value, f.Persistence.Value):
		fail("the error of the next step could not be measured")
	case f.Error.Value > f.Persistence.Value:
		fail("the error of the next step is %.3f, that of persistence %.3f: the model is no better than nothing", f.Error.Value, f.Persistence.Value)
	}
	measures = add(measures, "state_mae", f.Error, nil, &f.Persistence.Value)
	for _, a := range []struct {
		name  string
		found Range
		bar   float64
	}{{"vent_auroc", f.VentAUROC, b.VentAUROC}, {"mortality_auroc", f.MortalityAUROC, b.MortalityAUROC}, {"vaso24h_auroc", f.Vaso24hAUROC, b.Vaso24hAUROC}} {
		bar := &a.bar
		switch {
		case a.bar == 0:
			bar = nil
		case !measured(a.found.Value):
			fail("%s could not be measured: these patients have too few such events", a.name)
		case a.found.Value < a.bar:
			fail("%s is %.3f, want at least %g", a.name, a.found.Value, a.bar)
		}
		measures = add(measures, a.name, a.found, bar, nil)
	}
	return measures, reasons
}

func add(list []Measure, name string, r Range, atLeast, atMost *float64) []Measure {
	if !measured(r.Value) {
		return list
	}
	m := Measure{Name: name, Value: r.Value, AtLeast: atLeast, AtMost: atMost}
	if measured(r.Low, r.High) {
		m.Low, m.High = &r.Low, &r.High
	}
	return append(list, m)
}

func measured(values ...float64) bool {
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}
