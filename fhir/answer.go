// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: answer, the number of an observation, from its quantity, from a
// number sent as text, or from a coded or worded answer. Text that leaves any
// doubt about the number is not a number.

import (
	"cmp"
	"regexp"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// answer is a value in the canonical unit of its concept.
type answer struct {
	value      float64
	comparator string
	conversion string        // what was done to it; empty: nothing
	received   string        // as people should see it
	method     string        // what a worded answer says beside the number
	concept    state.Concept // of another than that of the code; empty: of the code's
}

// numberOf finds the value of an observation.
func (x *index) numberOf(c *canon, spec *observationSpec, r *state.Record) (answer, outcome) {
	switch has := r.Value != nil && r.Value.Value != "" || len(r.ValueCodes) > 0 || r.ValueText != ""; {
	case has && r.Absent != "":
		return answer{}, outcome{rejected, reasonAbsent, r.Absent}
	case !has && r.ValueKind != "":
		return answer{}, outcome{rejected, reasonKind, r.ValueKind}
	case r.Value != nil && r.Value.Value != "" && spec.OtherAnswers == nil:
		return x.quantityOf(c, spec, r.Value)
	case has:
		return x.answerOf(c, spec, r)
	}
	return answer{}, outcome{ignored, reasonNoValue, ""}
}

func (x *index) quantityOf(c *canon, spec *observationSpec, q *state.Quantity) (answer, outcome) {
	got := shown(q)
	v, done, reason := x.canonical(c, q, spec.AssumeUnit)
	if reason != "" {
		return answer{}, outcome{rejected, reason, got}
	}
	return answer{value: v, comparator: q.Comparator, conversion: done, received: got}, outcome{}
}

// answerOf reads a coded answer, or text: an answer of the code maps, a number
// with an optional unit, or a score with its meaning behind it.
func (x *index) answerOf(c *canon, spec *observationSpec, r *state.Record) (answer, outcome) {
	text := strings.ToLower(strings.TrimSpace(r.ValueText))
	for _, a := range spec.Answers {
		if !x.answers(a, r.ValueCodes) && !contains(a.Text, text) && !containsAny(text, a.Words) {
			continue
		}
		if a.Value < c.lo || a.Value > c.hi {
			return answer{}, outcome{rejected, reasonImpossible, r.ValueText}
		}
		return answer{value: a.Value, conversion: byAnswer(a.Means), received: worded(r), method: a.Method}, outcome{}
	}
	if o := spec.OtherAnswers; o != nil {
		return answer{value: 1, conversion: byAnswer(o.Means), received: worded(r), concept: o.Concept}, outcome{}
	}
	q, ok := (*state.Quantity)(nil), false
	if c.Whole {
		q, ok = scoreIn(r.ValueText)
	}
	if !ok {
		q, ok = quantityIn(r.ValueText)
	}
	if !ok {
		return answer{}, outcome{rejected, reasonText, r.ValueText}
	}
	n, why := x.quantityOf(c, spec, q)
	n.received = r.ValueText
	if n.conversion == "" {
		n.conversion = "from text"
	}
	if why.reason == reasonUnitUnknown {
		why.reason = reasonText // what follows the number is no unit but a remark
	}
	if why.reason != "" {
		why.detail = r.ValueText
	}
	return n, why
}

// byAnswer says that an answer, not a number, was read.
func byAnswer(means string) string {
	if means == "" {
		return "by answer"
	}
	return "by answer: " + means
}

// worded is the answer as people should see it.
func worded(r *state.Record) string {
	if r.ValueText == "" && r.Value != nil {
		return shown(r.Value)
	}
	return cmp.Or(r.ValueText, codeText(r.ValueCodes))
}

func (x *index) answers(a answerSpec, list []state.Coding) bool {
	for _, c := range list {
		if alias, ok := x.aliases[c.System]; ok && contains(a.Codes[alias], c.Code) {
			return true
		}
	}
	return false
}

// numberText is a comparator, a decimal number with a point or a comma, and
// what follows it; a full stop or the star of an abnormal result may end it.
// The unit begins with a letter or a sign of a unit, so that
// a range (5-10) and a pair (120/80) are no numbers.
var numberText = regexp.MustCompile(`^(<=|>=|<|>|≤|≥)?\s*([+-]?\d{1,9}(?:[.,]\d{1,9})?(?:[eE][+-]?\d{1,2})?)\s*((?:[\p{L}%°\[{]|/\p{L}|10[*^]).{0,30})?$`)

// thousands is a number whose comma could part thousands or decimals.
var thousands = regexp.MustCompile(`^[+-]?\d{1,3},\d{3}$`)

var comparators = map[string]string{"": "", "<": "<", "<=": "<=", "≤": "<=", ">": ">", ">=": ">=", "≥": ">="}

// quantityIn reads text that is a number and perhaps a unit: "7,5", "> 24",
// "7.5 mg/dL".
func quantityIn(text string) (*state.Quantity, bool) {
	m := numberText.FindStringSubmatch(strings.TrimRight(strings.TrimSpace(text), ".* "))
	if m == nil || thousands.MatchString(m[2]) {
		return nil, false
	}
	return &state.Quantity{Comparator: comparators[m[1]], Value: strings.Replace(m[2], ",", ".", 1), Unit: strings.TrimSpace(m[3])}, true
}

// scoreText is a score with its meaning behind it: "4 - Spontaneous". The
// meaning is a word of its own, since "10T" and "10 T" are totals of a patient
// with a tube.
var scoreText = regexp.MustCompile(`^([+-]?[0-9]{1,2})(?:\.0)?(?:\s*[-–=:.)]\s*|\s+)[(]?\p{L}\p{L}.*$`)

func scoreIn(text string) (*state.Quantity, bool) {
	m := scoreText.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return nil, false
	}
	return &state.Quantity{Value: m[1]}, true
}
