// SPDX-License-Identifier: Apache-2.0

package smart

// This file: scopes of both versions, as they are granted and as they are
// asked for.

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestScopesThatWereGrantedAreRead(t *testing.T) {
	asked := []string{"system/Observation.rs", "system/Patient.rs", "system/Condition.rs?category=x"}
	need := []string{"Condition", "Observation", "Patient"}
	for name, tc := range map[string]struct{ granted, lacks string }{
		"as asked":                      {strings.Join(asked, " "), ""},
		"version 1":                     {"system/Condition.read system/Observation.read system/Patient.read", ""},
		"everything":                    {"system/*.cruds", ""},
		"everything, version 1":         {"system/*.*", ""},
		"in two parts":                  {"system/Condition.r system/Condition.s system/Observation.rs system/Patient.r", ""},
		"more than needed":              {"system/Condition.cruds system/Observation.rs system/Patient.rs launch offline_access", ""},
		"read without search":           {"system/*.r", "Condition,Observation"},
		"write only":                    {"system/*.write", "Condition,Observation,Patient"},
		"narrowed by a query of theirs": {"system/Condition.rs?category=y system/Observation.rs?category=z system/Patient.rs", "Condition,Observation"},
		"of a user":                     {"user/*.rs patient/*.read", "Condition,Observation,Patient"},
		"nothing":                       {"", "Condition,Observation,Patient"},
		"in other words":                {"https://ehr.example.org/.default", "Condition,Observation,Patient"},
	} {
		if got := strings.Join(missing(need, asked, tc.granted), ","); got != tc.lacks {
			t.Errorf("%s: lacks %q, want %q", name, got, tc.lacks)
		}
	}
	if got := missing(need, []string{"https://ehr.example.org/.default"}, "https://ehr.example.org/.default"); got != nil {
		t.Errorf("a scope in the EHR's own words was judged: %v", got)
	}
}

func TestScopesOfAnyTypesOpenExactlyThese(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		types := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"Observation", "Encounter", "Condition", "Procedure", "Medication"}), 1, 5, rapid.ID).Draw(t, "types")
		asked := Scopes(types, rapid.Bool().Draw(t, "v1"))
		granted := Scopes(types, rapid.Bool().Draw(t, "granted v1"))
		if lack := missing(types, asked, strings.Join(granted, " ")); lack != nil {
			t.Fatalf("%v do not open %v", granted, lack)
		}
		out := rapid.IntRange(0, len(types)-1).Draw(t, "left out")
		rest := append(append([]string{}, types[:out]...), types[out+1:]...)
		if lack := missing(types, asked, strings.Join(Scopes(rest, false), " ")); len(lack) != 1 || lack[0] != types[out] {
			t.Fatalf("without %s the grant lacks %v", types[out], lack)
		}
	})
}
