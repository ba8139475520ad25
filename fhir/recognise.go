// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: Recognises, which tells a site whether the code maps know what a
// resource is about, before anything is asked of its value.

import "github.com/sepsisagent/sepsisagent/engine/state"

// Recognises says whether the code maps give the codes, or as a last resort the
// words, of an Observation or MedicationAdministration a meaning. Of r only
// Type, Codes, Text and Ingredients are read. It is false for other types.
func (m *Mapper) Recognises(r *state.Record) bool {
	switch r.Type {
	case "Observation":
		spec, clash := m.x.observationOf(r.Codes)
		return spec != nil || clash || len(m.x.meanings(r.Codes, "")) > 0 || m.isPanel(r.Codes)
	case "MedicationAdministration":
		d, _ := m.x.drugOf(r)
		return d != nil
	}
	return false
}

// isPanel says whether a code only groups components, or names a specimen.
func (m *Mapper) isPanel(list []state.Coding) bool {
	for _, c := range list {
		if k := (key{c.System, c.Code}); m.x.panels[k] || m.x.specimenRow[k] {
			return true
		}
	}
	return false
}
