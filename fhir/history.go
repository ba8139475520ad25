// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: conditions, procedures and orders.

import (
	"github.com/sepsisagent/sepsisagent/engine/state"
)

const reasonNoMeaning = "no meaning in the code maps"

func (m *Mapper) mapCondition(r *state.Record) (event, outcome) {
	switch r.Verify {
	case "refuted", "entered-in-error", "differential":
		return ignore("condition " + r.Verify)
	case "A":
		return ignore("condition excluded (certainty A)")
	case "Z":
		return ignore("state after a condition (certainty Z)")
	}
	tags := m.x.meanings(r.Codes, wordsOf(r))
	if len(tags) == 0 {
		return ignore(reasonNoMeaning)
	}
	out := &state.Condition{Tags: tags, Text: wordsOf(r)}
	onset, onsetKnown, onsetErr := knownBy(r.Start)
	recordedFrom, recorded, recordedErr := knownBy(r.Issued)
	if onsetErr == nil {
		out.Onset = onset
	}
	switch {
	case recordedErr == nil:
		out.Available, out.Dated = recorded.Add(m.x.lag(lagCondition, r.Codes)), true
		if onsetErr != nil {
			out.Onset = recordedFrom
		}
	case onsetErr == nil:
		out.Available, out.Dated = onsetKnown.Add(m.x.lag(lagOnset, r.Codes)), true
	}
	if abated, _, err := moment(r.End); err == nil {
		out.Abated = abated
	}
	switch r.Clinical {
	case "inactive", "resolved", "remission":
		if out.Abated.IsZero() {
			return ignore("condition " + r.Clinical)
		}
	}
	return event{condition: out}, outcome{}
}

func (m *Mapper) mapProcedure(r *state.Record) (event, outcome) {
	switch r.Status {
	case "in-progress", "completed", "stopped", "on-hold":
	case "":
		return reject(reasonNoStatus, "")
	default:
		return ignore("status " + r.Status)
	}
	tags := m.x.meanings(r.Codes, r.Text)
	if len(tags) == 0 {
		return ignore(reasonNoMeaning)
	}
	start, err := instant(r.Start)
	if err != nil {
		return reject(timeReason(err), r.Start)
	}
	lag := m.x.lag(lagProcedure, r.Codes)
	out := &state.Procedure{Tags: tags, Text: wordsOf(r), Start: start, Available: start.Add(lag)}
	switch {
	case !r.IsPeriod:
		out.End = start
	case r.End != "":
		if out.End, err = instant(r.End); err != nil {
			return reject(timeReason(err), r.End)
		}
		if out.End.Before(start) {
			return reject(reasonBackwards, r.Start+" to "+r.End)
		}
	case r.Status == "completed" || r.Status == "stopped":
		out.End = start // over, and nobody charted when: not "still running"
	}
	if !out.End.IsZero() {
		out.EndAvail = out.End.Add(lag)
	}
	return event{procedure: out}, outcome{}
}

// ordered says whether a request's status and intent make it an order.
func ordered(r *state.Record) (bool, string) {
	if r.Verify != "" {
		return false, "order " + r.Verify
	}
	switch r.Status {
	case "active", "completed", "stopped", "on-hold", "unknown", "ended", "revoked":
	case "":
		return false, reasonNoStatus
	default:
		return false, "status " + r.Status
	}
	switch r.Intent {
	case "order", "original-order", "reflex-order", "filler-order", "instance-order", "directive":
		return true, ""
	}
	return false, "intent " + r.Intent
}

func (m *Mapper) mapMedicationRequest(r *state.Record) (event, outcome) {
	if ok, why := ordered(r); !ok {
		return ignore(why)
	}
	d, _ := m.x.drugOf(r)
	switch {
	case d == nil:
		return ignore(reasonDrugNotCoded)
	case d.Ignore != "":
		return ignore(d.Ignore)
	case d.Class == state.ClassAntimicrobial && !m.x.systemic(d, r, false):
		return ignore(reasonLocal)
	}
	switch d.Class {
	case state.ClassAntimicrobial, state.ClassVasopressor, state.ClassSteroid, state.ClassInotrope:
	default:
		return ignore("order of a drug not read from orders")
	}
	return m.orderAt(r, &state.Order{Class: d.Class, Drug: d.Drug})
}

func (m *Mapper) mapServiceRequest(r *state.Record) (event, outcome) {
	if ok, why := ordered(r); !ok {
		return ignore(why)
	}
	out := &state.Order{Tags: m.x.meanings(r.Codes, r.Text)}
	if spec, _ := m.x.observationOf(r.Codes); spec != nil && spec.Concept == state.ConceptMAPGoal {
		if r.Value == nil {
			return reject(reasonNoValue, "")
		}
		v, _, reason := m.x.canonical(m.x.concepts[spec.Concept], r.Value, "")
		if reason != "" {
			return reject(reason, shown(r.Value))
		}
		out.Concept, out.Value = spec.Concept, v
	}
	if len(out.Tags) == 0 && out.Concept == "" {
		return ignore(reasonNoMeaning)
	}
	return m.orderAt(r, out)
}

// orderAt dates an order. A date alone is known at the end of that day.
func (m *Mapper) orderAt(r *state.Record, out *state.Order) (event, outcome) {
	start, known, err := knownBy(r.Start)
	if err != nil {
		return reject(timeReason(err), r.Start)
	}
	out.Start, out.Available = start, known.Add(m.x.lag(lagOrder, r.Codes))
	out.Status, out.Text = r.Status, wordsOf(r)
	return event{order: out}, outcome{}
}
