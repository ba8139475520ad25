// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"strings"
	"testing"
)

func TestScopesOfBothVersionsAreRead(t *testing.T) {
	for text, want := range map[string]Scope{
		"patient/Observation.read": {"patient", "Observation", Rights{true, true}, ""},
		"user/*.*":                 {"user", "*", Rights{true, true}, ""},
		"system/Condition.write":   {"system", "Condition", Rights{false, false}, ""},
		"system/Patient.r":         {"system", "Patient", Rights{true, false}, ""},
		"system/*.cruds":           {"system", "*", Rights{true, true}, ""},
		"patient/Observation.rs?category=http://x.example/y|labs": {"patient", "Observation", Rights{true, true}, "category=http://x.example/y|labs"},
	} {
		if got, ok := Parse(text); !ok || got != want {
			t.Errorf("%s: %+v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "openid", "launch/patient", "patient/", "patient/Observation", "patient/.rs", "patient/Observation.",
		"patient/Observation.rsx", "Patient/Observation.rs", "Observation.Read", "https://ehr.example.org/.default", "system/*.Read"} {
		if got, ok := Parse(text); ok {
			t.Errorf("%q was read as %+v", text, got)
		}
	}
}

func TestOnlyOneCategoryIsACategory(t *testing.T) {
	for query, want := range map[string]string{
		"category=laboratory":                "laboratory",
		"category=http://x.example|labs":     "labs",
		"category=laboratory&code=1":         "",
		"category=laboratory,social-history": "",
		"code=1":                             "",
		"":                                   "",
	} {
		if got := (Scope{Query: query}).Category(); got != want {
			t.Errorf("%q: %q, want %q", query, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"patient/Observation.rs?category=a|b", "system/*.read", "user/Patient.cruds", "openid", "a/b.c?d"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, ok := Parse(text)
		if !ok {
			if s != (Scope{}) {
				t.Errorf("%q is no scope but %+v", text, s)
			}
			return
		}
		if !strings.HasPrefix(text, s.Level+"/"+s.Kind+".") || !strings.HasSuffix(text, s.Query) || OpensNothing(text) {
			t.Errorf("%q was read as %+v", text, s)
		}
		if !s.Opens(s.Kind) || strings.ContainsAny(s.Category(), "|&") {
			t.Errorf("%q: %+v, category %q", text, s, s.Category())
		}
	})
}
