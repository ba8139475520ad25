// SPDX-License-Identifier: Apache-2.0

package ucum_test

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/fhir/ucum"
)

// The questions come from the code maps and the answers from @lhncbc/ucum-lhc
// 7.1.10, an implementation by others; .ci/ucum/run asks again.
type question struct {
	Value    float64
	From, To string
}

func load(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

// refused says why ucum-lhc gives no number where we do.
func refused(q question) bool {
	// It converts no arbitrary unit into another one, not even into itself per
	// another time; we keep [iU] as a dimension of its own.
	return strings.Contains(q.From, "[iU]") || strings.Contains(q.From, "[IU]")
}

func TestConversionsAgreeWithAnotherUCUM(t *testing.T) {
	var asked struct{ Conversions []question }
	var answers struct{ Conversions []*float64 }
	load(t, "questions.json", &asked)
	load(t, "answers.json", &answers)
	if len(asked.Conversions) != len(answers.Conversions) {
		t.Fatalf("%d questions, %d answers (hint: .ci/ucum/run --update)", len(asked.Conversions), len(answers.Conversions))
	}
	for i, q := range asked.Conversions {
		got, err := ucum.Convert(q.Value, q.From, q.To)
		if err != nil {
			t.Errorf("%s to %s: %v", q.From, q.To, err)
			continue
		}
		if answers.Conversions[i] == nil {
			if !refused(q) {
				t.Errorf("%g %s is %g %s, and ucum-lhc does not convert it", q.Value, q.From, got, q.To)
			}
			continue
		}
		if want := *answers.Conversions[i]; math.Abs(got-want) > 1e-12*math.Abs(want) {
			t.Errorf("%g %s is %.17g %s, and %.17g by ucum-lhc", q.Value, q.From, got, q.To, want)
		}
	}
}

// differs lists the texts that one of the two accepts and the other does not,
// with the reason.
var differs = map[string]string{
	" mg":     "ucum-lhc trims; a code has no spaces",
	"mg/dL ":  "ucum-lhc trims; a code has no spaces",
	"{ }":     "UCUM allows no space in an annotation; charts have them and they change nothing",
	"0":       "zero is no unit",
	"m0":      "a power of zero is no unit",
	"mmin":    "UCUM gives the minute no prefix; ucum-lhc reads one",
	"mCel":    "a temperature with an offset stands alone here",
	"Torr":    "not in UCUM; the code maps spell it mm[Hg]",
	"amol":    "prefixes below femto are in no chart",
	"Ym":      "prefixes beyond giga are in no chart",
	"deg":     "no chart value that we read is an angle",
	"eV":      "no chart value that we read is in electronvolts",
	"B[SPL]":  "no chart value that we read is a level in bel",
	"[CFU]":   "an arbitrary unit of something that we do not read",
	"[HPF]":   "an arbitrary unit of something that we do not read",
	"[arb'U]": "an arbitrary unit of something that we do not read",
}

func TestTheSameTextsAreUnits(t *testing.T) {
	var asked struct{ Texts []string }
	var answers struct{ Valid []bool }
	load(t, "questions.json", &asked)
	load(t, "answers.json", &answers)
	if len(asked.Texts) != len(answers.Valid) {
		t.Fatalf("%d texts, %d answers (hint: .ci/ucum/run --update)", len(asked.Texts), len(answers.Valid))
	}
	seen := map[string]bool{}
	for i, text := range asked.Texts {
		seen[text] = true
		_, err := ucum.Parse(text)
		if same, reason := (err == nil) == answers.Valid[i], differs[text]; same == (reason != "") {
			t.Errorf("%q: we accept it: %v, ucum-lhc: %v, difference explained: %q", text, err == nil, answers.Valid[i], reason)
		}
	}
	for text := range differs {
		if !seen[text] {
			t.Errorf("%q is explained and not asked", text)
		}
	}
}
