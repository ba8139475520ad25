// SPDX-License-Identifier: Apache-2.0

// Package export writes a selection of audit records for readers outside: as
// CSV, NDJSON and Parquet, as FHIR R4 AuditEvent and Provenance after the
// patterns of IHE BALP, and as the feedback data of HTI-1; and it answers
// searches of AuditEvents (ITI-81).
//
// It trusts the log that it is handed records by, and whoever calls it to have
// checked that the reader may read and to have recorded the reading. It trusts
// no text in a record: what a client once sent is quoted so that a spreadsheet
// does not run it. The same records give the same bytes.
package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks"
)

// ErrBody: the body of a record is not what its kind promises.
var ErrBody = errors.New("the body of the record cannot be read")

// Event is one record as it is exported. Call is nil where the body was erased,
// was asked to be left out, or is not of a call.
type Event struct {
	audit.Record
	Call  *cdshooks.Record
	Proof *audit.Inclusion // nil: not asked for; NDJSON alone has it
}

// Read reads a record's body. A record whose body is gone is exported by its
// index alone. Errors wrap ErrBody.
func Read(r audit.Record) (Event, error) {
	e := Event{Record: r}
	switch {
	case len(r.Body) == 0 || json.Valid(r.Body):
		return e, nil
	}
	call, err := cdshooks.DecodeRecord(r.Body)
	if err != nil {
		return e, fmt.Errorf("%w: record %d: %w", ErrBody, r.Leaf, err)
	}
	e.Call = call
	return e, nil
}

// readable is the body as JSON; nil where there is none.
func (e Event) readable() (json.RawMessage, error) {
	if e.Call == nil {
		if len(e.Body) == 0 {
			return nil, nil
		}
		return e.Body, nil
	}
	text, err := json.Marshal(e.Call)
	if err != nil {
		return nil, fmt.Errorf("%w: record %d: %w", ErrBody, e.Leaf, err)
	}
	return text, nil
}

// Format is a form of an export.
type Format string

// The forms.
const (
	CSV     Format = "csv"
	NDJSON  Format = "ndjson"
	Parquet Format = "parquet"
	FHIR    Format = "fhir"
	HTI1    Format = "hti1"
)

// Formats lists the forms.
func Formats() []Format { return []Format{CSV, NDJSON, Parquet, FHIR, HTI1} }

// ErrFormat: there is no form of this name. It is an audit.ErrInvalid.
var ErrFormat = fmt.Errorf("%w: no such format", audit.ErrInvalid)

// Write writes the events to w in one of the forms and says how many there
// were. The first error of events ends it, and what was written until then is
// no export.
func Write(w io.Writer, format Format, site Site, events iter.Seq2[Event, error]) (int, error) {
	switch format {
	case CSV:
		return writeCSV(w, events)
	case NDJSON:
		return writeNDJSON(w, events)
	case Parquet:
		return writeParquet(w, events)
	case FHIR:
		return writeFHIR(w, site, events)
	case HTI1:
		return writeHTI1(w, events)
	}
	return 0, fmt.Errorf("%w: %q (hint: one of %v)", ErrFormat, format, Formats())
}
