// SPDX-License-Identifier: Apache-2.0

package llm

// This file: the readers of arguments on their own, because a whole decision is
// too slow to fuzz widely.

import (
	"encoding/json"
	"testing"
)

func FuzzArguments(f *testing.F) {
	for _, s := range []string{
		`{"vasopressor":2,"iv_fluid":3}`, `{"vasopressor":2,"iv_fluid":3,"iv_fluid":4}`, `{"actions":["[2,3]",{"vasopressor":2,"iv_fluid":4}]}`,
		`{"actions":["[02,3]"]}`, `{"vasopressor":1e0,"iv_fluid":-0}`, `{"Vasopressor":2,"iv_fluid":3}`, `{"actions":[]}{}`, "\"\\ud800\"", `[[[[`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		levels, cerr := parsePrescription(text)
		actions, serr := parseSimulation(text)
		if cerr == nil && serr == nil {
			t.Fatalf("%q is both a prescription and a simulation", text)
		}
		for _, e := range []*CallError{cerr, serr} {
			if e != nil && (e.Code == "" || e.Message == "" || len(e.Message) > 400) {
				t.Fatalf("%q: error %+v", text, e)
			}
		}
		if cerr == nil {
			var want struct {
				Vasopressor *int `json:"vasopressor"`
				Fluid       *int `json:"iv_fluid"`
			}
			if err := json.Unmarshal([]byte(text), &want); err != nil || want.Vasopressor == nil || want.Fluid == nil || *want.Vasopressor != levels.Vasopressor || *want.Fluid != levels.Fluid {
				t.Fatalf("%q was read as %v", text, levels)
			}
			actions = append(actions, levels)
		}
		if serr == nil && (len(actions) == 0 || len(actions) > maxActions) {
			t.Fatalf("%q gives %d actions", text, len(actions))
		}
		for _, l := range actions {
			if min(l.Vasopressor, l.Fluid) < 0 || max(l.Vasopressor, l.Fluid) > maxLevel {
				t.Fatalf("%q gives %v", text, l)
			}
		}
	})
}
