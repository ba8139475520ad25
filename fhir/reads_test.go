// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: the types that have to be granted are those that are asked for.

import (
	"slices"
	"strings"
	"testing"
)

func TestReadsAreExactlyTheTypesOfTheTemplates(t *testing.T) {
	maps, err := testMaps()
	if err != nil {
		t.Fatal(err)
	}
	templates := PrefetchTemplates(maps)
	need, want := Reads(templates)
	granted := append(slices.Clone(need), want...)
	asked := map[string]bool{}
	for key, template := range templates {
		path, query, _ := strings.Cut(template, "?")
		kind, _, _ := strings.Cut(path, "/")
		asked[kind] = true
		if !slices.Contains(granted, kind) {
			t.Errorf("template %s reads %s, which is not granted", key, kind)
		}
		includes := strings.Count(query, "_include=")
		brought, more := Reads(map[string]string{key: template})
		if got := len(brought) + len(more) - 1; got != includes {
			t.Errorf("template %s has %d _include and %d further types to grant: is includeTargets complete?", key, includes, got)
		}
		for _, kind := range more {
			asked[kind] = true
		}
	}
	for _, kind := range granted {
		if !asked[kind] {
			t.Errorf("%s is granted and never asked for", kind)
		}
	}
	for _, kind := range []string{"Encounter", "MedicationAdministration", "Observation", "Patient"} {
		if !slices.Contains(need, kind) {
			t.Errorf("%s is not among the needed types %v", kind, need)
		}
	}
}
