// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: Observations to measurements.

import (
	"cmp"
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
	reasonVessel     = "specimen and code disagree on the vessel"
	reasonAbsent     = "value beside a reason for its absence"
	reasonKind       = "kind of value that is not read"
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
	c := cmp.Or(spec.canon, m.x.concepts[spec.Concept])
	method, clash := m.x.gasMethod(spec, r)
	if clash {
		return reject(reasonVessel, codeText(r.Specimen))
	}
	word := m.x.wordedMethod(spec.Concept, r)
	if word != nil && word.Ignore != "" {
		return ignore(word.Ignore)
	}
	n, why := m.x.numberOf(c, spec, r)
	if why.reason != "" {
		return event{}, why
	}
	start, end, why := span(r)
	if why.reason != "" {
		return event{}, why
	}
	if n.method != "" {
		method = n.method
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
	out := &state.Measurement{Concept: cmp.Or(n.concept, spec.Concept), Value: n.value, Comparator: n.comparator, Effective: start, End: end, Status: r.Status,
		Method: method, Received: n.received, Conversion: n.conversion}
	out.Available, out.Lagged = m.x.resultKnown(spec.Lag, r, later(start, end))
	return event{measurement: out}, outcome{}
}

// observationOf finds the one meaning of a set of codings; clash is true when
// two of them mean different things. Of two codes of one concept the one that
// says more counts: arterial over unspecified.
func (x *index) observationOf(list []state.Coding) (spec *observationSpec, clash bool) {
	for _, c := range list {
		s, ok := x.observations[key{c.System, c.Code}]
		switch {
		case !ok:
		case spec == nil:
			spec = s
		case spec.Concept != s.Concept, spec.canon != s.canon:
			return nil, true
		case s.OtherAnswers != nil: // a device beside the number that it gives
		case spec.OtherAnswers != nil, spec.vague():
			spec = s
		case !s.vague() && s.Method != spec.Method:
			return nil, true
		}
	}
	return spec, false
}

// vague: the code does not say how the value was got.
func (o *observationSpec) vague() bool { return o.Method == "" || o.ArterialBySpecimen }

// wordedMethod finds a method by the codes of Observation.method, else by a
// word in it, in the code's text or in the name of the device.
func (x *index) wordedMethod(c state.Concept, r *state.Record) *methodWord {
	for _, code := range r.Method {
		if w := x.methodCodes[key{code.System, code.Code}]; w != nil && (w.Concept == "" || w.Concept == c) {
			return w
		}
	}
	if r.MethodText == "" && r.Text == "" && r.Device == "" {
		return nil
	}
	method, text, device := strings.ToLower(r.MethodText), strings.ToLower(r.Text), strings.ToLower(r.Device)
	for i := range x.methodWords {
		w := &x.methodWords[i]
		if w.Concept != "" && w.Concept != c {
			continue
		}
		if containsAny(method, w.Words) || containsAny(text, w.Words) || containsAny(device, w.Words) {
			return w
		}
	}
	return nil
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

// drawn says by which vessel a sample was taken, from the specimen and the
// body site; a sample said to be both is neither.
func (x *index) drawn(r *state.Record) string {
	arterial, venous := false, false
	for _, list := range [][]state.Coding{r.Specimen, r.Site} {
		for _, c := range list {
			k, text := key{c.System, c.Code}, strings.ToLower(strings.TrimSpace(c.Display))
			arterial = arterial || x.arterial[k] || x.arterialText[text]
			venous = venous || x.venous[k] || x.venousText[text]
		}
	}
	switch {
	case arterial && !venous:
		return state.MethodArterial
	case venous && !arterial:
		return state.MethodVenous
	}
	return ""
}

// gasMethod joins what the code says of the vessel with what the specimen
// says; clash is true when one says artery and the other vein.
func (x *index) gasMethod(spec *observationSpec, r *state.Record) (method string, clash bool) {
	drawn := x.drawn(r)
	switch {
	case drawn == "":
		return spec.Method, false
	case spec.ArterialBySpecimen:
		return drawn, false
	case spec.Method == state.MethodArterial || spec.Method == state.MethodVenous:
		return spec.Method, spec.Method != drawn
	}
	return spec.Method, false
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
