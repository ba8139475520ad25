// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: mapping, from one Record to at most one event. It is a pure
// function of the record and the code maps, so that records kept in a receipt
// map again to the same events.

import (
	"errors"
	"time"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// fate says what became of a record.
type fate uint8

const (
	used fate = iota
	ignored
	rejected
)

// outcome is a fate with its reason and, for a reject, what was received.
type outcome struct {
	fate   fate
	reason string
	detail string
}

func ignore(reason string) (event, outcome)      { return event{}, outcome{fate: ignored, reason: reason} }
func reject(reason, got string) (event, outcome) { return event{}, outcome{rejected, reason, got} }

// event is what a record meant; exactly one member is set, and unread only
// where the record is rejected.
type event struct {
	measurement    *state.Measurement
	administration *state.Administration
	condition      *state.Condition
	procedure      *state.Procedure
	order          *state.Order
	unread         *unread
}

// time is the instant by which events are sorted and cut.
func (e event) time() time.Time {
	switch {
	case e.measurement != nil:
		return e.measurement.Effective
	case e.administration != nil:
		return e.administration.Start
	case e.condition != nil:
		return e.condition.Onset
	case e.procedure != nil:
		return e.procedure.Start
	case e.order != nil:
		return e.order.Start
	}
	return time.Time{}
}

// mapRecord gives the meaning of one record.
func (m *Mapper) mapRecord(r *state.Record) (event, outcome) {
	switch r.Type {
	case "Observation":
		return m.mapObservation(r)
	case "MedicationAdministration":
		return m.mapAdministration(r)
	case "MedicationRequest":
		return m.mapMedicationRequest(r)
	case "Condition":
		return m.mapCondition(r)
	case "Procedure":
		return m.mapProcedure(r)
	case "ServiceRequest":
		return m.mapServiceRequest(r)
	}
	return ignore("resource type not read")
}

// timeReason words a time error for a reject.
func timeReason(err error) string {
	for _, known := range []error{errNoTime, errNoZone, errDateOnly, errBadTime} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return errBadTime.Error()
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// shown is a quantity as people should see it.
func shown(q *state.Quantity) string {
	if q == nil {
		return ""
	}
	s := q.Comparator + q.Value
	unit := q.Unit
	if unit == "" {
		unit = q.Code
	}
	if unit == "" {
		return s
	}
	return s + " " + unit
}
