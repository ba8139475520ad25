// SPDX-License-Identifier: Apache-2.0

package state

// This file: the weight that per-minute rates and per-kilogram volumes rest
// on. The pump's or order's dosing weight goes before a measured weight, a
// measured one before an estimate; weights that contradict each other make
// every weight-based number unusable (design 5.8).

import (
	"fmt"
	"math"
)

// Values of Weight.Source; the third is MethodEstimated.
const (
	WeightFromPump  = MethodPumpWeight
	WeightMeasured  = "measured"
	WeightEstimated = MethodEstimated
)

// Pounds in a kilogram, and how close a quotient must come to it to look like
// one weight in two units.
const (
	lbPerKg          = 2.2046
	lbPatternWithin  = 0.03
	dosingWeightBack = 24 * hour
)

func (v *view) weigh() Weight {
	var w Weight
	if o := newest(v.b.upTo(ConceptHeight, v.t), v.t); o != nil {
		w.HeightCm = o.value
	}
	var by [3]*Reading // pump, measured, estimated: the newest of each
	var previous *obs  // last measured one before the newest
	for _, o := range after(v.b.upTo(ConceptWeight, v.t), v.t-hoursOf(v.b.cfg.WeightHoldH)) {
		if !o.known(v.t) {
			continue
		}
		k := 1
		switch o.method {
		case MethodPumpWeight:
			k = 0
		case MethodEstimated:
			k = 2
		}
		if k == 1 && by[1] != nil {
			prior := o
			prior.value = by[1].Value
			previous = &prior
		}
		by[k] = v.reading(&o)
	}
	if r := v.pumpWeight(); r != nil && (by[0] == nil || r.At.After(by[0].At)) {
		by[0] = r
	}
	for k, source := range []string{WeightFromPump, WeightMeasured, WeightEstimated} {
		if by[k] == nil {
			continue
		}
		if !w.Known {
			w.Kg, w.Known, w.Source, w.Reading = by[k].Value, true, source, by[k]
			continue
		}
		if w.Conflict == "" {
			w.Conflict = v.conflict(w.Kg, w.Source, by[k].Value, source)
		}
	}
	if w.Conflict == "" && previous != nil && isPoundPattern(previous.value, by[1].Value) {
		w.Conflict = fmt.Sprintf("measured weights %.1f and %.1f kg differ like pounds and kilograms", previous.value, by[1].Value)
	}
	if w.Known && w.HeightCm > 0 {
		m := w.HeightCm / 100
		w.BMI = w.Kg / (m * m)
	}
	return w
}

func (v *view) conflict(kg float64, source string, other float64, otherSource string) string {
	switch {
	case isPoundPattern(kg, other):
		return fmt.Sprintf("%s weight %.1f and %s weight %.1f differ like pounds and kilograms", source, kg, otherSource, other)
	case math.Abs(kg-other) > v.b.cfg.WeightConflict*math.Min(kg, other):
		return fmt.Sprintf("%s weight %.1f kg and %s weight %.1f kg differ by more than %.0f %%",
			source, kg, otherSource, other, 100*v.b.cfg.WeightConflict)
	}
	return ""
}

func isPoundPattern(a, b float64) bool {
	q := math.Max(a, b) / math.Min(a, b)
	return math.Abs(q-lbPerKg) <= lbPatternWithin*lbPerKg
}

// pumpWeight is the newest dosing weight carried by a vasoactive infusion of
// the last 24 hours.
func (v *view) pumpWeight() *Reading {
	lo, hi, unit, _ := Range(ConceptWeight)
	for i := len(v.vaso) - 1; i >= 0; i-- {
		x := &v.vaso[i]
		if !within(x.a.DosingKg, lo, hi) || x.to < v.t-dosingWeightBack {
			continue
		}
		return &Reading{Concept: ConceptWeight, Value: x.a.DosingKg, Unit: unit, At: x.start.time(),
			Available: x.avail.time(), AgeMin: (v.t - x.start).minutes(), Method: MethodPumpWeight,
			Received: x.a.Received, RecordID: v.b.c.recordID(x.a.Record)}
	}
	return nil
}
