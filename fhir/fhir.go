// SPDX-License-Identifier: Apache-2.0

// Package fhir turns FHIR R4 resources, wherever they come from (prefetch, a
// FHIR server, a Bundle, a folder of NDJSON files), into a state.Chart: events
// in canonical units, each with the time it could be known and with the record
// it came from. It is the only package that knows samply's models.
//
// It trusts nothing it reads. Every resource is used, ignored or rejected
// exactly once, with a reason; a value that is not understood is never guessed,
// and a rate that is not understood makes the exposure unknown, never zero.
// What codes mean comes from the code maps, which a site may extend and which
// are trusted to be right: a wrong code map gives wrong decisions.
//
// The way of a resource: inspect (route or skip by code, on the bytes), decode
// (to state.Record; the two hot types by our own scan, the others by samply's
// models), mapping (Record to event, the same for a
// live call and for a replay), assembly (order, duplicates, tally).
package fhir

import "errors"

// Errors that callers tell apart. Reasons for single resources are in
// state.Reject and state.Tally instead.
var (
	// ErrWrongPatient: a resource belongs to another patient than the bag it
	// was added to. In a hook call nothing may be computed on such input.
	ErrWrongPatient = errors.New("resource of another patient")
	// ErrMalformed: the bytes are not the JSON that was asked for.
	ErrMalformed = errors.New("not a FHIR resource in JSON")
	// ErrNoPatient: no Patient resource, or more than one, where one is needed.
	ErrNoPatient = errors.New("no single patient")
	// ErrNoStay: the patient has no stay of that id, or none at that time.
	ErrNoStay = errors.New("no such stay")
	// ErrTruncated: a compressed file ends before its end.
	ErrTruncated = errors.New("compressed file is cut short (hint: fetch it again)")
)

// Mapper maps resources by one set of code maps. It keeps nothing of what it
// maps but how units are written, and is safe for concurrent use.
type Mapper struct {
	maps *CodeMaps
	x    *index
}

// NewMapper returns a Mapper for the given code maps.
func NewMapper(maps *CodeMaps) *Mapper { return &Mapper{maps: maps, x: &maps.index} }

// CodeMaps returns the code maps this Mapper works by.
func (m *Mapper) CodeMaps() *CodeMaps { return m.maps }
