// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: MappedCharts, the Charts of a running service: package fhir
// gathers and maps, and its errors are put into this package's words.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// MappedCharts gathers charts with one mapper. It is safe for concurrent use.
type MappedCharts struct {
	Mapper *fhir.Mapper
}

var _ Charts = MappedCharts{}

// Gather reads prefetch and, where the query names a server, the EHR.
func (m MappedCharts) Gather(ctx context.Context, q ChartQuery) (*state.Chart, json.RawMessage, error) {
	got, err := m.Mapper.Gather(ctx, q.gathering())
	var manifest json.RawMessage
	if got != nil {
		var jsonErr error
		if manifest, jsonErr = json.Marshal(got.Manifest); jsonErr != nil {
			return nil, nil, fmt.Errorf("%w: manifest: %w", ErrInternal, jsonErr)
		}
	}
	switch {
	case err == nil:
		return got.Chart, manifest, nil
	case ctx.Err() != nil:
		return nil, manifest, errors.Join(ctx.Err(), err)
	case errors.Is(err, fhir.ErrWrongPatient):
		return nil, manifest, fmt.Errorf("%w: %w", ErrWrongPatient, err)
	case errors.Is(err, fhir.ErrDenied):
		return nil, manifest, explain(fmt.Errorf("%w: %w", ErrDenied, err), keysNotHad(got))
	case errors.Is(err, fhir.ErrUnobtainable), errors.Is(err, fhir.ErrNoPatient), errors.Is(err, fhir.ErrNoStay):
		return nil, manifest, explain(fmt.Errorf("%w: %w", ErrUnobtainable, err), keysNotHad(got))
	}
	return nil, manifest, fmt.Errorf("%w: %w", ErrInternal, err)
}

func (q ChartQuery) gathering() fhir.GatherRequest {
	return fhir.GatherRequest{
		Prefetch: q.Prefetch, From: q.From, Access: q.Access, Authorize: q.Authorize,
		PatientID: q.PatientID, EncounterID: q.EncounterID, Now: q.At, Limits: fhir.Limits{Budget: q.Budget},
	}
}

// keysNotHad names the prefetch keys that brought nothing usable and why, for
// the people who connect a client.
func keysNotHad(got *fhir.Gathered) string {
	if got == nil {
		return ""
	}
	var words []string
	for _, p := range got.Manifest.Parts {
		switch p.From {
		case fhir.FromPrefetch, fhir.FromFetch, fhir.IsEmpty:
			continue
		case fhir.IsNull:
			if p.Key != fhir.KeyPatient {
				continue // that there is none is an answer
			}
		}
		why := string(p.From)
		if p.Why != "" {
			why += ": " + p.Why
		}
		words = append(words, p.Key+" ("+why+")")
	}
	if len(words) == 0 {
		return "The data had no patient and stay that fit."
	}
	out := "Not had: " + strings.Join(words, ", ") + "."
	if n := len(got.Manifest.Undeclared); n > 0 {
		out += fmt.Sprintf(" The request has %d prefetch keys that /cds-services does not declare; quirks.prefetch_keys of the client's registration can rename them.", n)
	}
	return out
}

// ReadDrafts takes the draftOrders of an order hook apart.
func (m MappedCharts) ReadDrafts(raw json.RawMessage, q fhir.DraftsFor) (*fhir.DraftOrders, error) {
	return m.Mapper.ReadDrafts(raw, q)
}

// Medications reads what drafted orders name by a reference.
func (m MappedCharts) Medications(ctx context.Context, q ChartQuery, ids []string) []json.RawMessage {
	return m.Mapper.FetchMedications(ctx, q.gathering(), ids)
}

// Drafts maps drafted orders, of a call or of a record.
func (m MappedCharts) Drafts(records []state.Drafted) []state.Draft { return m.Mapper.Drafts(records) }

// Remap maps stored records again.
func (m MappedCharts) Remap(person state.Person, stay state.Stay, gaps []state.Gap, records []state.Record) (*state.Chart, error) {
	return m.Mapper.Remap(person, stay, gaps, records)
}
