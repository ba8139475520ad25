// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: Observations to measurements.

import (
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// Outcomes of observations that are counted by these texts.
const (
	reasonNotCoded   = "code not in the code maps"
	reasonNoValue    = "no value"
	reasonText       = "value is text"
	reasonCodesClash = "codes disagree"
	reasonNoStatus   = "status missing"
	reasonOpen       = "period without an end"
	reasonBackwards  = "period ends before it starts"
)

// observed says whether an Observation's status lets it be read.
func observed(status string) (bool, outcome) {
	switch status {
	case "final", "amended", "corrected", "preliminary":
		return true, outcome{}
	case "":
		return false, outcome{rejected, reasonNoStatus, ""}
	}
	return false, outcome{ignored, "status " + status, ""}
}

func (m *Mapper) mapObservation(r *state.Record) (event, outcome) {
	if ok, why := observed(r.Status); !ok {
		return event{}, why
	}
	spec, clash := m.x.observationOf(r.Codes)
	switch {
	case clash:
		return reject(reasonCodesClash, codeText(r.Codes))
	case spec == nil:
		return m.mapFinding(r)
	}
	c := m.x.concepts[spec.Concept]
	method := spec.Method
	word := m.x.wordedMethod(spec.Concept, r)
	if word != nil && word.Ignore != "" {
		return ignore(word.Ignore)
	}
	v, done, got, answer, why := m.x.numberOf(c, spec, r)
	if why.reason != "" {
		return event{}, why
	}
	start, end, why := span(r)
	if why.reason != "" {
		return event{}, why
	}
	if spec.ArterialBySpecimen {
		method = m.x.specimenMethod(method, r.Specimen)
	}
	if answer != "" {
		method = answer
	}
	hourly := word != nil && word.Method == state.MethodHourlyMedian
	switch {
	case hourly:
		end = start.Add(time.Hour)
		if method == "" {
			method = word.Method
		}
	case word != nil && word.Method != "":
		method = word.Method
	}
	out := &state.Measurement{Concept: spec.Concept, Value: v, Effective: start, End: end, Status: r.Status, Method: method,
		Received: got, Conversion: done}
	if r.Value != nil {
		out.Comparator = r.Value.Comparator
	}
	out.Available, out.Lagged = m.x.resultKnown(spec.Lag, r, later(start, end))
	return event{measurement: out}, outcome{}
}

// observationOf finds the one meaning of a set of codings; clash is true when
// two of them mean different things.
func (x *index) observationOf(list []state.Coding) (spec *observationSpec, clash bool) {
	for _, c := range list {
		s, ok := x.observations[key{c.System, c.Code}]
		if !ok {
			continue
		}
		if spec != nil && spec.Concept != s.Concept {
			return nil, true
		}
		if spec == nil || spec.Method == "" {
			spec = s
		}
	}
	return spec, false
}

// wordedMethod finds a method word in Observation.method or the code's text.
func (x *index) wordedMethod(c state.Concept, r *state.Record) *methodWord {
	if r.MethodText == "" && r.Text == "" {
		return nil
	}
	method, text := strings.ToLower(r.MethodText), strings.ToLower(r.Text)
	for i := range x.methodWords {
		w := &x.methodWords[i]
		if w.Concept != "" && w.Concept != c {
			continue
		}
		if containsAny(method, w.Words) || containsAny(text, w.Words) {
			return w
		}
	}
	return nil
}

// numberOf finds the value of an observation in the canonical unit of c, from
// its quantity, or from a coded or worded answer.
func (x *index) numberOf(c *canon, spec *observationSpec, r *state.Record) (v float64, done, got, method string, why outcome) {
	switch {
	case r.Value != nil && r.Value.Value != "":
		got = shown(r.Value)
		v, done, reason := x.canonical(c, r.Value, spec.AssumeUnit)
		if reason != "" {
			return 0, "", "", "", outcome{rejected, reason, got}
		}
		return v, done, got, "", outcome{}
	case len(r.ValueCodes) > 0 || r.ValueText != "":
		low := strings.ToLower(strings.TrimSpace(r.ValueText))
		for _, a := range spec.Answers {
			if !x.answers(a, r.ValueCodes) && !contains(a.Text, low) {
				continue
			}
			if a.Value < c.lo || a.Value > c.hi {
				return 0, "", "", "", outcome{rejected, reasonImpossible, r.ValueText}
			}
			got = r.ValueText
			if got == "" {
				got = codeText(r.ValueCodes)
			}
			return a.Value, "by answer", got, a.Method, outcome{}
		}
		return 0, "", "", "", outcome{rejected, reasonText, r.ValueText}
	}
	return 0, "", "", "", outcome{ignored, reasonNoValue, ""}
}

func (x *index) answers(a answerSpec, list []state.Coding) bool {
	for _, c := range list {
		if alias, ok := x.aliases[c.System]; ok && contains(a.Codes[alias], c.Code) {
			return true
		}
	}
	return false
}

func contains(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}

func codeText(list []state.Coding) string {
	for _, c := range list {
		if c.Code != "" {
			return c.Code
		}
		if c.Display != "" {
			return c.Display
		}
	}
	return ""
}

// span reads the effective time of a record. A value that covers a period is
// not of its start alone, so the period must have an end.
func span(r *state.Record) (start, end time.Time, why outcome) {
	start, err := instant(r.Start)
	if err != nil {
		return start, end, outcome{rejected, timeReason(err), r.Start}
	}
	if !r.IsPeriod {
		return start, time.Time{}, outcome{}
	}
	if r.End == "" {
		return start, end, outcome{rejected, reasonOpen, r.Start}
	}
	if end, err = instant(r.End); err != nil {
		return start, end, outcome{rejected, timeReason(err), r.End}
	}
	if end.Before(start) {
		return start, end, outcome{rejected, reasonBackwards, r.Start + " to " + r.End}
	}
	return start, end, outcome{}
}

// specimenMethod tells arterial from venous by the specimen; a specimen that
// says neither leaves the code's own method.
func (x *index) specimenMethod(method string, specimen []state.Coding) string {
	for _, c := range specimen {
		k, text := key{c.System, c.Code}, strings.ToLower(strings.TrimSpace(c.Display))
		switch {
		case x.arterial[k], x.arterialText[text]:
			return state.MethodArterial
		case x.venous[k], x.venousText[text]:
			return state.MethodVenous
		}
	}
	return method
}

// mapFinding reads Observations that are not numbers but say that something
// was done or decided: a culture drawn, a code status.
func (m *Mapper) mapFinding(r *state.Record) (event, outcome) {
	tags := m.x.meanings(r.Codes, "")
	if len(tags) == 0 {
		return ignore(reasonNotCoded)
	}
	start, err := instant(r.Start)
	if err != nil {
		return reject(timeReason(err), r.Start)
	}
	known := start.Add(m.x.lag(lagCulture, r.Codes))
	return event{procedure: &state.Procedure{Tags: tags, Text: wordsOf(r), Start: start, End: start, Available: known, EndAvail: known}}, outcome{}
}

// wordsOf is the name of a record for people.
func wordsOf(r *state.Record) string {
	if r.Text != "" {
		return r.Text
	}
	for _, c := range r.Codes {
		if c.Display != "" {
			return c.Display
		}
	}
	return codeText(r.Codes)
}
