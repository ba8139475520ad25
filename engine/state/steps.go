// SPDX-License-Identifier: Apache-2.0

package state

// This file: the steps of a timeline as JSON, written out by hand, and kept
// from one timeline of a stay to the next: eleven of its twelve steps are those
// of the timeline four hours earlier, unless something came in late.

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
)

// Encoder writes timelines as their method Canonical does, faster where they
// are timelines of one stay one after another. The zero value is ready. It is
// not safe for concurrent use.
type Encoder struct {
	w     jsonText
	steps []writtenStep
}

// writtenStep is a step of the last timeline with its JSON.
type writtenStep struct {
	step Step
	json []byte
}

// Canonical returns the canonical bytes of a timeline.
func (e *Encoder) Canonical(tl *Timeline) ([]byte, error) {
	w := &e.w
	w.buf, w.err = w.buf[:0], nil
	w.timeline(tl, e.write)
	if w.err != nil {
		return nil, fmt.Errorf("canonical timeline: %w", w.err)
	}
	return bytes.Clone(w.buf), nil
}

// write writes one step, or takes what was written of an equal one.
func (e *Encoder) write(s *Step) {
	for i := range e.steps {
		if old := &e.steps[i]; old.step.Start.Equal(s.Start) {
			if !old.step.same(s) {
				old.step = *s
				old.json = e.fresh(old.json, s)
				return
			}
			e.w.buf = append(e.w.buf, old.json...)
			return
		}
	}
	if len(e.steps) < MaxSteps {
		e.steps = append(e.steps, writtenStep{step: *s, json: e.fresh(nil, s)})
		return
	}
	oldest := &e.steps[0]
	for i := range e.steps {
		if e.steps[i].step.Start.Before(oldest.step.Start) {
			oldest = &e.steps[i]
		}
	}
	oldest.step = *s
	oldest.json = e.fresh(oldest.json, s)
}

// fresh writes a step and returns a copy of its JSON in room.
func (e *Encoder) fresh(room []byte, s *Step) []byte {
	start := len(e.w.buf)
	e.w.step(s)
	return append(room[:0], e.w.buf[start:]...)
}

// same says whether two steps have the same JSON. Zeros of two signs differ.
func (s *Step) same(o *Step) bool {
	if *s != *o {
		return false
	}
	a, b := s.Given.numbers(), o.Given.numbers()
	return sameSigns(s.Value[:], o.Value[:]) && sameSigns(s.AgeH[:], o.AgeH[:]) && sameSigns(a[:], b[:])
}

func sameSigns(a, b []float64) bool {
	for i := range a {
		if math.Signbit(a[i]) != math.Signbit(b[i]) {
			return false
		}
	}
	return true
}

func (x *Exposure) numbers() [8]float64 {
	return [8]float64{x.NEMaxUgKgMin, x.NEMeanUgKgMin, x.NEEndUgKgMin, x.FluidModelMl, x.BolusMl, x.MaintenanceMl, x.CarrierMl, x.BloodMl}
}

func (w *jsonText) step(s *Step) {
	w.time(`{"start":`, s.Start)
	w.time(`,"end":`, s.End)
	w.numbers(`,"value":`, &s.Value)
	w.raw(`,"presence":`)
	for i, p := range s.Presence {
		w.buf = strconv.AppendUint(append(w.buf, separator(i)), uint64(p), 10)
	}
	w.numbers(`],"age":`, &s.AgeH)
	w.exposure(`,"given":`, &s.Given)
	w.sofa(`,"sofa":`, &s.SOFA)
	w.flag(`,"ventknown":`, s.VentKnown)
	w.flag(`,"vent":`, s.Vent)
	w.flag(`,"instay":`, s.InStay)
	w.raw(`}`)
}

func (w *jsonText) numbers(key string, list *[NumFeatures]float64) {
	w.raw(key)
	for i, v := range list {
		w.buf = append(w.buf, separator(i))
		w.number("", v)
	}
	w.raw(`]`)
}

func (w *jsonText) exposure(key string, x *Exposure) {
	w.raw(key)
	w.flag(`{"vasoknown":`, x.VasoKnown)
	w.number(`,"nemax":`, x.NEMaxUgKgMin)
	w.number(`,"nemean":`, x.NEMeanUgKgMin)
	w.number(`,"neend":`, x.NEEndUgKgMin)
	w.flag(`,"fluidknown":`, x.FluidKnown)
	w.number(`,"fluidmodel":`, x.FluidModelMl)
	w.number(`,"bolus":`, x.BolusMl)
	w.number(`,"maint":`, x.MaintenanceMl)
	w.number(`,"carrier":`, x.CarrierMl)
	w.number(`,"blood":`, x.BloodMl)
	w.integer(`,"levels":{"vasopressor":`, x.Levels.Vasopressor)
	w.integer(`,"fluid":`, x.Levels.Fluid)
	w.raw(`}}`)
}

func (w *jsonText) sofa(key string, s *SOFA) {
	w.raw(key)
	w.integer(`{"resp":`, s.Resp)
	w.integer(`,"coag":`, s.Coag)
	w.integer(`,"liver":`, s.Liver)
	w.integer(`,"cardio":`, s.Cardio)
	w.integer(`,"cns":`, s.CNS)
	w.integer(`,"renal":`, s.Renal)
	w.integer(`,"total":`, s.Total)
	w.integer(`,"scored":`, s.Scored)
	w.raw(`}`)
}
